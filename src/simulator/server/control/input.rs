//! What a request of the control API brings.

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Problem;

/// The body as JSON; none at all is an empty object. By hand: the extractor answers in plain text.
pub(super) fn body<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    // serde names the key and the place.
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body does not fit: {error}")))
}

/// The query, strictly: a parameter that is not known is a mistake of the test's.
pub(super) fn query<T: DeserializeOwned>(query: Option<&str>) -> Result<T, Problem> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let fields = pairs.map(|(key, value)| (key.into_owned(), Value::String(value.into_owned())));
    serde_json::from_value(Value::Object(fields.collect()))
        .map_err(|error| Problem::bad_request(format!("the query does not fit: {error}")))
}

/// A number of a query, which is text.
pub(super) fn number(name: &str, text: Option<&str>, default: u64) -> Result<u64, Problem> {
    match text {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!("`{name}` must be a whole number"),
            )
        }),
    }
}
