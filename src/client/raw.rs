//! Requests of your own making, with the client's authorization, retries, limits and errors.
//!
//! They go through the same pipeline as typed calls: a raw request must not carry the token to a host that
//! they could not, nor set `Authorization` itself. Setters cannot fail, so that a chain reads well; the
//! first mistake is kept and reported when the request is sent.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::caller::Caller;
use super::pipeline::{Answer, PreparedRequest};
use crate::endpoints::Operation;
use crate::error::{Error, Result};
use crate::model::AccountId;
use crate::retry::RetryPolicy;

/// A request of your own making: for an operation that has no typed method, a body that the typed
/// method does not send, or a path that this crate does not know.
///
/// It is a value: [`RawRequest::inspect`] shows what would be sent, but for the token, and
/// [`RawRequest::send`] sends it. Whether it may be repeated goes by the operation, whatever its method
/// is: those that only read may. Of another request it goes by the method (GET, HEAD, PUT, DELETE and
/// OPTIONS may). [`RawRequest::repeatable`] says otherwise.
///
/// ```no_run
/// # async fn example(lab: lab_connector::Lab) -> lab_connector::Result<()> {
/// use http::Method;
/// use lab_connector::Operation;
///
/// // An operation, with a body of its own.
/// let answer = lab
///     .call(Operation::ReturnScan)
///     .variable("order_id", "123456789")
///     .json(serde_json::json!({ "comment": "margin not visible on 14" }))
///     .send()
///     .await?;
/// assert!(answer.status().is_success());
///
/// // A path below the base URL.
/// let statistics: serde_json::Value = lab
///     .request(Method::GET, "accounts/{account_id}/statistics")
///     .query("month", "2026-03")
///     .fetch()
///     .await?;
/// # let _ = statistics;
/// # Ok(())
/// # }
/// ```
#[must_use = "a request does nothing until it is sent"]
#[derive(Clone)]
pub struct RawRequest {
    caller: Caller,
    target: RawTarget,
    variables: Vec<(String, String)>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<RawBody>,
    repeatable: Option<bool>,
    /// The first setting that cannot be sent; sending it is then an error.
    wrong: Option<Error>,
}

#[derive(Clone)]
enum RawTarget {
    Operation(Operation),
    Url(Method, String),
}

#[derive(Clone)]
enum RawBody {
    Json(Value),
    Bytes(Bytes),
}

/// What an error calls a request that is no operation.
const TITLE: &str = "Raw request";

impl RawRequest {
    pub(super) fn of(caller: Caller, operation: Operation, account: Option<&AccountId>) -> Self {
        Self::new(caller, RawTarget::Operation(operation), account)
    }

    pub(super) fn to(
        caller: Caller,
        method: Method,
        url: String,
        account: Option<&AccountId>,
    ) -> Self {
        Self::new(caller, RawTarget::Url(method, url), account)
    }

    fn new(caller: Caller, target: RawTarget, account: Option<&AccountId>) -> Self {
        let account = account.map(|id| ("account_id".to_owned(), id.as_str().to_owned()));
        RawRequest {
            caller,
            target,
            variables: account.into_iter().collect(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            repeatable: None,
            wrong: None,
        }
    }

    /// Fills in a variable of the URI template. The value is percent-encoded.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        // The last value counts, also in place of the account that `Lab::call` has set.
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
        self
    }

