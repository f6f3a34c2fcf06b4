//! Which order an answer is about: ids that are missing, defaults, another's, or two at once.

use std::sync::Arc;
use std::time::Duration;

use lab_connector::inbox::{Inbox, MemoryStore, ProblemKind};
use serde_json::json;
use tokio::sync::Notify;

use super::{HOUR, Service, kinds, names, notification, symbols};
use crate::support::TestClock;

const MINUTE: Duration = Duration::from_secs(60);

/// Polls at the interval, so often. Gives how many deliveries were new.
async fn polls(service: &Service, inbox: &Inbox, count: usize) -> u64 {
    let mut deliveries = 0;
    for _ in 0..count {
        service.pass(MINUTE * 5);
        deliveries += inbox.poll().await.unwrap().deliveries();
    }
    deliveries
}

#[tokio::test]
async fn a_fetched_answer_without_an_order_id_is_about_the_order_asked_for() {
    for id in [
        json!(null),
        json!(0),
        json!(" "),
        json!("00000000-0000-0000-0000-000000000000"),
    ] {
        let service = Service::new();
        let inbox = service.inbox().await;
        service.with_another(&inbox).await;
        service.show(1, "Lab Review");
        inbox.poll().await.unwrap();
        let mut nameless = json!({ "orderId": id, "rxId": "rx-1", "status": "iTero Milling" });
        if id.is_null() {
            nameless.as_object_mut().unwrap().remove("orderId");
        }
        service.state().fetched.insert("rx-1".to_owned(), nameless);
        service.state().hidden = vec![1];
        polls(&service, &inbox, 3).await;
        assert_eq!(symbols(&inbox, "1").await, "RI", "{id}");
        // The rescan of the real order is its second delivery, and nobody else's.
        service.state().hidden.clear();
        service.state().fetched.clear();
        service.show(1, "Ready for Download");
        assert_eq!(polls(&service, &inbox, 5).await, 1, "{id}");
        assert_eq!(symbols(&inbox, "1").await, "RIF", "{id}");
        assert_eq!(inbox.stats().await.unwrap().store.cases, 2, "{id}");
        let first = inbox.claim(9).await.unwrap();
        assert_eq!(names(&first), [("1", 1)], "{id}");
        first[0].acknowledge().await.unwrap();
        assert_eq!(names(&inbox.claim(9).await.unwrap()), [("1", 2)], "{id}");
    }
}

#[tokio::test]
async fn one_that_was_fetched_without_an_order_id_is_one_case_when_it_is_listed_with_one() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.with_another(&inbox).await;
    let nameless = json!({ "orderId": 0, "rxId": "rx-1", "status": "Lab Review" });
    service.state().fetched.insert("rx-1".to_owned(), nameless);
    inbox.notify(&notification("rx-1"));
    assert_eq!(polls(&service, &inbox, 1).await, 1);
    service.show(1, "Lab Review");
    assert_eq!(polls(&service, &inbox, 20).await, 0);
    assert_eq!(inbox.stats().await.unwrap().store.cases, 2);
    assert_eq!(names(&inbox.claim(9).await.unwrap()), [("rx-1", 1)]);
}

#[tokio::test]
async fn an_rx_id_that_names_another_order_by_now_is_asked_for_ever_more_seldom() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.with_another(&inbox).await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    delivery.acknowledge().await.unwrap();
    // The prescription is another order's now.
    let other = json!({ "orderId": 7, "rxId": "rx-1", "status": "Ready for Download" });
    service.state().orders.remove(&1);
    service.state().orders.insert(7, other);
    let round = inbox.poll().await.unwrap();
    assert_eq!(round.deliveries(), 1);
    assert!(kinds(&round).contains(&ProblemKind::OtherOrder));
    let looks = service.state().looks.len();
    // A day.
    assert_eq!(polls(&service, &inbox, 288).await, 0);
    let looks = service.state().looks.len() - looks;
    assert!(looks < 20, "{looks}");
    assert_eq!(symbols(&inbox, "1").await, "F");
    assert_eq!(symbols(&inbox, "7").await, "F");
    // The old case is over, and its patient can be forgotten.
    assert!(inbox.forget(&"1".into()).await.unwrap());
    assert!(!inbox.forget(&"7".into()).await.unwrap());
}

