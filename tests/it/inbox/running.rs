//! Rounds at an interval: woken by hints, by one process at a time, stopped cleanly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, TryStreamExt};
use lab_connector::Error;
use lab_connector::inbox::store::{Poller, PostgresStore};
use lab_connector::inbox::{CaseStore, Inbox, MemoryStore};
use lab_connector::simulator::Behaviour;
use tokio::sync::{mpsc, oneshot};

use super::hooked_store::{Call, Hook, HookedStore};
use super::{HOUR, Service, notification, symbols};
use crate::own_postgres::Cluster;
use lab_connector::clock::Clock;

/// For how long a process has the right to poll.
const LEASE: Duration = Duration::from_secs(45);

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
    let service = Service::hasty();
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
        let service = Service::hasty();
        let inbox = service.inbox().await;
        let inbox = inbox.initial_jitter(Duration::from_secs(50));
        let begun = service.clock.now();
        run_until(&inbox, || service.state().lists == 1).await;
        waited.push(service.clock.now().duration_since(begun).unwrap());
    }
    waited.sort_unstable();
    // While the first poll is under way the right to poll is renewed once, which takes time here.
    assert!(waited[19] < Duration::from_secs(51 + 15), "{waited:?}");
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

/// What another process is told that asks for the right to poll.
async fn another_asks(store: &MemoryStore, inbox: &Inbox, service: &Service) -> Option<Poller> {
    let (account, now) = (inbox.lab().id(), service.clock.now());
    let asked = store.poll_right(account, "another", LEASE, now);
    asked.await.unwrap()
}

/// Until another process has the right to poll; a right that is given back is had without any time
/// passing.
async fn another_takes_over(store: &MemoryStore, inbox: &Inbox, service: &Service) {
    while another_asks(store, inbox, service).await.is_some() {
        tokio::task::yield_now().await;
    }
}

async fn polls(inbox: &Inbox) -> u64 {
    inbox.stats().await.unwrap().polls
}

#[tokio::test]
async fn after_a_kill_another_process_polls_within_a_minute_whatever_the_interval() {
    let service = Service::new();
    let store = MemoryStore::new();
    let inbox = service.inbox_on(store.clone()).await.interval(24 * HOUR);
    assert_eq!(inbox.stats().await.unwrap().polled_by, None);
    let granted = another_asks(&store, &inbox, &service).await;
    assert_eq!(granted, None);
    let killed = service.clock.now();

    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.run_until(stopped.map(drop)).await }
    });
    let until = killed + LEASE;
    let stats = inbox.stats().await.unwrap();
    assert_eq!(stats.polled_by, Some(Poller::new("another", until)));
    while polls(&inbox).await == 0 {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        service.pass(Duration::from_secs(1));
    }
    let waited = service.clock.now().duration_since(killed).unwrap();
    assert!(waited >= LEASE - Duration::from_secs(1), "{waited:?}");
    assert!(waited <= Duration::from_secs(61), "{waited:?}");
    let stats = inbox.stats().await.unwrap();
    assert!(stats.polled_by.unwrap().is_this_process());

    // It keeps the right for as long as it lives, also through a long poll.
    for _ in 0..600 {
        service.pass(Duration::from_secs(1));
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let right = another_asks(&store, &inbox, &service).await;
        assert!(right.is_some_and(|other| !other.process.is_empty()));
    }
    assert_eq!(polls(&inbox).await, 1);

    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    let granted = another_asks(&store, &inbox, &service).await;
    assert_eq!(granted, None);
}

#[tokio::test]
async fn whatever_ends_gives_the_right_to_poll_back_at_once() {
    let service = Service::new();
    service.show(1, "Lab Review");
    let store = MemoryStore::new();
    let inbox = service.inbox_on(store.clone()).await;
    let account = inbox.lab().id().clone();

    dropped_after_a_turn(&inbox).await;
    another_takes_over(&store, &inbox, &service).await;
    store.release_poll_right(&account, "another").await.unwrap();
    service.pass(HOUR);

    let mut deliveries = inbox.deliveries();
    deliveries.try_next().await.unwrap().unwrap();
    let held = another_asks(&store, &inbox, &service).await;
    assert_ne!(held, None);
    // Of two that poll the last one gives it back.
    let arrivals = inbox.arrivals(0);
    drop(deliveries);
    tokio::task::yield_now().await;
    let held = another_asks(&store, &inbox, &service).await;
    assert_ne!(held, None);
    drop(arrivals);
    another_takes_over(&store, &inbox, &service).await;
    store.release_poll_right(&account, "another").await.unwrap();
    service.pass(HOUR);

    // An error ends it too.
    service.state().outage = Some(http::StatusCode::FORBIDDEN);
    inbox.run().await.unwrap_err();
    another_takes_over(&store, &inbox, &service).await;
}

