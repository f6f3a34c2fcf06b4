//! Cases and tokens in one file, by SQLite.

mod commit;
mod open;
mod queue;
mod tokens;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, Sqlite, Transaction};

use super::sql::{self, Statements, failed};
use super::{
    AccountState, Case, CaseKey, CaseStore, Claimed, Commit, Counts, Forget, LogEntry, PollRight,
    Settlement, Stored,
};
use crate::error::Result;
use crate::flow::millis;
use crate::inbox::plan::ListingCoverage;
use crate::model::{AccountId, OrderId};

/// Keeps cases, and tokens if you like, in one file: for one machine.
///
/// It is a [`CaseStore`] and a [`TokenStore`](crate::TokenStore); clones share what they have
/// open. What a call has kept survives a crash of the process, of the system and of the power:
/// the file is in WAL mode with `synchronous = FULL`. Other processes of the machine can work on
/// the same file. Use a local disk: network file systems break SQLite's locks. Leases go by the
/// machine's clock.
///
/// Beside the file lie two more while it is open (`-wal`, `-shm`): copy a file that is in use
/// with SQLite's own `VACUUM INTO` or backup, not with `cp`. There are patient data and secrets
/// in it: on Unix it is made for its user alone, and one that others can read is refused.
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
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// SQLite has one writer at a time: so one connection, and who wants it waits in a queue
    /// and not in a loop.
    writer: SqlitePool,
    readers: SqlitePool,
    sql: Statements,
    own: Own,
}

sql::statements! {
    /// What only this dialect knows.
    Own:

    /// Account, order ids as JSON.
    others = concat!("SELECT ", sql::case_columns!(), "
        FROM json_each($2) j CROSS JOIN @cases c
        WHERE c.account = $1 AND c.order_id = j.value");
    /// Account, now, limit.
    claimable = concat!(
        "SELECT d.sequence, d.position, d.ordinal, d.arrived_at, d.attempts, d.failure, ",
        sql::stored_from!(
            "@deliveries d JOIN @cases c ON c.account = d.account AND c.order_id = d.order_id",
            "d.account = $1 AND d.due <= $2
             AND d.sequence = (SELECT min(e.sequence) FROM @deliveries e
                               WHERE e.account = d.account AND e.order_id = d.order_id)
             ORDER BY d.sequence LIMIT $3"
        )
    );
    /// Account, numbers as JSON, token, due.
    claim = "
        UPDATE @deliveries SET token = $3, due = $4, attempts = attempts + 1
        WHERE account = $1 AND sequence IN (SELECT value FROM json_each($2))";
    // Account, number, token, due, failure. Done if a row was written.
    acknowledge = "
        DELETE FROM @deliveries WHERE account = $1 AND sequence = $2 AND token = $3";
    again = "
        UPDATE @deliveries SET due = $4, token = NULL, failure = coalesce($5, failure)
        WHERE account = $1 AND sequence = $2 AND token = $3";
    hold = "
        UPDATE @deliveries SET due = $4 WHERE account = $1 AND sequence = $2 AND token = $3";
}

impl SqliteStore {
    /// Opens a file, which is made if there is none. Tables of an older version are brought up
    /// to date.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`](crate::Error::is_store) if it cannot be opened, if it is no database,
    /// if others can read it (on Unix), or if a newer version of this crate has changed its
    /// tables.
    ///
    /// # Cancel safety
    ///
    /// Safe: its tables are up to date or as they were.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        open::open(path.into()).await
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        // The lock first: a transaction that reads and then wants to write cannot wait for it.
        let begun = self.shared.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(failed)
    }
}

