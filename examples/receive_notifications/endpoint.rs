//! Where the service posts notifications: below an unguessable path for each account.
//!
//! How a notification is signed, if it is at all, is not documented. The path is what keeps
//! strangers out; should it become known, they can make the inbox fetch orders now and then, and
//! nothing else. TLS, and limits on connections, are for the proxy in front of this.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use lab_connector::Notification;
use lab_connector::inbox::Inbox;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// For the body, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(10);

/// The unguessable part of a path. Whoever knows it can post notifications: it has no `Debug`.
pub struct Key(String);

impl Key {
    /// 32 random bytes in hexadecimal.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)?;
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Ok(Key(digits.collect()))
    }

    /// A key that was made before, so that the URL stays good when the software starts again.
    pub fn given(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = text.len() >= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Key(text.to_owned()))
    }

    /// To be kept where tokens are kept.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The path of the URL that goes with the pairing request.
    pub fn path(&self) -> String {
        format!("/notifications/{}", self.0)
    }
}

/// Hands notifications to the inboxes of labs.
#[derive(Clone, Default)]
pub struct Endpoint {
    labs: Vec<(Hash, Inbox)>,
}

/// All are of one length, and tell nothing of the key.
type Hash = [u8; 32];

impl Endpoint {
    /// Notifications that are posted below this key are for this inbox.
    pub fn lab(mut self, key: &Key, inbox: &Inbox) -> Self {
        self.labs.push((hash(&key.0), inbox.clone()));
        self
    }

    /// POST is a convention: how notifications are sent is not documented.
    pub fn router(self) -> Router {
        Router::new()
            .route("/notifications/{key}", post(receive))
            .with_state(Arc::new(self))
    }

    /// Looks at every key, however early it finds one: the time an answer takes tells nobody how
    /// near a guess was.
    fn find(&self, key: &str) -> Option<&Inbox> {
        let given = hash(key);
        let mut found = None;
        for (hash, inbox) in &self.labs {
            if bool::from(hash.ct_eq(&given)) {
                found = Some(inbox);
            }
        }
        found
    }
}

/// 204 as soon as the hint is queued; what it leads to happens elsewhere. The answers have no body,
/// and whoever has no key learns nothing about what was posted: it is 404, whatever it was.
async fn receive(
    State(endpoint): State<Arc<Endpoint>>,
    Path(key): Path<String>,
    body: Body,
) -> StatusCode {
    // In any case, so that a wrong key is answered no sooner than a right one.
    let body = to_bytes(body, Notification::MAX_LENGTH);
    let body = tokio::time::timeout(PATIENCE, body).await;
    let notification = match body {
        Ok(Ok(body)) => Notification::parse(&body).ok(),
        // Too long, too slow, or broken off.
        Ok(Err(_)) | Err(_) => None,
    };
    match (endpoint.find(&key), notification) {
        (None, _) => StatusCode::NOT_FOUND,
        (Some(_), None) => StatusCode::BAD_REQUEST,
        (Some(inbox), Some(notification)) => {
            inbox.notify(&notification);
            StatusCode::NO_CONTENT
        }
    }
}

fn hash(key: &str) -> Hash {
    Sha256::digest(key).into()
}
