//! Many at once.
//!
//! *Problem.* A mistake between two statements shows when two processes meet there.
//!
//! *Approach.* Racers start together, several times. What they find must be explained by some order
//! of the calls, one after the other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Check, LONG, READY, arrived, case, covered, delivery, order, settlement};
use crate::auth::{Violation, holds};
use crate::error::{Error, Result};
use crate::inbox::store::{CaseStore, Commit, Outcome, Save};
use crate::model::AccountId;

/// Enough that some wait for the same lock, and for a connection where there are few.
const RACERS: usize = 8;

/// Of commits over one version one succeeds, whole.
pub(super) async fn versions<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    // Several rounds: a race that is lost once in a while is found more surely.
    for round in 0..5_u32 {
        let mut commits = Vec::new();
        for racer in 0..RACERS {
            let own = delivery(&format!("{round} of {racer}"), 0, 1)?;
            let shared = Save::new(
                case("shared", round.into(), READY, None, None)?,
                Some(order("shared", &racer.to_string())?),
                vec![arrived(round, Some(round + 1))],
            );
            // Another one for each: so the coverage that is kept says whose it is.
            let begun = check.now + LONG * u32::try_from(racer).unwrap_or_default();
            let coverage = covered(begun);
            commits.push(Commit {
                saves: vec![own, shared],
                coverage: Some(coverage),
            });
        }
        let coverages: Vec<_> = commits.iter().map(|commit| commit.coverage).collect();
        let (mut racers, start) = (JoinSet::new(), Arc::new(Barrier::new(RACERS)));
        for (racer, commit) in commits.into_iter().enumerate() {
            let (store, account, now) = check.parts();
            let start = Arc::clone(&start);
            racers.spawn(async move {
                // A store that never waits would be done with one before the next begins.
                start.wait().await;
                let done = store.commit(&account, &commit, now).await;
                done.map(|done| done.then_some(racer))
            });
        }
        let winners = finish(racers).await?;
        let winners: Vec<_> = winners.into_iter().flatten().collect();
        let [winner] = winners[..] else {
            return Err(Violation::of(
                "of many commits over the same version one succeeds",
            ));
        };
        let rule =
            "of many commits over the same version one is kept, whole, and nothing of the others";
        let shared = check.find("shared").await?;
        let data = Some(order("shared", &winner.to_string())?);
        holds(
            shared.is_some_and(|shared| {
                shared.case.version() == u64::from(round) + 1 && shared.order == data
            }),
            rule,
        )?;
        for racer in 0..RACERS {
            let own = check.find(&format!("{round} of {racer}")).await?;
            holds(own.is_some() == (racer == winner), rule)?;
        }
        let coverage = check.state().await?.coverage;
        holds(coverages.get(winner) == Some(&Some(coverage)), rule)?;
        let log = check.log().await?;
        holds(
            log.len() == 2 * (usize::try_from(round).unwrap_or_default() + 1),
            rule,
        )?;
    }
    Ok(())
}

/// A reader that follows the log misses nothing.
pub(super) async fn log<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    // Enough commits for the reader below to meet some of them half-way.
    const COMMITS: usize = 8;
    let mut racers: JoinSet<Result<bool>> = JoinSet::new();
    for racer in 0..RACERS {
        let (store, account, now) = check.parts();
        racers.spawn(async move {
            for number in 0..COMMITS {
                let mut save = delivery(&format!("{number} of {racer}"), 0, 1)?;
                save.arrivals.push(arrived(1, None));
                let commit = Commit {
                    saves: vec![save],
                    coverage: None,
                };
                if !store.commit(&account, &commit, now).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        });
    }
    let total = 2 * RACERS * COMMITS;
    let mut seen = 0;
    let mut done = false;
    loop {
        // While commits are under way: a number that is given before its row can be seen leaves a gap
        // that a reader passes over.
        let page = check.store.arrivals(&check.account, seen, 1000).await?;
        let end = page.is_empty();
        for logged in page {
            seen += 1;
            holds(
                logged.sequence() == seen,
                "the log grows at its end and has no gaps, so that who follows it misses nothing",
            )?;
        }
        // Only what was asked for after the last commit is the whole log.
        if end && done {
            break;
        }
        match racers.try_join_next() {
            Some(finished) => holds(
                finished.map_err(Error::store)??,
                "commits of different cases all succeed",
            )?,
            None if racers.is_empty() => done = true,
            None => tokio::task::yield_now().await,
        }
    }
    holds(
        usize::try_from(seen) == Ok(total),
        "the log has every arrival",
    )
}

/// One poller.
pub(super) async fn leases<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    for round in 0..5 {
        check.account = super::account(round);
        let (mut racers, start) = (JoinSet::new(), Arc::new(Barrier::new(RACERS)));
        for racer in 0..RACERS {
            let (store, account, now) = check.parts();
            let start = Arc::clone(&start);
            racers.spawn(async move {
                start.wait().await;
                let process = format!("racer {racer}");
                let right = store.poll_right(&account, &process, LONG, now);
                Ok(right.await?.is_none())
            });
        }
        let granted = finish(racers).await?;
        holds(
            granted.into_iter().filter(|granted| *granted).count() == 1,
            "of many processes that ask for the right to poll one gets it",
        )?;
    }
    Ok(())
}

