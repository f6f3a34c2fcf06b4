//! A transaction on SQLite. Nothing in here ever waits but by blocking the thread.
//!
//! *Problem.* An operation is written once for both databases, as `async`. SQLite blocks, and a
//! transaction that is left open locks the file for every process.
//!
//! *Approach.* The operation is polled once, on the thread that has the connection, where it is
//! always ready. Whatever it does, the transaction has ended when `transact` returns.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ToSql};

use super::file::SameFile;
use crate::error::{Error, Kind, Result};
use crate::inbox::store::sql::{
    self, Access, Batch, Dialect, OperationFuture, Row, Session, Value,
};

pub(in crate::inbox::store) struct SqliteSession {
    pub(super) connection: Connection,
    pub(super) dialect: Arc<Dialect>,
    pub(super) file: SameFile,
    now: i64,
    abandoned: bool,
}

impl SqliteSession {
    pub(super) fn new(connection: Connection, dialect: Arc<Dialect>, file: SameFile) -> Self {
        // As many as there are statements, so that none is compiled twice.
        connection.set_prepared_statement_cache_capacity(64);
        SqliteSession {
            connection,
            dialect,
            file,
            now: 0,
            abandoned: false,
        }
    }

    /// Runs an operation from begin to commit.
    pub(super) fn transact<T>(
        &mut self,
        access: Access,
        now: i64,
        operation: impl for<'s> FnOnce(&'s mut Self) -> OperationFuture<'s, T>,
    ) -> Result<T> {
        // Before anything is written: SQLite would write on to a file that was deleted, and report
        // success.
        self.file.check()?;
        self.end();
        let begin = match access {
            Access::Read => "BEGIN",
            // The lock first: a transaction that reads and then wants to write cannot wait for it.
            Access::Write => "BEGIN IMMEDIATE",
        };
        self.run(begin)?;
        (self.now, self.abandoned) = (now, false);
        let waited = || Error::new(Kind::Store("an operation on SQLite cannot wait".into()));
        // Ready at the first poll, as nothing in here ever waits.
        let mut done = operation(self)
            .now_or_never()
            .unwrap_or_else(|| Err(waited()));
        if done.is_ok() && !self.abandoned {
            // The answer counts only once the commit did.
            done = self.run("COMMIT").and(done);
        }
        self.end();
        done
    }

    /// Leaves a transaction that is still open. On a full disk, and other errors, SQLite may have
    /// rolled it back by itself.
    fn end(&mut self) {
        if !self.connection.is_autocommit() {
            // Whatever prevents it also fails the next statement, which reports it.
            let _ = self.run("ROLLBACK");
        }
    }

    fn run(&self, text: &str) -> Result<()> {
        let statement = self.connection.prepare_cached(text);
        let done = statement.and_then(|mut statement| statement.raw_execute());
        done.map(drop).map_err(failed)
    }

    fn statement(&self, text: &'static str) -> Result<CachedStatement<'_>> {
        let text = self.dialect.statement(text);
        self.connection.prepare_cached(&text).map_err(failed)
    }
}

impl Session for SqliteSession {
    fn now(&self) -> i64 {
        self.now
    }

    async fn query<T: Send>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&dyn Row) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let mut statement = self.statement(statement)?;
        bind(&mut statement, 1, values.iter().copied())?;
        collect(&mut statement, &read, &mut found)?;
        Ok(found)
    }

    async fn execute(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<u64> {
        let mut statement = self.statement(statement)?;
        bind(&mut statement, 1, values.iter().copied())?;
        statement.raw_execute().map(count).map_err(failed)
    }

    async fn query_each<T: Send>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        batch: &Batch<'_>,
        read: impl Fn(&dyn Row) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        let mut statement = self.statement(statement)?;
        bind(&mut statement, 1, values.iter().copied())?;
        // What is the same for all rows is bound once: SQLite keeps it from one run to the next.
        for row in 0..batch.len() {
            bind(&mut statement, values.len() + 1, values_of(batch, row))?;
            collect(&mut statement, &read, &mut found)?;
        }
        Ok(found)
    }

    async fn execute_each(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        batch: &Batch<'_>,
    ) -> Result<u64> {
        let mut written = 0;
        let mut statement = self.statement(statement)?;
        bind(&mut statement, 1, values.iter().copied())?;
        for row in 0..batch.len() {
            bind(&mut statement, values.len() + 1, values_of(batch, row))?;
            written += statement.raw_execute().map(count).map_err(failed)?;
        }
        Ok(written)
    }

    fn abandon(&mut self) {
        self.abandoned = true;
    }
}

