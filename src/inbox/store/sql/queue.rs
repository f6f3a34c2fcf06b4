//! Claiming deliveries, and settling them.
//!
//! What can be claimed has no due time, whatever a clock said when it was committed: so it lies
//! together in an index, and a claim never walks over what is hidden. What is hidden says since
//! when, so that a due time that a wrong clock has set is noticed: a time to wait that has not
//! begun yet counts as passed.

use std::collections::HashSet;
use std::time::Duration;

use super::cases::{join_orders, stored, stored_columns};
use super::{Batch, Row, Session, Type, Value, limit, not_yet, number, read_text, span, text};
use crate::error::Result;
use crate::inbox::store::{ClaimedDelivery, Outcome, Settlement};

/// Of a case one delivery can be claimed at a time: the first open one, but for those that failed and
/// wait for their next try.
// What waits after a failure has a reason, a due time and no token; what is held has a token and a due
// time. No time is compared: `end_waits` has cleared those that are over.
macro_rules! none_before {
    () => {
        "NOT EXISTS (SELECT 1 FROM @deliveries e BY(@deliveries_case)
            WHERE e.account = d.account AND e.order_id = d.order_id AND (
                (e.sequence < d.sequence
                    AND NOT (e.failure IS NOT NULL AND e.token IS NULL AND e.due IS NOT NULL))
                OR (e.sequence > d.sequence AND e.token IS NOT NULL AND e.due IS NOT NULL)))"
    };
}

pub(super) async fn claim<S: Session>(
    session: &mut S,
    account: &str,
    token: &str,
    most: usize,
    lease: Duration,
) -> Result<Vec<ClaimedDelivery>> {
    // Looked for first: most claims have no wait to end, and one that finds nothing must write
    // nothing.
    let (mut claimed, waits_ended) = claimable(session, account, most).await?;
    if waits_ended && end_waits(session, account).await? {
        claimed = claimable(session, account, most).await?.0;
    }
    if claimed.is_empty() {
        return Ok(claimed);
    }
    let taken = Batch::default().column(Type::Number, &claimed, |claimed| {
        number(claimed.sequence).into()
    });
    // Asked again, now that its case is locked: another worker may have been a moment earlier.
    let statement = concat!(
        "UPDATE @deliveries AS d SET token = $2, since = $3, due = $4, attempts = d.attempts + 1
         FROM ROWS(5: sequence number) WHERE d.account = $1 AND d.sequence = u.sequence AND ",
        none_before!()
    );
    let now = session.now();
    let due = now.saturating_add(span(lease));
    let times = [now, due].map(|time| Value::Time(Some(time)));
    let values = [account.into(), token.into(), times[0], times[1]];
    let written = session.execute_each(statement, &values, &taken).await?;
    // Nearly never: asked only where another worker was quicker.
    if usize::try_from(written) != Ok(claimed.len()) {
        let statement = "
            SELECT d.sequence FROM ROWS(3: sequence number) JOIN @deliveries d
            ON d.account = $1 AND d.token = $2 AND d.sequence = u.sequence";
        let values = [account.into(), token.into()];
        let ours = session.query_each(statement, &values, &taken, |row| row.unsigned(0));
        let ours: HashSet<u64> = ours.await?.into_iter().collect();
        claimed.retain(|claimed| ours.contains(&claimed.sequence));
    }
    Ok(claimed)
}

/// What can be claimed, and whether there is something hidden whose time is over: nearly never, so it
/// is asked with the rest.
async fn claimable<S: Session>(
    session: &mut S,
    account: &str,
    most: usize,
) -> Result<(Vec<ClaimedDelivery>, bool)> {
    // Its case is locked with it, so that two workers do not claim two deliveries of one case: what
    // another worker is claiming right now is passed over.
    let statement = concat!(
        "SELECT d.sequence, d.position, d.ordinal, d.arrived_at, d.attempts, d.failure,
            CAST(CASE WHEN d.repeated THEN 1 ELSE 0 END AS bigint), ",
        stored_columns!(),
        ", CAST(CASE WHEN EXISTS (SELECT 1 FROM @deliveries w WHERE w.account = $1 AND w.due <= $3)
             OR EXISTS (SELECT 1 FROM @deliveries w WHERE w.account = $1 AND w.since > $4)
             THEN 1 ELSE 0 END AS bigint)
         FROM @deliveries d BY(@deliveries_free)
            JOIN @cases c ON c.account = d.account AND c.order_id = d.order_id",
        join_orders!(),
        "WHERE d.account = $1 AND d.due IS NULL
            AND ",
        none_before!(),
        " ORDER BY d.sequence LIMIT $2 LOCK_FREE(d, c)"
    );
    let values = [
        account.into(),
        limit(most).into(),
        Value::Time(Some(session.now())),
        not_yet(session),
    ];
    let read = |row: &dyn Row| Ok((claimed(row)?, row.number(13)? != 0));
    let found = session.query(statement, &values, read).await?;
    // Each row has the same answer. Without a row nobody has answered, so `end_waits` looks.
    let waits_ended = found.first().is_none_or(|(_, waits_ended)| *waits_ended);
    Ok((
        found.into_iter().map(|(claimed, _)| claimed).collect(),
        waits_ended,
    ))
}

