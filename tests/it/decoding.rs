//! Answers as they come: what can be read is, and no error shows what could not.

use std::error::Error as _;

use lab_connector::{Error, RxId};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::paging::builder;

/// Everything that an error shows, its causes among it.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        shown += &format!(" {error} {error:?}");
        source = error.source();
    }
    shown
}

async fn answering(body: impl Into<Vec<u8>>) -> (MockServer, lab_connector::Lab) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_raw(body.into(), "application/json");
    Mock::given(path("/accounts/1/orders"))
        .respond_with(answer.clone())
        .mount(&server)
        .await;
    Mock::given(path("/accounts/1/rx/7"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let client = builder(&server.uri()).await.no_proxy().build().unwrap();
    (server, client.account("1"))
}

#[tokio::test]
async fn no_error_shows_the_payload() {
    for body in [
        r#""CANARY""#,
        r#"["CANARY"]"#,
        r#"{"CANARY": "CANARY"}"#,
        r#"{"orders": "CANARY"}"#,
        r#"{"orders": {"CANARY": "CANARY"}}"#,
        r#"[{"orderId": ["CANARY"], "status": "Sent"}]"#,
        r#"[{"orderId": "CANARY"}]"#,
        r#"{"orderId": 1, "status": {"CANARY": 1}}"#,
        r#"{"orderId": 1, "status": "CANARY"#,
        r#"[{"orderId": "CANARY\ud800", "status": "Sent"}]"#,
        r#"CANARY"#,
        r#"<html>CANARY</html>"#,
        r#"[{"status": "Sent", "patient": "CANARY"}]"#,
    ] {
        let (_server, lab) = answering(body).await;
        let listed = lab.orders().list().await;
        let errors: Vec<Error> = match listed {
            Ok(listing) => {
                assert!(!listing.is_complete(), "{body}");
                let errors = listing
                    .unreadable()
                    .iter()
                    .map(|record| record.error().clone());
                errors.collect()
            }
            Err(error) => vec![error],
        };
        let fetched = lab.orders().by_rx(&RxId::from("7")).await.err();
        for error in errors.iter().chain(&fetched) {
            assert!(error.is_decode(), "{body}: {error}");
            assert!(!shown(error).contains("CANARY"), "{body}: {}", shown(error));
        }
    }
}

#[tokio::test]
async fn a_bad_record_is_named_by_its_place_and_its_fault() {
    let (_server, lab) = answering(
        r#"{"orders": [{"orderId": 1, "status": "Sent"}, {"orderId": 2}, "x", {"orderId": 3, "status": "Sent"}]}"#,
    )
    .await;
    let listing = lab.orders().list().await.unwrap();
    let ids: Vec<&str> = listing
        .orders()
        .iter()
        .map(|order| order.id().as_str())
        .collect();
    assert_eq!(ids, ["1", "3"]);
    assert!(!listing.is_complete() && listing.problem().is_none());
    let said: Vec<(usize, String)> = listing
        .unreadable()
        .iter()
        .map(|record| (record.position(), record.error().to_string()))
        .collect();
    assert_eq!(said[0].0, 1);
    assert!(
        said[0]
            .1
            .contains("record 1 at orders[1].status: an order without a status (`status`)"),
        "{}",
        said[0].1
    );
    let paths = listing
        .unreadable()
        .iter()
        .map(|record| record.error().path());
    assert_eq!(
        paths.collect::<Vec<_>>(),
        [Some("orders[1].status"), Some("orders[2]")]
    );
    assert_eq!(said[1].0, 2);
    assert!(
        said[1].1.contains("text where an order is due"),
        "{}",
        said[1].1
    );
}

#[tokio::test]
async fn one_order_may_be_wrapped() {
    for body in [
        r#"{"orderId": 1, "status": "Sent"}"#,
        r#"{"order": {"orderId": 1, "status": "Sent"}}"#,
        r#"{"status": "ok", "data": {"orders": [{"orderId": 1, "status": "Sent"}]}}"#,
        r#"[{"orderId": 1, "status": "Sent"}]"#,
    ] {
        let (_server, lab) = answering(body).await;
        let order = lab.orders().by_rx(&RxId::from("7")).await.unwrap();
        assert_eq!(order.id().as_str(), "1", "{body}");
    }
}
