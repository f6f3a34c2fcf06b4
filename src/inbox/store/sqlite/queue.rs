//! Handing out deliveries, and taking them back.

use std::time::{Duration, SystemTime};

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{SqliteStore, stored};
use crate::error::Result;
use crate::flow::millis;
use crate::inbox::store::sql::{self, failed};
use crate::inbox::store::{Claimed, Outcome, Settlement};
use crate::model::AccountId;

pub(super) async fn claim(
    store: &SqliteStore,
    account: &AccountId,
    token: &str,
    limit: usize,
    lease: Duration,
    now: SystemTime,
) -> Result<Vec<Claimed>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let account = sql::account_text(account);
    let now = millis::since_epoch(now);
    let mut transaction = store.begin().await?;
    let rows = sqlx::query(&store.shared.own.claimable)
        .bind(&*account)
        .bind(now)
        .bind(sql::limit(limit))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    let claimed = rows.iter().map(claimed).collect::<Result<Vec<_>>>()?;
    if claimed.is_empty() {
        return Ok(claimed);
    }
    let numbers: Vec<_> = claimed.iter().map(|claimed| claimed.sequence).collect();
    sqlx::query(&store.shared.own.claim)
        .bind(&*account)
        .bind(sql::json(&numbers)?)
        .bind(&*sql::text(token))
        .bind(now.saturating_add(sql::span(lease)))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(claimed)
}

fn claimed(row: &SqliteRow) -> Result<Claimed> {
    let get = |index: usize| row.try_get::<i64, _>(index).map_err(failed);
    let failure = row.try_get::<Option<&str>, _>(5).map_err(failed)?;
    Ok(Claimed {
        sequence: sql::unsigned(get(0)?),
        stored: stored(row, 6)?,
        index: sql::small(get(1)?),
        ordinal: sql::small(get(2)?),
        arrived_at: sql::time(get(3)?)?,
        attempts: sql::small(get(4)?).saturating_add(1),
        failure: failure.map(sql::read_text),
    })
}

pub(super) async fn settle(
    store: &SqliteStore,
    account: &AccountId,
    settlements: &[Settlement],
    now: SystemTime,
) -> Result<Vec<bool>> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let account = sql::account_text(account);
    let now = millis::since_epoch(now);
    let due = |time: Duration| now.saturating_add(sql::span(time));
    let own = &store.shared.own;
    let mut transaction = store.begin().await?;
    let mut settled = Vec::with_capacity(settlements.len());
    // A statement each: within a transaction they cost microseconds.
    for settlement in settlements {
        let (text, due, failure) = match &settlement.outcome {
            Outcome::Acknowledged => (&own.acknowledge, None, None),
            Outcome::Released { after, failure } => {
                (&own.again, Some(due(*after)), failure.as_deref())
            }
            Outcome::Extended(lease) => (&own.hold, Some(due(*lease)), None),
        };
        let done = sqlx::query(text)
            .bind(&*account)
            .bind(sql::number(settlement.sequence))
            .bind(sql::text(&settlement.token))
            .bind(due)
            .bind(failure.map(sql::text))
            .execute(&mut *transaction)
            .await;
        settled.push(done.map_err(failed)?.rows_affected() == 1);
    }
    transaction.commit().await.map_err(failed)?;
    Ok(settled)
}
