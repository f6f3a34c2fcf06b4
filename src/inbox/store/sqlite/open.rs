//! Opening a file: by which SQLite, how it is written, which tables it has.
//!
//! *Problem.* Several processes open a new file at once, and the program decides which SQLite is
//! linked.
//!
//! *Approach.* The version is checked first. The tables are made in one transaction, behind a look
//! that writes nothing. A file that two may write must never be opened with an SQLite that can
//! corrupt it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction};

use super::file::{self, SameFile, cannot};
use super::session::{SqliteSession, failed, failed_at};
use super::worker::Worker;
use super::{SqliteState, SqliteStore};
use crate::error::{Error, Kind, Result};
use crate::inbox::store::sql::{DatabaseKind, Dialect, Schema};

const SCHEMA: Schema = Schema {
    // No release had versions 1 and 2, so no step leads from them.
    version: 3,
    tables: include_str!("tables.sql"),
    steps: &[],
};

/// Two connections that write one file can corrupt it before this version, when one of them
/// resets the write-ahead log: <https://sqlite.org/wal.html#walresetbug>.
const SOUND: i32 = 3_051_003;

/// How long to wait for another process that writes.
// Longer than any transaction of ours: what takes longer is a backup or a program that hangs.
const BUSY: Duration = Duration::from_secs(30);

/// Whether other processes may write the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    Several,
    This,
}

pub(super) async fn open(path: PathBuf, writers: Writers) -> Result<SqliteStore> {
    open_as(path, writers, SCHEMA).await
}

async fn open_as(path: PathBuf, writers: Writers, schema: Schema) -> Result<SqliteStore> {
    check_version(rusqlite::version_number(), rusqlite::version(), writers)?;
    // In full: SQLite takes some relative names for something else than a file.
    let path = std::path::absolute(&path).map_err(|error| cannot("open", &path, &error))?;
    let dialect = Arc::new(Dialect::new(
        DatabaseKind::Sqlite,
        "lab_connector_".to_owned(),
    ));
    let writer = {
        let (path, dialect) = (path.clone(), Arc::clone(&dialect));
        Worker::start(move || {
            file::make(&path)?;
            let mut connection = connect(&path).map_err(|error| failed_at(&path, error))?;
            use_wal(&connection).map_err(|error| failed_at(&path, error))?;
            migrate(&mut connection, &schema, &dialect)?;
            Ok(SqliteSession::new(
                connection,
                dialect,
                SameFile::of(&path)?,
            ))
        })
    };
    // First, as it makes the file and the tables that the reader needs.
    let writer = writer.await?;
    let reader = {
        let path = path.clone();
        Worker::start(move || {
            let connection = connect(&path).map_err(|error| failed_at(&path, error))?;
            connection
                // A statement that writes by mistake fails here, instead of writing beside the one
                // writer.
                .pragma_update(None, "query_only", true)
                .map_err(failed)?;
            Ok(SqliteSession::new(
                connection,
                dialect,
                SameFile::of(&path)?,
            ))
        })
    };
    Ok(SqliteStore {
        shared: Arc::new(SqliteState {
            path,
            writer,
            reader: reader.await?,
            remembered: tokio::sync::Mutex::default(),
        }),
    })
}

fn check_version(number: i32, name: &str, writers: Writers) -> Result<()> {
    if number >= SOUND || writers == Writers::This {
        return Ok(());
    }
    Err(Error::new(Kind::Store(format!(
        "this program is built with SQLite {name}, which can corrupt a file that two processes \
         write (fixed in 3.51.3): build it with rusqlite 0.39 or later, or promise by \
         `SqliteStore::open_exclusive` that no other process writes the file"
    ))))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Each connection stays on one thread. The file is there already.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // A commit is on the disk before it is reported; what is forgotten is overwritten; 16 MB are
    // the upper levels of the indexes of a million cases.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA cache_size = -16000;",
    )?;
    Ok(connection)
}

