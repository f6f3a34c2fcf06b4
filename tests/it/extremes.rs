//! Every duration and number that can be set, set to nothing, to next to nothing and to as much as
//! there is: nothing panics, and nothing waits for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lab_connector::client::ClientBuilder;
use lab_connector::retry::RetryPolicy;
use lab_connector::transport::{self, Body};
use lab_connector::{Client, Endpoints, Error, FileTokenStore, MemoryTokenStore, TokenStore};

use crate::postgres::Schema;
use crate::support::{RawServer, TestClock, account, keep, order_with_file, tokens};
use crate::{bounds, export, inbox};

/// What takes a number or a duration, by the public API: none is left out of the tables.
#[test]
fn every_setter_is_tried() {
    const NUMBERS: [&str; 6] = ["core::time::Duration", "usize", "u64", "u32", "u16", "u8"];
    let is_number = |argument: &str| {
        let option = argument.strip_prefix("core::option::Option<");
        let inner = option.and_then(|inner| inner.strip_suffix('>'));
        NUMBERS.contains(&inner.unwrap_or(argument))
    };
    let mut setters = BTreeSet::new();
    for line in include_str!("../../api.txt").lines() {
        let Some(item) = line.strip_prefix("pub ") else {
            continue;
        };
        let path = item.strip_prefix("fn ").unwrap_or(item);
        let takes_number = match (path.split_once("(self, "), path.split_once(": ")) {
            (Some((_, arguments)), _) => {
                let arguments = arguments.strip_suffix(") -> Self");
                arguments.is_some_and(|arguments| arguments.split(", ").any(is_number))
            }
            // The one type that is set up by its fields.
            (None, Some((field, kind))) => field.contains("::ListingLimits::") && is_number(kind),
            (None, None) => false,
        };
        // What the simulator does is not for production.
        if takes_number && !path.contains("::simulator::") {
            let end = path.find(['(', ' ']).unwrap();
            let mut path = path[..end].trim_end_matches(':').rsplit("::");
            let (name, owner) = (path.next().unwrap(), path.next().unwrap());
            let owner = owner.split('<').next().unwrap();
            setters.insert(format!("{owner}::{name}"));
        }
    }
    let tables = SETTERS.iter().map(|(name, _)| *name);
    let tables = tables.chain(inbox::extremes::SETTERS.iter().map(|(name, _)| *name));
    let tables = tables.chain(export::extremes::SETTERS.iter().map(|(name, _)| *name));
    let tried = tables.map(|name| name.split(',').next().unwrap());
    let tried = tried.chain(bounds::SETTINGS);
    // Tests of their own, here and below.
    let tried = tried.chain([
        "DownloadAll::concurrency",
        "PostgresStoreBuilder::max_connections",
    ]);
    let tried: BTreeSet<_> = tried.map(str::to_owned).collect();
    assert_eq!(setters, tried);
}

type Set = fn(ClientBuilder, Duration) -> ClientBuilder;

/// A number as large as the duration: 0, 1 or all there is.
fn number(value: Duration) -> u64 {
    u64::try_from(value.as_nanos()).unwrap_or(u64::MAX)
}

fn count(value: Duration) -> usize {
    usize::try_from(number(value)).unwrap_or(usize::MAX)
}

fn small(value: Duration) -> u32 {
    u32::try_from(number(value)).unwrap_or(u32::MAX)
}

const SETTERS: &[(&str, Set)] = &[
    ("ClientBuilder::connect_timeout", |b, v| {
        b.connect_timeout(v)
    }),
    ("ClientBuilder::attempt_timeout", |b, v| {
        b.attempt_timeout(v)
    }),
    ("ClientBuilder::operation_timeout", |b, v| {
        b.operation_timeout(v)
    }),
    ("ClientBuilder::idle_timeout", |b, v| b.idle_timeout(v)),
    ("ClientBuilder::minimum_rate", |b, v| {
        b.minimum_rate(Some(number(v)))
    }),
    ("ClientBuilder::rate, period", |b, v| b.rate(1, v)),
    ("ClientBuilder::rate, operations", |b, v| {
        b.rate(small(v), Duration::from_nanos(1))
    }),
    ("ClientBuilder::total_rate, period", |b, v| {
        b.total_rate(1, v)
    }),
    ("ClientBuilder::total_rate, requests", |b, v| {
        b.total_rate(small(v), Duration::from_nanos(1))
    }),
    ("ClientBuilder::concurrency", |b, v| b.concurrency(count(v))),
    ("ClientBuilder::total_concurrency", |b, v| {
        b.total_concurrency(count(v))
    }),
    ("ClientBuilder::total_downloads", |b, v| {
        b.total_downloads(count(v))
    }),
    ("ClientBuilder::answer_limit", |b, v| {
        b.answer_limit(count(v))
    }),
    ("ClientBuilder::file_limit", |b, v| b.file_limit(number(v))),
    ("RetryPolicy::attempts", |b, v| {
        b.retry(RetryPolicy::default().attempts(small(v)))
    }),
    ("RetryPolicy::backoff, base", |b, v| {
        b.retry(RetryPolicy::default().backoff(v, Duration::from_secs(20)))
    }),
    ("RetryPolicy::backoff, cap", |b, v| {
        b.retry(RetryPolicy::default().backoff(Duration::ZERO, v))
    }),
    ("RetryPolicy::backoff", |b, v| {
        b.retry(RetryPolicy::default().backoff(v, v))
    }),
];

