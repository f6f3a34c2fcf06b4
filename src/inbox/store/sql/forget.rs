//! Forgetting the data of orders.
//!
//! Patient data are in one table, so to forget is to delete rows. Reasons of failures went with
//! their deliveries, since an order with an open one keeps its data. Ids, statuses and times must
//! stay.

use super::{Batch, Row, Session, Type, Value, limit};
use crate::error::Result;

/// Which orders to forget.
pub(super) enum ForgetScope {
    /// Those whose cases changed last before this time.
    Before(i64),
    One(String),
}

/// How many were forgotten.
pub(super) async fn orders<S: Session>(
    session: &mut S,
    account: &str,
    which: &ForgetScope,
    most: usize,
) -> Result<u64> {
    // No commit comes in between that lists a case, or brings a delivery, whose data go.
    let lock = "SELECT a.sequence FROM @accounts a WHERE a.account = $1 LOCK(a)";
    session.query(lock, &[account.into()], |_| Ok(())).await?;
    let read = |row: &dyn Row| row.text(0).map(str::to_owned);
    let orders = match which {
        ForgetScope::Before(time) => {
            let values = [account.into(), Value::Time(Some(*time)), limit(most).into()];
            session.query(BEFORE, &values, read).await?
        }
        ForgetScope::One(order) => {
            let values = [account.into(), order.as_str().into()];
            session.query(ONE, &values, read).await?
        }
    };
    let rows = Batch::default().column(Type::Text, &orders, |order| order.as_str().into());
    let statement = "
        DELETE FROM @orders WHERE account = $1
        AND order_id IN (SELECT u.order_id FROM ROWS(2: order_id text))";
    session
        .execute_each(statement, &[account.into()], &rows)
        .await
}

const BEFORE: &str = "
    SELECT o.order_id FROM @orders o
    JOIN @cases c ON c.account = o.account AND c.order_id = o.order_id
    WHERE o.account = $1
        AND NOT c.listed AND (c.changed_at IS NULL OR c.changed_at < $2)
        AND NOT EXISTS (SELECT 1 FROM @deliveries d
            WHERE d.account = o.account AND d.order_id = o.order_id)
    ORDER BY o.order_id LIMIT $3";
const ONE: &str = "
    SELECT o.order_id FROM @orders o
    JOIN @cases c ON c.account = o.account AND c.order_id = o.order_id
    WHERE o.account = $1 AND o.order_id = $2 AND NOT c.listed
        AND NOT EXISTS (SELECT 1 FROM @deliveries d
            WHERE d.account = o.account AND d.order_id = o.order_id)";
