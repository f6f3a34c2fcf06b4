//! What can go wrong with a call.
//!
//! *Problem.* A caller has to know what to do, support has to know what happened, and a log must
//! not hold what a service or a patient's record says.
//!
//! *Approach.* One opaque type with predicates. Private kinds hold texts that this crate has
//! written or judged; the words of a service are kept apart.

pub(crate) mod answer;
mod kind;
mod predicates;
mod retry_after;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::sensitive::Sensitive;
pub(crate) use kind::{Kind, NO_TOKENS};

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// One type for all of the crate: ask the predicates what to do, the accessors for what to
/// write into a ticket. `Display` is one line; it names the operation, says what to do, and never holds a secret,
/// an id, a URL's values, a payload or a text of the service's: of what the service says there are
/// its status and its code, and the rest is at [`Error::service_message`].
///
/// ```
/// # fn example(error: lab_connector::Error) {
/// if error.is_reauthorization_needed() {
///     println!("please sign in again");
/// } else if error.is_retryable() {
///     println!("later, in {:?}", error.retry_after());
/// } else {
///     eprintln!("{}", error.report());
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<ErrorInner>);

// Behind one pointer: results stay small, and an error that many callers share is cheap to clone.
#[derive(Clone, Debug)]
struct ErrorInner {
    kind: Kind,
    operation: Option<&'static str>,
    status: Option<StatusCode>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    attempts: u32,
    elapsed: Option<Duration>,
    repeatable: bool,
    sent: SendState,
    excerpt: Option<Box<str>>,
    service_message: Option<Sensitive<Box<str>>>,
    path: Option<Box<str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// Whether the service has seen the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendState {
    No,
    Yes,
    Unknown,
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        let sent = kind.sent();
        Error(Arc::new(ErrorInner {
            kind,
            operation: None,
            status: None,
            request_id: None,
            retry_after: None,
            attempts: 0,
            elapsed: None,
            repeatable: false,
            sent,
            excerpt: None,
            service_message: None,
            path: None,
            source: None,
        }))
    }

    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Error::new(Kind::Configuration(message.into()))
    }

    /// A failure of a store that you implement, which does not pass by itself: no permission, tables
    /// of another version, damaged data.
    pub fn store(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        // The text is repeated in the kind, since `Display` leaves sources out: of a store of one's own
        // it is all that says what failed.
        Error::new(Kind::Store(source.to_string())).with_source(source)
    }

    /// A failure of a store that you implement, which may pass by itself: no connection, a lock that
    /// was not given in time, a full disk. It [is retryable](Error::is_retryable).
    pub fn store_unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        Error::new(Kind::StoreUnavailable(source.to_string())).with_source(source)
    }

    /// For a call that was not made because its token could not be refreshed. Nobody has to
    /// act; the next refresh is tried after `retry_after`.
    pub(crate) fn refresh(error: Error, retry_after: Option<Duration>) -> Self {
        let cause = Arc::clone(&error.0);
        Error::new(Kind::Refresh(error)).changed(|inner| {
            inner.operation = cause.operation;
            inner.status = cause.status;
            inner.request_id = cause.request_id.clone();
            inner.attempts = cause.attempts;
            inner.service_message = cause.service_message.clone();
            // Not the cause's: until this time the refresh is not tried, whatever the service asked
            // for.
            inner.retry_after = retry_after;
        })
    }

    pub(crate) fn decode(message: impl Into<String>) -> Self {
        Error::new(Kind::Decode(message.into()))
    }

    pub(crate) fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.changed(|inner| inner.source = Some(Arc::from(source.into())))
    }

    pub(crate) fn with_operation(self, operation: &'static str) -> Self {
        self.changed(|inner| {
            // The first one stays: it is the innermost, such as *Refresh Token* in *Get Orders*
            // (`the_first_operation_stays`).
            inner.operation.get_or_insert(operation);
        })
    }

    pub(crate) fn with_attempts(self, attempts: u32) -> Self {
        self.changed(|inner| inner.attempts = attempts)
    }

    pub(crate) fn with_elapsed(self, elapsed: Duration) -> Self {
        self.changed(|inner| inner.elapsed = Some(elapsed))
    }

    /// Whether the service may see the request that failed more than once.
    pub(crate) fn with_repeatable(self, repeatable: bool) -> Self {
        self.changed(|inner| inner.repeatable = repeatable)
    }

    pub(crate) fn with_excerpt(self, excerpt: String) -> Self {
        self.changed(|inner| inner.excerpt = Some(excerpt.into()))
    }

    pub(crate) fn with_service_message(self, message: Option<&str>) -> Self {
        // As `Error::service_message` documents: enough for a sentence, too short for a page.
        const LONGEST: usize = 500;
        let message = message.map(|text| answer::bounded(text, LONGEST).into_boxed_str());
        self.changed(|inner| inner.service_message = message.map(Sensitive::new))
    }

    /// Where in the answer the field is that cannot be read.
    pub(crate) fn with_path(self, path: &str) -> Self {
        if path.is_empty() {
            return self;
        }
        self.changed(|inner| inner.path = Some(path.into()))
    }

    pub(crate) fn with_sent(self, sent: SendState) -> Self {
        self.changed(|inner| inner.sent = sent)
    }

    pub(crate) fn with_answer(
        self,
        status: StatusCode,
        request_id: Option<String>,
        retry_after: Option<Duration>,
    ) -> Self {
        self.changed(|inner| {
            inner.status = Some(status);
            inner.request_id = request_id;
            inner.retry_after = retry_after;
        })
    }

    /// An error that others share is changed for this one only: many callers fail by one
    /// renewal of their token, each in an operation of its own.
    fn changed(mut self, change: impl FnOnce(&mut ErrorInner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The kind in a word, for traces.
    pub(crate) fn kind_name(&self) -> &'static str {
        self.0.kind.name()
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The kind of the error that a failed refresh made, or else its own.
    fn cause(&self) -> &Kind {
        match &self.0.kind {
            Kind::Refresh(error) => error.cause(),
            kind => kind,
        }
    }

    /// The operation that failed, by Align's name for the service, as in *Get Orders*.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.0.operation
    }

    /// The HTTP status that the service answered with.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The service's own name for the request, from one of the usual headers: what its support
    /// asks for.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long to wait: as the service asked, or until a refresh that failed is tried again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// How often the request was tried; 0 where it never came to that.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// How long the operation took, with its attempts and waits; none where it never came to
    /// that.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.elapsed
    }

    /// What the answer looked like, in a line: its form and length, and of one that refuses the
    /// fields in which services describe errors, with the codes in them. A code has at most 40
    /// letters, digits, `_`, `.` and `-`; no other value is shown.
    #[must_use]
    pub fn excerpt(&self) -> Option<&str> {
        self.0.excerpt.as_deref()
    }

    /// The service's own words about its error, in one line of at most 500 characters: text that
    /// nobody has checked. It may name patients and hold tokens or signed URLs, so it is in no other
    /// text of the error; keep it from logs, too.
    #[must_use]
    pub fn service_message(&self) -> Option<Sensitive<&str>> {
        let message = self.0.service_message.as_ref()?;
        Some(Sensitive::new(message.reveal()))
    }

    /// Where in the JSON of the answer the field is that cannot be read or is missing, as in
    /// `orders[3].status`: of an error for which [`Error::is_decode`] is true, where it is known.
    ///
    /// It is made of indexes and of names that this crate knows, in the crate's spelling: what
    /// lies in a field of another name ends at the record. Indexes are those of the page.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The error with everything that led to it, in one line: for a log.
    ///
    /// `Display` leaves its causes to [`source`](StdError::source), as callers that print the
    /// chain expect it.
    #[must_use]
    pub fn report(&self) -> String {
        report(self)
    }

    /// Whether the service has seen the request: `Some(true)` if it answered, `Some(false)` if nothing
    /// was sent, and `None` if nobody knows.
    #[must_use]
    pub fn was_sent(&self) -> Option<bool> {
        match self.0.sent {
            SendState::No => Some(false),
            SendState::Yes => Some(true),
            SendState::Unknown => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.0.operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{}", self.0.kind)?;
        if self.0.attempts > 1 {
            write!(f, " (after {} attempts)", self.0.attempts)?;
        }
        if let Some(request_id) = &self.0.request_id {
            write!(f, " [request {request_id}]")?;
        }
        match self.0.kind.advice(self.0.status) {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("operation", &inner.operation)
            .field("status", &inner.status)
            .field("request_id", &inner.request_id)
            .field("retry_after", &inner.retry_after)
            .field("attempts", &inner.attempts)
            .field("elapsed", &inner.elapsed)
            .field("sent", &inner.sent)
            .field("excerpt", &inner.excerpt)
            .field("path", &inner.path)
            // Its text only: the `Debug` of other crates may show a URL. `service_message` is left out:
            // it may name a patient.
            .field("source", &inner.source.as_ref().map(ToString::to_string))
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if let Kind::Refresh(error) = &self.0.kind {
            // The error itself is in the text already.
            return error.source();
        }
        let source: &(dyn StdError + 'static) = self.0.source.as_deref()?;
        Some(source)
    }
}

/// An error with everything that led to it, in one line.
pub(crate) fn report(error: &dyn StdError) -> String {
    let mut report = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        // Some libraries repeat their cause in their own text, and a transport may say in its words
        // what the error has said already.
        if !report.contains(&text) {
            report = format!("{report}: {text}");
        }
        source = error.source();
    }
    // A line break in a cause would begin a new line of the log.
    report.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_nothing_twice() {
        let cause = std::io::Error::other("connection refused");
        let failure = crate::transport::TransportError::connect(cause);
        let error = Error::new(Kind::Connect("https://lab.example".into())).with_source(failure);
        let report = error.report();
        assert!(
            report.contains("no connection to https://lab.example"),
            "{report}"
        );
        assert_eq!(report.matches("no connection").count(), 1, "{report}");
        assert!(report.ends_with(": connection refused"), "{report}");
    }

    #[test]
    fn display_is_one_line_that_names_the_operation() {
        let error = Error::new(Kind::Status("503 Service Unavailable".into()))
            .with_operation("Get Orders")
            .with_answer(StatusCode::SERVICE_UNAVAILABLE, Some("r-1".into()), None)
            .with_attempts(3);
        assert_eq!(
            error.to_string(),
            "Get Orders: the service answered 503 Service Unavailable (after 3 attempts) [request r-1]; \
             try again later; if it lasts, ask the service's support"
        );
        assert!(error.is_server() && !error.is_timeout());
    }

    #[test]
    fn a_failed_refresh_says_why_and_when() {
        let cause = Error::new(Kind::Status("503 Service Unavailable".into()))
            .with_operation("Refresh Token")
            .with_answer(StatusCode::SERVICE_UNAVAILABLE, Some("r-1".into()), None);
        let after = Some(Duration::from_secs(7));
        let error = Error::refresh(cause, after).with_operation("Get Orders");
        assert_eq!(
            error.to_string(),
            "Refresh Token: the service answered 503 Service Unavailable; the access token could not be \
             refreshed [request r-1]; try again later; if it lasts, ask the service's support"
        );
        assert!(error.is_refresh_failed() && error.is_server());
        assert!(!error.is_reauthorization_needed() && !error.is_unauthorized());
        assert_eq!(
            (error.retry_after(), error.was_sent()),
            (after, Some(false))
        );
        let error = Error::refresh(Error::new(Kind::Connect("a".into())), None);
        assert!(error.is_connect() && !error.is_timeout());
    }

    #[test]
    fn to_sign_in_and_to_pair_are_told_apart() {
        for (kind, pairs, advice) in [
            (
                Kind::SignIn("x"),
                false,
                "x; sign in again to authorize the software anew",
            ),
            (Kind::Pairing("x"), true, "x; pair the account again"),
            // There may never have been any.
            (
                Kind::SignIn(NO_TOKENS),
                false,
                "no tokens are stored; sign in to authorize the software",
            ),
            (
                Kind::Pairing(NO_TOKENS),
                true,
                "no tokens are stored; pair the account",
            ),
        ] {
            let error = Error::new(kind);
            assert_eq!(error.to_string(), advice);
            assert_eq!(error.needs_pairing(), pairs);
            assert!(error.is_reauthorization_needed() && !error.is_retryable());
        }
    }

    /// The predicates that a status makes true, for each that a service may answer with.
    #[test]
    fn every_status_has_a_predicate_and_an_advice() {
        type Predicate = fn(&Error) -> bool;
        let all: [(&str, Predicate); 10] = [
            ("not ready", Error::is_not_ready),
            ("unauthorized", Error::is_unauthorized),
            ("forbidden", Error::is_forbidden),
            ("not found", Error::is_not_found),
            ("timeout", Error::is_timeout),
            ("conflict", Error::is_conflict),
            ("rate limited", Error::is_rate_limited),
            ("bad request", Error::is_bad_request),
            ("server", Error::is_server),
            ("connect", Error::is_connect),
        ];
        for (status, expected) in [
            (202, "not ready"),
            (400, "bad request"),
            (401, "unauthorized"),
            (403, "forbidden"),
            (404, "not found"),
            (405, "bad request"),
            (407, "bad request"),
            (408, "timeout"),
            (409, "conflict"),
            (410, "not found"),
            (412, "conflict"),
            (422, "bad request"),
            (429, "rate limited"),
            (451, "bad request"),
            (500, "server"),
            (501, "server"),
            (503, "server"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = Error::new(Kind::Status(status.to_string()));
            let error = error.with_answer(status, None, None);
            let all = all.iter().filter(|(_, is)| is(&error));
            let names: Vec<_> = all.map(|(name, _)| *name).collect();
            assert_eq!(names, [expected], "{status}");
            assert!(error.to_string().contains("; "), "{error}");
        }
    }

    #[test]
    fn the_first_operation_stays() {
        let error = Error::decode("x")
            .with_operation("Pair")
            .with_operation("Get Orders");
        assert_eq!(error.operation(), Some("Pair"));
    }
}