    /// Adds a parameter to the query.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Sets a header. `Authorization` is the client's to set; one that is given here is refused
    /// when the request is sent.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            (Ok(name), Ok(value)) if name != header::AUTHORIZATION => {
                self.headers.insert(name, value);
            }
            _ => {
                // Any text may be in its place: it is shown on one line, and not all of it.
                let name: String = name.escape_debug().take(40).collect();
                let wrong = Error::configuration(format!("the header `{name}` cannot be set"));
                // The first one stays: it is nearest to where the chain began.
                self.wrong.get_or_insert(wrong);
            }
        }
        self
    }

    /// Sends a JSON body.
    pub fn json(mut self, body: impl Into<Value>) -> Self {
        self.body = Some(RawBody::Json(body.into()));
        self
    }

    /// Sends these bytes; say what they are with a `Content-Type` [header](RawRequest::header).
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(RawBody::Bytes(body.into()));
        self
    }

    /// Whether the service may see it more than once. Default: by its operation, or by its method.
    pub fn repeatable(mut self, repeatable: bool) -> Self {
        self.repeatable = Some(repeatable);
        self
    }

    /// Another retry policy for this request.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.caller.retry = Some(retry);
        self
    }

    /// What would be sent, but for the token and what
    /// [`ClientBuilder::header`](crate::client::ClientBuilder::header) adds.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] if there is no such endpoint, if a variable is missing, or if
    /// a header cannot be sent.
    pub fn inspect(&self) -> Result<http::Request<Bytes>> {
        let prepared = self.prepare()?;
        // Without tokens: what is shown to a person must not hold one.
        prepared.request(&self.caller.client, None)
    }

    /// Sends it and returns the answer if it is a success.
    ///
    /// # Errors
    ///
    /// As [`RawRequest::inspect`]; and whatever may go wrong with a call, see [`Error`].
    ///
    /// # Cancel safety
    ///
    /// As safe as the request: dropped, the service may have seen it.
    pub async fn send(&self) -> Result<http::Response<Bytes>> {
        let answer = self.answer().await?;
        let mut response = http::Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// Sends it and reads the answer's body as JSON.
    ///
    /// # Errors
    ///
    /// As [`RawRequest::send`]; [`Error::is_decode`] if the body is not the JSON of such a value.
    ///
    /// # Cancel safety
    ///
    /// As [`RawRequest::send`].
    pub async fn fetch<T: DeserializeOwned>(&self) -> Result<T> {
        let answer = self.answer().await?;
        answer.decode("it is JSON of another form")
    }

    async fn answer(&self) -> Result<Answer> {
        let prepare = || self.prepare();
        match self.target {
            RawTarget::Operation(operation) => self.caller.operate(operation, true, prepare).await,
            // It is no operation, so that Discovery has nothing to say of it.
            RawTarget::Url(..) => self.caller.perform(prepare).await,
        }
    }

    fn prepare(&self) -> Result<PreparedRequest> {
        let title = match &self.target {
            RawTarget::Operation(operation) => operation.title(),
            RawTarget::Url(..) => TITLE,
        };
        self.prepare_as(title)
            .map_err(|error| error.with_operation(title))
    }

    fn prepare_as(&self, title: &'static str) -> Result<PreparedRequest> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let directory = &self.caller.client.protocol().directory;
        let (method, template) = match &self.target {
            RawTarget::Operation(operation) => {
                let endpoint = directory.resolve(*operation)?;
                (endpoint.method, endpoint.template)
            }
            RawTarget::Url(method, url) => (method.clone(), directory.current().template(url)?),
        };
        let variables: Vec<_> = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut url = template.expand(&variables)?;
        // `query_pairs_mut` alone would put a `?` behind the URL.
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut prepared = PreparedRequest::new(title, method, url, template.shared());
        match &self.body {
            None => {}
            Some(RawBody::Json(body)) => prepared.json(body),
            Some(RawBody::Bytes(body)) => prepared.body = body.clone(),
        }
        // After the body: a `Content-Type` of the caller's wins over that of JSON.
        for (name, value) in &self.headers {
            prepared.headers.insert(name, value.clone());
        }
        // The caller's word wins over the operation, and the operation over the method.
        if let RawTarget::Operation(operation) = &self.target {
            prepared.repeatable = operation.only_reads();
        }
        if let Some(repeatable) = self.repeatable {
            prepared.repeatable = repeatable;
        }
        Ok(prepared)
    }
}

/// Without values: they may be ids, and the body may be anything.
impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RawRequest");
        match &self.target {
            RawTarget::Operation(operation) => debug.field("operation", operation),
            RawTarget::Url(method, _) => debug.field("method", method),
        };
        debug.finish_non_exhaustive()
    }
}
