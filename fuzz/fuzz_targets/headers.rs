//! Any headers of an answer: when to come again, where the next page is, what the file is that
//! comes. Half of the bytes are `Retry-After` and what speaks of a file, the other half `Link`.

#![no_main]

use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use http::{HeaderValue, Response};
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::retry::RetryPolicy;
use lab_connector::transport::{self, Body};
use lab_connector::{Client, Endpoints, Lab, MemoryTokenStore, Order, TokenStore};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
});

/// The values of the headers that come next.
static HEADERS: Mutex<Vec<(&str, HeaderValue)>> = Mutex::new(Vec::new());

static LAB: LazyLock<Lab> = LazyLock::new(|| {
    let tokens = r#"{"access_token": "a", "refresh_token": null, "expires_at": 4000000000, "generation": 1}"#;
    let tokens = Tokens::from_json(tokens).expect("tokens");
    let store = MemoryTokenStore::new();
    let account = TokenKey::Account("1".into());
    let stored = RUNTIME.block_on(store.swap(&account, None, &tokens));
    stored.expect("a store");
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url("https://a.example/").expect("a URL"))
        .credentials("id", "secret")
        .token_store(store)
        .retry(RetryPolicy::never())
        .transport(transport::from_fn(|request: http::Request<Bytes>| {
            let refused = request.uri().path().contains("/rx/");
            let mut response = Response::new(Body::from(Bytes::from_static(b"[]")));
            if refused {
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            }
            // The first page and the file have them; a further page has none, and is the last.
            if request.uri().query().is_none() {
                for (name, value) in HEADERS.lock().expect("a lock").iter() {
                    response.headers_mut().append(*name, value.clone());
                }
            }
            async move { Ok(response) }
        }))
        .build();
    client.expect("a client").account("1")
});

static ORDER: LazyLock<Order> = LazyLock::new(|| {
    let order = r#"{"orderId": 1, "status": "Sent", "assets": [{"id": "x"}]}"#;
    serde_json::from_str(order).expect("an order")
});

fuzz_target!(|bytes: &[u8]| {
    let (one, other) = bytes.split_at(bytes.len() / 2);
    let (Ok(one), Ok(other)) = (HeaderValue::from_bytes(one), HeaderValue::from_bytes(other))
    else {
        return;
    };
    let names = [
        "retry-after",
        "etag",
        "last-modified",
        "digest",
        "repr-digest",
        "content-md5",
    ];
    let mut headers: Vec<_> = names.iter().map(|name| (*name, one.clone())).collect();
    headers.extend([
        ("link", other.clone()),
        ("date", other.clone()),
        ("content-range", other),
    ]);
    *HEADERS.lock().expect("a lock") = headers;
    let lab = &*LAB;
    RUNTIME.block_on(async {
        let error = lab
            .orders()
            .by_rx(&"7".into())
            .await
            .expect_err("it is refused");
        assert!(error.is_server(), "{error}");
        assert!(
            error
                .retry_after()
                .is_none_or(|wait| wait.as_secs() <= 86_400),
            "{error}"
        );
        if let Err(error) = lab.orders().list().await {
            assert!(error.is_decode(), "{error}");
        }
        let mut file = Vec::new();
        let download = lab.download(&ORDER, &ORDER.assets()[0]);
        match download.to_writer(&mut file).await {
            Ok(_) => assert_eq!(file, b"[]"),
            Err(error) => assert!(error.is_incomplete(), "{error}"),
        }
    });
});
