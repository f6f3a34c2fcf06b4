//! Tokens in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{TokenKey, TokenStore, Tokens};
use crate::error::Result;

/// Keeps tokens until the process ends: for tests and trials. A lab would have to sign in again
/// after every restart.
#[derive(Debug, Default)]
pub struct MemoryTokenStore(Mutex<HashMap<TokenKey, Tokens>>);

impl MemoryTokenStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<TokenKey, Tokens>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for MemoryTokenStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        Ok(self.map().get(key).cloned())
    }

    async fn save(&self, key: &TokenKey, tokens: &Tokens) -> Result<()> {
        self.map().insert(key.clone(), tokens.clone());
        Ok(())
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        self.map().remove(key);
        Ok(())
    }
}
