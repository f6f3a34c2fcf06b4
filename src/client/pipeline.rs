//! The one way of every call: resolve the endpoint, authorize, send, judge, try again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use tokio::sync::SemaphorePermit;
use url::Url;

use super::Client;
use super::limits::Limits;
use super::trace::Trace;
use crate::auth::refresh::TokenSource;
use crate::auth::{Tokens, not_permitted, refuse_redirect, set_uri};
use crate::endpoints::Operation;
use crate::error::{Error, Kind, Result, answer};
use crate::model::lenient::{self, Fault, Located, Record};
use crate::retry::{GaveUp, RetryDecision, RetryEvent, RetryPolicy, RetryState};
use crate::transport::{Request, Response};

/// Who calls: with whose tokens, under whose limits.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    pub(super) tokens: Option<Arc<TokenSource>>,
    pub(super) limits: Option<Arc<Limits>>,
    /// In place of the client's.
    pub(super) retry: Option<RetryPolicy>,
}

/// An operation to call.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(super) operation: Operation,
    /// In place of the endpoint's own URL: a further page of a listing.
    pub(super) url: Option<Url>,
    pub(super) variables: Vec<(&'static str, &'a str)>,
    body: Option<serde_json::Value>,
}

/// A request that is ready but for the token.
pub(super) struct Prepared {
    pub(super) title: &'static str,
    pub(super) method: Method,
    pub(super) url: Url,
    /// The URL without values, for traces.
    pub(super) template: Arc<str>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the service may see it more than once.
    pub(super) repeatable: bool,
    /// Of a transfer: how many bytes have come. It has no limit on its whole time, and an attempt
    /// that got further than all before it is taken as the first one.
    pub(super) transferred: Option<Arc<AtomicU64>>,
}

/// A success.
pub(crate) struct Answer {
    title: &'static str,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    attempts: u32,
    pub(crate) body: Bytes,
}

/// What an attempt gives where it succeeds.
pub(super) trait Answered {
    fn status(&self) -> StatusCode;
}

impl Answered for Answer {
    fn status(&self) -> StatusCode {
        self.status
    }
}

impl Answered for (Url, Response) {
    fn status(&self) -> StatusCode {
        self.1.status()
    }
}

impl<'a> Call<'a> {
    pub(crate) fn new(operation: Operation) -> Self {
        Call {
            operation,
            url: None,
            variables: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'a str) -> Self {
        self.variables.push((name, value));
        self
    }

    pub(crate) fn json(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }
}

impl Prepared {
    /// A request for JSON, of a method that says whether it may be repeated.
    pub(super) fn new(title: &'static str, method: Method, url: Url, template: Arc<str>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Prepared {
            title,
            repeatable: method.is_idempotent(),
            method,
            url,
            template,
            headers,
            body: Bytes::new(),
            transferred: None,
        }
    }

    pub(super) fn json(&mut self, body: &serde_json::Value) {
        self.body = body.to_string().into();
        let json = HeaderValue::from_static("application/json");
        self.headers.insert(header::CONTENT_TYPE, json);
    }

    pub(super) fn request(&self, client: &Client, tokens: Option<&Tokens>) -> Result<Request> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        set_uri(&mut request, &self.url)?;
        if let Some(tokens) = tokens {
            if !client.protocol().allowed.permits(&self.url) {
                return Err(not_permitted(&self.url));
            }
            authorize(&mut request, tokens)?;
        }
        Ok(request)
    }
}

