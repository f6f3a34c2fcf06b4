//! The loop that a lab's software runs, in bad nights.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use http::StatusCode;
use lab_connector::auth::Tokens;
use lab_connector::clock::Clock;
use lab_connector::inbox::{Delivery, HandlerResult, MemoryStore, PollState};
use lab_connector::{MemoryTokenStore, TokenStore};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{HOUR, Service, symbols};
use crate::support::{account, tokens};

const MINUTE: Duration = Duration::from_secs(60);

/// Gives way until something is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..100_000 {
        if is_so().await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to be");
}

#[tokio::test]
async fn what_fails_or_panics_comes_again_with_growing_delay_and_the_rest_goes_on() {
    let service = Service::new();
    let inbox = service.inbox().await;
    for number in 1..=3 {
        service.show(number, "Ready for Download");
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let handler = move |delivery: Delivery| {
        let tell = tell.clone();
        async move {
            let name = delivery.order_id().as_str().to_owned();
            let failure = delivery.last_failure().map(str::to_owned);
            tell.send((name.clone(), delivery.attempts(), failure))?;
            match (&*name, delivery.attempts()) {
                ("1", 1..=2) => Err(std::io::Error::other("the disk is full").into()),
                ("2", 1) => panic!("a bug"),
                _ => Ok(()),
            }
        }
    };
    let running = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.for_each_until(stopped.map(drop), handler).await }
    });
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(told.recv().await.unwrap());
    }
    let attempt = |name: &str, attempts, failure: Option<&str>| {
        (name.to_owned(), attempts, failure.map(str::to_owned))
    };
    let all = ["1", "2", "3"].map(|name| attempt(name, 1, None));
    assert_eq!(first, all);
    until(async || inbox.stats().await.unwrap().store.failed == 2).await;
    assert_eq!(inbox.stats().await.unwrap().store.open, 2);
    service.pass(MINUTE);
    let mut second = [told.recv().await.unwrap(), told.recv().await.unwrap()];
    second.sort();
    assert_eq!(second[0], attempt("1", 2, Some("the disk is full")));
    let bug = Some("the handler panicked: a bug");
    assert_eq!(second[1], attempt("2", 2, bug));
    // Twice as long.
    until(async || inbox.stats().await.unwrap().store.open == 1).await;
    service.pass(MINUTE);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(told.try_recv().is_err());
    service.pass(MINUTE);
    assert_eq!(told.recv().await.unwrap().1, 3);
    until(async || inbox.stats().await.unwrap().store.open == 0).await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_goes_on_through_what_can_heal_and_says_what_it_is() {
    let service = Service::new();
    let inbox = service.inbox().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let inbox = inbox.clone();
        let done = |_: Delivery| async { HandlerResult::Ok(()) };
        async move { inbox.for_each_until(stopped.map(drop), done).await }
    });
    until(async || inbox.stats().await.unwrap().poll_state == PollState::Good).await;
    for (status, state) in [
        (StatusCode::INTERNAL_SERVER_ERROR, PollState::Failing),
        (StatusCode::FORBIDDEN, PollState::NotPaired),
        (StatusCode::BAD_REQUEST, PollState::Failing),
    ] {
        service.state().outage = Some(status);
        let failed = inbox.stats().await.unwrap().failed_polls;
        until(async || {
            service.pass(MINUTE);
            inbox.stats().await.unwrap().failed_polls > failed
        })
        .await;
        let stats = inbox.stats().await.unwrap();
        assert_eq!(stats.poll_state, state);
        assert!(stats.last_error.is_some());
    }
    service.state().outage = None;
    service.show(1, "Lab Review");
    until(async || {
        service.pass(MINUTE);
        let counts = inbox.stats().await.unwrap().store;
        counts.arrivals == 1 && counts.open == 0
    })
    .await;
    assert_eq!(symbols(&inbox, "1").await, "R");
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_goes_on_when_somebody_has_signed_in_again() {
    let service = Service::new();
    let store = Arc::new(MemoryTokenStore::new());
    let short = tokens(&service.clock, 60);
    assert!(store.swap(&account(), None, &short).await.unwrap());
    let inbox = service
        .lab_with(Arc::clone(&store))
        .inbox(MemoryStore::new());
    service.show(1, "Lab Review");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let inbox = inbox.clone();
        let done = |_: Delivery| async { HandlerResult::Ok(()) };
        async move { inbox.for_each_until(stopped.map(drop), done).await }
    });
    until(async || {
        service.pass(MINUTE);
        inbox.stats().await.unwrap().poll_state == PollState::NotPaired
    })
    .await;
    assert_eq!(inbox.stats().await.unwrap().store.arrivals, 0);
    // Another process has signed in, or somebody at a desk.
    let json = store.load(&account()).await.unwrap().unwrap().expose_json();
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json["generation"] = 2.into();
    json["access_token"] = "access-2".into();
    json["expires_at"] = 4_000_000_000_u64.into();
    let fresh = Tokens::from_json(&json.to_string()).unwrap();
    assert!(store.swap(&account(), Some(1), &fresh).await.unwrap());
    until(async || {
        service.pass(MINUTE);
        inbox.stats().await.unwrap().store.arrivals == 1
    })
    .await;
    assert_eq!(inbox.stats().await.unwrap().poll_state, PollState::Good);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_delivery_is_held_for_as_long_as_its_handler_takes_and_others_go_on_beside_it() {
    let service = Service::new();
    let store = MemoryStore::new();
    let inbox = service.inbox_on(store.clone()).await.claim_lease(MINUTE);
    for number in 1..=2 {
        service.show(number, "Ready for Download");
    }
    let (begun, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let (inbox, begun, go_on) = (inbox.clone(), Arc::clone(&begun), Arc::clone(&go_on));
        let handler = move |delivery: Delivery| {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                if delivery.order_id().as_str() == "1" {
                    go_on.notified().await;
                }
                Ok(())
            }
        };
        async move {
            let inbox = inbox.concurrency(2);
            inbox.for_each_until(stopped.map(drop), handler).await
        }
    });
    until(async || begun.load(Ordering::SeqCst) == 2).await;
    // Far beyond the lease, and nobody else gets it.
    for _ in 0..50 {
        service.pass(MINUTE / 4);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert!(inbox.claim(10).await.unwrap().is_empty());
    }
    // Asked to end, it waits for what is under way.
    stop.send(()).unwrap();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!running.is_finished());
    go_on.notify_one();
    running.await.unwrap().unwrap();
    assert_eq!(inbox.stats().await.unwrap().store.open, 0);
}