fn values_of<'a>(batch: &'a Batch<'a>, row: usize) -> impl Iterator<Item = Value<'a>> {
    let columns = batch.columns.iter();
    columns.filter_map(move |(_, values)| values.get(row).copied())
}

fn bind<'a>(
    statement: &mut CachedStatement<'_>,
    first: usize,
    values: impl Iterator<Item = Value<'a>>,
) -> Result<()> {
    for (index, value) in (first..).zip(values) {
        let bound = statement.raw_bind_parameter(index, value);
        bound.map_err(failed)?;
    }
    Ok(())
}

fn collect<T>(
    statement: &mut CachedStatement<'_>,
    read: &impl Fn(&dyn Row) -> Result<T>,
    found: &mut Vec<T>,
) -> Result<()> {
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(read(row)?);
    }
    Ok(())
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match *self {
            Value::Text(text) => text.map(|text| ValueRef::Text(text.as_bytes())),
            Value::Number(number) | Value::Time(number) => number.map(ValueRef::Integer),
            Value::Flag(flag) => Some(ValueRef::Integer(flag.into())),
        };
        Ok(ToSqlOutput::Borrowed(value.unwrap_or(ValueRef::Null)))
    }
}

impl Row for rusqlite::Row<'_> {
    fn text_or_null(&self, column: usize) -> Result<Option<&str>> {
        let value = self.get_ref(column).map_err(failed)?;
        value.as_str_or_null().map_err(|_| sql::damaged("a column"))
    }

    fn number_or_null(&self, column: usize) -> Result<Option<i64>> {
        let value = self.get_ref(column).map_err(failed)?;
        value.as_i64_or_null().map_err(|_| sql::damaged("a column"))
    }

    fn time_or_null(&self, column: usize) -> Result<Option<i64>> {
        self.number_or_null(column)
    }
}

/// What SQLite says went wrong, in its own words: rusqlite may add a statement.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed,
        OperationInterrupted, OutOfMemory, SystemIoFailure,
    };
    let rusqlite::Error::SqliteFailure(cause, text) = &error else {
        return Error::new(Kind::Store("SQLite answers otherwise than expected".into()));
    };
    // By <https://sqlite.org/rescode.html>: locks, room, memory, and a race of the write-ahead log
    // that SQLite gave up on. A file that cannot be opened may only lack a free descriptor.
    let transient = matches!(
        cause.code,
        CannotOpen
            | DatabaseBusy
            | DatabaseLocked
            | DiskFull
            | FileLockingProtocolFailed
            | OperationInterrupted
            | OutOfMemory
            | SystemIoFailure
    );
    let text = text.clone().unwrap_or_else(|| cause.to_string());
    sql::failed(text, transient)
}

/// The same, for what was done with a file.
pub(super) fn failed_at(path: &Path, error: rusqlite::Error) -> Error {
    Error::new(Kind::Store(format!("cannot open {}", path.display()))).with_source(failed(error))
}

#[cfg(all(test, feature = "store-tests"))]
mod tests {
    use crate::inbox::store::{SqliteStore, check_case_store};

    /// Without statistics, which nobody makes in a file that has just been filled.
    #[tokio::test]
    async fn no_statement_walks_over_a_whole_account() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cases.db");
        let store = SqliteStore::open(path).await.unwrap();
        check_case_store(|| std::future::ready(Ok(store.clone())))
            .await
            .unwrap();
        let walks = store.shared.writer.run(|session| {
            let statements = session.dialect.filled();
            // An account has one row among the accounts, and what counts reads all.
            let is_of_rows = |text: &&std::sync::Arc<str>| {
                (text.contains("_deliveries") || text.contains("_arrivals"))
                    && !text.contains("count(*)")
            };
            let mut walks = Vec::new();
            for statement in statements.iter().filter(is_of_rows) {
                let text = format!("EXPLAIN QUERY PLAN {statement}");
                let mut explain = session.connection.prepare(&text).unwrap();
                let mut steps = explain.raw_query();
                while let Some(step) = steps.next().unwrap() {
                    let step: String = step.get(3).unwrap();
                    if step.ends_with("USING PRIMARY KEY (account=?)") {
                        walks.push(format!("{step}: {statement}"));
                    }
                }
            }
            assert!(statements.len() > 20, "{statements:?}");
            Ok(walks)
        });
        assert_eq!(walks.await.unwrap(), [""; 0]);
    }
}
