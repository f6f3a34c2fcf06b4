//! A transaction on PostgreSQL.
//!
//! *Problem.* A pooler may stand between, and a future can be dropped at any await.
//!
//! *Approach.* Settings last for the transaction only, and statements have no names. A connection
//! that is dropped inside a transaction is closed and never used again.

use std::sync::Arc;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::pool::Connection;
use crate::error::Result;
use crate::inbox::store::sql::{self, Batch, Dialect, Row, Session, Value};

/// How many rows go into one statement: a few megabytes.
const BATCH: usize = 1000;

/// Our statements rely on what they see being committed and on commits being durable, whatever
/// a database or a role has as its default. All of them go by an index, in its order, and want a
/// few rows: right after a first poll, when nothing is known of the new rows yet, the planner
/// would rather collect and sort all of them for each claim, or compile the statement. A process
/// that is stopped in the middle of a commit must not hold up its account for ever.
///
/// All of it is for the transaction: a pooler may give the session to others after it.
const BEGIN: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SELECT floor(date_part('epoch', clock_timestamp()) * 1000)::bigint,
        set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true),
        set_config('idle_in_transaction_session_timeout', '30s', true),
        CASE current_setting('synchronous_commit')
            WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END";

pub(in crate::inbox::store) struct PostgresSession {
    connection: Connection,
    dialect: Arc<Dialect>,
    now: i64,
    // Rolled back at the end, although no statement failed.
    abandoned: bool,
}

impl PostgresSession {
    /// With the caller's time, if that is to count, or else the database's.
    pub(super) async fn begin(
        mut connection: Connection,
        dialect: Arc<Dialect>,
        callers: Option<i64>,
    ) -> Result<Self> {
        // Before `BEGIN` is sent: dropped while it waits for the answer, the connection may be
        // inside a transaction, and must not be used again.
        connection.enter();
        let answers = connection.client()?.simple_query(BEGIN).await;
        let clock = answers
            .map_err(super::failed)?
            .iter()
            .find_map(|answer| match answer {
                SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                _ => None,
            });
        Ok(PostgresSession {
            connection,
            dialect,
            now: callers.or(clock).ok_or_else(|| sql::damaged("the clock"))?,
            abandoned: false,
        })
    }

    /// Commits, unless it was abandoned. A session that is dropped before that closes its
    /// connection: what the transaction has done is rolled back.
    pub(super) async fn end(mut self) -> Result<()> {
        let end = if self.abandoned { "ROLLBACK" } else { "COMMIT" };
        let ended = self.connection.client()?.batch_execute(end).await;
        ended.map_err(super::failed)?;
        // Only now that the server has confirmed the end.
        self.connection.leave();
        Ok(())
    }

    /// Undoes what the transaction has done, and keeps the connection.
    pub(super) async fn roll_back(mut self) {
        self.abandoned = true;
        // One that cannot is not used again.
        let _ = self.end().await;
    }

    fn client(&self) -> Result<&Client> {
        self.connection.client()
    }
}

impl Session for PostgresSession {
    fn now(&self) -> i64 {
        self.now
    }

    async fn query<T: Send>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&dyn Row) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let text = self.dialect.statement(statement);
        let values = values.iter().map(typed);
        let values: Vec<_> = values.collect();
        // Without a name: a pooler may give the next statement another session.
        let rows = self.client()?.query_typed(&text, &values).await;
        let rows = rows.map_err(super::failed)?;
        rows.iter().map(|row| read(row)).collect()
    }

    async fn execute(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<u64> {
        let text = self.dialect.statement(statement);
        let values = values.iter().map(typed);
        let values: Vec<_> = values.collect();
        let done = self.client()?.execute_typed(&text, &values).await;
        done.map_err(super::failed)
    }

    async fn query_each<T: Send>(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        batch: &Batch<'_>,
        read: impl Fn(&dyn Row) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let text = self.dialect.statement(statement);
        let mut found = Vec::new();
        for first in (0..batch.len()).step_by(BATCH) {
            let columns = columns(batch, first);
            let values = with_columns(values, &columns);
            let rows = self.client()?.query_typed(&text, &values).await;
            for row in &rows.map_err(super::failed)? {
                found.push(read(row)?);
            }
        }
        Ok(found)
    }

    async fn execute_each(
        &mut self,
        statement: &'static str,
        values: &[Value<'_>],
        batch: &Batch<'_>,
    ) -> Result<u64> {
        let text = self.dialect.statement(statement);
        let mut written = 0;
        for first in (0..batch.len()).step_by(BATCH) {
            let columns = columns(batch, first);
            let values = with_columns(values, &columns);
            let done = self.client()?.execute_typed(&text, &values).await;
            written += done.map_err(super::failed)?;
        }
        Ok(written)
    }

    fn abandon(&mut self) {
        self.abandoned = true;
    }
}

type TypedValue<'a> = (&'a (dyn ToSql + Sync), Type);

