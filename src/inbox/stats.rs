//! What a vendor can read off an inbox.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::process;
use super::report::{PollReport, Problem};
use super::store::{Counts, Poller};
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
    /// How often the store failed in a way that may pass, so that what runs went on.
    pub store_failures: u64,
    /// Who polls the account.
    pub polled_by: PolledBy,
    /// What is in the store.
    pub store: Counts,
    /// How old the oldest open delivery is.
    pub oldest: Option<Duration>,
}

/// Who polls an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolledBy {
    /// Nobody has the right to. [`Inbox::poll`](super::Inbox::poll) does not ask for it.
    #[default]
    Nobody,
    /// An inbox of this process.
    ThisProcess,
    /// Another process.
    OtherProcess {
        /// Until when, unless it renews its right.
        until: SystemTime,
    },
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

    pub(super) fn store_failed(&self, error: &Error) {
        self.with(|stats| {
            stats.store_failures += 1;
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
    pub(super) fn stats(&self, store: Counts, poller: Option<Poller>, now: SystemTime) -> Stats {
        let mut stats = self.with(|stats| stats.clone());
        let ago = |time: SystemTime| now.duration_since(time).unwrap_or_default();
        stats.lag = stats.last_good_poll.map(ago);
        stats.oldest = store.oldest.map(ago);
        stats.store = store;
        stats.polled_by = match poller {
            None => PolledBy::Nobody,
            Some(poller) if poller.process == process::name() => PolledBy::ThisProcess,
            Some(Poller { until, .. }) => PolledBy::OtherProcess { until },
        };
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