/// Many workers, three deliveries of each case, of which every second one fails once.
pub(super) async fn claims<S: CaseStore + 'static>(check: &mut Check<S>) -> Result<(), Violation> {
    // More cases than racers, and more deliveries than cases: workers meet on both.
    const CASES: usize = 12;
    const EACH: usize = 3;
    for ordinal in 1..=EACH {
        let ordinal = u32::try_from(ordinal).unwrap_or_default();
        let saves = (0..CASES).map(|id| delivery(&id.to_string(), u64::from(ordinal) - 1, ordinal));
        check.keep(saves.collect::<Result<_>>()?).await?;
    }
    let held: Arc<Mutex<ClaimLedger>> = Arc::default();
    let mut workers = JoinSet::new();
    for worker in 0..RACERS {
        let (store, account, now) = check.parts();
        let held = Arc::clone(&held);
        workers.spawn(async move {
            let worker = Worker {
                store,
                account,
                now,
                begun: Instant::now(),
                held,
                name: format!("worker {worker}"),
            };
            worker.work(CASES * EACH).await
        });
    }
    finish(workers).await?;
    let broken = held.lock().unwrap_or_else(PoisonError::into_inner).broken;
    holds(broken.is_none(), broken.unwrap_or_default())?;
    let counts = check.store.counts(&check.account, check.now).await?;
    holds(counts.open == 0, "what is acknowledged is no longer open")
}

#[derive(Default)]
struct ClaimLedger {
    cases: BTreeSet<String>,
    failed: BTreeSet<u64>,
    /// The rule that was broken: then nobody goes on.
    broken: Option<&'static str>,
    done: BTreeSet<u64>,
}

struct Worker<S> {
    store: Arc<S>,
    account: AccountId,
    now: SystemTime,
    begun: Instant,
    held: Arc<Mutex<ClaimLedger>>,
    name: String,
}

impl<S: CaseStore> Worker<S> {
    /// Until `all` are done, or a rule was broken.
    async fn work(&self, all: usize) -> Result<()> {
        for round in 0_u64.. {
            let is_over = |held: &ClaimLedger| held.done.len() == all || held.broken.is_some();
            if is_over(&self.held()) {
                break;
            }
            let token = format!("{} {round}", self.name);
            let claimed = self.store.claim(&self.account, &token, 2, LONG, self.now());
            let claimed = claimed.await?;
            for claimed in &claimed {
                let id = claimed.stored.case.order_id().as_str().to_owned();
                let mut held = self.held();
                let attempts = 1 + u32::from(held.failed.contains(&claimed.sequence));
                // Of each case one at a time, and nobody else has had it.
                if !held.cases.insert(id) || claimed.attempts != attempts {
                    held.broken = Some("of many claims at once one gets a delivery");
                    return Ok(());
                }
            }
            // Lets others claim meanwhile: without it no two would hold a delivery at the same time.
            tokio::task::yield_now().await;
            for claimed in &claimed {
                // Out of hand before it is out of the store: the next of its case comes at once.
                let id = claimed.stored.case.order_id().as_str();
                self.held().cases.remove(id);
                // While it waits for its next try a later one of its case may be claimed: the end of
                // that wait and such a claim meet.
                let fails =
                    claimed.sequence % 2 == 1 && self.held().failed.insert(claimed.sequence);
                let outcome = match fails {
                    true => Outcome::Released {
                        after: Duration::from_millis(1),
                        failure: Some("once".to_owned()),
                    },
                    false => Outcome::Acknowledged,
                };
                let settlements = [settlement(claimed.sequence, &token, outcome)];
                let settled = self.store.settle(&self.account, &settlements, self.now());
                if settled.await? != [true] {
                    self.held().broken = Some("who has claimed a delivery can settle it");
                    return Ok(());
                }
                if !fails && !self.held().done.insert(claimed.sequence) {
                    self.held().broken = Some("a delivery is acknowledged once");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn now(&self) -> SystemTime {
        self.now + self.begun.elapsed()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, ClaimLedger> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same one, many times at once.
pub(super) async fn settlements<S: CaseStore + 'static>(
    check: &mut Check<S>,
) -> Result<(), Violation> {
    for round in 0..5 {
        check.account = super::account(round);
        check.deliver(&["1", "2"]).await?;
        check.claim("t", 2, LONG).await?;
        let (mut racers, start) = (JoinSet::new(), Arc::new(Barrier::new(RACERS)));
        for racer in 0..RACERS {
            let (store, account, now) = check.parts();
            let start = Arc::clone(&start);
            racers.spawn(async move {
                start.wait().await;
                let mut both = [1, 2].map(|n| settlement(n, "t", Outcome::Acknowledged));
                // Rows that are locked in the order in which they are named make a deadlock of this.
                if racer % 2 == 1 {
                    both.reverse();
                }
                store.settle(&account, &both, now).await
            });
        }
        let settled = finish(racers).await?.concat();
        holds(
            settled.into_iter().filter(|settled| *settled).count() == 2,
            "of many who acknowledge a delivery one is told that it did",
        )?;
    }
    Ok(())
}

impl<S> Check<S> {
    fn parts(&self) -> (Arc<S>, AccountId, SystemTime) {
        (Arc::clone(&self.store), self.account.clone(), self.now)
    }
}

async fn finish<T: 'static>(mut racers: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while let Some(finished) = racers.join_next().await {
        all.push(finished.map_err(Error::store)??);
    }
    Ok(all)
}
