//! Where credentials go, and where not.

use std::sync::{Arc, Mutex};

use lab_connector::transport::{self, Body};
use lab_connector::{Endpoints, Operation};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{RawServer, TestClock, assert_discreet, builder, order_with_file, store};

const FILE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\na file";

#[tokio::test]
async fn no_call_follows_a_redirect() {
    let trap = RawServer::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await;
    let trap_origin = trap.url("");
    for status in [301, 302, 303, 307, 308] {
        let server = MockServer::start().await;
        Mock::given(wiremock::matchers::any())
            .respond_with(
                ResponseTemplate::new(status)
                    .insert_header("location", trap.url("/canary?token=canary").as_str()),
            )
            .mount(&server)
            .await;
        let clock = TestClock::new();
        let client = builder(&server.uri(), &clock)
            .token_store(store(&clock, 3600).await)
            .build()
            .unwrap();
        let lab = client.account("account-77");
        let mut errors = vec![
            client.discover().await.unwrap_err(),
            client.login("me").accounts().await.unwrap_err(),
            client.login("me").pair("account-77").await.unwrap_err(),
            client.login("me").revoke().await.unwrap_err(),
            lab.orders().list().await.unwrap_err(),
            lab.orders().return_to_doctor("order-88").await.unwrap_err(),
        ];
        clock.advance(std::time::Duration::from_secs(7200));
        let refresh = lab.orders().list().await.unwrap_err();
        assert_eq!(refresh.operation(), Some("Refresh Token"));
        errors.push(refresh);
        for error in errors {
            assert!(error.is_origin(), "{error}");
            let text = error.to_string();
            assert!(
                text.contains(&server.uri()) && text.contains(&trap_origin),
                "{text}"
            );
            assert_discreet(&error);
        }
    }
    assert!(trap.requests().is_empty());
}

#[tokio::test]
async fn where_discovery_points_elsewhere_nothing_is_sent() {
    let trap = RawServer::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").await;
    let discovered = json!({
        "endpoints": {
            "Get Orders": trap.url("/accounts/{account_id}/orders"),
            "Refresh Token": trap.url("/oauth/token"),
            "Revoke Token": trap.url("/oauth/revoke"),
        }
    });
    let server = MockServer::start().await;
    Mock::given(path("/discovery"))
        .respond_with(ResponseTemplate::new(200).set_body_json(discovered))
        .mount(&server)
        .await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    client.discover().await.unwrap();
    let endpoints = client.endpoints();
    let (_, template) = endpoints.endpoint(Operation::GetOrders).unwrap();
    assert_eq!(template, trap.url("/accounts/{account_id}/orders"));

    let lab = client.account("account-77");
    let list = lab.orders().list().await.unwrap_err();
    let revoke = lab.revoke().await.unwrap_err();
    clock.advance(std::time::Duration::from_secs(7200));
    let refresh = lab.orders().list().await.unwrap_err();
    for (error, operation) in [
        (list, "Get Orders"),
        (revoke, "Revoke Token"),
        (refresh, "Refresh Token"),
    ] {
        assert!(error.is_origin(), "{error}");
        assert_eq!(error.operation(), Some(operation));
        assert!(error.to_string().contains(&trap.url("")), "{error}");
        assert_eq!(error.was_sent(), Some(false));
        assert_discreet(&error);
    }
    assert!(trap.requests().is_empty());
    assert!(lab.is_paired().await.unwrap());
}

