//! What a vendor can read off an inbox.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::report::{PollReport, Problem};
use super::store::Counts;
use crate::error::Error;

/// How an inbox is doing. Counters are of this inbox and its clones, since it was made;
/// [`Stats::store`] is of the account, whoever did it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Rounds that listed the orders.
    pub polls: u64,
    /// Rounds that could not.
    pub failed_polls: u64,
    /// Orders fetched one by one.
    pub fetched: u64,
    /// Hints that were taken in.
    pub hints: u64,
    /// Deliveries that were new.
    pub deliveries: u64,
    /// Other arrivals that were new.
    pub changes: u64,
    /// Arrivals that were not to be expected from what came before.
    pub deviations: u64,
    /// Orders that could not be read, or not be kept.
    pub unreadable: u64,
    /// Orders that could not be fetched.
    pub not_fetched: u64,
    /// When the last good listing was complete. A listing is good if it was read in full.
    pub last_good_poll: Option<SystemTime>,
    /// How long ago that was; none if there was none.
    pub lag: Option<Duration>,
    /// The last error of a poll, in one line; none after a good one.
    pub last_error: Option<String>,
    /// What is in the store.
    pub store: Counts,
    /// How old the oldest open delivery is.
    pub oldest: Option<Duration>,
}

/// The counters of an inbox.
#[derive(Debug, Default)]
pub(super) struct Counters {
    stats: Mutex<Stats>,
}

impl Counters {
    pub(super) fn polled(&self, report: &PollReport, now: SystemTime) {
        self.with(|stats| {
            stats.polls += 1;
            if report.is_complete() {
                stats.last_good_poll = Some(now);
                stats.last_error = None;
            }
            stats.add(report);
        });
    }

    pub(super) fn failed(&self, error: &Error) {
        self.with(|stats| {
            stats.failed_polls += 1;
            stats.last_error = Some(error.to_string());
        });
    }

    pub(super) fn fetched(&self, report: &PollReport) {
        self.with(|stats| stats.add(report));
    }

    pub(super) fn hinted(&self) {
        self.with(|stats| stats.hints += 1);
    }

    /// The counters beside what is in the store.
    pub(super) fn stats(&self, store: Counts, now: SystemTime) -> Stats {
        let mut stats = self.with(|stats| stats.clone());
        let ago = |time: SystemTime| now.duration_since(time).unwrap_or_default();
        stats.lag = stats.last_good_poll.map(ago);
        stats.oldest = store.oldest.map(ago);
        stats.store = store;
        stats
    }

    fn with<T>(&self, change: impl FnOnce(&mut Stats) -> T) -> T {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Stats {
    fn add(&mut self, report: &PollReport) {
        self.fetched += report.fetched();
        self.deliveries += report.deliveries();
        self.changes += report.changes();
        self.deviations += report.deviations();
        for problem in report.problems() {
            match problem {
                Problem::Unreadable(_) | Problem::IdTooLong(_) => self.unreadable += 1,
                Problem::NotFetched(..) => self.not_fetched += 1,
                Problem::Listing(error) => self.last_error = Some(error.to_string()),
                Problem::NoRxId(_) => {}
            }
        }
    }
}
