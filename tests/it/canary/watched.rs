//! What is logged: the watch hears it, and ends a run that slips.

use std::sync::{Arc, Mutex};

use lab_connector::transport::{self, Body};
use lab_connector::{Client, Endpoints, Order};
use serde_json::{Value, json};

use crate::time::MovableTime;
use crate::watch::{self, canary};

/// Transports may log what headers show.
#[tokio::test]
async fn headers_with_credentials_are_marked() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    let transport = transport::from_fn(move |request| {
        if let Some(value) = request.headers().get("authorization") {
            heads
                .lock()
                .unwrap()
                .push((value.is_sensitive(), format!("{:?}", request.headers())));
        }
        let body = r#"{"access_token": "a", "refresh_token": "r"}"#;
        async move { Ok(http::Response::new(Body::from(body))) }
    });
    let time = MovableTime::default();
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url("https://a.example").unwrap())
        .credentials("simulator", "simulator-secret")
        .redirect_url("https://software.example/")
        .transport(transport)
        .clock(time.clone())
        .build()
        .unwrap();
    let login = client.login("me");
    let request = login.authorize().unwrap();
    let kept: Value = serde_json::from_str(&request.expose_json()).unwrap();
    let state = kept["state"].as_str().unwrap();
    let redirected = format!("https://software.example/?code=c&state={state}");
    login
        .finish(&request, &redirected.parse().unwrap())
        .await
        .unwrap();
    time.advance(2 * 3600);
    let order: Order = serde_json::from_value(json!({ "orderId": "1", "status": "F" })).unwrap();
    let lab = login.pair("L-1").await.unwrap();
    lab.orders().return_to_doctor(order.id()).await.unwrap();
    login.revoke().await.unwrap();
    let seen = seen.lock().unwrap();
    // Get Token, Refresh Token, Pair, Return Scan, Revoke Token.
    assert_eq!(seen.len(), 5, "{seen:?}");
    for (sensitive, text) in &*seen {
        assert!(*sensitive && canary(text).is_none(), "{text}");
    }
}

/// The watch hears the libraries below, so that its silence means something.
#[tokio::test]
async fn the_watch_hears_what_is_below() {
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url("http://127.0.0.1:9/").unwrap())
        .credentials("id", "client-secret-canary")
        .build()
        .unwrap();
    let login = client.login("me");
    // Nobody listens there; the failure is logged, and no tokens are stored.
    assert!(client.discover().await.unwrap_err().is_connect());
    assert!(
        login
            .accounts()
            .await
            .unwrap_err()
            .is_reauthorization_needed()
    );
    let heard = watch::heard();
    let hears = |part: &str| heard.iter().any(|target| target.starts_with(part));
    assert!(hears("reqwest") && hears("hyper_util"), "{heard:?}");
    assert!(hears("lab_connector"), "{heard:?}");
}

/// A slip ends the run, on whatever way, in whatever task.
#[test]
fn the_watch_ends_a_run_that_slips() {
    for (way, slips) in [
        ("log", true),
        ("tracing", true),
        ("span", true),
        ("clean", false),
    ] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "canary::watched::a_slip"])
            .env("LAB_CONNECTOR_SLIP", way)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let code = if slips { watch::SLIPPED } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{way}: {text}");
        assert_eq!(
            text.contains("canary in the logs: `access-0123"),
            slips,
            "{way}: {text}"
        );
    }
}

#[tokio::test]
#[ignore = "run by the test above, in processes of its own"]
async fn a_slip() {
    let token = "access-0123456789abcdef0123456789abcdef";
    let way = std::env::var("LAB_CONNECTOR_SLIP").unwrap_or_default();
    // Nobody waits for it, and a panic in it would pass.
    let task = tokio::spawn(async move {
        match way.as_str() {
            "log" => log::trace!("sent {token}"),
            "tracing" => tracing::trace!(bearer = token, "sent"),
            "span" => drop(tracing::trace_span!("sending", bearer = token)),
            _ => log::trace!("sent access-denied and code-000"),
        }
    });
    task.await.unwrap();
}
