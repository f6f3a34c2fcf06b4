//! A user who signs in: the code becomes tokens, and tokens end.
//!
//! A code is good for one use, as is what it brings. So signing in runs as a detached task, and must
//! not spend the code before the store has said that it can keep tokens.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::Method;
use url::Url;

use super::Client;
use super::caller::Caller;
use super::raw::RawRequest;
use crate::auth::refresh::TokenSource;
use crate::auth::{AuthorizationRequest, Health, TokenKey};
use crate::endpoints::Operation;
use crate::error::{Error, Result};

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

    /// Begins to sign in: returns the page to open in a browser. Nothing is sent.
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
    /// [`Error::is_store`] if the tokens cannot be stored: before the code is sent, if the
    /// [store knows](crate::TokenStore::probe), or after that; then they are lost, sign in again.
    ///
    /// # Cancel safety
    ///
    /// Safe: an exchange that has begun goes on, and its tokens are stored. [`Login::is_signed_in`]
    /// says whether it got that far.
    pub async fn finish(&self, request: &AuthorizationRequest, redirected: &Url) -> Result<()> {
        let (login, request) = (self.clone(), request.clone());
        let redirected = redirected.clone();
        detached(&self.caller.client, async move {
            let protocol = login.caller.client.protocol();
            let named = |error: Error| error.with_operation(Operation::GetToken.title());
            // Before the code is spent, which is good for one use.
            login.tokens.probe().await.map_err(named)?;
            let tokens = protocol.exchange(&request, &redirected).await?;
            login.tokens.replace(tokens).await.map_err(named)
        })
        .await
    }

    /// Whether the software has access by this login: tokens are stored, and the service has not
    /// refused to refresh them, as far as this process has tried. [`Login::health`] says more.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn is_signed_in(&self) -> Result<bool> {
        let health = self.tokens.health().await?;
        Ok(!health.is_reauthorization_needed())
    }

    /// The state of the login's access, for a dashboard. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn health(&self) -> Result<Health> {
        self.tokens.health().await
    }

    /// Ends the login: *Revoke Token*, then the tokens are forgotten. No error if there are
    /// none, or if the service does not know them any more.
    ///
    /// # Errors
    ///
    /// The service could not be reached, or it refused; the tokens are still stored. Where another try
    /// does not help, use [`Login::forget_tokens`].
    ///
    /// # Cancel safety
    ///
    /// Safe to call again: a token that is revoked already is no error, RFC 7009.
    pub async fn revoke(&self) -> Result<()> {
        revoke(&self.caller.client, &self.tokens).await
    }

    /// Forgets the tokens, here and now: nothing is sent, and a refresh that is under way brings
    /// nothing back. For a login that the service has forgotten, or whose stored tokens are damaged;
    /// else [`Login::revoke`]. No error if there are none.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Safe: what has begun goes on.
    pub async fn forget_tokens(&self) -> Result<()> {
        forget(&self.caller.client, &self.tokens).await
    }
}

/// Runs work that must not be left half done when its caller goes away: tokens that the service
/// has issued, and that nobody has stored, are lost.
pub(super) async fn detached<T: Send + 'static>(
    client: &Client,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let task = client.protocol().detached.spawn(work);
    // An error here is a panic, or a runtime that ends: the tokens may be issued and not stored.
    task.await.map_err(Error::store)?
}

pub(super) async fn forget(client: &Client, source: &Arc<TokenSource>) -> Result<()> {
    let source = Arc::clone(source);
    detached(client, async move { source.clear().await }).await
}

pub(super) async fn revoke(client: &Client, source: &TokenSource) -> Result<()> {
    let named = |error: Error| error.with_operation(Operation::RevokeToken.title());
    // Not detached: nothing is issued, and a revocation that is dropped can be made again. The refresh
    // under way ends first, or it would bring new tokens after the old ones are revoked.
    if let Some(tokens) = source.settled().await.map_err(named)? {
        // Revoked before they are forgotten: if the service cannot be reached, another try still
        // has them.
        client.protocol().revoke(&tokens).await?;
        source.clear().await.map_err(named)?;
    }
    Ok(())
}

/// Without its name, which may be a person's or an e-mail address.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}
