//! Notifications: hints that are merged, bounded, and never believed.

use std::time::Duration;

use http::StatusCode;
use lab_connector::Notification;
use lab_connector::inbox::ProblemKind;
use serde_json::json;

use super::{HOUR, Service, notification, symbols};

#[tokio::test]
async fn a_flood_costs_a_fetch_for_each_known_order_and_a_few_for_unknown_ones() {
    let service = Service::new();
    let inbox = service.inbox().await;
    for number in 1..=5 {
        service.show(number, "Ready for Download");
    }
    inbox.poll().await.unwrap();
    for forged in 0..10_000 {
        inbox.notify(&notification(&format!("forged-{forged}")));
        inbox.notify(&notification(&format!("rx-{}", forged % 5 + 1)));
    }
    // As long as the flood goes on.
    for _ in 0..3 {
        inbox.poll().await.unwrap();
    }
    let looks = service.state().looks.clone();
    let (known, unknown): (Vec<_>, Vec<_>) =
        looks.into_iter().partition(|rx| rx.starts_with("rx-"));
    assert_eq!(known.len(), 5, "{known:?}");
    assert!(unknown.len() <= 20, "{}", unknown.len());
    let stats = inbox.stats().await.unwrap();
    assert_eq!((stats.hints, stats.store.cases), (20_000, 5));
}

#[tokio::test]
async fn a_notification_shows_what_the_listing_does_not() {
    let service = Service::new();
    let inbox = service.settled().await;
    service.show(1, "Lab Review");
    inbox.poll().await.unwrap();
    service.show(1, "iTero Milling");
    service.state().hidden = vec![1];
    inbox.notify(&notification("rx-1"));
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "RI");
    // Duplicates and late ones change nothing.
    for _ in 0..3 {
        inbox.notify(&notification("rx-1"));
        service.pass(Duration::from_secs(31));
        inbox.poll().await.unwrap();
    }
    assert_eq!(symbols(&inbox, "1").await, "RI");
}

/// Services post several at once, in envelopes, or as JSON in a string.
#[tokio::test]
async fn each_rx_id_of_a_notification_is_fetched() {
    for body in [
        r#"[{"rxId":"rx-1"},{"rxId":"rx-2"}]"#,
        r#"{"data":[{"rxId":"rx-1"},{"data":{"rxId":"rx-2"}}]}"#,
        r#""[{\"rxId\":\"rx-1\"},{\"rxId\":\"rx-2\"}]""#,
    ] {
        let service = Service::new();
        let inbox = service.settled().await;
        service.show(1, "iTero Modeling");
        service.show(2, "iTero Modeling");
        inbox.notify(&Notification::parse(body.as_bytes()).unwrap());
        inbox.poll().await.unwrap();
        let mut looks = service.state().looks.clone();
        looks.sort_unstable();
        assert_eq!(looks, ["rx-1", "rx-2"], "{body}");
    }
}

#[tokio::test]
async fn a_notification_for_another_account_is_told_and_taken() {
    let service = Service::new();
    let inbox = service.settled().await;
    service.show(1, "iTero Modeling");
    for account in ["account-77", "0", "4711"] {
        let body = json!({ "rxId": "rx-1", "accountNumber": account }).to_string();
        inbox.notify(&Notification::parse(body.as_bytes()).unwrap());
    }
    let problems = inbox.stats().await.unwrap().problems;
    assert_eq!(problems, [(ProblemKind::OtherAccount, 1)].into());
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "M");
}

#[tokio::test]
async fn a_notification_of_an_order_that_does_not_exist_leaves_nothing() {
    let service = Service::new();
    let inbox = service.inbox().await;
    inbox.notify(&notification("nobody"));
    inbox.notify(&notification(&"x".repeat(5_000)));
    let round = inbox.poll().await.unwrap();
    assert_eq!((round.fetched(), round.problems().len()), (1, 0));
    assert_eq!(inbox.stats().await.unwrap().store.cases, 0);
}

#[tokio::test]
async fn a_hint_waits_where_the_round_has_no_fetch_left() {
    let service = Service::new();
    let inbox = service.inbox().await.max_fetches_per_poll(1);
    service.with_another(&inbox).await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    // It drops out, and is fetched first.
    service.show(1, "Downloaded");
    service.show(2, "iTero Modeling");
    inbox.notify(&notification("rx-2"));
    for fetched in [&["rx-1"][..], &["rx-1", "rx-2"]] {
        inbox.poll().await.unwrap();
        assert_eq!(service.state().looks, fetched);
        service.pass(HOUR / 4);
    }
}

#[tokio::test]
async fn where_a_hinted_order_cannot_be_fetched_a_listing_stands_in() {
    let service = Service::hasty();
    let inbox = service.inbox().await.interval(HOUR * 24);
    inbox.run_until(async {}).await.unwrap();
    service.show(1, "Ready for Download");
    inbox.notify(&notification("rx-1"));
    service.state().broken = vec!["rx-1".to_owned()];
    inbox.run_until(async {}).await.unwrap();
    assert_eq!(inbox.stats().await.unwrap().fetched, 1);
    service.pass(HOUR / 4);
    inbox.run_until(async {}).await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "F");
    assert_eq!(service.state().lists, 2);
}

#[tokio::test]
async fn where_that_listing_fails_the_next_one_does_not_wait_for_the_interval() {
    let service = Service::hasty();
    let inbox = service.inbox().await.interval(HOUR * 24);
    inbox.run_until(async {}).await.unwrap();
    service.show(1, "Ready for Download");
    inbox.notify(&notification("rx-1"));
    service.state().outage = Some(StatusCode::SERVICE_UNAVAILABLE);
    // Neither the order nor the listing in its place.
    for _ in 0..2 {
        inbox.run_until(async {}).await.unwrap();
        service.pass(HOUR / 4);
    }
    service.state().outage = None;
    inbox.run_until(async {}).await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "F");
}
