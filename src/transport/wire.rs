//! One request, one answer, within its time: the base of authorization and of the pipeline.
//!
//! *Problem.* A transport may be anybody's. It may have no time limit, lie about a length, or never end
//! a body; and headers of the configuration may be credentials.
//!
//! *Approach.* Every wait goes through `within`, every body through a limit. Nothing is repeated and no
//! answer is judged here. A configured header must not go to a host that may not have credentials.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, header};
use url::Url;

use super::{CollectedBody, Failure, Request, Response, Timeouts, Transport, TransportError};
use crate::clock::Clock;
use crate::endpoints::origin::{self, AllowedOrigins};
use crate::error::{Error, Kind, Result, SendState};

/// A transport with its time limits.
#[derive(Clone, Debug)]
pub(crate) struct TimedTransport {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeouts: Timeouts,
    /// Longer answers are refused.
    pub(crate) answer_limit: usize,
    pub(crate) headers: Arc<ExtraHeaders>,
}

/// What requests bear beside what they need themselves. What a request has already, it keeps.
#[derive(Debug)]
pub(crate) struct ExtraHeaders {
    /// None where a transport of the application's own may have one.
    pub(crate) user_agent: Option<HeaderValue>,
    /// Headers of the configuration. They may be credentials, and go where those may go.
    pub(crate) configured: HeaderMap,
    pub(crate) allowed: Arc<AllowedOrigins>,
}

impl ExtraHeaders {
    /// Adds those that may be credentials, where they may be seen.
    pub(crate) fn add_configured(&self, url: &Url, headers: &mut HeaderMap) {
        if self.configured.is_empty() || !self.allowed.permits(url) {
            return;
        }
        for (name, value) in &self.configured {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// What answers may have by default: 32 MiB.
pub(crate) const ANSWER_LIMIT: usize = 32 * MIB;

/// What is read as a tree of values, which takes many times its length, has no more: no honest answer
/// of tokens or endpoints comes near (`an_answer_of_tokens_is_short`, `a_long_answer_is_none`).
pub(crate) const SHORT: usize = MIB;

const MIB: usize = 1024 * 1024;

impl TimedTransport {
    /// The head of the answer; its body still streams.
    pub(crate) async fn head(&self, url: &Url, mut request: Request) -> Result<Response> {
        if let Some(agent) = &self.headers.user_agent {
            let headers = request.headers_mut();
            headers
                // A raw request may have one of its own.
                .entry(header::USER_AGENT)
                .or_insert_with(|| agent.clone());
        }
        let sending = self.transport.send(request);
        // The head alone: the body has a limit of its own, and a file has none on its whole.
        match self.within(self.timeouts.attempt, sending).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(self.failed(url, error)),
            None => Err(Error::new(Kind::Timeout(self.timeouts.attempt))),
        }
    }

    /// A whole answer of those that are short: tokens, endpoints, what a check asks for.
    pub(crate) async fn exchange(&self, url: &Url, request: Request) -> Result<(Parts, Bytes)> {
        let limit = self.answer_limit.min(SHORT);
        let exchange = self.exchange_some(url, request, limit, None);
        let (head, body) = exchange.await?;
        match body.cut {
            None => Ok((head, body.bytes)),
            // The setting is named only where raising it would help.
            Some(_) if limit < self.answer_limit => Err(too_long(&head, limit, "")),
            Some(_) => Err(self.too_long(&head)),
        }
    }

    /// The answer; or its first bytes, or those that came until a moment of elapsed time.
    pub(crate) async fn exchange_some(
        &self,
        url: &Url,
        mut request: Request,
        limit: usize,
        until: Option<Duration>,
    ) -> Result<(Parts, CollectedBody)> {
        self.headers.add_configured(url, request.headers_mut());
        let (head, body) = self.head(url, request).await?.into_parts();
        let now = self.clock.elapsed();
        // Only an end that comes before that of the attempt needs a timer of its own.
        let left = until.map(|until| until.saturating_sub(now));
        let left = left.filter(|left| *left < self.timeouts.attempt);
        let end = async {
            match left {
                Some(left) => self.clock.sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let collecting = body.collect(limit, end);
        // The body has as long as the head had. An answer that began was caused by a request that
        // arrived.
        match self.within(self.timeouts.attempt, collecting).await {
            Some(Ok(body)) => Ok((head, body)),
            Some(Err(error)) => Err(self.failed(url, error).with_sent(SendState::Yes)),
            None => Err(Error::new(Kind::Timeout(self.timeouts.attempt)).with_sent(SendState::Yes)),
        }
    }

    /// The error for an answer that is longer than one may be.
    pub(crate) fn too_long(&self, head: &Parts) -> Error {
        too_long(
            head,
            self.answer_limit,
            ", see `ClientBuilder::answer_limit`",
        )
    }

    /// What the future returns, if it does so in time.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = std::pin::pin!(future);
        // What is there already needs no timer, which would cost as much as the rest of it.
        let first = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = first {
            return Some(output);
        }
        let limit = self.clock.sleep(limit);
        // If both are ready the result counts: `select` polls it first.
        match select(future, limit).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    pub(crate) fn failed(&self, url: &Url, error: TransportError) -> Error {
        let kind = match error.failure {
            Failure::Connect => Kind::Connect(origin::display(url) + &error.detail),
            Failure::Unconnectable => Kind::Unconnectable(origin::display(url) + &error.detail),
            Failure::Protocol => Kind::Protocol(origin::display(url)),
            Failure::NotPublic => Kind::Origin(format!(
                "{} leads to this machine or into its network, and the configuration does not name it",
                origin::display(url)
            )),
            // The read timeout of reqwest is `idle`.
            Failure::Timeout => Kind::Timeout(self.timeouts.idle),
            Failure::Broken => Kind::Interrupted,
        };
        Error::new(kind).with_source(error)
    }
}

fn too_long(head: &Parts, limit: usize, setting: &str) -> Error {
    let limit = match limit {
        whole if whole.is_multiple_of(MIB) => format!("{} MiB", whole / MIB),
        odd => format!("{odd} bytes"),
    };
    let request_id = crate::error::answer::request_id(&head.headers);
    let what = format!("it is longer than {limit}{setting}");
    Error::decode(what).with_answer(head.status, request_id, None)
}
