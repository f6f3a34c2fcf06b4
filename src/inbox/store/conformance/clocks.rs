//! Clocks that are set back and ahead. Of a store with a clock of its own nothing can be asked.
//!
//! A wrong clock may bring something early, and must delay nothing: each step is made once with the
//! clock ahead, and looked at with the right one.

use std::time::{Duration, SystemTime};

use super::working::KEEPS_OUT;
use super::{Check, DOWNLOADED, LONG, SPAN, again, case, ids, save, sequences};
use crate::auth::{Violation, holds};
use crate::inbox::store::{CaseStore, Outcome};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn set<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    if check.own_clock {
        return Ok(());
    }
    let right = check.now;
    // A wrong date, and a clock whose battery is empty.
    for (number, off) in [DAY, DAY * 365].into_iter().enumerate() {
        check.account = super::account(format!("clock {number}"));
        deliveries(check, right, off).await?;
        leases(check, right, off).await?;
    }
    check.now = right;
    Ok(())
}

/// The clock is so far ahead, is set right, and the other way round.
async fn deliveries<S: CaseStore + 'static>(
    check: &mut Check<S>,
    right: SystemTime,
    off: Duration,
) -> Result<(), Violation> {
    check.now = right + off;
    check.deliver(&["1", "2"]).await?;
    check.now = right;
    let claimed = check.claim("t1", 10, LONG).await?;
    holds(
        sequences(&claimed) == [1, 2],
        "a delivery that nobody claimed is due at once, whatever the clock was when it was committed",
    )?;
    // Given back by the right clock, and claimed by the wrong one.
    check.settle(1, "t1", again()).await?;
    check.settle(2, "t1", again()).await?;

    check.now = right + off;
    let claimed = check.claim("t2", 10, LONG).await?;
    holds(
        sequences(&claimed) == [1, 2],
        "what was given back is due, whatever the clock was then",
    )?;
    check.now = right;
    let counts = check.store.counts(&check.account, check.now).await?;
    let claimed = check.claim("t3", 10, LONG).await?;
    holds(
        counts.hidden == 0 && sequences(&claimed) == [1, 2],
        "a lease that lies further ahead than it is long has ended: the clock was set back",
    )?;
    holds(
        !check.settle(1, "t2", Outcome::Acknowledged).await?,
        "a claim that the clock has ended and another one has replaced is lost",
    )?;
    holds(
        check.settle(1, "t3", Outcome::Acknowledged).await?,
        "a claim after the clock was set back is a claim like any other",
    )?;
    holds(
        check.claim("t4", 10, LONG).await?.is_empty(),
        "what is claimed after the clock was set back is hidden",
    )?;

    let later = Outcome::Released {
        after: LONG,
        failure: None,
    };
    // Both set a time to wait: by deferring, and by holding on.
    for (outcome, token, next) in [(later, "t3", "t5"), (Outcome::Extended(LONG), "t5", "t6")] {
        check.now = right + off;
        holds(
            check.settle(2, token, outcome).await?,
            "that a lease has ended does not matter as long as nobody else has claimed",
        )?;
        check.now = right;
        holds(
            sequences(&check.claim(next, 10, LONG).await?) == [2],
            "what is deferred or held further ahead than it was to be is due: the clock was set back",
        )?;
    }
    check.now = right + off;
    holds(
        sequences(&check.claim("t7", 10, LONG).await?) == [2],
        "a delivery comes again when its lease has ended",
    )
}

/// The right to poll, and cases that are to be fetched.
async fn leases<S: CaseStore + 'static>(
    check: &mut Check<S>,
    right: SystemTime,
    off: Duration,
) -> Result<(), Violation> {
    check.now = right + off;
    holds(check.polls("a", LONG).await?, "the first who asks may poll")?;
    check.now = right;
    holds(
        check.state().await?.poller.is_none() && check.polls("b", LONG).await?,
        "a right to poll that lies further ahead than its lease has ended: the clock was set back",
    )?;
    holds(!check.polls("a", LONG).await?, KEEPS_OUT)?;
    check.now = right + off;
    holds(
        check.polls("a", LONG).await?,
        "a right to poll ends by itself",
    )?;

    // Both have a span of a day. One lies a day ahead, and the other a day beyond what it ever
    // should.
    let ahead = case("ahead", 0, DOWNLOADED, None, Some(right + off + SPAN))?;
    let later = case("later", 0, DOWNLOADED, None, Some(right + SPAN))?;
    check
        .keep(vec![save(ahead, None), save(later, None)])
        .await?;
    let due = check.store.due(&check.account, right, 10).await?;
    holds(
        ids(&due) == ["ahead"],
        "a case that is to be fetched further ahead than it ever was is due: the clock was set back",
    )
}
