//! Who polls an account.

use std::time::Duration;

use super::{Session, Value, not_yet, span};
use crate::error::Result;

pub(super) async fn lease<S: Session>(
    session: &mut S,
    account: &str,
    holder: &str,
    lease: Duration,
) -> Result<bool> {
    let statement = "
        INSERT INTO @accounts AS a (account, holder, held_since, held_until)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (account) DO UPDATE
        SET holder = excluded.holder, held_since = excluded.held_since,
            held_until = excluded.held_until
        WHERE a.holder IS NULL OR a.holder = excluded.holder
            OR a.held_until <= excluded.held_since OR a.held_since > $5";
    let now = session.now();
    let values = [
        account.into(),
        holder.into(),
        Value::Time(Some(now)),
        Value::Time(Some(now.saturating_add(span(lease)))),
        not_yet(session),
    ];
    Ok(session.execute(statement, &values).await? == 1)
}
