//! The life of tokens: renewed once for all, never lost, never used before they are stored.

mod service;
mod stored;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab_connector::transport::{self, Body};
use lab_connector::{Client, Operation, Result};

use self::service::Service;
use self::stored::Watched;
use crate::support::{TestClock, account, builder, keep, kept, login, order_with_file, store};

async fn list(client: &Client) -> Result<()> {
    client.account("account-77").orders().list().await.map(drop)
}

#[tokio::test]
async fn where_the_renewal_is_refused_the_call_is_not_repeated() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = store(&clock, 3600).await;
    let client = service.client(&clock, Arc::clone(&store));
    // Somebody else has renewed: `access-1` is good no more.
    service.refuse(401, r#"{"error":"invalid_client"}"#);
    service.0.newest.store(7, Ordering::SeqCst);
    let error = list(&client).await.unwrap_err();
    assert!(
        error.is_unauthorized() && !error.is_reauthorization_needed(),
        "{error}"
    );
    assert_eq!(error.operation(), Some("Refresh Token"));
    assert!(error.to_string().contains("invalid_client"), "{error}");

    *service.0.refusal.lock().unwrap() = None;
    clock.advance(error.retry_after().unwrap());
    let error = list(&client).await.unwrap_err();
    assert!(
        error.is_reauthorization_needed() && !error.is_unauthorized(),
        "{error}"
    );
    assert_eq!(
        (error.operation(), error.attempts()),
        (Some("Refresh Token"), 1)
    );
    assert_eq!(service.shown(), ["access-1", "access-1"]);
}

#[tokio::test]
async fn what_may_not_be_repeated_is_repeated_after_a_401_as_it_had_no_effect() {
    let (clock, service) = (TestClock::new(), Service::new());
    service.forget_first_access_token();
    let client = service.client(&clock, store(&clock, 3600).await);
    let lab = client.account("account-77");
    lab.orders().return_to_doctor("order-88").await.unwrap();
    assert_eq!(service.token_requests(), 1);
    assert_eq!(service.shown(), ["access-1", "access-2"]);

    let service = Service::new();
    service.forget_first_access_token();
    let client = service.client(&clock, store(&clock, 3600).await);
    let order = order_with_file(None);
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("a");
    let lab = client.account("account-77");
    lab.download(&order, &order.assets()[0])
        .to_file(&to)
        .await
        .unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), b"a file");
    assert_eq!(service.shown(), ["access-1", "access-2"]);
}

/// A store of files never sees the token: its 401 says nothing about it.
#[tokio::test]
async fn a_refusal_by_a_host_that_never_saw_the_token_renews_nothing() {
    let clock = TestClock::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&asked);
    let transport = transport::from_fn(move |request| {
        paths.lock().unwrap().push(request.uri().to_string());
        let status = if request.uri().host() == Some("files.example") {
            401
        } else {
            404
        };
        let answer = http::Response::builder().status(status);
        std::future::ready(Ok(answer.body(Body::from("")).unwrap()))
    });
    let client = builder("https://api.example/", &clock)
        .transport(transport)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let order = order_with_file(Some("https://files.example/f"));
    let lab = client.account("account-77");
    let mut file = Vec::new();
    let download = lab.download(&order, &order.assets()[0]);
    let error = download.to_writer(&mut file).await.unwrap_err();
    assert!(
        error.is_unauthorized() && !error.is_refresh_failed(),
        "{error}"
    );
    // A new URL is asked for, as signed ones expire, and no token.
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "https://files.example/f",
            "https://api.example/accounts/account-77/rx/rx-99"
        ]
    );
}

