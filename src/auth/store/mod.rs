//! Where tokens are kept, and who may refresh them.
//!
//! *Problem.* A rotating refresh token is good for one use: two processes that use it at the
//! same time lose the access for both, and so does one that forgets what it got.
//!
//! *Default.* [`MemoryTokenStore`], which forgets everything when the process ends.
//! *When to change it.* Always, but in tests: [`FileTokenStore`] for one machine, a
//! [`TokenStore`] of your own on the database that your processes share.
//!
//! # The protocol
//!
//! An entry holds tokens under a *generation*: a number that names them. At most one process
//! refreshes a generation at a time:
//!
//! 1. It loads the entry, of generation *g*, and claims *g* for the time of a lease. A process that
//!    does not get it waits a little and loads again, until there is a newer generation or the lease
//!    has ended: a holder that died must not block the others for ever.
//! 2. The holder sends the refresh token. Nobody else does while the lease holds: it is longer
//!    than the longest attempt, and it is claimed anew before the one repeat that a lost answer
//!    allows.
//! 3. It swaps *g* for the new tokens. Only then they are used.
//!
//! The swap compares generations and does not ask for the lease: new tokens that come after the
//! lease has ended are still better than the old ones, whose refresh token is used up. If it
//! finds another generation (a user signed in or paired meanwhile), that one wins and is used;
//! if it finds no entry, the access was given up meanwhile, and so are the new tokens.

#[cfg(feature = "store-tests")]
mod conformance;
mod file;
mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{TokenKey, Tokens};
use crate::error::Result;

#[cfg(feature = "store-tests")]
pub use conformance::check_token_store;
#[cfg(feature = "store-tests")]
pub(crate) use conformance::{Violation, attempt, holds};
pub use file::FileTokenStore;
pub use memory::MemoryTokenStore;

/// Keeps tokens across restarts, and grants the right to refresh them.
///
/// Implement it where tokens belong with the rest of your secrets. On a database it is one
/// table, and one statement a method:
///
/// ```sql
/// CREATE TABLE tokens (
///     key         text PRIMARY KEY,     -- TokenKey::to_string()
///     generation  bigint NOT NULL,
///     tokens      text NOT NULL,        -- Tokens::expose_json(), encrypted where you can
///     holder      text,
///     held_until  timestamptz
/// );
/// -- claim: granted if a row was changed. The database's clock decides, and no other.
/// UPDATE tokens SET holder = $holder, held_until = now() + $lease
///  WHERE key = $key AND generation = $generation
///    AND (holder IS NULL OR holder = $holder OR held_until <= now());
/// -- swap, where there is an entry: done if a row was changed.
/// UPDATE tokens SET generation = $new, tokens = $tokens, holder = NULL, held_until = NULL
///  WHERE key = $key AND generation = $expected;
/// -- swap, where there is none: done if a row was inserted.
/// INSERT INTO tokens (key, generation, tokens) VALUES ($key, $new, $tokens)
///     ON CONFLICT DO NOTHING;
/// ```
///
/// `check_token_store`, with the feature `store-tests`, says whether an implementation keeps
/// these rules. Failures are [`Error::store`](crate::Error::store).
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync {
    /// The tokens that are kept, if there are any.
    ///
    /// # Errors
    ///
    /// The store cannot be read. That is not the same as having none.
    ///
    /// # Cancel safety
    ///
    /// Must be safe to drop at any await.
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>>;

    /// Asks for the right to refresh the tokens of `generation`, for the time of `lease` from
    /// now by the store's clock.
    ///
    /// `true` if the entry is of this generation and nobody else's lease on it holds. A claim
    /// by the `holder` of the lease itself sets its time anew, and gives it back with a `lease`
    /// of zero. `holder` is a text of at most 64 characters, another one in each process.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written. A claim that fails may have been granted.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken the lease or not.
    async fn claim(
        &self,
        key: &TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> Result<bool>;

    /// Whether tokens of this key could be kept now, as far as can be known without doing it.
    /// Called before a code, a pairing or a refresh token is spent: each is good for one
    /// use. Default: they could.
    ///
    /// # Errors
    ///
    /// They could not: no permission, no room.
    ///
    /// # Cancel safety
    ///
    /// Must be safe to drop at any await.
    async fn probe(&self, key: &TokenKey) -> Result<()> {
        let _ = key;
        Ok(())
    }

    /// Keeps `tokens` in place of those of the generation `expected`, or where there are none
    /// if that is `None`. A lease on the entry ends.
    ///
    /// `true` if so: then they are durable. `false` if the entry was another one: then nothing
    /// has changed.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written. The entry is the old one or the new one, whole; the
    /// caller swaps again or loads.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has kept either the old tokens or the new ones, whole.
    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool>;

    /// Forgets tokens and the lease on them; no error if there are none.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// As [`TokenStore::swap`].
    async fn clear(&self, key: &TokenKey) -> Result<()>;
}

#[async_trait]
impl<T: TokenStore + ?Sized> TokenStore for Arc<T> {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        (**self).load(key).await
    }

    async fn claim(
        &self,
        key: &TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> Result<bool> {
        (**self).claim(key, generation, holder, lease).await
    }

    async fn probe(&self, key: &TokenKey) -> Result<()> {
        (**self).probe(key).await
    }

    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool> {
        (**self).swap(key, expected, tokens).await
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        (**self).clear(key).await
    }
}
