//! The one way of every call: resolve the endpoint, authorize, send, judge, try again.
//!
//! *Problem.* Each rule about tokens, repeats and hosts must hold for every operation, typed or raw, and
//! one that is written twice is soon kept once.
//!
//! *Approach.* `operate` goes where Discovery says, `perform` tries, `once` sends. A request must not take
//! a credential to a host that is not allowed, follow a redirect, or be repeated where it may have had an
//! effect.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::de::DeserializeOwned;
use url::Url;

use super::Client;
use super::attempts::Attempts;
use super::caller::Caller;
use super::listing::{Rules, over, reading};
use super::trace::{Subject, Trace};
use crate::auth::{Tokens, not_permitted, refuse_redirect, set_uri};
use crate::endpoints::Operation;
use crate::error::{Error, Result, answer};
use crate::model::lenient::{self, ExceededLimit, Fault, LocatedFault, Record, Records};
use crate::text;
use crate::transport::{Request, Response, Truncation};

/// An operation to call.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(super) operation: Operation,
    /// In place of the endpoint's own URL: a further page of a listing.
    pub(super) url: Option<Url>,
    pub(super) variables: Vec<(&'static str, &'a str)>,
    body: Option<serde_json::Value>,
    pub(super) take: Option<ReadLimits>,
}

/// How much is taken of an answer that is longer, or that takes longer.
#[derive(Clone, Copy)]
pub(super) struct ReadLimits {
    pub(super) bytes: usize,
    /// In elapsed time.
    pub(super) until: Duration,
}

/// A request that is ready but for the token.
pub(super) struct PreparedRequest {
    pub(super) subject: Subject,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the service may see it more than once.
    pub(super) repeatable: bool,
    pub(super) take: Option<ReadLimits>,
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
    /// Why the body is the beginning of one.
    pub(super) cut: Option<Error>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(operation: Operation) -> Self {
        Call {
            operation,
            url: None,
            variables: Vec::new(),
            body: None,
            take: None,
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

impl PreparedRequest {
    /// A request for JSON, of a method that says whether it may be repeated.
    pub(super) fn new(title: &'static str, method: Method, url: Url, template: Arc<str>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        PreparedRequest {
            // RFC 9110 section 9.2.2, for raw requests. An operation goes by what it does instead: Return
            // Scan may be configured as PUT (`an_effect_is_not_repeated`).
            repeatable: method.is_idempotent(),
            subject: Subject {
                title,
                method,
                url,
                template,
            },
            headers,
            body: Bytes::new(),
            take: None,
        }
    }

    pub(super) fn json(&mut self, body: &serde_json::Value) {
        self.body = body.to_string().into();
        let json = HeaderValue::from_static("application/json");
        self.headers.insert(header::CONTENT_TYPE, json);
    }

    pub(super) fn request(&self, client: &Client, tokens: Option<&Tokens>) -> Result<Request> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.subject.method.clone();
        *request.headers_mut() = self.headers.clone();
        set_uri(&mut request, &self.subject.url)?;
        if let Some(tokens) = tokens {
            if !client.protocol().allowed.permits(&self.subject.url) {
                return Err(not_permitted(&self.subject.url));
            }
            authorize(&mut request, tokens)?;
        }
        Ok(request)
    }
}

impl Caller {
    /// Calls an operation and returns its answer if it is a success.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer> {
        // A further page is where the one before it says.
        let may_move = call.url.is_none();
        self.operate(call.operation, may_move, || self.prepare(&call))
            .await
    }

    /// Performs an operation where it is: Discovery is asked before it where that is not known, and
    /// anew where nothing is there and the operation `may_move`.
    pub(super) async fn operate(
        &self,
        operation: Operation,
        may_move: bool,
        prepare: impl Fn() -> Result<PreparedRequest>,
    ) -> Result<Answer> {
        self.locate(operation).await?;
        let mut result = self.perform(&prepare).await;
        let protocol = self.client.protocol();
        // Nothing was there to do anything, so that this holds for what has effects as well
        // (`when_everything_is_gone_discovery_is_asked`).
        if result.as_ref().is_err_and(Error::is_not_found)
            && may_move
            && protocol.missed(operation).await
        {
            result = self.perform(&prepare).await;
        }
        // Not Discovery itself: that it was found says nothing of the paths that it names.
        if result.is_ok() && operation != Operation::Discovery {
            protocol.directory.found(protocol.wire.clock.elapsed());
        }
        result
    }