#[async_trait]
impl CaseStore for SqliteStore {
    async fn poll_right(
        &self,
        account: &AccountId,
        process: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<PollRight> {
        let done = sqlx::query(&self.shared.sql.lease)
            .bind(&*sql::account_text(account))
            .bind(&*sql::text(process))
            .bind(sql::span(lease))
            .bind(millis::since_epoch(now))
            .execute(&self.shared.writer)
            .await;
        let granted = done.map_err(failed)?.rows_affected() == 1;
        Ok(if granted {
            PollRight::Granted
        } else {
            PollRight::Held { until: now + lease }
        })
    }

    async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()> {
        let right = self.poll_right(account, process, Duration::ZERO, SystemTime::now());
        right.await.map(drop)
    }

    async fn account(&self, account: &AccountId, _: SystemTime) -> Result<AccountState> {
        let row = sqlx::query(&self.shared.sql.epoch)
            .bind(&*sql::account_text(account))
            .fetch_optional(&self.shared.readers)
            .await
            .map_err(failed)?;
        let coverage = match row {
            Some(row) => sql::epoch(row.try_get(0).map_err(failed)?)?,
            None => ListingCoverage::new(),
        };
        Ok(AccountState::new(coverage, 0))
    }

    async fn expected(&self, account: &AccountId, orders: &[OrderId]) -> Result<Vec<Case>> {
        let account = sql::account_text(account);
        let listed = sqlx::query(&self.shared.sql.listed)
            .bind(&*account)
            .fetch_all(&self.shared.readers)
            .await
            .map_err(failed)?;
        let mut cases = listed.iter().map(case).collect::<Result<Vec<_>>>()?;

        let others = sql::others(&cases, orders);
        if others.is_empty() {
            return Ok(cases);
        }
        let found = sqlx::query(&self.shared.own.others)
            .bind(&*account)
            .bind(sql::json(&others)?)
            .fetch_all(&self.shared.readers)
            .await
            .map_err(failed)?;
        for row in &found {
            cases.push(case(row)?);
        }
        Ok(cases)
    }

    async fn find(&self, account: &AccountId, case: CaseKey<'_>) -> Result<Option<Stored>> {
        let (text, key) = match case {
            CaseKey::Order(id) => (&self.shared.sql.find_order, id.as_str()),
            CaseKey::Rx(id) => (&self.shared.sql.find_rx, id.as_str()),
        };
        let row = sqlx::query(text)
            .bind(&*sql::account_text(account))
            .bind(&*sql::text(key))
            .fetch_optional(&self.shared.readers)
            .await
            .map_err(failed)?;
        row.map(|row| stored(&row, 0)).transpose()
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        let rows = sqlx::query(&self.shared.sql.due)
            .bind(&*sql::account_text(account))
            .bind(millis::since_epoch(now))
            .bind(sql::limit(limit))
            .fetch_all(&self.shared.readers)
            .await
            .map_err(failed)?;
        rows.iter().map(case).collect()
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        commit::commit(self, account, commit, now).await
    }

    async fn claim(
        &self,
        account: &AccountId,
        token: &str,
        limit: usize,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<Claimed>> {
        queue::claim(self, account, token, limit, lease, now).await
    }

    async fn settle(
        &self,
        account: &AccountId,
        settlements: &[Settlement],
        now: SystemTime,
    ) -> Result<Vec<bool>> {
        queue::settle(self, account, settlements, now).await
    }

    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        let rows = sqlx::query(&self.shared.sql.arrivals)
            .bind(&*sql::account_text(account))
            .bind(sql::number(after))
            .bind(sql::limit(limit))
            .fetch_all(&self.shared.readers)
            .await
            .map_err(failed)?;
        let logged = rows.iter().map(|row| {
            let get = |index: usize| row.try_get::<i64, _>(index).map_err(failed);
            let ordinal = row.try_get::<Option<i64>, _>(2).map_err(failed)?;
            Ok(LogEntry {
                sequence: sql::unsigned(get(0)?),
                index: sql::small(get(1)?),
                ordinal: ordinal.map(sql::small),
                stored: stored(row, 3)?,
            })
        });
        logged.collect()
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<Stored>> {
        let text = match after {
            Some(_) => &self.shared.sql.next_cases,
            None => &self.shared.sql.first_cases,
        };
        let rows = sqlx::query(text)
            .bind(&*sql::account_text(account))
            .bind(sql::limit(limit))
            .bind(after.map(|id| sql::text(id.as_str())))
            .fetch_all(&self.shared.readers)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| stored(row, 0)).collect()
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        let row = sqlx::query(&self.shared.sql.counts)
            .bind(&*sql::account_text(account))
            .bind(millis::since_epoch(now))
            .fetch_one(&self.shared.readers)
            .await
            .map_err(failed)?;
        let get = |index: usize| row.try_get(index).map(sql::unsigned).map_err(failed);
        let oldest = row.try_get::<Option<i64>, _>(4).map_err(failed)?;
        Ok(Counts {
            cases: get(0)?,
            arrivals: get(5)?,
            open: get(1)?,
            hidden: get(2)?,
            failed: get(3)?,
            oldest: oldest.map(sql::time).transpose()?,
        })
    }

    async fn forget(&self, account: &AccountId, which: Forget<'_>, _: usize) -> Result<u64> {
        let query = match which {
            Forget::Before(time) => sqlx::query(&self.shared.sql.forget_before)
                .bind(sql::account_text(account).into_owned())
                .bind(millis::since_epoch(time)),
            Forget::Order(id) => sqlx::query(&self.shared.sql.forget_order)
                .bind(sql::account_text(account).into_owned())
                .bind(sql::text(id.as_str()).into_owned()),
        };
        let forgotten = query.execute(&self.shared.writer).await.map_err(failed)?;
        if forgotten.rows_affected() > 0 {
            // Until then the data are in the write-ahead log. Who reads at the moment may keep
            // it there a little longer.
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&self.shared.writer)
                .await
                .map_err(failed)?;
        }
        Ok(forgotten.rows_affected())
    }
}

fn case(row: &SqliteRow) -> Result<Case> {
    case_at(row, 0)
}

/// From four columns.
fn case_at(row: &SqliteRow, first: usize) -> Result<Case> {
    let get = |index: usize| row.try_get_unchecked::<&str, _>(first + index);
    sql::case(
        get(0).map_err(failed)?,
        row.try_get_unchecked(first + 1).map_err(failed)?,
        row.try_get_unchecked(first + 2).map_err(failed)?,
        get(3).map_err(failed)?,
    )
}

/// From five columns.
fn stored(row: &SqliteRow, first: usize) -> Result<Stored> {
    let data = row.try_get_unchecked(first + 4).map_err(failed)?;
    sql::stored(case_at(row, first)?, data)
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}
