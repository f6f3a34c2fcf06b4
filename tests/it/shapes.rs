//! Answers as other services shape them, after public bug reports: what they say is read, and what
//! they do not say is not concluded.

use std::sync::Arc;

use http::Method;
use lab_connector::auth::TokenKey;
use lab_connector::client::Listing;
use lab_connector::{Endpoints, Lab, Operation, OrderStatus, Result, RxId};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{
    RawServer, TestClock, assert_discreet, builder, keep, kept, login, store, tokens,
};

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
async fn text_in_other_encodings_is_read() {
    let latin1 = [
        &br#"[{"orderId":"1","status":"Sent","patient":"M"#[..],
        b"\xfc",
        br#"ller"}]"#,
    ]
    .concat();
    let utf16: Vec<u8> = std::iter::once(0xFEFF)
        .chain(r#"[{"orderId":"1","status":"Sent","patient":"Müller"}]"#.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf8 = r#"[{"orderId":"1","status":"Sent","patient":"Müller"}]"#;
    for (kind, body, patient) in [
        (
            "application/json; charset=iso-8859-1",
            latin1.clone(),
            "Müller",
        ),
        (
            "application/json;charset=\"Windows-1252\"",
            latin1.clone(),
            "Müller",
        ),
        ("application/json", latin1, "M\u{FFFD}ller"),
        ("application/json; charset=utf-16", utf16.clone(), "Müller"),
        ("application/json", utf16, "Müller"),
        // Declared by habit, and not so.
        (
            "application/json; charset=iso-8859-1",
            utf8.into(),
            "Müller",
        ),
        ("application/json; charset=none", utf8.into(), "Müller"),
    ] {
        let (_server, lab) = service(&format!("content-type: {kind}\r\n"), &body).await;
        let listing = lab.orders().list().await.unwrap();
        assert!(listing.is_complete(), "{kind}");
        assert_eq!(listing.orders()[0].extra()["patient"], patient, "{kind}");
        let order = lab.orders().by_rx(&"r1".into()).await.unwrap();
        assert_eq!(order.extra()["patient"], patient, "{kind}");
        let raw = lab.call(Operation::GetOrders);
        let raw: serde_json::Value = raw.fetch().await.unwrap();
        assert_eq!(raw[0]["patient"], patient, "{kind}");
    }
}

#[tokio::test]
async fn a_lone_surrogate_costs_one_sign() {
    let body = format!(
        r#"[{{"orderId":"1","rxId":"r1","status":"Ready for Download","notes":"call \ud83d"}},{TWO}]"#
    );
    let listing = list(&body).await.unwrap();
    assert_eq!(ids(&listing), ["1", "2"]);
    assert!(listing.is_complete());
}

/// A pairing brings tokens, and is good for one use: nothing beside them may cost them.
#[tokio::test]
async fn a_lone_surrogate_beside_tokens_costs_no_tokens() {
    let body = r#"{"access_token":"access-2","labName":"Dental Lab \ud83d"}"#;
    let (server, clock) = (
        RawServer::start(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await,
        TestClock::new(),
    );
    let store = store(&clock, -1).await;
    keep(&store, &login(), &tokens(&clock, 3600)).await;
    let client = builder(&server.url("/"), &clock)
        .token_store(Arc::clone(&store))
        .build()
        .unwrap();
    client.login("me").pair("account-78").await.unwrap();
    // A refresh, of which the service has rotated the token.
    client.account("account-77").keep_access().await.unwrap();
    for id in ["account-77", "account-78"] {
        let kept = kept(&store, &TokenKey::Account(id.into())).await;
        assert_eq!(kept.as_deref(), Some("access-2"), "{id}");
    }
}

/// A sign-in form of a proxy is no success, whatever mark its editor has put before it.
#[tokio::test]
async fn a_page_with_a_byte_order_mark_has_done_nothing() {
    let (server, lab) = service("content-type: text/html\r\n", "\u{FEFF}<!DOCTYPE html>").await;
    let error = lab.orders().return_to_doctor("1").await.unwrap_err();
    assert!(error.is_decode(), "{error}");
    assert!(lab.unpair().await.unwrap_err().is_decode());
    assert!(lab.revoke().await.unwrap_err().is_decode());
    assert!(lab.is_paired().await.unwrap());
    assert_eq!(server.requests().len(), 3);
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
async fn compression_that_nobody_asked_for_is_named() {
    let body = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0C\xbf\xa6\xa3\x02\0\0\0";
    for headers in ["content-encoding: gzip\r\n", ""] {
        let (_server, lab) = service(headers, body).await;
        let error = lab.orders().list().await.unwrap_err();
        assert!(error.is_decode(), "{error}");
        for word in [
            "compressed",
            "not asked for",
            "gateway",
            "`ClientBuilder::transport`",
        ] {
            assert!(error.to_string().contains(word), "{error}");
        }
        let raw = lab.call(Operation::GetOrders);
        let error = raw.fetch::<serde_json::Value>().await.unwrap_err();
        assert!(error.to_string().contains("compressed"), "{error}");
    }
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
