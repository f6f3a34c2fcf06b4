//! Counts what is asked of a store.

use std::sync::atomic::{AtomicU64, Ordering};

use lab_connector::Result;

#[path = "../../tests/it/inbox/hooked_store.rs"]
mod hooked_store;

pub use hooked_store::HookedStore;
use hooked_store::{Call, Hook};

#[derive(Debug, Default)]
pub struct Counting {
    pub reads: AtomicU64,
    pub writes: AtomicU64,
}

impl Hook for Counting {
    fn before(&self, call: Call) -> Result<()> {
        let count = match call {
            Call::Read => &self.reads,
            Call::Commit | Call::Write => &self.writes,
        };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
