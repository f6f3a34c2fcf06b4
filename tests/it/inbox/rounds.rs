//! What a round concludes, and what it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt;
use lab_connector::inbox::{CaseHistory, ProblemKind};
use lab_connector::{History, OrderId, Result};
use serde_json::json;

use super::hooked_store::{Call, Hook, HookedStore};
use super::{HOUR, Service, kinds, names, symbols};

#[tokio::test]
async fn an_order_that_drops_out_is_fetched_and_followed_to_its_end() {
    let service = Service::new();
    let inbox = service.settled().await;
    for status in ["Lab Review", "iTero Milling", "Ready to Ship", "Downloaded"] {
        service.show(1, status);
        // An empty listing is believed when a second one agrees.
        inbox.poll().await.unwrap();
        inbox.poll().await.unwrap();
        service.pass(HOUR * 30);
    }
    assert_eq!(symbols(&inbox, "1").await, "RITD");
    let looks = service.state().looks.len();
    for _ in 0..50 {
        service.pass(HOUR * 30);
        inbox.poll().await.unwrap();
    }
    assert_eq!(
        service.state().looks.len(),
        looks,
        "it is finished and still looked at"
    );
}

#[tokio::test]
async fn a_listing_that_flickers_delivers_nothing_twice() {
    let service = Service::new();
    let inbox = service.settled().await;
    service.show(1, "Ready for Download");
    for _ in 0..5 {
        inbox.poll().await.unwrap();
        service.state().hidden = vec![1];
        service.pass(HOUR);
        inbox.poll().await.unwrap();
        service.state().hidden.clear();
        service.pass(HOUR);
    }
    assert_eq!(symbols(&inbox, "1").await, "F");
    assert_eq!(inbox.claim(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_is_concluded_from_absence_where_a_record_cannot_be_read() {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    service.state().unreadable = true;
    service.state().hidden = vec![1];
    service.pass(HOUR);
    let round = inbox.poll().await.unwrap();
    assert!(!round.is_complete());
    assert!(kinds(&round) == [ProblemKind::Unreadable]);
    assert_eq!(service.state().looks.len(), 0);
    let stats = inbox.stats().await.unwrap();
    assert_eq!(
        (stats.polls, stats.problems[&ProblemKind::Unreadable]),
        (2, 1)
    );
    assert!(stats.since_complete_poll.unwrap() >= HOUR);
}

#[tokio::test]
async fn nothing_is_concluded_from_absence_where_a_list_speaks_of_errors_or_is_suddenly_empty() {
    let service = Service::new();
    let inbox = service.inbox().await;
    for number in 1..=2 {
        service.show(number, "Ready for Download");
    }
    inbox.poll().await.unwrap();
    service.state().hidden = vec![1];
    service.state().speaks_of_errors = true;
    for _ in 0..5 {
        service.pass(HOUR / 12);
        let round = inbox.poll().await.unwrap();
        assert_eq!(kinds(&round), [ProblemKind::ListingIncomplete]);
        assert!(!round.is_complete() && round.fetched() == 0);
    }
    service.state().speaks_of_errors = false;
    service.state().hidden = vec![1, 2];
    let round = inbox.poll().await.unwrap();
    assert!(!round.is_complete() && round.fetched() == 0);
    let round = inbox.poll().await.unwrap();
    assert!(round.is_complete() && round.fetched() == 2);
}

#[tokio::test]
async fn a_record_of_which_an_id_can_be_read_is_there_and_hides_no_absence() {
    let service = Service::new();
    let inbox = service.inbox().await;
    for number in 1..=2 {
        service.show(number, "Ready for Download");
    }
    inbox.poll().await.unwrap();
    // One cannot be read any more, and the other is gone.
    let broken = json!({ "orderId": 1, "status": { "odd": 1 } });
    service.state().extra = vec![broken];
    service.state().hidden = vec![1, 2];
    service.pass(HOUR);
    let round = inbox.poll().await.unwrap();
    assert_eq!(kinds(&round), [ProblemKind::Unreadable]);
    assert_eq!(round.problems()[0].order_id(), Some(&"1".into()));
    assert!(round.is_complete());
    assert_eq!(service.state().looks, ["rx-2"]);
}

#[tokio::test]
async fn an_order_that_is_not_found_stays_watched_and_can_come_back() {
    let service = Service::new();
    let inbox = service.settled().await;
    service.with_another(&inbox).await;
    service.show(1, "Ready for Download");
    inbox.poll().await.unwrap();
    service.remove(1);
    inbox.poll().await.unwrap();
    assert_eq!(service.state().looks, ["rx-1"]);
    for _ in 0..10 {
        service.pass(HOUR * 30);
        inbox.poll().await.unwrap();
    }
    assert!(service.state().looks.len() > 5);
    service.show(1, "Lab Review");
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "1").await, "FR");
}

#[tokio::test]
async fn a_fetch_that_fails_is_owed_and_made_up_for() {
    let service = Service::new();
    let inbox = service.inbox().await.max_fetches_per_poll(2);
    service.with_another(&inbox).await;
    for number in 1..=5 {
        service.show(number, "Ready for Download");
    }
    inbox.poll().await.unwrap();
    for number in 1..=5 {
        service.show(number, "Downloaded");
    }
    // Two a round: no more than may be asked for.
    for fetched in [2, 2, 1, 0] {
        service.pass(HOUR);
        assert_eq!(inbox.poll().await.unwrap().fetched(), fetched);
    }
    for number in 1..=5 {
        assert_eq!(symbols(&inbox, &number.to_string()).await, "FD");
    }
}

/// Which of the two is true cannot be told from the listing: a record of each status, and the order
/// as it is fetched.
fn contradict(service: &Service, listed: [&str; 2], fetched: Option<&str>) {
    let order = |status: &str| json!({ "orderId": 7, "rxId": "rx-7", "status": status });
    let mut state = service.state();
    state.orders = [1, 2].into_iter().zip(listed.map(order)).collect();
    // The first that is found is the one that is fetched.
    state
        .orders
        .extend(fetched.map(|status| (0, order(status))));
    state.hidden = vec![0];
}

#[tokio::test]
async fn an_order_that_is_listed_in_two_statuses_is_what_it_is_when_it_is_fetched() {
    let service = Service::new();
    let inbox = service.settled().await;
    let listed = ["Ready for Download", "Lab Review"];
    contradict(&service, listed, Some("Lab Review"));
    for _ in 0..4 {
        service.pass(HOUR);
        let round = inbox.poll().await.unwrap();
        assert_eq!(round.fetched(), 1);
        assert_eq!(symbols(&inbox, "7").await, "R");
    }
    contradict(&service, listed, Some("Downloaded"));
    service.pass(HOUR);
    inbox.poll().await.unwrap();
    assert_eq!(symbols(&inbox, "7").await, "RD");
}

#[tokio::test]
async fn an_order_that_is_listed_with_two_kinds_of_files_is_fetched_too() {
    let service = Service::new();
    let inbox = service.settled().await;
    let order = |file: &str| {
        json!({
            "orderId": 7, "rxId": "rx-7", "status": "Ready for Download",
            "assets": [{ "assetId": file }],
        })
    };
    let records = [(0, "new"), (1, "old"), (2, "new")];
    service.state().orders = records.map(|(key, file)| (key, order(file))).into();
    service.state().hidden = vec![0];
    for _ in 0..4 {
        service.pass(HOUR);
        inbox.poll().await.unwrap();
    }
    assert_eq!(symbols(&inbox, "7").await, "F");
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    let files = delivery.order().assets().iter();
    let files: Vec<_> = files.map(|file| file.id().unwrap()).collect();
    assert_eq!(files, ["new"]);
    // Twice the same contradicts nothing.
    service.state().orders = [(1, order("new")), (2, order("new"))].into();
    let round = inbox.poll().await.unwrap();
    assert_eq!((round.fetched(), round.listed()), (0, 2));
}

#[tokio::test]
async fn a_contradiction_that_cannot_be_settled_for_a_day_is_recorded() {
    let service = Service::new();
    let inbox = service.inbox().await;
    contradict(&service, ["Ready for Download", "Lab Review"], None);
    service.state().broken = vec!["rx-7".to_owned()];
    let round = inbox.poll().await.unwrap();
    let expected = [ProblemKind::Contradicted, ProblemKind::NotFetched];
    assert_eq!(kinds(&round), expected);
    assert!(
        round
            .problems()
            .iter()
            .all(|one| one.order_id() == Some(&"7".into()))
    );
    let mut deliveries = round.deliveries();
    for _ in 0..48 {
        service.pass(HOUR);
        deliveries += inbox.poll().await.unwrap().deliveries();
    }
    // Each state, the one that is listed last first.
    assert_eq!((deliveries, &*symbols(&inbox, "7").await), (2, "RF"));
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    assert!(delivery.is_doubtful() && !delivery.history().is_complete());
}

#[tokio::test]
async fn two_records_that_cannot_be_fetched_as_one_order_count_both() {
    let service = Service::new();
    let inbox = service.inbox().await;
    // Two Rx ids, or none: which to ask for?
    for (key, rx, status) in [
        (1, json!("rx-1"), "Ready for Download"),
        (2, json!("rx-2"), "Lab Review"),
        (3, json!(null), "Lab Review"),
    ] {
        let order = json!({ "orderId": 7, "rxId": rx, "status": status });
        service.state().orders.insert(key, order);
    }
    let round = inbox.poll().await.unwrap();
    assert!(round.deliveries() >= 1);
    assert!(!symbols(&inbox, "7").await.is_empty());
}

#[tokio::test]
async fn an_order_without_an_rx_id_is_delivered_once_and_reported() {
    let service = Service::new();
    let inbox = service.inbox().await;
    let order = json!({ "orderId": 7, "status": "Lab Review" });
    service.state().orders.insert(7, order);
    let round = inbox.poll().await.unwrap();
    assert_eq!(kinds(&round), [ProblemKind::NoRxId]);
    // As long as it goes on.
    let round = inbox.poll().await.unwrap();
    assert_eq!(kinds(&round), [ProblemKind::NoRxId]);
    assert_eq!(names(&inbox.claim(1).await.unwrap()), [("7", 1)]);
}

/// Not of the first round alone: who looks an hour later must see that a status has a new name.
#[tokio::test]
async fn a_status_that_nobody_knows_is_a_problem_for_as_long_as_it_is_listed() {
    let service = Service::new();
    let inbox = service.inbox().await;
    for (number, status) in [(1, "Klar"), (2, "Completed"), (3, "Lab Review")] {
        let listed = json!({
            "orderId": number, "rxId": format!("rx-{number}"), "status": status,
        });
        service.state().extra.push(listed);
    }
    let round = inbox.poll().await.unwrap();
    assert_eq!((round.listed(), round.deliveries()), (3, 3));
    for _ in 0..3 {
        service.pass(HOUR);
        let round = inbox.poll().await.unwrap();
        let unknown = round.problems().iter();
        let unknown = unknown.filter(|one| one.kind() == ProblemKind::UnknownStatus);
        let unknown: Vec<_> = unknown
            .map(|one| one.order_id().unwrap().as_str())
            .collect();
        assert_eq!((unknown, round.deliveries()), (vec!["1", "2"], 0));
        let problems = inbox.stats().await.unwrap().problems;
        assert_eq!(problems[&ProblemKind::UnknownStatus], 2);
    }
    service.state().extra.drain(..2);
    inbox.poll().await.unwrap();
    let problems = inbox.stats().await.unwrap().problems;
    assert_eq!(problems.get(&ProblemKind::UnknownStatus), None);
}

#[tokio::test]
async fn what_was_imported_is_not_delivered_and_counts() {
    let service = Service::new();
    let inbox = service.inbox().await;
    let json = r#"{"order_id": "1", "rx_id": "rx-1", "history": {"arrivals": ["Ready for Download", "Lab Review"]}}"#;
    let case: CaseHistory = serde_json::from_str(json).unwrap();
    assert!(inbox.import(case.clone()).await.unwrap());
    assert!(!inbox.import(case).await.unwrap());
    service.show(1, "Lab Review");
    assert_eq!(inbox.poll().await.unwrap().deliveries(), 0);
    service.show(1, "iTero Milling");
    inbox.poll().await.unwrap();
    inbox.poll().await.unwrap();
    service.show(1, "Lab Review");
    inbox.poll().await.unwrap();
    let delivery = inbox.claim(1).await.unwrap().remove(0);
    assert_eq!(delivery.ordinal(), 3);
    assert!(!delivery.history().is_complete());
}

#[tokio::test]
async fn what_the_service_tells_of_the_time_before_is_not_delivered_and_counts() {
    let service = Service::new();
    let inbox = service.inbox().await;
    let history = [
        "Ready for Download",
        "Downloaded",
        "Scanning",
        "Ready for Download",
    ];
    let mut hour = 0;
    let history = history.map(|status| {
        hour += 1;
        json!({ "status": status, "at": format!("2026-03-01T0{hour}:00:00Z") })
    });
    service.show_more(1, "Ready for Download", json!({ "history": history }));
    assert_eq!(inbox.poll().await.unwrap().deliveries(), 1);
    assert_eq!(symbols(&inbox, "1").await, "FDSF");
    assert_eq!(names(&inbox.claim(10).await.unwrap()), [("1", 2)]);
    let log = inbox.arrivals_after(0, 10).await.unwrap();
    let ordinals: Vec<_> = log.iter().map(|change| change.ordinal()).collect();
    assert_eq!(ordinals, [None, None, None, Some(2)]);
}

#[tokio::test]
async fn histories_are_exported_and_read_back() {
    let service = Service::new();
    let inbox = service.inbox().await;
    // More than a page.
    for number in 0..1_200 {
        service.show(10_000 + number, "Ready for Download");
    }
    inbox.poll().await.unwrap();
    let all: Vec<CaseHistory> = inbox.histories().try_collect().await.unwrap();
    assert_eq!(all.len(), 1_200);
    assert!(all.is_sorted_by(|one, other| one.order_id < other.order_id));
    let json = serde_json::to_string(&all[7]).unwrap();
    assert!(!json.contains("canary"));
    assert_eq!(serde_json::from_str::<CaseHistory>(&json).unwrap(), all[7]);
    assert_eq!(inbox.history(&"nope".into()).await.unwrap(), None);
    let none = History::partial(Vec::<String>::new());
    let empty = CaseHistory {
        order_id: OrderId::new("e"),
        rx_id: None,
        history: none,
    };
    assert!(inbox.import(empty).await.unwrap());
}

/// Counts commits, and is sometimes slower than another process.
#[derive(Debug, Default)]
struct Counting {
    commits: AtomicUsize,
    /// So many commits find that somebody else was quicker.
    conflicts: AtomicUsize,
}

impl Hook for Counting {
    fn before(&self, call: Call) -> Result<()> {
        if call == Call::Commit {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn is_overtaken(&self) -> bool {
        let left = self.conflicts.load(Ordering::Relaxed);
        self.conflicts
            .store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }
}

#[tokio::test]
async fn a_round_in_which_nothing_changed_writes_nothing() {
    let service = Service::new();
    let store = Arc::new(HookedStore::new(Counting::default()));
    let inbox = service.inbox_on(Arc::clone(&store)).await;
    for number in 1..=20 {
        service.show(number, "Ready for Download");
    }
    inbox.poll().await.unwrap();
    let written = store.hook.commits.load(Ordering::Relaxed);
    for _ in 0..10 {
        inbox.poll().await.unwrap();
    }
    assert_eq!(store.hook.commits.load(Ordering::Relaxed), written);
    // That the account was listed is written now and then, for the next start.
    service.pass(HOUR * 2);
    inbox.poll().await.unwrap();
    assert_eq!(store.hook.commits.load(Ordering::Relaxed), written + 1);
}

#[tokio::test]
async fn a_commit_that_came_too_late_is_made_again() {
    let service = Service::new();
    let store = Arc::new(HookedStore::new(Counting::default()));
    let inbox = service.inbox_on(Arc::clone(&store)).await;
    service.show(1, "Ready for Download");
    store.hook.conflicts.store(3, Ordering::Relaxed);
    assert_eq!(inbox.poll().await.unwrap().deliveries(), 1);
    assert_eq!(inbox.claim(10).await.unwrap().len(), 1);
    store.hook.conflicts.store(usize::MAX, Ordering::Relaxed);
    service.show(1, "Lab Review");
    assert!(inbox.poll().await.unwrap_err().is_store());
    store.hook.conflicts.store(0, Ordering::Relaxed);
    assert_eq!(inbox.poll().await.unwrap().deliveries(), 1);
}
