//! Accounts: which labs a login may act for, and binding the software to one.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde_json::{Value, json};

use super::{Call, Lab, Login, login};
use crate::auth::Tokens;
use crate::endpoints::Operation;
use crate::error::Result;
use crate::model::{Account, AccountId};

impl Login {
    /// *Get Accounts*: the labs that this login may be paired with. Asks *Discovery* first, as
    /// documented; if that fails, the endpoints known so far are used.
    ///
    /// # Errors
    ///
    /// [`Error::is_reauthorization_needed`] if the login has not signed in, or not for too
    /// long. [`Error::is_decode`] if an account cannot be read, or if pages are missing.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn accounts(&self) -> Result<Vec<Account>> {
        if let Err(error) = self.client.discover().await {
            // Older integrations have no Discovery. If nothing can be reached, the next call
            // says so.
            #[cfg(feature = "tracing")]
            tracing::debug!(%error, "discovery failed");
            let _ = error;
        }
        let call = Call::new(Operation::GetAccounts, &self.tokens);
        let pages = self
            .client
            .pages(call, |account: &Account| account.id().as_str());
        let pages = pages.await?;
        let unreadable = pages.unreadable.into_iter().map(|(_, error)| error);
        // Who chooses among accounts must see all of them.
        match pages.problem.into_iter().chain(unreadable).next() {
            None => Ok(pages.good),
            Some(error) => Err(error),
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
#[derive(Debug)]
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
    async fn send(self) -> Result<Lab> {
        let Pairing {
            login,
            account,
            mut fields,
        } = self;
        fields
            .entry("accountId")
            .or_insert_with(|| json!(account.as_str()));
        let lab = login.client.account(account);
        let mut call =
            Call::new(Operation::Pair, &login.tokens).with("account_id", lab.id.as_str());
        call.body = Some(Value::Object(fields));
        let answer = login.client.send(call).await?;
        let tokens = answer.decode("there is no `access_token` in it")?;
        let now = login.client.protocol().wire.clock.now();
        lab.tokens
            .replace(Tokens::from_answer(tokens, now, None))
            .await?;
        Ok(lab)
    }
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
    /// Not safe: dropped before it returns, the service may have paired the account. Pair
    /// again.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Lab {
    /// Whether tokens are stored for this account; they may be expired or revoked.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn is_paired(&self) -> Result<bool> {
        Ok(self.tokens.stored().await?.is_some())
    }

    /// *Un Pair*: ends the pairing, then the account's tokens are forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::is_reauthorization_needed`] if no tokens are stored. On any other error the
    /// tokens are still stored.
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped before it returns, the service may have ended the pairing while the
    /// tokens are still stored.
    pub async fn unpair(&self) -> Result<()> {
        if self.tokens.stored().await?.is_none() {
            return Err(login::not_signed_in().with_operation(Operation::Unpair.title()));
        }
        let call = Call::new(Operation::Unpair, &self.tokens).with("account_id", self.id.as_str());
        self.client.send(call).await?;
        self.tokens.clear().await
    }

    /// *Revoke Token* for the account's tokens, which are then forgotten. No error if there
    /// are none.
    ///
    /// # Errors
    ///
    /// The service could not be reached or refused; the tokens are still stored.
    ///
    /// # Cancel safety
    ///
    /// Safe to call again.
    pub async fn revoke(&self) -> Result<()> {
        login::revoke(&self.client, &self.tokens).await
    }
}
