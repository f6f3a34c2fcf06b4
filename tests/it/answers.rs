//! Each operation against each kind of answer.

use std::sync::Arc;
use std::time::Duration;

use lab_connector::auth::AuthorizationRequest;
use lab_connector::{Client, Error, Lab, Login, Operation, Order, Result};
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{
    Boxed, ClosedPort, RawServer, TestClock, assert_discreet, builder, order_with_file, store,
};

const TOKENS: &str = r#"{"access_token":"access-2","refresh_token":"refresh-2","expires_in":3600}"#;
const ORDER: &str = r#"{"orderId":"order-88","rxId":"rx-99","status":"Lab Review"}"#;

/// One operation: how it is called, and what is special about it.
struct Row {
    operation: Operation,
    path: &'static str,
    success: &'static str,
    call: fn(&Bench) -> Boxed<'_, Result<()>>,
    sends: Sends,
    answer: Due,
}

/// Who sends it again, and when.
#[derive(Clone, Copy, PartialEq)]
enum Sends {
    /// The authorization services: once.
    Once,
    /// Reading: until it succeeds.
    Repeatedly,
    /// With an effect: again only if it was not sent.
    Carefully,
}

/// What is due as the answer.
#[derive(Clone, Copy, PartialEq)]
enum Due {
    Json,
    /// Nothing is read from it.
    Nothing,
    File,
}

const ROWS: [Row; 10] = [
    Row {
        operation: Operation::GetToken,
        path: "/oauth/token",
        success: TOKENS,
        call: |bench| Box::pin(async { bench.finish().await }),
        sends: Sends::Once,
        answer: Due::Json,
    },
    Row {
        operation: Operation::RevokeToken,
        path: "/oauth/revoke",
        success: "",
        call: |bench| Box::pin(bench.login.revoke()),
        sends: Sends::Once,
        answer: Due::Nothing,
    },
    Row {
        operation: Operation::Discovery,
        path: "/discovery",
        success: r#"{"endpoints":{"pair":"/pairing/{account_id}"}}"#,
        call: |bench| Box::pin(bench.client.discover()),
        sends: Sends::Repeatedly,
        answer: Due::Json,
    },
    Row {
        operation: Operation::GetAccounts,
        path: "/accounts",
        success: r#"{"accounts":[{"accountId":"account-77","name":"canary"}]}"#,
        call: |bench| Box::pin(async { bench.login.accounts().await.map(drop) }),
        sends: Sends::Repeatedly,
        answer: Due::Json,
    },
    Row {
        operation: Operation::Pair,
        path: "/accounts/account-77/pair",
        success: TOKENS,
        call: |bench| Box::pin(async { bench.login.pair("account-77").await.map(drop) }),
        sends: Sends::Carefully,
        answer: Due::Json,
    },
    Row {
        operation: Operation::Unpair,
        path: "/accounts/account-77/unpair",
        success: "",
        call: |bench| Box::pin(bench.lab.unpair()),
        sends: Sends::Carefully,
        answer: Due::Nothing,
    },
    Row {
        operation: Operation::GetOrders,
        path: "/accounts/account-77/orders",
        success: "[]",
        call: |bench| Box::pin(async { bench.lab.orders().list().await.map(drop) }),
        sends: Sends::Repeatedly,
        answer: Due::Json,
    },
    Row {
        operation: Operation::GetOrderByRxId,
        path: "/accounts/account-77/rx/rx-99",
        success: ORDER,
        call: |bench| Box::pin(async { bench.lab.orders().by_rx(&"rx-99".into()).await.map(drop) }),
        sends: Sends::Repeatedly,
        answer: Due::Json,
    },
    Row {
        operation: Operation::DownloadAsset,
        path: "/accounts/account-77/orders/order-88/assets/asset-66",
        success: "a file",
        call: |bench| Box::pin(bench.download()),
        sends: Sends::Repeatedly,
        answer: Due::File,
    },
    Row {
        operation: Operation::ReturnScan,
        path: "/accounts/account-77/orders/order-88/return",
        success: "",
        call: |bench| Box::pin(async { bench.lab.orders().return_to_doctor("order-88").await }),
        sends: Sends::Carefully,
        answer: Due::Nothing,
    },
];

/// A client with everything that the calls need.
struct Bench {
    client: Client,
    login: Login,
    lab: Lab,
    request: AuthorizationRequest,
    order: Order,
    directory: tempfile::TempDir,
    clock: TestClock,
}

