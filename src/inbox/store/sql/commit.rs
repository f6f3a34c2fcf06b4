//! Keeping cases.
//!
//! *Problem.* Two processes may have read the same version of a case.
//!
//! *Approach.* One transaction, which locks the account's row first. Each case is written over the
//! version that was read only; if one is not, everything is rolled back. A part of a commit must
//! never be kept.

use super::{Batch, Row, Session, Type, Value, damaged, json, limit, number, owned, span};
use crate::error::Result;
use crate::flow::millis;
use crate::inbox::store::{Commit, Save};

/// A commit as rows, made before the transaction begins: it holds locks.
pub(super) struct Rows {
    /// Cases that are new.
    new: Vec<CaseRow>,
    /// Cases that replace a version.
    known: Vec<CaseRow>,
    orders: Vec<OrderRow>,
    arrivals: Vec<ArrivalRow>,
    coverage: Option<String>,
    /// Whether the account's revision is raised.
    changes_record: bool,
}

/// A case as its columns hold it.
struct CaseRow {
    order_id: String,
    rx_id: Option<String>,
    /// The version that it becomes.
    version: i64,
    /// Of one whose record changes, the account's after this commit; none if it stays as it is.
    revision: Option<i64>,
    changes_record: bool,
    status: Option<String>,
    stage: Option<String>,
    listed: bool,
    fetch_since: Option<i64>,
    fetch_due: Option<i64>,
    given_up: bool,
    changed_at: Option<i64>,
    state: String,
}

/// An order's own data.
struct OrderRow {
    order_id: String,
    data: String,
}

/// An arrival to be logged.
struct ArrivalRow {
    order_id: String,
    /// Counted from the first one of the commit; later from the first one of the account.
    sequence: i64,
    position: i64,
    ordinal: Option<i64>,
    status: Option<String>,
}

impl Rows {
    pub(super) fn of(commit: &Commit) -> Result<Self> {
        let mut rows = Rows {
            new: Vec::new(),
            known: Vec::new(),
            orders: Vec::new(),
            arrivals: Vec::new(),
            coverage: commit
                .coverage
                .map(|coverage| json(&coverage))
                .transpose()?,
            changes_record: false,
        };
        for save in &commit.saves {
            let order_id = owned(save.case.order_id().as_str());
            if let Some(order) = &save.order {
                rows.orders.push(OrderRow {
                    order_id: order_id.clone(),
                    data: json(&**order)?,
                });
            }
            rows.log(save, &order_id);
            let row = CaseRow::new(save, order_id)?;
            rows.changes_record |= row.changes_record;
            // A case that becomes version 1 was read as unknown: it is inserted, and one that is
            // there already is a conflict.
            match row.version {
                1 => rows.new.push(row),
                _ => rows.known.push(row),
            }
        }
        Ok(rows)
    }

    fn log(&mut self, save: &Save, order_id: &str) {
        let history = save.case.history().arrivals();
        for arrival in &save.arrivals {
            let known = usize::try_from(arrival.index).ok();
            let known = known.and_then(|index| history.get(index));
            self.arrivals.push(ArrivalRow {
                order_id: order_id.to_owned(),
                sequence: limit(self.arrivals.len()),
                position: arrival.index.into(),
                ordinal: arrival.ordinal.map(Into::into),
                status: known.map(|arrival| owned(arrival.status().as_str())),
            });
        }
    }

    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.known.is_empty() && self.coverage.is_none()
    }
}

impl CaseRow {
    fn new(save: &Save, order_id: String) -> Result<Self> {
        let case = &save.case;
        let due = case.due_time();
        let stages = case.history().read().stages();
        let stages: Vec<_> = stages.iter().map(|stage| stage.as_str()).collect();
        Ok(CaseRow {
            order_id,
            rx_id: case.rx_id().map(|rx_id| owned(rx_id.as_str())),
            version: number(case.version()).saturating_add(1),
            // One that is new has one.
            revision: (case.version() == 0).then_some(0),
            changes_record: save.changes_record,
            status: case
                .history()
                .last()
                .map(|last| owned(last.status().as_str())),
            // Nobody can always be certain: then all that are possible.
            stage: Some(stages.join(" or ")).filter(|stages| !stages.is_empty()),
            listed: case.is_expected(),
            // When the wait began, and not its span: a comparison that an index can answer.
            fetch_since: due.map(|due| millis::since_epoch(due.at).saturating_sub(span(due.span))),
            fetch_due: due.map(|due| millis::since_epoch(due.at)),
            given_up: case.is_given_up(),
            changed_at: case.changed_at().map(millis::since_epoch),
            state: case.to_json()?,
        })
    }
}

/// `false`, and nothing is kept, if one was not as it was read.
pub(super) async fn commit<S: Session>(
    session: &mut S,
    account: &str,
    mut rows: Rows,
) -> Result<bool> {
    // The account first: its commits come one after the other, and so do their arrivals' numbers.
    let (last, revision) = count_up(session, account, &rows).await?;
    for (cases, statement) in [(&mut rows.new, NEW), (&mut rows.known, KNOWN)] {
        for case in cases.iter_mut().filter(|case| case.changes_record) {
            case.revision = Some(revision);
        }
        let written = session
            .execute_each(statement, &[account.into()], &columns(cases))
            .await?;
        // A new case was there already, or a known one has another version by now: another process
        // was quicker, and the caller plans anew.
        if usize::try_from(written) != Ok(cases.len()) {
            // What was written before is undone with it: an earlier case, and the raised counters.
            session.abandon();
            return Ok(false);
        }
    }
    let orders = Batch::default()
        .column(Type::Text, &rows.orders, |row| row.order_id.as_str().into())
        .column(Type::Text, &rows.orders, |row| row.data.as_str().into());
    session
        .execute_each(ORDERS, &[account.into()], &orders)
        .await?;
    // `last` counts the arrivals of this commit already.
    let before = last - limit(rows.arrivals.len()) + 1;
    for arrival in &mut rows.arrivals {
        arrival.sequence += before;
    }
    log(session, account, &rows.arrivals).await?;
    Ok(true)
}

