//! What a fresh token costs a call: `cargo bench --bench auth`, or `scripts/figures auth` for
//! the figure that the project holds itself to.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::Criterion;
use futures_util::FutureExt;
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::{Client, Endpoints, Lab, MemoryTokenStore, TokenStore};
use lab_connector_benches::{Figures, figures_wanted, median, time};

/// Nanoseconds for the token of a call, uncontended.
const LIMIT: f64 = 100.0;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let lab = runtime.block_on(lab());
    if figures_wanted() {
        return figures(&lab);
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("auth");
    group.bench_function("fresh_token", |b| b.iter(|| fresh_token(&lab)));
    // A part of the above that cannot be saved: an expiry is compared with the time.
    group.bench_function("system_time", |b| b.iter(|| black_box(SystemTime::now())));
    group.finish();
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// The median of many short rounds, as others use the machine as well.
fn figures(lab: &Lab) -> ExitCode {
    const CALLS: u32 = 10_000;
    let nanoseconds = median(301, || {
        time(|| (0..CALLS).for_each(|_| fresh_token(lab))) * 1e9 / f64::from(CALLS)
    });
    let mut figures = Figures::default();
    figures.at_most("auth_fresh_token_ns", nanoseconds, LIMIT);
    figures.end()
}

/// What each call does first. It is ready at once: nothing is awaited for a fresh token.
fn fresh_token(lab: &Lab) {
    let ready = black_box(lab).keep_access().now_or_never();
    black_box(ready)
        .expect("no wait for a fresh token")
        .expect("a fresh token");
}

/// A lab whose token is good for a day, in memory already.
async fn lab() -> Lab {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a clock after 1970");
    let tokens = Tokens::from_json(&format!(
        r#"{{"access_token":"a","refresh_token":"r","issued_at":{},"expires_at":{},"generation":1}}"#,
        now.as_secs(),
        (now + Duration::from_secs(86_400)).as_secs()
    ))
    .expect("tokens");
    let store = Arc::new(MemoryTokenStore::new());
    let key = TokenKey::Account("L-1".into());
    assert!(store.swap(&key, None, &tokens).await.expect("memory"));
    let endpoints = Endpoints::from_base_url("http://127.0.0.1:9/").expect("a URL");
    let client = Client::builder()
        .endpoints(endpoints)
        .credentials("id", "secret")
        .token_store(store)
        .build()
        .expect("a client");
    let lab = client.account("L-1");
    lab.keep_access().await.expect("a fresh token");
    lab
}
