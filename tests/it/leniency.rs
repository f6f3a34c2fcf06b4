//! Answers in the many forms that JSON can take.

use lab_connector::client::Listing;
use lab_connector::{Error, Operation, OrderStatus, Result};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{TestClock, builder, store};

/// A lab whose service always gives this answer.
async fn lab(answer: &Value) -> (MockServer, lab_connector::Lab) {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(&server)
        .await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    (server, client.account("account-77"))
}

async fn list(answer: Value) -> Result<Listing> {
    let (_server, lab) = lab(&answer).await;
    lab.orders().list().await
}

#[tokio::test]
async fn a_list_may_be_wrapped() {
    let orders = json!([{ "orderId": 1, "status": "Lab Review" }, { "orderId": 2, "status": "Ready for Download" }]);
    for answer in [
        orders.clone(),
        json!({ "orders": orders }),
        json!({ "Items": orders, "total": 2 }),
        json!({ "total": 2, "data": orders }),
    ] {
        let listing = list(answer.clone()).await.unwrap();
        assert!(listing.is_complete(), "{answer}");
        let ids: Vec<_> = listing
            .orders()
            .iter()
            .map(|order| order.id().as_str())
            .collect();
        assert_eq!(ids, ["1", "2"], "{answer}");
    }
    // Some services write an empty list as null.
    let null = json!({ "orders": null });
    for empty in [json!([]), json!({ "orders": [] }), null] {
        let listing = list(empty).await.unwrap();
        assert!(listing.is_complete() && listing.into_orders().is_empty());
    }
}

/// An answer that is no list must not be taken for an empty one: every order would seem gone.
#[tokio::test]
async fn what_is_no_list_is_an_error() {
    for answer in [
        json!({}),
        json!({ "message": "canary" }),
        json!({ "orders": "canary" }),
        json!("canary"),
        json!(null),
        json!(5),
    ] {
        let error = list(answer.clone()).await.expect_err(&answer.to_string());
        assert!(error.is_decode(), "{answer}: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn keys_ids_and_statuses_come_in_any_spelling() {
    for (answer, status) in [
        (
            json!({ "OrderId": 12345678, "RxId": 9, "Status": "ReadyForDownload" }),
            OrderStatus::ReadyForDownload,
        ),
        (
            json!({ "order_id": "12345678", "rx_id": "9", "status": "LAB_REVIEW" }),
            OrderStatus::LabReview,
        ),
        (
            json!({ "ORDER-ID": 12345678, "rxID": 9, "scanStatus": "Scanning (For the Dr)" }),
            OrderStatus::Scanning,
        ),
    ] {
        let (_server, lab) = lab(&answer).await;
        let order = lab.orders().by_rx(&"9".into()).await.unwrap();
        assert_eq!(order.id().as_str(), "12345678");
        assert_eq!(order.rx_id().map(lab_connector::RxId::as_str), Some("9"));
        assert_eq!(*order.status(), status, "{answer}");
    }
}

#[tokio::test]
async fn what_is_unknown_is_kept() {
    let (_server, lab) = lab(&json!({
        "orderId": "1", "status": "Waiting for Godot",
        "patient": { "firstName": "Alva" }, "dueDate": "2026-04-01",
        "history": ["Ready for Download", { "status": "iTero Modeling", "at": "2026-03-01T10:00:00Z" }, { "name": "Lab Review" }],
    }))
    .await;
    let order = lab.orders().by_rx(&"9".into()).await.unwrap();
    assert!(!order.status().is_known() && order.rx_id().is_none());
    assert_eq!(order.status().as_str(), "Waiting for Godot");
    assert_eq!(order.extra()["patient"]["firstName"], "Alva");
    assert_eq!(order.extra()["dueDate"], "2026-04-01");
    assert!(!order.has_asset_list() && order.assets().is_empty());
    let history: Vec<_> = order
        .history()
        .unwrap()
        .iter()
        .map(|entry| entry.status().clone())
        .collect();
    assert_eq!(
        history,
        [
            OrderStatus::ReadyForDownload,
            OrderStatus::IteroModeling,
            OrderStatus::LabReview
        ]
    );
}

/// One record that cannot be read hides no other, and nothing of it is shown.
#[tokio::test]
async fn an_unreadable_record_makes_a_listing_incomplete() {
    for broken in [
        json!({ "patient": "canary" }),
        json!({ "orderId": "canary", "patient": "canary" }),
        json!("canary"),
        json!(["canary"]),
        json!(4711),
        json!(null),
    ] {
        let listing = list(json!({ "orders": [
            { "orderId": 1, "status": "Lab Review" }, broken, { "orderId": 3, "status": "Lab Review" },
        ]}))
        .await
        .unwrap();
        assert!(!listing.is_complete(), "{broken}");
        assert_eq!(listing.orders().len(), 2);
        let [unreadable] = listing.unreadable() else {
            panic!("{listing:?}")
        };
        assert_eq!(unreadable.position(), 1);
        let error: &Error = unreadable.error();
        assert!(error.is_decode(), "{error}");
        assert_eq!(error.operation(), Some("Get Orders"));
        let shown = format!("{error} {error:?} {listing:?}");
        assert!(
            !shown.contains("canary") && !shown.contains("4711"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn an_unreadable_account_is_an_error_that_names_its_place() {
    let answer = json!({ "accounts": [{ "accountId": 1 }, "canary"] });
    let (server, _) = lab(&answer).await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let error = client.login("me").accounts().await.unwrap_err();
    assert!(
        error.is_decode() && error.to_string().contains("record 1"),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    assert_eq!(error.operation(), Some("Get Accounts"));
}

#[tokio::test]
async fn a_single_order_that_cannot_be_read_names_the_field() {
    for (answer, field) in [
        (json!({ "orderId": "canary" }), "status"),
        (json!({ "status": "canary" }), "orderId"),
        (json!(["canary"]), ""),
        (json!("canary"), ""),
    ] {
        let (_server, lab) = lab(&answer).await;
        let error = lab.orders().by_rx(&"9".into()).await.unwrap_err();
        assert!(
            error.is_decode() && error.to_string().contains(field),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn pairing_reads_tokens_in_any_spelling() {
    let clock = TestClock::new();
    for answer in [
        json!({ "accessToken": "access-2", "refreshToken": "refresh-2", "expiresIn": "3600" }),
        json!({ "Access_Token": "access-2" }),
    ] {
        let (server, _) = lab(&answer).await;
        let store = store(&clock, 3600).await;
        let client = builder(&server.uri(), &clock)
            .token_store(std::sync::Arc::clone(&store))
            .build()
            .unwrap();
        client.login("me").pair("account-77").await.unwrap();
        let kept = crate::support::kept(&store, &crate::support::account()).await;
        assert_eq!(kept.as_deref(), Some("access-2"), "{answer}");
    }
}

/// Shapes are for records: no other error names settings that cannot help.
#[tokio::test]
async fn what_is_no_record_is_named_without_shapes() {
    let (server, lab) = lab(&json!({ "accountId": 1 })).await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let error = client.login("me").pair("account-77").await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no `access_token` in it"), "{text}");
    assert!(error.is_decode() && !text.contains("shapes"), "{text}");
    let raw: Result<Vec<u8>> = lab.call(Operation::GetOrders).fetch().await;
    let text = raw.unwrap_err().to_string();
    assert!(text.contains("JSON of another form"), "{text}");
    assert!(!text.contains("shapes"), "{text}");
}