    fn prepare(&self, call: &Call<'_>) -> Result<PreparedRequest> {
        let operation = call.operation;
        let endpoint = self.client.protocol().directory.resolve(operation)?;
        let url = match &call.url {
            Some(url) => url.clone(),
            None => endpoint
                .template
                .expand(&call.variables)
                .map_err(|error| error.with_operation(operation.title()))?,
        };
        let template = endpoint.template.shared();
        let mut prepared = PreparedRequest::new(operation.title(), endpoint.method, url, template);
        prepared.repeatable = operation.only_reads();
        prepared.take = call.take;
        if let Some(body) = &call.body {
            prepared.json(body);
        }
        Ok(prepared)
    }

    /// Sends a request and returns its answer if it is a success: tries until it succeeds, the policy
    /// gives up or the operation's time is over.
    pub(super) async fn perform(
        &self,
        prepare: impl Fn() -> Result<PreparedRequest>,
    ) -> Result<Answer> {
        // Held over all attempts: the operation is one of the account's until it ends. The lane that all
        // accounts share is entered for each attempt
        // (`an_operation_that_waits_to_be_tried_again_takes_no_place`).
        let _place = self.enter().await;
        let protocol = self.client.protocol();
        let (endpoints, first) = (protocol.directory.current(), prepare()?);
        let status = |answer: &Answer| answer.status;
        Trace::of(&first.subject, status, async |trace| {
            let wire = &protocol.wire;
            let repeatable = first.repeatable;
            let (budget, title) = (self.calls(), first.subject.title);
            let mut attempts = Attempts::begin(self, budget, title, repeatable, trace).await?;
            // Discovery was asked before the tokens were refreshed, and may have moved this operation. The
            // request is made anew only then: mostly nothing has changed, and nothing is copied.
            let moved;
            let prepared = if Arc::ptr_eq(&endpoints, &protocol.directory.current()) {
                &first
            } else {
                moved = prepare()?;
                &moved
            };
            loop {
                let place = attempts.enter(&self.client.inner.total.calls).await;
                let once = self.once(prepared, attempts.tokens());
                let outcome = wire.within(attempts.left(), once).await;
                // Free for others while this one waits for its next attempt.
                drop(place);
                match outcome.unwrap_or_else(|| Err(attempts.timed_out())) {
                    Ok(answer) => {
                        let attempts = attempts.succeeded();
                        return Ok(Answer { attempts, ..answer });
                    }
                    Err(error) => attempts.failed(error, true).await?,
                }
            }
        })
        .await
    }

    async fn once(
        &self,
        prepared: &PreparedRequest,
        tokens: Option<Arc<Tokens>>,
    ) -> Result<Answer> {
        let wire = &self.client.protocol().wire;
        let request = prepared.request(&self.client, tokens.as_deref())?;
        let url = &prepared.subject.url;
        let (limit, until) = match prepared.take {
            Some(take) => (take.bytes.min(wire.answer_limit), Some(take.until)),
            None => (wire.answer_limit, None),
        };
        let (head, body) = wire.exchange_some(url, request, limit, until).await?;
        let cut = body.cut.map(|cut| match cut {
            Truncation::Late => over(ExceededLimit::Time),
            // Each names its own setting: the rest of the listing's bytes, or the limit of an answer.
            Truncation::Long if limit < wire.answer_limit => over(ExceededLimit::Bytes),
            Truncation::Long => wire.too_long(&head),
        });
        let body = body.bytes;
        // Never followed: the token would go along, and a method may change
        // (`no_call_follows_a_redirect`).
        refuse_redirect(&prepared.subject.url, &head)?;
        // Before the length: the beginning of an error is enough to describe it.
        if !head.status.is_success() {
            let now = wire.clock.now();
            return Err(answer::error(head.status, &head.headers, &body, now));
        }
        // A listing uses what has come; for any other call half an answer is none.
        if prepared.take.is_none()
            && let Some(cut) = cut
        {
            return Err(cut);
        }
        let answer = Answer {
            title: prepared.subject.title,
            method: prepared.subject.method.clone(),
            url: prepared.subject.url.clone(),
            status: head.status,
            headers: head.headers,
            attempts: 1,
            body,
            cut,
        };
        // Also where nothing is read from the answer: behind the page of a proxy or a sign-in form nobody
        // did what was asked for. One was once taken for a scan that was returned
        // (`a_page_with_a_byte_order_mark_has_done_nothing`).
        if answer::is_page(&answer.body) {
            let what = answer::describe(&answer.headers, &answer.body);
            return Err(answer.unfit(Error::decode(what)));
        }
        Ok(answer)
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
            let headers = &protocol.wire.headers;
            // `head` does not add them by itself, as a file may be on a host that must not see
            // them.
            headers.add_configured(url, request.headers_mut());
        }
        protocol.wire.head(url, request).await
    }
}

