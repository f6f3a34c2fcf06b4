//! What a call brings, read by hand: extractors answer in plain text and with codes of their own.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Problem;

/// A JSON object; no body at all is an empty one.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Problem::bad_request("the body is not a JSON object")),
    }
}

/// A form, as OAuth's endpoints take it.
pub(super) fn form<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(invalid("the body must be a form"));
    }
    let pairs = url::form_urlencoded::parse(body);
    let fields = pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())));
    serde_json::from_value(Value::Object(fields.collect()))
        .map_err(|_| invalid("the form cannot be read"))
}

pub(super) fn invalid(message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", message)
}

/// What the router refuses by itself, such as a path that is not UTF-8, in our words.
pub(super) async fn in_our_words(response: Response) -> Response {
    let plain = response.headers().get(header::CONTENT_TYPE);
    let plain = plain.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if plain && response.status().is_client_error() {
        return Problem::bad_request("the request is not one of this operation").into_response();
    }
    response
}