#[tokio::test]
async fn one_order_id_under_two_rx_ids_is_delivered_once_and_of_one_patient() {
    let service = Service::new();
    let inbox = service.inbox().await;
    for (key, patient) in [(1, "one"), (2, "other")] {
        let order = json!({
            "orderId": 7, "rxId": format!("rx-{key}"), "status": "Lab Review",
            "who": patient, "assets": [{ "assetId": patient }],
        });
        service.state().orders.insert(key, order);
    }
    let mut deliveries = 0;
    for poll in 0..100 {
        service.pass(MINUTE * 5);
        // Whichever is listed first.
        if poll % 3 == 1 {
            let mut state = service.state();
            let orders: Vec<_> = state.orders.values().rev().cloned().collect();
            state.orders = (1..).zip(orders).collect();
        }
        let round = inbox.poll().await.unwrap();
        assert!(kinds(&round).contains(&ProblemKind::OtherRxId), "{poll}");
        deliveries += round.deliveries();
        for delivery in inbox.claim(9).await.unwrap() {
            let order = delivery.order();
            assert_eq!(order.extra()["who"], "one");
            assert_eq!(order.assets().len(), 1);
            assert_eq!(order.assets()[0].id(), Some("one"));
            delivery.acknowledge().await.unwrap();
        }
    }
    assert_eq!(deliveries, 1);
}

/// A notification that names the second prescription brings nothing of it into the case of the first.
#[tokio::test]
async fn what_is_fetched_under_another_rx_id_is_not_taken_for_the_case() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.with_another(&inbox).await;
    let of = |patient: &str, rx_id: &str, status: &str| {
        json!({
            "orderId": 7, "rxId": rx_id, "status": status,
            "who": patient, "assets": [{ "assetId": patient }],
        })
    };
    let first = of("one", "rx-1", "Lab Review");
    service.state().orders.insert(7, first);
    inbox.poll().await.unwrap();
    for status in ["Lab Review", "Ready for Download", "iTero Milling"] {
        let other = of("other", "rx-2", status);
        service.state().fetched.insert("rx-2".to_owned(), other);
        inbox.notify(&notification("rx-2"));
        service.pass(MINUTE);
        let round = inbox.poll().await.unwrap();
        assert_eq!(kinds(&round), [ProblemKind::OtherRxId], "{status}");
        assert_eq!((round.deliveries(), round.changes()), (0, 0), "{status}");
    }
    let delivery = inbox.claim(9).await.unwrap().remove(0);
    assert_eq!(delivery.order().extra()["who"], "one");
    assert_eq!(delivery.order().assets()[0].id(), Some("one"));
    assert_eq!(symbols(&inbox, "7").await, "R");

    // Where the order has a new one, a listing says so.
    service.state().fetched.clear();
    let renewed = of("one", "rx-2", "Ready for Download");
    service.state().orders.insert(7, renewed);
    inbox.notify(&notification("rx-2"));
    polls(&service, &inbox, 2).await;
    assert_eq!(symbols(&inbox, "7").await, "RF");
    service
        .state()
        .orders
        .insert(7, of("one", "rx-2", "iTero Milling"));
    inbox.notify(&notification("rx-2"));
    polls(&service, &inbox, 1).await;
    assert_eq!(symbols(&inbox, "7").await, "RFI");
}

