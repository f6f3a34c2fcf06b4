//! Who holds what, for how long, and what becomes of it.
//!
//! *Problem.* Two workers on one delivery do the work twice, and a worker that is gone must not
//! keep it for ever.
//!
//! *Approach.* Each rule is asked with a token that is the last and with one that is not, within
//! the lease and after it. An outcome must count exactly if nobody else has claimed since.

use std::time::{Duration, UNIX_EPOCH};

use super::{Check, LONG, SHORT, again, delivery, failed, ids, sequences, settlement};
use crate::auth::{Violation, holds};
use crate::error::Result;
use crate::inbox::store::{CaseStore, Outcome, Poller};
use crate::model::OrderId;

pub(super) const KEEPS_OUT: &str = "the right to poll keeps other processes out";

/// The right to poll.
pub(super) async fn leases<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    holds(check.polls("a", LONG).await?, "the first who asks may poll")?;
    holds(!check.polls("b", LONG).await?, KEEPS_OUT)?;
    let other = check
        .store
        .poll_right(&check.account, &check.process("b"), LONG, check.now)
        .await?;
    let Some(other) = other else {
        return Err(Violation::of(KEEPS_OUT));
    };
    let off = other.until.duration_since(check.now).unwrap_or_default();
    holds(
        // A clock of its own has gone on.
        off < LONG + LONG / 2 && off + LONG / 2 > LONG,
        "a process that must not poll learns who has the right, and until when",
    )?;
    let state = check.state().await?;
    holds(
        state.poller == Some(Poller::new(check.process("a"), other.until))
            && other.process == check.process("a"),
        "an account says who has the right to poll it, and until when",
    )?;
    check.release("b").await?;
    holds(
        !check.polls("b", LONG).await?,
        "nobody gives back another's right to poll",
    )?;
    holds(
        check.polls("a", LONG).await?,
        "who has the right to poll may ask again",
    )?;
    check.release("a").await?;
    let state = check.state().await?;
    holds(
        state.poller.is_none(),
        "a right to poll that was given back is nobody's",
    )?;
    // Twice: to give back what one does not have is no error.
    check.release("a").await?;
    holds(
        check.polls("b", SHORT).await?,
        "a right to poll that was given back is to be had at once",
    )?;
    check.pass(SHORT).await;
    let state = check.state().await?;
    holds(
        state.poller.is_none() && check.polls("a", LONG).await?,
        "a right to poll ends by itself",
    )?;
    holds(
        // A sum that overflows would end it at once.
        check.polls("a", Duration::MAX).await? && !check.polls("b", LONG).await?,
        "the longest lease holds",
    )?;
    check.keep(vec![delivery("1", 0, 1)?]).await?;
    holds(
        !check.polls("b", LONG).await?,
        "a commit does not end the right to poll",
    )
}

/// What a claim takes, and what it tells.
pub(super) async fn claims<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    // Not in the order of their ids: the order of the log counts.
    check.deliver(&["c", "a", "d", "b"]).await?;
    let none = check.claim("t0", 0, LONG).await?;
    holds(none.is_empty(), "a claim of 0 takes nothing")?;
    let claimed = check.claim("t1", 3, LONG).await?;
    holds(
        sequences(&claimed) == [1, 2, 3],
        "deliveries are claimed in the order of the log, no more than asked for",
    )?;
    holds(
        ids(claimed.iter().map(|claimed| &claimed.stored.case)) == ["c", "a", "d"],
        "a delivery comes with its case",
    )?;
    let kept = check.find("c").await?;
    holds(
        claimed.first().map(|claimed| &claimed.stored) == kept.as_ref(),
        "a delivery comes with the case and the order as they are now",
    )?;
    for claimed in &claimed {
        holds(
            (claimed.index, claimed.ordinal) == (0, 1),
            "a delivery comes with its index and its ordinal",
        )?;
        holds(
            claimed.attempts == 1 && claimed.failure.is_none(),
            "the first claim is attempt 1, after no failure",
        )?;
        let off = claimed.arrived_at.duration_since(check.now);
        let off = off.unwrap_or_else(|before| before.duration());
        let tolerance = if check.own_clock {
            LONG
        } else {
            Duration::ZERO
        };
        holds(
            off <= tolerance,
            "a delivery says when its arrival was committed, to the millisecond",
        )?;
    }
    let rest = check.claim("t2", 10, LONG).await?;
    holds(
        sequences(&rest) == [4],
        "what is claimed is hidden from other claims",
    )?;
    // A worker that asks twice must not do the same work twice.
    let none = check.claim("t1", 10, LONG).await?;
    holds(
        none.is_empty(),
        "what is claimed is hidden from its token too",
    )?;
    check.settle(1, "t1", Outcome::Acknowledged).await?;
    holds(
        check.claim("t3", 10, LONG).await?.is_empty(),
        "what is acknowledged never comes again",
    )
}

