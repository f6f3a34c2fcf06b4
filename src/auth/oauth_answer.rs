//! The answer of a token endpoint, in any of its forms: JSON, as RFC 6749 asks for; a form, as older services
//! answer; or a code alone.
//!
//! *Problem.* The oauth2 crate reads one form. A refusal that it cannot read would look like an
//! outage, and be tried again, where a person has to sign in.
//!
//! *Approach.* Each form becomes the JSON that the crate reads. What is not an answer of OAuth 2
//! must not be taken for one: it returns `None`.

use serde_json::{Map, Value, json};

use super::token::TokenAnswer;
use crate::key::same_key;
use crate::text;

/// The answer as the JSON that the oauth2 crate reads.
#[derive(Debug)]
pub(super) enum OAuthAnswer {
    Tokens(Vec<u8>),
    /// An error of the protocol, whatever its status was.
    Refusal(Vec<u8>),
}

/// The codes that are recognized without any JSON around them: RFC 6749 section 5.2, and RFC 7009.
const CODES: [&str; 8] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_token",
    "unsupported_token_type",
];

/// Returns `None` for what is not an answer of OAuth 2.
pub(super) fn read(body: &[u8]) -> Option<OAuthAnswer> {
    let fields = fields(body)?;
    let json = Value::Object(fields.clone()).to_string();
    // With an access token it is a success, whatever else is beside it.
    if serde_json::from_str::<TokenAnswer>(&json).is_ok() {
        return Some(OAuthAnswer::Tokens(json.into_bytes()));
    }
    let refusal = json!({
        "error": error(&fields)?,
        "error_description": text(&fields, "errordescription"),
    });
    Some(OAuthAnswer::Refusal(refusal.to_string().into_bytes()))
}

/// The code of an error.
pub(super) fn code(body: &[u8]) -> Option<String> {
    error(&fields(body)?)
}

fn error(fields: &Map<String, Value>) -> Option<String> {
    match field(fields, "error")? {
        // Some wrap it: {"error": {"code": …, "message": …}}.
        Value::Object(inner) => text(inner, "code"),
        _ => text(fields, "error"),
    }
}

fn fields(body: &[u8]) -> Option<Map<String, Value>> {
    let text = text::of(body, None);
    let text = text.trim();
    if let Ok(value) = text::parse(text) {
        return match value {
            Value::Object(fields) => Some(fields),
            Value::String(code) => alone(&code),
            _ => None,
        };
    }
    // A form has no spaces, tags or braces: with those it is a page, broken JSON, or a sentence
    // with a `=`.
    if !text.contains('=') || text.contains(['<', '{']) || text.contains(char::is_whitespace) {
        return alone(text);
    }
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    Some(
        pairs
            .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
            .collect(),
    )
}

fn alone(text: &str) -> Option<Map<String, Value>> {
    let code = CODES.contains(&text).then(|| text.into());
    Some(Map::from_iter([("error".to_owned(), code?)]))
}

fn field<'f>(fields: &'f Map<String, Value>, name: &str) -> Option<&'f Value> {
    let mut named = fields.iter().filter(|(key, _)| same_key(key, name));
    named.next().map(|(_, value)| value)
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    let text = field(fields, name)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_refusals_are_read_in_any_form() {
        for body in [
            r#"{"access_token":"a","expires_in":60}"#,
            "\u{FEFF}{\"accessToken\":\"a\"}",
            // Of a service that cuts names to a length.
            r#"{"access_token":"a","name":"x \ud83d"}"#,
            r#"{"access_token":"a","error":"","error_description":null}"#,
            r#"{"access_token":"a","error":"none"}"#,
            "access_token=a&token_type=bearer&expires_in=60",
            "access_token=a",
        ] {
            let read = read(body.as_bytes());
            assert!(
                matches!(read, Some(OAuthAnswer::Tokens(_))),
                "{body}: {read:?}"
            );
        }
        for (body, code) in [
            (r#"{"error":"invalid_grant"}"#, "invalid_grant"),
            ("\u{FEFF} {\"Error\":\"invalid_grant\"}", "invalid_grant"),
            (r#"{"error":{"code":"invalid_grant"}}"#, "invalid_grant"),
            (
                r#"{"error":"invalid_grant","error_description":"x \ud83d"}"#,
                "invalid_grant",
            ),
            (r#"{"error":"bad_refresh_token"}"#, "bad_refresh_token"),
            ("error=invalid_grant&error_description=x+y", "invalid_grant"),
            ("invalid_grant", "invalid_grant"),
            ("invalid_grant\r\n", "invalid_grant"),
            ("\"invalid_grant\"", "invalid_grant"),
        ] {
            assert_eq!(
                super::code(body.as_bytes()).as_deref(),
                Some(code),
                "{body}"
            );
            let read = read(body.as_bytes());
            assert!(
                matches!(read, Some(OAuthAnswer::Refusal(_))),
                "{body}: {read:?}"
            );
        }
        for body in [
            "",
            "<html>error=invalid_grant</html>",
            "the refresh token is an invalid_grant",
            "canary",
            "[]",
            r#"{"error":7}"#,
            r#"{"error":null}"#,
            r#"{"refresh_token":"r"}"#,
            "access_token=",
            "a=b",
        ] {
            assert!(read(body.as_bytes()).is_none(), "{body}");
        }
    }
}
