//! Tokens in memory.
//!
//! The rules are those of every store; a mutex stands for the transaction. It must not be used where a
//! lab works: after each restart a person would have to sign in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{TokenKey, TokenStore, Tokens};
use crate::error::Result;

/// Keeps tokens until the process ends: for tests and trials. A lab would have to sign in again
/// after every restart.
///
/// Clients of one process can share one, in an [`Arc`](std::sync::Arc).
#[derive(Debug, Default)]
pub struct MemoryTokenStore(Mutex<HashMap<TokenKey, Entry>>);

#[derive(Debug)]
struct Entry {
    tokens: Tokens,
    lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    holder: String,
    since: Instant,
    time: Duration,
}

impl MemoryTokenStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<TokenKey, Entry>> {
        // Entries are replaced whole, so a panic breaks none. No method awaits while it holds the
        // lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for MemoryTokenStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        Ok(self.map().get(key).map(|entry| entry.tokens.clone()))
    }

    async fn claim(
        &self,
        key: &TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> Result<bool> {
        let mut map = self.map();
        let Some(entry) = map.get_mut(key) else {
            return Ok(false);
        };
        let held = entry
            .lease
            .as_ref()
            // By `Instant`: one process needs no clock that others share, nor one that people set.
            .is_some_and(|lease| lease.holder != holder && lease.since.elapsed() < lease.time);
        if held || entry.tokens.generation != generation {
            return Ok(false);
        }
        entry.lease = Some(Lease {
            holder: holder.to_owned(),
            since: Instant::now(),
            time: lease,
        });
        Ok(true)
    }

    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool> {
        // One lock over the comparison and the change: that makes the swap atomic.
        let mut map = self.map();
        if map.get(key).map(|entry| entry.tokens.generation) != expected {
            return Ok(false);
        }
        let entry = Entry {
            tokens: tokens.clone(),
            lease: None,
        };
        map.insert(key.clone(), entry);
        Ok(true)
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        self.map().remove(key);
        Ok(())
    }
}
