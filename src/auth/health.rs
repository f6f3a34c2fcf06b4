//! The state of a login's or an account's access: what a dashboard shows.
//!
//! It is put together from the store and from memory, without a request: a dashboard may ask every
//! second. It must not hold a secret.

use std::time::SystemTime;

use crate::error::Error;

/// The state of a login's or an account's access, without a secret in it.
///
/// ```no_run
/// # async fn example(lab: lab_connector::Lab) -> lab_connector::Result<()> {
/// let health = lab.health().await?;
/// if health.is_reauthorization_needed() {
///     println!("lab {}: please sign in again", lab.id());
/// } else if let Some((when, error)) = health.last_failure() {
///     let ago = when.elapsed().unwrap_or_default();
///     println!("lab {}: {} seconds ago: {error}", lab.id(), ago.as_secs());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Health {
    pub(super) expires_at: Option<SystemTime>,
    pub(super) last_success: Option<SystemTime>,
    pub(super) last_failure: Option<(SystemTime, Error)>,
    pub(super) next_refresh: Option<SystemTime>,
    pub(super) reauthorization_needed: bool,
}

impl Health {
    /// Whether tokens are stored: the login has signed in, the account is paired. They may be
    /// expired or revoked.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        self.expires_at.is_some()
    }

    /// Whether a person must sign in: there are no tokens, or the service has refused to
    /// refresh those that are stored. Known as far as this process has tried.
    #[must_use]
    pub fn is_reauthorization_needed(&self) -> bool {
        self.reauthorization_needed
    }

    /// When the stored access token expires. In the past where nothing was called for a while:
    /// the next call refreshes it.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// When the service last issued tokens: at signing in, pairing or a refresh, by whatever
    /// process.
    #[must_use]
    pub fn last_success(&self) -> Option<SystemTime> {
        self.last_success
    }

    /// When this process last failed to get tokens, and why. It stays when a later refresh
    /// succeeds: compare with [`Health::last_success`]. A client of many accounts forgets it some time
    /// after nobody holds the login or the account any more, once it has no bearing.
    #[must_use]
    pub fn last_failure(&self) -> Option<(SystemTime, &Error)> {
        self.last_failure
            .as_ref()
            .map(|(when, error)| (*when, error))
    }

    /// The earliest time at which this process tries a failed refresh again. None if no refresh
    /// failed, or if another try is of no use.
    #[must_use]
    pub fn next_refresh(&self) -> Option<SystemTime> {
        self.next_refresh
    }
}
