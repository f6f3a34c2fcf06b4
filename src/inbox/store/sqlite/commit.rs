//! Keeping cases: batches of rows in one transaction.

use std::borrow::Cow;
use std::time::SystemTime;

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, Row};

use super::SqliteStore;
use crate::error::Result;
use crate::flow::millis;
use crate::inbox::store::Commit;
use crate::inbox::store::sql::{self, ArrivalRow, CaseRow, OrderRow, Rows, failed};
use crate::model::AccountId;

/// So many rows go into one statement. More save little, and SQLite allows 32,766 values.
const BATCH: usize = 200;

pub(super) async fn commit(
    store: &SqliteStore,
    account: &AccountId,
    commit: &Commit,
    now: SystemTime,
) -> Result<bool> {
    let rows = Rows::of(commit)?;
    if rows.is_empty() {
        return Ok(true);
    }
    let mut transaction = store.begin().await?;
    let mut writer = Writer {
        connection: &mut transaction,
        account: &sql::account_text(account),
    };
    // Dropped, the transaction is rolled back.
    if !writer.cases(rows.new, NEW).await? || !writer.cases(rows.known, KNOWN).await? {
        return Ok(false);
    }
    let last = sqlx::query(&store.shared.sql.account)
        .bind(writer.account)
        .bind(sql::limit(rows.arrivals.len()))
        .bind(sql::limit(
            commit
                .saves
                .iter()
                .filter(|save| save.case.version() == 0)
                .count(),
        ))
        .bind(rows.epoch)
        .fetch_one(&mut *writer.connection)
        .await
        .and_then(|row| row.try_get::<i64, _>(0))
        .map_err(failed)?;
    writer.orders(rows.orders).await?;
    let first = last - sql::limit(rows.arrivals.len()) + 1;
    writer
        .arrivals(rows.arrivals, first, millis::since_epoch(now))
        .await?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

/// A statement before and after the rows of values in its middle.
type Around = (&'static str, &'static str);

const NEW: Around = (
    "INSERT INTO lab_connector_cases (account, order_id, rx_id, version, listed, look_at, changed_at, state) VALUES ",
    " ON CONFLICT (account, order_id) DO NOTHING",
);
const KNOWN: Around = (
    "UPDATE lab_connector_cases AS c SET rx_id = v.column3, version = v.column4, listed = v.column5,
        look_at = v.column6, changed_at = v.column7, state = v.column8
     FROM (VALUES ",
    ") AS v WHERE c.account = v.column1 AND c.order_id = v.column2 AND c.version = v.column4 - 1",
);
const ORDERS: Around = (
    "INSERT INTO lab_connector_orders (account, order_id, data) VALUES ",
    " ON CONFLICT (account, order_id) DO UPDATE SET data = excluded.data",
);
const ARRIVALS: Around = (
    "INSERT INTO lab_connector_arrivals (account, order_id, sequence, position, ordinal) VALUES ",
    "",
);
const DELIVERIES: Around = (
    "INSERT INTO lab_connector_deliveries
        (account, order_id, sequence, position, ordinal, arrived_at, due) VALUES ",
    "",
);

struct Writer<'a> {
    connection: &'a mut SqliteConnection,
    account: &'a str,
}

impl Writer<'_> {
    /// `false` if one was not as it was read.
    async fn cases(&mut self, cases: Vec<CaseRow<'_>>, around: Around) -> Result<bool> {
        let count = cases.len();
        let written = self.write(around, 7, cases, |values, case| {
            values.add(case.order_id.into_owned())?;
            values.add(case.rx_id.map(Cow::into_owned))?;
            values.add(case.version + 1)?;
            values.add(case.listed)?;
            values.add(case.look_at)?;
            values.add(case.changed_at)?;
            values.add(case.state)
        });
        Ok(usize::try_from(written.await?) == Ok(count))
    }

    async fn orders(&mut self, orders: Vec<OrderRow<'_>>) -> Result<()> {
        let written = self.write(ORDERS, 2, orders, |values, order| {
            values.add(order.order_id.into_owned())?;
            values.add(order.data)
        });
        written.await.map(drop)
    }

    async fn arrivals(
        &mut self,
        arrivals: Vec<ArrivalRow<'_>>,
        first: i64,
        now: i64,
    ) -> Result<()> {
        let numbered = || (first..).zip(&arrivals);
        let logged = numbered().collect();
        self.write(ARRIVALS, 4, logged, |values, (sequence, arrival)| {
            values.add(arrival.order_id.to_string())?;
            values.add(sequence)?;
            values.add(arrival.index)?;
            values.add(arrival.ordinal)
        })
        .await?;
        let deliveries = numbered().filter(|(_, arrival)| arrival.ordinal.is_some());
        let deliveries = deliveries.collect();
        let written = self.write(DELIVERIES, 6, deliveries, |values, (sequence, arrival)| {
            values.add(arrival.order_id.to_string())?;
            values.add(sequence)?;
            values.add(arrival.index)?;
            values.add(arrival.ordinal)?;
            values.add(now)?;
            values.add(now)
        });
        written.await.map(drop)
    }

    /// Writes rows of so many values beside the account, batch by batch, and says how many were
    /// written.
    async fn write<T>(
        &mut self,
        around: Around,
        columns: usize,
        rows: Vec<T>,
        add: impl Fn(&mut SqliteArguments<'static>, T) -> Result<(), BoxDynError>,
    ) -> Result<u64> {
        let mut written = 0;
        let mut batch = (0, String::new());
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let count = rows.len().min(BATCH);
            if batch.0 != count {
                batch = (count, statement(around, columns, count));
            }
            let mut values = SqliteArguments::default();
            values.reserve(count * (1 + columns), 0);
            for row in rows.by_ref().take(count) {
                values
                    .add(self.account.to_owned())
                    .and_then(|()| add(&mut values, row))
                    .map_err(|error| failed(sqlx::Error::Encode(error)))?;
            }
            let query = sqlx::query_with(&batch.1, values);
            let done = query.execute(&mut *self.connection).await;
            written += done.map_err(failed)?.rows_affected();
        }
        Ok(written)
    }
}

/// `(?, ?, ?), (?, ?, ?)`: the account is the first value of each row. Parameters without a name, as
/// SQLite goes through all names for each value that is bound.
fn statement((before, after): Around, values: usize, rows: usize) -> String {
    let mut text = before.to_owned();
    for row in 0..rows {
        text += if row == 0 { "(?" } else { ", (?" };
        text += &", ?".repeat(values);
        text += ")";
    }
    text + after
}
