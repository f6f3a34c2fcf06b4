//! What the stores on SQL databases share: the statements that both dialects know, and how
//! cases stand in columns.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Case, Commit, NewArrival, Stored};
use crate::error::{Error, Kind, Result};
use crate::flow::millis;
use crate::inbox::plan::ListingCoverage;
use crate::model::{AccountId, Order, OrderId, RxId};

/// Makes a struct of statements. In their texts `@name` is a table of ours, and `@clock` the
/// database's time in milliseconds, which counts where the time that is passed in is NULL.
macro_rules! statements {
    ($(#[$about:meta])* $struct:ident: $($(#[$meta:meta])* $name:ident = $text:expr;)*) => {
        $(#[$about])*
        pub(super) struct $struct {
            $($(#[$meta])* pub(super) $name: String,)*
        }

        impl $struct {
            /// `prefix` stands before the name of each table.
            pub(super) fn new(prefix: &str, clock: &str) -> Self {
                $struct {
                    $($name: $crate::inbox::store::sql::fill($text, prefix, clock),)*
                }
            }
        }
    };
}
pub(super) use statements;

/// Puts the names of tables and the clock into a statement.
pub(super) fn fill(text: &str, prefix: &str, clock: &str) -> String {
    text.replace("@clock", clock).replace('@', prefix)
}

/// A case with its order's data: what [`stored`] reads.
macro_rules! case_columns {
    () => {
        "c.order_id, c.rx_id, c.version, c.state"
    };
}
pub(super) use case_columns;

macro_rules! stored_from {
    ($join:literal, $where:literal) => {
        concat!(
            $crate::inbox::store::sql::case_columns!(),
            ", o.data FROM ",
            $join,
            " LEFT JOIN @orders o ON o.account = c.account AND o.order_id = c.order_id WHERE ",
            $where
        )
    };
}
pub(super) use stored_from;

statements! {
    /// What both dialects know.
    Statements:

    /// Account, holder, lease, now. Granted if a row was written.
    lease = "
        INSERT INTO @accounts AS a (account, holder, held_until)
        VALUES ($1, $2, coalesce($4, @clock) + $3)
        ON CONFLICT (account) DO UPDATE
        SET holder = excluded.holder, held_until = coalesce($4, @clock) + $3
        WHERE a.holder IS NULL OR a.holder = excluded.holder
            OR a.held_until <= coalesce($4, @clock)";
    epoch = "SELECT epoch FROM @accounts WHERE account = $1";
    /// Account, number of arrivals, number of new cases, epoch. Locks the account, and gives the
    /// number of its last arrival after this commit.
    account = "
        INSERT INTO @accounts AS a (account, sequence, cases, epoch) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account) DO UPDATE
        SET sequence = a.sequence + excluded.sequence, cases = a.cases + excluded.cases,
            epoch = coalesce(excluded.epoch, a.epoch)
        RETURNING sequence";
    listed = concat!("SELECT ", case_columns!(), " FROM @cases c WHERE c.account = $1 AND c.listed");
    find_order = concat!("SELECT ", stored_from!("@cases c", "c.account = $1 AND c.order_id = $2"));
    find_rx = concat!("SELECT ", stored_from!("@cases c", "c.account = $1 AND c.rx_id = $2"), " LIMIT 1");
    /// Account, now, limit. The time is a query of its own so that it is asked once, and the
    /// index can be searched by it.
    due = concat!("SELECT ", case_columns!(), " FROM @cases c
        WHERE c.account = $1 AND c.look_at <= (SELECT coalesce($2, @clock))
        ORDER BY c.look_at LIMIT $3");
    /// Account, after, limit.
    arrivals = concat!("SELECT a.sequence, a.position, a.ordinal, ", stored_from!(
        "@arrivals a JOIN @cases c ON c.account = a.account AND c.order_id = a.order_id",
        "a.account = $1 AND a.sequence > $2 ORDER BY a.sequence LIMIT $3"
    ));
    /// Account, limit.
    first_cases = concat!("SELECT ", stored_from!(
        "@cases c", "c.account = $1 ORDER BY c.order_id LIMIT $2"
    ));
    /// Account, limit, after.
    next_cases = concat!("SELECT ", stored_from!(
        "@cases c", "c.account = $1 AND c.order_id > $3 ORDER BY c.order_id LIMIT $2"
    ));
    /// Account, now.
    counts = "
        SELECT coalesce((SELECT a.cases FROM @accounts a WHERE a.account = $1), 0),
            count(*), count(CASE WHEN d.due > (SELECT coalesce($2, @clock)) THEN 1 END),
            count(d.failure), min(d.arrived_at),
            coalesce((SELECT a.sequence FROM @accounts a WHERE a.account = $1), 0)
        FROM @deliveries d WHERE d.account = $1";
    /// Account, time.
    forget_before = "
        DELETE FROM @orders AS o WHERE o.account = $1
        AND EXISTS (SELECT 1 FROM @cases c WHERE c.account = o.account AND c.order_id = o.order_id
            AND NOT c.listed AND (c.changed_at IS NULL OR c.changed_at < $2))
        AND NOT EXISTS (SELECT 1 FROM @deliveries d
            WHERE d.account = o.account AND d.order_id = o.order_id)";
    /// Account, order.
    forget_order = "
        DELETE FROM @orders AS o WHERE o.account = $1 AND o.order_id = $2
        AND EXISTS (SELECT 1 FROM @cases c WHERE c.account = o.account AND c.order_id = o.order_id
            AND NOT c.listed)
        AND NOT EXISTS (SELECT 1 FROM @deliveries d
            WHERE d.account = o.account AND d.order_id = o.order_id)";

    load_tokens = "SELECT tokens FROM @tokens WHERE key = $1";
    /// Key, generation, holder, lease, now. Granted if a row was written.
    claim_tokens = "
        UPDATE @tokens SET holder = $3, held_until = coalesce($5, @clock) + $4
        WHERE key = $1 AND generation = $2
        AND (holder IS NULL OR holder = $3 OR held_until <= coalesce($5, @clock))";
    /// Key, generation, tokens. Done if a row was written.
    first_tokens = "
        INSERT INTO @tokens (key, generation, tokens) VALUES ($1, $2, $3)
        ON CONFLICT (key) DO NOTHING";
    /// Key, generation, tokens, the generation that they replace. Done if a row was written.
    next_tokens = "
        UPDATE @tokens SET generation = $2, tokens = $3, holder = NULL, held_until = NULL
        WHERE key = $1 AND generation = $4";
    clear_tokens = "DELETE FROM @tokens WHERE key = $1";
}

/// A case of a commit as its columns hold it.
pub(super) struct CaseRow<'a> {
    pub(super) order_id: Cow<'a, str>,
    pub(super) rx_id: Option<Cow<'a, str>>,
    /// The version that it replaces.
    pub(super) version: i64,
    pub(super) listed: bool,
    pub(super) look_at: Option<i64>,
    pub(super) changed_at: Option<i64>,
    pub(super) state: String,
}

/// An order's own data.
pub(super) struct OrderRow<'a> {
    pub(super) order_id: Cow<'a, str>,
    pub(super) data: String,
}

/// An arrival to be logged, without its number.
pub(super) struct ArrivalRow<'a> {
    pub(super) order_id: Cow<'a, str>,
    pub(super) index: i64,
    pub(super) ordinal: Option<i64>,
}

/// A commit as rows, made before the transaction begins: it holds locks.
pub(super) struct Rows<'a> {
    /// Cases that are new.
    pub(super) new: Vec<CaseRow<'a>>,
    /// Cases that replace a version.
    pub(super) known: Vec<CaseRow<'a>>,
    pub(super) orders: Vec<OrderRow<'a>>,
    pub(super) arrivals: Vec<ArrivalRow<'a>>,
    pub(super) epoch: Option<String>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(commit: &'a Commit) -> Result<Self> {
        let mut rows = Rows {
            new: Vec::new(),
            known: Vec::new(),
            orders: Vec::new(),
            arrivals: Vec::new(),
            epoch: commit.coverage.map(|epoch| json(&epoch)).transpose()?,
        };
        for save in &commit.saves {
            let case = &save.case;
            let order_id = text(case.order_id().as_str());
            if let Some(order) = &save.order {
                rows.orders.push(OrderRow {
                    order_id: order_id.clone(),
                    data: json(&**order)?,
                });
            }
            let arrivals = save.arrivals.iter();
            rows.arrivals
                .extend(arrivals.map(|arrival| ArrivalRow::new(order_id.clone(), *arrival)));
            let row = CaseRow {
                order_id,
                rx_id: case.rx_id().map(|rx_id| text(rx_id.as_str())),
                version: number(case.version()),
                listed: case.is_listed(),
                look_at: case.fetch_due().map(|due| millis::since_epoch(due.at)),
                changed_at: case.changed_at().map(millis::since_epoch),
                state: case.to_json()?,
            };
            match row.version {
                0 => rows.new.push(row),
                _ => rows.known.push(row),
            }
        }
        Ok(rows)
    }

    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.known.is_empty() && self.epoch.is_none()
    }
}