#[tokio::test]
async fn how_far_listings_go_is_written_hourly_and_at_the_end() {
    let service = Service::new();
    let store = MemoryStore::new();
    let inbox = service.inbox_on(store.clone()).await;
    let last = async || {
        let state = store.account(inbox.lab().id(), service.clock.now());
        let coverage = serde_json::to_value(state.await.unwrap().coverage).unwrap();
        coverage["last"].as_u64().unwrap()
    };
    inbox.poll().await.unwrap();
    let first = last().await;
    let mut written = std::collections::BTreeSet::new();
    for _ in 0..36 {
        service.pass(Duration::from_secs(5 * 60));
        inbox.poll().await.unwrap();
        written.insert(last().await);
    }
    // The first, and one for each hour since.
    assert_eq!(written.len(), 4, "{written:?}");
    service.pass(Duration::from_secs(5 * 60));
    inbox.run_until(async {}).await.unwrap();
    let end = last().await;
    assert!(end - first > 3 * 60 * 60 * 1000, "{}", end - first);
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_nothing() {
    let service = Service::new();
    let inbox = service.inbox().await;
    inbox.run_until(async {}).await.unwrap();
    assert_eq!(service.state().lists, 1);
    service.clock.set_back(24 * HOUR);
    inbox.run_until(async {}).await.unwrap();
    assert_eq!(service.state().lists, 1);
    // The interval, and up to a tenth more.
    service.pass(Duration::from_secs(331));
    inbox.run_until(async {}).await.unwrap();
    assert_eq!(service.state().lists, 2);
}

/// What becomes of a store that is not there for some calls.
#[derive(Debug)]
struct Flaky {
    /// So many calls fail.
    failures: AtomicUsize,
    lasting: bool,
}

impl Flaky {
    fn store(failures: usize, lasting: bool) -> HookedStore<Flaky> {
        HookedStore::new(Flaky {
            failures: failures.into(),
            lasting,
        })
    }
}

/// A store that fails for good.
pub(super) fn broken_store() -> impl CaseStore + 'static {
    Flaky::store(usize::MAX, true)
}

impl Hook for Flaky {
    fn before(&self, _: Call) -> Result<(), Error> {
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            return Ok(());
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        Err(if self.lasting {
            Error::store("no permission")
        } else {
            Error::store_unavailable("no connection")
        })
    }
}

#[tokio::test]
async fn it_goes_on_through_failures_of_the_store_that_pass_and_no_others() {
    for failures in 1..=12 {
        // Time passes by itself while it waits.
        let service = Service::hasty();
        service.show(1, "Lab Review");
        let store = Arc::new(Flaky::store(failures, false));
        let inbox = service.inbox_on(Arc::clone(&store)).await;
        let begun = service.clock.now();
        let delivery = inbox.deliveries().try_next().await.unwrap().unwrap();
        assert_eq!(delivery.order_id().as_str(), "1");
        let stats = inbox.stats().await.unwrap();
        // Some of them may have failed a poll.
        assert!(stats.store_failures > 0 && stats.store_failures <= failures as u64);
        let waited = service.clock.now().duration_since(begun).unwrap();
        assert!(waited >= Duration::from_millis(500), "{waited:?}");

        store.hook.failures.store(failures, Ordering::SeqCst);
        let arrival = inbox.arrivals(0).try_next().await.unwrap().unwrap();
        assert_eq!(arrival.sequence(), 1);
        service.pass(HOUR);
        store.hook.failures.store(failures, Ordering::SeqCst);
        run_until(&inbox, || store.hook.failures.load(Ordering::SeqCst) == 0).await;
    }

    let service = Service::hasty();
    let store = Arc::new(Flaky::store(1, true));
    let inbox = service.inbox_on(Arc::clone(&store)).await;
    let error = inbox.deliveries().try_next().await.unwrap_err();
    assert!(error.is_store() && !error.is_retryable(), "{error}");
    store.hook.failures.store(1, Ordering::SeqCst);
    let error = inbox.run().await.unwrap_err();
    assert!(error.is_store() && !error.is_retryable(), "{error}");
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
        .on_round(move |round| told.lock().unwrap().push(round.is_ok()));
    inbox.poll().await.unwrap();
    service.state().outage = Some(http::StatusCode::BAD_REQUEST);
    inbox.poll().await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), [true, false]);
}

/// The database stops, is killed, and comes back under a running loop: nothing ends it, nothing is lost,
/// and nothing is done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_goes_on_when_its_database_was_away() {
    let Some(cluster) = Cluster::start("a_loop_goes_on_when_its_database_was_away") else {
        return;
    };
    let (service, lab) = crate::simulator::behaviour::paired(Behaviour::default())
        .await
        .unwrap();
    let store = PostgresStore::connect(&cluster.url).await.unwrap();
    let inbox = lab
        .inbox(store)
        .interval(Duration::from_secs(1))
        .claim_lease(Duration::from_secs(1));
    let (done, mut told) = mpsc::unbounded_channel();
    let working = inbox.clone();
    let worker = tokio::spawn(async move {
        let mut deliveries = working.deliveries();
        while let Some(delivery) = deliveries.try_next().await.unwrap() {
            // An answer that was lost may have said that it is done: then it is nobody's any more.
            while let Err(error) = delivery.acknowledge().await {
                if error.is_lease_lost() {
                    break;
                }
                assert!(error.is_retryable(), "{error:?}");
                tokio::task::yield_now().await;
            }
            done.send(delivery.order_id().clone()).unwrap();
        }
    });
    let mut expected = Vec::new();
    let mut seen = Vec::new();
    for round in 0..3 {
        let order = service.scan("L-1").unwrap();
        match round {
            0 => {}
            1 => cluster.stop(),
            _ => cluster.kill(),
        }
        if round > 0 {
            cluster.again();
        }
        while !seen.contains(&order) {
            let next = tokio::time::timeout(Duration::from_secs(90), told.recv());
            seen.push(next.await.expect("the loop stands still").unwrap());
        }
        expected.push(order);
    }
    worker.abort();
    assert_eq!(seen, expected);
    let counts = inbox.stats().await.unwrap().store;
    assert_eq!((counts.cases, counts.open), (3, 0));
}
