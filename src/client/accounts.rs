//! Accounts: which labs a login may act for, and binding the software to one.
//!
//! *Problem.* The answer to a pairing brings tokens once. Lost between the answer and the store, they
//! cost the lab its access, and a person has to pair again.
//!
//! *Approach.* The store is asked first whether it could keep them; then the work runs as a detached
//! task. A pairing must not be sent twice where the first may have arrived, and stored tokens must not
//! be forgotten before the service has ended the pairing.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde_json::{Value, json};

use super::orders::Unreadable;
use super::pipeline::Call;
use super::{Lab, Login, login};
use crate::auth::{Health, TokenKey, Tokens};
use crate::endpoints::Operation;
use crate::error::{Error, Result};
use crate::model::{Account, AccountId};

impl Login {
    /// *Get Accounts*: the labs that this login may be paired with. Asks *Discovery* first, as
    /// documented; if that fails, the endpoints known so far are used.
    ///
    /// # Errors
    ///
    /// [`Error::is_reauthorization_needed`] if nobody has signed in by this login, or too long ago.
    /// [`Error::is_decode`] if an account cannot be read, or if pages are missing.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        if let Err(error) = self.caller.client.discover().await {
            // Older integrations have no Discovery. If nothing can be reached, the next call
            // says so.
            #[cfg(feature = "tracing")]
            tracing::debug!(%error, "discovery failed");
            // Only the event above reads it.
            let _ = error;
        }
        let call = Call::new(Operation::GetAccounts);
        let pages = self
            .caller
            .pages(call, |account: &Account| account.id().as_str());
        let (accounts, gaps) = pages.await?;
        let unreadable = gaps.unreadable.first().map(Unreadable::error);
        // A caller that chooses among accounts must see all of them: unlike a listing of orders, one
        // with a gap is an error (`an_unreadable_account_is_an_error_that_names_its_place`).
        match gaps.problem.as_ref().or(unreadable) {
            None => Ok(accounts),
            Some(error) => Err(error.clone()),
        }
    }

    /// *Pair*: binds the software to an account. Await the result.
    pub fn pair(&self, account: impl Into<AccountId>) -> Pairing<'_> {
        Pairing {
            login: self,
            account: account.into(),
            fields: serde_json::Map::new(),
        }
    }
}

/// A pairing about to be made. Await it.
#[must_use = "a pairing is made when it is awaited"]
pub struct Pairing<'a> {
    login: &'a Login,
    account: AccountId,
    fields: serde_json::Map<String, Value>,
}

impl Pairing<'_> {
    /// Where the service is to post its notifications for this account. Default: nowhere.
    ///
    /// Documented is that the pairing request may carry it; its key, `notificationUrl`, is a
    /// convention of this crate. Use [`Pairing::field`] for another.
    pub fn notification_url(self, url: impl Into<String>) -> Self {
        self.field("notificationUrl", url.into())
    }

    /// A further field of the request's JSON body.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Sent once, and again only if it certainly was not sent: pairing has an effect.
    ///
    /// Detached: the answer brings tokens, which must be stored.
    async fn send(self) -> Result<Lab> {
        let Pairing {
            login,
            account,
            fields,
        } = self;
        let client = &login.caller.client;
        login::detached(client, pair(login.clone(), account, fields)).await
    }
}

/// What the body says may be secret, such as a key in the notification URL.
impl fmt::Debug for Pairing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairing")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

async fn pair(
    login: Login,
    account: AccountId,
    mut fields: serde_json::Map<String, Value>,
) -> Result<Lab> {
    fields
        // A field that the caller has set wins.
        .entry("accountId")
        .or_insert_with(|| json!(account.as_str()));
    let lab = login.caller.client.account(account);
    let call = Call::new(Operation::Pair)
        .with("account_id", lab.id.as_str())
        .json(Value::Object(fields));
    let named = |error: Error| error.with_operation(Operation::Pair.title());
    // Before the request: without a store the tokens of the new pairing would be lost
    // (`nothing_is_spent_whose_tokens_could_not_be_kept`).
    lab.tokens.probe().await.map_err(named)?;
    let answer = login.caller.send(call).await?;
    // Its form is not documented: keys are read in any spelling (`pairing_reads_tokens_in_any_spelling`).
    let tokens = answer.decode("there is no `access_token` in it")?;
    let now = login.caller.client.protocol().wire.clock.now();
    // No tokens from before: a pairing is not a refresh, and keeps nothing of the old ones.
    let tokens = Tokens::from_answer(tokens, now, None);
    let stored = lab.tokens.replace(tokens).await;
    stored.map_err(named)?;
    Ok(lab)
}

