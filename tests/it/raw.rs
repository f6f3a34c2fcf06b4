//! Requests of the caller's own making, and what all calls share: limits, budget, observers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use lab_connector::retry::RetryPolicy;
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{Client, Lab, Operation};
use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{TestClock, assert_discreet, builder, store};

async fn lab(server: &MockServer) -> Lab {
    let clock = TestClock::new();
    let tokens = store(&clock, 3600).await;
    let client = builder(&server.uri(), &clock).token_store(tokens);
    client.build().unwrap().account("account-77")
}

#[tokio::test]
async fn any_path_with_the_same_authorization() {
    let server = MockServer::start().await;
    Mock::given(method("PUT"))
        .and(path("/accounts/account-77/orders/a%2Fb/notes"))
        .and(query_param("draft", "yes & no"))
        .and(header("authorization", "Bearer access-1"))
        .and(header("x-tenant", "7"))
        .and(body_json(json!({ "text": "hello" })))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({ "id": 5 })))
        // Sent once, and read twice.
        .expect(3)
        .mount(&server)
        .await;
    let request = lab(&server)
        .await
        .request(Method::PUT, "accounts/{account_id}/orders/{order_id}/notes")
        .variable("order_id", "a/b")
        .query("draft", "yes & no")
        .header("x-tenant", "7")
        .json(json!({ "text": "hello" }));

    let seen = request.inspect().unwrap();
    assert_eq!(seen.method(), Method::PUT);
    assert!(
        seen.uri()
            .path()
            .ends_with("/accounts/account-77/orders/a%2Fb/notes")
    );
    assert!(!seen.headers().contains_key("authorization"));

    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(request.fetch::<Value>().await.unwrap()["id"], 5);
    assert!(request.fetch::<Vec<u8>>().await.unwrap_err().is_decode());
    assert!(!format!("{request:?}").contains("order-88"));
}

#[tokio::test]
async fn an_operation_with_a_body_of_its_own() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/accounts/account-77/orders/order-88/return"))
        .and(header("content-type", "text/plain"))
        .respond_with(ResponseTemplate::new(503))
        .expect(1)
        .mount(&server)
        .await;
    let returned = lab(&server)
        .await
        .call(Operation::ReturnScan)
        .variable("order_id", "order-88")
        .header("content-type", "text/plain")
        .body("margin not visible");
    let error = returned.send().await.unwrap_err();
    assert!(error.is_server() && !error.is_retryable(), "{error:?}");
    assert_eq!(error.operation(), Some("Return Scan"));
    assert_discreet(&error);
}

