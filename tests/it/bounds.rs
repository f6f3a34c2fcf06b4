//! A service that does not end: what a listing takes is bounded, the limit is named, and what was read
//! before is delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lab_connector::client::{ClientBuilder, Listing, ListingLimits};
use lab_connector::clock::Clock;
use lab_connector::transport::{self, Body};
use lab_connector::{Error, Lab, Result};

use crate::support::{TestClock, assert_discreet, builder, store};

/// A lab whose service gives `answer` of the number of the request, in pieces.
async fn lab(
    clock: &TestClock,
    answer: impl Fn(usize) -> String + Send + Sync + 'static,
    set: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Arc<AtomicUsize>, Lab) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let answer = Arc::new(answer);
    let transport = transport::from_fn(move |_| {
        let body = Bytes::from(answer(count.fetch_add(1, Ordering::SeqCst)));
        let pieces = (0..body.len()).step_by(16 << 10);
        let pieces: Vec<_> = pieces
            .map(|at| Ok(body.slice(at..body.len().min(at + (16 << 10)))))
            .collect();
        async {
            Ok(http::Response::new(Body::from_stream(
                futures_util::stream::iter(pieces),
            )))
        }
    });
    let client = builder("https://lab.example/", clock)
        .token_store(store(clock, 3600).await)
        .transport(transport);
    let client = set(client).build().unwrap();
    (requests, client.account("account-77"))
}

fn limits(set: impl FnOnce(&mut ListingLimits)) -> ListingLimits {
    let mut limits = ListingLimits::default();
    set(&mut limits);
    limits
}

async fn list(body: String, limits: ListingLimits) -> Result<Listing> {
    let set = |client: ClientBuilder| client.listing_limits(limits);
    let (requests, lab) = lab(&TestClock::new(), move |_| body.clone(), set).await;
    let listing = lab.orders().list().await;
    assert_eq!(requests.load(Ordering::SeqCst), 1, "it is not tried again");
    listing
}

