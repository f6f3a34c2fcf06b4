//! Deliveries: handed out until acknowledged, one after the other, to one holder at a time.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use lab_connector::clock::Clock;
use lab_connector::flow::Scenario;
use lab_connector::inbox::{Delivery, Inbox, MemoryStore};
use serde_json::json;

use super::{HOUR, Service, names, symbols};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_delivery_comes_again_under_its_name_until_it_is_acknowledged() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    assert_eq!(inbox.poll().await.unwrap().deliveries(), 1);
    for attempt in 1..=3 {
        let claimed = inbox.claim(10).await.unwrap();
        assert_eq!(names(&claimed), [("1", 1)]);
        assert_eq!((claimed[0].attempts(), claimed[0].ordinal()), (attempt, 1));
        assert_eq!(claimed[0].order().extra()["patient"], "canary");
        // Held, it is nobody else's.
        assert!(inbox.claim(10).await.unwrap().is_empty());
        service.pass(MINUTE * 15);
    }
    let last = inbox.claim(10).await.unwrap().remove(0);
    last.acknowledge().await.unwrap();
    service.pass(HOUR);
    assert!(inbox.claim(10).await.unwrap().is_empty());
    // Neither is it delivered anew when it is listed again.
    assert_eq!(inbox.poll().await.unwrap().deliveries(), 0);
    // Whoever did not hear the first answer may say so again.
    last.acknowledge().await.unwrap();
    assert!(last.extend().await.unwrap_err().is_lease_lost());
}

#[tokio::test]
async fn who_held_it_for_too_long_is_told_so_once_somebody_else_has_it() {
    let service = Service::new();
    let inbox = service.inbox().await.claim_lease(MINUTE);
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    let slow = inbox.claim(1).await.unwrap().remove(0);
    service.pass(MINUTE);
    // Nobody else has it yet: it may still go on.
    slow.extend().await.unwrap();
    service.pass(MINUTE);
    let quick = inbox.claim(1).await.unwrap().remove(0);
    for lost in [
        slow.extend().await,
        slow.acknowledge().await,
        slow.fail("late").await,
        slow.defer(service.clock.now()).await,
    ] {
        let error = lost.unwrap_err();
        assert!(error.is_lease_lost());
        assert_eq!(error.was_sent(), Some(false));
        assert!(!error.is_retryable());
    }
    quick.acknowledge().await.unwrap();
}

#[tokio::test]
async fn deliveries_of_one_order_come_one_after_the_other() {
    let service = Service::new();
    let inbox = service.settled().await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    service.show(1, "Lab Review");
    service.show(2, "Lab Review");
    inbox.poll().await.unwrap();

    let first = inbox.claim(10).await.unwrap();
    assert_eq!(names(&first), [("1", 1), ("2", 1)]);
    // It has gone on since: the delivery says both.
    assert_eq!(first[0].reading().scenario(), Some(Scenario::DirectToLab));
    assert_eq!(
        (first[0].history().len(), first[0].full_history().len()),
        (1, 2)
    );
    assert!(inbox.claim(10).await.unwrap().is_empty());
    assert!(first[0].is_superseded() && !first[1].is_superseded());
    first[0].fail("the disk is full").await.unwrap();
    // One that failed does not hold back the next.
    let second = inbox.claim(10).await.unwrap();
    assert_eq!(names(&second), [("1", 2)]);
    service.pass(MINUTE);
    assert!(inbox.claim(10).await.unwrap().is_empty());
    second[0].acknowledge().await.unwrap();
    let again = inbox.claim(10).await.unwrap();
    assert_eq!(names(&again), [("1", 1)]);
    assert_eq!(again[0].last_failure(), Some("the disk is full"));
    assert_eq!(second[0].last_failure(), None);
    let news = second[0].arrivals_since_last_delivery().iter();
    let news: Vec<_> = news.map(|arrival| arrival.status().as_str()).collect();
    assert_eq!(news, ["Lab Review"]);
    inbox.acknowledge_all(&second).await.unwrap();
}