impl Caller {
    /// Calls an operation and gives its answer if it is a success.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer> {
        let operation = call.operation;
        let endpoint = self.client.protocol().directory.resolve(operation)?;
        let url = match call.url {
            Some(url) => url,
            None => endpoint
                .template
                .expand(&call.variables)
                .map_err(|error| error.with_operation(operation.title()))?,
        };
        let template = endpoint.template.shared();
        let mut prepared = Prepared::new(operation.title(), endpoint.method, url, template);
        // Some services read with POST, and some write with GET: the operation decides.
        prepared.repeatable = operation.method() == Method::GET;
        if let Some(body) = &call.body {
            prepared.json(body);
        }
        self.perform(&prepared).await
    }

    /// Sends a request and gives its answer if it is a success.
    pub(super) async fn perform(&self, prepared: &Prepared) -> Result<Answer> {
        let _place = self.enter().await;
        let once = |tokens| self.once(prepared, tokens).boxed();
        let (answer, attempts) = self.repeating(prepared, once).await?;
        Ok(Answer { attempts, ..answer })
    }

    /// Waits for a place among the operations of the account.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let clock = &self.client.protocol().wire.clock;
        match &self.limits {
            Some(limits) => limits.enter(&**clock).await,
            None => None,
        }
    }

    async fn once(&self, prepared: &Prepared, tokens: Option<Arc<Tokens>>) -> Result<Answer> {
        let wire = &self.client.protocol().wire;
        let request = prepared.request(&self.client, tokens.as_deref())?;
        let (head, body) = wire.exchange(&prepared.url, request).await?;
        refuse_redirect(&prepared.url, &head)?;
        if !head.status.is_success() {
            let now = wire.clock.now();
            return Err(answer::error(head.status, &head.headers, &body, now));
        }
        let answer = Answer {
            title: prepared.title,
            method: prepared.method.clone(),
            url: prepared.url.clone(),
            status: head.status,
            headers: head.headers,
            attempts: 1,
            body,
        };
        // Also where nothing is read from the answer: behind the page of a proxy or a sign-in
        // form nobody did what was asked for.
        if answer::is_page(&answer.body) {
            let what = answer::describe(&answer.headers, &answer.body);
            return Err(answer.unfit(Error::decode(what)));
        }
        Ok(answer)
    }

    /// Tries until it succeeds, the policy gives up or the operation's time is over; gives the
    /// number of attempts too. A 401 is answered by renewing the token once, also for what may
    /// not be repeated: a request that was refused had no effect.
    pub(super) async fn repeating<'a, T: Answered>(
        &self,
        prepared: &Prepared,
        attempt: impl Fn(Option<Arc<Tokens>>) -> BoxFuture<'a, Result<T>>,
    ) -> Result<(T, u32)> {
        let trace = Trace::begin(prepared);
        let result = trace.within(self.attempts(prepared, attempt, &trace)).await;
        match &result {
            Ok((answer, _)) => trace.end(Some(answer.status()), None),
            Err(error) => trace.end(error.status(), Some(error)),
        }
        result
    }

    async fn attempts<'a, T>(
        &self,
        prepared: &Prepared,
        attempt: impl Fn(Option<Arc<Tokens>>) -> BoxFuture<'a, Result<T>>,
        trace: &Trace,
    ) -> Result<(T, u32)> {
        let inner = &self.client.inner;
        let wire = &inner.protocol.wire;
        let began = wire.clock.now();
        let spent = || wire.clock.now().duration_since(began).unwrap_or_default();
        // A transfer's time runs anew from each attempt that got further, and does not end one.
        let mut resumed = Resumed::new(began);
        let left = |resumed: &Resumed| {
            let spent = wire.clock.now().duration_since(resumed.since);
            let operation = wire.timeouts.operation;
            operation.saturating_sub(spent.unwrap_or_default())
        };
        let timed_out = || Error::new(Kind::Timeout(wire.timeouts.operation));
        let mut attempts = 0;
        let finish = |error: Error, attempts| {
            error
                .with_operation(prepared.title)
                .with_attempts(attempts)
                .with_elapsed(spent())
                .with_repeatable(prepared.repeatable)
        };
        // How often the renewal was tried is its own affair.
        let unauthorized = |error: Error| {
            let error = error.with_operation(prepared.title);
            error.with_elapsed(spent())
        };

        let mut current = None;
        if let Some(source) = &self.tokens {
            let tokens = wire.within(left(&resumed), source.tokens()).await;
            let tokens = tokens.unwrap_or_else(|| Err(timed_out().with_sent(crate::Sent::No)));
            current = Some(tokens.map_err(unauthorized)?);
        }
        let mut renewed = false;
        loop {
            attempts += 1;
            let asked = wire.clock.now();
            let lane = match prepared.transferred {
                Some(_) => &inner.total.files,
                None => &inner.total.calls,
            };
            let place = lane.enter(&*wire.clock).await;
            // Others were in the way, and not the service.
            resumed.since += wire.clock.now().duration_since(asked).unwrap_or_default();
            let limit = match prepared.transferred {
                Some(_) => Duration::MAX,
                None => left(&resumed),
            };
            let outcome = wire.within(limit, attempt(current.clone())).await;
            drop(place);
            if let Some(bytes) = &prepared.transferred
                && resumed.notes(bytes.load(Ordering::Relaxed), attempts, wire.clock.now())
            {
                renewed = false;
            }
            let error = match outcome.unwrap_or_else(|| Err(timed_out())) {
                Ok(success) => {
                    inner.budget.succeeded();
                    return Ok((success, attempts));
                }
                Err(error) => finish(error, attempts),
            };
            if let (Some(source), Some(refused), false) = (&self.tokens, &current, renewed)
                && error.is_unauthorized()
            {
                renewed = true;
                trace.renewing();
                let other = source.tokens_after(refused.generation()).await;
                let Some(other) = other.map_err(unauthorized)? else {
                    return Err(error);
                };
                current = Some(other);
                continue;
            }
            let state = RetryState {
                attempts: attempts - resumed.attempts - u32::from(renewed),
                repeatable: prepared.repeatable,
                left: left(&resumed),
                chance: fastrand::f64(),
            };
            let policy = self.retry.as_ref().unwrap_or(&inner.retry);
            let decision = match policy.decide(state, &error) {
                RetryDecision::RepeatAfter(_) if !inner.budget.take(&error) => {
                    RetryDecision::GiveUp(GaveUp::Budget)
                }
                decision => decision,
            };
            let event = RetryEvent {
                error: &error,
                attempts,
                decision,
            };
            trace.failed(&event);
            if let Some(observer) = &inner.on_retry {
                observer(&event);
            }
            match decision {
                RetryDecision::GiveUp(_) => return Err(error),
                RetryDecision::RepeatAfter(wait) => wire.clock.sleep(wait).await,
            }
        }
    }

    /// A request for a file. The token goes along only where it may be seen.
    pub(super) async fn fetch(
        &self,
        url: &Url,
        tokens: Option<&Tokens>,
        headers: HeaderMap,
    ) -> Result<Response> {
        let mut request = Request::new(Bytes::new());
        *request.headers_mut() = headers;
        // What is stored must be what was sent: no transfer may change it on the way.
        let identity = HeaderValue::from_static("identity");
        request
            .headers_mut()
            .insert(header::ACCEPT_ENCODING, identity);
        set_uri(&mut request, url)?;
        let protocol = self.client.protocol();
        if let Some(tokens) = tokens.filter(|_| protocol.allowed.permits(url)) {
            authorize(&mut request, tokens)?;
        }
        protocol.wire.head(url, request).await
    }
}