fn claimed(row: &dyn Row) -> Result<ClaimedDelivery> {
    let arrived_at = row.time(3)?;
    let arrived_at = arrived_at.ok_or_else(|| super::damaged("a time"))?;
    let (sequence, stored) = (row.unsigned(0)?, stored(row, 7)?);
    let mut claimed =
        ClaimedDelivery::new(sequence, row.small(1)?, row.small(2)?, arrived_at, stored);
    claimed.attempts = row.small(4)?.saturating_add(1);
    claimed.failure = row.text_or_null(5)?.map(read_text);
    // A number, as SQLite has no type for flags.
    claimed.repeated = row.number(6)? != 0;
    Ok(claimed)
}

/// How many waits are ended at a time.
// After an outage of days there may be many: no list of them must grow without a bound.
const WAITS: i64 = 1000;

/// Lets what has been hidden for long enough be claimed again. Whether there was any.
async fn end_waits<S: Session>(session: &mut S, account: &str) -> Result<bool> {
    let now = Value::Time(Some(session.now()));
    // In the order of an index each, so that no planner thinks of reading all.
    let find = "
        SELECT sequence FROM (SELECT d.sequence FROM @deliveries d
            WHERE d.account = $1 AND d.due <= $2 ORDER BY d.due LIMIT $4) AS passed
        UNION SELECT sequence FROM (SELECT d.sequence FROM @deliveries d
            WHERE d.account = $1 AND d.since > $3 ORDER BY d.since LIMIT $4) AS wrong";
    // Asked again, since another worker may have taken one by now.
    // The token stays: what a late worker says still counts while nobody else has claimed.
    let end = "
        UPDATE @deliveries SET due = NULL, since = NULL
        WHERE account = $1 AND sequence IN (
            SELECT d.sequence FROM ROWS(4: sequence number)
            JOIN @deliveries d ON d.account = $1 AND d.sequence = u.sequence
            WHERE d.due <= $2 OR d.since > $3 LOCK_FREE(d))";
    let values = [account.into(), now, not_yet(session), WAITS.into()];
    let read = |row: &dyn Row| row.number(0);
    let mut any = false;
    loop {
        let over = session.query(find, &values, read).await?;
        if over.is_empty() {
            return Ok(any);
        }
        let rows = Batch::default().column(Type::Number, &over, |sequence| (*sequence).into());
        let [account, now, not_yet, _] = values;
        let ended = session
            .execute_each(end, &[account, now, not_yet], &rows)
            .await?;
        // What others have locked is left to them.
        any |= ended > 0;
        if ended < WAITS.unsigned_abs() {
            return Ok(any);
        }
    }
}

pub(super) async fn settle<S: Session>(
    session: &mut S,
    account: &str,
    settlements: &[Settlement],
) -> Result<Vec<bool>> {
    let mut settled = vec![false; settlements.len()];
    for round in rounds(settlements) {
        let done = |(_, one): &PlacedSettlement<'_>| one.outcome == Outcome::Acknowledged;
        // Nearly always: one statement in place of three.
        if round.iter().all(done) {
            let done = held(session, account, &round, ACKNOWLEDGED).await?;
            for (place, settlement) in &round {
                // Always there: places are those of `settlements`.
                if let Some(settled) = settled.get_mut(*place) {
                    *settled = done.contains(&settlement.sequence);
                }
            }
            continue;
        }
        let held = held(session, account, &round, HELD).await?;
        let kept = round
            .iter()
            .filter(|(_, settlement)| held.contains(&settlement.sequence));
        let kept: Vec<_> = kept.copied().collect();
        for (place, _) in &kept {
            if let Some(settled) = settled.get_mut(*place) {
                *settled = true;
            }
        }
        keep(session, account, &kept).await?;
    }
    Ok(settled)
}

/// A settlement with its place among all.
type PlacedSettlement<'a> = (usize, &'a Settlement);

/// Settlements in rounds of which none has a delivery twice, so that one statement can take a
/// round. Nearly always there is one round.
fn rounds(settlements: &[Settlement]) -> Vec<Vec<PlacedSettlement<'_>>> {
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