#[tokio::test]
async fn a_delivery_can_be_put_off_and_waits_longer_after_each_failure() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Lab Review");
    inbox.poll().await.unwrap();
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    delivery
        .defer(service.clock.now() + HOUR * 5)
        .await
        .unwrap();
    service.pass(HOUR * 5 - MINUTE);
    assert!(inbox.claim(1).await.unwrap().is_empty());
    service.pass(MINUTE);
    for minutes in [2, 4, 8] {
        let delivery = inbox.claim(1).await.unwrap().remove(0);
        delivery.fail(&"x".repeat(1_000)).await.unwrap();
        service.pass(MINUTE * minutes - MINUTE / 2);
        assert!(inbox.claim(1).await.unwrap().is_empty());
        service.pass(MINUTE / 2);
    }
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    assert_eq!(delivery.last_failure().unwrap().len(), 500);
    let stats = inbox.stats().await.unwrap();
    assert_eq!(
        (stats.store.open, stats.store.hidden, stats.store.failed),
        (1, 1, 1)
    );
    assert!(stats.oldest.unwrap() > HOUR * 5);
}

#[tokio::test]
async fn streams_poll_while_they_wait_and_show_every_arrival() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    service.show(2, "Lab Review");
    let taken: Vec<_> = inbox.deliveries().take(2).try_collect().await.unwrap();
    assert_eq!(names(&taken), [("1", 1), ("2", 1)]);
    assert_eq!(service.state().lists, 1);
    inbox.acknowledge_all(&taken).await.unwrap();

    service.show(1, "iTero Modeling");
    service.pass(HOUR);
    let mut changes = inbox.arrivals(1);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let change = changes.try_next().await.unwrap().unwrap();
        seen.push((
            change.sequence(),
            change.ordinal(),
            change.status().to_string(),
        ));
    }
    assert_eq!(
        seen,
        [
            (2, Some(1), "Lab Review".to_owned()),
            (3, None, "iTero Modeling".to_owned())
        ]
    );
    assert_eq!(service.state().lists, 2);
}

/// An order that was delivered, and returned to the doctor.
async fn returned() -> (Service, Inbox, Delivery) {
    let service = Service::new();
    let inbox = service.settled().await;
    service.with_another(&inbox).await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    delivery
        .return_to_doctor("margin not visible")
        .await
        .unwrap();
    (service, inbox, delivery)
}

#[tokio::test]
async fn returning_is_recorded_and_so_is_what_the_service_makes_of_it() {
    let (service, inbox, delivery) = returned().await;
    delivery.acknowledge().await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "FS");
    // The listing lags behind: nothing new.
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "FS");
    service.show(1, "Scanning");
    inbox.poll().await.unwrap();
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "FSF");
    let again = inbox.claim(1).await.unwrap().remove(0);
    assert_eq!(
        (again.ordinal(), again.reading().scenario()),
        (2, Some(Scenario::AfterRescan))
    );
}

/// A program that ended between the return and the acknowledgement runs its handler again: by then the
/// rescan may be here, and must not go back to the patient.
#[tokio::test]
async fn a_handler_that_runs_again_returns_nothing_a_second_time() {
    let (service, inbox, _delivery) = returned().await;
    let returns = |service: &Service| service.state().returns;
    assert_eq!(returns(&service), 1);
    service.pass(HOUR);
    let again = inbox.claim(1).await.unwrap().remove(0);
    assert_eq!((again.ordinal(), again.attempts()), (1, 2));
    again.return_to_doctor("margin not visible").await.unwrap();
    // Also one that is held, while the rescan arrives.
    service.show(1, "Scanning");
    inbox.poll().await.unwrap();
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    again.return_to_doctor("margin not visible").await.unwrap();
    assert_eq!(returns(&service), 1);
    again.acknowledge().await.unwrap();
    let rescan = inbox.claim(1).await.unwrap().remove(0);
    assert_eq!(rescan.ordinal(), 2);
    rescan.return_to_doctor("margin not visible").await.unwrap();
    assert_eq!(returns(&service), 2);
}

#[tokio::test]
async fn a_return_of_which_nobody_knows_is_looked_at() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    service.state().outage = Some(http::StatusCode::BAD_GATEWAY);
    assert!(delivery.return_to_doctor("x").await.is_err());
    assert_eq!(symbols(&inbox, "1").await, "F");
    service.state().outage = None;
    service.show(1, "Scanning");
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "FS");
}

