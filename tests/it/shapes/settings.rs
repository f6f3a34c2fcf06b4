//! Shapes and templates as settings: what they make readable, and what cannot be.

use lab_connector::{Endpoints, Lab, Operation, OrderStatus};

use super::{ONE, ids, list, service};
use crate::support::{RawServer, TestClock, builder, store};

/// A lab whose configuration says how the answers are shaped.
async fn shaped(shapes: serde_json::Value, body: &str) -> (RawServer, Lab) {
    let (server, _) = service("", body).await;
    let clock = TestClock::new();
    let json = serde_json::json!({ "base_url": server.url("/"), "shapes": shapes });
    let endpoints = Endpoints::from_json(&json.to_string()).unwrap();
    // What was read is written, and read again.
    let again = Endpoints::from_json(&endpoints.to_json().to_string()).unwrap();
    assert_eq!(again, endpoints);
    let client = builder(&server.url("/"), &clock)
        .endpoints(again)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    (server, client.account("account-77"))
}

#[tokio::test]
async fn shapes_are_settings() {
    let body = r#"{"reply":{"a/b":{"queue":[
        {"caseNo":7,"id":"r7","state":{"caption":"Lab Review","name":"x"},"docs":[{"no":"f1","where":"https://a.example/f"}],
         "log":[{"was":"Ready for Download"}]}]}},"orders":[]}"#;
    let names = serde_json::json!({
        "order": { "orderId": "CASE_NO", "rxId": "id", "status": ["zustand", "state"], "assets": "docs", "history": "log" },
        "status": { "name": "caption" },
        "asset": { "id": "no", "url": "where" },
        "history": { "status": "was" },
    });
    let lists = serde_json::json!({ "get_orders": "/reply/a~1b/queue", "GetOrderByRxId": "/reply/a~1b/queue" });
    let (_server, lab) = shaped(serde_json::json!({ "lists": lists, "names": names }), body).await;
    let listing = lab.orders().list().await.unwrap();
    assert!(listing.is_complete(), "{listing:?}");
    let fetched = lab.orders().by_rx(&"r7".into()).await.unwrap();
    for order in [&listing.orders()[0], &fetched] {
        assert_eq!(
            (order.id().as_str(), order.rx_id().unwrap().as_str()),
            ("7", "r7")
        );
        assert_eq!(*order.status(), OrderStatus::LabReview);
        let asset = &order.assets()[0];
        assert_eq!(asset.id().unwrap(), "f1");
        assert_eq!(asset.url().unwrap().as_str(), "https://a.example/f");
        assert_eq!(
            *order.history().unwrap()[0].status(),
            OrderStatus::ReadyForDownload
        );
        // Kept, it is read without the configuration.
        let kept = serde_json::to_string(order).unwrap();
        assert!(serde_json::from_str::<lab_connector::Order>(&kept).unwrap() == *order);
    }
    // What stands around it has the limits that it has without a setting.
    let many = (0..2000)
        .map(|at| format!(r#""k{at}":{{}},"#))
        .collect::<String>();
    let body = format!(r#"{{{many}"x":[{ONE}]}}"#);
    let lists = serde_json::json!({ "get_orders": "/x" });
    let (_server, lab) = shaped(serde_json::json!({ "lists": lists }), &body).await;
    let listing = lab.orders().list().await.unwrap();
    assert_eq!(ids(&listing), ["1"]);
    assert!(listing.problem().unwrap().is_decode());
    // One record by itself, where it stands.
    let lists = serde_json::json!({ "get_order_by_rx_id": "/x" });
    let (_server, lab) = shaped(
        serde_json::json!({ "lists": lists }),
        r#"{"id":9,"status":"no","x":{"id":7,"status":"y"}}"#,
    )
    .await;
    assert_eq!(
        lab.orders().by_rx(&"r".into()).await.unwrap().id().as_str(),
        "7"
    );
    // Where nothing stands, the setting is named; and so it is where nothing is set.
    for body in [
        r#"{"x":{"y":1}}"#,
        r#"{"x":[1]}"#,
        r#"{"y":1}"#,
        "[]",
        r#"{"error":"canary"}"#,
    ] {
        let lists = serde_json::json!({ "get_orders": "/x/y" });
        let (_server, lab) = shaped(serde_json::json!({ "lists": lists }), body).await;
        let error = lab.orders().list().await.unwrap_err();
        let named = error.to_string().contains("`shapes.lists`");
        assert!(
            error.is_decode() && (named || body.contains("error") || body.contains("y\":1}}")),
            "{body}: {error}"
        );
    }
    let error = list(r#"{"queue":[]}"#).await.unwrap_err();
    assert!(error.to_string().contains("`shapes.lists`"), "{error}");
    let listing = list(r#"[{"caseNo":7,"status":"Sent"}]"#).await.unwrap();
    let error = listing.unreadable()[0].error().to_string();
    assert!(error.contains("`shapes.names`"), "{error}");
}

#[test]
fn shapes_that_cannot_be_are_refused_by_name() {
    for (shapes, named) in [
        (r#"{"lists":{"get_everything":"/a"}}"#, "get_everything"),
        (r#"{"lists":{"get_orders":"a/b"}}"#, "get_orders"),
        (r#"{"lists":["/a"]}"#, "shapes.lists"),
        (r#"{"names":{"patient":{"name":"x"}}}"#, "patient"),
        (r#"{"names":{"order":{"colour":"x"}}}"#, "colour"),
        (r#"{"names":{"order":{"status":7}}}"#, "status"),
        (r#"{"fields":{}}"#, "shapes.fields"),
        ("7", "shapes"),
    ] {
        let json = format!(r#"{{"base_url":"https://a.example/","shapes":{shapes}}}"#);
        let error = Endpoints::from_json(&json).unwrap_err();
        assert!(error.is_configuration(), "{shapes}");
        assert!(error.to_string().contains(named), "{shapes}: {error}");
    }
}

#[test]
fn a_template_has_the_variable_that_its_operation_needs() {
    let with = |name: &str, template: &str| {
        let json = serde_json::json!({
            "base_url": "https://a.example/", "endpoints": { (name): template },
        });
        Endpoints::from_json(&json.to_string())
    };
    for (name, template) in [
        ("get_order_by_rx_id", "rx/:rxId"),
        ("get_order_by_rx_id", "rx/<RxID>"),
        ("get_order_by_rx_id", "rx/"),
        ("get_order_by_rx_id", "rx/{{rxId}}"),
        ("get_order_by_rx_id", "{{baseUrl}}/rx/{rx_id}"),
        ("get_order_by_rx_id", "accounts/:accountId/rx/{rx_id}"),
        ("return_scan", "orders/return"),
        ("download_asset", "assets"),
        ("get_orders", "accounts/:accountId/orders"),
        ("get_orders", "accounts/<AccountId>/orders"),
    ] {
        let error = with(name, template).expect_err(template);
        assert!(error.is_configuration(), "{template}: {error}");
        let operation = Operation::from_name(name).unwrap();
        assert!(
            error.to_string().contains(operation.title()),
            "{template}: {error}"
        );
    }
    for (name, template) in [
        ("get_order_by_rx_id", "rx?id={rxId}"),
        ("get_orders", "orders"),
        ("get_orders", "v1:orders"),
        ("download_asset", "orders/{order_id}/zip"),
        ("pair", "pair"),
        ("unpair", "unpair"),
    ] {
        assert!(with(name, template).is_ok(), "{template}");
    }
}