#[tokio::test]
async fn many_orders_in_two_states_hold_up_none() {
    let service = Service::new();
    let inbox = service.inbox().await.max_fetches_per_poll(10);
    service.with_another(&inbox).await;
    // One that goes on to the doctor, and sixty that are listed in two states each.
    service.show(800, "Ready for Download");
    inbox.poll().await.unwrap();
    for number in 1..=60 {
        for (key, status) in [
            (number, "Ready for Download"),
            (number + 1_000, "Lab Review"),
        ] {
            let order = json!({
                "orderId": number, "rxId": format!("rx-{number}"), "status": status,
            });
            service.state().orders.insert(key, order.clone());
            service
                .state()
                .fetched
                .insert(format!("rx-{number}"), order);
        }
    }
    service.show(800, "Scanning");
    polls(&service, &inbox, 12).await;
    for number in 1..=60 {
        assert_eq!(symbols(&inbox, &number.to_string()).await, "R", "{number}");
    }
    assert_eq!(symbols(&inbox, "800").await, "FS");
    // Its rescan is delivered, while the others go on.
    service.show(800, "Ready for Download");
    polls(&service, &inbox, 3).await;
    assert_eq!(symbols(&inbox, "800").await, "FSF");
    // They come to rest.
    assert_eq!(polls(&service, &inbox, 100).await, 0);
}

/// A laptop that is shut in the middle of a listing, and opened hours later: no time has passed for its
/// processes.
#[tokio::test]
async fn a_listing_that_took_for_hours_is_no_news() {
    let service = Service::new();
    let laptop = Service {
        state: Arc::clone(&service.state),
        clock: TestClock::still(),
    };
    let store = MemoryStore::new();
    let server = service.inbox_on(store.clone()).await;
    let inbox = laptop.inbox_on(store).await;
    service.with_another(&server).await;
    service.show(1, "Ready for Download");
    let (slow, asked) = (Arc::new(Notify::new()), service.state().lists);
    service.state().slow = Some(("/orders", Arc::clone(&slow)));
    let polling = tokio::spawn(async move { inbox.poll().await });
    while service.state().lists == asked {
        tokio::task::yield_now().await;
    }
    for status in ["Ready for Download", "Lab Review", "iTero Milling"] {
        service.show(1, status);
        polls(&service, &server, 2).await;
    }
    assert_eq!(symbols(&server, "1").await, "FRI");
    service.pass(HOUR * 3);
    laptop.clock.set_ahead(HOUR * 4);
    slow.notify_one();
    let round = polling.await.unwrap().unwrap();
    assert_eq!((round.listed(), round.deliveries()), (2, 0));
    // The order is fetched again, and that is all.
    let looks = service.state().looks.len();
    assert_eq!(polls(&service, &server, 3).await, 0);
    assert!(service.state().looks.len() > looks);
    assert_eq!(polls(&service, &server, 30).await, 0);
    assert_eq!(symbols(&server, "1").await, "FRI");
}

#[tokio::test]
async fn an_order_that_two_processes_hear_of_at_once_is_one_case() {
    let service = Service::new();
    let store = MemoryStore::new();
    let one = service.inbox_on(store.clone()).await;
    let other = service.inbox_on(store).await.interval(HOUR * 24);
    service.with_another(&one).await;
    other.run_until(async {}).await.unwrap();
    service.show(1, "Ready for Download");
    // Fetched it has no order id, and listed it has one.
    let shown = json!({ "rxId": "rx-1", "status": "Ready for Download" });
    service.state().fetched.insert("rx-1".to_owned(), shown);
    let slow = Arc::new(Notify::new());
    service.state().slow = Some(("/rx-1", Arc::clone(&slow)));
    other.notify(&notification("rx-1"));
    let fetching = tokio::spawn(async move { other.run_until(async {}).await });
    while service.state().looks.is_empty() {
        tokio::task::yield_now().await;
    }
    one.poll().await.unwrap();
    slow.notify_one();
    fetching.await.unwrap().unwrap();
    polls(&service, &one, 30).await;
    assert_eq!(names(&one.claim(9).await.unwrap()), [("1", 1)]);
    assert_eq!(one.stats().await.unwrap().store.cases, 2);
}
