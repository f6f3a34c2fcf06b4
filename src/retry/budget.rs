//! A bound on repeats, one for each account and each kind of request.
//!
//! *Problem.* A service that is down gets three requests for each call. And one lab's outage used up
//! what another lab's first failure needed
//! (`what_one_lab_spends_no_other_lacks_and_time_brings_it_back`).
//!
//! *Approach.* A counter that repeats take from, without a lock: it is asked by every failed attempt. A
//! call's first attempt must never need it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Error;

/// Tokens that repeats cost, and that successes and time bring back.
///
/// In a full outage each caller would otherwise multiply its requests by the number of attempts,
/// on a service that is down because it has too many. The figures are those of the AWS SDKs:
/// 500 tokens, 5 a repeat, 10 one after a timeout, 1 back for each success. Theirs never comes back
/// with time; a lab that calls once in five minutes would have none for two days after an outage. So
/// there is 1 back each two seconds as well: a repeat in ten seconds, all of it in a quarter of an hour.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU32,
    /// Until when it was refilled with time, in steps of elapsed time.
    refilled: AtomicU64,
}

// See `Budget` for where these come from.
const FULL: u32 = 500;
const REPEAT: u32 = 5;
const REPEAT_AFTER_TIMEOUT: u32 = 10;
const STEP: Duration = Duration::from_secs(2);

impl Budget {
    pub(crate) fn full() -> Self {
        Budget {
            left: AtomicU32::new(FULL),
            refilled: AtomicU64::new(0),
        }
    }

    /// Takes what a repeat costs, if there is that much. `now` is in elapsed time.
    pub(crate) fn take(&self, error: &Error, now: Duration) -> bool {
        self.refill(now);
        // A timeout costs twice: it has held a connection, and the service, for long.
        let cost = cost(error);
        self.left
            // Relaxed: the number guards no other memory, and a repeat more or less does no harm.
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(cost)
            })
            .is_ok()
    }

    pub(crate) fn succeeded(&self) {
        // Full most of the time: then no write that all cores would wait for.
        if self.left.load(Ordering::Relaxed) < FULL {
            self.add(1);
        }
    }

    /// Whether a new one would be the same.
    pub(crate) fn is_full(&self, now: Duration) -> bool {
        self.refill(now);
        self.left.load(Ordering::Relaxed) == FULL
    }

    fn refill(&self, now: Duration) {
        let step = now.as_secs() / STEP.as_secs();
        // Of several threads one gets the difference; the others find the step reached.
        let before = self.refilled.fetch_max(step, Ordering::Relaxed);
        let steps = step.saturating_sub(before);
        // More steps than a `u32` holds are more than enough to fill it.
        self.add(u32::try_from(steps).unwrap_or(FULL));
    }

    fn add(&self, tokens: u32) {
        let add = |left: u32| (left < FULL).then_some(left.saturating_add(tokens).min(FULL));
        // No error: it is full already.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

fn cost(error: &Error) -> u32 {
    if error.is_timeout() {
        REPEAT_AFTER_TIMEOUT
    } else {
        REPEAT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn an_outage_spends_it_and_successes_bring_it_back() {
        let budget = Budget::full();
        let broken = Error::new(Kind::Interrupted);
        let repeats = (0..1000)
            .filter(|_| budget.take(&broken, Duration::ZERO))
            .count();
        assert_eq!(repeats, 100);
        for _ in 0..5 {
            assert!(!budget.take(&broken, Duration::ZERO));
            budget.succeeded();
        }
        assert!(budget.take(&broken, Duration::ZERO));
        assert!(!budget.take(&broken, Duration::ZERO));
    }

    #[test]
    fn time_brings_it_back_slowly() {
        let budget = Budget::full();
        let broken = Error::new(Kind::Interrupted);
        let repeats = |seconds| {
            let now = Duration::from_secs(seconds);
            (0..1000).filter(|_| budget.take(&broken, now)).count()
        };
        // However long the process has run: full is full.
        assert_eq!(repeats(1_000_000), 100);
        assert_eq!(repeats(1_000_009), 0);
        assert_eq!(repeats(1_000_010), 1);
        assert_eq!(repeats(1_000_070), 6);
        // A clock that does not move, or goes back, brings nothing.
        assert_eq!(repeats(1_000_070), 0);
        assert_eq!(repeats(500), 0);
        assert!(!budget.is_full(Duration::from_secs(1_000_100)));
        assert!(budget.is_full(Duration::from_secs(1_001_200)));
        assert_eq!(repeats(9_000_000), 100);
    }

    #[test]
    fn a_timeout_costs_twice_and_a_full_budget_stays_full() {
        let budget = Budget::full();
        budget.succeeded();
        let timeout = Error::new(Kind::Timeout(Duration::ZERO));
        let repeats = (0..1000)
            .filter(|_| budget.take(&timeout, Duration::ZERO))
            .count();
        assert_eq!(repeats, 50);
    }

    /// A thousand callers, a service that is down: what reaches it, with the budget and without.
    #[test]
    fn a_thousand_callers_in_an_outage() {
        use crate::retry::{RetryPolicy, RetryState};
        let load = |budget: Option<&Budget>| {
            let policy = RetryPolicy::default();
            let error = Error::new(Kind::Interrupted);
            let mut requests = 0;
            for _ in 0..1000 {
                let mut attempts = 0;
                loop {
                    attempts += 1;
                    requests += 1;
                    let state = RetryState {
                        attempts,
                        repeatable: true,
                        left: Duration::from_secs(60),
                        chance: 0.5,
                    };
                    let repeats = policy.decide(state, &error).is_ok();
                    if !repeats || !budget.is_none_or(|budget| budget.take(&error, Duration::ZERO))
                    {
                        break;
                    }
                }
            }
            requests
        };
        assert_eq!(load(None), 3000);
        assert_eq!(load(Some(&Budget::full())), 1100);
    }
}
