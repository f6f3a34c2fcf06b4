//! The log of API calls: what came, and what the client saw. No query, no header and no body is
//! kept, so that no token and no patient can be in it.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use crate::endpoints::Operation;

/// How many calls are kept.
pub(super) const KEPT: usize = 1000;

/// What is kept of a path.
const LONGEST: usize = 160;

/// The last calls, the newest last.
#[derive(Debug, Default)]
pub(super) struct Calls {
    kept: VecDeque<Call>,
    count: u64,
}

/// One call as the client saw it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// From 1, without gaps.
    pub(super) number: u64,
    /// Simulated time.
    pub(super) at: SystemTime,
    pub(super) operation: Operation,
    pub(super) path: String,
    /// What the client saw; none if there was no answer.
    pub(super) status: Option<u16>,
    /// The faults that were played.
    pub(super) faults: Vec<&'static str>,
    /// Real time, until the head of the answer was ready.
    pub(super) took: Duration,
}

impl Calls {
    /// Its number is given to it here.
    pub(super) fn record(&mut self, mut call: Call) {
        self.count += 1;
        call.number = self.count;
        if call.path.len() > LONGEST {
            call.path = call.path.chars().take(LONGEST).collect();
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(call);
    }

    /// The newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Call> {
        self.kept.iter().rev()
    }

    /// Those after a number, the oldest first.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Call> {
        self.kept.iter().filter(move |call| call.number > number)
    }

    /// How many there were, forgotten ones too.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Numbers go on.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_numbers_go_on() {
        let mut calls = Calls::default();
        for _ in 0..KEPT + 5 {
            calls.record(Call {
                number: 0,
                at: SystemTime::UNIX_EPOCH,
                operation: Operation::GetOrders,
                path: "/é".repeat(LONGEST),
                status: Some(200),
                faults: Vec::new(),
                took: Duration::ZERO,
            });
        }
        assert_eq!(calls.newest().count(), KEPT);
        assert_eq!(calls.newest().next().unwrap().number, KEPT as u64 + 5);
        assert_eq!(calls.after(KEPT as u64 + 3).count(), 2);
        assert_eq!(calls.newest().next().unwrap().path.chars().count(), LONGEST);
        calls.clear();
        assert_eq!((calls.newest().count(), calls.count()), (0, 1005));
    }
}
