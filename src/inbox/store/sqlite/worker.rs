//! A connection on a thread of its own.
//!
//! *Problem.* SQLite blocks, and async callers go away in the middle.
//!
//! *Approach.* A queue of closures. The thread runs each to its end and answers into a channel,
//! whether or not anybody listens. A closure must never be dropped half-way through.

use std::sync::mpsc;

use tokio::sync::oneshot;

use super::session::SqliteSession;
use crate::error::{Error, Kind, Result};

/// Hands work to the thread that has a connection. The thread ends when the last one is dropped
/// and all work is done.
///
/// Work that has begun is done to its end, whether or not somebody waits for it: a future that is
/// dropped leaves nothing in the middle.
#[derive(Clone)]
pub(super) struct Worker {
    work: mpsc::Sender<Work>,
}

type Work = Box<dyn FnOnce(&mut SqliteSession) + Send>;

impl Worker {
    /// Opens a connection on a new thread. Waits for it.
    pub(super) async fn start(
        open: impl FnOnce() -> Result<SqliteSession> + Send + 'static,
    ) -> Result<Self> {
        // Without a bound: each caller waits for its answer, so no more lies here than there are
        // callers.
        let (work, to_do) = mpsc::channel::<Work>();
        let (opened, is_open) = oneshot::channel();
        let thread = move || {
            let mut session = match open() {
                Ok(session) => session,
                Err(error) => return drop(opened.send(Err(error))),
            };
            // Nobody waits any more: the end of the work, which is not kept, ends the thread.
            drop(opened.send(Ok(())));
            for work in to_do {
                work(&mut session);
            }
        };
        let name = "lab-connector-sqlite".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(thread);
        thread.map_err(Error::store)?;
        is_open.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Worker { work })
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteSession) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |session| {
            // A caller that went away before its work has begun must not keep others waiting.
            if !answer.is_closed() {
                drop(answer.send(work(session)));
            }
        });
        self.work.send(work).map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Error {
    Error::new(Kind::Store("the thread of the store has ended".into()))
}
