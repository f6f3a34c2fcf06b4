//! What forged notifications cost: `cargo bench --bench flood`, or `scripts/figures inbox` for the figures
//! that the project holds itself to.
//!
//! An inbox runs while ten thousand notifications come in ten seconds, half of them for orders that are
//! known. What is counted is what they cost the lab's own database.

#[path = "service/counting.rs"]
mod counting;
mod service;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use criterion::Criterion;
use lab_connector::inbox::{Inbox, MemoryStore};
use lab_connector::{Lab, Notification};
use lab_connector_benches::{Figures, figures_wanted};
use tokio::runtime::{Builder, Runtime};

use counting::{Counting, HookedStore};

const NOTIFICATIONS: usize = 10_000;
const KNOWN: usize = 1_000;

fn main() -> ExitCode {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let lab = runtime.block_on(service::lab(answer));
    if figures_wanted() {
        return figures(&runtime, &lab);
    }
    let inbox = lab.inbox(MemoryStore::new());
    let notifications: Vec<_> = (0..NOTIFICATIONS).map(notification).collect();
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("notify_10000", |b| {
        b.iter(|| notifications.iter().for_each(|one| inbox.notify(one)));
    });
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// What the project holds itself to.
fn figures(runtime: &Runtime, lab: &Lab) -> ExitCode {
    let store = Arc::new(HookedStore::new(Counting::default()));
    let inbox = lab.inbox(Arc::clone(&store));
    let hook = &store.hook;
    let counts = || [&hook.reads, &hook.writes].map(|count| count.load(Ordering::Relaxed));
    let [reads, writes] = runtime.block_on(async {
        inbox.poll().await.expect("a poll");
        let before = counts();
        flood(&inbox).await;
        let after = counts();
        [after[0] - before[0], after[1] - before[1]]
    });
    let mut figures = Figures::default();
    figures.at_most("inbox_notify_flood_db_reads", reads as f64, 300.0);
    figures.at_most("inbox_notify_flood_db_writes", writes as f64, 50.0);
    figures.end()
}

async fn flood(inbox: &Inbox) {
    let notifying = async {
        for hundredth in 0..1_000 {
            let some = NOTIFICATIONS / 1_000;
            for number in hundredth * some..(hundredth + 1) * some {
                inbox.notify(&notification(number));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    inbox.run_until(notifying).await.expect("a run");
}

fn notification(number: usize) -> Notification {
    let rx_id = match number % 2 {
        0 => format!("rx-{}", number / 2 % KNOWN),
        _ => format!("forged-{number}"),
    };
    let body = format!(r#"{{"rxId":"{rx_id}","accountNumber":"1"}}"#);
    Notification::parse(body.as_bytes()).expect("a notification")
}

fn answer(path: &str) -> Option<Bytes> {
    if path.ends_with("/orders") {
        let orders: Vec<_> = (0..KNOWN).map(order).collect();
        return Some(format!(r#"{{"orders":[{}]}}"#, orders.join(",")).into());
    }
    let (_, number) = path.rsplit_once("rx-")?;
    Some(order(number.parse().ok()?).into())
}

fn order(number: usize) -> String {
    format!(
        r#"{{"orderId":"{}","rxId":"rx-{number}","status":"Lab Review"}}"#,
        100_000 + number
    )
}
