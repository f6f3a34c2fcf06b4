//! A user who signs in.

use std::fmt;
use std::sync::Arc;

use http::Method;
use url::Url;

use super::Client;
use super::pipeline::Caller;
use super::raw::RawRequest;
use crate::auth::refresh::TokenSource;
use crate::auth::{AuthorizationRequest, TokenKey};
use crate::endpoints::Operation;
use crate::error::{Error, Kind, Result};
use crate::retry::RetryPolicy;

/// A user's login: signs in once, and pairs accounts.
#[derive(Clone)]
pub struct Login {
    pub(super) caller: Caller,
    pub(super) tokens: Arc<TokenSource>,
    name: String,
}

impl Login {
    pub(super) fn new(client: &Client, name: String) -> Self {
        let (caller, tokens) = client.caller(TokenKey::Login(name.clone()));
        Login {
            caller,
            tokens,
            name,
        }
    }

    /// The name that the tokens are stored under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same login with another retry policy, for the calls made through this handle.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.caller.retry = Some(retry);
        self
    }

    /// A request with the login's token: for an operation that has no typed method, or none
    /// that fits.
    ///
    /// See [`RawRequest`].
    pub fn call(&self, operation: Operation) -> RawRequest {
        RawRequest::of(self.caller.clone(), operation, None)
    }

    /// A request with the login's token, to a path below the base URL or to a URL.
    ///
    /// See [`RawRequest`].
    pub fn request(&self, method: Method, url: impl Into<String>) -> RawRequest {
        RawRequest::to(self.caller.clone(), method, url.into(), None)
    }

    /// Begins to sign in: gives the page to open in a browser. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] if there is no redirect URL, or no endpoint for the page.
    pub fn authorize(&self) -> Result<AuthorizationRequest> {
        self.caller.client.protocol().authorization()
    }

    /// Finishes signing in with the URL that the browser was sent back to, and stores the
    /// tokens.
    ///
    /// # Errors
    ///
    /// [`Error::is_refused`] if the user did not agree, or if the URL belongs to another
    /// request. [`Error::is_unauthorized`] if the client id or secret is rejected.
    /// [`Error::is_store`] if the tokens cannot be stored: they are lost, sign in again.
    ///
    /// # Cancel safety
    ///
    /// Not safe: the code is good for one use. Dropped before it returns, begin again with
    /// [`Login::authorize`].
    pub async fn finish(&self, request: &AuthorizationRequest, redirected: &Url) -> Result<()> {
        let tokens = self
            .caller
            .client
            .protocol()
            .exchange(request, redirected)
            .await?;
        let stored = self.tokens.replace(tokens).await;
        stored.map_err(|error| error.with_operation(Operation::GetToken.title()))
    }

    /// Whether tokens are stored for this login; they may be expired or revoked.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn is_signed_in(&self) -> Result<bool> {
        Ok(self.tokens.stored().await?.is_some())
    }

    /// Ends the login: *Revoke Token*, then the tokens are forgotten. No error if there are
    /// none.
    ///
    /// # Errors
    ///
    /// The service could not be reached or refused; the tokens are still stored.
    ///
    /// # Cancel safety
    ///
    /// Safe to call again: a token that is revoked already is no error, RFC 7009.
    pub async fn revoke(&self) -> Result<()> {
        let revoked = self.tokens.revoke().await;
        revoked.map_err(|error| error.with_operation(Operation::RevokeToken.title()))
    }
}

/// For calls that cannot do without: a login that was never signed in is an error that says so.
pub(super) fn not_signed_in() -> Error {
    Error::new(Kind::Reauthorization("no tokens are stored"))
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
