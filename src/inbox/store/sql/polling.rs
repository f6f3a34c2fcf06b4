//! Who polls an account: a process that lives.
//!
//! A process says in one row until when it lives; the accounts that it polls point to it. So ten
//! thousand accounts cost a small write now and then, and all of them are free when it is dead.

use std::collections::HashSet;
use std::time::Duration;

use super::{Row, Session, Value, damaged, not_yet, span};
use crate::error::Result;

/// The answer to a process that asks for the right to poll an account.
#[derive(Debug)]
pub(super) enum PollRightAnswer {
    Granted,
    Held {
        process: String,
        /// Milliseconds since 1970.
        until: i64,
    },
}

/// What a store remembers of the processes that asked by it: nearly always one, this one.
///
/// While a process lives, nobody takes from it what it has. So as long as it has said not long ago
/// that it lives, what it has is answered without asking the database.
#[derive(Debug, Default)]
pub(in crate::inbox::store) struct ProcessCache {
    processes: Vec<LiveProcess>,
}

#[derive(Debug)]
struct LiveProcess {
    process: String,
    /// When it said so, in milliseconds by a clock that the store chooses.
    said: i64,
    lease: i64,
    /// The accounts that it has.
    accounts: HashSet<String>,
}

impl ProcessCache {
    /// Whether the process has this account, and need not say anew that it lives.
    pub(super) fn has(&self, process: &str, account: &str, lease: Duration, time: i64) -> bool {
        self.processes.iter().any(|living| {
            let age = time.saturating_sub(living.said);
            living.process == process
                && living.lease == span(lease)
                // Half of the lease is left for writing the row again. A negative age is a clock
                // that was set back.
                && (0..living.lease / 2).contains(&age)
                && living.accounts.contains(account)
        })
    }

    /// It has said that it lives, and has got this account. If it was taken for dead before, it
    /// may have lost all others.
    pub(super) fn granted(
        &mut self,
        process: &str,
        account: &str,
        lease: Duration,
        time: i64,
        lived: bool,
    ) {
        self.processes
            .retain(|living| lived || living.process != process);
        let known = self.processes.iter_mut();
        let mut known = known.filter(|living| living.process == process);
        if let Some(living) = known.next() {
            (living.said, living.lease) = (time, span(lease));
            living.accounts.insert(account.to_owned());
            return;
        }
        self.processes.push(LiveProcess {
            process: process.to_owned(),
            said: time,
            lease: span(lease),
            accounts: HashSet::from([account.to_owned()]),
        });
    }

    pub(super) fn lost(&mut self, process: &str, account: &str) {
        for living in &mut self.processes {
            if living.process == process {
                living.accounts.remove(account);
            }
        }
        self.processes.retain(|living| !living.accounts.is_empty());
    }
}

/// Whether a row of processes, `p`, is of one that lives. Now, and what is too far ahead.
macro_rules! lives {
    ($now:literal, $not_yet:literal) => {
        concat!("p.until > ", $now, " AND p.since <= ", $not_yet)
    };
}

/// Says that the process lives, and takes the account if no other one that lives has it. The flag
/// says whether the process was known to live.
pub(super) async fn ask<S: Session>(
    session: &mut S,
    account: &str,
    process: &str,
    lease: Duration,
) -> Result<(PollRightAnswer, bool)> {
    let now = session.now();
    let until = Value::Time(Some(now.saturating_add(span(lease))));
    let values = [
        process.into(),
        Value::Time(Some(now)),
        until,
        not_yet(session),
    ];
    let renew = concat!(
        "UPDATE @processes AS p SET since = $2, until = $3 WHERE p.process = $1 AND ",
        lives!("$2", "$4")
    );
    let lived = session.execute(renew, &values).await? == 1;
    // It is new, or was taken for dead: then others may have its accounts, and the caller must
    // forget what it had.
    if !lived {
        let [process, since, until, _] = values;
        let begin = "
            INSERT INTO @processes AS p (process, since, until) VALUES ($1, $2, $3)
            ON CONFLICT (process) DO UPDATE SET since = excluded.since, until = excluded.until";
        session.execute(begin, &[process, since, until]).await?;
    }
    // Nothing is written for an account that it has already.
    let take = concat!(
        "INSERT INTO @accounts AS a (account, process) VALUES ($1, $2)
         ON CONFLICT (account) DO UPDATE SET process = excluded.process
         WHERE a.process IS NULL OR a.process <> excluded.process AND NOT EXISTS (
             SELECT 1 FROM @processes p WHERE p.process = a.process AND ",
        lives!("$3", "$4"),
        ")"
    );
    let times = [Value::Time(Some(now)), not_yet(session)];
    let values = [account.into(), process.into(), times[0], times[1]];
    session.execute(take, &values).await?;
    let holder = "
        SELECT a.process, p.until FROM @accounts a
        LEFT JOIN @processes p ON p.process = a.process WHERE a.account = $1";
    let read = |row: &dyn Row| Ok((row.text(0)?.to_owned(), row.time_or_null(1)?));
    let holder = session.query(holder, &[account.into()], read).await?.pop();
    let (holder, until) = holder.ok_or_else(|| damaged("an account"))?;
    let asked = if holder == process {
        PollRightAnswer::Granted
    } else {
        PollRightAnswer::Held {
            process: holder,
            // Its row was buried a moment ago: the right has ended.
            until: until.unwrap_or(now),
        }
    };
    Ok((asked, lived))
}

pub(super) async fn release<S: Session>(
    session: &mut S,
    account: &str,
    process: &str,
) -> Result<()> {
    let statement = "
        UPDATE @accounts SET process = NULL WHERE account = $1 AND process = $2";
    let values = [account.into(), process.into()];
    session.execute(statement, &values).await.map(drop)
}

/// Forgets a process that is known to be dead, and those that have been dead for long.
pub(super) async fn bury<S: Session>(session: &mut S, process: &str) -> Result<()> {
    let statement = "DELETE FROM @processes WHERE process = $1 OR until < $2";
    // A day, longer than any right to poll lasts: nobody has an account by such a row.
    let long_ago = session.now().saturating_sub(24 * 60 * 60 * 1000);
    let values = [process.into(), Value::Time(Some(long_ago))];
    session.execute(statement, &values).await.map(drop)
}
