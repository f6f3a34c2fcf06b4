//! What ten thousand paired labs with nothing new cost one process: `scripts/figures inbox`.
//!
//! Each lab is an inbox that runs, with the default interval of five minutes, on one SQLite store
//! for cases and tokens; the service is a body in memory. In a process of its own, as resident
//! memory is measured. On Linux only: it is read in `/proc`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Response, header};
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::inbox::store::SqliteStore;
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{Client, Endpoints, TokenStore};
use lab_connector_benches::{Figures, figures_wanted};
use tokio::sync::Notify;

const LABS: usize = 10_000;
const INTERVAL: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> ExitCode {
    if !figures_wanted() || !cfg!(target_os = "linux") {
        return ExitCode::SUCCESS;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    let directory = tempfile::tempdir_in(target).expect("a directory");
    let store = SqliteStore::open(directory.path().join("cases.db"));
    let store = store.await.expect("a store");
    let client = client(store.clone());
    for number in 0..LABS {
        let key = TokenKey::Account(number.to_string().into());
        store.swap(&key, None, &tokens()).await.expect("a swap");
    }

    let polled = Polled::default();
    run(&client, &store, 0..1, &polled).await;
    let first = resident_kib();
    let before = processor_seconds();
    run(&client, &store, 1..LABS, &polled).await;
    let each = (resident_kib() - first) / (LABS - 1) as f64;
    // Each has polled once, as it does in an interval.
    let share = (processor_seconds() - before) / INTERVAL.as_secs_f64();

    let mut figures = Figures::default();
    figures.at_most("inbox_idle_labs_10000_kib_per_lab", each, 64.0);
    figures.without_limit("inbox_idle_labs_10000_share_of_a_core", share);
    figures.end()
}

/// How many have polled.
#[derive(Clone, Default)]
struct Polled(Arc<(AtomicUsize, Notify)>);

/// Starts labs, and waits until each has polled.
async fn run(client: &Client, store: &SqliteStore, labs: std::ops::Range<usize>, polled: &Polled) {
    let end = labs.end;
    for number in labs {
        let polled = polled.clone();
        let lab = client.account(number.to_string());
        let inbox = lab.inbox(store.clone()).interval(INTERVAL);
        let inbox = inbox.on_round(move |report| {
            assert!(report.is_ok(), "{report:?}");
            polled.0.0.fetch_add(1, Ordering::SeqCst);
            polled.0.1.notify_one();
        });
        tokio::spawn(async move { inbox.run().await });
    }
    while polled.0.0.load(Ordering::SeqCst) < end {
        polled.0.1.notified().await;
    }
}

fn client(store: SqliteStore) -> Client {
    let answer = transport::from_fn(|_| async {
        Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(r#"{"orders": []}"#))
            .map_err(TransportError::broken)
    });
    Client::builder()
        .endpoints(Endpoints::from_base_url("https://service.example/").expect("a URL"))
        .credentials("id", "secret")
        .token_store(store)
        .transport(answer)
        .build()
        .expect("a client")
}

fn tokens() -> Tokens {
    let tokens = r#"{"access_token": "a", "refresh_token": null, "expires_at": 4000000000, "generation": 1}"#;
    Tokens::from_json(tokens).expect("tokens")
}

/// The field with this number of a file of this process in `/proc`.
fn field(file: &str, number: usize) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).expect("numbers");
    // The name of the process may have spaces in it.
    let fields = text.rsplit(')').next().expect("fields");
    let mut fields = fields.split_whitespace();
    let field = fields.nth(number).expect("a field");
    field.parse().expect("a number")
}

fn resident_kib() -> f64 {
    // Pages of 4 KiB.
    field("statm", 1) * 4.0
}

fn processor_seconds() -> f64 {
    // In user mode and in the kernel, in hundredths.
    (field("stat", 11) + field("stat", 12)) / 100.0
}
