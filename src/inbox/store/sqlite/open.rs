//! Opening a file: who may read it, how it is written, which tables it has.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use super::{Own, Shared, SqliteStore};
use crate::error::{Error, Kind, Result};
use crate::inbox::store::sql::{self, Statements, failed};

/// What brings the tables from each version to the next. Released ones are never changed.
const MIGRATIONS: [&str; 1] = [include_str!("1.sql")];

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(30);

/// Reads can go on beside each other and beside a write.
const READERS: u32 = 4;

pub(super) async fn open(path: PathBuf) -> Result<SqliteStore> {
    // In full: SQLite takes some relative names for something else than a file.
    let path = std::path::absolute(&path).map_err(|error| cannot("open", &path, &error))?;
    let made = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || make(&path)).await
    };
    made.map_err(Error::store)??;

    let options = SqliteConnectOptions::new()
        .filename(&path)
        .busy_timeout(BUSY)
        .foreign_keys(false)
        .synchronous(SqliteSynchronous::Full)
        // 16 MB: the upper levels of the indexes of a million cases.
        .pragma("cache_size", "-16000")
        // What is forgotten is overwritten.
        .pragma("secure_delete", "ON")
        .row_buffer_size(1000)
        .disable_statement_logging();
    let writer = pool(1).connect_lazy_with(options.clone());
    let ready = async {
        let mut connection = writer.acquire().await?;
        use_wal(&mut connection).await?;
        Ok(connection)
    };
    let mut connection = ready.await.map_err(|error| broken(&path, error))?;
    migrate(&mut connection).await?;
    drop(connection);
    let readers = pool(READERS).connect_lazy_with(options.read_only(true));
    Ok(SqliteStore {
        shared: Arc::new(Shared {
            path,
            writer,
            readers,
            // The time is always passed in, and no clock of its own ever counts.
            sql: Statements::new("lab_connector_", "0"),
            own: Own::new("lab_connector_", "0"),
        }),
    })
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        // A connection to a file does not break by itself.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(2 * BUSY)
}

/// Makes the file if there is none; SQLite makes those beside it as readable as it is.
fn make(path: &Path) -> Result<()> {
    // Closing a file gives up all locks that the process has on it, also those that SQLite took
    // by another handle. So it is opened only to make it, and by one thread at a time: until it
    // is closed no other of this process comes to open it with SQLite.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => {
            let synced = crate::durable::sync_name(path);
            return synced.map_err(|error| cannot("make", path, &error));
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot("make", path, &error)),
    }
    refuse_if_readable(path)
}

#[cfg(unix)]
fn refuse_if_readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let about = std::fs::metadata(path).map_err(|error| cannot("open", path, &error))?;
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let name = path.display();
    Err(Error::new(Kind::Store(format!(
        "{name} is open to other users (mode {mode:o}); make it 600"
    ))))
}

#[cfg(not(unix))]
fn refuse_if_readable(_: &Path) -> Result<()> {
    Ok(())
}

/// Turns on the write-ahead log, for good. It needs the file for itself for a moment, and
/// SQLite does not wait for that.
async fn use_wal(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let begun = Instant::now();
    loop {
        let mode = sqlx::query("PRAGMA journal_mode = WAL")
            .fetch_one(&mut *connection)
            .await
            .and_then(|row| row.try_get::<String, _>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(sqlx::Error::Protocol(format!("no WAL mode but {mode}"))),
            Err(sqlx::Error::Database(error)) if is_busy(&*error) && begun.elapsed() < BUSY => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// `SQLITE_BUSY` and its kin.
fn is_busy(error: &dyn sqlx::error::DatabaseError) -> bool {
    let code = error.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| code & 0xff == 5)
}

/// Brings the tables up to date: all of the steps or none. Who comes at the same time waits.
async fn migrate(connection: &mut SqliteConnection) -> Result<()> {
    let known = sql::limit(MIGRATIONS.len());
    // So that a file that is up to date is not written.
    if version(connection).await? == Some(known) {
        return Ok(());
    }
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = begun.map_err(failed)?;
    let found = version(&mut transaction).await?;
    if let Some(found) = found.filter(|found| *found > known) {
        return Err(sql::too_new(found, known));
    }
    if found.is_none() {
        let table = "CREATE TABLE lab_connector_schema (version INTEGER NOT NULL) STRICT";
        run(&mut transaction, table).await?;
    }
    let done = usize::try_from(found.unwrap_or_default()).unwrap_or_default();
    for migration in MIGRATIONS.iter().skip(done) {
        run(&mut transaction, migration).await?;
    }
    let text = format!(
        "DELETE FROM lab_connector_schema; INSERT INTO lab_connector_schema VALUES ({known})"
    );
    run(&mut transaction, &text).await?;
    transaction.commit().await.map_err(failed)
}

/// The version of the tables, if there are any.
async fn version(connection: &mut SqliteConnection) -> Result<Option<i64>> {
    let text = "SELECT 1 FROM sqlite_master WHERE name = 'lab_connector_schema'";
    let exists = sqlx::query(text).fetch_optional(&mut *connection).await;
    if exists.map_err(failed)?.is_none() {
        return Ok(None);
    }
    let text = "SELECT coalesce(max(version), 0) FROM lab_connector_schema";
    let row = sqlx::query(text).fetch_one(connection).await;
    row.and_then(|row| row.try_get(0)).map(Some).map_err(failed)
}

/// Statements without values.
async fn run(connection: &mut SqliteConnection, text: &str) -> Result<()> {
    let done = connection.execute(text).await;
    done.map(drop).map_err(failed)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let name = path.display();
    Error::new(Kind::Store(format!("cannot {what} {name}: {error}")))
}

fn broken(path: &Path, error: sqlx::Error) -> Error {
    let (name, error) = (path.display(), failed(error));
    Error::new(Kind::Store(format!("cannot open {name}"))).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_is_on_the_disk_before_it_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path().join("cases.db")).await.unwrap();
        for (setting, value) in [
            ("journal_mode", "wal"),
            ("synchronous", "2"),
            ("secure_delete", "1"),
            ("busy_timeout", "30000"),
        ] {
            let text = format!("SELECT CAST({setting} AS TEXT) FROM pragma_{setting}");
            let text = text.replace("busy_timeout AS", "timeout AS");
            let row = sqlx::query(&text).fetch_one(&store.shared.writer).await;
            let found: String = row.unwrap().get(0);
            assert_eq!(found, value, "{setting}");
        }
    }
}