/// A client on the machine's own clock, of a service that answers at once, but for its first answer.
/// Bodies come in pieces, under a length that is a lie where it may be one.
fn client(set: Set, value: Duration, store: Arc<dyn TokenStore>) -> Client {
    let failed = std::sync::atomic::AtomicBool::new(false);
    let builder = Client::builder()
        .endpoints(Endpoints::from_base_url("https://api.example/").unwrap())
        .credentials("id", "secret")
        .token_store(store)
        .transport(transport::from_fn(move |request| {
            let path = request.uri().path();
            let body: &[&str] = match path {
                path if path.contains("token") => &[r#"{"access_token":"access-2"}"#],
                path if path.contains("assets") => &["a ", "file"],
                _ => &["[", " ]"],
            };
            let length = body.iter().map(|piece| piece.len()).sum::<usize>();
            let pieces = body.iter().map(|piece| Ok((*piece).into()));
            let pieces: Vec<_> = pieces.collect();
            let body = Body::from_stream(futures_util::stream::iter(pieces));
            let mut answer = http::Response::new(body);
            answer.headers_mut().insert("content-length", length.into());
            // Once, so that the wait before a repeat is drawn.
            let fails =
                path.contains("orders") && !failed.swap(true, std::sync::atomic::Ordering::SeqCst);
            if fails {
                *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            }
            std::future::ready(Ok(answer))
        }));
    set(builder, value).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_setter_takes_any_value() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    for (number, (name, set)) in SETTERS.iter().enumerate() {
        for value in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            // Of its own: a refresh that its call has given up may still store something.
            let store: Arc<dyn TokenStore> = match *name {
                // A lease follows from it, which a file keeps. Files take their time.
                "ClientBuilder::attempt_timeout" => {
                    let path = format!("{number} {}", value.as_secs());
                    Arc::new(FileTokenStore::open(directory.path().join(path)).unwrap())
                }
                _ => Arc::new(MemoryTokenStore::new()),
            };
            keep(&store, &account(), &tokens(&clock, -1)).await;
            for operation in 0..3 {
                let client = client(*set, value, Arc::clone(&store));
                let lab = client.account("account-77");
                let done = async {
                    match operation {
                        0 => lab.keep_access().await,
                        1 => lab.orders().list().await.map(drop),
                        _ => {
                            let order = order_with_file(None);
                            let mut file = Vec::new();
                            let download = lab.download(&order, &order.assets()[0]);
                            download.to_writer(&mut file).await.map(drop)
                        }
                    }
                };
                // What is spread over a year, and a wait of a year, are what was asked for.
                let waits = [
                    "ClientBuilder::total_rate, period",
                    "RetryPolicy::backoff",
                    "RetryPolicy::backoff, base",
                ];
                let waits = value == Duration::MAX && waits.contains(name);
                let limit = Duration::from_millis(if waits { 100 } else { 30_000 });
                let Ok(done) = tokio::time::timeout(limit, done).await else {
                    assert!(waits, "{name} {value:?}");
                    continue;
                };
                judge(name, value, done);
            }
        }
    }
}

fn judge(name: &str, value: Duration, done: Result<(), Error>) {
    let Err(error) = done else { return };
    // Next to no time, room or repeats: that is what the error says.
    let (_, setter) = name.split_once("::").unwrap();
    let expected = match setter {
        "attempt_timeout" | "operation_timeout" | "idle_timeout" => {
            error.is_timeout() || error.is_refresh_failed() || error.is_server()
        }
        "minimum_rate" => error.is_timeout(),
        "file_limit" => error.is_decode(),
        "answer_limit" => error.is_decode() || error.is_refresh_failed(),
        "attempts" | "backoff" | "backoff, base" | "backoff, cap" => error.is_server(),
        _ => false,
    };
    assert!(expected, "{name} {value:?}: {error}");
}

/// The same over a real connection, whose limits are not ours to keep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_timeout_suits_the_network() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]";
    let server = RawServer::start(answer).await;
    for value in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let endpoints = Endpoints::from_base_url(&server.url("/")).unwrap();
        let builder = Client::builder().endpoints(endpoints).no_proxy();
        let builder = builder
            .credentials("id", "secret")
            .retry(RetryPolicy::never());
        let builder = builder.connect_timeout(value).idle_timeout(value);
        let client = builder.build().unwrap();
        match client.request(http::Method::GET, "x").send().await {
            Ok(answer) => assert_eq!(&answer.body()[..], b"[]", "{value:?}"),
            Err(error) => {
                let slow = error.is_timeout() || error.is_connect();
                assert!(slow && value < Duration::MAX, "{value:?}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn any_number_of_downloads_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokenStore::new());
    keep(
        &store,
        &account(),
        &tokens(&TestClock::new(), 1_000_000_000),
    )
    .await;
    for orders in [0, 1, usize::MAX] {
        let client = client(|builder, _| builder, Duration::ZERO, Arc::clone(&store));
        let all = [order_with_file(None)];
        let lab = client.account("account-77");
        let fetched = lab.download_all(&all).concurrency(orders);
        let fetched = fetched.to_directory(directory.path()).await;
        assert!(fetched[0].result.is_ok(), "{orders}");
    }
}

#[tokio::test]
async fn any_number_of_connections_to_the_database() {
    let Some(schema) = Schema::new("any_number_of_connections_to_the_database") else {
        return;
    };
    for connections in [0, 1, u32::MAX] {
        let store = schema.builder().max_connections(connections);
        let store = store.connect().await.unwrap();
        assert!(
            store.load(&account()).await.unwrap().is_none(),
            "{connections}"
        );
    }
}
