//! Tokens, in a table of their own.
//!
//! *Problem.* With rotating refresh tokens, two processes that refresh at once revoke each other's
//! tokens (RFC 9700, section 4.14.2).
//!
//! *Approach.* The right to refresh is a lease for one generation, and tokens are replaced over the
//! generation that was read. Tokens must not be in a message: what cannot be read is named, and not
//! quoted.

use std::time::Duration;

use super::{Session, Value, not_yet, number, span};
use crate::auth::Tokens;
use crate::error::Result;

pub(super) async fn load<S: Session>(session: &mut S, key: &str) -> Result<Option<Tokens>> {
    let statement = "SELECT tokens FROM @tokens WHERE key = $1";
    let read = |row: &dyn super::Row| row.text(0).and_then(Tokens::from_json);
    let values = [key.into()];
    let rows = session.query(statement, &values, read);
    Ok(rows.await?.pop())
}

/// As with deliveries, a lease that has not begun yet is one that a wrong clock has set.
pub(super) async fn claim<S: Session>(
    session: &mut S,
    key: &str,
    generation: u64,
    holder: &str,
    lease: Duration,
) -> Result<bool> {
    let statement = "
        UPDATE @tokens SET holder = $3, held_since = $4, held_until = $5
        WHERE key = $1 AND generation = $2
        AND (holder IS NULL OR holder = $3 OR held_until <= $4 OR held_since > $6)";
    let now = session.now();
    let values = [
        key.into(),
        number(generation).into(),
        holder.into(),
        Value::Time(Some(now)),
        Value::Time(Some(now.saturating_add(span(lease)))),
        not_yet(session),
    ];
    Ok(session.execute(statement, &values).await? == 1)
}

/// Writes what it takes back again: that shows rights and room.
pub(super) async fn probe<S: Session>(session: &mut S) -> Result<()> {
    let write = "
        INSERT INTO @tokens (key, generation, tokens) VALUES ($1, 0, '')
        ON CONFLICT (key) DO NOTHING";
    let key = ["probe".into()];
    session.execute(write, &key).await?;
    session
        .execute("DELETE FROM @tokens WHERE key = $1", &key)
        .await
        .map(drop)
}

pub(super) async fn swap<S: Session>(
    session: &mut S,
    key: &str,
    expected: Option<u64>,
    generation: u64,
    tokens: &str,
) -> Result<bool> {
    let first = "
        INSERT INTO @tokens (key, generation, tokens) VALUES ($1, $2, $3)
        ON CONFLICT (key) DO NOTHING";
    // The lease was for the generation that goes: it ends with it.
    let next = "
        UPDATE @tokens SET generation = $2, tokens = $3,
            holder = NULL, held_since = NULL, held_until = NULL
        WHERE key = $1 AND generation = $4";
    let values = [key.into(), number(generation).into(), tokens.into()];
    let written = match expected {
        None => session.execute(first, &values).await?,
        Some(expected) => {
            let [key, generation, tokens] = values;
            let values = [key, generation, tokens, number(expected).into()];
            session.execute(next, &values).await?
        }
    };
    Ok(written == 1)
}

pub(super) async fn clear<S: Session>(session: &mut S, key: &str) -> Result<()> {
    let statement = "DELETE FROM @tokens WHERE key = $1";
    session.execute(statement, &[key.into()]).await.map(drop)
}
