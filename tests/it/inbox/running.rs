//! Rounds at an interval: woken by hints, by one process at a time, stopped cleanly.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, TryStreamExt};
use lab_connector::inbox::{CaseStore, Inbox, MemoryStore};
use tokio::sync::oneshot;

use super::{HOUR, Service, notification, symbols};
use lab_connector::clock::Clock;

/// Runs an inbox until `when` is true.
async fn run_until(inbox: &Inbox, mut when: impl FnMut() -> bool + Send) {
    let stop = async move {
        while !when() {
            tokio::task::yield_now().await;
        }
    };
    inbox.run_until(stop).await.unwrap();
}

/// Runs an inbox and drops it when it has done what is due and waits.
pub(super) async fn dropped_after_a_turn(inbox: &Inbox) {
    let mut running = std::pin::pin!(inbox.run());
    for _ in 0..1_000 {
        assert!(running.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn it_polls_at_the_interval_with_some_chance() {
    let service = Service::new();
    let inbox = service.inbox().await.interval(Duration::from_secs(50));
    let begun = service.clock.now();
    // The clock of the tests lets short waits end at once.
    run_until(&inbox, || service.state().lists >= 20).await;
    let waited = service.clock.now().duration_since(begun).unwrap();
    assert!(waited >= Duration::from_secs(19 * 50), "{waited:?}");
    assert!(waited <= Duration::from_secs(21 * 56), "{waited:?}");
}

#[tokio::test]
async fn the_first_polls_of_many_are_spread_and_hints_do_not_wait_for_them() {
    let mut waited = Vec::new();
    for _ in 0..20 {
        let service = Service::new();
        let inbox = service.inbox().await;
        let inbox = inbox.initial_jitter(Duration::from_secs(50));
        let begun = service.clock.now();
        run_until(&inbox, || service.state().lists == 1).await;
        waited.push(service.clock.now().duration_since(begun).unwrap());
    }
    waited.sort_unstable();
    assert!(waited[19] < Duration::from_secs(51), "{waited:?}");
    assert!(
        waited[19] - waited[0] > Duration::from_secs(10),
        "{waited:?}"
    );

    let service = Service::new();
    service.show(1, "Lab Review");
    let inbox = service.inbox().await;
    let inbox = inbox.initial_jitter(100_000 * HOUR);
    inbox.notify(&notification("rx-1"));
    let delivery = inbox.deliveries().try_next().await.unwrap().unwrap();
    assert_eq!(delivery.order_id().as_str(), "1");
    assert_eq!(service.state().lists, 0);
}

#[tokio::test]
async fn a_hint_wakes_it_without_a_listing() {
    let service = Service::new();
    service.show(1, "Lab Review");
    let inbox = service.inbox().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.run_until(stopped.map(drop)).await }
    });
    while service.state().lists == 0 || inbox.stats().await.unwrap().polls == 0 {
        tokio::task::yield_now().await;
    }
    service.show(1, "iTero Milling");
    inbox.notify(&notification("rx-1"));
    while symbols(&inbox, "1").await != "RI" {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.state().lists, 1);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_of_two_processes_polls_and_the_other_takes_over() {
    let service = Service::new();
    let store = MemoryStore::new();
    let one = service.inbox_on(store.clone()).await;
    let other = service.inbox_on(store.clone()).await;
    let account = one.lab().id().clone();
    let polls = async |inbox: &Inbox| inbox.stats().await.unwrap().polls;

    // Dropped, it keeps its lease until that ends.
    dropped_after_a_turn(&one).await;
    assert_eq!(polls(&one).await, 1);
    dropped_after_a_turn(&other).await;
    assert_eq!(polls(&other).await, 0);
    service.pass(Duration::from_secs(13 * 60));
    dropped_after_a_turn(&other).await;
    assert_eq!(polls(&other).await, 1);
    // Stopped, it gives the lease back.
    let now = service.clock.now();
    assert!(
        !store
            .lease(&account, "third", Duration::ZERO, now)
            .await
            .unwrap()
    );
    other.run_until(async {}).await.unwrap();
    assert!(
        store
            .lease(&account, "third", Duration::ZERO, now)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn it_ends_when_somebody_has_to_act() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.state().outage = Some(http::StatusCode::FORBIDDEN);
    assert!(inbox.run().await.unwrap_err().is_forbidden());
}

#[tokio::test]
async fn rounds_are_observed_good_or_bad() {
    let service = Service::new();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let inbox = service
        .inbox()
        .await
        .on_poll(move |round| told.lock().unwrap().push(round.is_ok()));
    inbox.poll().await.unwrap();
    service.state().outage = Some(http::StatusCode::BAD_REQUEST);
    inbox.poll().await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [true, false]);
}
