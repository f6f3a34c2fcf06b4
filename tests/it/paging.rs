//! Listings in pages, over HTTP: all are read, and what goes wrong is said and loses nothing.

use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::client::{ClientBuilder, Listing, ListingLimits};
use lab_connector::retry::RetryPolicy;
use lab_connector::{Client, Endpoints, Lab, MemoryTokenStore, TokenStore};
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

const ORDERS: &str = "/accounts/1/orders";

/// A client that is paired with account 1 already.
pub(crate) async fn builder(base: &str) -> ClientBuilder {
    let tokens = r#"{"access_token": "token-1", "refresh_token": null, "expires_at": 4000000000, "generation": 1}"#;
    let store = MemoryTokenStore::new();
    let account = TokenKey::Account("1".into());
    let tokens = Tokens::from_json(tokens).unwrap();
    assert!(store.swap(&account, None, &tokens).await.unwrap());
    Client::builder()
        .endpoints(Endpoints::from_base_url(base).unwrap())
        .credentials("id", "secret")
        .token_store(store)
        .retry(RetryPolicy::never())
}

async fn lab(server: &MockServer) -> Lab {
    builder(&server.uri())
        .await
        .no_proxy()
        .build()
        .unwrap()
        .account("1")
}

fn orders(ids: std::ops::Range<u32>) -> Vec<Value> {
    ids.map(|id| json!({"orderId": id, "status": "Lab Review"}))
        .collect()
}

/// Serves one page: the one without this parameter if there is no value.
async fn page(server: &MockServer, name: &str, value: Option<&str>, answer: ResponseTemplate) {
    let mock = Mock::given(method("GET"))
        .and(path(ORDERS))
        .and(header("authorization", "Bearer token-1"));
    let mock = match value {
        Some(value) => mock.and(query_param(name, value)),
        None => mock.and(query_param_is_missing(name)),
    };
    mock.respond_with(answer).expect(1).mount(server).await;
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn ids(listing: &Listing) -> Vec<u32> {
    let ids = listing
        .orders()
        .iter()
        .map(|order| order.id().as_str().parse());
    ids.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn cursors_links_and_numbers_are_followed_to_the_end() {
    let server = MockServer::start().await;
    page(
        &server,
        "cursor",
        None,
        ok(json!({"items": orders(0..2), "nextCursor": "a/b"})),
    )
    .await;
    page(
        &server,
        "cursor",
        Some("a/b"),
        ok(json!({"items": orders(2..3), "nextCursor": null})),
    )
    .await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1, 2]);
    assert!(listing.is_complete());

    let server = MockServer::start().await;
    let link = format!(r#"<{}{ORDERS}?after=2>; rel="next""#, server.uri());
    page(
        &server,
        "after",
        None,
        ok(json!(orders(0..2))).insert_header("link", link),
    )
    .await;
    page(&server, "after", Some("2"), ok(json!(orders(2..3)))).await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1, 2]);
    assert!(listing.is_complete());

    let server = MockServer::start().await;
    let body =
        |page, ids| ok(json!({"data": {"orders": orders(ids), "page": page, "totalPages": 3}}));
    page(&server, "page", None, body(1, 0..2)).await;
    page(&server, "page", Some("2"), body(2, 2..4)).await;
    page(&server, "page", Some("3"), body(3, 4..5)).await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1, 2, 3, 4]);
    assert!(listing.is_complete());
}

#[tokio::test]
async fn a_page_that_fails_loses_nothing_and_nothing_is_concluded() {
    let server = MockServer::start().await;
    page(
        &server,
        "cursor",
        None,
        ok(json!({"orders": orders(0..2), "nextCursor": "2"})),
    )
    .await;
    page(
        &server,
        "cursor",
        Some("2"),
        ok(json!({"orders": [{}, {"orderId": 7, "status": "Sent"}], "nextCursor": "3"})),
    )
    .await;
    page(&server, "cursor", Some("3"), ResponseTemplate::new(500)).await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1, 7]);
    assert!(!listing.is_complete());
    let problem = listing.problem().unwrap();
    assert!(problem.is_server(), "{problem}");
    assert_eq!(problem.operation(), Some("Get Orders"));
    // The position counts over all pages.
    assert_eq!(listing.unreadable()[0].position(), 2);
}

