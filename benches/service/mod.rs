//! A service that is a body in memory, so that nothing of a network is measured.

use bytes::Bytes;
use http::{Response, header};
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{Client, Endpoints, Lab, MemoryTokenStore, TokenStore};

/// A lab that is paired, with an answer for each path; none is a 404.
pub async fn lab(answers: impl Fn(&str) -> Option<Bytes> + Send + Sync + 'static) -> Lab {
    let store = MemoryTokenStore::new();
    let tokens = r#"{"access_token": "a", "refresh_token": null, "expires_at": 4000000000, "generation": 1}"#;
    let tokens = Tokens::from_json(tokens).expect("tokens");
    let key = TokenKey::Account("1".into());
    store.swap(&key, None, &tokens).await.expect("a swap");
    let answer = transport::from_fn(move |request| {
        let body = answers(request.uri().path());
        async move {
            Response::builder()
                .status(if body.is_some() { 200 } else { 404 })
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.unwrap_or_default()))
                .map_err(TransportError::broken)
        }
    });
    Client::builder()
        .endpoints(Endpoints::from_base_url("https://service.example/").expect("a URL"))
        .credentials("id", "secret")
        .token_store(store)
        .transport(answer)
        .build()
        .expect("a client")
        .account("1")
}
