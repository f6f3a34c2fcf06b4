//! A service that does everything wrong, byte by byte: each failure has its predicate, says
//! whether the request was sent, and is tried again only where that does no harm.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::transport;
use lab_connector::{Client, Endpoints, Error, MemoryTokenStore, TokenStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::support::{ClosedPort, TestClock, assert_discreet, builder, store};

/// What the server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// Closes it before it has read anything.
    Close,
    /// Resets it once the request has come.
    Reset,
    /// Sends these bytes, then resets.
    ThenReset(&'static str),
    /// Sends these bytes, then closes.
    ThenClose(&'static str),
    /// Sends these bytes, then nothing any more.
    ThenHang(&'static str),
    /// Sends headers without end.
    EndlessHeaders,
    /// Sends a body of so many bytes.
    Body(usize),
}
use Manner::*;

struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, manner));
            }
        });
        Server {
            address,
            requests,
            task: task.abort_handle(),
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Errors are the client's way of going away.
async fn serve(mut stream: TcpStream, manner: Manner) {
    if manner == Close {
        return;
    }
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"}") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    match manner {
        Close => {}
        Reset => stream.set_zero_linger().unwrap_or_default(),
        ThenReset(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            // The client reads what came before the reset, or it would be lost with it: it has
            // read all once it has closed its side or nothing more goes out.
            let _ = stream.flush().await;
            let _ = stream.set_zero_linger();
        }
        ThenClose(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        ThenHang(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            // Until the client gives up.
            let _ = stream.read_buf(&mut request).await;
        }
        EndlessHeaders => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while stream.write_all(b"x-more: and more\r\n").await.is_ok() {}
        }
        Body(length) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let piece = vec![b' '; 1 << 16];
            let mut left = length;
            while left > 0 {
                let part = &piece[..left.min(piece.len())];
                if stream.write_all(part).await.is_err() {
                    return;
                }
                left -= part.len();
            }
        }
    }
}

/// What is expected: the predicate, whether it was sent, and whether a repeat could help.
type Expected = (fn(&Error) -> bool, Option<bool>, bool);

const INTERRUPTED: fn(&Error) -> bool = Error::is_interrupted;
const DECODE: fn(&Error) -> bool = Error::is_decode;

