//! What the stores on SQL databases have in common: everything but how a statement reaches its
//! database.
//!
//! *Problem.* Two databases, one set of rules. Statements written twice drift apart.
//!
//! *Default.* Each operation is a plain function over a [`Session`], which is inside a transaction
//! of its own. `SQLite` runs it on the thread that has the connection, where nothing ever waits;
//! `PostgreSQL` in a task of its own. Either way it runs from begin to commit, whether or not
//! somebody still waits for its answer.
//!
//! Statements are written once, in what both dialects know, with [a few marks](fill) for the rest.

mod cases;
mod commit;
mod forget;
mod polling;
mod queue;
mod schema;
mod store;
mod text;
mod tokens;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Kind, Result};
use crate::flow::millis;

pub(super) use polling::ProcessCache;
pub(super) use schema::Schema;
use text::{owned, read_text, text};

/// A transaction on one of the databases.
///
/// Statements are `'static`: none is made of values.
pub(super) trait Session: Send {
    /// The time that counts, in milliseconds since 1970; one and the same for an operation.
    fn now(&self) -> i64;

    /// The rows that a statement returns, as `read` takes them.
    fn query<T: Send>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&dyn Row) -> Result<T> + Send,
    ) -> impl Future<Output = Result<Vec<T>>> + Send;

    /// How many rows a statement has written.
    fn execute(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64>> + Send;

    /// The same for all rows of `batch`, which are `u` in the statement: see [`fill`].
    fn query_each<T: Send>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        batch: &Batch<'_>,
        read: impl Fn(&dyn Row) -> Result<T> + Send,
    ) -> impl Future<Output = Result<Vec<T>>> + Send;

    /// The same.
    fn execute_each(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        batch: &Batch<'_>,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Has the transaction rolled back at the end, although nothing failed.
    fn abandon(&mut self);
}

/// What an operation is on its way: borrowed from its session.
pub(super) type OperationFuture<'s, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 's>>;

/// Whether an operation writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A value of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Text(Option<&'a str>),
    Number(Option<i64>),
    Flag(bool),
    /// Milliseconds since 1970.
    Time(Option<i64>),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(Some(text))
    }
}

impl<'a> From<&'a Cow<'_, str>> for Value<'a> {
    fn from(text: &'a Cow<'_, str>) -> Self {
        Value::Text(Some(text))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Number(Some(number))
    }
}

/// The type of a column of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Flag,
    Time,
}

/// Rows of values, by their columns.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    pub(super) columns: Vec<(Type, Vec<Value<'a>>)>,
}

impl<'a> Batch<'a> {
    /// With a column more: a value for each of `rows`.
    pub(super) fn column<R>(
        mut self,
        kind: Type,
        rows: &'a [R],
        value: impl Fn(&'a R) -> Value<'a>,
    ) -> Self {
        self.columns.push((kind, rows.iter().map(value).collect()));
        self
    }

    pub(super) fn len(&self) -> usize {
        self.columns.first().map_or(0, |(_, values)| values.len())
    }
}

/// A row of an answer. A column that has another type is an error.
pub(super) trait Row {
    fn text_or_null(&self, column: usize) -> Result<Option<&str>>;
    fn number_or_null(&self, column: usize) -> Result<Option<i64>>;
    /// Milliseconds since 1970.
    fn time_or_null(&self, column: usize) -> Result<Option<i64>>;
}

impl dyn Row + '_ {
    fn text(&self, column: usize) -> Result<&str> {
        let text = self.text_or_null(column)?;
        // The column's name and value stay out: the value may be a patient's.
        text.ok_or_else(|| damaged("a column"))
    }

    fn number(&self, column: usize) -> Result<i64> {
        let number = self.number_or_null(column)?;
        number.ok_or_else(|| damaged("a column"))
    }

    fn unsigned(&self, column: usize) -> Result<u64> {
        // Numbers that are counted up from 0.
        self.number(column).map(unsigned)
    }

    fn small(&self, column: usize) -> Result<u32> {
        self.number(column).map(small)
    }

    fn time(&self, column: usize) -> Result<Option<SystemTime>> {
        let time = self.time_or_null(column)?.map(millis::from);
        time.map(|time| time.ok_or_else(|| damaged("a time")))
            .transpose()
    }
}

