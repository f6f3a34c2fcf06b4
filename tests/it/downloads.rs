//! Files arrive whole, or not at all.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab_connector::download::{DownloadedFile, Progress};
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{Lab, Order, Result};
use serde_json::json;

use crate::support::{
    RawServer, TestClock, assert_discreet, builder, order, order_with_file, store,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/zip\r\n";

struct Bench {
    server: RawServer,
    lab: Lab,
    directory: tempfile::TempDir,
}

impl Bench {
    /// A server that always gives this answer.
    async fn new(answer: impl Into<Vec<u8>>) -> Self {
        let server = RawServer::start(answer).await;
        let clock = TestClock::new();
        let client = builder(&server.url("/"), &clock)
            .token_store(store(&clock, 3600).await)
            .retry(lab_connector::retry::RetryPolicy::never())
            .build()
            .unwrap();
        Bench {
            lab: client.account("account-77"),
            server,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("case.zip")
    }

    async fn download(&self, order: &Order) -> Result<DownloadedFile> {
        self.lab
            .download(order, &order.assets()[0])
            .to_file(self.target())
            .await
    }

    /// The names in the directory.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn sized(size: u64) -> Order {
    order(json!({
        "orderId": "order-88", "status": "Ready for Download",
        "assets": [{ "assetId": "asset-66", "type": "FILE", "size": size }],
    }))
}

#[tokio::test]
async fn a_whole_file_equals_its_source_and_progress_ends_at_the_total() {
    let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let length = content.len() as u64;
    let mut chunked = format!("{HEAD}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for piece in content.chunks(10_000) {
        chunked.extend(format!("{:x}\r\n", piece.len()).bytes());
        chunked.extend(piece);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let mut plain = format!("{HEAD}content-length: {length}\r\n\r\n").into_bytes();
    plain.extend(&content);
    let mut identity = format!("{HEAD}content-encoding: identity\r\n\r\n").into_bytes();
    identity.extend(&content);

    for (answer, order, total) in [
        (plain.clone(), order_with_file(None), Some(length)),
        (plain, sized(length), Some(length)),
        (chunked.clone(), order_with_file(None), None),
        (chunked, sized(length), Some(length)),
        (identity, sized(length), Some(length)),
    ] {
        let bench = Bench::new(answer).await;
        let told = Arc::new(Mutex::new(Vec::<Progress>::new()));
        let tell = Arc::clone(&told);
        let file = bench
            .lab
            .download(&order, &order.assets()[0])
            .progress(move |progress| tell.lock().unwrap().push(progress))
            .to_file(bench.target())
            .await
            .unwrap();
        assert_eq!((file.path, file.bytes), (bench.target(), length));
        assert_eq!(std::fs::read(bench.target()).unwrap(), content);
        assert_eq!(bench.files(), ["case.zip"]);
        let told = told.lock().unwrap();
        assert!(told.is_sorted_by(|one, next| one.bytes < next.bytes));
        // The clock stands still: there is no rate.
        assert!(told.iter().all(|progress| progress.rate.is_none()));
        assert!(told.iter().all(|progress| progress.total == total));
        assert_eq!(told.last().unwrap().bytes, length);
        assert_eq!(bench.server.requests().len(), 1);
    }
}

/// Each of these answers is a failure, named as such, after which nothing is under the name
/// that was not there before.
#[tokio::test]
async fn whatever_is_not_whole_leaves_nothing() {
    let fails = |answer: &str,
                 order: Order,
                 is: fn(&lab_connector::Error) -> bool,
                 says: &'static str| { (answer.to_owned(), order, is, says) };
    let any = || order_with_file(None);
    let incomplete = lab_connector::Error::is_incomplete;
    let decode = lab_connector::Error::is_decode;
    let cases = [
        // The connection is cut, at once and in the middle.
        fails(
            &format!("{HEAD}content-length: 10\r\n\r\nshort"),
            any(),
            incomplete,
            "5 of 10 bytes",
        ),
        fails(
            &format!("{HEAD}content-length: 10\r\n\r\n"),
            any(),
            incomplete,
            "0 of 10 bytes",
        ),
        fails(
            &format!("{HEAD}content-length: 10\r\n\r\nshort"),
            sized(5),
            incomplete,
            "10",
        ),
        fails(
            &format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n"),
            any(),
            incomplete,
            "5 bytes",
        ),
        fails(
            &format!("{HEAD}transfer-encoding: chunked\r\n\r\n8\r\nshort"),
            any(),
            incomplete,
            "bytes",
        ),
        // Without a length the end of the connection proves nothing.
        fails(
            &format!("{HEAD}\r\nshort"),
            sized(10),
            incomplete,
            "nothing says that this was all",
        ),
        fails(
            &format!("{HEAD}content-length: 0\r\n\r\n"),
            any(),
            incomplete,
            "empty",
        ),
        fails(&format!("{HEAD}\r\n"), any(), incomplete, "empty"),
        fails(
            &format!("{HEAD}content-encoding: gzip\r\ncontent-length: 5\r\n\r\nshort"),
            any(),
            decode,
            "compressed",
        ),
        fails(
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-4/10\r\ncontent-length: 5\r\n\r\nshort",
            any(),
            decode,
            "206",
        ),
        fails("HTTP/1.1 204 No Content\r\n\r\n", any(), decode, "204"),
        fails(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 14\r\n\r\n<title>canary<",
            any(),
            decode,
            "HTML",
        ),
        fails(
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            any(),
            lab_connector::Error::is_not_found,
            "404",
        ),
        fails(
            "HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\ncanary",
            any(),
            lab_connector::Error::is_server,
            "500",
        ),
    ];
    for (answer, order, is, says) in cases {
        for existing in [None, Some("the file of yesterday")] {
            let bench = Bench::new(answer.as_str()).await;
            if let Some(content) = existing {
                std::fs::write(bench.target(), content).unwrap();
            }
            let error = bench.download(&order).await.expect_err(&answer);
            assert!(is(&error), "{answer:?}: {error}");
            assert!(error.to_string().contains(says), "{answer:?}: {error}");
            assert_eq!(error.operation(), Some("Download Asset"));
            assert_eq!(
                (error.was_sent(), error.attempts()),
                (Some(true), 1),
                "{error}"
            );
            assert_discreet(&error);
            let left = std::fs::read_to_string(bench.target()).ok();
            assert_eq!(left.as_deref(), existing, "{answer:?}");
            assert_eq!(bench.files().len(), usize::from(existing.is_some()));
        }
    }
}

/// In what unit an order gives it is not documented; some give KiB.
#[tokio::test]
async fn a_size_that_does_not_fit_refuses_nothing() {
    for (answer, size) in [
        (format!("{HEAD}content-length: 5\r\n\r\nshort"), 4),
        (format!("{HEAD}content-length: 5\r\n\r\nshort"), 6),
        (
            format!("{HEAD}transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n\r\n"),
            1,
        ),
        // One that fits proves that a file is whole.
        (format!("{HEAD}\r\nshort"), 5),
    ] {
        let bench = Bench::new(answer.as_str()).await;
        let file = bench.download(&sized(size)).await.expect(&answer);
        assert_eq!(file.bytes, 5);
        assert_eq!(std::fs::read(bench.target()).unwrap(), b"short");
    }
}

#[tokio::test]
async fn a_file_that_is_too_long_is_not_kept() {
    for (announced, asked) in [(Some("6"), 1), (None, 1)] {
        let transport = transport::from_fn(move |_| async move {
            let mut answer = http::Response::builder().header("etag", "\"a\"");
            if let Some(announced) = announced {
                answer = answer.header("content-length", announced);
            }
            let pieces = futures_util::stream::repeat_with(|| Ok("abc".into()));
            Ok(answer.body(Body::from_stream(pieces)).unwrap())
        });
        let clock = TestClock::new();
        let client = builder("https://api.example/", &clock)
            .transport(transport)
            .token_store(store(&clock, 3600).await)
            .file_limit(5)
            .build()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let order = order_with_file(None);
        let lab = client.account("account-77");
        let download = lab.download(&order, &order.assets()[0]);
        let error = download
            .to_file(directory.path().join("a"))
            .await
            .unwrap_err();
        assert!(error.is_decode() && error.attempts() == asked, "{error}");
        assert!(error.to_string().contains("longer than 5 bytes"), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

/// What takes the pieces of a stream may be slow: the service is not.
#[tokio::test]
async fn the_time_of_who_takes_a_stream_is_not_the_services() {
    use futures_util::StreamExt;

    let clock = TestClock::new();
    let transport = transport::from_fn(|_| async {
        let pieces = futures_util::stream::iter((0..4).map(|_| Ok("abc".into())));
        let answer = http::Response::builder().header("content-length", 12);
        Ok(answer.body(Body::from_stream(pieces)).unwrap())
    });
    let client = builder("https://api.example/", &clock)
        .transport(transport)
        .token_store(store(&clock, 36_000).await)
        .build()
        .unwrap();
    let order = order_with_file(None);
    let lab = client.account("account-77");
    let mut pieces = lab.download(&order, &order.assets()[0]).stream();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        bytes += piece.unwrap().len();
        clock.advance(Duration::from_secs(5000));
    }
    assert_eq!(bytes, 12);
}

#[tokio::test]
async fn what_comes_after_the_announced_end_is_no_part_of_the_file() {
    let bench = Bench::new(format!("{HEAD}content-length: 5\r\n\r\nshort and more")).await;
    let file = bench.download(&sized(5)).await.unwrap();
    assert_eq!(file.bytes, 5);
    assert_eq!(std::fs::read(bench.target()).unwrap(), b"short");
}

/// A transport of one's own may give more or less than it announces.
#[tokio::test]
async fn the_announced_length_holds_for_every_transport() {
    for (announced, body, says) in [
        ("4", "short", "5 of 4 bytes"),
        ("9", "short", "5 of 9 bytes"),
    ] {
        let transport = transport::from_fn(move |_| async move {
            let answer = http::Response::builder().header("content-length", announced);
            Ok(answer.body(Body::from(body)).unwrap())
        });
        let clock = TestClock::new();
        let client = builder("https://api.example/", &clock)
            .transport(transport)
            .token_store(store(&clock, 3600).await)
            .build()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let order = order_with_file(None);
        let lab = client.account("account-77");
        let download = lab.download(&order, &order.assets()[0]);
        let error = download
            .to_file(directory.path().join("a"))
            .await
            .unwrap_err();
        assert!(
            error.is_incomplete() && error.to_string().contains(says),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_file_that_stops_coming_is_a_timeout() {
    let transport = transport::from_fn(move |_| async move {
        let pieces = futures_util::stream::iter([
            Ok(bytes::Bytes::from_static(b"short")),
            Err(TransportError::timeout("nothing for 30 s")),
        ]);
        Ok(http::Response::new(Body::from_stream(pieces)))
    });
    let clock = TestClock::new();
    let client = builder("https://api.example/", &clock)
        .transport(transport)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let order = order_with_file(None);
    let lab = client.account("account-77");
    let download = lab.download(&order, &order.assets()[0]);
    let error = download
        .to_file(directory.path().join("a"))
        .await
        .unwrap_err();
    assert!(
        error.is_timeout() && error.was_sent() == Some(true),
        "{error:?}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// What marks an order as downloaded is not known: a file that cannot be kept is not asked for.
#[tokio::test]
async fn where_nothing_can_be_written_nothing_is_asked_for() {
    let bench = Bench::new(format!("{HEAD}content-length: 5\r\n\r\nshort")).await;
    let order = order_with_file(None);
    let download = || bench.lab.download(&order, &order.assets()[0]);
    let missing = bench.directory.path().join("missing").join("case.zip");
    let error = download().to_file(missing).await.unwrap_err();
    assert!(error.is_file(), "{error}");
    assert_eq!(error.operation(), Some("Download Asset"));
    assert_eq!(
        (error.was_sent(), error.attempts()),
        (Some(false), 0),
        "{error}"
    );
    assert_discreet(&error);

    let error = download().to_file("/").await.unwrap_err();
    assert!(error.is_configuration(), "{error}");
    assert_eq!(error.operation(), Some("Download Asset"));
    assert!(bench.server.requests().is_empty());

    // A directory stands where the file is to be: found out at the end.
    std::fs::create_dir(bench.target()).unwrap();
    let error = download().to_file(bench.target()).await.unwrap_err();
    assert!(error.is_file(), "{error}");
    assert_eq!(bench.files(), ["case.zip"], "a part of a file is left");
}

#[tokio::test]
async fn an_asset_without_url_and_id_cannot_be_asked_for() {
    let bench = Bench::new("").await;
    let order = order(json!({ "orderId": 1, "status": "Sent", "assets": [{ "type": "IDE" }] }));
    let error = bench.download(&order).await.unwrap_err();
    assert!(
        error.is_configuration() && error.was_sent() == Some(false),
        "{error}"
    );
    assert!(bench.server.requests().is_empty() && bench.files().is_empty());
}

/// The service prepares the file when it is asked for it: waited for as long as an operation may take.
#[tokio::test]
async fn a_file_that_is_not_ready_yet_is_waited_for() {
    for (prepares, header, whole) in [
        (20, Some("1"), true),
        (20, None, true),
        (9999, Some("9"), false),
    ] {
        let clock = TestClock::new();
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let transport = transport::from_fn(move |_| {
            let mut count = count.lock().unwrap();
            *count += 1;
            let answer = http::Response::builder();
            let answer = match (*count > prepares, header) {
                (true, _) => answer
                    .header("content-length", 6)
                    .body(Body::from("a file")),
                (false, Some(wait)) => {
                    let answer = answer.status(202).header("retry-after", wait);
                    answer.body(Body::from("{}"))
                }
                (false, None) => answer.status(202).body(Body::from("")),
            };
            std::future::ready(Ok(answer.unwrap()))
        });
        let client = builder("https://api.example/", &clock)
            .token_store(store(&clock, 100_000).await)
            .transport(transport)
            .build()
            .unwrap();
        let (order, mut file) = (order_with_file(None), Vec::new());
        let lab = client.account("account-77");
        let download = lab.download(&order, &order.assets()[0]);
        let result = download.to_writer(&mut file).await;
        assert_eq!(result.is_ok(), whole, "{result:?}");
        if whole {
            assert_eq!(file, b"a file");
            assert!(
                clock
                    .waits()
                    .iter()
                    .all(|wait| *wait >= Duration::from_secs(1))
            );
        } else {
            let error = result.unwrap_err();
            assert!(error.to_string().contains("not ready"), "{error}");
            assert!(
                error.is_retryable() && error.retry_after().is_some(),
                "{error}"
            );
            assert_discreet(&error);
            // Within the operation's time, and not for ever; the budget may end it before.
            assert!(*asked.lock().unwrap() < 900);
        }
    }
}