#[tokio::test]
async fn a_machine_that_slept_goes_on_with_the_handlers_that_it_has() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    let (begun, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let (inbox, begun, go_on) = (inbox.clone(), Arc::clone(&begun), Arc::clone(&go_on));
        let handler = move |_: Delivery| {
            begun.fetch_add(1, Ordering::SeqCst);
            let go_on = Arc::clone(&go_on);
            async move {
                go_on.notified().await;
                Ok(())
            }
        };
        async move {
            let inbox = inbox.concurrency(2);
            inbox.for_each_until(stopped.map(drop), handler).await
        }
    });
    until(async || begun.load(Ordering::SeqCst) == 1).await;
    for _ in 0..3 {
        // The time of day goes on, and no wait within the process ends: its lease is over before it is
        // made longer.
        service.clock.set_ahead(HOUR);
        for _ in 0..30 {
            service.pass(Duration::from_secs(1));
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
        }
    }
    assert_eq!(begun.load(Ordering::SeqCst), 1);
    // Whoever is second finds it held, and what the handler says counts.
    assert!(inbox.claim(1).await.unwrap().is_empty());
    go_on.notify_one();
    until(async || inbox.stats().await.unwrap().store.open == 0).await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_handler_gave_back_is_another_handlers_although_it_is_not_through() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    let (tell, mut told) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let (inbox, go_on, clock) = (inbox.clone(), Arc::clone(&go_on), service.clock.clone());
        let handler = move |delivery: Delivery| {
            let (tell, go_on, clock) = (tell.clone(), Arc::clone(&go_on), clock.clone());
            async move {
                tell.send(delivery.attempts())?;
                if delivery.attempts() == 1 {
                    delivery.defer(clock.now()).await?;
                    go_on.notified().await;
                    return Ok(());
                }
                std::future::pending().await
            }
        };
        async move {
            let inbox = inbox.concurrency(2).grace(Duration::ZERO);
            inbox.for_each_until(stopped.map(drop), handler).await
        }
    });
    assert_eq!(told.recv().await, Some(1));
    assert_eq!(told.recv().await, Some(2));
    // That the first one is through must not acknowledge it for the second.
    go_on.notify_one();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(inbox.stats().await.unwrap().store.open, 1);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    // And the second is given back.
    assert_eq!(inbox.claim(1).await.unwrap()[0].attempts(), 3);
}