/// Discovery names a regional domain, which only the software can know to be Align's.
#[tokio::test]
async fn an_allowed_host_gets_the_token() {
    for (allowed, reached) in [
        (None, false),
        (Some(".align.example"), true),
        (Some("eu.align.example"), true),
        (Some("us.align.example"), false),
    ] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let transport = {
            let seen = Arc::clone(&seen);
            transport::from_fn(move |request| {
                seen.lock().unwrap().push((
                    request.uri().to_string(),
                    request.headers().get("authorization").is_some(),
                ));
                let body = if request.uri().path() == "/discovery" {
                    r#"{"endpoints":{"get_orders":"https://eu.align.example/{account_id}"}}"#
                } else {
                    "[]"
                };
                async move { Ok(http::Response::new(Body::from(body))) }
            })
        };
        let clock = TestClock::new();
        let mut builder = builder("https://api.example/", &clock)
            .transport(transport)
            .token_store(store(&clock, 3600).await);
        if let Some(host) = allowed {
            builder = builder.allow_host(host);
        }
        let client = builder.build().unwrap();
        client.discover().await.unwrap();
        let listed = client.account("account-77").orders().list().await;
        let mut expected = vec![("https://api.example/discovery".to_owned(), false)];
        if reached {
            assert!(listed.unwrap().orders().is_empty());
            expected.push(("https://eu.align.example/account-77".to_owned(), true));
        } else {
            assert!(listed.unwrap_err().is_origin(), "{allowed:?}");
        }
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

/// A file's URL is the service's to choose; the token is not.
#[tokio::test]
async fn files_on_other_hosts_are_fetched_without_the_token() {
    let elsewhere = RawServer::start(FILE).await;
    let redirecting = RawServer::start(format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url("/signed?sig=canary")
    ))
    .await;
    let server = MockServer::start().await;
    let found = |to: &str| ResponseTemplate::new(307).insert_header("location", to);
    for (from, answer) in [
        ("/there", found(&elsewhere.url("/signed?sig=canary"))),
        ("/here", found("file")),
        (
            "/file",
            ResponseTemplate::new(200).set_body_string("a file"),
        ),
    ] {
        Mock::given(path(from))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let lab = client.account("account-77");
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("case.zip");
    for url in [
        elsewhere.url("/signed?sig=canary"),
        redirecting.url("/"),
        server.uri() + "/there",
        server.uri() + "/here",
        server.uri() + "/file",
    ] {
        let order = order_with_file(Some(&url));
        let file = lab.download(&order, &order.assets()[0]).to_file(&to).await;
        assert_eq!(file.unwrap().bytes, 6, "{url}");
    }
    for foreign in [&elsewhere, &redirecting] {
        for request in foreign.requests() {
            assert!(
                !request.to_ascii_lowercase().contains("authorization"),
                "{request}"
            );
            assert!(!request.contains("access-1"), "{request}");
        }
    }
    assert_eq!(
        (elsewhere.requests().len(), redirecting.requests().len()),
        (3, 1)
    );
    let own = server.received_requests().await.unwrap();
    assert_eq!(own.len(), 4);
    for request in own {
        assert_eq!(
            request.headers["authorization"], "Bearer access-1",
            "{}",
            request.url
        );
    }
}

#[tokio::test]
async fn a_file_is_not_fetched_over_plain_http_from_the_network() {
    let clock = TestClock::new();
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let transport = transport::from_fn(move |_| {
        *count.lock().unwrap() += 1;
        let answer = http::Response::builder()
            .status(302)
            .header("location", "http://files.example/canary?sig=canary")
            .body(Body::from(""));
        async move { Ok(answer.unwrap()) }
    });
    let client = builder("https://api.example/", &clock)
        .transport(transport)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let lab = client.account("account-77");
    let directory = tempfile::tempdir().unwrap();
    for (url, sent) in [
        ("http://files.example/canary", 0),
        ("https://api.example/x", 1),
    ] {
        *seen.lock().unwrap() = 0;
        let order = order_with_file(Some(url));
        let download = lab.download(&order, &order.assets()[0]);
        let error = download
            .to_file(directory.path().join("a"))
            .await
            .unwrap_err();
        assert!(error.is_origin(), "{error}");
        assert_discreet(&error);
        assert_eq!(*seen.lock().unwrap(), sent);
    }
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(302).insert_header("location", "/again"))
        .mount(&server)
        .await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let order = order_with_file(None);
    let directory = tempfile::tempdir().unwrap();
    let lab = client.account("account-77");
    let download = lab.download(&order, &order.assets()[0]);
    let error = download
        .to_file(directory.path().join("a"))
        .await
        .unwrap_err();
    assert!(error.is_decode(), "{error}");
    assert_eq!(server.received_requests().await.unwrap().len(), 6);
}

/// An endpoint in plain http is for this machine only.
#[tokio::test]
async fn credentials_do_not_leave_over_plain_http() {
    let clock = TestClock::new();
    let transport = transport::from_fn(|_| async {
        panic!("nothing may be sent");
        #[allow(unreachable_code)]
        Ok(http::Response::new(Body::from("")))
    });
    let client = builder("http://api.example/", &clock)
        .endpoints(Endpoints::from_base_url("http://api.example/").unwrap())
        .transport(transport)
        .allow_host("api.example")
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let lab = client.account("account-77");
    assert!(lab.orders().list().await.unwrap_err().is_origin());
    assert!(lab.revoke().await.unwrap_err().is_origin());
}