macro_rules! held {
    () => {
        "SELECT d.sequence FROM ROWS(2: sequence number, token text)
         JOIN @deliveries d ON d.account = $1 AND d.sequence = u.sequence AND d.token = u.token
         ORDER BY d.sequence LOCK(d)"
    };
}
const HELD: &str = held!();
/// Those are most: they are found and done at once.
const ACKNOWLEDGED: &str = concat!(
    "DELETE FROM @deliveries WHERE account = $1 AND sequence IN (",
    held!(),
    ") RETURNING sequence"
);

/// Opens the last delivery of an order again, whether or not it is open. Whether there is one.
pub(super) async fn reopen<S: Session>(
    session: &mut S,
    account: &str,
    order_id: &str,
) -> Result<bool> {
    let statement = "
        INSERT INTO @deliveries (account, sequence, order_id, position, ordinal, arrived_at, repeated)
        SELECT a.account, a.sequence, a.order_id, a.position, a.ordinal, a.arrived_at, $3
        FROM @arrivals a BY(@arrivals_case)
        WHERE a.account = $1 AND a.order_id = $2 AND a.ordinal IS NOT NULL
        ORDER BY a.sequence DESC LIMIT 1
        ON CONFLICT (account, sequence) DO UPDATE SET since = NULL, due = NULL, token = NULL,
            attempts = 0, failure = NULL, repeated = excluded.repeated";
    let values = [account.into(), order_id.into(), Value::Flag(true)];
    Ok(session.execute(statement, &values).await? > 0)
}

/// Those that are open and were claimed last with their token. Rows are locked in one order, so
/// that two that settle the same cannot wait for each other.
async fn held<S: Session>(
    session: &mut S,
    account: &str,
    round: &[PlacedSettlement<'_>],
    statement: &'static str,
) -> Result<HashSet<u64>> {
    let tokens: Vec<_> = round.iter().map(|(_, one)| text(&one.token)).collect();
    let asked = Batch::default()
        .column(Type::Number, round, |(_, one)| number(one.sequence).into())
        .column(Type::Text, &tokens, |token| token.into());
    let values = [account.into()];
    let held = session.query_each(statement, &values, &asked, |row| row.unsigned(0));
    Ok(held.await?.into_iter().collect())
}

/// What becomes of a delivery that goes on.
struct Change<'a> {
    sequence: i64,
    /// Whether it stays with whom it is.
    keeps: bool,
    hidden: Duration,
    failure: Option<std::borrow::Cow<'a, str>>,
}

async fn keep<S: Session>(
    session: &mut S,
    account: &str,
    kept: &[PlacedSettlement<'_>],
) -> Result<()> {
    // Where one of the two stays empty, nothing is sent for it.
    let (mut done, mut changed) = (Vec::new(), Vec::new());
    for (_, settlement) in kept {
        let sequence = number(settlement.sequence);
        match &settlement.outcome {
            Outcome::Acknowledged => done.push(sequence),
            Outcome::Released { after, failure } => changed.push(Change {
                sequence,
                // Given back, its token is void: the worker must not settle it a second time.
                keeps: false,
                hidden: *after,
                failure: failure.as_deref().map(text),
            }),
            Outcome::Extended(lease) => changed.push(Change {
                sequence,
                keeps: true,
                hidden: *lease,
                failure: None,
            }),
        }
    }
    let statement = "
        DELETE FROM @deliveries WHERE account = $1
        AND sequence IN (SELECT u.sequence FROM ROWS(2: sequence number))";
    let rows = Batch::default().column(Type::Number, &done, |sequence| (*sequence).into());
    session
        .execute_each(statement, &[account.into()], &rows)
        .await?;

    let statement = "
        UPDATE @deliveries AS d SET since = u.since, due = u.due,
            token = CASE WHEN u.keeps THEN d.token END, failure = coalesce(u.failure, d.failure)
        FROM ROWS(2: sequence number, keeps flag, since time, due time, failure text)
        WHERE d.account = $1 AND d.sequence = u.sequence";
    let now = session.now();
    // Without a time to wait it can be claimed at once.
    let time =
        |change: &Change<'_>, time: i64| Value::Time((!change.hidden.is_zero()).then_some(time));
    let rows = Batch::default()
        .column(Type::Number, &changed, |change| change.sequence.into())
        .column(Type::Flag, &changed, |change| Value::Flag(change.keeps))
        .column(Type::Time, &changed, |change| time(change, now))
        .column(Type::Time, &changed, |change| {
            time(change, now.saturating_add(span(change.hidden)))
        })
        .column(Type::Text, &changed, |change| {
            Value::Text(change.failure.as_deref())
        });
    session
        .execute_each(statement, &[account.into()], &rows)
        .await?;
    Ok(())
}
