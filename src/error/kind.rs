//! The kinds of errors: what each says, and what it advises.
//!
//! One table each for the text, for whether the request was sent, for the name in traces and for the
//! advice, without a wildcard: a new kind does not compile until all four are answered. A text in a
//! kind must be this crate's own, or judged by `answer`.

use std::time::Duration;

use http::StatusCode;

use super::{Error, SendState};

/// The private kinds; the predicates are how callers tell them apart.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{0}")]
    Configuration(String),
    #[error("no connection to {0}")]
    Connect(String),
    /// The same, where it does not pass by itself.
    #[error("no connection to {0}")]
    Unconnectable(String),
    #[error("no answer within {}", seconds(.0))]
    Timeout(Duration),
    #[error("the connection broke")]
    Interrupted,
    #[error("what answers at {0} does not speak HTTP")]
    Protocol(String),
    #[error("the service answered {0}")]
    Status(String),
    #[error("{0} redirects to {1}, which this call does not follow")]
    Redirect(String, String),
    #[error("the answer cannot be read: {0}")]
    Decode(String),
    #[error("{0}")]
    SignIn(&'static str),
    #[error("{0}")]
    Pairing(&'static str),
    #[error("{}; the access token could not be refreshed", .0.kind())]
    Refresh(Error),
    #[error("another process has been refreshing the access token for too long")]
    RefreshLocked,
    #[error("the authorization was not given: {0}")]
    Refused(String),
    #[error("{0}")]
    Origin(String),
    #[error("the store failed: {0}")]
    Store(String),
    /// The same, where it may pass by itself.
    #[error("the store failed: {0}")]
    StoreUnavailable(String),
    #[error("the delivery was held for too long, and was claimed by somebody else")]
    LeaseLost,
    #[error("the service names no files of the order, as it is now")]
    WithoutFiles,
    #[error("the file cannot be written: {0}")]
    File(String),
    #[error("the file did not arrive whole: {0}")]
    Incomplete(String),
    /// The same, where trying again may help.
    #[error("the file did not arrive whole: {0}")]
    Truncated(String),
}

/// Why an access is lost where there are no tokens.
pub(crate) const NO_TOKENS: &str = "no tokens are stored";

impl Kind {
    /// Whether the service may have seen the request, where nothing else is known.
    pub(super) fn sent(&self) -> SendState {
        match self {
            // The request may have left before any of these.
            Kind::Timeout(_) | Kind::Interrupted | Kind::Protocol(_) => SendState::Unknown,
            Kind::Status(_)
            | Kind::Redirect(..)
            | Kind::Decode(_)
            | Kind::Refused(_)
            | Kind::WithoutFiles
            | Kind::Incomplete(_)
            | Kind::Truncated(_)
            // A file that cannot be opened before the request says so by `with_sent`.
            | Kind::File(_) => SendState::Yes,
            Kind::Configuration(_)
            | Kind::Connect(_)
            | Kind::Unconnectable(_)
            | Kind::SignIn(_)
            | Kind::Pairing(_)
            // The call itself was not sent, though its refresh was.
            | Kind::Refresh(_)
            | Kind::RefreshLocked
            | Kind::Origin(_)
            | Kind::Store(_)
            | Kind::StoreUnavailable(_)
            | Kind::LeaseLost => SendState::No,
        }
    }

    /// The kind in a word, for traces.
    pub(super) fn name(&self) -> &'static str {
        match self {
            // Labels of traces: they stay when a variant is renamed.
            Kind::Configuration(_) => "configuration",
            Kind::Connect(_) | Kind::Unconnectable(_) => "connect",
            Kind::Timeout(_) => "timeout",
            Kind::Interrupted => "broken",
            Kind::Protocol(_) => "protocol",
            Kind::Status(_) => "status",
            Kind::Redirect(..) => "redirect",
            Kind::Decode(_) => "decode",
            Kind::SignIn(_) => "sign_in",
            Kind::Pairing(_) => "pairing",
            Kind::Refresh(_) | Kind::RefreshLocked => "refresh",
            Kind::Refused(_) => "refused",
            Kind::Origin(_) => "origin",
            Kind::Store(_) | Kind::StoreUnavailable(_) => "store",
            Kind::LeaseLost => "lease_lost",
            Kind::WithoutFiles => "without_files",
            Kind::File(_) => "file",
            Kind::Incomplete(_) | Kind::Truncated(_) => "incomplete",
        }
    }

    /// What to do about it. None where the text itself says so: it was made where more is known.
    pub(super) fn advice(&self, status: Option<StatusCode>) -> Option<&'static str> {
        Some(match self {
            Kind::Connect(_) => "check the network, and the host and the port of the endpoint",
            Kind::Timeout(_) => {
                "try again later; `attempt_timeout`, `operation_timeout` and `idle_timeout` set the limits"
            }
            Kind::Interrupted => "try again later",
            Kind::Protocol(_) => "check the scheme and the port of the endpoint",
            Kind::Status(_) => return status.and_then(advice),
            Kind::Redirect(..) => "give the endpoint's own URL in the configuration",
            // There may never have been any.
            Kind::SignIn(NO_TOKENS) => "sign in to authorize the software",
            Kind::Pairing(NO_TOKENS) => "pair the account",
            Kind::SignIn(_) => "sign in again to authorize the software anew",
            Kind::Pairing(_) => "pair the account again",
            Kind::Refresh(error) => return error.kind().advice(status),
            Kind::RefreshLocked => "it is tried again later; end that process if it hangs",
            Kind::Refused(_) => "begin to sign in anew",
            Kind::StoreUnavailable(_) => "it may pass by itself: try again later",
            Kind::LeaseLost => "leave it to them; `Delivery::extend` keeps one for longer",
            Kind::WithoutFiles => {
                "give the delivery back: they are there once the lab has the order"
            }
            Kind::File(_) => "check the directory, the rights to it, and the room on its disk",
            Kind::Incomplete(_) | Kind::Truncated(_) => "download it again",
            Kind::Configuration(_)
            | Kind::Unconnectable(_)
            | Kind::Decode(_)
            | Kind::Origin(_)
            | Kind::Store(_) => return None,
        })
    }
}

/// What to do about a status that the service refuses with.
fn advice(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        202 => "it is still being prepared: download it later",
        400 | 422 => "check what was sent against the service's specification",
        401 => "check the client id and secret, and whether the access was revoked",
        403 => "check whether the account is still paired, and what the contract covers",
        404 | 410 => "it is not there: check the id, and the path of the endpoint",
        405 | 501 => "check the method of the endpoint",
        407 => "give the proxy its credentials by `ClientBuilder::proxy_credentials`",
        409 | 412 => "fetch the order before trying again",
        429 => "ask less often: `ClientBuilder::rate` spreads requests",
        408 => "try again later",
        500..=599 => "try again later; if it lasts, ask the service's support",
        400..=499 => "check the endpoint, and what was sent",
        _ => return None,
    })
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
