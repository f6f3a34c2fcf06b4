//! A bound on repeats, shared by all clones of a client.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;

/// Tokens that repeats cost and successes bring back.
///
/// In a full outage each caller would otherwise multiply its requests by the number of attempts,
/// on a service that is down because it has too many. The figures are those of the AWS SDKs:
/// 500 tokens, 5 a repeat, 10 one after a timeout, 1 back for each success.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU32);

const FULL: u32 = 500;
const REPEAT: u32 = 5;
const REPEAT_AFTER_TIMEOUT: u32 = 10;

impl Budget {
    pub(crate) fn full() -> Self {
        Budget(AtomicU32::new(FULL))
    }

    /// Takes what a repeat costs, if there is that much.
    pub(crate) fn take(&self, error: &Error) -> bool {
        let cost = cost(error);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(cost)
            })
            .is_ok()
    }

    pub(crate) fn succeeded(&self) {
        // Full most of the time: then no write that all cores would wait for.
        if self.0.load(Ordering::Relaxed) < FULL {
            let add = |left: u32| (left < FULL).then_some(left + 1);
            // No error: another success may have filled it in between.
            let _ = self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
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
    use std::time::Duration;

    #[test]
    fn an_outage_spends_it_and_successes_bring_it_back() {
        let budget = Budget::full();
        let broken = Error::new(Kind::Broken);
        let repeats = (0..1000).filter(|_| budget.take(&broken)).count();
        assert_eq!(repeats, 100);
        for _ in 0..5 {
            assert!(!budget.take(&broken));
            budget.succeeded();
        }
        assert!(budget.take(&broken));
        assert!(!budget.take(&broken));
    }

    #[test]
    fn a_timeout_costs_twice_and_a_full_budget_stays_full() {
        let budget = Budget::full();
        budget.succeeded();
        let timeout = Error::new(Kind::Timeout(Duration::ZERO));
        let repeats = (0..1000).filter(|_| budget.take(&timeout)).count();
        assert_eq!(repeats, 50);
    }

    /// A thousand callers, a service that is down: what reaches it, with the budget and without.
    #[test]
    fn a_thousand_callers_in_an_outage() {
        use crate::retry::{RetryDecision, RetryPolicy, RetryState};
        let load = |budget: Option<&Budget>| {
            let policy = RetryPolicy::default();
            let error = Error::new(Kind::Broken);
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
                    let repeats =
                        matches!(policy.decide(state, &error), RetryDecision::RepeatAfter(_));
                    if !repeats || !budget.is_none_or(|budget| budget.take(&error)) {
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
