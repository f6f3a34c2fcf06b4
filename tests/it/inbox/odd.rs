//! Orders that a database might refuse: none of them may hold up the others.

use std::iter::repeat_with;

use lab_connector::inbox::store::SqliteStore;
use lab_connector::inbox::{CaseHistory, CaseStore, MemoryStore, ProblemKind};
use lab_connector::{History, OrderId};
use serde_json::json;

use super::{Service, kinds, names, notification};
use crate::postgres::Schema;

#[tokio::test]
async fn odd_orders_hold_up_nobody_in_memory() {
    work(MemoryStore::new()).await;
}

#[tokio::test]
async fn odd_orders_hold_up_nobody_with_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("cases.db")).await;
    work(store.unwrap()).await;
}

#[tokio::test]
async fn odd_orders_hold_up_nobody_with_postgres() {
    if let Some(schema) = Schema::new("odd_orders_hold_up_nobody_with_postgres") {
        work(schema.store().await).await;
    }
}

/// A text that cannot be made shorter, as databases try to.
fn long(bytes: usize) -> String {
    repeat_with(fastrand::alphanumeric).take(bytes).collect()
}

async fn work(store: impl CaseStore + 'static) {
    let service = Service::new();
    let inbox = service.inbox_on(store).await;
    let put = |number: u64, id: &str, rx: &str, status: &str, note: &str| {
        let order = json!({ "orderId": id, "rxId": rx, "status": status, "note": note });
        service.state().orders.insert(number, order);
    };
    let (longest, longest_rx) = (long(256), "\\".repeat(256));
    put(1, &long(257), "rx-1", "Ready for Download", "");
    put(2, &long(100_000), "rx-2", "Ready for Download", "");
    put(3, "3", &long(5_000), "Ready for Download", "");
    put(4, &longest, &longest_rx, "Ready for Download", "");
    put(5, "nul\0id", "rx\0 5", "Ready for Download", "a\0b");
    put(6, "6", "rx-6", "Lab Review", "\u{0}\u{fffe}\u{10ffff}");
    put(7, "7", "rx-7", "Ready for Download", &long(1_000_000));

    let round = inbox.poll().await.unwrap();
    let (long_ids, no_rx_id) = (ProblemKind::IdTooLong, ProblemKind::NoRxId);
    assert_eq!(kinds(&round), [no_rx_id, long_ids, long_ids]);
    assert_eq!(round.problems()[0].order_id(), Some(&"3".into()));
    assert!(round.is_complete());
    assert_eq!((round.listed(), round.deliveries()), (7, 5));
    let stats = inbox.stats().await.unwrap();
    assert_eq!((stats.problems[&long_ids], stats.store.cases), (2, 5));
    let delivered = inbox.claim(10).await.unwrap();
    let mut delivered = names(&delivered);
    delivered.sort_unstable();
    let mut expected = [&*longest, "3", "6", "7", "nul\0id"].map(|id| (id, 1));
    expected.sort_unstable();
    assert_eq!(delivered, expected);

    // Those that can be followed are, in a status of any text too.
    put(4, &longest, &longest_rx, "Scanning", "");
    put(5, "nul\0id", "rx\0 5", "Nobody\0knows", "");
    put(3, "3", &long(5_000), "Downloaded", "");
    let round = inbox.poll().await.unwrap();
    assert_eq!((round.fetched(), round.changes()), (2, 2));
    let history = inbox.history(&"nul\0id".into()).await.unwrap().unwrap();
    let last = history.history.last().unwrap();
    assert_eq!(last.status().as_str(), "Nobody\0knows");

    // Neither does one that is fetched.
    let asked = long(250);
    put(8, &long(300), &asked, "Ready for Download", "");
    put(2, "2", "rx-2", "Sent", "");
    put(1, "1", "rx-1", "Sent", "");
    service.state().hidden = vec![8];
    inbox.notify(&notification(&asked));
    inbox.notify(&notification("rx-2"));
    let round = inbox.poll().await.unwrap();
    assert_eq!(kinds(&round), [ProblemKind::IdTooLong]);
    assert_eq!((round.fetched(), round.changes()), (2, 1));
}

#[tokio::test]
async fn a_case_with_an_id_that_is_too_long_is_not_imported() {
    let service = Service::new();
    let inbox = service.inbox().await;
    let case = |order: &str, rx: &str| CaseHistory {
        order_id: OrderId::new(order),
        rx_id: Some(rx.into()),
        history: History::partial(["Lab Review"]),
    };
    let too_long = long(257);
    for case in [case(&too_long, "rx"), case("1", &too_long)] {
        let error = inbox.import(case).await.unwrap_err();
        assert!(error.is_configuration() && !error.to_string().contains(&too_long));
    }
    assert!(inbox.import(case(&long(256), &long(256))).await.unwrap());
}