fn table() -> Vec<(Manner, Expected)> {
    vec![
        (Close, (INTERRUPTED, None, true)),
        (Reset, (INTERRUPTED, None, true)),
        (ThenReset("HTTP/1.1 2"), (INTERRUPTED, None, true)),
        (
            ThenClose("HTTP/1.1 200 OK\r\ncontent-le"),
            (INTERRUPTED, None, true),
        ),
        (
            ThenClose("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[{\"a\":"),
            (INTERRUPTED, Some(true), true),
        ),
        (
            ThenClose("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[{\"a"),
            (INTERRUPTED, Some(true), true),
        ),
        (
            ThenClose("SSH-2.0-OpenSSH_9.6 canary\r\n"),
            (INTERRUPTED, None, false),
        ),
        (EndlessHeaders, (INTERRUPTED, None, false)),
        (
            // Shorter than what follows: the rest is another answer, to nothing.
            ThenClose("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[{\"canary\":1}]"),
            (DECODE, Some(true), false),
        ),
        (
            ThenClose(
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\u{b}x",
            ),
            (DECODE, Some(true), false),
        ),
        (
            ThenClose("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            (DECODE, Some(true), false),
        ),
        (Body(32 * 1024 * 1024 + 1), (DECODE, Some(true), false)),
    ]
}

async fn client(url: &str, clock: &TestClock) -> Client {
    let tokens = store(clock, 3600).await;
    builder(url, clock).token_store(tokens).build().unwrap()
}

#[tokio::test]
async fn what_only_reads_is_tried_again_where_that_may_help() {
    for (manner, (is, sent, helps)) in table() {
        let server = Server::start(manner).await;
        let clock = TestClock::new();
        let lab = client(&server.url(), &clock).await.account("account-77");
        let error = lab.orders().list().await.unwrap_err();
        assert!(is(&error), "{manner:?}: {error:?}");
        assert_eq!(error.was_sent(), sent, "{manner:?}: {error:?}");
        assert_eq!(error.is_retryable(), helps, "{manner:?}: {error:?}");
        let attempts = if helps { 3 } else { 1 };
        assert_eq!(error.attempts(), attempts, "{manner:?}: {error:?}");
        assert_eq!(server.requests.load(Ordering::SeqCst), attempts as usize);
        let waited: Duration = clock.waits().iter().sum();
        assert!(waited <= Duration::from_secs(120), "{manner:?}: {waited:?}");
        assert_eq!(error.operation(), Some("Get Orders"));
        assert_discreet(&error);
    }
}

#[tokio::test]
async fn what_has_an_effect_is_sent_once() {
    for (manner, (is, sent, _)) in table() {
        if matches!(manner, ThenClose(bytes) if bytes.contains("content-length: 0"))
            || manner == ThenClose("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[{\"canary\":1}]")
            || matches!(manner, ThenClose(bytes) if bytes.contains("gzip"))
        {
            // A success of which nothing is read.
            continue;
        }
        let server = Server::start(manner).await;
        let clock = TestClock::new();
        let lab = client(&server.url(), &clock).await.account("account-77");
        let returned = lab.orders().return_to_doctor("order-88");
        let error = returned.reason("canary").await.unwrap_err();
        assert!(is(&error), "{manner:?}: {error:?}");
        assert_eq!(error.was_sent(), sent, "{manner:?}: {error:?}");
        assert!(!error.is_retryable(), "{manner:?}: {error:?}");
        assert_eq!(error.attempts(), 1, "{manner:?}: {error:?}");
        assert_eq!(server.requests.load(Ordering::SeqCst), 1, "{manner:?}");
        assert_discreet(&error);
    }
}

#[tokio::test]
async fn what_certainly_was_not_sent_is_tried_again_also_with_an_effect() {
    let (port, clock) = (ClosedPort::new(), TestClock::new());
    let lab = client(&port.url(), &clock).await.account("account-77");
    let error = lab.orders().return_to_doctor("order-88").await.unwrap_err();
    assert!(error.is_connect() && error.is_retryable(), "{error:?}");
    assert_eq!((error.attempts(), error.was_sent()), (3, Some(false)));
}

/// With the limits of the docs; the clock lets each pass at once.
#[tokio::test]
async fn a_service_that_hangs_is_given_its_time_and_no_more() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[";
    for (manner, sent) in [
        (ThenHang(""), None),
        (ThenHang("HTTP/1.1 200"), None),
        (ThenHang(head), None),
    ] {
        let server = Server::start(manner).await;
        let clock = TestClock::new();
        let tokens = store(&clock, 3600).await;
        let client = builder(&server.url(), &clock)
            .attempt_timeout(Duration::from_secs(30))
            .idle_timeout(Duration::from_secs(30))
            .operation_timeout(Duration::from_secs(100))
            .token_store(tokens);
        let lab = client.build().unwrap().account("account-77");
        let error = lab.orders().list().await.unwrap_err();
        assert!(error.is_timeout(), "{manner:?}: {error:?}");
        assert_eq!(error.was_sent(), sent, "{manner:?}: {error:?}");
        assert_eq!(error.attempts(), 3, "{manner:?}: {error:?}");
        assert!(error.to_string().contains("30 s"), "{error}");
        // Three attempts of 30 seconds, and two waits of less than a second.
        let elapsed = error.elapsed().unwrap();
        let most = Duration::from_secs(91);
        assert!(elapsed <= most, "{manner:?}: {elapsed:?}");
        assert_discreet(&error);
    }
}

/// A byte a second: each comes in good time, and the whole never does.
#[tokio::test(start_paused = true)]
async fn an_answer_that_drips_has_the_time_of_an_attempt() {
    let drips = transport::from_fn(|_| async {
        let body = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(bytes::Bytes::from_static(b"[")), ()))
        });
        Ok(http::Response::new(transport::Body::from_stream(body)))
    });
    let tokens = r#"{"access_token": "a", "expires_at": 4102444800, "generation": 1}"#;
    let store = MemoryTokenStore::new();
    let key = TokenKey::Account("account-77".into());
    let tokens = Tokens::from_json(tokens).unwrap();
    store.swap(&key, None, &tokens).await.unwrap();
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url("https://lab.example/").unwrap())
        .credentials("id", "secret")
        .token_store(store)
        .transport(drips)
        .build()
        .unwrap();
    let begun = tokio::time::Instant::now();
    let error = client
        .account("account-77")
        .orders()
        .list()
        .await
        .unwrap_err();
    assert!(error.is_timeout() && error.is_retryable(), "{error:?}");
    assert_eq!((error.attempts(), error.was_sent()), (3, Some(true)));
    // Three attempts of 30 seconds, and two waits of less than a second.
    let elapsed = begun.elapsed().as_secs();
    assert!((90..=92).contains(&elapsed), "{elapsed}");
}

#[tokio::test]
async fn an_answer_may_have_as_many_bytes_as_the_limit_says() {
    for (limit, said) in [(1 << 20, "1 MiB"), (1000, "1000 bytes")] {
        for (length, fits) in [(limit, true), (limit + 1, false)] {
            let server = Server::start(Body(length)).await;
            let clock = TestClock::new();
            let client = builder(&server.url(), &clock)
                .answer_limit(limit)
                .token_store(store(&clock, 3600).await);
            let lab = client.build().unwrap().account("account-77");
            let error = lab.orders().list().await.unwrap_err();
            // Blanks are no list; whether they were read is what differs.
            assert!(error.is_decode(), "{error:?}");
            let expected = format!("it is longer than {said}");
            assert_eq!(error.to_string().contains(&expected), !fits, "{error}");
        }
    }
}

#[tokio::test]
async fn old_http_and_answers_in_advance_are_understood() {
    let orders = r#"{"orders":[]}"#;
    let old: &'static str = Box::leak(format!("HTTP/1.0 200 OK\r\n\r\n{orders}").into_boxed_str());
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]";
    for manner in [ThenClose(old), ThenClose(hints)] {
        let server = Server::start(manner).await;
        let clock = TestClock::new();
        let lab = client(&server.url(), &clock).await.account("account-77");
        let listing = lab.orders().list().await.unwrap();
        assert!(listing.orders().is_empty() && listing.is_complete());
    }
}