#[tokio::test]
async fn the_first_page_failing_is_an_error() {
    let server = MockServer::start().await;
    page(&server, "cursor", None, ResponseTemplate::new(500)).await;
    let error = lab(&server).await.orders().list().await.unwrap_err();
    assert!(error.is_server(), "{error}");
}

#[tokio::test]
async fn pages_that_make_no_sense_end() {
    // The service ignores the page's number and answers the same again.
    let server = MockServer::start().await;
    Mock::given(path(ORDERS))
        .respond_with(ok(
            json!({"orders": orders(0..2), "page": 1, "totalPages": 9}),
        ))
        .expect(2)
        .mount(&server)
        .await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1]);
    assert!(listing.problem().unwrap().to_string().contains("repeats"));
    assert!(!listing.is_complete());

    // The link leads back to where it stands.
    let server = MockServer::start().await;
    page(
        &server,
        "x",
        None,
        ok(json!({"orders": orders(0..2), "next": ORDERS})),
    )
    .await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert!(
        listing
            .problem()
            .unwrap()
            .to_string()
            .contains("read before")
    );

    // It says there is more and not where.
    let server = MockServer::start().await;
    page(
        &server,
        "x",
        None,
        ok(json!({"orders": orders(0..2), "totalCount": 3})),
    )
    .await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1]);
    assert!(listing.problem().unwrap().is_decode());

    // The second page is no listing.
    let server = MockServer::start().await;
    page(
        &server,
        "p",
        None,
        ok(json!({"orders": orders(0..2), "next": "?p=2"})),
    )
    .await;
    page(&server, "p", Some("2"), ok(json!({"error": "CANARY"}))).await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1]);
    assert!(!format!("{:?}", listing.problem()).contains("CANARY"));
    assert!(listing.problem().unwrap().is_decode());
}

#[tokio::test]
async fn a_link_to_another_origin_is_not_followed() {
    let other = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ok(json!([])))
        .expect(0)
        .mount(&other)
        .await;
    let server = MockServer::start().await;
    let next = format!("{}{ORDERS}?page=2", other.uri());
    page(
        &server,
        "x",
        None,
        ok(json!({"orders": orders(0..1), "next": next})),
    )
    .await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0]);
    assert!(listing.problem().unwrap().is_origin());
    assert!(!listing.is_complete());
}

#[tokio::test]
async fn the_convention_can_be_replaced_and_bounded() {
    let server = MockServer::start().await;
    page(
        &server,
        "after",
        None,
        ok(json!({"orders": orders(0..1), "last": 1})),
    )
    .await;
    page(
        &server,
        "after",
        Some("1"),
        ok(json!({"orders": orders(1..2), "last": 2})),
    )
    .await;
    let mut limits = ListingLimits::default();
    limits.pages = 2;
    let builder = builder(&server.uri())
        .await
        .no_proxy()
        .next_page(|page| Some(format!("?after={}", page.around().get("last")?)))
        .listing_limits(limits);
    let lab = builder.build().unwrap().account("1");
    let listing = lab.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1]);
    let problem = listing.problem().unwrap().to_string();
    assert!(problem.contains("`ListingLimits::pages`"), "{problem}");
}

/// Services that filter after they cut into pages answer so.
#[tokio::test]
async fn an_empty_page_is_no_end() {
    let server = MockServer::start().await;
    page(
        &server,
        "cursor",
        None,
        ok(json!({"orders": orders(0..1), "nextCursor": "1"})),
    )
    .await;
    page(
        &server,
        "cursor",
        Some("1"),
        ok(json!({"orders": [], "nextCursor": "2"})),
    )
    .await;
    page(
        &server,
        "cursor",
        Some("2"),
        ok(json!({"orders": orders(1..2)})),
    )
    .await;
    let listing = lab(&server).await.orders().list().await.unwrap();
    assert_eq!(ids(&listing), [0, 1]);
    assert!(listing.is_complete());
}