/// Of each case only the first open delivery.
pub(super) async fn order<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    let rule = "of each case only the first open delivery can be claimed";
    check.deliver(&["1", "2"]).await?;
    check
        .keep(vec![delivery("1", 1, 2)?, delivery("3", 0, 1)?])
        .await?;
    check.keep(vec![delivery("1", 2, 3)?]).await?;
    let claimed = check.claim("t1", 10, LONG).await?;
    holds(sequences(&claimed) == [1, 2, 4], rule)?;
    holds(
        claimed
            .first()
            .is_some_and(|first| first.stored.case.version() == 3),
        "a delivery comes with the case as it is now",
    )?;
    holds(check.claim("t2", 10, LONG).await?.is_empty(), rule)?;
    // Hidden it is first all the same.
    let later = Outcome::Released {
        after: LONG,
        failure: None,
    };
    check.settle(1, "t1", later).await?;
    holds(check.claim("t3", 10, LONG).await?.is_empty(), rule)?;
    // Of another case, so nothing of the first becomes free.
    check.settle(2, "t1", Outcome::Acknowledged).await?;
    holds(check.claim("t4", 10, LONG).await?.is_empty(), rule)?;
    Ok(())
}

/// Acknowledged, failed, deferred, held.
pub(super) async fn outcomes<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    check.deliver(&["1"]).await?;
    check.keep(vec![delivery("1", 1, 2)?]).await?;
    check.claim("t1", 10, LONG).await?;
    holds(
        check.settle(1, "t1", failed("it's \"bad\" \\ 🦷")).await?,
        "a delivery can be given back by who claimed it",
    )?;
    let claimed = check.claim("t2", 10, LONG).await?;
    holds(
        sequences(&claimed) == [1],
        "a delivery that is given back can be claimed again",
    )?;
    let first = |claimed: &[super::ClaimedDelivery]| {
        let first = claimed.first();
        first.map(|first| (first.attempts, first.failure.clone()))
    };
    // A text with what SQL and JSON escape.
    let reason = || Some("it's \"bad\" \\ 🦷".to_owned());
    holds(
        first(&claimed) == Some((2, reason())),
        "a delivery says how often it was claimed and why it failed last",
    )?;
    check.settle(1, "t2", again()).await?;
    let claimed = check.claim("t3", 10, LONG).await?;
    holds(
        first(&claimed) == Some((3, reason())),
        "to give back without a reason leaves the former one",
    )?;
    check.settle(1, "t3", failed("new")).await?;
    let claimed = check.claim("t4", 10, LONG).await?;
    holds(
        first(&claimed) == Some((4, Some("new".to_owned()))),
        "a new reason replaces the former one",
    )?;

    let later = Outcome::Released {
        after: SHORT,
        failure: None,
    };
    check.settle(1, "t4", later).await?;
    check.pass(SHORT).await;
    let claimed = check.claim("t5", 10, LONG).await?;
    holds(
        sequences(&claimed) == [1],
        "what is deferred comes again after its time",
    )?;
    let held = check.settle(1, "t5", Outcome::Extended(LONG)).await?;
    holds(held, "a delivery can be held on to by who claimed it")?;
    check.settle(1, "t5", Outcome::Extended(SHORT)).await?;
    check.pass(SHORT).await;
    holds(
        check.settle(1, "t5", Outcome::Extended(LONG)).await?,
        "that a lease has ended does not matter as long as nobody else has claimed",
    )?;
    holds(
        check.claim("t6", 10, LONG).await?.is_empty(),
        "a lease that begins anew hides the delivery",
    )?;
    check.settle(1, "t5", Outcome::Extended(SHORT)).await?;
    check.pass(SHORT).await;
    let claimed = check.claim("t7", 10, SHORT).await?;
    holds(
        first(&claimed).is_some_and(|(attempts, _)| attempts == 6),
        "a delivery comes again when its lease has ended; each claim is an attempt, holding on is none",
    )?;
    check.pass(SHORT).await;
    holds(
        check.settle(1, "t7", Outcome::Acknowledged).await?,
        "who claimed last can acknowledge after the lease has ended",
    )?;
    let claimed = check.claim("t8", 10, LONG).await?;
    holds(
        sequences(&claimed) == [2],
        "what is acknowledged never comes again, and the next of its case comes",
    )?;
    holds(
        first(&claimed) == Some((1, None)),
        "each delivery has attempts and a failure of its own",
    )?;
    holds(
        check
            .settle(2, "t8", Outcome::Extended(Duration::MAX))
            .await?
            && check.claim("t9", 10, LONG).await?.is_empty(),
        "the longest lease holds",
    )?;
    let settled = check.settle(2, "t8", Outcome::Acknowledged).await?;
    holds(settled, "a delivery can be acknowledged by who claimed it")?;
    holds(
        check.claim("t10", 10, LONG).await?.is_empty(),
        "when all is acknowledged there is nothing to claim",
    )
}