/// How far a transfer had come when it last got further.
struct Resumed {
    bytes: u64,
    since: SystemTime,
    /// The attempts up to then, but for the one that got further.
    attempts: u32,
}

impl Resumed {
    fn new(since: SystemTime) -> Self {
        Resumed {
            bytes: 0,
            since,
            attempts: 0,
        }
    }

    /// Whether it has got further.
    fn notes(&mut self, bytes: u64, attempts: u32, now: SystemTime) -> bool {
        let further = bytes > self.bytes;
        if further {
            *self = Resumed {
                bytes,
                since: now,
                attempts: attempts - 1,
            };
        }
        further
    }
}

impl Answer {
    /// The answer as a value. Where it is none, the error says `lacking`: a message of the
    /// parser could quote the payload.
    pub(crate) fn decode<T: DeserializeOwned>(&self, lacking: &'static str) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            self.unreadable(match error.classify() {
                serde_json::error::Category::Data => Fault::Missing(lacking),
                _ => Fault::NotJson,
            })
        })
    }

    /// The answer as one record.
    pub(crate) fn record<T: Record>(&self) -> Result<T> {
        lenient::one(&self.body).map_err(|located| self.unreadable(located))
    }

    /// The error for an answer that is not what was due.
    pub(crate) fn unreadable(&self, located: impl Into<Located>) -> Error {
        let located = located.into();
        let what = match located.fault {
            Fault::NotJson => answer::describe(&self.headers, &self.body).to_owned(),
            _ => located.to_string(),
        };
        self.unfit(Error::decode(what).with_path(&located.path))
    }

    /// The error with what is known of the answer that it is about.
    pub(crate) fn unfit(&self, error: Error) -> Error {
        error
            .with_answer(self.status, answer::request_id(&self.headers), None)
            .with_operation(self.title)
            .with_attempts(self.attempts)
            .with_excerpt(answer::excerpt(&self.body, false))
    }
}

fn authorize(request: &mut Request, tokens: &Tokens) -> Result<()> {
    let value = format!("Bearer {}", tokens.access.expose());
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| Error::decode("the access token cannot be sent in a header"))?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(())
}