#[tokio::test]
async fn what_is_asked_for_by_hand_is_another_handlers_although_the_first_is_not_through() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    let (tell, mut told) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let (inbox, go_on) = (inbox.clone(), Arc::clone(&go_on));
        let handler = move |delivery: Delivery| {
            let (tell, go_on) = (tell.clone(), Arc::clone(&go_on));
            async move {
                tell.send(delivery.is_repeated())?;
                if delivery.is_repeated() {
                    std::future::pending::<()>().await;
                }
                go_on.notified().await;
                Ok(())
            }
        };
        async move {
            let inbox = inbox.concurrency(2).grace(Duration::ZERO);
            inbox.for_each_until(stopped.map(drop), handler).await
        }
    });
    assert_eq!(told.recv().await, Some(false));
    assert!(inbox.redeliver(&"1".into()).await.unwrap());
    until(async || {
        service.pass(Duration::from_secs(1));
        told.try_recv() == Ok(true)
    })
    .await;
    // The first one's result is of what nobody waits for any more.
    go_on.notify_one();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(inbox.stats().await.unwrap().store.open, 1);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_takes_too_long_at_the_end_is_given_back_and_so_is_the_right_to_poll() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    let (stop, stopped) = oneshot::channel::<()>();
    let begun = Arc::new(Notify::new());
    let running = tokio::spawn({
        let (inbox, begun) = (inbox.clone(), Arc::clone(&begun));
        let handler = move |_: Delivery| {
            begun.notify_one();
            async {
                std::future::pending::<()>().await;
                Ok(())
            }
        };
        async move {
            let inbox = inbox.grace(MINUTE);
            inbox.for_each_until(stopped.map(drop), handler).await
        }
    });
    begun.notified().await;
    stop.send(()).unwrap();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!running.is_finished());
    service.pass(MINUTE);
    running.await.unwrap().unwrap();
    let again = inbox.claim(1).await.unwrap();
    assert_eq!(again[0].attempts(), 2);
    let polled_by = inbox.stats().await.unwrap().polled_by;
    assert_eq!(polled_by, None);
}

#[tokio::test]
async fn what_cannot_heal_ends_it() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    let client = lab_connector::Client::builder()
        .endpoints(lab_connector::Endpoints::from_base_url("https://service.example/").unwrap())
        .credentials("a", "b")
        .build()
        .unwrap();
    // Nobody has signed in, which can heal; that no store is there cannot.
    let broken = super::running::broken_store();
    let inbox = client.account("account-77").inbox(broken);
    let error = inbox.for_each(|_| async { Ok(()) }).await.unwrap_err();
    assert!(error.is_store() && !error.is_retryable());
}

#[tokio::test]
async fn an_order_is_delivered_again_by_hand() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    assert!(!inbox.redeliver(&"2".into()).await.unwrap());
    let first = inbox.claim(1).await.unwrap().remove(0);
    assert!(!first.is_repeated());
    first.acknowledge().await.unwrap();
    assert!(inbox.redeliver(&"1".into()).await.unwrap());
    let again = inbox.claim(1).await.unwrap().remove(0);
    assert!(again.is_repeated());
    assert_eq!((again.ordinal(), again.attempts()), (1, 1));
    assert_eq!(symbols(&inbox, "1").await, "F");
    again.acknowledge().await.unwrap();

    // Whose data are gone cannot be worked on.
    service.with_another(&inbox).await;
    service.show(1, "Downloaded");
    inbox.poll().await.unwrap();
    let order = "1".into();
    assert!(inbox.forget(&order).await.unwrap());
    let error = inbox.redeliver(&order).await.unwrap_err();
    assert!(error.is_configuration(), "{error}");
}

#[tokio::test]
async fn a_case_that_is_given_up_is_counted_listed_and_comes_back() {
    use futures_util::TryStreamExt;

    let service = Service::new();
    let inbox = service.inbox().await;
    service.with_another(&inbox).await;
    service.show(1, "Lab Review");
    inbox.poll().await.unwrap();
    service.show(1, "iTero Milling");
    for _ in 0..100 {
        service.pass(HOUR * 30);
        inbox.poll().await.unwrap();
    }
    let stats = inbox.stats().await.unwrap();
    assert_eq!((stats.store.given_up, stats.store.due), (1, 0));
    let given_up: Vec<_> = inbox.given_up().try_collect().await.unwrap();
    assert_eq!(given_up[0].order_id, "1".into());
    let fetched = service.state().looks.len();
    service.pass(HOUR * 300);
    inbox.poll().await.unwrap();
    assert_eq!(service.state().looks.len(), fetched);
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "RIF");
    assert_eq!(inbox.stats().await.unwrap().store.given_up, 0);
}