fn typed<'a>(value: &'a Value<'_>) -> TypedValue<'a> {
    let kind = match value {
        Value::Text(_) => Type::TEXT,
        Value::Number(_) => Type::INT8,
        Value::Flag(_) => Type::BOOL,
        Value::Time(_) => Type::TIMESTAMPTZ,
    };
    (value, kind)
}

/// A batch of rows from this one on, by columns.
fn columns<'a>(batch: &'a Batch<'_>, first: usize) -> Vec<(&'a [Value<'a>], Type)> {
    let columns = batch.columns.iter().map(|(kind, values)| {
        let kind = match kind {
            sql::Type::Text => Type::TEXT_ARRAY,
            sql::Type::Number => Type::INT8_ARRAY,
            sql::Type::Flag => Type::BOOL_ARRAY,
            sql::Type::Time => Type::TIMESTAMPTZ_ARRAY,
        };
        let end = values.len().min(first + BATCH);
        (values.get(first..end).unwrap_or_default(), kind)
    });
    columns.collect()
}

fn with_columns<'a>(
    values: &'a [Value<'_>],
    columns: &'a [(&'a [Value<'a>], Type)],
) -> Vec<TypedValue<'a>> {
    let columns = columns
        .iter()
        .map(|(values, kind)| (values as &(dyn ToSql + Sync), kind.clone()));
    values.iter().map(typed).chain(columns).collect()
}

/// Milliseconds from 1970 to 2000, where PostgreSQL's times begin.
const EPOCH: i64 = 946_684_800_000;

/// The first and the last millisecond that PostgreSQL has: 4713 BC, and the end of 294276, see
/// <https://www.postgresql.org/docs/current/datatype-datetime.html>.
// A time beyond them would fail the whole commit; the nearest one means the same.
const FIRST: i64 = -210_866_803_200_000;
const LAST: i64 = 9_224_318_015_999_999;

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Value::Text(text) => text.to_sql(kind, out),
            Value::Number(number) => number.to_sql(kind, out),
            Value::Flag(flag) => flag.to_sql(kind, out),
            Value::Time(time) => {
                // A `timestamptz` is sent as microseconds since 2000. Clamped first, the product
                // fits in 64 bits.
                let micros = time.map(|time| (time.clamp(FIRST, LAST) - EPOCH) * 1000);
                micros.to_sql(&Type::INT8, out)
            }
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::TEXT, Type::INT8, Type::BOOL, Type::TIMESTAMPTZ].contains(kind)
    }

    to_sql_checked!();
}

/// Milliseconds since 1970.
struct Millis(i64);

impl<'a> FromSql<'a> for Millis {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let micros = i64::from_sql(&Type::INT8, raw)?;
        // Rounds down also before 2000, where the number is negative.
        Ok(Millis(micros.div_euclid(1000) + EPOCH))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

impl Row for tokio_postgres::Row {
    fn text_or_null(&self, column: usize) -> Result<Option<&str>> {
        self.try_get(column).map_err(super::failed)
    }

    fn number_or_null(&self, column: usize) -> Result<Option<i64>> {
        self.try_get(column).map_err(super::failed)
    }

    fn time_or_null(&self, column: usize) -> Result<Option<i64>> {
        let time: Option<Millis> = self.try_get(column).map_err(super::failed)?;
        Ok(time.map(|Millis(time)| time))
    }
}
