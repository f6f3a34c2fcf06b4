//! Where tokens are kept.

mod file;
mod memory;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{TokenKey, Tokens};
use crate::error::Result;

pub use file::FileTokenStore;
pub use memory::MemoryTokenStore;

/// Keeps tokens across restarts.
///
/// *Default.* [`MemoryTokenStore`], which forgets them when the process ends.
/// [`FileTokenStore`] keeps them in files. Implement it on your own database where tokens
/// belong with the rest of your secrets; [`Tokens::expose_json`] is the form to keep, encrypted
/// where you can. Failures are [`Error::store`](crate::Error::store).
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

    /// Keeps tokens in place of those that were kept. They are durable when this returns.
    ///
    /// # Errors
    ///
    /// The store cannot be written; what was kept before is still kept.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has kept either the old tokens or the new ones, whole.
    async fn save(&self, key: &TokenKey, tokens: &Tokens) -> Result<()>;

    /// Forgets tokens; no error if there are none.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// As [`TokenStore::save`].
    async fn clear(&self, key: &TokenKey) -> Result<()>;
}

/// A store that several clients share, or that the software looks into as well.
#[async_trait]
impl<S: TokenStore + ?Sized> TokenStore for Arc<S> {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        (**self).load(key).await
    }

    async fn save(&self, key: &TokenKey, tokens: &Tokens) -> Result<()> {
        (**self).save(key, tokens).await
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        (**self).clear(key).await
    }
}
