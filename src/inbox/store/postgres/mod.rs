//! Cases and tokens on PostgreSQL.

mod commit;
mod connect;
mod queue;
mod tokens;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};

use super::sql::{self, Statements, failed};
use super::{
    AccountState, Case, CaseKey, CaseStore, Claimed, Commit, Counts, Forget, LogEntry, PollRight,
    Settlement, Stored,
};
use crate::error::Result;
use crate::flow::millis;
use crate::inbox::plan::ListingCoverage;
use crate::model::{AccountId, OrderId};

pub use connect::PostgresStoreBuilder;

/// Keeps cases, and tokens if you like, in a PostgreSQL database: for many machines.
///
/// It is a [`CaseStore`] and a [`TokenStore`](crate::TokenStore); clones share their
/// connections. Workers on any number of machines claim deliveries without waiting for each
/// other (`FOR UPDATE SKIP LOCKED`). Leases go by the database's clock: those of the machines may
/// differ. What a call has kept is as durable as the server makes commits; where sessions have
/// `synchronous_commit = off`, it is turned on.
///
/// Its tables are in a schema of their own, `lab_connector` unless you
/// [say otherwise](PostgresStoreBuilder::schema), and are made and brought up to date when it
/// connects. There are patient data in `orders` and secrets in `tokens`: see who may read them.
/// Tested with PostgreSQL 15; needs 12 or later, and prepared statements: a pooler before the
/// database must support them.
///
/// ```no_run
/// # async fn example() -> lab_connector::Result<()> {
/// use lab_connector::inbox::store::PostgresStore;
///
/// let url = "postgres://lab:secret@db.example/lab?sslmode=verify-full";
/// let store = PostgresStore::connect(url).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    pool: PgPool,
    schema: String,
    callers_clock: bool,
    sql: Statements,
    own: Own,
}