#[tokio::test]
async fn orders_whose_fetch_fails_do_not_hold_up_those_behind_them() {
    let service = Service::new();
    let inbox = service.inbox().await.max_fetches_per_poll(10);
    service.with_another(&inbox).await;
    for number in 1..=60 {
        service.show(number, "Ready for Download");
    }
    inbox.poll().await.unwrap();
    for number in 1..=60 {
        service.show(number, "Scanning");
    }
    service.state().broken = (1..=50).map(|number| format!("rx-{number}")).collect();
    for _ in 0..12 {
        service.pass(MINUTE * 5);
        inbox.poll().await.unwrap();
    }
    for number in 51..=60 {
        assert_eq!(symbols(&inbox, &number.to_string()).await, "FS");
    }
    // A rescan is delivered, whatever becomes of the others: at the latest when a second listing
    // agrees.
    service.show(60, "Ready for Download");
    inbox.poll().await.unwrap();
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "60").await, "FSF");
}

#[tokio::test]
async fn a_machine_that_was_suspended_polls_when_it_wakes() {
    let service = Service::new();
    let inbox = service.inbox().await;
    inbox.run_until(async {}).await.unwrap();
    // The time of day goes on, and elapsed time does not.
    service.clock.set_ahead(HOUR);
    inbox.run_until(async {}).await.unwrap();
    assert_eq!(service.state().lists, 2);
}

/// Fetches wait by elapsed time: a clock that stands still, as in a virtual machine, delays none.
#[tokio::test]
async fn a_clock_that_stands_still_stops_no_watch() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.with_another(&inbox).await;
    service.show(1, "Lab Review");
    inbox.poll().await.unwrap();
    service.show(1, "iTero Milling");
    inbox.poll().await.unwrap();
    let looks = service.state().looks.len();
    for _ in 0..4 * 12 {
        service.pass(MINUTE * 5);
        service.clock.set_back(MINUTE * 5);
        inbox.poll().await.unwrap();
    }
    // About once an hour.
    let looks = service.state().looks.len() - looks;
    assert!((3..=4).contains(&looks), "{looks}");
}

#[tokio::test]
async fn an_answer_about_another_order_is_a_hint_for_that_and_a_failure_of_this() {
    use lab_connector::inbox::ProblemKind;
    use serde_json::json;

    let service = Service::new();
    let inbox = service.inbox().await;
    service.with_another(&inbox).await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    service.remove(1);
    let other = json!({ "orderId": 7, "rxId": "rx-1", "status": "Lab Review" });
    let is_fetched = json!({ "orderId": 7, "rxId": "rx-7", "status": "Scanning" });
    service.state().orders.insert(70, other);
    service.state().orders.insert(71, is_fetched);
    service.state().hidden = vec![70];
    let round = inbox.poll().await.unwrap();
    assert_eq!(super::kinds(&round), [ProblemKind::OtherOrder]);
    assert_eq!(symbols(&inbox, "1").await, "F");
    assert!(inbox.history(&"7".into()).await.unwrap().is_none());
}

/// Many notifications, known and unknown, in ten seconds.
#[tokio::test]
async fn a_flood_of_notifications_costs_a_listing_a_minute_and_a_few_fetches() {
    use super::notification;

    let service = Service::hasty();
    let inbox = service.inbox().await;
    for number in 1..=500 {
        service.show(number, "Ready for Download");
    }
    inbox.run_until(async {}).await.unwrap();
    service.pass(MINUTE * 2);
    let lists = service.state().lists;
    for second in 0..10 {
        for one in 0..1_000 {
            let number = second * 1_000 + one;
            let rx_id = match number % 2 {
                0 => format!("rx-{}", number % 500 + 1),
                _ => format!("forged-{number}"),
            };
            inbox.notify(&notification(&rx_id));
        }
        inbox.run_until(async {}).await.unwrap();
        service.pass(Duration::from_secs(1));
    }
    assert!(
        service.state().looks.len() <= 40,
        "{:?}",
        service.state().looks.len()
    );
    assert!(service.state().lists - lists <= 2);
}

/// A program may spawn the loop, with a handler that borrows what is of the task.
#[tokio::test]
async fn the_loop_can_be_spawned_with_a_handler_that_borrows() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    let (done, worked) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let desk = String::from("front desk");
        let done = std::sync::Mutex::new(Some(done));
        let work = inbox.for_each_until(worked.map(drop), |delivery| {
            let (desk, done) = (&desk, &done);
            async move {
                assert_eq!(
                    (delivery.order_id().as_str(), desk.as_str()),
                    ("1", "front desk")
                );
                drop(done.lock().unwrap().take());
                Ok(())
            }
        });
        work.await
    });
    task.await.unwrap().unwrap();
}
