//! What to fetch in a poll.
//!
//! *Problem.* Anybody can send notifications, and each asks for a fetch. Orders that are due must
//! not starve behind forged ones, and neither the service nor memory may be flooded.
//!
//! *Approach.* Hints are merged by Rx id, bounded in number and by the minute. What is beyond the
//! bounds must not be lost: a listing stands in for it, which shows whatever is truly notified.

use std::collections::HashMap;
use std::time::Duration;

/// The shortest time between two hints of one order that are taken.
const SPACING: Duration = Duration::from_secs(30);

/// How many hints are taken a minute. Beyond that the orders are listed, which shows whatever a true
/// notification was for: so a flood costs no more than a listing a minute.
const A_MINUTE: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// How many hints may wait at a time, where nobody takes them.
// Anybody can send notifications: memory must not grow with them.
const WAITING: usize = 1_000;

/// How many of the cases that are due, and how many unknown orders that were hinted at, are fetched
/// in a poll. Unknown orders get half of the budget at most while cases are due, since anybody can
/// name some.
pub(in crate::inbox) fn share(due: usize, unknown: usize, budget: usize) -> (usize, usize) {
    let left = budget.saturating_sub(due);
    let unknown = unknown.min(left.max(budget / 2));
    // Not below zero: `unknown` is at most the budget.
    (due.min(budget - unknown), unknown)
}

/// The Rx ids that were hinted at: in memory, bounded, merged and never believed. When they
/// overflow, and after a restart, a listing stands in for them: whatever is notified is listed.
///
/// All times are elapsed time.
#[derive(Debug, Default)]
pub(in crate::inbox) struct Hints {
    /// With the time before which it is not taken.
    waiting: HashMap<Box<str>, Duration>,
    /// When it was taken, of those that were taken a moment ago.
    taken: HashMap<Box<str>, Duration>,
    /// When the minute began for which hints are counted, and how many there were.
    minute: Duration,
    count: u32,
    overflow: bool,
}

impl Hints {
    /// Takes a hint in. One that waits already is not taken twice.
    pub(in crate::inbox) fn add(&mut self, rx_id: &str, now: Duration) {
        if self.waiting.contains_key(rx_id) {
            return;
        }
        // Before the first hint no minute has begun.
        if now.saturating_sub(self.minute) >= MINUTE || self.count == 0 {
            self.minute = now;
            self.count = 0;
        }
        if self.count >= A_MINUTE || self.waiting.len() >= WAITING {
            self.overflow = true;
            return;
        }
        self.count += 1;
        // One that was taken a moment ago waits, and is not dropped: the order may have gone on
        // since it was fetched.
        let earliest = self.taken.get(rx_id).map(|taken| *taken + SPACING);
        self.waiting.insert(rx_id.into(), earliest.unwrap_or(now));
    }

    /// Takes out those whose time has come.
    pub(in crate::inbox) fn take(&mut self, now: Duration) -> Vec<Box<str>> {
        // First, so that this never holds more than were taken within the spacing.
        self.taken.retain(|_, taken| *taken + SPACING > now);
        let ready = self.waiting.extract_if(|_, earliest| *earliest <= now);
        let mut ready: Vec<_> = ready.map(|(rx_id, _)| rx_id).collect();
        // A map has no order: sorted, what is fetched first does not depend on chance.
        ready.sort_unstable();
        let taken = ready.iter().map(|rx_id| (rx_id.clone(), now));
        self.taken.extend(taken);
        ready
    }

    /// Returns one that was taken out and not fetched: it can be taken again at once.
    pub(in crate::inbox) fn put_back(&mut self, rx_id: Box<str>, now: Duration) {
        // Not counted again: it was when it came in.
        self.waiting.insert(rx_id, now);
    }

    /// Notes that a hint came to nothing: a listing stands in for it.
    pub(in crate::inbox) fn overflow(&mut self) {
        self.overflow = true;
    }

    /// Whether the orders should be listed for what was hinted at; asked once.
    pub(in crate::inbox) fn take_overflow(&mut self) -> bool {
        std::mem::take(&mut self.overflow)
    }

    /// How long it is until one can be taken; none if none waits.
    pub(in crate::inbox) fn wait(&self, now: Duration) -> Option<Duration> {
        let earliest = self.waiting.values().min()?;
        Some(earliest.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn second(second: u64) -> Duration {
        NOW + Duration::from_secs(second)
    }

    #[test]
    fn a_flood_for_one_order_is_one_fetch_and_one_more_when_the_spacing_is_over() {
        let mut hints = Hints::default();
        (0..1_000).for_each(|_| hints.add("a", second(0)));
        assert_eq!(hints.take(second(0)), ["a".into()]);
        // What comes after the fetch was begun may be news, and is not lost.
        hints.add("a", second(1));
        assert!(hints.take(second(1)).is_empty());
        assert_eq!(hints.wait(second(1)), Some(Duration::from_secs(29)));
        assert_eq!(hints.take(second(30)), ["a".into()]);
        assert_eq!(hints.wait(second(30)), None);
        assert!(!hints.take_overflow());
    }

    #[test]
    fn a_flood_of_many_is_a_few_a_minute_and_a_listing() {
        let mut hints = Hints::default();
        let mut taken = |at: u64| {
            (0..10_000).for_each(|id| hints.add(&format!("{at} {id}"), second(at)));
            let overflow = hints.take_overflow() && !hints.take_overflow();
            (hints.take(second(at)).len(), overflow)
        };
        assert_eq!(taken(0), (20, true));
        assert_eq!(taken(59), (0, true));
        assert_eq!(taken(60), (20, true));
    }

    #[test]
    fn what_nobody_takes_is_bounded() {
        let mut hints = Hints::default();
        for minute in 0..100 {
            for id in 0..20 {
                hints.add(&format!("{minute} {id}"), second(minute * 60));
            }
        }
        assert!(hints.take_overflow());
        assert_eq!(hints.take(second(6_000)).len(), WAITING);
    }

    #[test]
    fn unknown_orders_have_half_of_the_budget_while_cases_are_due() {
        assert_eq!(share(0, 20, 5), (0, 5));
        assert_eq!(share(3, 20, 10), (3, 7));
        assert_eq!(share(200, 20, 10), (5, 5));
        assert_eq!(share(200, 0, 10), (10, 0));
        assert_eq!(share(200, 20, 1), (1, 0));
    }
}
