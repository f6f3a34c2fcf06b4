//! The caller of an operation: a login, an account, or the client without either.
//!
//! It says with whose tokens a request goes and whose limits it counts against. What is shared by all
//! handles of a key is behind one `Arc`, so that cloning a handle cannot multiply its limits.

use std::sync::Arc;

use tokio::sync::SemaphorePermit;

use super::Client;
use super::shared::SharedState;
use crate::auth::refresh::TokenSource;
use crate::endpoints::Operation;
use crate::error::Result;
use crate::retry::{Budget, RetryPolicy};

/// The caller of an operation: with whose tokens, under whose limits.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
    /// Of a login or an account.
    pub(super) shared: Option<Arc<SharedState>>,
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
        if let Some(source) = self.tokens() {
            // First: the last answer of Discovery is kept with the tokens, and may spare a request.
            source.open().await;
        }
        self.client.protocol().discover_for(operation).await
    }

    /// Waits for a place among the operations of the account.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let clock = &self.client.protocol().wire.clock;
        match &self.shared {
            Some(shared) => shared.limits.enter(&**clock).await,
            // Calls without a token are few, Discovery above all, and no lab's share is at stake.
            None => None,
        }
    }

    pub(super) fn tokens(&self) -> Option<&Arc<TokenSource>> {
        self.shared.as_ref().map(|shared| &shared.tokens)
    }

    /// What repeats of its calls may cost.
    pub(super) fn calls(&self) -> &Budget {
        match &self.shared {
            Some(shared) => &shared.calls,
            None => &self.client.inner.budget,
        }
    }

    /// What repeats of its downloads may cost: apart from those of calls, so that files which fail do not
    /// use up the repeats of a poll (`files_and_calls_do_not_hold_each_other_up`).
    pub(super) fn files(&self) -> &Budget {
        match &self.shared {
            Some(shared) => &shared.files,
            None => &self.client.inner.budget,
        }
    }
}
