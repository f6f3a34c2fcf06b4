//! What reading allocates: nothing for a history, and not many times its length for a listing. A binary
//! of its own: an allocator is global.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use lab_connector::client::ListingLimits;
use lab_connector::flow::{Reading, Symbol};
use lab_connector::transport::{self, Body};
use lab_connector::{Client, Endpoints, History, MemoryTokenStore, OrderStatus};
use lab_connector_tests::{account, keep, tokens};

/// Counts how often this thread asks, since the test harness has threads of its own; and how many bytes
/// are in use, of all threads.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn used(more: usize, less: usize) {
    let now = USED.fetch_add(more, Relaxed) + more;
    PEAK.fetch_max(now, Relaxed);
    USED.fetch_sub(less, Relaxed);
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        used(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        used(0, layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // As if it were copied: for a while there are both.
        used(size, layout.size());
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(run: impl FnOnce()) -> usize {
    let before = ASKED.get();
    run();
    ASKED.get() - before
}

#[test]
fn the_counter_counts() {
    let count = allocations(|| {
        black_box(OrderStatus::from(black_box("a status that nobody knows")));
    });
    assert_eq!(count, 1);
}

#[test]
fn one_case_at_a_time() {
    let count = allocations(|| {
        // The last ones deviate, more often than is counted fast.
        let reading = [Symbol::F, Symbol::R, Symbol::I]
            .into_iter()
            .chain([Symbol::M; 20])
            .fold(Reading::complete(), |reading, symbol| {
                reading.observe(symbol)
            });
        black_box(Reading::from_code(reading.code()).is_some());
        black_box((reading.candidates(), reading.stages(), reading.expected()));
        black_box((reading.scenario(), reading.likely(), reading.action()));
    });
    assert_eq!(count, 0);
}

#[test]
fn known_statuses_in_any_spelling() {
    let count = allocations(|| {
        let mut reading = Reading::complete();
        for text in [
            "Ready for Download",
            "LAB_REVIEW",
            "itero milling",
            "Scanning (For the Dr)",
        ] {
            reading = reading.observe(&OrderStatus::from(black_box(text)));
        }
        black_box(reading);
    });
    assert_eq!(count, 0);
}

#[test]
fn a_history_that_is_there() {
    let history = History::complete(["Lab Review", "On hold", "iTero Milling", "Scanning"]);
    let count = allocations(|| {
        black_box(history.read());
        black_box(history.deviations().count());
        black_box(history.readings().count());
    });
    assert_eq!(count, 0);
}

/// An eighth of what an answer may have, so that it does not take a minute.
const LONG: usize = 4 << 20;

/// A list of as many of these as make a long answer, and `{}` in one is its number.
fn list_of(item: &str) -> String {
    let mut text = "[".to_owned();
    for number in 0.. {
        if text.len() + item.len() + 16 > LONG {
            break;
        }
        text += &item.replace("{}", &number.to_string());
        text.push(',');
    }
    text.pop();
    text + "]"
}

/// The most bytes in use while an answer is listed, beside those of the service, for each of its own.
fn listed(body: String) -> f64 {
    let length = body.len();
    let clock = lab_connector_tests::TestClock::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let store = MemoryTokenStore::new();
    runtime.block_on(keep(&store, &account(), &tokens(&clock, 3600)));
    let mut limits = ListingLimits::default();
    limits.records /= 8;
    limits.record_bytes /= 8;
    let body = Bytes::from(body);
    // In pieces, as from a network, and without a word on their length.
    let answer = transport::from_fn(move |_| {
        let body = body.clone();
        let piece = |at| Ok(body.slice(at..body.len().min(at + (64 << 10))));
        let pieces: Vec<_> = (0..body.len()).step_by(64 << 10).map(piece).collect();
        async {
            Ok(http::Response::new(Body::from_stream(
                futures_util::stream::iter(pieces),
            )))
        }
    });
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url("https://lab.example/").unwrap())
        .credentials("id", "secret")
        .token_store(store)
        .clock(clock)
        .transport(answer)
        .listing_limits(limits)
        .build()
        .unwrap();
    let lab = client.account("account-77");
    let before = USED.load(Relaxed);
    PEAK.store(before, Relaxed);
    let listing = runtime.block_on(lab.orders().list());
    let peak = PEAK.load(Relaxed) - before;
    drop(listing);
    peak as f64 / length as f64
}

/// The limits are those of the docs.
#[test]
fn a_listing_takes_at_most_three_times_its_length() {
    let asset = r#"{"assetId":"{}-IDE","type":"IDE","size":48123456,"modifiedAt":"2026-03-14T09:26:53Z","url":"https://files.example/{}/IDE?signature=0123456789abcdef"}"#;
    let real = format!(
        r#"{{"orderId":"{{}}","rxId":"rx-{{}}","accountNumber":"1","status":"Lab Review","createdAt":"2026-03-14T09:26:53Z","modifiedAt":"2026-03-14T10:26:53Z","assets":[{asset},{asset}],"patient":{{"firstName":"Ann","lastName":"Doe"}},"doctor":"Dr. Roe","notes":"Shade A3, margin 14 is deep"}}"#
    );
    let small = "{\"id\":1},".repeat(900);
    let order =
        |assets: &str| format!(r#"{{"orderId":{{}},"status":"Sent","assets":[{assets}0]}}"#);
    let members = list_of(r#""k{}":0"#);
    let mut over = Vec::new();
    for (name, body) in [
        ("real orders", list_of(&real)),
        ("small orders", list_of(r#"{"id":{},"status":"Sent"}"#)),
        (
            "one order of empty files",
            format!("[{}]", order(&"{},".repeat(LONG / 3 - 100))),
        ),
        ("orders of small files", list_of(&order(&small))),
        ("numbers", list_of("1")),
        ("empty orders", list_of("{}")),
        (
            "much around",
            format!("{{{},\"orders\":[]}}", &members[1..members.len() - 1]),
        ),
        (
            "one order of known keys",
            format!(
                "[{{{}}}]",
                "\"status_\":{},".repeat(LONG / 12 - 100) + "\"a\":0"
            ),
        ),
        (
            "one order of unknown keys",
            format!("[{{{}}}]", "\"a\":{},".repeat(LONG / 7 - 100) + "\"a\":0"),
        ),
        ("open lists", "[".repeat(LONG)),
    ] {
        let times = listed(body);
        println!("{name}: {times:.2}");
        if times > 3.0 {
            over.push(name);
        }
    }
    assert!(over.is_empty(), "{over:?}");
}
