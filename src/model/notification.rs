//! Notifications: hints that an order changed.
//!
//! *Problem.* Anybody can post one, and neither its form nor its keys are documented.
//!
//! *Approach.* It is read leniently and only its ids are used: the order is then fetched from the
//! service. Nothing else in a notification must be believed.

use std::fmt;

use serde::Deserialize;

use super::id::{AccountId, RxId};
use super::lenient::{self, ParsedRecord, SyntaxError, Walk};
use crate::error::{Error, Result};
use crate::key::same_key;
use crate::text;

/// What the service posts when a case becomes *Ready for Download* or comes to *Lab Review*.
///
/// Documented is that it carries the Rx id and the account number only; how it is sent is not.
/// It is no more than a hint: anybody can post one, so it makes the software fetch the order
/// and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    rx_id: RxId,
    /// Of one that names several orders.
    others: Vec<RxId>,
    account_id: Option<AccountId>,
}

lenient::record!(Fields, "a notification" {
    rx_id: RxId = ["rxid", "rx", "prescriptionid", "rxnumber"],
    account_id: AccountId = ["accountnumber", "accountid", "account", "companyid"],
});

impl Notification {
    /// No notification that says only what is documented is longer, in bytes.
    pub const MAX_LENGTH: usize = 64 * 1024;

    /// Reads the body of a notification: a JSON object, or a form. Convention: it may be wrapped as
    /// services that pass on events wrap it, in `data` or `message` or as JSON in a text, and may be a
    /// list.
    ///
    /// # Errors
    ///
    /// [`Error::is_decode`] if it is longer than [`Notification::MAX_LENGTH`], is neither, or
    /// holds no Rx id.
    pub fn parse(body: &[u8]) -> Result<Self> {
        // Before it is decoded or read.
        if body.len() > Self::MAX_LENGTH {
            return Err(unreadable("it is longer than 64 KiB"));
        }
        let body = text::of(body, None);
        let mut found = Vec::new();
        // The headers are not asked: services send JSON as `text/plain`, and forms without a type.
        match body.trim_ascii_start().starts_with(['{', '[', '"']) {
            true => {
                let mut walk = Walk::new(&body);
                collect(&mut walk, &mut found, 0)
                    .and_then(|()| walk.end())
                    .map_err(|SyntaxError| unreadable("it is not valid JSON"))?;
            }
            false => found.push(form(&body)),
        }
        let mut named = found.into_iter().filter_map(|fields| {
            // An empty id would be that of no order, and a path without a last part.
            let rx_id = fields.rx_id.filter(|id| !id.as_str().trim().is_empty())?;
            Some((rx_id, fields.account_id))
        });
        let (rx_id, account_id) = named
            .next()
            .ok_or_else(|| unreadable("it holds no Rx id (`rxId`)"))?;
        Ok(Notification {
            rx_id,
            // All of them: services pass on several events in one request (test
            // `several_orders_and_envelopes_are_read`).
            others: named.map(|(rx_id, _)| rx_id).collect(),
            account_id,
        })
    }

    /// The order that changed; the first, where it names several.
    #[must_use]
    pub fn rx_id(&self) -> &RxId {
        &self.rx_id
    }

    /// The orders that changed: nearly always one.
    pub fn rx_ids(&self) -> impl Iterator<Item = &RxId> {
        std::iter::once(&self.rx_id).chain(&self.others)
    }

    /// The account that it, or the first of several, belongs to.
    #[must_use]
    pub fn account_id(&self) -> Option<&AccountId> {
        self.account_id.as_ref()
    }
}

/// Keys under which events are passed on.
const WRAPPERS: [&str; 14] = [
    "data",
    "notification",
    "notifications",
    "event",
    "events",
    "payload",
    "message",
    "body",
    "detail",
    "resource",
    "items",
    "records",
    "order",
    "orders",
];

/// How deep a notification may be wrapped.
// A message in a message in a list is three; the limit bounds the recursion.
const DEPTH: usize = 4;

