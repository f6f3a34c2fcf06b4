//! One download at a time writes to a name.
//!
//! *Problem.* Two downloads to one name would write to one part. Between processes the part's own
//! lock prevents that. Within one process a lock cannot tell a download that was dropped, and whose
//! thread is still tidying up, from one that goes on: the next download should wait for the first
//! and fail for the second.
//!
//! *Approach.* A table in memory has the holder of each path, with a flag that its drop sets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Whether the download was dropped: its thread then only tidies up.
#[derive(Clone, Debug, Default)]
pub(super) struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    pub(super) fn set(&self) {
        // Nobody waits for the flag itself: a waiter sees it when it asks again. The cost does not
        // matter, once for each download.
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

// Guards which download holds which path. Only threads of downloads lock it, for a look-up or while
// they wait on `FREED`, which unlocks it; never an async task.
static HOLDERS: Mutex<BTreeMap<PathBuf, CancelFlag>> = Mutex::new(BTreeMap::new());
// Notified when a claim is dropped.
static FREED: Condvar = Condvar::new();

fn holders() -> MutexGuard<'static, BTreeMap<PathBuf, CancelFlag>> {
    // Poisoning says nothing here: insert and remove leave the map sound.
    HOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to write a part, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim(PathBuf);

impl Claim {
    /// Waits for a holder that was dropped; none if there is one that goes on, or if this download
    /// was dropped itself: then the download after it may be done already, and must find nothing of it.
    pub(super) fn of(part: PathBuf, dropped: &CancelFlag) -> Option<Self> {
        let mut holders = holders();
        // In a loop: the condition variable wakes all that wait, for whatever path, and wakes
        // without a reason too.
        while !dropped.is_set() {
            match holders.get(&part) {
                None => {
                    holders.insert(part.clone(), dropped.clone());
                    return Some(Claim(part));
                }
                Some(holder) if holder.is_set() => {
                    let freed = FREED.wait(holders);
                    holders = freed.unwrap_or_else(PoisonError::into_inner);
                }
                // It goes on, perhaps for hours: the caller gets an error now.
                Some(_) => return None,
            }
        }
        None
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        holders().remove(&self.0);
        // All, since those that wait want different paths.
        FREED.notify_all();
    }
}
