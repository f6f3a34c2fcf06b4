//! Hints that orders changed: bounded, merged, and never believed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::due::DueTime;
use super::store::fits;
use crate::model::RxId;

/// So many hints wait at a time. What comes beyond is answered by a poll.
const WAITING: usize = 10_000;

/// An order is fetched for hints at most so often.
const SPACING: Duration = Duration::from_secs(30);

/// Rx ids that nobody knows are fetched at most so often a minute, all of them together; for
/// those beyond the orders are listed, which shows whatever a true notification was for.
const UNKNOWN_A_MINUTE: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// The Rx ids that were hinted at.
#[derive(Debug, Default)]
pub(super) struct Hints {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// With the time before which it is not fetched.
    waiting: HashMap<RxId, DueTime>,
    /// When it was fetched for a hint.
    fetched: HashMap<RxId, SystemTime>,
    unknown: Allowance,
    /// More came than could be kept or may be fetched.
    overflow: bool,
}

/// What may be spent in the minute that began then.
#[derive(Debug, Default)]
struct Allowance {
    began: Option<SystemTime>,
    spent: u32,
}

impl Hints {
    /// Takes a hint. Nothing is fetched here.
    pub(super) fn add(&self, rx_id: &RxId, now: SystemTime) {
        // An order has no such Rx id, or could not be found by it.
        if !fits(rx_id.as_str()) {
            return;
        }
        let mut state = self.lock();
        if state.waiting.contains_key(rx_id) {
            return;
        }
        if state.waiting.len() >= WAITING {
            state.overflow = true;
            return;
        }
        let last = state.fetched.get(rx_id).copied();
        let wait = last.map_or(Duration::ZERO, |last| left(last, now));
        let earliest = DueTime::new(now, wait);
        state.waiting.insert(rx_id.clone(), earliest);
    }

    /// Takes out hints that may be fetched now, at most `limit`.
    pub(super) fn take(&self, now: SystemTime, limit: usize) -> Vec<RxId> {
        let mut state = self.lock();
        state
            .fetched
            .retain(|_, at| now.duration_since(*at).is_ok_and(|ago| ago < SPACING));
        let ready = state
            .waiting
            .iter()
            .filter(|(_, earliest)| earliest.has_passed(now));
        let mut ready: Vec<_> = ready.map(|(rx_id, _)| rx_id.clone()).collect();
        ready.sort_unstable();
        ready.truncate(limit);
        for rx_id in &ready {
            state.waiting.remove(rx_id);
        }
        ready
    }

    /// Whether an order may be fetched: one that is known always, of the others a few.
    pub(super) fn allows(&self, rx_id: &RxId, is_known: bool, now: SystemTime) -> bool {
        let mut state = self.lock();
        let allowed = is_known || state.unknown.spend(now);
        if allowed {
            state.fetched.insert(rx_id.clone(), now);
        } else {
            state.overflow = true;
        }
        allowed
    }

    /// How long it is until the next hint may be fetched; none if there is none.
    pub(super) fn wait(&self, now: SystemTime) -> Option<Duration> {
        let state = self.lock();
        let waits = state.waiting.values().map(|earliest| earliest.wait(now));
        waits.min()
    }

    /// Whether the orders should be listed for what was hinted at; asked once.
    pub(super) fn take_overflow(&self) -> bool {
        std::mem::take(&mut self.lock().overflow)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowance {
    fn spend(&mut self, now: SystemTime) -> bool {
        let current = self
            .began
            .is_some_and(|began| now.duration_since(began).is_ok_and(|ago| ago < MINUTE));
        if !current {
            self.began = Some(now);
            self.spent = 0;
        }
        self.spent += 1;
        self.spent <= UNKNOWN_A_MINUTE
    }
}

/// What is left of the spacing; nothing if the clock was set back.
fn left(last: SystemTime, now: SystemTime) -> Duration {
    match now.duration_since(last) {
        Ok(ago) => SPACING.saturating_sub(ago),
        Err(_) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
    }

    #[test]
    fn a_flood_for_one_order_is_one_fetch_and_one_more_when_the_spacing_is_over() {
        let (hints, rx) = (Hints::default(), RxId::new("a"));
        for _ in 0..1_000 {
            hints.add(&rx, at(0));
        }
        assert_eq!(hints.take(at(0), 10), std::slice::from_ref(&rx));
        assert!(hints.allows(&rx, true, at(0)));
        // What comes after the fetch was begun may be news, and is not lost.
        hints.add(&rx, at(1));
        assert_eq!(hints.take(at(1), 10), []);
        assert_eq!(hints.wait(at(1)), Some(Duration::from_secs(29)));
        assert_eq!(hints.take(at(30), 10), [rx]);
    }

    #[test]
    fn unknown_orders_share_an_allowance_and_then_ask_for_a_listing() {
        let hints = Hints::default();
        let allowed = |second| {
            let ids = (0..1_000).map(|n| RxId::new(format!("{second}-{n}")));
            ids.filter(|id| hints.allows(id, false, at(second))).count()
        };
        assert_eq!(allowed(0), 20);
        assert!(hints.take_overflow());
        assert!(!hints.take_overflow());
        assert_eq!((allowed(59), allowed(60)), (0, 20));
    }

    #[test]
    fn what_waits_is_bounded() {
        let hints = Hints::default();
        for number in 0..2 * WAITING {
            hints.add(&RxId::new(number.to_string()), at(0));
        }
        hints.add(&RxId::new("x".repeat(257)), at(0));
        assert!(hints.take_overflow());
        assert_eq!(hints.take(at(0), usize::MAX).len(), WAITING);
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nothing() {
        let (hints, rx) = (Hints::default(), RxId::new("a"));
        assert!(hints.allows(&rx, true, at(1_000)));
        hints.add(&rx, at(0));
        assert_eq!(hints.take(at(0), 1), std::slice::from_ref(&rx));
        // Also while a hint waits.
        assert!(hints.allows(&rx, true, at(1_000)));
        hints.add(&rx, at(1_001));
        assert_eq!(hints.take(at(1_001), 1), []);
        assert_eq!(hints.take(at(0), 1), [rx]);
    }
}
