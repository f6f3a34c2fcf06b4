//! The contract: what the simulator speaks by default, in OpenAPI's words. A test holds it against
//! the table of operations.

use axum::http::header;
use axum::response::IntoResponse;

/// RFC 9512.
const YAML: &str = "application/yaml";

pub(super) async fn openapi() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, YAML)],
        include_str!("../../../openapi.yaml"),
    )
}
