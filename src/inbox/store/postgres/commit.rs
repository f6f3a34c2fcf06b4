//! Keeping cases: batches of rows in one transaction.

use std::time::SystemTime;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::PostgresStore;
use crate::error::Result;
use crate::inbox::store::Commit;
use crate::inbox::store::sql::{self, ArrivalRow, CaseRow, OrderRow, Rows, failed};
use crate::model::AccountId;

/// So many rows go into one statement: a few megabytes.
const BATCH: usize = 1000;

pub(super) async fn commit(
    store: &PostgresStore,
    account: &AccountId,
    commit: &Commit,
    now: SystemTime,
) -> Result<bool> {
    let rows = Rows::of(commit)?;
    if rows.is_empty() {
        return Ok(true);
    }
    let mut transaction = store.shared.pool.begin().await.map_err(failed)?;
    let mut writer = Writer {
        store,
        connection: &mut transaction,
        account: &sql::account_text(account),
    };
    // The account first: its commits come one after the other, and so do their arrivals' numbers.
    let last = writer.account(&rows).await?;
    for (cases, text) in [
        (&rows.new, &store.shared.own.new_cases),
        (&rows.known, &store.shared.own.known_cases),
    ] {
        for batch in cases.chunks(BATCH) {
            if !writer.cases(batch, text).await? {
                // Dropped, the transaction is rolled back.
                return Ok(false);
            }
        }
    }
    for batch in rows.orders.chunks(BATCH) {
        writer.orders(batch).await?;
    }
    let mut first = last - sql::limit(rows.arrivals.len()) + 1;
    for batch in rows.arrivals.chunks(BATCH) {
        writer.arrivals(batch, first, store.time(now)).await?;
        first += sql::limit(batch.len());
    }
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

struct Writer<'a> {
    store: &'a PostgresStore,
    connection: &'a mut PgConnection,
    account: &'a str,
}

impl Writer<'_> {
    /// Locks the account, and gives the number of its last arrival after this commit.
    async fn account(&mut self, rows: &Rows<'_>) -> Result<i64> {
        sqlx::query(&self.store.shared.sql.account)
            .bind(self.account)
            .bind(sql::limit(rows.arrivals.len()))
            .bind(sql::limit(rows.new.len()))
            .bind(rows.epoch.as_deref())
            .fetch_one(&mut *self.connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed)
    }

    /// `false` if one was not as it was read.
    async fn cases(&mut self, cases: &[CaseRow<'_>], text: &str) -> Result<bool> {
        let done = sqlx::query(text)
            .bind(self.account)
            .bind(column(cases, |case| &*case.order_id))
            .bind(column(cases, |case| case.rx_id.as_deref()))
            .bind(column(cases, |case| case.version + 1))
            .bind(column(cases, |case| case.listed))
            .bind(column(cases, |case| case.look_at))
            .bind(column(cases, |case| case.changed_at))
            .bind(column(cases, |case| &*case.state))
            .execute(&mut *self.connection)
            .await
            .map_err(failed)?;
        Ok(usize::try_from(done.rows_affected()) == Ok(cases.len()))
    }

    async fn orders(&mut self, orders: &[OrderRow<'_>]) -> Result<()> {
        let done = sqlx::query(&self.store.shared.own.orders)
            .bind(self.account)
            .bind(column(orders, |order| &*order.order_id))
            .bind(column(orders, |order| &*order.data))
            .execute(&mut *self.connection)
            .await;
        done.map(drop).map_err(failed)
    }

    async fn arrivals(
        &mut self,
        arrivals: &[ArrivalRow<'_>],
        first: i64,
        now: Option<i64>,
    ) -> Result<()> {
        let numbers = (first..).take(arrivals.len());
        let done = sqlx::query(&self.store.shared.own.log)
            .bind(self.account)
            .bind(numbers.collect::<Vec<_>>())
            .bind(column(arrivals, |arrival| &*arrival.order_id))
            .bind(column(arrivals, |arrival| arrival.index))
            .bind(column(arrivals, |arrival| arrival.ordinal))
            .bind(now)
            .execute(&mut *self.connection)
            .await;
        done.map(drop).map_err(failed)
    }
}

fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}