/// Tokens that are not the last.
pub(super) async fn stale<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    check.deliver(&["1", "2", "3"]).await?;
    let outcomes = || {
        [
            Outcome::Acknowledged,
            again(),
            failed("no"),
            Outcome::Extended(LONG),
        ]
    };
    for outcome in outcomes() {
        holds(
            !check.settle(1, "t", outcome).await?,
            "nobody settles what was never claimed",
        )?;
    }
    check.claim("t1", 1, SHORT).await?;
    for outcome in outcomes() {
        holds(
            !check.settle(1, "other", outcome.clone()).await?
                && !check.settle(2, "t1", outcome).await?,
            "nobody settles what another one claimed",
        )?;
    }
    check.pass(SHORT).await;
    let claimed = check.claim("t2", 1, LONG).await?;
    holds(
        sequences(&claimed) == [1],
        "a delivery comes again when its lease has ended",
    )?;
    for outcome in outcomes() {
        holds(
            !check.settle(1, "t1", outcome).await?,
            "a token is no good once another one has claimed the delivery",
        )?;
    }
    // From here on nobody holds it: even the token that was the last is void.
    check.settle(1, "t2", again()).await?;
    for outcome in outcomes() {
        holds(
            !check.settle(1, "t2", outcome).await?,
            "a token is no good once the delivery was given back",
        )?;
    }
    let claimed = check.claim("t3", 10, LONG).await?;
    holds(
        sequences(&claimed) == [1, 2, 3],
        "what could not be settled has not changed",
    )?;
    holds(
        claimed.iter().all(|claimed| claimed.failure.is_none()),
        "a reason that came too late is not kept",
    )?;
    let acknowledged = |sequence| settlement(sequence, "t3", Outcome::Acknowledged);
    // Out of order, stale, unknown, and twice in one call: one that fails must not take the others with it.
    let settled = check
        .settle_all(&[
            acknowledged(3),
            settlement(2, "stale", Outcome::Acknowledged),
            acknowledged(9),
            acknowledged(1),
            settlement(1, "t3", again()),
            settlement(2, "t3", failed("x")),
            acknowledged(2),
        ])
        .await?;
    holds(
        settled == [true, false, false, true, false, true, false],
        "each settlement has an answer of its own, in their order",
    )?;
    let claimed = check.claim("t4", 10, LONG).await?;
    holds(
        sequences(&claimed) == [2],
        "what was settled is settled, and nothing else",
    )
}

/// One that failed holds back nothing while it waits.
pub(super) async fn failed_ones<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    check.deliver(&["1"]).await?;
    check
        .keep(vec![delivery("1", 1, 2)?, delivery("2", 0, 1)?])
        .await?;
    check.claim("t1", 1, LONG).await?;
    let waits = Outcome::Released {
        after: SHORT,
        failure: Some("no".to_owned()),
    };
    check.settle(1, "t1", waits).await?;
    let claimed = check.claim("t2", 10, LONG).await?;
    holds(
        sequences(&claimed) == [2, 3],
        "a delivery that failed and is hidden does not hold back the next one of its case",
    )?;
    check.pass(SHORT).await;
    holds(
        check.claim("t3", 10, LONG).await?.is_empty(),
        "of each case one delivery is claimed at a time",
    )?;
    check.settle(2, "t2", Outcome::Acknowledged).await?;
    let claimed = check.claim("t4", 10, LONG).await?;
    holds(
        sequences(&claimed) == [1],
        "a delivery that failed comes again, also behind a later one of its case",
    )?;
    let counts = check.store.counts(&check.account, check.now).await?;
    holds(
        (counts.failed, counts.most_attempts) == (1, 2),
        "deliveries that failed are counted, with the most attempts of one",
    )?;
    Ok(())
}

