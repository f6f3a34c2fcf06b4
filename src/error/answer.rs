//! What an answer that is an error says about itself, without its payload.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::{Error, Kind};

/// Headers in which services name a request. Convention: the usual ones.
const REQUEST_ID: [&str; 6] = [
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "x-ms-request-id",
    "x-amzn-requestid",
    "traceparent",
];

/// Fields whose text describes an error, in the spelling of [`crate::key`].
const CODES: [&str; 4] = ["error", "code", "errorcode", "type"];
const MESSAGES: [&str; 5] = [
    "message",
    "errormessage",
    "errordescription",
    "title",
    "detail",
];

/// Longer bodies are not parsed to be described: as values they would take many times their
/// length.
const DESCRIBED: usize = 1024 * 1024;

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
    Error::new(Kind::Status(text))
        .with_answer(status, request_id(headers), retry_after(headers, now))
        .with_excerpt(excerpt(body, true))
}

/// What the body is, where it is not what was due.
pub(crate) fn describe(headers: &HeaderMap, body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        "it is empty"
    } else if is_compressed(headers, body) {
        "it is compressed, which was not asked for"
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

fn is_compressed(headers: &HeaderMap, body: &[u8]) -> bool {
    let coding = headers.get(http::header::CONTENT_ENCODING);
    let declared = coding.is_some_and(|coding| {
        let coding = coding.as_bytes().trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    });
    // Or by the signature of gzip.
    declared || body.starts_with(b"\x1f\x8b")
}

pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    REQUEST_ID
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
        .map(|id| bounded(id, 100))
}

pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    super::retry_after::parse(value, now)
}

/// The form of an answer in a line, see [`Error::excerpt`]. Only of an answer that `refuses` do
/// texts describe an error; in others they are payload.
pub(crate) fn excerpt(body: &[u8], refuses: bool) -> String {
    let length = body.len();
    if body.trim_ascii().is_empty() {
        return "an empty answer".to_owned();
    }
    if is_page(body) {
        return format!("an HTML page of {length} bytes");
    }
    if length > DESCRIBED {
        return format!("{length} bytes, too many to look into");
    }
    let text = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => {
            format!("a JSON object, {length} bytes: {}", shape(&fields, refuses))
        }
        Ok(Value::Array(list)) => format!("a JSON list of {}, {length} bytes", list.len()),
        Ok(_) => format!("a JSON value, {length} bytes"),
        Err(_) => format!("{length} bytes that are not JSON"),
    };
    bounded(&text, 300)
}

/// The keys of an object, with the texts of those in which services describe errors. In an
/// answer that does not refuse even a key may be payload.
fn shape(fields: &Map<String, Value>, refuses: bool) -> String {
    if !refuses {
        return format!("{{{} fields}}", fields.len());
    }
    let mut shown: Vec<String> = Vec::new();
    for (key, value) in fields {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        // What is no name of a field may be data.
        let key = if key.len() <= 40 && key.chars().all(plain) {
            key.as_str()
        } else {
            "…"
        };
        let describes = CODES.iter().chain(&MESSAGES).any(|name| is(key, name));
        shown.push(match value {
            Value::Object(inner) if is(key, "error") => format!("{key} {}", shape(inner, refuses)),
            _ => match text(value).filter(|_| describes) {
                Some(text) => format!("{key} {text:?}"),
                None => key.to_owned(),
            },
        });
    }
    format!("{{{}}}", shown.join(", "))
}

fn said(body: &[u8]) -> Option<String> {
    if is_page(body) {
        return Some("an HTML page".to_owned());
    }
    if body.len() > DESCRIBED {
        return None;
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
            let (_, value) = fields.iter().find(|(key, _)| is(key, name))?;
            text(value)
        })
    };
    match (find(&CODES), find(&MESSAGES)) {
        (Some(code), Some(message)) => Some(format!("{code}, {message}")),
        (one, other) => one.or(other),
    }
}

/// The text of a field that describes an error.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(bounded(text, 200)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is(key: &str, name: &str) -> bool {
    crate::key::same_key(key, name)
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

    #[test]
    fn an_excerpt_shows_the_form_and_no_payload() {
        for (body, expected) in [
            ("", "an empty answer"),
            ("  <html>canary", "an HTML page of 14 bytes"),
            ("canary", "6 bytes that are not JSON"),
            (r#"["canary"]"#, "a JSON list of 1, 10 bytes"),
            (
                r#"{"title":"Gone","status":410,"patient":{"a":"canary"},"can ary":1}"#,
                r#"a JSON object, 66 bytes: {…, patient, status, title "Gone"}"#,
            ),
            (
                r#"{"error":{"code":"E7","order":"canary"}}"#,
                r#"a JSON object, 40 bytes: {error {code "E7", order}}"#,
            ),
        ] {
            assert!(!excerpt(body.as_bytes(), false).contains("canary"));
            let excerpt = excerpt(body.as_bytes(), true);
            assert_eq!(excerpt, expected, "{body}");
            assert!(!excerpt.contains("canary"));
        }
        let long = format!(r#"{{"message":"{0}","detail":"{0}"}}"#, "x".repeat(9999));
        assert!(excerpt(long.as_bytes(), true).chars().count() <= 300);
    }
}
