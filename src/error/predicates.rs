//! What callers ask of an error, and what the answers usually come from.
//!
//! *Problem.* A caller has to know what to do, and a kind of error for each cause would be a list that
//! grows with every release.
//!
//! *Approach.* A predicate for each thing that a program can do about it; several may be true of one
//! error. Of a refresh that failed most of them look at its cause. A predicate must not become false
//! for an error for which it was true: programs decide by it.

use http::StatusCode;

use super::{Error, Kind, SendState};

impl Error {
    /// Whether the same call may well succeed later, and repeating it does no harm: it
    /// certainly was not sent, or it may be seen twice. The client has repeated it already, as
    /// often as its [policy](crate::retry::RetryPolicy) says.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.cause(), Kind::StoreUnavailable(_))
            || self.is_transient() && (self.0.repeatable || self.0.sent == SendState::No)
    }

    /// Whether the same request may well succeed later, if it may be repeated.
    pub(crate) fn is_transient(&self) -> bool {
        // The kind itself and not its cause: a failed refresh is repeated by its own task.
        match self.kind() {
            // Not `Unconnectable`, `Protocol` and `Incomplete`: they are the same the next time.
            Kind::Connect(_) | Kind::Timeout(_) | Kind::Interrupted | Kind::Truncated(_) => true,
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
    /// without an endpoint, an endpoint that is not a URL, an id that no path can hold.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self.cause(), Kind::Configuration(_))
    }

    /// No connection came about. Usual causes: no network, a wrong host or port, a proxy, a
    /// certificate that the machine does not trust: the text says which, and names the setting.
    /// A certificate that is not trusted, a proxy that asks for credentials, and a port that speaks no
    /// TLS do not heal by themselves: they are not tried again, and not
    /// [retryable](Error::is_retryable).
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(self.cause(), Kind::Connect(_) | Kind::Unconnectable(_))
    }

    /// The service did not answer in time, or a body stopped coming; or it said so itself (408). Usual
    /// causes: the service or a proxy before it is overloaded, a firewall drops packets, a limit such as
    /// [`attempt_timeout`](crate::client::ClientBuilder::attempt_timeout) is too tight for the line.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.cause(), Kind::Timeout(_))
            || self.0.status == Some(StatusCode::REQUEST_TIMEOUT)
    }

    /// The connection broke before the whole answer had come. [`Error::was_sent`] says whether
    /// the service may have done what it was asked for. Usual causes: the service was restarted,
    /// a proxy or a firewall closes connections; or something that speaks no HTTP answers there, which is
    /// not tried again.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self.cause(), Kind::Interrupted | Kind::Protocol(_))
    }

    /// The service does not take the request as it is (400, 405, 422 and the like). Usual causes: a body
    /// that it expects in another form, see [`ReturnScan::field`](crate::client::ReturnScan::field) and
    /// [`Pairing::field`](crate::client::Pairing::field); an endpoint with another method or path; an id
    /// that it does not know how to read. [`Error::service_message`] may say which.
    #[must_use]
    pub fn is_bad_request(&self) -> bool {
        // Each of these has a predicate of its own.
        let has_its_own = [401, 403, 404, 408, 409, 410, 412, 429];
        self.0.status.is_some_and(|status| {
            status.is_client_error() && !has_its_own.contains(&status.as_u16())
        })
    }

    /// A file is still being prepared (202), and was so until the operation's time was over. Usual cause:
    /// it was exported just now. Download it later; [`Error::retry_after`] may say when.
    #[must_use]
    pub fn is_not_ready(&self) -> bool {
        self.0.status == Some(StatusCode::ACCEPTED)
    }

    /// The service did not accept the credentials (401), also after the access token was
    /// refreshed; or it refused the client id or secret. Usual causes: the access was revoked in
    /// the portal, the software was unpaired elsewhere, the client secret was replaced.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.0.status == Some(StatusCode::UNAUTHORIZED)
    }

    /// The software has lost its access: no tokens are stored, or the service takes none of them
    /// any more. Trying later does not help. Of a login a person must sign in again; of an account
    /// [`Error::needs_pairing`] is true too. Usual causes: nobody has signed in or paired yet,
    /// the store was lost or is another one, the refresh token was revoked or is too old, another
    /// process used it with a store of its own.
    #[must_use]
    pub fn is_reauthorization_needed(&self) -> bool {
        // The kind itself: inside of a failed refresh there is none of these, or a person would be
        // asked too soon.
        matches!(self.0.kind, Kind::SignIn(_) | Kind::Pairing(_))
    }

    /// An account has no tokens that the service takes: [pair](crate::Login::pair) it again, by a login that
    /// may. Nobody has to sign in for that while the login's own tokens are good; where they are not,
    /// the pairing fails, and [`Error::is_reauthorization_needed`] is true of it, without this.
    #[must_use]
    pub fn needs_pairing(&self) -> bool {
        matches!(self.0.kind, Kind::Pairing(_))
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
    /// was claimed by somebody else, whose work counts. Usual causes: work that takes long, for
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
        // `FileTooLarge` too: a file system such as FAT32 has no room for it, whatever is free.
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
        // Of files only: a store has full disks of its own.
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
        matches!(self.0.kind, Kind::Incomplete(_) | Kind::Truncated(_))
    }
}