/// The last delivery of a case, once more.
pub(super) async fn reopened<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    check.deliver(&["1", "2"]).await?;
    check.keep(vec![delivery("1", 1, 2)?]).await?;
    let reopen = async |id: &str| {
        let id = OrderId::new(id);
        check.store.reopen(&check.account, &id, check.now).await
    };
    let log = check.log().await?.len();
    check.claim("t1", 10, LONG).await?;
    for sequence in [1, 2] {
        check.settle(sequence, "t1", Outcome::Acknowledged).await?;
    }
    check.claim("t2", 10, LONG).await?;
    check.settle(3, "t2", failed("no")).await?;
    check.claim("t3", 10, LONG).await?;
    // Held by somebody, and acknowledged: either way it is opened again.
    for held in [true, false] {
        if !held {
            check.settle(3, "t4", Outcome::Acknowledged).await?;
        }
        holds(
            reopen("1").await?,
            "the last delivery of a case can be opened again, held or acknowledged",
        )?;
        let claimed = check.claim("t4", 10, LONG).await?;
        let first = claimed.first();
        holds(
            sequences(&claimed) == [3]
                && first.is_some_and(|one| (one.index, one.ordinal) == (1, 2)),
            "a delivery that is opened again has its own name",
        )?;
        holds(
            first.is_some_and(|one| one.attempts == 1 && one.failure.is_none() && one.repeated),
            "it begins anew, and is marked as repeated",
        )?;
        holds(
            !check.settle(3, "t3", again()).await?,
            "whoever held it before has lost it",
        )?;
    }
    holds(
        !reopen("3").await?,
        "of a case that was never delivered nothing is opened again",
    )?;
    holds(
        check.log().await?.len() == log,
        "nothing is logged when a delivery is opened again",
    )
}

/// The time is what the store says it is. Of a store with a clock of its own nothing can be asked.
pub(super) async fn times<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    if check.own_clock {
        return Ok(());
    }
    let ms = Duration::from_millis(1);
    // A day before 1970, and the last minutes of the year 9999, where times as text end; both with odd
    // milliseconds, which a store that keeps seconds loses.
    for (number, time) in [
        UNIX_EPOCH - Duration::from_millis(86_399_999),
        UNIX_EPOCH + Duration::from_millis(253_402_300_000_001),
    ]
    .into_iter()
    .enumerate()
    {
        check.account = super::account(number);
        check.now = time;
        check.deliver(&["1"]).await?;
        let claimed = check.claim("t1", 1, LONG).await?;
        holds(
            claimed
                .first()
                .is_some_and(|first| first.arrived_at == time),
            "times are kept to the millisecond, also before 1970 and far ahead",
        )?;
        let counts = check.store.counts(&check.account, check.now).await?;
        holds(
            counts.oldest == Some(time) && counts.hidden == 1,
            "the time of the oldest open delivery is exact to the millisecond",
        )?;
        check.now = time + LONG - ms;
        let none = check.claim("t2", 1, LONG).await?;
        holds(
            none.is_empty(),
            "a delivery is hidden as long as its lease is",
        )?;
        holds(check.polls("a", LONG).await?, "the first who asks may poll")?;
        check.now += LONG - ms;
        holds(
            !check.polls("b", LONG).await?,
            "a right to poll holds to its end",
        )?;
        check.now += ms;
        holds(
            check.polls("b", LONG).await?,
            "a right to poll ends by itself",
        )?;
        let claimed = check.claim("t3", 1, LONG).await?;
        holds(
            sequences(&claimed) == [1],
            "a delivery comes again when its lease has ended",
        )?;
        let after = Outcome::Released {
            after: LONG,
            failure: None,
        };
        check.settle(1, "t3", after).await?;
        check.now += LONG - ms;
        let none = check.claim("t4", 1, LONG).await?;
        holds(none.is_empty(), "what is deferred is hidden to its time")?;
        check.now += ms;
        let claimed = check.claim("t5", 1, LONG).await?;
        holds(
            sequences(&claimed) == [1],
            "what is deferred comes again after its time",
        )?;
    }
    Ok(())
}