/// Turns on the write-ahead log, for good. It needs the file for itself for a moment, and
/// SQLite does not wait for that.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())) {
            Err(rusqlite::Error::SqliteFailure(error, _))
                if error.code == ErrorCode::DatabaseBusy && begun.elapsed() < BUSY =>
            {
                // On the worker's own thread. SQLite's busy handler is not called for this one:
                // many processes that open a new file need it (test
                // `many_open_a_new_file_at_once`).
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

/// Brings the tables up to date: all of the steps or none. Another process that comes at the
/// same time waits.
fn migrate(connection: &mut Connection, schema: &Schema, dialect: &Dialect) -> Result<()> {
    // So that a file that is up to date is not written.
    if version(connection)? == Some(schema.version) {
        return Ok(());
    }
    let behavior = rusqlite::TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior);
    let transaction = transaction.map_err(failed)?;
    // Asked again, now that nobody else can write: another process may have been first.
    let found = version(&transaction)?;
    for text in schema.plan(found)? {
        run(&transaction, &dialect.schema(text))?;
    }
    let known = schema.version;
    run(
        &transaction,
        &format!(
            "CREATE TABLE IF NOT EXISTS lab_connector_schema (version INTEGER NOT NULL) STRICT;
             DELETE FROM lab_connector_schema; INSERT INTO lab_connector_schema VALUES ({known});"
        ),
    )?;
    transaction.commit().map_err(failed)
}

/// The version of the tables, if there are any.
fn version(connection: &Connection) -> Result<Option<i64>> {
    let text = "SELECT 1 FROM sqlite_schema WHERE name = 'lab_connector_schema'";
    let exists = connection.query_row(text, [], |_| Ok(())).optional();
    if exists.map_err(failed)?.is_none() {
        return Ok(None);
    }
    let text = "SELECT coalesce(max(version), 0) FROM lab_connector_schema";
    let version = connection.query_row(text, [], |row| row.get(0));
    version.map(Some).map_err(failed)
}

fn run(transaction: &Transaction<'_>, text: &str) -> Result<()> {
    transaction.execute_batch(text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::store::CaseStore;

    #[tokio::test]
    async fn a_commit_is_on_the_disk_before_it_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cases.db");
        let store = open(path, Writers::Several).await.unwrap();
        let settings = store.shared.writer.run(|session| {
            let names = [
                "journal_mode",
                "synchronous",
                "secure_delete",
                "foreign_keys",
                "busy_timeout",
            ];
            let value = |name| {
                let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
                let value = session.connection.pragma_query_value(None, name, read);
                format!("{name} {:?}", value.unwrap())
            };
            Ok(names.map(value))
        });
        assert_eq!(
            settings.await.unwrap(),
            [
                "journal_mode Text(\"wal\")",
                "synchronous Integer(2)",
                "secure_delete Integer(1)",
                "foreign_keys Integer(1)",
                "busy_timeout Integer(30000)",
            ]
        );
    }

    #[test]
    fn an_unsound_sqlite_is_refused_unless_one_process_writes() {
        assert!(check_version(SOUND, "3.51.3", Writers::Several).is_ok());
        assert!(check_version(3_046_000, "3.46.0", Writers::This).is_ok());
        let error = check_version(3_051_002, "3.51.2", Writers::Several).unwrap_err();
        let text = error.to_string();
        assert!(error.is_store() && text.contains("3.51.2") && text.contains("rusqlite 0.39"));
    }

    #[tokio::test]
    async fn tables_are_brought_to_a_newer_version_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cases.db");
        let store = open(path.clone(), Writers::Several).await.unwrap();
        let id = "L-1".into();
        let now = std::time::SystemTime::now();
        store.poll_right(&id, "a", BUSY, now).await.unwrap();
        drop(store);
        let step = "ALTER TABLE @accounts ADD COLUMN made_up TEXT NOT NULL DEFAULT 'yes'";
        let newer = Schema {
            version: SCHEMA.version + 1,
            steps: Box::leak(Box::new([(SCHEMA.version, step)])),
            ..SCHEMA
        };
        for _ in 0..2 {
            let store = open_as(path.clone(), Writers::Several, newer)
                .await
                .unwrap();
            let made_up = store.shared.writer.run(|session| {
                let text = "SELECT made_up FROM lab_connector_accounts";
                let made_up = session
                    .connection
                    .query_row(text, [], |row| row.get::<_, String>(0));
                made_up.map_err(failed)
            });
            assert_eq!(made_up.await.unwrap(), "yes");
            store.counts(&id, now).await.unwrap();
        }
        let error = open(path, Writers::Several).await.unwrap_err();
        assert!(error.to_string().contains("made by a newer"), "{error}");
    }
}