/// Reads what is one, or holds some.
fn collect(walk: &mut Walk<'_>, found: &mut Vec<Fields>, depth: usize) -> Result<(), SyntaxError> {
    if depth > DEPTH {
        // Stepped over and not refused: what was found before it still counts.
        return walk.value().map(drop);
    }
    match walk.peek() {
        Some(b'[') => walk.list(|walk| collect(walk, found, depth + 1)),
        Some(b'{') => {
            let begin = walk.mark();
            let fields = ParsedRecord::<Fields>::walk(walk)?.fields;
            // A notification itself: what is in it besides is not searched, since an id in there
            // may be another's.
            if fields.rx_id.is_some() {
                found.push(fields);
                return Ok(());
            }
            // A second pass over the object, at most once for each level: the body has 64 KiB.
            Walk::new(walk.since(begin)).object(|walk, key| {
                if WRAPPERS.iter().any(|name| same_key(&key, name)) {
                    return collect(walk, found, depth + 1);
                }
                walk.value().map(drop)
            })
        }
        Some(b'"') => {
            let text = walk.string()?;
            if text.trim_ascii_start().starts_with(['{', '[']) {
                // Nothing is taken of a body that only looks like JSON.
                let _ = collect(&mut Walk::new(&text), found, depth + 1);
            }
            Ok(())
        }
        _ => walk.value().map(drop),
    }
}

/// A form, read by the rule for JSON objects; any text is a form of some kind.
fn form(body: &str) -> Fields {
    let object = url::form_urlencoded::parse(body.as_bytes())
        .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
        .collect();
    // Fails for no object. A form of other keys has no Rx id, which the caller reports.
    Fields::deserialize(serde_json::Value::Object(object)).unwrap_or_default()
}

fn unreadable(why: &str) -> Error {
    Error::decode(why).with_operation("Scan notification")
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("rx_id", &self.rx_id)
            .field("others", &self.others)
            .field("account_id", &self.account_id)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_forms_are_read() {
        for body in [
            r#"{"rxId": "77", "accountNumber": "12"}"#,
            r#"{"RX_ID": 77, "account_number": 12, "more": true}"#,
            "rxId=77&accountNumber=12",
            "RX-ID=77&AccountNumber=12&x",
        ] {
            let notification = Notification::parse(body.as_bytes()).unwrap();
            assert_eq!(notification.rx_id().as_str(), "77", "{body}");
            assert_eq!(notification.account_id().map(AccountId::as_str), Some("12"));
        }
    }

    #[test]
    fn several_orders_and_envelopes_are_read() {
        for (body, expected) in [
            (r#"[{"rxId":"77"},{"rxId":"78"}]"#, &["77", "78"][..]),
            (r#"{"data":{"rxId":"77"}}"#, &["77"]),
            (
                r#"{"id":"e-1","event":{"type":"x","data":[{"rxId":77},{"RxID":"78"}]}}"#,
                &["77", "78"],
            ),
            (r#""{\"rxId\":\"77\"}""#, &["77"]),
            (
                r#"{"Type":"Notification","Message":"{\"rxId\":77}"}"#,
                &["77"],
            ),
            (
                "\u{FEFF}{\"rxId\":\"77\",\"accountNumber\":\"12\"}",
                &["77"],
            ),
            (r#"[{"rxId":"77"},{"other":1},7,{"rxId":" "}]"#, &["77"]),
            (r#"{"rxId":"77","data":{"rxId":"78"}}"#, &["77"]),
        ] {
            let notification = Notification::parse(body.as_bytes()).unwrap();
            let ids: Vec<_> = notification.rx_ids().map(RxId::as_str).collect();
            assert_eq!(ids, expected, "{body}");
            assert_eq!(notification.rx_id().as_str(), "77");
        }
        let utf16: Vec<u8> = "\u{FEFF}{\"rxId\":77}"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        assert_eq!(Notification::parse(&utf16).unwrap().rx_id().as_str(), "77");
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            "",
            "{}",
            r#"{"rxId": ""}"#,
            r#"{"rxId": ["#,
            "[1]",
            "hello",
            r#"{"rxId": {}}"#,
            r#"{"data": {"rxId": {}}}"#,
            r#"[{"rxId": "77"}"#,
            "[]",
            r#""rxId""#,
            r#"{"data":{"data":{"data":{"data":{"data":{"rxId":"77"}}}}}}"#,
            &"[".repeat(60_000),
        ] {
            let error = Notification::parse(body.as_bytes()).unwrap_err();
            assert!(error.is_decode(), "{body}");
        }
        assert!(Notification::parse(&vec![b' '; Notification::MAX_LENGTH + 1]).is_err());
    }
}
