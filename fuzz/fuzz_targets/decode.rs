//! Any answer is a listing or an error, in one page or in several; any body is a notification
//! or an error; no error quotes what it could not read.

#![no_main]

use std::sync::{LazyLock, Mutex};

use bytes::Bytes;
use http::Response;
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::retry::RetryPolicy;
use lab_connector::transport::{self, Body};
use lab_connector::{Client, Endpoints, Lab, MemoryTokenStore, Notification, TokenStore};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
});

/// What the service answers next. One client is made for all: that takes longer than a run.
static ANSWER: Mutex<Bytes> = Mutex::new(Bytes::new());

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
            // The first page is the bytes, further ones are one record more each.
            let first = request.uri().query().is_none();
            let body = if first {
                ANSWER.lock().expect("a lock").clone()
            } else {
                Bytes::from_static(b"[{\"id\":1,\"status\":\"S\"}]")
            };
            async move { Ok(Response::new(Body::from(body))) }
        }))
        .build();
    client.expect("a client").account("1")
});

fuzz_target!(|body: &[u8]| {
    let _ = Notification::parse(body);
    *ANSWER.lock().expect("a lock") = Bytes::copy_from_slice(body);
    let lab = &*LAB;
    RUNTIME.block_on(async {
        match lab.orders().list().await {
            Ok(listing) => {
                for order in listing.orders() {
                    assert!(!order.id().as_str().trim().is_empty());
                    let _ = (order.assets(), order.created());
                }
                for record in listing.unreadable() {
                    assert!(record.error().is_decode());
                    let (path, text) = (record.error().path(), record.error().to_string());
                    assert!(path.is_none_or(|path| text.contains(path)), "{text}");
                }
                assert!(
                    listing.is_complete()
                        == (listing.unreadable().is_empty() && listing.problem().is_none())
                );
            }
            Err(error) => assert!(error.is_decode(), "{error}"),
        }
        if let Err(error) = lab.orders().by_rx(&"7".into()).await {
            assert!(error.is_decode(), "{error}");
        }
    });
});