impl<'a> ArrivalRow<'a> {
    fn new(order_id: Cow<'a, str>, arrival: NewArrival) -> Self {
        ArrivalRow {
            order_id,
            index: arrival.index.into(),
            ordinal: arrival.ordinal.map(Into::into),
        }
    }
}

/// A case from its columns.
pub(super) fn case(id: &str, rx_id: Option<&str>, version: i64, state: &str) -> Result<Case> {
    let rx_id = rx_id.map(|rx_id| RxId::new(read_text(rx_id)));
    Case::from_stored(
        OrderId::new(read_text(id)),
        rx_id,
        unsigned(version),
        0,
        state,
    )
}

/// A case with its order's data.
pub(super) fn stored(case: Case, data: Option<&str>) -> Result<Stored> {
    let order = data.map(|data| {
        // The parser's message may show a part of the text.
        Order::from_json(data)
            .map(Arc::new)
            .ok_or_else(|| damaged(&format!("the data of order {}", case.order_id())))
    });
    let order = order.transpose()?;
    Ok(Stored { case, order })
}

pub(super) fn epoch(json: Option<&str>) -> Result<ListingCoverage> {
    let epoch = json.map(|json| serde_json::from_str(json).map_err(|_| damaged("an epoch")));
    Ok(epoch.transpose()?.unwrap_or_default())
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::store)
}