impl<'a> IntoFuture for Pairing<'a> {
    type Output = Result<Lab>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Lab>> + Send + 'a>>;

    /// Pairs, and stores the account's own tokens, which the answer brings.
    ///
    /// # Errors
    ///
    /// [`Error::is_conflict`] if the account is paired otherwise; [`Error::is_store`] if the
    /// new tokens cannot be stored: they are lost, pair again.
    ///
    /// # Cancel safety
    ///
    /// Safe: a pairing that has begun goes on, and its tokens are stored. [`Lab::is_paired`] says
    /// whether it got that far.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Lab {
    /// Whether the software has access to this account: tokens are stored, and the service has not
    /// refused to refresh them, as far as this process has tried. [`Lab::health`] says more.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn is_paired(&self) -> Result<bool> {
        let health = self.tokens.health().await?;
        Ok(!health.is_reauthorization_needed())
    }

    /// The state of the account's access, for a dashboard. Nothing is sent.
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

    /// Makes sure that there is a good access token, as each call does by itself: a refresh is
    /// made if one is due.
    ///
    /// For a timer, where the software may not call anything for days: how long a refresh
    /// token stays good when it is not used is not documented. Nothing is sent while the token
    /// is fresh.
    ///
    /// # Errors
    ///
    /// [`Error::is_reauthorization_needed`] if a person must sign in.
    /// [`Error::is_refresh_failed`] if it is to be tried later;
    /// [`Error::retry_after`] says when.
    ///
    /// # Cancel safety
    ///
    /// Safe: a refresh that has begun goes on.
    pub async fn keep_access(&self) -> Result<()> {
        self.tokens.tokens().await.map(drop)
    }

    /// *Un Pair*: ends the pairing, then the account's tokens are forgotten. If the service takes
    /// neither the access token nor the refresh token any more, the pairing is over already: the
    /// tokens are forgotten, and that is not an error.
    ///
    /// # Errors
    ///
    /// [`Error::is_reauthorization_needed`] if no tokens are stored, or if the access token has
    /// expired and there is no refresh token. On any error the tokens are still stored;
    /// [`Lab::forget_tokens`] is the way out where that is of no use.
    ///
    /// # Cancel safety
    ///
    /// Safe: what has begun goes on.
    pub async fn unpair(&self) -> Result<()> {
        let lab = self.clone();
        login::detached(&self.caller.client, async move {
            let named = |error: Error| error.with_operation(Operation::Unpair.title());
            // The refresh under way ends first, so that the call goes with the tokens that it
            // stores.
            if lab.tokens.settled().await.map_err(named)?.is_none() {
                return Err(named(TokenKey::Account(lab.id.clone()).has_none()));
            }
            let call = Call::new(Operation::Unpair).with("account_id", lab.id.as_str());
            match lab.caller.send(call).await {
                // `Some(true)`: the service itself refused the refresh token. An access token that has
                // expired without one was asked of nobody, and the pairing may well stand
                // (`a_pairing_that_nobody_can_end_is_not_taken_for_ended`).
                Err(error)
                    if error.is_reauthorization_needed() && error.was_sent() == Some(true) => {}
                Err(error) => return Err(error),
                // A success may say in its body that nothing was done.
                Ok(answer) => answer.done()?,
            }
            // Last: after any error above, the tokens are still there for another try.
            lab.tokens.clear().await.map_err(named)
        })
        .await
    }

    /// Forgets the account's tokens, here and now: nothing is sent, and a refresh that is under way
    /// brings nothing back. For a lab that the service has forgotten, or whose stored tokens are
    /// damaged; else [`Lab::unpair`] or [`Lab::revoke`]. Its cases stay. No error if there are none.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Safe: what has begun goes on.
    pub async fn forget_tokens(&self) -> Result<()> {
        login::forget(&self.caller.client, &self.tokens).await
    }

    /// *Revoke Token* for the account's tokens, which are then forgotten. No error if there
    /// are none, or if the service does not know them any more.
    ///
    /// # Errors
    ///
    /// The service could not be reached, or it refused; the tokens are still stored. Where another try
    /// does not help, use [`Lab::forget_tokens`].
    ///
    /// # Cancel safety
    ///
    /// Safe to call again.
    pub async fn revoke(&self) -> Result<()> {
        login::revoke(&self.caller.client, &self.tokens).await
    }
}
