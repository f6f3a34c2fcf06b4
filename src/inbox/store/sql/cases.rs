//! Reading cases and the log.
//!
//! *Problem.* A poll of an account with a million cases must cost what is listed, and not what
//! there is.
//!
//! *Approach.* Each statement reads by one index, in its order, and has a limit where the answer
//! could grow. What is read must not be locked: polls go on beside commits.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Batch, Row, Session, Type, damaged, limit, number, read_text};
use crate::error::Result;
use crate::inbox::store::{
    AccountState, Case, Counts, LoggedArrival, NewArrival, Poller, StoredCase,
};
use crate::model::{Order, OrderId, RxId};

/// What [`case`] reads.
macro_rules! case_columns {
    () => {
        "c.order_id, c.rx_id, c.version, c.revision, c.state"
    };
}

/// What [`stored`] reads, of `c` and its order.
macro_rules! stored_columns {
    () => {
        "c.order_id, c.rx_id, c.version, c.revision, c.state, o.data"
    };
}
pub(super) use stored_columns;

macro_rules! join_orders {
    () => {
        " LEFT JOIN @orders o ON o.account = c.account AND o.order_id = c.order_id "
    };
}
pub(super) use join_orders;

/// A case from its columns, of which this is the first.
pub(super) fn case(row: &dyn Row, first: usize) -> Result<Case> {
    let rx_id = row.text_or_null(first + 1)?;
    let order_id = OrderId::new(read_text(row.text(first)?));
    let rx_id = rx_id.map(|rx_id| RxId::new(read_text(rx_id)));
    Case::from_stored(
        order_id,
        rx_id,
        row.unsigned(first + 2)?,
        row.unsigned(first + 3)?,
        row.text(first + 4)?,
    )
}

/// The same with its order's data.
pub(super) fn stored(row: &dyn Row, first: usize) -> Result<StoredCase> {
    let case = case(row, first)?;
    let data = row.text_or_null(first + 5)?;
    let order = data.map(|data| {
        Order::from_json(data)
            .map(Arc::new)
            .ok_or_else(|| damaged(&format!("an order's data, revision {},", case.revision())))
    });
    Ok(StoredCase {
        order: order.transpose()?,
        case,
    })
}

pub(super) async fn account<S: Session>(session: &mut S, account: &str) -> Result<AccountState> {
    let statement = "
        SELECT a.coverage, a.revision, p.process, p.until FROM @accounts a
        LEFT JOIN @processes p ON p.process = a.process AND p.until > $2 AND p.since <= $3
        WHERE a.account = $1";
    let read = |row: &dyn Row| {
        let coverage = row.text_or_null(0)?.map(serde_json::from_str);
        let coverage = coverage.transpose();
        // Not in the parser's words, which quote values.
        let coverage = coverage.map_err(|_| damaged("what an account is covered by"))?;
        let mut state = AccountState::new(coverage.unwrap_or_default(), row.unsigned(1)?);
        let process = row.text_or_null(2)?.map(read_text);
        state.poller = process
            .zip(row.time(3)?)
            .map(|(process, until)| Poller::new(process, until));
        Ok(state)
    };
    let now = super::Value::Time(Some(session.now()));
    let values = [account.into(), now, super::not_yet(session)];
    let mut rows = session.query(statement, &values, read).await?;
    Ok(rows.pop().unwrap_or_default())
}

pub(super) async fn expected<S: Session>(session: &mut S, account: &str) -> Result<Vec<Case>> {
    let statement = concat!(
        "SELECT ",
        case_columns!(),
        " FROM @cases c WHERE c.account = $1 AND c.listed"
    );
    session
        .query(statement, &[account.into()], |row| case(row, 0))
        .await
}

pub(super) async fn by_order<S: Session>(
    session: &mut S,
    account: &str,
    order_id: &str,
) -> Result<Option<StoredCase>> {
    let statement = concat!(
        "SELECT ",
        stored_columns!(),
        " FROM @cases c",
        join_orders!(),
        "WHERE c.account = $1 AND c.order_id = $2"
    );
    let values = [account.into(), order_id.into()];
    let rows = session.query(statement, &values, |row| stored(row, 0));
    Ok(rows.await?.pop())
}

/// Those that have one of these order ids, or one of these Rx ids.
pub(super) async fn find_all<S: Session>(
    session: &mut S,
    account: &str,
    order_ids: &[String],
    rx_ids: &[String],
) -> Result<Vec<Case>> {
    let by_order = concat!(
        "SELECT ",
        case_columns!(),
        " FROM ROWS(2: id text) JOIN @cases c ON c.account = $1 AND c.order_id = u.id"
    );
    let by_rx = concat!(
        "SELECT ",
        case_columns!(),
        " FROM ROWS(2: id text) JOIN @cases c ON c.account = $1 AND c.rx_id = u.id"
    );
    let mut found: HashMap<OrderId, Case> = HashMap::new();
    // Two statements and no `OR`, each by its index. The map drops a case that both find.
    for (statement, ids) in [(by_order, order_ids), (by_rx, rx_ids)] {
        if ids.is_empty() {
            continue;
        }
        let batch = Batch::default().column(Type::Text, ids, |id| id.as_str().into());
        let values = [account.into()];
        let cases = session.query_each(statement, &values, &batch, |row| case(row, 0));
        let cases = cases.await?.into_iter();
        found.extend(cases.map(|case| (case.order_id().clone(), case)));
    }
    Ok(found.into_values().collect())
}

