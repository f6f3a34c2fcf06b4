//! Discovery before a refresh, as documented, and cheap.
//!
//! *Problem.* Align documents that Discovery is asked before each refresh. A hundred accounts would
//! ask a hundred times, and a Discovery that hangs would hold up every refresh.
//!
//! *Approach.* All accounts of a client share one answer, which is good for as long as little
//! depends on it. Discovery must not fail a refresh, nor hold it up for longer than a part of its
//! time.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};

use super::{Protocol, refuse_redirect, set_uri};
use crate::endpoints::Operation;
use crate::error::{Error, Kind, Result, answer};

/// The shortest time between two requests before refreshes, for all accounts of a client together.
/// Convention: access tokens live an hour, so that each account's refresh finds an answer that
/// is fresh enough, and a hundred accounts after a restart make one request.
const BEFORE_REFRESH: Duration = Duration::from_secs(10 * 60);

/// The same, where calls find nothing at the paths that it named. Longer than for what cannot do
/// without: a flood of ids that do not exist looks the same, and must not become one of Discovery.
/// Convention.
const WHEN_MISSING: Duration = Duration::from_secs(60);

/// The same, where no call can be made without it: shorter, since until then nothing works at all.
/// Convention.
const WHEN_NEEDED: Duration = Duration::from_secs(5);

impl Protocol {
    /// Asks Discovery if it is due before a refresh. If that fails, the last good answer stays in
    /// force.
    pub(crate) async fn discover_before_refresh(&self) {
        // Older integrations have none. If nothing can be reached, the refresh says so.
        let _ = self.ask(BEFORE_REFRESH).await;
    }

    /// Asks Discovery before an operation whose endpoint is not known, or not any more.
    ///
    /// # Errors
    ///
    /// There is no endpoint, and Discovery cannot be asked for one.
    pub(crate) async fn discover_for(&self, operation: Operation) -> Result<()> {
        if !self.directory.lacks(operation, self.wire.clock.now()) {
            return Ok(());
        }
        let asked = self.ask(WHEN_NEEDED).await;
        // An old answer is better than none.
        match self.directory.current().has(operation) {
            true => Ok(()),
            false => asked,
        }
    }

    /// Notes that an operation found nothing at its endpoint. Asks Discovery if that is likely to be
    /// the wrong one, and says whether there is another now.
    pub(crate) async fn missed(&self, operation: Operation) -> bool {
        if !self.directory.missed(operation, self.wire.clock.elapsed()) {
            return false;
        }
        // Compared by what is requested: the same place would answer the same, whatever named it.
        let place = || {
            let endpoint = self.directory.resolve(operation).ok();
            endpoint.map(|endpoint| (endpoint.method, endpoint.template))
        };
        let before = place();
        // If this fails the endpoint is unchanged, which the comparison shows.
        let _ = self.ask(WHEN_MISSING).await;
        before != place()
    }

    /// Asks, unless there is an answer that is no older than `interval`, or none came within it.
    async fn ask(&self, interval: Duration) -> Result<()> {
        // A call can often do without it, so it gets less time than other answers: 10 seconds by default,
        // for the wait and the request together.
        let limit = self.wire.timeouts.attempt / 3;
        let began = self.wire.clock.elapsed();
        let late = || Error::new(Kind::Timeout(limit)).with_operation(Operation::Discovery.title());
        // Held across the request on purpose: of a hundred accounts that refresh at once one asks,
        // and the others find its result. It is an async lock, so a caller that goes away frees it.
        let Some(mut last) = self.wire.within(limit, self.asked.lock()).await else {
            return Err(late());
        };
        let clock = &self.wire.clock;
        if let Some((at, result)) = &*last
            && clock.elapsed().saturating_sub(*at) < interval
        {
            return result.clone();
        }
        // An answer that came with stored tokens counts as well. One from the future does not: a
        // clock was wrong.
        let fresh = self.directory.answer().is_some_and(|answer| {
            let age = clock.now().duration_since(answer.at);
            age.is_ok_and(|age| age < interval)
        });
        if fresh {
            return Ok(());
        }
        let left = limit.saturating_sub(clock.elapsed().saturating_sub(began));
        let result = match self.wire.within(left, self.discover()).await {
            Some(result) => result,
            None => Err(late()),
        };
        let result = result.map_err(|error| {
            error
                .with_operation(Operation::Discovery.title())
                .with_attempts(1)
                .with_repeatable(true)
        });
        #[cfg(feature = "tracing")]
        if let Err(error) = &result {
            tracing::debug!(target: "lab_connector", %error, "discovery failed");
        }
        // A failure is kept too: while Discovery is down, not every refresh waits for it
        // (`discovery_is_asked_first_seldom_and_its_failure_is_none`).
        *last = Some((clock.elapsed(), result.clone()));
        result
    }

    async fn discover(&self) -> Result<()> {
        // Sent without a token and outside the pipeline, which asks Discovery and refreshes tokens
        // itself.
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
        self.directory.update(&body, self.wire.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::clock::Clock;
    use crate::{Client, Endpoints, transport};

    /// tokio's paused clock.
    #[derive(Debug)]
    struct Paused(tokio::time::Instant);

    #[async_trait::async_trait]
    impl Clock for Paused {
        fn now(&self) -> SystemTime {
            SystemTime::now()
        }

        fn elapsed(&self) -> Duration {
            self.0.elapsed()
        }

        async fn sleep(&self, duration: Duration) {
            tokio::time::sleep(duration).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_others_and_the_request_have_one_limit() {
        let began = tokio::time::Instant::now();
        let silent = transport::from_fn(|_| std::future::pending());
        let client = Client::builder()
            .credentials("a", "b")
            .endpoints(Endpoints::from_base_url("https://a.example").unwrap())
            .transport(silent)
            .clock(Paused(began))
            .build()
            .unwrap();
        let protocol = client.protocol();
        let held = protocol.asked.lock().await;
        let asking = protocol.ask(WHEN_NEEDED);
        let holding = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            drop(held);
        };
        let (asked, ()) = futures_util::join!(asking, holding);
        assert!(asked.unwrap_err().is_timeout());
        assert_eq!(began.elapsed().as_secs(), 10);
    }
}
