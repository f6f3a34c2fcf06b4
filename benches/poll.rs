//! What a poll costs in which nothing changed: `cargo bench --bench poll`, or `scripts/figures
//! inbox` for the figures that the project holds itself to.
//!
//! The service is a body in memory, so that nothing but the client and the inbox is measured. A
//! poll is compared with a listing of the same orders, which is decoded and dropped: what the
//! poll takes longer is planning and the store.

mod service;

use std::hint::black_box;
use std::process::ExitCode;

use bytes::Bytes;
use criterion::Criterion;
use lab_connector::Lab;
use lab_connector::inbox::{Inbox, MemoryStore};
use lab_connector_benches::{Figures, best_of_three, figures_wanted, time};
use tokio::runtime::{Builder, Runtime};

const ORDERS: usize = 10_000;

fn main() -> ExitCode {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if figures_wanted() {
        return figures(&runtime);
    }
    let lab = runtime.block_on(service::lab(always(listing())));
    let inbox = lab.inbox(MemoryStore::new());
    runtime.block_on(poll(&inbox));
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("unchanged_10000");
    group.bench_function("poll", |b| b.iter(|| runtime.block_on(poll(&inbox))));
    group.bench_function("list", |b| b.iter(|| runtime.block_on(list(&lab))));
    group.finish();
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// What the project holds itself to.
fn figures(runtime: &Runtime) -> ExitCode {
    let mut figures = Figures::default();
    let lab = runtime.block_on(service::lab(always(listing())));
    let inbox = lab.inbox(MemoryStore::new());
    runtime.block_on(poll(&inbox));
    let best = best_of_three(15, f64::min, || {
        let listed = time(|| runtime.block_on(list(&lab)));
        let polled = time(|| runtime.block_on(poll(&inbox)));
        (polled - listed) / listed
    });
    figures.at_most("inbox_plan_10000_per_decode", best, 0.5);
    figures.at_most("inbox_poll_repeated_order_2000", repeated(runtime), 2.0);
    figures.end()
}

/// A poll of one order that is listed 2,000 times, for one of 2,000 orders.
fn repeated(runtime: &Runtime) -> f64 {
    let [many, one] = [2_000, 1].map(|orders| {
        let orders: Vec<_> = (0..2_000).map(|number| order(number % orders)).collect();
        let listing = format!(r#"{{"orders":[{}]}}"#, orders.join(","));
        let inbox = runtime
            .block_on(service::lab(always(listing)))
            .inbox(MemoryStore::new());
        runtime.block_on(inbox.poll()).expect("a round");
        inbox
    });
    best_of_three(15, f64::min, || {
        let [many, one] = [&many, &one].map(|inbox| time(|| runtime.block_on(inbox.poll())));
        one / many
    })
}

/// One answer to every request.
fn always(body: String) -> impl Fn(&str) -> Option<Bytes> + Send + Sync + 'static {
    let body = Bytes::from(body);
    move |_| Some(body.clone())
}

async fn poll(inbox: &Inbox) {
    let round = inbox.poll().await.expect("a round");
    assert_eq!(round.listed(), ORDERS as u64);
    assert!(round.is_complete() && round.problems().is_empty());
}

async fn list(lab: &Lab) {
    let listing = lab.orders().list().await.expect("a listing");
    assert_eq!(black_box(listing).orders().len(), ORDERS);
}

fn listing() -> String {
    let orders: Vec<_> = (0..ORDERS).map(order).collect();
    format!(r#"{{"orders":[{}]}}"#, orders.join(","))
}

fn order(number: usize) -> String {
    let asset = |number: usize, kind: &str, size: usize| {
        format!(
            r#"{{"assetId":"{kind}-{number}","assetType":"{kind}","downloadUrl":"https://files.example/{number}/{kind}","size":{size},"modifiedAt":"2026-03-14T10:26:53.000Z"}}"#
        )
    };
    let status = ["Ready for Download", "Lab Review"][number % 2];
    format!(
        r#"{{"orderId":"{}","rxId":"rx-{number}","accountNumber":"1","status":"{status}","createdAt":"2026-03-14T09:26:53.000Z","modifiedAt":"2026-03-14T10:26:53.000Z","patient":{{"firstName":"Alva","lastName":"Ashgrove"}},"assets":[{},{}]}}"#,
        100_000_000 + number,
        asset(number, "IDE", 48_123_456 + number),
        asset(number, "IMAGE_GALLERY", 234_567),
    )
}