pub(super) async fn due<S: Session>(
    session: &mut S,
    account: &str,
    most: usize,
) -> Result<Vec<Case>> {
    // Each by its index. What a wrong clock has set is due too.
    let statement = concat!(
        "SELECT order_id, rx_id, version, revision, state, fetch_due FROM (
            SELECT ",
        case_columns!(),
        ", c.fetch_due FROM @cases c
            WHERE c.account = $1 AND c.fetch_due <= $2 ORDER BY c.fetch_due LIMIT $3) AS passed
         UNION SELECT order_id, rx_id, version, revision, state, fetch_due FROM (
            SELECT ",
        case_columns!(),
        ", c.fetch_due FROM @cases c
            WHERE c.account = $1 AND c.fetch_since > $4 ORDER BY c.fetch_due LIMIT $3) AS wrong
         ORDER BY fetch_due LIMIT $3"
    );
    let now = super::Value::Time(Some(session.now()));
    let not_yet = super::not_yet(session);
    let values = [account.into(), now, limit(most).into(), not_yet];
    let cases = session.query(statement, &values, |row| case(row, 0));
    cases.await
}

pub(super) async fn arrivals<S: Session>(
    session: &mut S,
    account: &str,
    after: u64,
    most: usize,
) -> Result<Vec<LoggedArrival>> {
    let statement = concat!(
        "SELECT a.sequence, a.position, a.ordinal, ",
        stored_columns!(),
        " FROM @arrivals a JOIN @cases c ON c.account = a.account AND c.order_id = a.order_id",
        join_orders!(),
        "WHERE a.account = $1 AND a.sequence > $2 ORDER BY a.sequence LIMIT $3"
    );
    let read = |row: &dyn Row| {
        let ordinal = row.number_or_null(2)?.map(super::small);
        let arrival = NewArrival::new(row.small(1)?, ordinal);
        LoggedArrival::new(row.unsigned(0)?, arrival, stored(row, 3)?)
    };
    let values = [account.into(), number(after).into(), limit(most).into()];
    session.query(statement, &values, read).await
}

pub(super) async fn cases<S: Session>(
    session: &mut S,
    account: &str,
    after: Option<&str>,
    most: usize,
) -> Result<Vec<StoredCase>> {
    // Two statements: with a condition that may be absent, planners do not go by the index.
    let first = concat!(
        "SELECT ",
        stored_columns!(),
        " FROM @cases c",
        join_orders!(),
        "WHERE c.account = $1 ORDER BY c.order_id LIMIT $2"
    );
    let next = concat!(
        "SELECT ",
        stored_columns!(),
        " FROM @cases c",
        join_orders!(),
        "WHERE c.account = $1 AND c.order_id > $3 ORDER BY c.order_id LIMIT $2"
    );
    let read = |row: &dyn Row| stored(row, 0);
    let (account, most) = (account.into(), limit(most).into());
    match after {
        Some(after) => {
            let values = [account, most, after.into()];
            session.query(next, &values, read).await
        }
        None => session.query(first, &[account, most], read).await,
    }
}

pub(super) async fn counts<S: Session>(session: &mut S, account: &str) -> Result<Counts> {
    // Cases and arrivals are counted by the account's row, as they are many. The rest is few, and has
    // an index each.
    let statement = "
        SELECT coalesce((SELECT a.cases FROM @accounts a WHERE a.account = $1), 0),
            coalesce((SELECT a.sequence FROM @accounts a WHERE a.account = $1), 0),
            count(*), count(CASE WHEN d.due > $2 AND d.since <= $3 THEN 1 END),
            count(d.failure), min(d.arrived_at),
            max(CASE WHEN d.failure IS NOT NULL THEN d.attempts END),
            (SELECT count(*) FROM @cases c
                WHERE c.account = $1 AND (c.fetch_due <= $2 OR c.fetch_since > $3)),
            (SELECT min(c.fetch_due) FROM @cases c
                WHERE c.account = $1 AND (c.fetch_due <= $2 OR c.fetch_since > $3)),
            (SELECT count(*) FROM @cases c WHERE c.account = $1 AND c.given_up)
        FROM @deliveries d WHERE d.account = $1";
    let read = |row: &dyn Row| {
        Ok(Counts {
            cases: row.unsigned(0)?,
            arrivals: row.unsigned(1)?,
            open: row.unsigned(2)?,
            hidden: row.unsigned(3)?,
            failed: row.unsigned(4)?,
            oldest: row.time(5)?,
            most_attempts: row.number_or_null(6)?.map_or(0, super::small),
            due: row.unsigned(7)?,
            oldest_fetch: row.time(8)?,
            given_up: row.unsigned(9)?,
        })
    };
    let now = super::Value::Time(Some(session.now()));
    let values = [account.into(), now, super::not_yet(session)];
    let mut rows = session.query(statement, &values, read).await?;
    rows.pop().ok_or_else(|| damaged("the count of deliveries"))
}
