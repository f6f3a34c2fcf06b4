//! Operations whose futures are dropped: a web handler is, when its client leaves.
//!
//! *Problem.* An operation that is dropped between two statements can leave a transaction open, a
//! lock held, or half of a commit.
//!
//! *Approach.* Each is begun again and again, and dropped one poll later each time. After each, a
//! whole cycle of keeping, claiming and acknowledging must work, as seen by both handles.

use std::time::Duration;

use super::{Check, LONG, case, delivery, sequences, settlement};
use crate::auth::{Violation, attempt, holds};
use crate::error::Result;
use crate::inbox::store::{CaseStore, LoggedArrival, Outcome};
use crate::model::{OrderId, RxId};

/// No operation of a store awaits so often.
const MOST: usize = 200;
/// Longer than any store takes for the few calls of a [`probe`].
const PATIENCE: Duration = Duration::from_secs(20);

const EXPLANATION: &str = "after the future of an operation was dropped the store works as before, and what it answers is seen by who else has it open";

/// Every operation, dropped at every poll of its future.
pub(super) async fn operations<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    let (one, rx_id) = (OrderId::new("one"), RxId::new("rx one"));
    check.deliver(&["one", "two", "three"]).await?;
    each(check, async |check: &Check<S>, _| {
        check.store.now(check.now).await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        check.polls("a", LONG).await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| check.release("a").await).await?;
    each(check, async |check: &Check<S>, _| {
        check.state().await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        check.store.expected(&check.account).await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        check.store.find(&check.account, &one).await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        let (orders, rx_ids) = ([one.clone()], [rx_id.clone()]);
        let found = check.store.find_all(&check.account, &orders, &rx_ids);
        found.await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        let due = check.store.due(&check.account, check.now, 10);
        due.await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        // A lease of nothing, as below: what a dropped claim has taken must not keep the next from
        // taking it.
        check.claim("t", 1, Duration::ZERO).await.map(drop)
    })
    .await?;
    for outcome in [
        super::failed("no"),
        super::again(),
        Outcome::Extended(LONG),
        Outcome::Acknowledged,
    ] {
        // A lease of nothing: each attempt can claim again what the one before it may have settled or not.
        check.claim("t", 1, Duration::ZERO).await?;
        each(check, async |check: &Check<S>, _| {
            check.settle(1, "t", outcome.clone()).await.map(drop)
        })
        .await?;
    }
    each(check, async |check: &Check<S>, _| {
        check.log().await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        let cases = check.store.cases(&check.account, None, 10);
        cases.await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        let counts = check.store.counts(&check.account, check.now);
        counts.await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        check.store.forget(&check.account, &one).await.map(drop)
    })
    .await?;
    each(check, async |check: &Check<S>, _| {
        let time = check.now + LONG;
        let forgotten = check.store.forget_before(&check.account, time, 10);
        forgotten.await.map(drop)
    })
    .await
}

/// A commit and a settlement that are dropped are done as a whole, or not at all.
pub(super) async fn wholes<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    let rule = "a commit that is dropped keeps everything or nothing";
    each(check, async |check: &Check<S>, polls| {
        let saves = ["a", "b", "c"].map(|name| delivery(&format!("{polls} {name}"), 0, 1));
        let saves = saves.into_iter().collect::<Result<_>>()?;
        check.commit(saves).await.map(drop)
    })
    .await?;
    // By the other one: what only the connection that wrote it sees was not committed.
    let log = check.other.arrivals(&check.account, 0, 10_000).await?;
    let numbers = log.iter().map(LoggedArrival::sequence);
    holds(numbers.zip(1..).all(|(number, next)| number == next), rule)?;
    for polls in 1..=MOST {
        let whole = ["a", "b", "c"].map(|name| format!("{polls} {name}"));
        let kept = log.iter().filter(|entry| {
            let id = entry.order_id().as_str();
            whole.iter().any(|name| name == id)
        });
        holds(matches!(kept.count(), 0 | 3), rule)?;
    }
    Ok(())
}

/// Does `operation` again and again, and drops it one poll later each time, until it is done. The
/// number tells one attempt from another.
async fn each<S: CaseStore + 'static>(
    check: &mut Check<S>,
    operation: impl AsyncFn(&Check<S>, usize) -> Result<()>,
) -> Result<(), Violation> {
    // With an account of its own: in the other the dropped operation may have done its work or not, and
    // a probe must know what to expect.
    let mut probed = Check {
        store: check.store.clone(),
        other: check.other.clone(),
        account: super::account("dropped"),
        ..*check
    };
    for polls in 1..=MOST {
        // Polled so often, and dropped if it is not done by then.
        let done = attempt(operation(check, polls), polls).await;
        // Bounded: a connection that was left in a transaction makes the next call wait for ever.
        let probe = probe(&mut probed, polls);
        match tokio::time::timeout(PATIENCE, probe).await {
            Ok(works) => works?,
            Err(_) => return Err(Violation::of(EXPLANATION)),
        }
        if let Some(done) = done {
            return done.map_err(Violation::from);
        }
    }
    Ok(())
}

/// Whether a delivery can be kept, claimed and acknowledged, and others see each of it.
async fn probe<S: CaseStore + 'static>(
    check: &mut Check<S>,
    number: usize,
) -> Result<(), Violation> {
    let id = OrderId::new(number.to_string());
    let sequence = u64::try_from(number).unwrap_or_default();
    let token = format!("token {number}");
    // By both handles in turn: what one has answered the other must see.
    let done = check.commit(vec![delivery(id.as_str(), 0, 1)?]).await?;
    holds(done, EXPLANATION)?;
    let seen = check.other.find(&check.account, &id);
    let seen = seen.await?.is_some_and(|seen| seen.order.is_some());
    holds(seen, EXPLANATION)?;
    let claimed = check.claim(&token, 1, LONG).await?;
    holds(sequences(&claimed) == [sequence], EXPLANATION)?;
    let others = check
        .other
        .claim(&check.account, "other", 1, LONG, check.now);
    holds(others.await?.is_empty(), EXPLANATION)?;
    let done = settlement(sequence, &token, Outcome::Acknowledged);
    holds(check.settle_all(&[done]).await? == [true], EXPLANATION)?;
    let counts = check.other.counts(&check.account, check.now).await?;
    holds(counts.open == 0 && counts.arrivals == sequence, EXPLANATION)?;
    let next = case(id.as_str(), 1, super::DOWNLOADED, None, None)?;
    let next = super::save(next, None);
    holds(check.commit(vec![next]).await?, EXPLANATION)?;
    let seen = check.other.find(&check.account, &id).await?;
    holds(
        seen.is_some_and(|seen| seen.case.version() == 2),
        EXPLANATION,
    )
}
