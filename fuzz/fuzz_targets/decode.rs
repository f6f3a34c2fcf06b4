//! Any answer is a listing or an error, in one page or in several; any body is a notification
//! or an error; no error quotes what it could not read.

#![no_main]

use std::sync::LazyLock;

use http::Response;
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::retry::RetryPolicy;
use lab_connector::transport::{self, Body, Request};
use lab_connector::{Client, Endpoints, MemoryTokenStore, Notification, TokenStore};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
});

fuzz_target!(|body: &[u8]| {
    let _ = Notification::parse(body);
    RUNTIME.block_on(async {
        let tokens = r#"{"access_token": "a", "refresh_token": null, "expires_at": 4000000000, "generation": 1}"#;
        let store = MemoryTokenStore::new();
        let tokens = Tokens::from_json(tokens).expect("tokens");
        let account = TokenKey::Account("1".into());
        store.swap(&account, None, &tokens).await.expect("a store");
        let answer = body.to_vec();
        let client = Client::builder()
            .endpoints(Endpoints::from_base_url("https://a.example/").expect("a URL"))
            .credentials("id", "secret")
            .token_store(store)
            .retry(RetryPolicy::never())
            .transport(transport::from_fn(move |request: Request| {
                // The first page is the bytes, further ones are one record more each.
                let first = request.uri().query().is_none();
                let body = if first { answer.clone() } else { b"[{\"id\":1,\"status\":\"S\"}]".to_vec() };
                async move { Ok(Response::new(Body::from(body))) }
            }))
            .build()
            .expect("a client");
        let lab = client.account("1");
        match lab.orders().list().await {
            Ok(listing) => {
                for order in listing.orders() {
                    assert!(!order.id().as_str().trim().is_empty());
                    let _ = (order.fingerprint(), order.created().and_then(|time| time.time()));
                }
                for record in listing.unreadable() {
                    assert!(record.error().is_decode());
                }
                assert!(listing.is_complete() == (listing.unreadable().is_empty() && listing.problem().is_none()));
            }
            Err(error) => assert!(error.is_decode(), "{error}"),
        }
        if let Err(error) = lab.orders().by_rx(&"7".into()).await {
            assert!(error.is_decode(), "{error}");
        }
    });
});