impl Bench {
    async fn new(base_url: &str) -> Self {
        let clock = TestClock::new();
        let client = builder(base_url, &clock)
            .token_store(store(&clock, 3600).await)
            .build()
            .unwrap();
        let login = client.login("me");
        Bench {
            lab: client.account("account-77"),
            request: login.authorize().unwrap(),
            login,
            client,
            order: order_with_file(None),
            directory: tempfile::tempdir().unwrap(),
            clock,
        }
    }

    async fn finish(&self) -> Result<()> {
        let pairs = self.request.url().query_pairs();
        let state = pairs.into_iter().find(|(key, _)| key == "state").unwrap().1;
        let mut redirected = Url::parse("https://lab.example/callback?code=code-canary").unwrap();
        redirected.query_pairs_mut().append_pair("state", &state);
        self.login.finish(&self.request, &redirected).await
    }

    async fn download(&self) -> Result<()> {
        let path = self.directory.path().join("case.zip");
        let download = self.lab.download(&self.order, &self.order.assets()[0]);
        let result = download.to_file(&path).await.map(drop);
        assert_eq!(path.exists(), result.is_ok());
        if result.is_err() {
            let left = std::fs::read_dir(self.directory.path()).unwrap().count();
            assert_eq!(left, 0, "a part of a file is left");
        }
        result
    }
}

/// What came of one call.
struct Outcome {
    result: Result<()>,
    /// How often the operation's own endpoint was asked.
    seen: usize,
    waits: Vec<Duration>,
}

impl Outcome {
    fn error(&self, row: &Row) -> &Error {
        let error = self.result.as_ref().expect_err(row.path);
        assert_eq!(error.operation(), Some(row.operation.title()), "{error:?}");
        assert!(
            error.to_string().starts_with(row.operation.title()),
            "{error}"
        );
        assert_discreet(error);
        error
    }
}

/// Calls an operation whose endpoint always gives this answer.
async fn outcome(row: &Row, answer: ResponseTemplate) -> Outcome {
    let server = MockServer::start().await;
    Mock::given(path(row.path))
        .respond_with(answer)
        .mount(&server)
        .await;
    // Where a 401 has the token renewed.
    Mock::given(method("POST"))
        .and(path("/oauth/token"))
        .respond_with(ResponseTemplate::new(200).set_body_string(TOKENS))
        .with_priority(200)
        .mount(&server)
        .await;
    let bench = Bench::new(&server.uri()).await;
    let result = (row.call)(&bench).await;
    let requests = server.received_requests().await.unwrap();
    Outcome {
        result,
        seen: requests
            .iter()
            .filter(|request| request.url.path() == row.path)
            .count(),
        waits: bench.clock.waits(),
    }
}

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .insert_header("x-request-id", "req-1")
        .set_body_raw(r#"{"patient":"canary"}"#, "application/json")
}

fn body(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(text)
}

#[tokio::test]
async fn success() {
    for row in &ROWS {
        let outcome = outcome(row, body(row.success)).await;
        assert!(outcome.result.is_ok(), "{}: {:?}", row.path, outcome.result);
        assert_eq!((outcome.seen, outcome.waits.len()), (1, 0), "{}", row.path);
    }
}

#[tokio::test]
async fn unauthorized_is_told_after_the_token_was_renewed_once() {
    for row in &ROWS {
        let outcome = outcome(row, status(401)).await;
        let error = outcome.error(row);
        assert!(
            error.is_unauthorized() && !error.is_reauthorization_needed(),
            "{error}"
        );
        // Discovery goes without a token, the authorization services show the client's secret.
        let bears_token = row.sends != Sends::Once && row.operation != Operation::Discovery;
        let expected = if bears_token { 2 } else { 1 };
        assert_eq!(
            (outcome.seen, error.attempts()),
            (expected, expected as u32),
            "{error}"
        );
    }
}

#[tokio::test]
async fn not_found_is_told_at_once() {
    for row in &ROWS {
        let outcome = outcome(row, status(404)).await;
        let error = outcome.error(row);
        assert!(
            error.is_not_found() && error.was_sent() == Some(true),
            "{error}"
        );
        assert_eq!((outcome.seen, error.attempts()), (1, 1), "{error}");
        assert_eq!(error.request_id(), Some("req-1"));
        assert!(error.to_string().contains(" [request req-1]; "), "{error}");
    }
}

