//! What can go wrong with a call.

pub(crate) mod answer;
mod retry_after;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::sensitive::Sensitive;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// One type for all of the crate: ask the predicates what to do, the accessors for what to
/// write into a ticket. `Display` is one line; it names the operation and never holds a secret,
/// an id, a URL's values, a payload or a text of the service's: of what the service says there are
/// its status and its code, and the rest is at [`Error::service_message`].
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    operation: Option<&'static str>,
    status: Option<StatusCode>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    attempts: u32,
    elapsed: Option<Duration>,
    repeatable: bool,
    sent: Sent,
    excerpt: Option<Box<str>>,
    service_message: Option<Sensitive<Box<str>>>,
    path: Option<Box<str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The private kinds; the predicates are how they are told apart.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{0}")]
    Configuration(String),
    #[error("no connection to {0}")]
    Connect(String),
    #[error("no answer within {}", seconds(.0))]
    Timeout(Duration),
    #[error("the connection broke")]
    Broken,
    #[error("the service answered {0}")]
    Status(String),
    #[error("{0} redirects to {1}, which this call does not follow")]
    Redirect(String, String),
    #[error("the answer cannot be read: {0}")]
    Decode(String),
    #[error("{0}; sign in again to authorize the software anew")]
    Reauthorization(&'static str),
    #[error("{}; the access token could not be refreshed", .0.kind())]
    Refresh(Error),
    #[error("another process has been refreshing the access token for too long")]
    Held,
    #[error("the authorization was not given: {0}")]
    Refused(String),
    #[error("{0}")]
    Origin(String),
    #[error("the store failed: {0}")]
    Store(String),
    /// The same, where it may pass by itself.
    #[error("the store failed: {0}")]
    StoreUnavailable(String),
    #[error("the delivery was held for too long, and was handed out to somebody else")]
    LeaseLost,
    #[error("the service names no files of the order, as it is now")]
    WithoutFiles,
    #[error("the file cannot be written: {0}")]
    File(String),
    #[error("the file did not arrive whole: {0}")]
    Incomplete(String),
    /// The same, where trying again may help.
    #[error("the file did not arrive whole: {0}")]
    Cut(String),
}