/// Texts as columns hold them: PostgreSQL has no text with a NUL in it, and an id that a service
/// sends may have one.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte == 0 || byte == b'\\') {
        text.replace('\\', "\\\\").replace('\0', "\\0").into()
    } else {
        text.into()
    }
}

/// What [`text`] was made of.
pub(super) fn read_text(text: &str) -> String {
    let mut pieces = text.split('\\');
    let mut read = pieces.next().unwrap_or_default().to_owned();
    // An escape is two characters: after `\\` the piece between the two is empty.
    while let Some(piece) = pieces.next() {
        if let Some(rest) = piece.strip_prefix('0') {
            read.push('\0');
            read.push_str(rest);
        } else {
            read.push('\\');
            read.push_str(pieces.next().unwrap_or_default());
        }
    }
    read
}

/// Of the orders of a listing those that are not among the cases that were found, each once:
/// nearly none.
pub(super) fn others<'a>(found: &[Case], orders: &'a [OrderId]) -> Vec<Cow<'a, str>> {
    let found: HashSet<_> = found.iter().map(Case::order_id).collect();
    let others = orders.iter().filter(|id| !found.contains(id));
    let mut others: Vec<_> = others.map(|id| text(id.as_str())).collect();
    others.sort_unstable();
    others.dedup();
    others
}

pub(super) fn account_text(account: &AccountId) -> Cow<'_, str> {
    text(account.as_str())
}

/// No longer than this is anything hidden or leased: 1,000 years, so that no sum overflows.
const LONGEST: i64 = 1000 * 366 * 24 * 60 * 60 * 1000;

/// A time span in milliseconds.
pub(super) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(LONGEST, |millis| millis.min(LONGEST))
}

/// A time from its column.
pub(super) fn time(millis: i64) -> Result<SystemTime> {
    millis::from(millis).ok_or_else(|| damaged("a time"))
}

pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Numbers that are counted up from 0 come nowhere near the end.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// The same, for an index or an ordinal.
pub(super) fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn damaged(what: &str) -> Error {
    Error::new(Kind::Store(format!("{what} is damaged")))
}

/// What a database says went wrong. Its message alone: what else comes with it may show values.
pub(super) fn failed(error: sqlx::Error) -> Error {
    let text = match &error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        // These would show what could not be read.
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            "a column holds something else than it should".to_owned()
        }
        sqlx::Error::Configuration(_) => "the address of the database cannot be read".to_owned(),
        other => other.to_string(),
    };
    Error::new(Kind::Store(text))
}

/// A newer version of the crate has changed the tables.
pub(super) fn too_new(found: i64, known: i64) -> Error {
    Error::new(Kind::Store(format!(
        "the tables have version {found}, made by a newer lab-connector; this one knows version {known}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_as_it_was() {
        for original in [
            "",
            "1",
            "\0",
            "\\",
            "\\0",
            "\\\\0\0",
            "a\0b\\c\\\\",
            "\\\0\\",
            "🦷'\"%_",
        ] {
            let kept = text(original);
            assert!(!kept.contains('\0'));
            assert_eq!(read_text(&kept), original, "{kept}");
        }
        assert_ne!(text("\0"), text("\\0"));
    }
}
