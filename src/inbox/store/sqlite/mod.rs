//! Cases and tokens in one file, by SQLite.
//!
//! *Problem.* SQLite blocks, has one writer at a time, and an open transaction locks the file for
//! every process.
//!
//! *Approach.* Two threads of the store's own, one of which writes. Work that has begun is done to
//! its end there, whoever still waits. No call must run SQLite on the caller's thread.

mod file;
mod living;
mod open;
mod session;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use self::open::Writers;
use self::session::{SqliteSession, failed};
use self::worker::Worker;
use super::sql::{Access, OperationFuture, ProcessCache};
use crate::error::Result;
use crate::flow::millis;

/// Keeps cases, and tokens if you like, in one file: for one machine.
///
/// It is a [`CaseStore`](super::CaseStore) and a [`TokenStore`](crate::TokenStore); clones share
/// what they have open. What a call has kept survives a crash of the process, of the system and of
/// the power: the file is in WAL mode with `synchronous = FULL`. Other processes of the machine can
/// work on the same file. Use a local disk: network file systems break SQLite's locks. Leases go by
/// the machine's clock.
///
/// A call that has begun is carried out to its end also where its future is dropped: SQLite runs on
/// two threads of the store's own, one of which writes.
///
/// Beside the file lie more while it is open (`-wal`, `-shm`, and `-process-…` for each process): copy a
/// file that is in use with SQLite's own `VACUUM INTO` or backup, not with `cp`. There are patient data and secrets
/// in it: on Unix it is made for its user alone, and one that others can read is refused. One that
/// is deleted or replaced while it is open is noticed, and every call fails from then on.
///
/// Its tables and views have names that begin with `lab_connector_`; see
/// [the module](super#what-others-can-ask-a-database) for those that are made to be asked by
/// others.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lab_connector::inbox::store::SqliteStore;
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("cases.db");
///
/// let store = SqliteStore::open(path).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<SqliteState>,
}

struct SqliteState {
    path: PathBuf,
    /// SQLite has one writer at a time: so one connection, and who wants it waits in a queue
    /// and not in a loop.
    writer: Worker,
    /// Reads go on beside a write.
    reader: Worker,
    remembered: tokio::sync::Mutex<ProcessCache>,
}

impl SqliteStore {
    /// Opens a file, which is made if there is none. Tables of an older version are brought up
    /// to date. The same file may be open more than once, also in one process.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`](crate::Error::is_store) if it cannot be opened, if it is no database,
    /// if others can read it (on Unix), if its tables are of a version that this one does not
    /// know, or if this program is linked with an SQLite before 3.51.3: then two processes that
    /// write one file can corrupt it.
    ///
    /// # Cancel safety
    ///
    /// Safe: its tables are up to date or as they were.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        open::open(path.into(), Writers::Several).await
    }

    /// The same, with any version of SQLite: you promise that no other process writes the file
    /// while it is open.
    ///
    /// # Errors
    ///
    /// As [`SqliteStore::open`], but for the version.
    ///
    /// # Cancel safety
    ///
    /// As [`SqliteStore::open`].
    pub async fn open_exclusive(path: impl Into<PathBuf>) -> Result<Self> {
        open::open(path.into(), Writers::This).await
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        access: Access,
        now: Option<SystemTime>,
        operation: impl for<'s> FnOnce(&'s mut SqliteSession) -> OperationFuture<'s, T> + Send + 'static,
    ) -> Result<T> {
        let worker = match access {
            Access::Read => &self.shared.reader,
            Access::Write => &self.shared.writer,
        };
        // Tokens come without a time: their leases go by the machine's clock.
        let now = millis::since_epoch(now.unwrap_or_else(SystemTime::now));
        worker
            .run(move |session| session.transact(access, now, operation))
            .await
    }

    // As the store on PostgreSQL has it.
    #[expect(clippy::unused_async)]
    pub(super) async fn clock(&self, callers: SystemTime) -> Result<SystemTime> {
        Ok(callers)
    }

    pub(super) fn remembered(&self) -> &tokio::sync::Mutex<ProcessCache> {
        &self.shared.remembered
    }

    #[expect(clippy::unused_self)]
    pub(super) fn elapsed(&self, callers: SystemTime) -> i64 {
        millis::since_epoch(callers)
    }

    pub(super) fn announce(&self, process: &str) -> Vec<String> {
        living::announce(&self.shared.path, process)
    }

    pub(super) fn is_dead(&self, process: &str) -> bool {
        living::is_dead(&self.shared.path, process)
    }

    /// Until then the data are in the write-ahead log. A reader may keep them there a little
    /// longer.
    pub(super) async fn forgot(&self) -> Result<()> {
        let truncate = |session: &mut SqliteSession| {
            let text = "PRAGMA wal_checkpoint(TRUNCATE)";
            let done = session.connection.query_row(text, [], |_| Ok(()));
            done.map_err(failed)
        };
        self.shared.writer.run(truncate).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}
