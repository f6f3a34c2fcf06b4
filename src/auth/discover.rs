//! Discovery before a refresh, as documented, and cheap.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, header};

use super::{Protocol, refuse_redirect, set_uri};
use crate::endpoints::Operation;
use crate::error::{Error, Kind, Result, answer};

/// Discovery is asked at most so often before refreshes, for all accounts of a client together.
/// Convention: access tokens live an hour, so that each account's refresh finds an answer that
/// is fresh enough, and a hundred accounts after a restart make one request.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// When Discovery was last asked.
#[derive(Debug, Default)]
pub(crate) struct Asked(Mutex<Option<SystemTime>>);

impl Asked {
    /// Whether it is time to ask; if so, that is noted.
    fn is_due(&self, now: SystemTime) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes it due as well.
        let recent = last.is_some_and(|last| {
            now.duration_since(last)
                .is_ok_and(|passed| passed < INTERVAL)
        });
        if !recent {
            *last = Some(now);
        }
        !recent
    }
}

impl Protocol {
    /// Asks Discovery if it is due. If that fails, the last good answer stays in force.
    pub(crate) async fn discover_if_due(&self) {
        if !self.asked.is_due(self.wire.clock.now()) {
            return;
        }
        // A refresh does not wait for it as long as for an answer: 10 seconds by default.
        let limit = self.wire.timeouts.attempt / 3;
        let result = match self.wire.within(limit, self.discover()).await {
            Some(result) => result,
            None => Err(Error::new(Kind::Timeout(limit))),
        };
        #[cfg(feature = "tracing")]
        if let Err(error) = &result {
            tracing::debug!(target: "lab_connector", %error, "discovery failed");
        }
        // Older integrations have none. If nothing can be reached, the refresh says so.
        let _ = result;
    }

    async fn discover(&self) -> Result<()> {
        let endpoint = self.directory.resolve(Operation::Discovery)?;
        let url = endpoint.template.expand(&[])?;
        let mut request = http::Request::new(Bytes::new());
        *request.method_mut() = endpoint.method;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json);
        set_uri(&mut request, &url)?;
        let (head, body) = self.wire.exchange(&url, request).await?;
        refuse_redirect(&url, &head)?;
        if !head.status.is_success() {
            let now = self.wire.clock.now();
            return Err(answer::error(head.status, &head.headers, &body, now));
        }
        self.directory.update(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_once_in_a_while() {
        let asked = Asked::default();
        let start = SystemTime::UNIX_EPOCH + INTERVAL * 10;
        assert!(asked.is_due(start));
        assert!(!asked.is_due(start));
        assert!(!asked.is_due(start + INTERVAL / 2));
        assert!(asked.is_due(start + INTERVAL));
        assert!(asked.is_due(start - INTERVAL), "the clock was set back");
    }
}
