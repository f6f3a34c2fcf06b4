//! The seam to HTTP: one request out, one answer back.
//!
//! *Problem.* A vendor may have to send requests its own way: through a proxy library, an audit
//! log, a double in tests.
//!
//! *Default.* [`reqwest`](https://docs.rs/reqwest), set up by the client's builder; no redirect
//! is followed here. *When to change it.* Implement [`Transport`], or hand in a closure with
//! [`from_fn`]. Everything above (authorization, retries, judging answers) stays the same.

mod diagnosis;
pub(crate) mod proxy;
mod reqwest;
mod resolver;
pub(crate) mod wire;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::future::{Either, select};

pub(crate) use self::reqwest::{Network, Proxy, Reqwest};

pub(crate) type Request = http::Request<Bytes>;
pub(crate) type Response = http::Response<Body>;

/// Sends requests, whose bodies are small and in memory, and returns answers, whose bodies stream.
/// Object-safe; clones of a client share one.
///
/// If you log requests: headers with credentials are marked as
/// [sensitive](http::HeaderValue::is_sensitive) and print as such, but the bodies of *Get
/// Token*, *Refresh Token* and *Revoke Token* hold secrets, and so does the body of the answer.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends `request` and returns the head of the answer, whatever its status.
    ///
    /// Redirects are not followed. Certificates are verified.
    ///
    /// # Errors
    ///
    /// No answer came; the error says whether the request may have been sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the request; the service may have seen it.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, TransportError> {
        (**self).send(request).await
    }
}

/// A transport made of a function.
///
/// ```
/// use lab_connector::transport::{self, Body};
///
/// let transport = transport::from_fn(|request: http::Request<_>| async move {
///     assert_eq!(request.method(), "GET");
///     Ok(http::Response::new(Body::from("[]")))
/// });
/// # let _ = transport;
/// ```
pub fn from_fn<F, R>(function: F) -> impl Transport
where
    F: Fn(http::Request<Bytes>) -> R + Send + Sync,
    R: Future<Output = Result<http::Response<Body>, TransportError>> + Send,
{
    FromFn(function)
}

struct FromFn<F>(F);

#[async_trait]
impl<F, R> Transport for FromFn<F>
where
    F: Fn(http::Request<Bytes>) -> R + Send + Sync,
    R: Future<Output = Result<http::Response<Body>, TransportError>> + Send,
{
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, TransportError> {
        (self.0)(request).await
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

/// The body of an answer, as it arrives.
pub struct Body {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>,
    /// How long it says it is.
    length: Option<u64>,
}

impl Body {
    /// A body of what `stream` yields.
    pub fn from_stream(
        stream: impl Stream<Item = Result<Bytes, TransportError>> + Send + 'static,
    ) -> Self {
        Body {
            stream: Box::pin(stream),
            length: None,
        }
    }

    pub(crate) fn with_length(mut self, length: Option<u64>) -> Self {
        self.length = length;
        self
    }

    /// All of it; or its first `limit` bytes, or those that came before `end`.
    pub(crate) async fn collect(
        mut self,
        limit: usize,
        end: impl Future<Output = ()>,
    ) -> Result<CollectedBody, TransportError> {
        let mut end = pin!(end);
        // What comes in one piece is not copied. What does not goes into one buffer, and not
        // into a list of pieces: they may be of a byte each.
        let mut first = Bytes::new();
        let mut all: Vec<u8> = Vec::new();
        let mut cut = None;
        while cut.is_none() {
            // A piece that is there wins over the end, so that what came in time is read: `select`
            // polls it first.
            let mut piece = match select(self.next(), end.as_mut()).await {
                Either::Left((Some(piece), _)) => piece?,
                Either::Left((None, _)) => break,
                Either::Right(_) => {
                    cut = Some(Truncation::Late);
                    break;
                }
            };
            // Not below 0: each piece is cut to the room that is left.
            let room = limit - all.len() - first.len();
            cut = (piece.len() > room).then_some(Truncation::Long);
            piece.truncate(room);
            if first.is_empty() && all.is_empty() {
                first = piece;
                continue;
            }
            if all.is_empty() {
                // There is more of it than fits into what is read at once.
                let length = self.length.and_then(|length| usize::try_from(length).ok());
                // Without a length a first guess, which grows as needed.
                let length = length.unwrap_or(64 * 1024).min(limit);
                // The length may be a lie and the limit very high: no more than this is reserved at once.
                all.reserve_exact(length.min(wire::ANSWER_LIMIT));
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&piece);
        }
        let bytes = if all.is_empty() { first } else { all.into() };
        Ok(CollectedBody { bytes, cut })
    }
}

/// What came of a body.
pub(crate) struct CollectedBody {
    pub(crate) bytes: Bytes,
    /// Why there may be more.
    pub(crate) cut: Option<Truncation>,
}

/// Why a body is not whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Truncation {
    /// It is longer than its limit.
    Long,
    /// It did not come in time.
    Late,
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Body::from_stream(futures_util::stream::once(async move { Ok(bytes) }))
    }
}

impl Stream for Body {
    type Item = Result<Bytes, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

/// Why no answer came, or why a body broke off.
#[derive(Debug)]
pub struct TransportError {
    pub(crate) failure: Failure,
    /// What is known beyond that, behind the name of the host.
    detail: String,
    pub(crate) source: Box<dyn StdError + Send + Sync>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Connect,
    /// No connection can be made, and waiting does not help.
    Unconnectable,
    /// What answers speaks no HTTP.
    Protocol,
    /// The host's name resolves to an address that a service must not lead to.
    NotPublic,
    Timeout,
    Broken,
}

impl TransportError {
    /// No connection came about: the request was certainly not sent.
    pub fn connect(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Failure::Connect, source)
    }

    /// Nothing came for too long; the request may have been sent.
    pub fn timeout(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Failure::Timeout, source)
    }

    /// The connection broke; the request may have been sent.
    pub fn broken(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Failure::Broken, source)
    }

    fn new(failure: Failure, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        TransportError {
            failure,
            detail: String::new(),
            source: source.into(),
        }
    }

    fn with_detail(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.failure {
            Failure::Connect | Failure::Unconnectable | Failure::NotPublic => "no connection",
            Failure::Protocol => "what answers does not speak HTTP",
            Failure::Timeout => "nothing came for too long",
            Failure::Broken => "the connection broke",
        })
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source: &(dyn StdError + 'static) = self.source.as_ref();
        Some(source)
    }
}

/// How long to wait for what; see the setters of [`ClientBuilder`](crate::client::ClientBuilder).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) attempt: Duration,
    pub(crate) operation: Duration,
    pub(crate) idle: Duration,
    /// In bytes a second, over each `idle`.
    pub(crate) minimum_rate: Option<u64>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            // Conventions. Together they are bounded by `operation`; files have `idle` and the rate
            // alone.
            connect: Duration::from_secs(10),
            attempt: Duration::from_secs(30),
            operation: Duration::from_secs(120),
            idle: Duration::from_secs(30),
            // Eight kbit/s: slower than any line that a lab has, and enough to end a download that
            // drips.
            minimum_rate: Some(1000),
        }
    }
}