sql::statements! {
    /// What only this dialect knows.
    Own:

    now = "SELECT @clock";
    /// Account, order ids.
    others = concat!("SELECT ", sql::case_columns!(), "
        FROM @cases c WHERE c.account = $1 AND c.order_id = ANY($2)");
    lock = "SELECT 1 FROM @accounts WHERE account = $1 FOR UPDATE";
    new_cases = "
        INSERT INTO @cases
            (account, order_id, rx_id, version, listed, look_at, changed_at, state)
        SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::bigint[], $5::boolean[],
            $6::bigint[], $7::bigint[], $8::text[]) AS u
        ON CONFLICT (account, order_id) DO NOTHING";
    known_cases = "
        UPDATE @cases AS c SET rx_id = u.rx_id, version = u.version, listed = u.listed,
            look_at = u.look_at, changed_at = u.changed_at, state = u.state
        FROM unnest($2::text[], $3::text[], $4::bigint[], $5::boolean[],
            $6::bigint[], $7::bigint[], $8::text[])
            AS u (order_id, rx_id, version, listed, look_at, changed_at, state)
        WHERE c.account = $1 AND c.order_id = u.order_id AND c.version = u.version - 1";
    orders = "
        INSERT INTO @orders (account, order_id, data)
        SELECT $1, u.* FROM unnest($2::text[], $3::text[]) AS u
        ON CONFLICT (account, order_id) DO UPDATE SET data = excluded.data";
    /// Account, numbers, order ids, indexes, ordinals, now.
    log = "
        WITH u AS (
            SELECT * FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
                AS u (sequence, order_id, position, ordinal)
        ), logged AS (
            INSERT INTO @arrivals (account, sequence, order_id, position, ordinal)
            SELECT $1, u.* FROM u
        ), clock AS (SELECT coalesce($6, @clock) AS now)
        INSERT INTO @deliveries
            (account, sequence, order_id, position, ordinal, arrived_at, due)
        SELECT $1, u.*, clock.now, clock.now FROM u CROSS JOIN clock
        WHERE u.ordinal IS NOT NULL";
    /// Account, token, limit, lease, now.
    ///
    /// A delivery is claimed by itself alone: one that another worker is claiming right now is
    /// passed over, and its case with it, since it is still the first of its case.
    claim = concat!("
        WITH clock AS MATERIALIZED (SELECT coalesce($5, @clock) AS now), free AS MATERIALIZED (
            SELECT d.sequence FROM @deliveries d
            WHERE d.account = $1 AND d.due <= (SELECT now FROM clock)
                AND d.sequence = (SELECT min(e.sequence) FROM @deliveries e
                                  WHERE e.account = d.account AND e.order_id = d.order_id)
            ORDER BY d.sequence LIMIT $3
            FOR UPDATE OF d SKIP LOCKED
        ), taken AS (
            UPDATE @deliveries AS d
            SET token = $2, due = (SELECT now FROM clock) + $4, attempts = d.attempts + 1
            FROM free WHERE d.account = $1 AND d.sequence = free.sequence
            RETURNING d.*
        )
        SELECT d.sequence, d.position, d.ordinal, d.arrived_at, d.attempts, d.failure, ",
        sql::stored_from!(
            "taken d JOIN @cases c ON c.account = d.account AND c.order_id = d.order_id",
            "true ORDER BY d.sequence"
        ));
    /// Account, numbers, tokens, kinds, times, failures, now. Gives the numbers that were
    /// settled. Rows are locked in one order, so that two that settle the same cannot wait for
    /// each other.
    settle = "
        WITH clock AS MATERIALIZED (SELECT coalesce($7, @clock) AS now), held AS MATERIALIZED (
            SELECT d.sequence, s.kind, s.after, s.failure
            FROM unnest($2::bigint[], $3::text[], $4::smallint[], $5::bigint[], $6::text[])
                AS s (sequence, token, kind, after, failure)
            JOIN @deliveries d
                ON d.account = $1 AND d.sequence = s.sequence AND d.token = s.token
            ORDER BY d.sequence
            FOR UPDATE OF d
        ), done AS (
            DELETE FROM @deliveries AS d USING held h
            WHERE d.account = $1 AND d.sequence = h.sequence AND h.kind = 0
        ), kept AS (
            UPDATE @deliveries AS d
            SET due = (SELECT now FROM clock) + h.after,
                token = CASE WHEN h.kind = 2 THEN d.token END,
                failure = coalesce(h.failure, d.failure)
            FROM held h WHERE d.account = $1 AND d.sequence = h.sequence AND h.kind <> 0
        )
        SELECT sequence FROM held";
}

impl PostgresStore {
    /// Connects to a database by its URL, and makes its tables or brings them up to date.
    ///
    /// `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/path`; what
    /// is left out is taken from the environment (`PGHOST` and its kin, the file `.pgpass`).
    /// Without `sslmode` the connection is encrypted only where the server offers it, and the
    /// server is not verified: say `verify-full` where the network is not yours. That needs
    /// the feature `rustls`.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`](crate::Error::is_configuration) if the URL cannot be read or has
    /// a parameter that is not known; [`Error::is_store`](crate::Error::is_store) if the database
    /// cannot be reached or refuses, or if a newer version of this crate has changed the tables.
    /// The text holds neither URL nor password.
    ///
    /// # Cancel safety
    ///
    /// Safe: the tables are up to date or as they were.
    pub async fn connect(url: &str) -> Result<Self> {
        PostgresStore::builder(url).connect().await
    }

    /// The same, with settings.
    pub fn builder(url: &str) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(url)
    }

    /// The caller's time, where that is to count.
    fn time(&self, now: SystemTime) -> Option<i64> {
        self.shared.callers_clock.then(|| millis::since_epoch(now))
    }
}

#[async_trait]
impl CaseStore for PostgresStore {
    async fn now(&self, local: SystemTime) -> Result<SystemTime> {
        if self.shared.callers_clock {
            return Ok(local);
        }
        let row = sqlx::query(&self.shared.own.now)
            .fetch_one(&self.shared.pool)
            .await;
        let now = row.and_then(|row| row.try_get(0)).map_err(failed)?;
        sql::time(now)
    }

