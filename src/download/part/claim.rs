//! One download at a time writes to a name. Between processes the part's own lock says so; within
//! one it is said here, where a download that was dropped can be told from one that goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Whether the download was dropped: its thread then only tidies up.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped(Arc<AtomicBool>);

impl Dropped {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

static HOLDERS: Mutex<BTreeMap<PathBuf, Dropped>> = Mutex::new(BTreeMap::new());
static FREED: Condvar = Condvar::new();

fn holders() -> MutexGuard<'static, BTreeMap<PathBuf, Dropped>> {
    HOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to write a part, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim(PathBuf);

impl Claim {
    /// Waits for a holder that was dropped; none if there is one that goes on, or if this download
    /// was dropped itself: then whoever comes after it may be done already, and finds nothing of it.
    pub(super) fn of(part: PathBuf, dropped: &Dropped) -> Option<Self> {
        let mut holders = holders();
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
                Some(_) => return None,
            }
        }
        None
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        holders().remove(&self.0);
        FREED.notify_all();
    }
}
