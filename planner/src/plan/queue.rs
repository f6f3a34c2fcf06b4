//! What to fetch in a round.

use std::collections::{HashSet, VecDeque};

use std::time::SystemTime;

/// So many hints of unknown orders wait at a time.
const WAITING: usize = 10_000;

/// What to fetch in a round, at most `budget`.
///
/// Of the cases those that have been due longest, so that none waits for ever behind others: what
/// fails is delayed by its own schedule and leaves the way free. Hints of unknown orders have half
/// of the budget at most while cases are due, since anybody can send them.
pub fn choose<K: Ord>(
    mut due: Vec<(SystemTime, K)>,
    hints: &mut Hints,
    budget: usize,
) -> (Vec<K>, Vec<String>) {
    due.sort_unstable();
    let left = budget.saturating_sub(due.len());
    let unknown = hints.take(left.max(budget / 2));
    due.truncate(budget - unknown.len());
    let cases = due.into_iter().map(|(_, key)| key);
    (cases.collect(), unknown)
}

/// The Rx ids of unknown orders that were hinted at: in memory, bounded, and never believed.
/// When they overflow, and after a restart, a listing stands in for them: whatever is notified is
/// listed.
#[derive(Debug, Default)]
pub struct Hints {
    waiting: VecDeque<String>,
    known: HashSet<String>,
    overflow: bool,
}

impl Hints {
    /// Takes a hint. One that waits already is not taken again.
    pub fn add(&mut self, rx_id: &str) {
        if self.known.contains(rx_id) {
            return;
        }
        if self.waiting.len() >= WAITING {
            self.overflow = true;
            return;
        }
        self.known.insert(rx_id.to_owned());
        self.waiting.push_back(rx_id.to_owned());
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the orders should be listed for what was hinted at; asked once.
    pub fn take_overflow(&mut self) -> bool {
        std::mem::take(&mut self.overflow)
    }

    fn take(&mut self, limit: usize) -> Vec<String> {
        let limit = limit.min(self.waiting.len());
        let taken: Vec<String> = self.waiting.drain(..limit).collect();
        for rx_id in &taken {
            self.known.remove(rx_id);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::*;
    use super::*;
    use crate::flow::History;

    fn minute(n: u32) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(60) * (n + 30_000_000)
    }

    /// Sequence 28, and a day of it.
    #[test]
    fn each_order_that_answers_is_fetched_behind_those_that_fail_and_a_flood_of_hints() {
        let (policy, coverage) = (Policy::default(), ListingCoverage::default());
        let milling = History::partial(["Lab Review", "iTero Milling"]);
        let start = minute(0);
        let imported = CaseRecord::imported(&milling, start, &policy, 0);
        let mut cases = vec![imported; 40];
        for case in &mut cases {
            let hint = observation(Evidence::Hinted, start);
            *case = observe(case, &hint, &policy, &coverage)
                .into_record()
                .unwrap();
        }
        let mut hints = Hints::default();
        let mut answered = vec![Vec::new(); 40];
        let mut unknown = 0;
        for round in 0..288 {
            let now = minute(round * 5);
            for forged in 0..20 {
                hints.add(&format!("{round} {forged}"));
            }
            let due = cases.iter().enumerate();
            let due = due.filter_map(|(id, case)| Some((case.schedule().due_since(now)?, id)));
            let (chosen, hinted) = choose(due.collect(), &mut hints, 5);
            assert!(chosen.len() + hinted.len() <= 5);
            unknown += hinted.len();
            for id in chosen {
                let (status, files) = (OrderStatus::IteroMilling, Files::none());
                let evidence = if id < 30 {
                    Evidence::FetchFailed
                } else {
                    answered[id].push(round);
                    Evidence::Fetched(OrderState::new(&status, &files))
                };
                let transition =
                    observe(&cases[id], &observation(evidence, now), &policy, &coverage);
                cases[id] = transition.into_record().unwrap();
            }
        }
        for rounds in &answered[30..] {
            assert!(rounds[0] < 20, "{rounds:?}");
            // Then at the slow interval: hourly for four hours, then ever more seldom.
            assert!(rounds.len() >= 8, "{rounds:?}");
        }
        assert!(unknown >= 288 * 2);
    }

    fn observation(evidence: Evidence<'_>, now: SystemTime) -> Observation<'_> {
        Observation {
            evidence,
            revision: 0,
            begun: now,
            now,
            jitter: 0,
        }
    }

    use crate::status::OrderStatus;

    #[test]
    fn hints_are_bounded_and_merged_and_a_listing_stands_in_for_what_is_too_much() {
        let mut hints = Hints::default();
        for _ in 0..3 {
            hints.add("a");
        }
        assert_eq!(hints.len(), 1);
        for number in 0..WAITING {
            hints.add(&number.to_string());
        }
        assert_eq!(hints.len(), WAITING);
        assert!(hints.take_overflow() && !hints.take_overflow());
        let (cases, unknown) = choose(vec![(minute(1), 2), (minute(0), 1)], &mut hints, 1);
        assert_eq!((cases, unknown), (vec![1], vec![]));
        let (cases, unknown) = choose(Vec::<(SystemTime, u8)>::new(), &mut hints, 3);
        assert!(cases.is_empty());
        assert_eq!(unknown, ["a", "0", "1"]);
        hints.add("a");
        assert_eq!(hints.len(), WAITING - 2);
    }
}
