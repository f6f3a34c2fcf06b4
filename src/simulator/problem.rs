//! Errors of the control API: RFC 9457.
//!
//! Those of the Lab Connector API have forms that the behaviour chooses; these have one, which a test
//! can rely on.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::flow::Phase;
use crate::simulator::refusal::Refusal;

/// An error answer, as `application/problem+json`.
#[derive(Debug)]
pub(in crate::simulator) struct Problem {
    status: StatusCode,
    detail: String,
    phase: Option<Phase>,
}

impl Problem {
    pub(in crate::simulator) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem {
            status,
            detail: detail.into(),
            phase: None,
        }
    }

    pub(in crate::simulator) fn bad_request(detail: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(in crate::simulator) fn not_found(what: &str) -> Self {
        Problem::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    pub(in crate::simulator) fn status(&self) -> StatusCode {
        self.status
    }

    pub(in crate::simulator) fn detail(&self) -> &str {
        &self.detail
    }
}

/// What cannot be done where the case is is a conflict; otherwise there is nothing to do it with.
impl From<Refusal> for Problem {
    fn from(refused: Refusal) -> Self {
        let status = match refused.phase() {
            Some(_) => StatusCode::CONFLICT,
            None => StatusCode::NOT_FOUND,
        };
        Problem {
            status,
            detail: refused.to_string(),
            phase: refused.phase(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(phase) = self.phase {
            body["phase"] = phase.as_str().into();
        }
        let json = HeaderValue::from_static("application/problem+json");
        (
            self.status,
            [(header::CONTENT_TYPE, json)],
            body.to_string(),
        )
            .into_response()
    }
}