/// How a database is spoken to, with the statements in its words.
#[derive(Debug)]
pub(super) struct Dialect {
    words: DatabaseKind,
    /// Precedes the names of tables.
    prefix: String,
    // Statements are constants: the map stops growing at their number. Read by each call, written
    // once for each of them, and never locked across an await.
    filled: RwLock<HashMap<&'static str, Arc<str>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DatabaseKind {
    #[cfg_attr(
        not(feature = "sqlite"),
        allow(dead_code, reason = "of the other store")
    )]
    Sqlite,
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "of the other store")
    )]
    Postgres,
}

impl Dialect {
    pub(super) fn new(words: DatabaseKind, prefix: String) -> Self {
        Dialect {
            words,
            prefix,
            filled: RwLock::default(),
        }
    }

    /// A statement in the words of this database.
    pub(super) fn statement(&self, text: &'static str) -> Arc<str> {
        let filled = self.filled.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = filled.get(text) {
            return Arc::clone(statement);
        }
        // A read guard does not turn into a write guard: this thread would wait for itself. Two
        // threads may fill in one statement both, with the same text.
        drop(filled);
        let statement: Arc<str> = fill(self.words, &self.prefix, text).into();
        let mut filled = self.filled.write().unwrap_or_else(PoisonError::into_inner);
        filled.insert(text, Arc::clone(&statement));
        statement
    }

    /// All statements so far.
    #[cfg(all(test, feature = "store-tests"))]
    pub(super) fn filled(&self) -> Vec<Arc<str>> {
        self.filled.read().unwrap().values().cloned().collect()
    }

    /// The same for the text of a schema.
    pub(super) fn schema(&self, text: &str) -> String {
        // Comments go first: what they say of `@` is no name.
        let lines = text.lines().filter(|line| !line.starts_with("--"));
        fill(
            self.words,
            &self.prefix,
            &lines.collect::<Vec<_>>().join("\n"),
        )
    }
}

/// Puts a statement into the words of a database:
///
/// | in the text | SQLite | PostgreSQL |
/// |---|---|---|
/// | `@name` | the table of that name | the same |
/// | `$1` | `?1` | `$1` |
/// | `ROWS(2: id text, at time)` | `(SELECT ?2 AS id, ?3 AS at) AS u`: the statement runs for each row | `unnest($2::text[], $3::timestamptz[]) AS u (id, at)`: once for all |
/// | `EACH($1 \| 2: id text)` | `VALUES (?1, ?2)`, for each row | `SELECT $1, u.* FROM` these rows, `WHERE true` |
/// | `BY(@name)` | `INDEXED BY` that index: without statistics SQLite takes another one | nothing |
/// | `LOCK(d)` | nothing: the transaction has the file's lock | `FOR UPDATE OF d` |
/// | `LOCK_FREE(d)` | the same | `FOR NO KEY UPDATE OF d SKIP LOCKED` |
fn fill(words: DatabaseKind, prefix: &str, text: &str) -> String {
    // No statement has an `@` of its own, and no mark a parenthesis inside.
    let mut text = text.replace('@', prefix);
    let mut replace = |mark: &str, filled: &dyn Fn(&str) -> String| {
        while let Some((before, rest)) = text.split_once(mark) {
            // Statements are constants: a mark that is written wrongly fails in the first test that
            // runs it.
            let (inner, after) = rest.split_once(')').unwrap_or((rest, ""));
            text = format!("{before}{}{after}", filled(inner));
        }
    };
    replace("EACH(", &|inner| each(words, inner));
    replace("ROWS(", &|inner| rows(words, inner));
    replace("BY(", &|index| match words {
        DatabaseKind::Sqlite => format!("INDEXED BY {index}"),
        DatabaseKind::Postgres => String::new(),
    });
    replace("LOCK_FREE(", &|table| match words {
        DatabaseKind::Sqlite => String::new(),
        DatabaseKind::Postgres => format!("FOR NO KEY UPDATE OF {table} SKIP LOCKED"),
    });
    replace("LOCK(", &|table| match words {
        DatabaseKind::Sqlite => String::new(),
        DatabaseKind::Postgres => format!("FOR UPDATE OF {table}"),
    });
    match words {
        // To SQLite `$1` is a name, which gets the number of the place where it comes first; `?1`
        // is number 1.
        DatabaseKind::Sqlite => text.replace('$', "?"),
        DatabaseKind::Postgres => text,
    }
}

