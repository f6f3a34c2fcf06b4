//! What the feature `tracing` tells of an inbox: what happened, and to nobody by name.

use std::time::Duration;

use lab_connector::inbox::{CaseStore, Inbox, MemoryStore};

use lab_connector::clock::Clock;

use super::running::dropped_after_a_turn;
use super::{HOUR, Service, notification};
use crate::spans::{Fields, Seen};

/// Listens on this thread while it is kept.
fn listen() -> (Seen, tracing::subscriber::DefaultGuard) {
    let seen = Seen::default();
    let guard = tracing::subscriber::set_default(seen.clone());
    (seen, guard)
}

/// What is told of the inbox, not of its requests.
fn told(seen: &Seen) -> Vec<Fields> {
    let events = seen.take_events();
    let all = format!("{events:?}");
    for name in ["account-77", "rx-", "canary", "patient", "too small"] {
        assert!(!all.contains(name), "`{name}` in {all}");
    }
    events
}

fn messages(events: &[Fields]) -> Vec<&str> {
    let messages = events.iter().map(|event| event["message"].as_str());
    messages.collect()
}

fn fields<const N: usize>(fields: [(&str, &str); N]) -> Fields {
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Fields::from(fields)
}

async fn claimed(inbox: &Inbox) -> lab_connector::inbox::Delivery {
    inbox.claim(1).await.unwrap().pop().unwrap()
}

#[tokio::test]
async fn a_round_tells_what_it_brought_and_what_could_not_be_read() {
    let (seen, _guard) = listen();
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    service.state().unreadable = true;
    inbox.poll().await.unwrap();
    let events = told(&seen);
    assert_eq!(messages(&events), [&*events[0]["message"], "polled"]);
    let unreadable = &events[0]["message"];
    assert!(
        unreadable.starts_with("a record of the listing cannot be read: "),
        "{unreadable}"
    );
    let polled = [
        ("message", "polled"),
        ("listed", "1"),
        ("complete", "false"),
        ("fetched", "0"),
        ("deliveries", "1"),
        ("changes", "0"),
        ("deviations", "0"),
        ("problems", "1"),
    ];
    assert_eq!(events[1], fields(polled));

    service.state().outage = Some(http::StatusCode::BAD_REQUEST);
    inbox.poll().await.unwrap_err();
    let events = told(&seen);
    let failed = events.last().unwrap();
    assert_eq!(failed["message"], "the poll failed");
    assert!(failed["error"].starts_with("Get Orders: "), "{failed:?}");
}

#[tokio::test]
async fn a_case_that_deviates_is_told_with_what_it_shows() {
    let service = Service::new();
    let inbox = service.settled().await;
    for status in ["Lab Review", "Ready to Ship"] {
        service.show(1, status);
        inbox.notify(&notification("rx-1"));
        inbox.poll().await.unwrap();
    }
    let (seen, _guard) = listen();
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    let events = told(&seen);
    assert_eq!(
        messages(&events),
        ["a case deviates from the model", "polled"]
    );
    assert_eq!(events[0]["shows"], "F");
    assert_eq!(events[1]["deviations"], "1");
}

#[tokio::test]
async fn a_delivery_tells_its_life_by_its_number_in_the_log() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    let (seen, _guard) = listen();

    let slow = claimed(&inbox).await;
    slow.extend().await.unwrap();
    service.pass(HOUR);
    claimed(&inbox)
        .await
        .fail("the scan is too small")
        .await
        .unwrap();
    slow.acknowledge().await.unwrap_err();
    service.pass(HOUR);
    let time = service.clock.now() + HOUR;
    claimed(&inbox).await.defer(time).await.unwrap();
    service.pass(HOUR);
    let last = claimed(&inbox).await;
    last.acknowledge().await.unwrap();

    let events = told(&seen);
    assert_eq!(
        messages(&events),
        [
            "a delivery is claimed",
            "a delivery is held for longer",
            "a delivery is claimed",
            "a delivery failed",
            "a delivery was held for too long",
            "a delivery is claimed",
            "a delivery is deferred",
            "a delivery is claimed",
            "a delivery is acknowledged",
        ]
    );
    let number = last.sequence().to_string();
    assert!(events.iter().all(|event| event["sequence"] == number));
    assert_eq!(events[3]["again_after_s"], "120");
    assert_eq!(
        (&*events[7]["attempts"], &*events[7]["ordinal"]),
        ("4", "1")
    );
}

#[tokio::test]
async fn who_polls_is_told_once_and_so_is_a_flood() {
    let service = Service::new();
    let store = MemoryStore::new();
    let one = service.inbox_on(store.clone()).await;
    let (account, lease) = (one.lab().id().clone(), Duration::from_secs(45));
    let now = service.clock.now();
    store
        .poll_right(&account, "another", lease, now)
        .await
        .unwrap();
    let (seen, _guard) = listen();
    dropped_after_a_turn(&one).await;
    assert_eq!(
        messages(&told(&seen)),
        ["another process polls the account"]
    );
    service.pass(lease);
    one.run_until(async {}).await.unwrap();
    assert_eq!(
        messages(&told(&seen)),
        ["polling the account", "polled", "polling was stopped"]
    );

    for forged in 0..25 {
        one.notify(&notification(&format!("rx-{forged}")));
    }
    dropped_after_a_turn(&one).await;
    let events = told(&seen);
    let overflow = "more was notified than is fetched one by one: the orders will be listed";
    let messages = messages(&events);
    assert!(
        messages.contains(&"fetched what was notified"),
        "{messages:?}"
    );
    assert!(messages.contains(&overflow), "{messages:?}");
}