#[tokio::test]
async fn two_inboxes_on_one_store_hand_out_each_delivery_once() {
    let service = Service::new();
    let store = MemoryStore::new();
    let (one, other) = (
        service.inbox_on(store.clone()).await,
        service.inbox_on(store).await,
    );
    for number in 0..50 {
        service.show(number, "Ready for Download");
    }
    let (first, second) = futures_util::join!(one.poll(), other.poll());
    assert_eq!(
        first.unwrap().deliveries() + second.unwrap().deliveries(),
        50
    );
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let (some, more) = futures_util::join!(one.claim(3), other.claim(3));
        let claimed = [some.unwrap(), more.unwrap()].concat();
        if claimed.is_empty() {
            break;
        }
        for delivery in claimed {
            assert!(seen.insert(delivery.order_id().clone()));
        }
    }
    assert_eq!(seen.len(), 50);
}

#[tokio::test]
async fn a_stream_goes_on_after_an_error() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    service.state().outage = Some(http::StatusCode::FORBIDDEN);
    let mut deliveries = inbox.deliveries();
    let error = deliveries.try_next().await.unwrap_err();
    assert!(error.is_forbidden());
    // The next round is due after the interval.
    service.state().outage = None;
    service.pass(HOUR);
    let delivery = deliveries.try_next().await.unwrap().unwrap();
    assert_eq!(delivery.order_id().as_str(), "1");
}

#[tokio::test]
async fn an_outage_ends_no_stream_and_is_counted() {
    let service = Service::hasty();
    service.state().outage = Some(http::StatusCode::BAD_REQUEST);
    service.show(1, "Ready for Download");
    let repaired = service.clone();
    let failures = std::sync::atomic::AtomicUsize::new(0);
    let inbox = service.inbox().await.on_round(move |round| {
        let error = round.as_ref().err();
        if error.is_some() && failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2 {
            repaired.state().outage = None;
        }
    });
    inbox.poll().await.unwrap_err();
    let stats = inbox.stats().await.unwrap();
    assert_eq!(
        (stats.polls, stats.failed_polls, stats.since_good_poll),
        (0, 1, None)
    );
    assert!(stats.last_error.unwrap().contains("400"));
    let delivery = inbox.deliveries().try_next().await.unwrap().unwrap();
    assert_eq!(delivery.order_id().as_str(), "1");
    let stats = inbox.stats().await.unwrap();
    assert_eq!(
        (stats.polls, stats.failed_polls, stats.last_error),
        (1, 3, None)
    );
}

#[tokio::test]
async fn data_are_forgotten_and_the_case_is_still_known() {
    let service = Service::new();
    let inbox = service.settled().await;
    service.show(1, "Ready for Download");
    service.show(2, "Ready for Download");
    inbox.poll().await.unwrap();
    let later = service.clock.now() + HOUR;
    // Both are listed and open.
    assert_eq!(inbox.forget_before(later).await.unwrap(), 0);
    let taken = inbox.claim(2).await.unwrap();
    taken[0].acknowledge().await.unwrap();
    service.show(1, "Downloaded");
    service.show(2, "Downloaded");
    inbox.poll().await.unwrap();
    inbox.poll().await.unwrap();
    assert_eq!(inbox.forget_before(later).await.unwrap(), 1);
    assert!(!inbox.forget(&"1".into()).await.unwrap());
    let changes = inbox.arrivals_after(0, 10).await.unwrap();
    let with_data: Vec<_> = changes
        .iter()
        .map(|change| change.order().is_some())
        .collect();
    assert_eq!(with_data, [false, true, false, true]);
    assert_eq!(symbols(&inbox, "1").await, "FD");

    // It comes again, as its second delivery, with its data.
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    let again = inbox.claim(1).await.unwrap().remove(0);
    assert_eq!(
        (again.ordinal(), again.reading().scenario()),
        (2, Some(Scenario::AfterRescan))
    );
    assert_eq!(again.order().extra()["patient"], "canary");
}

#[tokio::test]
async fn a_changed_prescription_is_no_arrival_and_is_what_the_next_claim_shows() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show_more(1, "Lab Review", json!({ "notes": "shade A2" }));
    inbox.poll().await.unwrap();
    service.show_more(1, "Lab Review", json!({ "notes": "shade A3" }));
    let round = inbox.poll().await.unwrap();
    assert_eq!((round.deliveries(), round.changes()), (0, 0));
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    assert_eq!(delivery.order().extra()["notes"], "shade A3");
}
