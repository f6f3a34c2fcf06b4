//! The one way of every call: resolve the endpoint, authorize, send, judge, try again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use url::Url;

use super::Client;
use crate::auth::Tokens;
use crate::auth::refresh::TokenSource;
use crate::auth::{not_permitted, refuse_redirect, set_uri};
use crate::endpoints::Operation;
use crate::error::{Error, Kind, Result, answer};
use crate::model::lenient::{self, Fault, Record};
use crate::retry::{Decision, State, decide};
use crate::transport::{Request, Response};

/// What is to be called.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    /// In place of the endpoint's own URL: a further page of a listing.
    pub(crate) url: Option<Url>,
    pub(crate) variables: Vec<(&'static str, &'a str)>,
    pub(crate) body: Option<serde_json::Value>,
    pub(crate) tokens: Option<&'a Arc<TokenSource>>,
    /// Whether the service may see it more than once.
    pub(crate) repeatable: bool,
}

/// A success.
pub(crate) struct Answer {
    operation: Operation,
    pub(super) method: Method,
    pub(super) url: Url,
    status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl<'a> Call<'a> {
    pub(crate) fn new(operation: Operation, tokens: &'a Arc<TokenSource>) -> Self {
        Call {
            operation,
            url: None,
            variables: Vec::new(),
            body: None,
            tokens: Some(tokens),
            repeatable: operation.method() == Method::GET,
        }
    }

    /// *Discovery* comes before there are tokens. Convention.
    pub(crate) fn discovery() -> Self {
        Call {
            operation: Operation::Discovery,
            url: None,
            variables: Vec::new(),
            body: None,
            tokens: None,
            repeatable: true,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'a str) -> Self {
        self.variables.push((name, value));
        self
    }
}

impl Client {
    /// Calls an operation and gives its answer if it is a success.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer> {
        let named = |error: Error| error.with_operation(call.operation.title());
        let endpoint = self.protocol().directory.resolve(call.operation)?;
        let url = match &call.url {
            Some(url) => url.clone(),
            None => endpoint.template.expand(&call.variables).map_err(named)?,
        };
        self.repeating(call.operation, call.tokens, call.repeatable, |tokens| {
            let request = self.request(&call, &endpoint.method, &url, tokens.as_deref());
            self.once(call.operation, &endpoint.method, &url, request)
                .boxed()
        })
        .await
    }

    async fn once(
        &self,
        operation: Operation,
        method: &Method,
        url: &Url,
        request: Result<Request>,
    ) -> Result<Answer> {
        let wire = &self.protocol().wire;
        let (head, body) = wire.exchange(url, request?).await?;
        refuse_redirect(url, &head)?;
        if !head.status.is_success() {
            let now = wire.clock.now();
            return Err(answer::error(head.status, &head.headers, &body, now));
        }
        Ok(Answer {
            operation,
            method: method.clone(),
            url: url.clone(),
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// Tries until it succeeds or the policy gives up. A 401 is answered by renewing the token
    /// once, also for what may not be repeated: a request that was refused had no effect.
    pub(super) async fn repeating<'a, T>(
        &self,
        operation: Operation,
        tokens: Option<&Arc<TokenSource>>,
        repeatable: bool,
        attempt: impl Fn(Option<Arc<Tokens>>) -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let wire = &self.protocol().wire;
        let named = |error: Error| error.with_operation(operation.title());
        let began = wire.clock.now();
        let mut current = match tokens {
            Some(source) => Some(source.tokens().await.map_err(named)?),
            None => None,
        };
        let mut renewed = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match attempt(current.clone()).await {
                Ok(success) => return Ok(success),
                Err(error) => named(error).with_attempts(attempts),
            };
            if let (Some(source), Some(refused), false) = (tokens, &current, renewed)
                && error.is_unauthorized()
            {
                renewed = true;
                current = Some(
                    source
                        .tokens_after(refused.generation)
                        .await
                        .map_err(named)?,
                );
                continue;
            }
            let spent = wire.clock.now().duration_since(began).unwrap_or_default();
            let state = State {
                attempts: attempts - u32::from(renewed),
                repeatable,
                left: wire.timeouts.operation.saturating_sub(spent),
                chance: fastrand::f64(),
            };
            match decide(&self.inner.retry, state, &error) {
                Decision::GiveUp => return Err(error),
                Decision::RepeatAfter(wait) => self.wait(&error, attempts, wait).await,
            }
        }
    }

    async fn wait(&self, error: &Error, attempts: u32, wait: Duration) {
        #[cfg(feature = "tracing")]
        tracing::debug!(%error, attempts, ?wait, "trying again");
        let _ = (error, attempts);
        self.protocol().wire.clock.sleep(wait).await;
    }

    fn request(
        &self,
        call: &Call<'_>,
        method: &Method,
        url: &Url,
        tokens: Option<&Tokens>,
    ) -> Result<Request> {
        let body = match &call.body {
            Some(body) => Bytes::from(body.to_string()),
            None => Bytes::new(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if call.body.is_some() {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        if let Some(tokens) = tokens {
            if !self.protocol().allowed.permits(url) {
                return Err(not_permitted(url));
            }
            headers.insert(header::AUTHORIZATION, bearer(tokens)?);
        }
        set_uri(&mut request, url)?;
        Ok(request)
    }

    /// A request for a file. The token goes along only where it may be seen.
    pub(super) async fn fetch(&self, url: &Url, tokens: Option<&Tokens>) -> Result<Response> {
        let mut request = Request::new(Bytes::new());
        // What is stored must be what was sent: no transfer may change it on the way.
        let identity = HeaderValue::from_static("identity");
        request
            .headers_mut()
            .insert(header::ACCEPT_ENCODING, identity);
        if let Some(tokens) = tokens.filter(|_| self.protocol().allowed.permits(url)) {
            let bearer = bearer(tokens)?;
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        set_uri(&mut request, url)?;
        self.protocol().wire.head(url, request).await
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
        lenient::one(&self.body).map_err(|fault| self.unreadable(fault))
    }

    /// The error for an answer that is not what was due.
    pub(crate) fn unreadable(&self, fault: Fault) -> Error {
        let what = match fault {
            Fault::NotJson => answer::describe(&self.headers, &self.body).to_owned(),
            fault => fault.to_string(),
        };
        Error::new(Kind::Decode(what))
            .with_answer(self.status, answer::request_id(&self.headers), None)
            .with_operation(self.operation.title())
    }
}

fn bearer(tokens: &Tokens) -> Result<HeaderValue> {
    let value = format!("Bearer {}", tokens.access.expose());
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| Error::decode("the access token cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}