#[tokio::test]
async fn repeats_go_by_the_method_unless_the_caller_knows_better() {
    for (verb, repeatable, attempts) in [
        (Method::GET, None, 3),
        (Method::PUT, None, 3),
        (Method::DELETE, None, 3),
        (Method::POST, None, 1),
        (Method::PATCH, None, 1),
        (Method::POST, Some(true), 3),
        (Method::GET, Some(false), 1),
    ] {
        let server = MockServer::start().await;
        Mock::given(method(verb.as_str()))
            .respond_with(ResponseTemplate::new(503))
            .expect(attempts)
            .mount(&server)
            .await;
        let mut request = lab(&server).await.request(verb.clone(), "x");
        if let Some(repeatable) = repeatable {
            request = request.repeatable(repeatable);
        }
        let error = request.send().await.unwrap_err();
        assert_eq!(
            u64::from(error.attempts()),
            attempts,
            "{verb} {repeatable:?}"
        );
        // Off for this one.
        let once = request.retry(RetryPolicy::never());
        server.reset().await;
        assert_eq!(once.send().await.unwrap_err().attempts(), 1, "{verb}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_before_it_is() {
    let server = MockServer::start().await;
    let lab = lab(&server).await;
    for (request, named) in [
        (lab.request(Method::GET, "x/{rx_id}"), "rx_id"),
        (
            lab.request(Method::GET, "x/{rx_id}")
                .variable("rx_id", ".."),
            "rx_id",
        ),
        (lab.request(Method::GET, "ftp://a.example/"), "http"),
        (
            lab.request(Method::GET, "x")
                .header("authorization", "canary"),
            "authorization",
        ),
        (
            lab.request(Method::GET, "x").header("a\nb", "canary"),
            "header",
        ),
        (
            lab.request(Method::GET, "x").header("ab", "canary\n"),
            "header",
        ),
        (lab.call(Operation::ReturnScan), "order_id"),
    ] {
        let error = request.send().await.unwrap_err();
        assert!(error.is_configuration(), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(
            request.inspect().unwrap_err().to_string(),
            error.to_string()
        );
        assert_discreet(&error);
    }
    // A host that nobody allowed does not get the token.
    let elsewhere = lab.request(Method::GET, "https://elsewhere.example/");
    assert!(elsewhere.send().await.unwrap_err().is_origin());
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_observer_is_told_what_failed_and_what_was_decided() {
    let server = MockServer::start().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let clock = TestClock::new();
    let seen = Arc::clone(&told);
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .on_retry(move |event| {
            assert!(event.error.is_not_found());
            seen.lock().unwrap().push((event.attempts, event.decision));
        });
    let lab = client.build().unwrap().account("account-77");
    assert!(lab.orders().list().await.unwrap_err().is_not_found());
    let expected = (1, Err("a repeat would not help"));
    assert_eq!(*told.lock().unwrap(), [expected]);
}

/// In an outage with 1,000 callers the service sees what the budget allows: 1,100 requests, where
/// it would see 3,000 without.
#[tokio::test]
async fn an_outage_is_not_made_worse() {
    for (policy, expected) in [(None, 1100), (Some(RetryPolicy::never()), 1000)] {
        let requests = Arc::new(AtomicUsize::new(0));
        let clock = TestClock::new();
        let count = Arc::clone(&requests);
        let down = transport::from_fn(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Err(TransportError::broken("down")) }
        });
        let mut client = builder("http://127.0.0.1:9/", &clock)
            .token_store(store(&clock, 3600).await)
            .transport(down);
        if let Some(policy) = policy {
            client = client.retry(policy);
        }
        let client = client.build().unwrap();
        for _ in 0..1000 {
            let lab = client.clone().account("account-77");
            assert!(lab.orders().list().await.is_err());
        }
        // The waits take half a minute, which brings a few repeats back.
        let requests = requests.load(Ordering::SeqCst);
        assert!((expected..=expected + 5).contains(&requests), "{requests}");
    }
}

/// Eight at a time, each in its turn, and whoever stops waiting leaves it to the next.
#[tokio::test]
async fn an_account_takes_no_more_than_its_share() {
    let (gate, most) = (
        Arc::new(tokio::sync::Semaphore::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (under_way, passed) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&gate));
    let (counted, highest) = (Arc::clone(&under_way), Arc::clone(&most));
    let slow = transport::from_fn(move |_| {
        let (gate, under_way, most) = (passed.clone(), counted.clone(), highest.clone());
        async move {
            let place = Place::take(under_way);
            most.fetch_max(place.0.load(Ordering::SeqCst), Ordering::SeqCst);
            let Ok(permit) = gate.acquire().await else {
                return Err(TransportError::broken("the test is over"));
            };
            permit.forget();
            Ok(http::Response::new(Body::from("[]")))
        }
    });
    let clock = TestClock::new();
    let client = builder("http://127.0.0.1:9/", &clock)
        .token_store(store(&clock, 3600).await)
        .transport(slow)
        .build()
        .unwrap();
    let lab = client.account("account-77");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let lab = lab.clone();
        calls.spawn(async move { lab.orders().list().await });
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(under_way.load(Ordering::SeqCst), 8);
    // A handful stop waiting; another account is not held up by this one.
    calls.abort_all();
    while calls.join_next().await.is_some() {}
    gate.add_permits(1000);
    lab.orders().list().await.unwrap();
    assert_eq!(under_way.load(Ordering::SeqCst), 0);
    assert_eq!(most.load(Ordering::SeqCst), 8);
}

/// Counts a request for as long as it is under way, also where it is given up.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Place(count)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_file_that_comes_too_slowly_is_given_up() {
    let clock = TestClock::new();
    let ticking = clock.clone();
    let drip = move |_| {
        let clock = ticking.clone();
        async move {
            let pieces = futures_util::stream::unfold((0, clock), |(sent, clock)| async move {
                clock.advance(Duration::from_secs(1));
                (sent < 100).then(|| (Ok(bytes::Bytes::from_static(b"x")), (sent + 1, clock)))
            });
            let answer = http::Response::builder().header("content-length", 100);
            Ok(answer.body(Body::from_stream(pieces)).unwrap())
        }
    };
    let directory = tempfile::tempdir().unwrap();
    for (rate, fails) in [(None, false), (Some(1), false), (Some(2), true)] {
        let client: Client = builder("http://127.0.0.1:9/", &clock)
            .token_store(store(&clock, 3600).await)
            .attempt_timeout(Duration::from_secs(61))
            .idle_timeout(Duration::from_secs(61))
            .minimum_rate(rate)
            .transport(transport::from_fn(drip.clone()))
            .build()
            .unwrap();
        let lab = client.account("account-77");
        let order = crate::support::order_with_file(None);
        let path = directory.path().join("case.zip");
        let result = lab
            .download(&order, &order.assets()[0])
            .to_file(&path)
            .await;
        assert_eq!(result.is_err(), fails, "{rate:?}: {result:?}");
        if let Err(error) = result {
            assert!(error.is_timeout(), "{error:?}");
        }
    }
}
