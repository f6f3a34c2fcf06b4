//! Handing out deliveries, and taking them back.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::{PostgresStore, stored};
use crate::error::Result;
use crate::inbox::store::sql::{self, failed};
use crate::inbox::store::{Claimed, Outcome, Settlement};
use crate::model::AccountId;

pub(super) async fn claim(
    store: &PostgresStore,
    account: &AccountId,
    token: &str,
    limit: usize,
    lease: Duration,
    now: SystemTime,
) -> Result<Vec<Claimed>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(&store.shared.own.claim)
        .bind(sql::account_text(account))
        .bind(sql::text(token))
        .bind(sql::limit(limit))
        .bind(sql::span(lease))
        .bind(store.time(now))
        .fetch_all(&store.shared.pool)
        .await
        .map_err(failed)?;
    rows.iter().map(claimed).collect()
}

fn claimed(row: &PgRow) -> Result<Claimed> {
    let get = |index: usize| row.try_get::<i64, _>(index).map_err(failed);
    let failure = row.try_get::<Option<&str>, _>(5).map_err(failed)?;
    Ok(Claimed {
        sequence: sql::unsigned(get(0)?),
        stored: stored(row, 6)?,
        index: sql::small(get(1)?),
        ordinal: sql::small(get(2)?),
        arrived_at: sql::time(get(3)?)?,
        attempts: sql::small(get(4)?),
        failure: failure.map(sql::read_text),
    })
}

pub(super) async fn settle(
    store: &PostgresStore,
    account: &AccountId,
    settlements: &[Settlement],
    now: SystemTime,
) -> Result<Vec<bool>> {
    let account = sql::account_text(account);
    let mut settled = vec![false; settlements.len()];
    for round in rounds(settlements) {
        let mut numbers = Vec::with_capacity(round.len());
        let mut tokens = Vec::with_capacity(round.len());
        let mut kinds = Vec::with_capacity(round.len());
        let mut times = Vec::with_capacity(round.len());
        let mut failures = Vec::with_capacity(round.len());
        for (_, settlement) in &round {
            let (kind, time, failure) = match &settlement.outcome {
                Outcome::Acknowledged => (0_i16, Duration::ZERO, None),
                Outcome::Released { after, failure } => (1, *after, failure.as_deref()),
                Outcome::Extended(lease) => (2, *lease, None),
            };
            numbers.push(sql::number(settlement.sequence));
            tokens.push(sql::text(&settlement.token));
            kinds.push(kind);
            times.push(sql::span(time));
            failures.push(failure.map(sql::text));
        }
        let rows = sqlx::query(&store.shared.own.settle)
            .bind(&*account)
            .bind(numbers)
            .bind(tokens.iter().map(|token| &**token).collect::<Vec<_>>())
            .bind(kinds)
            .bind(times)
            .bind(failures.iter().map(Option::as_deref).collect::<Vec<_>>())
            .bind(store.time(now))
            .fetch_all(&store.shared.pool)
            .await
            .map_err(failed)?;
        let numbers = rows
            .iter()
            .map(|row| row.try_get(0).map(sql::unsigned).map_err(failed));
        let numbers = numbers.collect::<Result<HashSet<_>>>()?;
        for (place, settlement) in round {
            if let Some(settled) = settled.get_mut(place) {
                *settled = numbers.contains(&settlement.sequence);
            }
        }
    }
    Ok(settled)
}

/// Settlements in rounds of which none has a delivery twice, so that one statement can take a
/// round; with the place of each. Nearly always there is one round.
fn rounds(settlements: &[Settlement]) -> Vec<Vec<(usize, &Settlement)>> {
    let mut rounds: Vec<(HashSet<u64>, Vec<_>)> = Vec::new();
    for (place, settlement) in settlements.iter().enumerate() {
        let free = rounds
            .iter_mut()
            .position(|(seen, _)| !seen.contains(&settlement.sequence));
        let round = free.unwrap_or_else(|| {
            rounds.push(Default::default());
            rounds.len() - 1
        });
        if let Some((seen, round)) = rounds.get_mut(round) {
            seen.insert(settlement.sequence);
            round.push((place, settlement));
        }
    }
    rounds.into_iter().map(|(_, round)| round).collect()
}
