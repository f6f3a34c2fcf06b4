//! Answers as other services shape them, after public bug reports: what they say is read, and what
//! they do not say is not concluded.

mod settings;
mod text;

use http::Method;
use lab_connector::client::Listing;
use lab_connector::{Endpoints, Lab, Operation, OrderStatus, Result, RxId};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{RawServer, TestClock, assert_discreet, builder, store};

const ONE: &str = r#"{"orderId":"1","rxId":"r1","status":"Ready for Download"}"#;
const TWO: &str = r#"{"orderId":"2","rxId":"r2","status":"Lab Review"}"#;

/// A lab whose service always answers with these headers, a line each, and this body.
async fn service(headers: &str, body: impl AsRef<[u8]>) -> (RawServer, Lab) {
    answering(b"200 OK", headers.as_bytes(), body.as_ref()).await
}

async fn answering(status: &[u8], headers: &[u8], body: &[u8]) -> (RawServer, Lab) {
    let length = format!("\r\ncontent-length: {}\r\n", body.len());
    let answer = [
        b"HTTP/1.1 ",
        status,
        length.as_bytes(),
        headers,
        b"\r\n",
        body,
    ]
    .concat();
    let server = RawServer::start(answer).await;
    let clock = TestClock::new();
    let client = builder(&server.url("/"), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    (server, client.account("account-77"))
}

async fn list(body: impl AsRef<[u8]>) -> Result<Listing> {
    let (_server, lab) = service("", body).await;
    lab.orders().list().await
}

fn ids(listing: &Listing) -> Vec<&str> {
    let orders = listing.orders().iter();
    orders.map(|order| order.id().as_str()).collect()
}

#[tokio::test]
async fn a_link_of_any_bytes_is_read_or_makes_the_listing_incomplete() {
    for (link, complete) in [
        // Read, and the page after it is the same again.
        (
            &b"</x?page=2>; title=\"n\xe4chste\"; rel=\"next\""[..],
            false,
        ),
        (
            "</x?page=2>; title=\"nächste\"; rel=\"next\"".as_bytes(),
            false,
        ),
        (b"</x?page=2; rel=next", false),
        (b"/x?page=2; rel=\"next\"", false),
        (b"</x?page=2>; title=\"; rel=next", false),
        (b"</x?page=1>; rel=\"pr\xe4v\"", true),
        (b"", true),
        (b"</style.css>; rel=preload", true),
    ] {
        let head = [b"link: ", link, b"\r\n"].concat();
        let (server, lab) = answering(b"200 OK", &head, format!("[{ONE}]").as_bytes()).await;
        let listing = lab.orders().list().await.unwrap();
        let shown = String::from_utf8_lossy(link);
        assert_eq!(ids(&listing), ["1"], "{shown}");
        assert_eq!(listing.is_complete(), complete, "{shown}");
        if link.starts_with(b"</x?page=2>; title=\"n") {
            assert!(
                server.requests()[1].starts_with("GET /x?page=2 "),
                "{shown}"
            );
        }
    }
}

#[tokio::test]
async fn a_link_with_bytes_of_its_own_leads_there() {
    let head = b"link: </\xe4?page=2>; rel=next\r\n";
    let (server, lab) = answering(b"200 OK", head, format!("[{ONE}]").as_bytes()).await;
    lab.orders().list().await.unwrap();
    assert!(server.requests()[1].starts_with("GET /%E4?page=2 "));
}

/// Whatever method the configuration gives it, and whichever way it is called.
#[tokio::test]
async fn an_effect_is_not_repeated() {
    let server =
        RawServer::start("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    let clock = TestClock::new();
    let mut endpoints = Endpoints::from_base_url(&server.url("/")).unwrap();
    endpoints
        .set(
            Operation::ReturnScan,
            Method::PUT,
            "orders/{order_id}/return",
        )
        .unwrap();
    endpoints
        .set(Operation::GetOrders, Method::POST, "orders/query")
        .unwrap();
    let client = builder(&server.url("/"), &clock)
        .endpoints(endpoints)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let lab = client.account("account-77");
    let returned = lab.call(Operation::ReturnScan).variable("order_id", "1");
    assert!(returned.send().await.unwrap_err().is_server());
    assert_eq!(server.requests().len(), 1);
    // What only reads is, also where it is asked for by POST.
    assert!(lab.call(Operation::GetOrders).send().await.is_err());
    assert_eq!(server.requests().len(), 4);
    // Unless the caller knows better.
    let returned = returned.repeatable(true);
    assert!(returned.send().await.is_err());
    assert_eq!(server.requests().len(), 7);
}

#[tokio::test]
async fn a_url_in_a_query_makes_no_url_absolute() {
    let (server, lab) = service("", "{}").await;
    lab.request(Method::GET, "hooks?url=https://other.example/")
        .send()
        .await
        .unwrap();
    assert!(server.requests()[0].starts_with("GET /hooks?url=https://other.example/ "));
}

#[tokio::test]
async fn a_list_may_be_wrapped_as_others_wrap_it() {
    for body in [
        format!(r#"{{"payload":[{ONE},{TWO}]}}"#),
        format!(r#"{{"d":{{"results":[{ONE},{TWO}]}}}}"#),
        format!(r#"{{"d":[{ONE},{TWO}]}}"#),
        format!(r#"{{"$id":"1","$values":[{ONE},{TWO}]}}"#),
        format!(r#"{{"orders":{{"$values":[{ONE},{TWO}]}}}}"#),
        format!(r#"{{"response":{{"list":[{ONE},{TWO}]}}}}"#),
        format!(r#"{{"rows":[{ONE},{TWO}]}}"#),
        format!("\u{FEFF}[{ONE},{TWO}]"),
    ] {
        let listing = list(&body)
            .await
            .unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(ids(&listing), ["1", "2"], "{body}");
        assert!(listing.is_complete(), "{body}");
    }
}

#[tokio::test]
async fn an_order_is_the_same_whichever_number_its_id_is() {
    for body in [
        r#"[{"orderId":125915304.0,"rxId":77.0,"status":"Sent"}]"#,
        r#"[{"orderId":125915304,"rxId":77,"status":"Sent"}]"#,
        r#"[{"orderId":1.25915304e8,"rxId":"77","status":"Sent"}]"#,
    ] {
        let listing = list(body).await.unwrap();
        let order = &listing.orders()[0];
        assert_eq!(order.id().as_str(), "125915304", "{body}");
        assert_eq!(order.rx_id().unwrap().as_str(), "77", "{body}");
    }
}

#[tokio::test]
async fn a_status_may_be_an_object() {
    for status in [
        r#"{"id":3,"name":"Ready for Download"}"#,
        r#"{"value":"ReadyForDownload"}"#,
        r#"{"code":17,"displayName":"Ready for Download"}"#,
        r#"{"Status":"READY_FOR_DOWNLOAD"}"#,
    ] {
        let body =
            format!(r#"[{{"orderId":"1","status":{status},"history":[{{"status":{status}}}]}}]"#);
        let listing = list(&body).await.unwrap();
        assert!(listing.is_complete(), "{body}");
        let order = &listing.orders()[0];
        assert_eq!(*order.status(), OrderStatus::ReadyForDownload, "{body}");
        let history = order.history().unwrap();
        assert_eq!(
            *history[0].status(),
            OrderStatus::ReadyForDownload,
            "{body}"
        );
    }
}

#[tokio::test]
async fn what_an_envelope_says_of_itself_is_not_the_orders() {
    for body in [
        r#"{"id":"req-77","status":"success","data":{"orders":[]}}"#,
        r#"{"id":"req-77","status":"success","data":[]}"#,
        r#"{"id":"req-77","status":"success","data":{"orders":null}}"#,
        r#"{"id":"req-77","status":"Completed","data":[]}"#,
        r#"{"id":"req-77","status":"Sent","data":{"orders":[]}}"#,
        r#"{"id":"req-77","status":"Downloaded","orders":[]}"#,
    ] {
        let listing = list(body).await.unwrap();
        assert!(
            listing.orders().is_empty() && listing.is_complete(),
            "{body}"
        );
    }
    for body in [
        r#"{"id":"req-77","status":"success","data":{}}"#,
        r#"{"id":"req-77","status":"success","data":{"orderId":5}}"#,
        r#"{"id":"req-77","status":"error","message":"canary"}"#,
        r#"{"id":"req-77","status":"success","data":{"orders":[]}}"#,
        r#"{"id":"req-77","status":"Completed","data":[]}"#,
    ] {
        let (_server, lab) = service("", body).await;
        let error = lab.orders().by_rx(&"r1".into()).await.unwrap_err();
        assert!(error.is_decode(), "{body}: {error}");
        assert_discreet(&error);
        if let Ok(listing) = lab.orders().list().await {
            assert!(listing.orders().is_empty(), "{body}");
        }
    }
    // What an order wraps is its own.
    for body in [
        r#"{"id":1,"status":"Lab Review","data":{"shade":"A3"}}"#,
        r#"{"id":1,"status":"Lab Review","items":[{"id":5,"name":"crown"}]}"#,
        r#"{"id":1,"status":"Lab Review","items":[]}"#,
        r#"{"orderId":1,"status":"a new one","data":{"shade":"A3"}}"#,
    ] {
        let (_server, lab) = service("", body).await;
        let order = lab.orders().by_rx(&"r1".into()).await.unwrap();
        assert_eq!(order.id().as_str(), "1", "{body}");
    }
}

#[tokio::test]
async fn accounts_are_not_read_from_their_envelope() {
    for body in [
        r#"{"id":"req-77","name":"accounts","data":{"accounts":[]}}"#,
        r#"{"id":"req-77","data":{}}"#,
    ] {
        let (server, _) = service("", body).await;
        let clock = TestClock::new();
        let client = builder(&server.url("/"), &clock)
            .token_store(store(&clock, 3600).await)
            .build()
            .unwrap();
        let accounts = client.login("me").accounts().await;
        assert!(accounts.is_err() || accounts.unwrap().is_empty(), "{body}");
    }
}

#[tokio::test]
async fn a_list_beside_an_error_is_not_complete() {
    let long = "x".repeat(40_000);
    for beside in [
        r#""errors":[{"message":"canary"}]"#,
        r#""errors":{"shard-2":"canary"}"#,
        r#""error":"canary""#,
        r#""error":{"code":"E7","message":"canary"}"#,
        r#""success":false"#,
        r#""isSuccess":false"#,
        r#""success":"false""#,
        r#""ok":false"#,
        r#""hasErrors":true"#,
        r#""status":"error""#,
        r#""status":"fail""#,
        r#""partial":true"#,
        &format!(r#""errors":["{long}"]"#),
    ] {
        for body in [
            format!(r#"{{{beside},"orders":[{ONE}]}}"#),
            format!(r#"{{"data":{{"orders":[{ONE}],{beside}}}}}"#),
        ] {
            let shown: String = body.chars().take(60).collect();
            let listing = list(&body).await.unwrap();
            assert_eq!(ids(&listing), ["1"], "{shown}");
            assert!(!listing.is_complete(), "{shown}");
            let problem = listing.problem().unwrap();
            assert!(problem.is_decode() && !problem.is_retryable(), "{problem}");
            assert_discreet(problem);
        }
    }
    for beside in [
        r#""errors":[]"#,
        r#""errors":null"#,
        r#""errors":{}"#,
        r#""error":null"#,
        r#""error":"""#,
        r#""error":false"#,
        r#""errors":0"#,
        r#""success":true"#,
        r#""status":"success""#,
        r#""status":200"#,
        r#""hasErrors":false"#,
    ] {
        let listing = list(format!(r#"{{"orders":[{ONE}],{beside}}}"#))
            .await
            .unwrap();
        assert!(listing.is_complete(), "{beside}");
    }
    // The shape of GraphQL.
    let listing = list(r#"{"data":{"orders":null},"errors":[{"message":"canary"}]}"#).await;
    assert!(!listing.unwrap().is_complete());
}

#[tokio::test]
async fn success_with_an_error_in_it_is_none() {
    for body in [
        r#"{"error":"order is locked by canary"}"#,
        r#"{"success":false,"message":"canary"}"#,
        r#"{"errors":[{"message":"canary"}]}"#,
        r#"{"status":"error","message":"canary"}"#,
        r#"{"error":{"code":"E7","message":"canary"}}"#,
    ] {
        let (server, lab) = service("", body).await;
        let returned = lab.orders().return_to_doctor("order-88").await;
        let fetched = lab.orders().by_rx(&"rx-99".into()).await.map(drop);
        let listed = lab.orders().list().await.map(drop);
        let unpaired = lab.unpair().await;
        for result in [returned, fetched, listed, unpaired] {
            let error = result.expect_err(body);
            assert!(
                error.is_decode() && !error.is_retryable(),
                "{body}: {error}"
            );
            assert!(error.to_string().contains("says that it failed"), "{error}");
            assert_discreet(&error);
        }
        assert_eq!(server.requests().len(), 4, "{body}: nothing is repeated");
    }
    for body in [
        "",
        "true",
        r#"{"success":true,"error":null}"#,
        r#"{"status":"Scanning"}"#,
    ] {
        let (_server, lab) = service("", body).await;
        lab.orders().return_to_doctor("order-88").await.unwrap();
    }
    // An order may have a field of that name.
    let body = r#"{"orderId":1,"status":"Lab Review","errors":["margin 14"],"error":"x"}"#;
    let (_server, lab) = service("", body).await;
    assert!(lab.orders().by_rx(&"r1".into()).await.is_ok());
}

#[tokio::test]
async fn another_order_than_the_one_asked_for_is_an_error() {
    let (_server, lab) = service(
        "",
        r#"{"orderId":"order-88","rxId":"rx-99","status":"Sent"}"#,
    )
    .await;
    let error = lab.orders().by_rx(&RxId::from("7")).await.unwrap_err();
    assert!(error.is_decode() && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("another order"), "{error}");
    assert_eq!(error.path(), Some("rxid"));
    assert_discreet(&error);
    assert!(lab.orders().by_rx(&RxId::from("RX-99")).await.is_ok());
    // One that does not say is the one that was asked for.
    let (_server, lab) = service("", r#"{"orderId":"order-88","status":"Sent"}"#).await;
    assert!(lab.orders().by_rx(&RxId::from("7")).await.is_ok());
}

#[tokio::test]
async fn no_content_is_an_empty_list_and_no_order() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let lab = client.account("account-77");
    let listing = lab.orders().list().await.unwrap();
    assert!(listing.orders().is_empty() && listing.is_complete());
    let error = lab.orders().by_rx(&"r1".into()).await.unwrap_err();
    assert!(error.is_decode(), "{error}");
}

#[tokio::test]
async fn a_403_that_says_when_to_come_again_is_waited_for() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(403).insert_header("retry-after", "2"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_string(format!("[{ONE}]")))
        .mount(&server)
        .await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    let listing = client.account("account-77").orders().list().await.unwrap();
    assert_eq!(ids(&listing), ["1"]);
    assert_eq!(clock.waits(), [std::time::Duration::from_secs(2)]);
}

#[tokio::test]
async fn an_inner_address_can_be_followed_on_our_own_origin() {
    let body = format!(r#"{{"orders":[{ONE}],"next":"http://10.0.0.7:8080/inner?page=2#x"}}"#);
    let (server, lab) = service("", &body).await;
    let listing = lab.orders().list().await.unwrap();
    assert!(listing.problem().unwrap().is_origin(), "{listing:?}");
    assert_eq!(server.requests().len(), 1);
    let clock = TestClock::new();
    let client = builder(&server.url("/"), &clock)
        .next_page_on_own_origin(true)
        .token_store(store(&clock, 3600).await)
        .build()
        .unwrap();
    client.account("account-77").orders().list().await.unwrap();
    assert!(server.requests()[2].starts_with("GET /inner?page=2 "));
}