/// Whether the service may have seen the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sent {
    /// It was not sent: the service knows nothing of it.
    No,
    /// The service answered it.
    Yes,
    /// It may or may not have arrived.
    Unknown,
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        let sent = match kind {
            Kind::Timeout(_) | Kind::Broken => Sent::Unknown,
            Kind::Status(_)
            | Kind::Redirect(..)
            | Kind::Decode(_)
            | Kind::Refused(_)
            | Kind::WithoutFiles
            | Kind::Incomplete(_)
            | Kind::Cut(_)
            | Kind::File(_) => Sent::Yes,
            Kind::Configuration(_)
            | Kind::Connect(_)
            | Kind::Reauthorization(_)
            | Kind::Refresh(_)
            | Kind::Held
            | Kind::Origin(_)
            | Kind::Store(_)
            | Kind::StoreUnavailable(_)
            | Kind::LeaseLost => Sent::No,
        };
        Error(Arc::new(Inner {
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
        Error::new(Kind::Store(source.to_string())).with_source(source)
    }

    /// A failure of a store that you implement, which may pass by itself: no connection, a lock that
    /// was not given in time, a full disk. It [is retryable](Error::is_retryable).
    pub fn store_unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        Error::new(Kind::StoreUnavailable(source.to_string())).with_source(source)
    }

    /// For a call that did not come about, as its token could not be refreshed. Nobody has to
    /// act; the next refresh is tried after `retry_after`.
    pub(crate) fn refresh(error: Error, retry_after: Option<Duration>) -> Self {
        let cause = Arc::clone(&error.0);
        Error::new(Kind::Refresh(error)).changed(|inner| {
            inner.operation = cause.operation;
            inner.status = cause.status;
            inner.request_id = cause.request_id.clone();
            inner.attempts = cause.attempts;
            inner.service_message = cause.service_message.clone();
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

    pub(crate) fn with_sent(self, sent: Sent) -> Self {
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
    fn changed(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The kind in a word, for traces.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.0.kind {
            Kind::Configuration(_) => "configuration",
            Kind::Connect(_) => "connect",
            Kind::Timeout(_) => "timeout",
            Kind::Broken => "broken",
            Kind::Status(_) => "status",
            Kind::Redirect(..) => "redirect",
            Kind::Decode(_) => "decode",
            Kind::Reauthorization(_) => "reauthorization",
            Kind::Refresh(_) | Kind::Held => "refresh",
            Kind::Refused(_) => "refused",
            Kind::Origin(_) => "origin",
            Kind::Store(_) | Kind::StoreUnavailable(_) => "store",
            Kind::LeaseLost => "lease_lost",
            Kind::WithoutFiles => "without_files",
            Kind::File(_) => "file",
            Kind::Incomplete(_) | Kind::Cut(_) => "incomplete",
        }
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

    /// What the service said of its error in words, in one line of at most 500 characters: text that
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

    /// Whether the service may have seen the request.
    #[must_use]
    pub fn was_sent(&self) -> Sent {
        self.0.sent
    }

    /// Whether the same call may well succeed later, and repeating it does no harm: it
    /// certainly was not sent, or it may be seen twice. The client has repeated it already, as
    /// often as its [policy](crate::retry::RetryPolicy) says.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.cause(), Kind::StoreUnavailable(_))
            || self.is_transient() && (self.0.repeatable || self.0.sent == Sent::No)
    }

    /// Whether the same request may well succeed later, if it may be repeated.
    pub(crate) fn is_transient(&self) -> bool {
        match self.kind() {
            Kind::Connect(_) | Kind::Timeout(_) | Kind::Broken | Kind::Cut(_) => true,
            Kind::Status(_) => match self.status().map(|status| status.as_u16()) {
                // The first is a file that is not ready yet.
                Some(202 | 408 | 429 | 500 | 502 | 503 | 504) => true,
                // A limit that is no 429, as GitHub has one.
                Some(403) => self.0.retry_after.is_some(),
                _ => false,
            },
            _ => false,
        }
    }

    /// The configuration or an argument is wrong; nothing was sent. Usual causes: an operation
    /// without an endpoint, an endpoint that is no URL, an id that cannot stand in a path.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self.cause(), Kind::Configuration(_))
    }

    /// No connection came about. Usual causes: no network, a wrong host or port, a proxy, a
    /// certificate that the machine does not trust.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(self.cause(), Kind::Connect(_))
    }

    /// The service did not answer in time, or a body stopped coming. Usual causes: the service or
    /// a proxy before it is overloaded, a firewall drops packets, the limits of
    /// [`Timeouts`](crate::transport::Timeouts) are too tight for the line.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.cause(), Kind::Timeout(_))
    }

    /// The connection broke before the whole answer had come. [`Error::was_sent`] says whether
    /// the service may have done what it was asked for. Usual causes: the service was restarted,
    /// a proxy or a firewall closes connections, something that speaks no HTTP answers there.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self.0.kind, Kind::Broken)
    }

    /// The service did not accept the credentials (401), also after the access token was
    /// refreshed; or it refused the client id or secret. Usual causes: the access was revoked in
    /// the portal, the software was unpaired elsewhere, the client secret was replaced.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.0.status == Some(StatusCode::UNAUTHORIZED)
    }

    /// A person must sign in again: no tokens are stored, or the service takes none of them
    /// any more. Trying later does not help. Usual causes: nobody has signed in or paired yet,
    /// the store was lost or is another one, the refresh token was revoked or is too old, another
    /// process used it with a store of its own.
    #[must_use]
    pub fn is_reauthorization_needed(&self) -> bool {
        matches!(self.0.kind, Kind::Reauthorization(_))
    }

    /// The access token expired and could not be refreshed, for now; the other predicates say
    /// why. Nobody has to sign in: the call succeeds when a later refresh does.
    /// [`Error::retry_after`] says when the next one is tried, until then nothing is sent.
    /// Usual causes: no network, the service is down, a wrong client secret.
    #[must_use]
    pub fn is_refresh_failed(&self) -> bool {
        matches!(self.0.kind, Kind::Refresh(_))
    }

    /// The service refuses this to these credentials (403). Usual causes: the token is of another
    /// account, the account was unpaired elsewhere, the contract does not cover the operation.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.0.status == Some(StatusCode::FORBIDDEN)
    }

    /// There is no such thing (404, 410). Usual causes: the order is gone, an endpoint's path
    /// is wrong.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.0.status,
            Some(StatusCode::NOT_FOUND | StatusCode::GONE)
        )
    }

    /// The order or the account is not in a state that allows this (409, 412). Usual causes: the
    /// order was returned or sent to modeling already, the account is paired otherwise. Fetch the
    /// order before trying again.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(
            self.0.status,
            Some(StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED)
        )
    }

    /// Too many requests (429); [`Error::retry_after`] may say how long to wait. Usual causes: a
    /// polling interval that is too short, several processes that poll the same account. See
    /// [`ClientBuilder::rate`](crate::client::ClientBuilder::rate).
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.0.status == Some(StatusCode::TOO_MANY_REQUESTS)
    }

    /// The service failed (5xx). Usual causes: it is being deployed or overloaded; if it lasts, a
    /// request that it cannot deal with: its support asks for [`Error::request_id`].
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.0.status.is_some_and(|status| status.is_server_error())
    }

    /// The service answered, but not as expected. Usual causes: a proxy's or a sign-in page in
    /// place of the service's answer, a field that is missing, an endpoint of another service,
    /// an answer that is too [long](crate::client::ClientBuilder::answer_limit).
    /// [`Error::path`] may say where.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        matches!(self.cause(), Kind::Decode(_))
    }

    /// A credential would have gone to a host that is not allowed, or an answer redirected
    /// elsewhere; it was not followed. Usual causes: Discovery names a host that is not
    /// [allowed](crate::client::ClientBuilder::allow_host), an endpoint that has moved, a sign-in
    /// page in place of the service.
    #[must_use]
    pub fn is_origin(&self) -> bool {
        matches!(self.cause(), Kind::Origin(_) | Kind::Redirect(..))
    }

    /// The authorization was not given, or its answer does not belong to the request. Usual
    /// causes: the user declined, the page was reloaded or opened twice, the code is too old, the
    /// redirect URL is not the registered one.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.0.kind, Kind::Refused(_))
    }

    /// A store, of tokens or of cases, could not read or write. Usual causes: no permission, a
    /// full disk, a damaged file, a database that is down. Where it may pass by itself it
    /// [is retryable](Error::is_retryable) too.
    #[must_use]
    pub fn is_store(&self) -> bool {
        matches!(self.cause(), Kind::Store(_) | Kind::StoreUnavailable(_))
    }

    /// A delivery was held for longer than its [claim lease](crate::inbox::Inbox::claim_lease) and
    /// was handed out to somebody else, whose work counts. Usual causes: work that takes long, for
    /// which there is [`Delivery::extend`](crate::inbox::Delivery::extend); a machine that slept.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        matches!(self.0.kind, Kind::LeaseLost)
    }

    /// A delivery's order is shown without its files, which is not to say that it has none. Usual
    /// cause: it has gone on to Align or the doctor since it was delivered, and the service shows
    /// the files only of what is with the lab. Give the delivery back
    /// ([`Delivery::fail`](crate::inbox::Delivery::fail)): once the order is with the lab again,
    /// its files are there.
    #[must_use]
    pub fn is_without_files(&self) -> bool {
        matches!(self.0.kind, Kind::WithoutFiles)
    }

    /// A downloaded file could not be written. Nothing new is under its final name. Usual causes:
    /// those of [`Error::is_disk_full`] and [`Error::is_permission_denied`], a directory that does
    /// not exist, another download to the same name.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.0.kind, Kind::File(_))
    }

    /// A downloaded file found no room: the disk is full, or a quota is reached. What came is
    /// kept where it can be resumed.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let full = [StorageFull, QuotaExceeded, FileTooLarge];
        self.file_error().is_some_and(|kind| full.contains(&kind))
    }

    /// The system does not allow a downloaded file to be written there. Usual causes: another
    /// owner, a mount that is read-only, a file that another program holds open (Windows).
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        let denied = [PermissionDenied, ReadOnlyFilesystem];
        self.file_error().is_some_and(|kind| denied.contains(&kind))
    }

    fn file_error(&self) -> Option<std::io::ErrorKind> {
        let source = self.0.source.as_deref().filter(|_| self.is_file())?;
        source
            .downcast_ref::<std::io::Error>()
            .map(|error| error.kind())
    }

    /// A file ended before it was whole, or is not what was announced. Nothing is under its final
    /// name. Usual causes: the connection broke again and again, a proxy cuts long answers, the
    /// file was replaced while it was fetched.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(self.0.kind, Kind::Incomplete(_) | Kind::Cut(_))
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
        Ok(())
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

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// An error with everything that led to it, in one line.
pub(crate) fn report(error: &dyn StdError) -> String {
    let mut report = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        // Some libraries repeat their cause in their own text.
        if !report.ends_with(&text) {
            report = format!("{report}: {text}");
        }
        source = error.source();
    }
    report.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_that_names_the_operation() {
        let error = Error::new(Kind::Status("503 Service Unavailable".into()))
            .with_operation("Get Orders")
            .with_answer(StatusCode::SERVICE_UNAVAILABLE, Some("r-1".into()), None)
            .with_attempts(3);
        assert_eq!(
            error.to_string(),
            "Get Orders: the service answered 503 Service Unavailable (after 3 attempts) [request r-1]"
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
            "Refresh Token: the service answered 503 Service Unavailable; the access token could not be refreshed [request r-1]"
        );
        assert!(error.is_refresh_failed() && error.is_server());
        assert!(!error.is_reauthorization_needed() && !error.is_unauthorized());
        assert_eq!((error.retry_after(), error.was_sent()), (after, Sent::No));
        let error = Error::refresh(Error::new(Kind::Connect("a".into())), None);
        assert!(error.is_connect() && !error.is_timeout());
    }

    #[test]
    fn the_first_operation_stays() {
        let error = Error::decode("x")
            .with_operation("Pair")
            .with_operation("Get Orders");
        assert_eq!(error.operation(), Some("Pair"));
    }
}
