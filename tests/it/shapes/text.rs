//! Bytes that are no plain UTF-8: other encodings, marks, half signs, compression.

use std::sync::Arc;

use lab_connector::Operation;
use lab_connector::auth::TokenKey;

use super::{TWO, ids, list, service};
use crate::support::{RawServer, TestClock, builder, keep, kept, login, store, tokens};

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