impl Answer {
    /// The answer as a value. Where it is none, the error says `lacking`: a message of the
    /// parser could quote the payload.
    pub(crate) fn decode<T: DeserializeOwned>(&self, lacking: &'static str) -> Result<T> {
        text::parse(&self.text()).map_err(|error| match error.classify() {
            // Not a `Fault`, which would name the settings for records.
            serde_json::error::Category::Data => self.unfit(Error::decode(lacking)),
            _ => self.unreadable(Fault::NotJson),
        })
    }

    /// The answer as one record.
    pub(crate) async fn record<T: Record + Send + 'static>(&self, rules: Rules) -> Result<T> {
        let (body, kind) = self.parts();
        let read = move || {
            lenient::one(
                &text::of(&body, kind.as_ref()),
                rules.limits,
                rules.shapes(),
            )
        };
        let read = reading(self.body.len(), read).await;
        read.map_err(|located| self.unreadable(located))
    }

    /// The answer as a listing.
    pub(crate) async fn records<T: Record + Send + 'static>(
        &self,
        rules: Rules,
    ) -> Result<Records<T>> {
        // RFC 9110 section 15.3.5: it has no body, and so no list.
        if self.status == StatusCode::NO_CONTENT {
            return Ok(Records::none());
        }
        let (body, kind) = self.parts();
        let is_cut = self.cut.is_some();
        let read = move || {
            let text = text::of(&body, kind.as_ref());
            lenient::records(&text, rules.limits, rules.shapes(), is_cut)
        };
        match reading(self.body.len(), read).await {
            // That it is too long says more than that its beginning is no list.
            Ok(records) if !is_cut || records.count > 0 => Ok(records),
            Err(fault) if !is_cut => Err(self.unreadable(fault)),
            _ => match self.cut.clone() {
                Some(cut) => Err(self.unfit(cut)),
                None => Ok(Records::none()),
            },
        }
    }

    /// The answer need not hold anything, but it must not say that nothing was done.
    pub(crate) fn done(&self) -> Result<()> {
        match lenient::is_failure(&self.text()) {
            true => Err(self.unreadable(Fault::Failed)),
            false => Ok(()),
        }
    }

    /// The parts that its text is made of, to be read on another thread.
    fn parts(&self) -> (Bytes, Option<HeaderValue>) {
        let kind = self.headers.get(header::CONTENT_TYPE);
        (self.body.clone(), kind.cloned())
    }

    fn text(&self) -> Cow<'_, str> {
        text::of(&self.body, self.headers.get(header::CONTENT_TYPE))
    }

    /// The error for an answer that is not what was due.
    pub(crate) fn unreadable(&self, located: impl Into<LocatedFault>) -> Error {
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

pub(super) fn authorize(request: &mut Request, tokens: &Tokens) -> Result<()> {
    let value = format!("Bearer {}", tokens.access.expose());
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| Error::decode("the access token cannot be sent in a header"))?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(())
}
