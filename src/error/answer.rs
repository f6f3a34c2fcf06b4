//! What an answer that is an error says about itself, without its payload.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Error, Kind};
use crate::retry;

/// Headers in which services name a request. Convention: the usual ones.
const REQUEST_ID: [&str; 6] = [
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "x-ms-request-id",
    "x-amzn-requestid",
    "traceparent",
];

/// Fields whose text describes an error, in the spelling of [`crate::model::lenient::key`].
const CODES: [&str; 4] = ["error", "code", "errorcode", "type"];
const MESSAGES: [&str; 5] = [
    "message",
    "errormessage",
    "errordescription",
    "title",
    "detail",
];

/// The error that a refusing answer makes.
pub(crate) fn error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Error {
    let mut text = status.to_string();
    if let Some(said) = said(body) {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {said}");
    }
    Error::new(Kind::Status(text)).with_answer(
        status,
        request_id(headers),
        retry_after(headers, now),
    )
}

/// What the body is, where it is not what was due.
pub(crate) fn describe(headers: &HeaderMap, body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        "it is empty"
    } else if is_page(start) {
        "it is an HTML page, perhaps of a proxy or a sign-in form"
    } else if headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
    {
        "it is not valid JSON"
    } else {
        "it is not JSON"
    }
}

pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_ID
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
        .map(|id| bounded(id, 100))
}

pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    retry::after::parse(value, now)
}

fn said(body: &[u8]) -> Option<String> {
    if is_page(body) {
        return Some("an HTML page".to_owned());
    }
    let Value::Object(fields) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    // Some wrap it: {"error": {"code": …, "message": …}}.
    let fields = match fields.iter().find(|(key, _)| is(key, "error")) {
        Some((_, Value::Object(inner))) => inner.clone(),
        _ => fields,
    };
    let find = |names: &[&str]| {
        names.iter().find_map(|name| {
            fields
                .iter()
                .find(|(key, _)| is(key, name))
                .and_then(|(_, value)| match value {
                    Value::String(text) => Some(bounded(text, 200)),
                    Value::Number(number) => Some(number.to_string()),
                    _ => None,
                })
        })
    };
    match (find(&CODES), find(&MESSAGES)) {
        (Some(code), Some(message)) => Some(format!("{code}, {message}")),
        (one, other) => one.or(other),
    }
}

fn is(key: &str, name: &str) -> bool {
    crate::model::lenient::same_key(key, name)
}

/// Whether it is an HTML page, which no service of the Lab Connector answers with.
pub(crate) fn is_page(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let head = start.get(..14).unwrap_or(start).to_ascii_lowercase();
    head.starts_with(b"<!doctype html") || head.starts_with(b"<html")
}

/// One line of at most `limit` characters.
fn bounded(text: &str, limit: usize) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_messages_are_shown_and_nothing_else() {
        for (body, expected) in [
            (
                r#"{"error":"invalid_grant","error_description":"gone"}"#,
                Some("invalid_grant, gone"),
            ),
            (
                r#"{"error":{"code":17,"message":"no\nsuch order"}}"#,
                Some("17, no such order"),
            ),
            (
                r#"{"ErrorCode":"E1","patient":{"name":"canary"}}"#,
                Some("E1"),
            ),
            (r#"{"patient":"canary"}"#, None),
            ("<html>canary</html>", Some("an HTML page")),
            ("canary", None),
            ("", None),
        ] {
            assert_eq!(said(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
