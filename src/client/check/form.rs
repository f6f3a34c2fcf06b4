//! Forms of keys and values: what a report may show of them. Pure.
//!
//! *Problem.* A report is sent by mail and pasted into tickets, and answers hold names of patients.
//!
//! *Approach.* Of a value only its form is shown; a key or a status only if it is short and plain.
//! No function here must return a part of a value that it has not judged.

use serde_json::Value;
use url::Url;

use crate::status::OrderStatus;
use crate::text;

/// Longer keys and kinds are not shown: a plain identifier is short. The number is a choice of ours.
const LONGEST: usize = 40;

/// Whether a key has the form of an identifier, and may be shown.
pub(super) fn is_plain(key: &str) -> bool {
    // OData and JSON Schema begin keys with `@` and `$`.
    let first = |letter: char| letter.is_ascii_alphabetic() || matches!(letter, '_' | '$' | '@');
    let other = |letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '$' | '@')
    };
    key.len() <= LONGEST && key.starts_with(first) && key.chars().all(other)
}

/// The type of a value, and of a text its form.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "number with a fraction",
        Value::Number(_) => "whole number",
        Value::String(text) => form_of(text.trim()),
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn form_of(text: &str) -> &'static str {
    let is_hex = |length| text.len() == length && text.bytes().all(|it| it.is_ascii_hexdigit());
    let digits = || text.bytes().all(|byte| byte.is_ascii_digit());
    let is_url = || Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    match text {
        "" => "empty text",
        // The lengths of SHA-256 and MD5.
        _ if is_hex(64) || is_hex(32) => "text of hexadecimal digits",
        _ if digits() => "text of digits",
        _ if text.parse::<jiff::Timestamp>().is_ok() => "time with an offset",
        // Ten letters are a date alone, which can be read as a date with a time as well.
        _ if text.len() > 10 && text.parse::<jiff::civil::DateTime>().is_ok() => {
            "time without an offset"
        }
        _ if text.parse::<jiff::civil::Date>().is_ok() => "date",
        _ if text.starts_with("/Date(") => "time of old .NET",
        _ if crate::http_date::parse(text).is_some() => "time of HTTP",
        _ if is_url() => "URL",
        _ => "text",
    }
}

/// The form of a value that is a time.
pub(super) fn time_of(value: &Value) -> &'static str {
    match value.as_f64() {
        // As seconds, that is after the year 5000.
        // `Expiry::read` draws the same line for tokens.
        Some(1e11..) => "milliseconds since 1970, or finer",
        Some(_) => "seconds since 1970",
        None => type_of(value),
    }
}

/// How a key of several words is spelled; none for a word by itself.
pub(super) fn spelling_of(key: &str) -> Option<&'static str> {
    let upper = |letter: char| letter.is_ascii_uppercase();
    let first_is_upper = key.starts_with(upper);
    let inner_is_upper = key.chars().skip(1).any(upper);
    Some(match key {
        // The signs first: a key with one may have capitals as well.
        _ if key.contains('-') => "kebab-case",
        _ if key.contains('_') && !key.chars().any(|letter| letter.is_ascii_lowercase()) => {
            "SCREAMING_SNAKE_CASE"
        }
        _ if key.contains('_') => "snake_case",
        _ if first_is_upper => "PascalCase",
        _ if inner_is_upper => "camelCase",
        _ => return None,
    })
}

/// How a status is spelled.
pub(super) fn status_spelling(text: &str) -> &'static str {
    let text = text.trim();
    let status = OrderStatus::from(text);
    let has = |sign: char| text.contains(sign);
    let lower = text.chars().any(|letter| letter.is_ascii_lowercase());
    match text {
        _ if status.is_known() && status.as_str() == text => "as Align documents it",
        _ if text.ends_with(')') => "with a note behind it",
        _ if !lower => "SCREAMING_SNAKE_CASE",
        _ if has('_') => "snake_case",
        _ if !has(' ') => "camelCase",
        _ => "another",
    }
}