fn orders(from: usize, to: usize) -> String {
    let order =
        |id| format!(r#"{{"orderId":{id},"rxId":"r{id}","status":"Lab Review","notes":"{{[\"x"}}"#);
    (from..to).map(order).collect::<Vec<_>>().join(",")
}

fn assert_names(error: &Error, setting: &str) {
    assert!(error.is_decode() && !error.is_retryable(), "{error}");
    let named = format!("`{setting}`");
    assert!(
        error.to_string().contains(&named),
        "{error} does not name {setting}"
    );
    assert_discreet(error);
}

#[tokio::test]
async fn a_listing_has_so_many_records_and_no_more() {
    for (most, count, fits) in [(10, 10, true), (10, 11, false), (0, 1, false)] {
        for body in [
            format!("[{}]", orders(0, count)),
            format!(
                r#"{{"total":1,"data":{{"orders":[{}]}},"next":null}}"#,
                orders(0, count)
            ),
        ] {
            let listing = list(body, limits(|limits| limits.records = most))
                .await
                .unwrap();
            assert_eq!(listing.orders().len(), count.min(most));
            assert_eq!(listing.is_complete(), fits);
            if !fits {
                assert_names(listing.problem().unwrap(), "ListingLimits::records");
            }
        }
    }
    // Files and what cannot be read count too.
    let order = r#"{"orderId":1,"status":"Sent","assets":["a","b"]}"#;
    let body = format!("[{order},1,{order},{order}]");
    let listing = list(body, limits(|limits| limits.records = 7))
        .await
        .unwrap();
    assert_eq!((listing.orders().len(), listing.unreadable().len()), (2, 1));
    assert_names(listing.problem().unwrap(), "ListingLimits::records");
}

#[tokio::test]
async fn an_order_over_its_limits_costs_no_other() {
    for (big, setting) in [
        (r#"{"orderId":2,"status":"Sent","assets":["a","b","c","d"]}"#.to_owned(), "entries"),
        (r#"{"orderId":2,"status":"Sent","history":["a","b","c","d"],"assets":["a"]}"#.to_owned(), "entries"),
        (r#"{"assets":["a","b","c","d"],"history":[{"status":"Sent"}],"orderId":2,"status":"Sent"}"#.to_owned(), "entries"),
        (r#"{"files":["a"],"assets":["a","b","c","d"],"orderId":2,"status":"Sent"}"#.to_owned(), "entries"),
        (format!(r#"{{"orderId":2,"status":"Sent","x":"{}"}}"#, "x".repeat(300)), "record_bytes"),
    ] {
        let limits = limits(|limits| (limits.entries, limits.record_bytes) = (3, 300));
        let body = format!("[{},{big},{}]", orders(0, 1), orders(3, 4));
        let listing = list(body, limits).await.unwrap();
        assert_eq!(listing.orders().len(), 2, "{big}");
        assert!(listing.problem().is_none() && !listing.is_complete());
        let [unreadable] = listing.unreadable() else {
            panic!("{big}");
        };
        assert_eq!(unreadable.position(), 1);
        let setting = format!("ListingLimits::{setting}");
        assert_names(unreadable.error(), &setting);
        // By itself as well.
        let set = |client: ClientBuilder| client.listing_limits(limits);
        let (_, lab) = lab(&TestClock::new(), move |_| big.clone(), set).await;
        assert_names(&lab.orders().by_rx(&"r2".into()).await.unwrap_err(), &setting);
    }
}

#[tokio::test]
async fn of_a_page_that_is_too_long_the_beginning_is_taken() {
    let whole = format!(
        r#"{{"next":"?p=2","data":{{"orders":[{}]}},"total":100}}"#,
        orders(0, 100)
    );
    let begin = whole.find('[').unwrap();
    // Wherever it is cut, the orders that are whole are there, and no other.
    for length in (begin + 1..whole.len()).step_by(7) {
        let text = whole.clone();
        let set = move |client: ClientBuilder| client.answer_limit(length);
        let (requests, lab) = lab(&TestClock::new(), move |_| text.clone(), set).await;
        let expected = whole[..length].matches("},{\"orderId\"").count();
        let listing = lab.orders().list().await;
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{length}");
        let Ok(listing) = listing else {
            assert_eq!(expected, 0, "{length}");
            assert_names(&listing.unwrap_err(), "ClientBuilder::answer_limit");
            continue;
        };
        let count = listing.orders().len();
        assert!(
            count == expected || count == expected + 1,
            "{length}: {count}, {expected}"
        );
        assert!(listing.unreadable().is_empty(), "{length}");
        for (at, order) in listing.orders().iter().enumerate() {
            assert_eq!(order.id().as_str(), at.to_string());
            assert_eq!(order.extra()["notes"], "{[\"x");
        }
        assert_names(listing.problem().unwrap(), "ClientBuilder::answer_limit");
    }
}

#[tokio::test]
async fn pages_without_an_end_come_to_one() {
    // An ever new cursor, and ever new orders.
    let page = |number: usize| {
        let orders = orders(number * 10, number * 10 + 10);
        format!(r#"{{"orders":[{orders}],"nextCursor":"{number}"}}"#)
    };
    let length = page(1).len();
    let clock = TestClock::new();
    for (setting, limits) in [
        ("records", limits(|limits| limits.records = 45)),
        ("bytes", limits(|limits| limits.bytes = length * 9 / 2)),
    ] {
        let set = |client: ClientBuilder| client.listing_limits(limits);
        let (requests, lab) = lab(&clock, page, set).await;
        let listing = lab.orders().list().await.unwrap();
        assert_eq!(requests.load(Ordering::SeqCst), 5, "{setting}");
        assert!(
            (43..=45).contains(&listing.orders().len()),
            "{setting}: {}",
            listing.orders().len()
        );
        assert_names(
            listing.problem().unwrap(),
            &format!("ListingLimits::{setting}"),
        );
    }
    let clock = TestClock::still();
    let limits = limits(|limits| limits.time = Duration::from_secs(25));
    let ticking = clock.clone();
    let slow = move |number| {
        ticking.advance(Duration::from_secs(10));
        page(number)
    };
    let set = |client: ClientBuilder| client.listing_limits(limits);
    let (requests, lab) = lab(&clock, slow, set).await;
    let listing = lab.orders().list().await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 3);
    assert_eq!(listing.orders().len(), 30);
    assert_names(listing.problem().unwrap(), "ListingLimits::time");
}

/// Waits and elapsed time of tokio's paused clock.
#[derive(Debug)]
struct TokioClock(tokio::time::Instant);

#[async_trait::async_trait]
impl Clock for TokioClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The time of a listing is over while a page arrives: the orders that have come are there.
#[tokio::test(start_paused = true)]
async fn a_page_that_does_not_end_in_time_is_read_as_far_as_it_came() {
    for (before, expected) in [("[", 10), ("{\"orders\":[", 10), ("{\"other\":[", 0)] {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let transport = transport::from_fn(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            // An order a second, without an end.
            let body = futures_util::stream::unfold(0, move |number| async move {
                if number == 0 {
                    return Some((Ok(Bytes::from_static(before.as_bytes())), 1));
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                let order = orders(number, number + 1) + ",";
                Some((Ok(Bytes::from(order)), number + 1))
            });
            async { Ok(http::Response::new(Body::from_stream(body))) }
        });
        let limits = limits(|limits| limits.time = Duration::from_millis(10_500));
        let client = builder("https://lab.example/", &TestClock::new())
            .clock(TokioClock(tokio::time::Instant::now()))
            .token_store(store(&TestClock::new(), 1 << 30).await)
            .transport(transport)
            .listing_limits(limits)
            .build()
            .unwrap();
        let listing = client.account("account-77").orders().list().await;
        assert_eq!(requests.load(Ordering::SeqCst), 1, "it is not tried again");
        let Ok(listing) = listing else {
            assert_eq!(expected, 0, "{before}");
            assert_names(&listing.unwrap_err(), "ListingLimits::time");
            continue;
        };
        assert_eq!(listing.orders().len(), expected, "{before}");
        assert_names(listing.problem().unwrap(), "ListingLimits::time");
    }
}

#[tokio::test]
async fn what_stands_around_a_list_is_bounded_too() {
    let many = (0..5000)
        .map(|at| format!(r#""k{at}":{{}},"#))
        .collect::<String>();
    let long = (0..100)
        .map(|at| format!(r#""k{at}":[{}0],"#, "0,".repeat(4000)))
        .collect::<String>();
    for around in [many, long] {
        let body = format!(r#"{{{around}"orders":[{}]}}"#, orders(0, 3));
        let listing = list(body, ListingLimits::default()).await.unwrap();
        assert_eq!(listing.orders().len(), 3);
        assert!(listing.problem().unwrap().is_decode());
    }
    // Long texts are no trouble.
    let body = format!(
        r#"{{"help":"{}","orders":[{}]}}"#,
        "x".repeat(100_000),
        orders(0, 3)
    );
    assert!(
        list(body, ListingLimits::default())
            .await
            .unwrap()
            .is_complete()
    );
}

/// The thread of the runtime is free for others while a long answer is read.
#[tokio::test]
async fn a_long_answer_is_read_elsewhere() {
    let body = format!("[{}]", orders(0, 60_000));
    let (_, lab) = lab(&TestClock::new(), move |_| body.clone(), |client| client).await;
    let turns = AtomicUsize::new(0);
    let others = async {
        loop {
            turns.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    };
    let orders = lab.orders();
    let listing = tokio::select! {
        listing = orders.list() => listing.unwrap(),
        () = others => unreachable!(),
    };
    assert_eq!(listing.orders().len(), 60_000);
    // Read here, it would leave them the few in which nothing is read.
    assert!(turns.into_inner() > 100);
}

/// What the next test sets.
pub(crate) const SETTINGS: [&str; 6] = [
    "ListingLimits::records",
    "ListingLimits::entries",
    "ListingLimits::pages",
    "ListingLimits::record_bytes",
    "ListingLimits::bytes",
    "ListingLimits::time",
];

#[tokio::test]
async fn any_setting_is_taken() {
    for (records, entries, record_bytes, bytes, time) in [
        (
            usize::MAX,
            usize::MAX,
            usize::MAX,
            usize::MAX,
            Duration::MAX,
        ),
        (0, 0, 0, 0, Duration::ZERO),
        (1, 1, 1, 1, Duration::from_nanos(1)),
    ] {
        let limits = limits(|limits| {
            *limits = ListingLimits::default();
            (limits.records, limits.entries, limits.pages) = (records, entries, records);
            (limits.record_bytes, limits.bytes, limits.time) = (record_bytes, bytes, time);
        });
        let set = |client: ClientBuilder| client.listing_limits(limits).answer_limit(bytes);
        let body = format!("[{}]", orders(0, 3));
        let (_, lab) = lab(&TestClock::new(), move |_| body.clone(), set).await;
        let listing = lab.orders().list().await;
        assert_eq!(
            listing.is_ok_and(|listing| listing.is_complete()),
            records > 1
        );
    }
}