#[tokio::test]
async fn a_late_refusal_of_an_old_token_renews_nothing() {
    let (clock, service) = (TestClock::new(), Service::new());
    let client = service.client(&clock, store(&clock, 3600).await);
    // One call is with the service while another has the token renewed.
    service.0.call_gate.close();
    let slow = tokio::spawn({
        let client = client.clone();
        async move { list(&client).await }
    });
    service.0.call_gate.reached().await;
    service.0.call_gate.closed.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(3590));
    list(&client).await.unwrap();
    assert_eq!(service.token_requests(), 1);

    // By now `access-1` is good no more.
    service.0.call_gate.open();
    slow.await.unwrap().unwrap();
    assert_eq!(service.token_requests(), 1);
    assert_eq!(service.shown(), ["access-1", "access-2", "access-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_at_expiry_make_one_token_request() {
    for seconds in [-1, 60] {
        let (clock, service) = (TestClock::new(), Service::new());
        let client = service.client(&clock, store(&clock, seconds).await);
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { list(&client).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!((service.token_requests(), service.shown().len()), (1, 100));
        assert!(service.shown().iter().all(|token| token == "access-2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_refused_callers_make_one_token_request() {
    let (clock, service) = (TestClock::new(), Service::new());
    service.forget_first_access_token();
    let client = service.client(&clock, store(&clock, 3600).await);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { list(&client).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let renewed = service
        .shown()
        .iter()
        .filter(|token| *token == "access-2")
        .count();
    assert_eq!((service.token_requests(), renewed), (1, 100));
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_no_token_with_it() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = Watched::new(&clock, -1).await;
    let client = service.client(&clock, Arc::clone(&store));
    service.0.token_gate.close();
    let caller = tokio::spawn({
        let client = client.clone();
        async move { list(&client).await }
    });
    service.0.token_gate.reached().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    service.0.token_gate.open();
    store.saved.acquire().await.unwrap().forget();
    assert_eq!(
        kept(&store.inner, &account()).await.as_deref(),
        Some("access-2")
    );
    list(&client).await.unwrap();
    assert_eq!(
        (service.token_requests(), service.shown()),
        (1, vec!["access-2".to_owned()])
    );
}

#[tokio::test]
async fn an_early_renewal_that_fails_keeps_what_is_still_good() {
    // With the tokens in use, and with tokens that were just read after a restart.
    for used_before in [true, false] {
        let (clock, service) = (TestClock::new(), Service::new());
        let client = service.client(&clock, store(&clock, 3600).await);
        if used_before {
            list(&client).await.unwrap();
        }
        service.refuse(503, "");
        clock.advance(Duration::from_secs(3600 - 120));
        list(&client).await.expect("two minutes are left");
        assert_eq!(service.token_requests(), 1);
        // Not every call asks in vain, and perhaps for long, while there is time.
        for (later, asked) in [(1, 1), (28, 2), (1, 2), (10, 3)] {
            clock.advance(Duration::from_secs(later));
            list(&client).await.expect("more than a minute is left");
            assert_eq!(service.token_requests(), asked);
        }
        clock.advance(Duration::from_secs(121));
        let error = list(&client).await.unwrap_err();
        assert!(
            error.is_server() && !error.is_reauthorization_needed(),
            "{error}"
        );
        assert_eq!(error.operation(), Some("Refresh Token"));
        *service.0.refusal.lock().unwrap() = None;
        clock.advance(error.retry_after().unwrap());
        list(&client).await.unwrap();
    }
}

#[tokio::test]
async fn a_person_is_asked_for_only_when_the_refresh_token_is_refused() {
    let (clock, service) = (TestClock::new(), Service::new());
    for (status, body, person) in [
        (
            400,
            r#"{"error":"invalid_grant","error_description":"canary"}"#,
            true,
        ),
        (403, r#"{"error":"invalid_grant"}"#, true),
        (401, r#"{"error":"invalid_client"}"#, false),
        (401, "", false),
        (400, r#"{"error":"invalid_request"}"#, false),
        (500, "", false),
    ] {
        service.refuse(status, body);
        let client = service.client(&clock, store(&clock, -1).await);
        let error = list(&client).await.unwrap_err();
        assert_eq!(error.is_reauthorization_needed(), person, "{error}");
        assert_eq!(error.is_unauthorized(), status == 401, "{error}");
        assert_eq!(error.operation(), Some("Refresh Token"));
        crate::support::assert_discreet(&error);
    }
    assert!(service.shown().is_empty());
}

/// A renewal that is under way does not bring back what was forgotten meanwhile.
#[tokio::test]
async fn a_renewal_under_way_does_not_outlive_a_revocation() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = store(&clock, 60).await;
    let client = service.client(&clock, Arc::clone(&store));
    service.0.token_gate.close();
    let call = tokio::spawn({
        let client = client.clone();
        async move { list(&client).await }
    });
    service.0.token_gate.reached().await;
    let revoking = tokio::spawn({
        let lab = client.account("account-77");
        async move { lab.revoke().await }
    });
    // All that can happen without the answer happens first.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    service.0.token_gate.open();
    // The call may have got its token before it was revoked.
    let _ = call.await.unwrap();
    revoking.await.unwrap().unwrap();
    assert_eq!(kept(&store, &account()).await, None);
    assert!(list(&client).await.unwrap_err().is_reauthorization_needed());
}

/// Nor does it replace the tokens of a new pairing.
#[tokio::test]
async fn a_renewal_under_way_does_not_replace_a_new_pairing() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = store(&clock, 60).await;
    keep(&store, &login(), &crate::support::tokens(&clock, 3600)).await;
    let client = service.client(&clock, Arc::clone(&store));
    service.0.token_gate.close();
    let call = tokio::spawn({
        let client = client.clone();
        async move { list(&client).await }
    });
    service.0.token_gate.reached().await;
    let pairing = tokio::spawn({
        let me = client.login("me");
        async move { me.pair("account-77").await.map(drop) }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // The pairing has made `access-2`; the renewal with `refresh-1` may bring anything now.
    service.refuse(
        200,
        r#"{"access_token":"access-old","refresh_token":"refresh-old"}"#,
    );
    service.0.token_gate.open();
    let _ = call.await.unwrap();
    pairing.await.unwrap().unwrap();
    assert_eq!(kept(&store, &account()).await.as_deref(), Some("access-2"));
    list(&client).await.unwrap();
    assert_eq!(service.shown().last().map(String::as_str), Some("access-2"));
}

/// An endpoint for refreshing may be named apart from the one for codes.
#[tokio::test]
async fn the_refresh_has_an_endpoint_of_its_own() {
    let clock = TestClock::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&seen);
    let transport = transport::from_fn(move |request| {
        paths
            .lock()
            .unwrap()
            .push(format!("{} {}", request.method(), request.uri().path()));
        let body = if request.uri().path() == "/renew" {
            r#"{"access_token":"x"}"#
        } else {
            "[]"
        };
        async move { Ok(http::Response::new(Body::from(body))) }
    });
    let mut endpoints = lab_connector::Endpoints::from_base_url("https://api.example/").unwrap();
    endpoints
        .set(
            Operation::RefreshToken,
            http::Method::PUT,
            "https://api.example/renew",
        )
        .unwrap();
    let client = builder("https://api.example/", &clock)
        .endpoints(endpoints)
        .transport(transport)
        .token_store(store(&clock, -1).await)
        .build()
        .unwrap();
    list(&client).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "GET /discovery",
            "PUT /renew",
            "GET /accounts/account-77/orders"
        ]
    );
}