/// Rows to insert, behind values that are the same for all. On SQLite they could be made of `ROWS` too,
/// which takes half as long again.
fn each(words: DatabaseKind, inner: &str) -> String {
    let (same, inner) = inner.split_once(" | ").unwrap_or(("", inner));
    let (first, columns) = inner.split_once(':').unwrap_or(("1", inner));
    let first: usize = first.parse().unwrap_or(1);
    match words {
        DatabaseKind::Sqlite => {
            let numbers = first..first + columns.split(',').count();
            let values: Vec<_> = numbers.map(|number| format!("?{number}")).collect();
            format!("VALUES ({same}, {})", values.join(", "))
        }
        DatabaseKind::Postgres => {
            format!("SELECT {same}, u.* FROM {} WHERE true", rows(words, inner))
        }
    }
}

fn rows(words: DatabaseKind, inner: &str) -> String {
    let (first, columns) = inner.split_once(':').unwrap_or(("1", inner));
    let first: usize = first.parse().unwrap_or(1);
    let (mut values, mut names) = (String::new(), String::new());
    for (number, column) in (first..).zip(columns.split(',')) {
        let (name, kind) = column.trim().split_once(' ').unwrap_or((column, "text"));
        let comma = if number == first { "" } else { ", " };
        // Writing to a text does not fail.
        let _ = match (words, kind) {
            (DatabaseKind::Sqlite, _) => write!(values, "{comma}?{number} AS {name}"),
            (DatabaseKind::Postgres, "number") => write!(values, "{comma}${number}::bigint[]"),
            (DatabaseKind::Postgres, "time") => write!(values, "{comma}${number}::timestamptz[]"),
            (DatabaseKind::Postgres, "flag") => write!(values, "{comma}${number}::boolean[]"),
            (DatabaseKind::Postgres, _) => write!(values, "{comma}${number}::text[]"),
        };
        names += comma;
        names += name;
    }
    match words {
        DatabaseKind::Sqlite => format!("(SELECT {values}) AS u"),
        DatabaseKind::Postgres => format!("unnest({values}) AS u ({names})"),
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::store)
}

/// No longer than this is anything hidden or leased: 1,000 years, as in `DueTime`, so that no sum
/// overflows.
const LONGEST: i64 = 1000 * 366 * 24 * 60 * 60 * 1000;

/// What begins later than this from now was set by a wrong clock, and does not count. Not what
/// begins later than now: the process that began first may come second.
fn not_yet<S: Session>(session: &S) -> Value<'static> {
    // The same minute as in `DueTime`: both must call the same times passed.
    Value::Time(Some(session.now().saturating_add(60 * 1000)))
}

/// A time span in milliseconds.
fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(LONGEST, |millis| millis.min(LONGEST))
}

pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Numbers that are counted up from 0 come nowhere near the end.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The same, for an index or an ordinal.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A database says what went wrong. `transient`: it may go away by itself.
pub(super) fn failed(text: String, transient: bool) -> Error {
    Error::new(if transient {
        Kind::StoreUnavailable(text)
    } else {
        Kind::Store(text)
    })
}

pub(super) fn damaged(what: &str) -> Error {
    Error::new(Kind::Store(format!("{what} is damaged")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_to_insert_are_values_or_a_selection() {
        let text = "INSERT INTO @orders EACH($1 | 2: id text, at time) ON CONFLICT DO NOTHING";
        assert_eq!(
            fill(DatabaseKind::Sqlite, "lab_", text),
            "INSERT INTO lab_orders VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            fill(DatabaseKind::Postgres, "s.", text),
            "INSERT INTO s.orders SELECT $1, u.* FROM unnest($2::text[], $3::timestamptz[]) \
             AS u (id, at) WHERE true ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn a_statement_is_put_into_the_words_of_its_database() {
        let text = "UPDATE @cases AS c BY(@cases_id) SET at = u.at FROM ROWS(2: id text, at time) \
                    WHERE c.account = $1 AND c.id = u.id LOCK_FREE(c) LOCK(c)";
        assert_eq!(
            fill(DatabaseKind::Sqlite, "lab_", text),
            "UPDATE lab_cases AS c INDEXED BY lab_cases_id SET at = u.at FROM (SELECT ?2 AS id, ?3 AS at) AS u \
             WHERE c.account = ?1 AND c.id = u.id  "
        );
        assert_eq!(
            fill(DatabaseKind::Postgres, "\"s\".", text),
            "UPDATE \"s\".cases AS c  SET at = u.at \
             FROM unnest($2::text[], $3::timestamptz[]) AS u (id, at) \
             WHERE c.account = $1 AND c.id = u.id FOR NO KEY UPDATE OF c SKIP LOCKED FOR UPDATE OF c"
        );
    }
}