    async fn poll_right(
        &self,
        account: &AccountId,
        process: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<PollRight> {
        let done = sqlx::query(&self.shared.sql.lease)
            .bind(sql::account_text(account))
            .bind(sql::text(process))
            .bind(sql::span(lease))
            .bind(self.time(now))
            .execute(&self.shared.pool)
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
            .bind(sql::account_text(account))
            .fetch_optional(&self.shared.pool)
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
            .fetch_all(&self.shared.pool)
            .await
            .map_err(failed)?;
        let mut cases = listed.iter().map(case).collect::<Result<Vec<_>>>()?;
        let others = sql::others(&cases, orders);
        if others.is_empty() {
            return Ok(cases);
        }
        let found = sqlx::query(&self.shared.own.others)
            .bind(&*account)
            .bind(others.iter().map(|id| &**id).collect::<Vec<_>>())
            .fetch_all(&self.shared.pool)
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
            .bind(sql::account_text(account))
            .bind(sql::text(key))
            .fetch_optional(&self.shared.pool)
            .await
            .map_err(failed)?;
        row.map(|row| stored(&row, 0)).transpose()
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        let rows = sqlx::query(&self.shared.sql.due)
            .bind(sql::account_text(account))
            .bind(self.time(now))
            .bind(sql::limit(limit))
            .fetch_all(&self.shared.pool)
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
            .bind(sql::account_text(account))
            .bind(sql::number(after))
            .bind(sql::limit(limit))
            .fetch_all(&self.shared.pool)
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
        let query = match after {
            Some(_) => sqlx::query(&self.shared.sql.next_cases),
            None => sqlx::query(&self.shared.sql.first_cases),
        };
        let mut query = query
            .bind(sql::account_text(account))
            .bind(sql::limit(limit));
        if let Some(id) = after {
            query = query.bind(sql::text(id.as_str()));
        }
        let rows = query.fetch_all(&self.shared.pool).await.map_err(failed)?;
        rows.iter().map(|row| stored(row, 0)).collect()
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        let row = sqlx::query(&self.shared.sql.counts)
            .bind(sql::account_text(account))
            .bind(self.time(now))
            .fetch_one(&self.shared.pool)
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
        let account = sql::account_text(account);
        let query = match which {
            Forget::Before(time) => sqlx::query(&self.shared.sql.forget_before)
                .bind(&*account)
                .bind(millis::since_epoch(time)),
            Forget::Order(id) => sqlx::query(&self.shared.sql.forget_order)
                .bind(&*account)
                .bind(sql::text(id.as_str())),
        };
        let mut transaction = self.shared.pool.begin().await.map_err(failed)?;
        // No commit comes in between that lists a case, or brings a delivery, whose data go.
        sqlx::query(&self.shared.own.lock)
            .bind(&*account)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let forgotten = query.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(forgotten.rows_affected())
    }
}

fn case(row: &PgRow) -> Result<Case> {
    case_at(row, 0)
}

/// From four columns.
fn case_at(row: &PgRow, first: usize) -> Result<Case> {
    let get = |index: usize| row.try_get_unchecked::<&str, _>(first + index);
    sql::case(
        get(0).map_err(failed)?,
        row.try_get_unchecked(first + 1).map_err(failed)?,
        row.try_get_unchecked(first + 2).map_err(failed)?,
        get(3).map_err(failed)?,
    )
}

/// From five columns.
fn stored(row: &PgRow, first: usize) -> Result<Stored> {
    let data = row.try_get_unchecked(first + 4).map_err(failed)?;
    sql::stored(case_at(row, first)?, data)
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.shared.schema)
            .field("callers_clock", &self.shared.callers_clock)
            .finish_non_exhaustive()
    }
}
