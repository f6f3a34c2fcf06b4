//! Work that goes on when its caller goes away: what the service has issued must be stored.
//!
//! *Problem.* A caller may drop its future at any await. Where refresh tokens are good for one use,
//! a refresh whose answer is dropped with its caller loses the access.
//!
//! *Approach.* The work runs as a task of the runtime, in a table that `Client::close` waits for.
//! The table's lock must not be held across an await.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The tasks of a client that must not be left half done: refreshes, sign-ins, pairings.
#[derive(Clone, Debug, Default)]
pub(crate) struct DetachedTasks(Arc<Mutex<Tasks>>);

#[derive(Debug, Default)]
struct Tasks {
    begun: u64,
    /// Each is closed when its task has ended, also with its runtime.
    under_way: HashMap<u64, watch::Receiver<()>>,
}

impl DetachedTasks {
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (open, closed) = watch::channel(());
        // Entered before the task starts: an `ended` that is called right after this must wait for
        // it.
        let mut tasks = self.tasks();
        tasks.begun += 1;
        let number = tasks.begun;
        tasks.under_way.insert(number, closed);
        drop(tasks);
        // The entry belongs to the future, polled or not: a runtime that drops the task before its
        // first poll removes it as well.
        let task = Task {
            number,
            all: self.clone(),
            _open: open,
        };
        tokio::spawn(async move {
            let _task = task;
            work.await
        })
    }

    /// Waits for those that are under way now, and for none that begins later: an application that
    /// goes on calling would never end.
    pub(crate) async fn ended(&self) {
        // Cloned out of the lock, which is not held while this waits.
        let under_way: Vec<_> = self.tasks().under_way.values().cloned().collect();
        for mut task in under_way {
            // Nothing is ever sent: an error is the end.
            let _ = task.changed().await;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        // A panic leaves no entry half written, so poisoning says nothing here. A task that panicked
        // must still be removed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task under way.
struct Task {
    number: u64,
    all: DetachedTasks,
    // Dropped with the task, which ends the receivers in the table.
    _open: watch::Sender<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.all.tasks().under_way.remove(&self.number);
    }
}