/// A status as it may be shown: without a note, which may name somebody, and an unknown one only if it
/// is a few plain words.
pub(super) fn status_shown(text: &str) -> Option<String> {
    let (before, note) = match text.trim().split_once('(') {
        Some((before, _)) => (before.trim_end(), " (…)"),
        None => (text.trim(), ""),
    };
    let plain = |letter: char| letter.is_ascii_alphabetic() || matches!(letter, ' ' | '_' | '-');
    let few = before.len() <= LONGEST && before.split([' ', '_', '-']).count() <= 4;
    let shown = few && !before.is_empty() && before.chars().all(plain);
    shown.then(|| format!("{before}{note}"))
}

/// The form of the body of an answer that reports an error.
pub(super) fn error_form(body: &[u8]) -> &'static str {
    if body.trim_ascii().is_empty() {
        return "no body";
    }
    if crate::error::answer::is_page(body) {
        return "an HTML page";
    }
    match text::json::<Value>(body, None) {
        Ok(Value::Object(fields)) => {
            let nested = fields
                .iter()
                .any(|(key, value)| crate::key::same_key(key, "error") && value.is_object());
            match nested {
                true => "an object in an object",
                false => "an object",
            }
        }
        Ok(_) => "JSON that is no object",
        Err(_) => "plain text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_of_plain_form_are_shown() {
        for key in [
            "orderId",
            "order_id",
            "x-unheard-of",
            "@odata.nextLink",
            "$values",
        ] {
            assert!(is_plain(key), "{key}");
        }
        for key in [
            "",
            "Doe, Jane",
            "4711",
            "Jane Doe",
            "Zoë",
            "https://a.example/",
            &"x".repeat(41),
        ] {
            assert!(!is_plain(key), "{key}");
        }
    }

    #[test]
    fn types_say_a_form_and_no_value() {
        for (value, expected) in [
            (json!(null), "null"),
            (json!(7), "whole number"),
            (json!(7.5), "number with a fraction"),
            (json!(" "), "empty text"),
            (json!("0123"), "text of digits"),
            (json!("a".repeat(64)), "text of hexadecimal digits"),
            (json!("2026-03-14T09:26:53Z"), "time with an offset"),
            (json!("2026-03-14T09:26:53"), "time without an offset"),
            (json!("2026-03-14"), "date"),
            (json!("https://a.example/?sig=1"), "URL"),
            (json!("Doe, Jane"), "text"),
        ] {
            assert_eq!(type_of(&value), expected, "{value}");
        }
        assert_eq!(time_of(&json!(1_773_480_413)), "seconds since 1970");
        assert_eq!(
            time_of(&json!(1_773_480_413_000_u64)),
            "milliseconds since 1970, or finer"
        );
    }

    #[test]
    fn spellings_are_told_apart() {
        for (key, expected) in [
            ("orderId", Some("camelCase")),
            ("OrderId", Some("PascalCase")),
            ("Status", Some("PascalCase")),
            ("order_id", Some("snake_case")),
            ("ORDER_ID", Some("SCREAMING_SNAKE_CASE")),
            ("order-id", Some("kebab-case")),
            ("status", None),
        ] {
            assert_eq!(spelling_of(key), expected, "{key}");
        }
        for (status, expected) in [
            ("Lab Review", "as Align documents it"),
            ("Lab Review (For the Lab)", "with a note behind it"),
            ("LAB_REVIEW", "SCREAMING_SNAKE_CASE"),
            ("labReview", "camelCase"),
            ("Lab review", "another"),
        ] {
            assert_eq!(status_spelling(status), expected, "{status}");
        }
    }

    #[test]
    fn a_status_is_shown_without_what_may_name_somebody() {
        for (status, shown) in [
            ("Lab Review", Some("Lab Review")),
            ("Scanning (For Dr Canary)", Some("Scanning (…)")),
            ("ON_HOLD", Some("ON_HOLD")),
            ("Waiting for Dr Jane Canary to call", None),
            ("held: 4711", None),
            ("", None),
        ] {
            assert_eq!(status_shown(status).as_deref(), shown, "{status}");
        }
    }

    #[test]
    fn errors_have_a_form() {
        for (body, expected) in [
            ("", "no body"),
            (r#"{"error": "x"}"#, "an object"),
            (r#"{"Error": {"code": 1}}"#, "an object in an object"),
            ("no such order", "plain text"),
            ("<html>", "an HTML page"),
        ] {
            assert_eq!(error_form(body.as_bytes()), expected, "{body}");
        }
    }
}
