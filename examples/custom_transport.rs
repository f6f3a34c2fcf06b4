//! A closure as transport: the client without a network, for tests of your own software.
//!
//! ```text
//! cargo run --example custom_transport
//! ```
//!
//! Prints the orders that the closure's service lists in two pages, and ends.

use anyhow::Result;
use http::{Response, StatusCode, header};
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{Client, Endpoints, MemoryTokenStore, TokenStore};

#[tokio::main]
async fn main() -> Result<()> {
    // As if the account had been paired before.
    let store = MemoryTokenStore::new();
    let tokens = r#"{"access_token": "a", "refresh_token": null, "expires_at": 4000000000, "generation": 1}"#;
    let account = TokenKey::Account("4711".into());
    store
        .swap(&account, None, &Tokens::from_json(tokens)?)
        .await?;

    let client = Client::builder()
        .endpoints(Endpoints::from_base_url("https://lab-connector.example/")?)
        .credentials("client id", "client secret")
        .token_store(store)
        .transport(transport::from_fn(
            |request| async move { answer(&request) },
        ))
        .build()?;

    let lab = client.account("4711");
    let listing = lab.orders().list().await?;
    for order in listing.orders() {
        println!("{} {}", order.id(), order.status());
    }
    println!("complete: {}", listing.is_complete());

    match lab.orders().by_rx(&"77".into()).await {
        Ok(order) => println!("{}", order.id()),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

/// What the service would answer. A failure to connect or a timeout would be an `Err`.
fn answer(request: &http::Request<bytes::Bytes>) -> Result<Response<Body>, TransportError> {
    let (status, body) = match (request.uri().path(), request.uri().query()) {
        ("/accounts/4711/orders", None) => (
            StatusCode::OK,
            r#"{"orders": [{"orderId": 1, "rxId": 11, "status": "Ready for Download"}], "next": "?page=2"}"#,
        ),
        ("/accounts/4711/orders", Some("page=2")) => (
            StatusCode::OK,
            r#"{"orders": [{"orderId": 2, "rxId": 12, "status": "Lab Review"}], "next": null}"#,
        ),
        _ => (StatusCode::NOT_FOUND, r#"{"error": "no such order"}"#),
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(TransportError::broken)
}