/// The number of the account's last arrival after this commit, and its revision.
async fn count_up<S: Session>(session: &mut S, account: &str, rows: &Rows) -> Result<(i64, i64)> {
    // It makes the account's row where there is none, and locks it in either case.
    let statement = "
        INSERT INTO @accounts AS a (account, sequence, cases, coverage, revision)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (account) DO UPDATE
        SET sequence = a.sequence + excluded.sequence, cases = a.cases + excluded.cases,
            coverage = coalesce(excluded.coverage, a.coverage),
            revision = a.revision + excluded.revision
        RETURNING sequence, revision";
    let values = [
        account.into(),
        limit(rows.arrivals.len()).into(),
        limit(rows.new.len()).into(),
        Value::Text(rows.coverage.as_deref()),
        i64::from(rows.changes_record).into(),
    ];
    let read = |row: &dyn Row| Ok((row.number(0)?, row.number(1)?));
    let after = session.query(statement, &values, read).await?.pop();
    after.ok_or_else(|| damaged("an account"))
}

macro_rules! case_rows {
    () => {
        "2: order_id text, rx_id text, version number, revision number, status text, stage text, \
         listed flag, fetch_since time, fetch_due time, given_up flag, changed_at time, state text"
    };
}

// `DO NOTHING` and not an error, which would end a transaction of PostgreSQL: that fewer rows were
// written says enough.
const NEW: &str = concat!(
    "INSERT INTO @cases (account, order_id, rx_id, version, revision, status, stage, listed,
        fetch_since, fetch_due, given_up, changed_at, state)
     EACH($1 | ",
    case_rows!(),
    ") ON CONFLICT (account, order_id) DO NOTHING"
);
const KNOWN: &str = concat!(
    "UPDATE @cases AS c SET rx_id = u.rx_id, version = u.version, revision = coalesce(u.revision, c.revision),
        status = u.status, stage = u.stage, listed = u.listed, fetch_since = u.fetch_since,
        fetch_due = u.fetch_due, given_up = u.given_up, changed_at = u.changed_at, state = u.state
     FROM ROWS(",
    case_rows!(),
    ") WHERE c.account = $1 AND c.order_id = u.order_id AND c.version = u.version - 1"
);
const ORDERS: &str = "
    INSERT INTO @orders (account, order_id, data)
    EACH($1 | 2: order_id text, data text)
    ON CONFLICT (account, order_id) DO UPDATE SET data = excluded.data";

fn columns(cases: &[CaseRow]) -> Batch<'_> {
    Batch::default()
        .column(Type::Text, cases, |case| case.order_id.as_str().into())
        .column(Type::Text, cases, |case| Value::Text(case.rx_id.as_deref()))
        .column(Type::Number, cases, |case| case.version.into())
        .column(Type::Number, cases, |case| Value::Number(case.revision))
        .column(Type::Text, cases, |case| {
            Value::Text(case.status.as_deref())
        })
        .column(Type::Text, cases, |case| Value::Text(case.stage.as_deref()))
        .column(Type::Flag, cases, |case| Value::Flag(case.listed))
        .column(Type::Time, cases, |case| Value::Time(case.fetch_since))
        .column(Type::Time, cases, |case| Value::Time(case.fetch_due))
        .column(Type::Flag, cases, |case| Value::Flag(case.given_up))
        .column(Type::Time, cases, |case| Value::Time(case.changed_at))
        .column(Type::Text, cases, |case| case.state.as_str().into())
}

/// Adds arrivals to the log, and those that are deliveries to the queue.
async fn log<S: Session>(session: &mut S, account: &str, arrivals: &[ArrivalRow]) -> Result<()> {
    let values = [account.into(), Value::Time(Some(session.now()))];
    let logged = Batch::default()
        .column(Type::Text, arrivals, |row| row.order_id.as_str().into())
        .column(Type::Number, arrivals, |row| row.sequence.into())
        .column(Type::Number, arrivals, |row| row.position.into())
        .column(Type::Number, arrivals, |row| Value::Number(row.ordinal))
        .column(Type::Text, arrivals, |row| {
            Value::Text(row.status.as_deref())
        });
    let statement = "
        INSERT INTO @arrivals (account, arrived_at, order_id, sequence, position, ordinal, status)
        EACH($1, $2 | 3: order_id text, sequence number, position number, ordinal number, status text)";
    session.execute_each(statement, &values, &logged).await?;

    let deliveries = arrivals.iter().filter(|row| row.ordinal.is_some());
    let deliveries: Vec<_> = deliveries.collect();
    let queued = Batch::default()
        .column(Type::Text, &deliveries, |row| row.order_id.as_str().into())
        .column(Type::Number, &deliveries, |row| row.sequence.into())
        .column(Type::Number, &deliveries, |row| row.position.into())
        .column(Type::Number, &deliveries, |row| Value::Number(row.ordinal));
    let statement = "
        INSERT INTO @deliveries (account, arrived_at, order_id, sequence, position, ordinal)
        EACH($1, $2 | 3: order_id text, sequence number, position number, ordinal number)";
    session.execute_each(statement, &values, &queued).await?;
    Ok(())
}
