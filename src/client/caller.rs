//! Who calls.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use super::Client;
use super::limits::Limits;
use crate::auth::refresh::TokenSource;
use crate::endpoints::Operation;
use crate::error::Result;
use crate::retry::RetryPolicy;

/// The caller of an operation: with whose tokens, under whose limits.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    pub(super) tokens: Option<Arc<TokenSource>>,
    pub(super) limits: Option<Arc<Limits>>,
    /// In place of the client's.
    pub(super) retry: Option<RetryPolicy>,
}

impl Caller {
    /// Finds out where an operation goes, as far as that is not known: before anything is resolved.
    ///
    /// # Errors
    ///
    /// It is not known, and Discovery cannot be asked.
    pub(super) async fn locate(&self, operation: Operation) -> Result<()> {
        if let Some(source) = &self.tokens {
            source.open().await;
        }
        self.client.protocol().discover_for(operation).await
    }

    /// Waits for a place among the operations of the account.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let clock = &self.client.protocol().wire.clock;
        match &self.limits {
            Some(limits) => limits.enter(&**clock).await,
            None => None,
        }
    }
}