#[tokio::test]
async fn too_many_requests_waits_as_long_as_it_is_asked_to() {
    // Seven seconds from the beginning of the test clock's time.
    for (value, by_date) in [("7", false), ("Sat, 14 Mar 2026 09:27:00 GMT", true)] {
        for row in &ROWS {
            let answer = status(429).insert_header("retry-after", value);
            let outcome = outcome(row, answer).await;
            let error = outcome.error(row);
            assert!(error.is_rate_limited(), "{error}");
            let seven = Duration::from_secs(7);
            if row.sends == Sends::Repeatedly {
                assert_eq!((outcome.seen, error.attempts()), (3, 3), "{error}");
                assert_eq!(outcome.waits[0], seven);
                // A date comes nearer; a number of seconds begins anew.
                let second = outcome.waits[1];
                assert!(
                    if by_date {
                        second < seven
                    } else {
                        second == seven
                    },
                    "{second:?}"
                );
                let left = if by_date { Duration::ZERO } else { seven };
                assert_eq!(error.retry_after(), Some(left), "{error}");
            } else {
                assert_eq!((outcome.seen, error.attempts()), (1, 1), "{error}");
                assert_eq!(error.retry_after(), Some(seven), "{error}");
            }
        }
    }
}

/// The same answers, from services that describe errors in the form of OAuth 2.
#[tokio::test]
async fn an_oauth_error_keeps_what_the_headers_say() {
    for row in &ROWS {
        let answer = ResponseTemplate::new(429)
            .insert_header("retry-after", "7")
            .insert_header("x-request-id", "req-1")
            .set_body_raw(
                r#"{"error":"slow_down","patient":"canary"}"#,
                "application/json",
            );
        let outcome = outcome(row, answer).await;
        let error = outcome.error(row);
        assert!(error.is_rate_limited(), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{error}");
        assert_eq!(error.request_id(), Some("req-1"), "{error}");
    }
}

#[tokio::test]
async fn a_failing_service_is_asked_again_where_that_is_safe() {
    for row in &ROWS {
        let outcome = outcome(row, status(500)).await;
        let error = outcome.error(row);
        assert!(error.is_server(), "{error}");
        let expected = if row.sends == Sends::Repeatedly { 3 } else { 1 };
        assert_eq!(
            (outcome.seen, error.attempts()),
            (expected, expected as u32),
            "{error}"
        );
        assert_eq!(outcome.waits.len(), expected - 1);
    }
}

#[tokio::test]
async fn json_that_is_cut_off_is_no_answer() {
    for row in &ROWS {
        let outcome = outcome(row, body(r#"{"orders": [{"patient": "canary"#)).await;
        assert_eq!(outcome.seen, 1, "{}", row.path);
        if row.answer == Due::Json {
            let error = outcome.error(row);
            assert!(
                error.is_decode() && error.was_sent() == Some(true),
                "{error}"
            );
            assert_eq!(error.status().map(|status| status.as_u16()), Some(200));
            assert_eq!(error.attempts(), 1, "{error}");
            assert!(error.to_string().contains("JSON"), "{error}");
        } else {
            assert!(outcome.result.is_ok(), "{:?}", outcome.result);
        }
    }
}

/// The page of a proxy or of a sign-in form says 200 and means nothing of the kind: also where
/// nothing is read from the answer, the operation was not carried out.
#[tokio::test]
async fn a_page_is_no_answer() {
    let page = "<!DOCTYPE html><title>canary</title>";
    for row in &ROWS {
        let answer = ResponseTemplate::new(200).set_body_raw(page, "text/html; charset=utf-8");
        let outcome = outcome(row, answer).await;
        let error = outcome.error(row);
        assert!(error.is_decode(), "{error}");
        assert!(error.to_string().contains("HTML"), "{error}");
        assert_eq!(outcome.seen, 1, "{error}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_as_nothing_was_sent() {
    let port = ClosedPort::new();
    for row in &ROWS {
        let bench = Bench::new(&port.url()).await;
        let result = (row.call)(&bench).await;
        let waits = bench.clock.waits().len();
        let outcome = Outcome {
            result,
            seen: 0,
            waits: Vec::new(),
        };
        let error = outcome.error(row);
        assert!(
            error.is_connect() && error.was_sent() == Some(false),
            "{error}"
        );
        let attempts = if row.sends == Sends::Once { 1 } else { 3 };
        assert_eq!(error.attempts(), attempts, "{error}");
        // Get Accounts asks Discovery first.
        let calls = if row.operation == Operation::GetAccounts {
            2
        } else {
            1
        };
        assert_eq!(waits, (attempts as usize - 1) * calls, "{error}");
        let origin = port.url();
        assert!(
            error.to_string().contains(origin.trim_end_matches('/')),
            "{error}"
        );
    }
}

/// *Refresh Token* has rules of its own: a caller is told that its call did not come about, why,
/// and when the next refresh is tried. Where the answer was lost it was sent once more.
#[tokio::test]
async fn a_refresh_that_fails_is_told_to_whoever_needs_the_token() {
    type Is = fn(&Error) -> bool;
    let html = || body("<html>canary");
    let table: [(ResponseTemplate, Is, u32); 7] = [
        (status(401), Error::is_unauthorized, 1),
        (status(404), Error::is_refresh_failed, 1),
        (status(429), Error::is_rate_limited, 1),
        (status(500), Error::is_server, 2),
        (status(503), Error::is_server, 1),
        (body(r#"{"access_token": "#), Error::is_decode, 2),
        (html(), Error::is_decode, 2),
    ];
    for (answer, is, attempts) in table {
        let server = MockServer::start().await;
        Mock::given(path("/oauth/token"))
            .respond_with(answer)
            .expect(u64::from(attempts))
            .mount(&server)
            .await;
        let bench = Bench::new(&server.uri()).await;
        bench.clock.advance(Duration::from_secs(7200));
        let error = bench.lab.orders().list().await.unwrap_err();
        assert!(is(&error) && error.is_refresh_failed(), "{error:?}");
        assert_eq!(error.operation(), Some("Refresh Token"));
        assert_eq!(error.attempts(), attempts, "{error}");
        // The listing itself never went out.
        assert_eq!(error.was_sent(), Some(false), "{error}");
        assert!(error.retry_after().is_some(), "{error}");
        // And nothing more is, until it is time.
        assert!(
            bench
                .lab
                .orders()
                .list()
                .await
                .unwrap_err()
                .is_refresh_failed()
        );
        assert_discreet(&error);
    }
    let port = ClosedPort::new();
    let bench = Bench::new(&port.url()).await;
    bench.clock.advance(Duration::from_secs(7200));
    let error = bench.lab.orders().list().await.unwrap_err();
    assert!(error.is_connect() && error.is_refresh_failed(), "{error:?}");
}

/// Many callers fail by one error of the renewal: each is told which of its calls failed.
#[tokio::test]
async fn a_shared_failure_names_the_operation_to_everybody() {
    let server = MockServer::start().await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock).build().unwrap();
    let lab = Arc::new(client.account("account-77"));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let lab = Arc::clone(&lab);
            tokio::spawn(async move { lab.orders().list().await.unwrap_err() })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap();
        assert!(error.is_reauthorization_needed(), "{error}");
        assert_eq!(error.operation(), Some("Get Orders"), "{error}");
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

/// The time of an operation is the limit of all its attempts together.
#[tokio::test]
async fn an_operation_ends_in_its_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let clock = TestClock::new();
    let builder = builder(&url, &clock).operation_timeout(Duration::from_secs(30));
    let client = builder.build().unwrap();
    let error = tokio::time::timeout(Duration::from_secs(10), client.discover())
        .await
        .expect("the operation outlives its time")
        .unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(error.operation(), Some("Discovery"));
}

/// The connection ends before an answer, or in the middle of one.
#[tokio::test]
async fn a_broken_connection_is_tried_again_where_that_is_safe() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"orders\": [";
    for (answer, sent) in [("", None), (cut, Some(true))] {
        for row in &ROWS {
            let server = RawServer::start(answer).await;
            let bench = Bench::new(&server.url("/")).await;
            let result = (row.call)(&bench).await;
            let waits = bench.clock.waits();
            let outcome = Outcome {
                result,
                seen: 0,
                waits,
            };
            let error = outcome.error(row);
            if row.answer == Due::File && sent == Some(true) {
                // Its head had come: the file is what broke off.
                assert!(error.is_incomplete(), "{error}");
                assert_eq!((error.was_sent(), error.attempts()), (Some(true), 3));
                continue;
            }
            assert!(error.is_interrupted(), "{error:?}");
            assert_eq!(error.was_sent(), sent, "{error}");
            let attempts = if row.sends == Sends::Repeatedly { 3 } else { 1 };
            assert_eq!(error.attempts(), attempts, "{error}");
        }
    }
}
