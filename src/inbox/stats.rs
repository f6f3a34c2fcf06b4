//! What a vendor can read off an inbox.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::problem::ProblemKind;
use super::report::PollReport;
use super::store::{Counts, Poller};
use crate::error::Error;

/// How an inbox is doing. Counters are of this inbox and its clones, since it was made;
/// [`Stats::store`] is of the account, whoever did it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// How the last poll of this inbox went.
    pub poll_state: PollState,
    /// Polls that listed the orders.
    pub polls: u64,
    /// Polls that could not.
    pub failed_polls: u64,
    /// How long ago the orders were listed last; none if they never were.
    pub since_good_poll: Option<Duration>,
    /// How long ago they were listed in full last; none if they never were. Only such a listing
    /// shows which orders are gone.
    pub since_complete_poll: Option<Duration>,
    /// The last error of a poll, in one line; none after one that listed the orders in full.
    pub last_error: Option<String>,
    /// What was wrong in the last poll, and with what was notified since, by kind.
    pub problems: BTreeMap<ProblemKind, u64>,
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
    /// How often the store failed in a way that may pass, so that what runs went on.
    pub store_failures: u64,
    /// Who polls the account.
    pub polled_by: Option<Poller>,
    /// What is in the store.
    pub store: Counts,
    /// How old the oldest open delivery is.
    pub oldest: Option<Duration>,
    /// For how long the fetch that is due longest has been due; none if none is.
    pub oldest_fetch: Option<Duration>,
}

/// How the last poll went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PollState {
    /// There was none yet.
    #[default]
    NotYet,
    /// The orders were listed.
    Good,
    /// They could not be listed; it is tried again.
    Failing,
    /// The service does not let this software at the account's orders, or takes its tokens no more:
    /// [pair](crate::Login::pair) it again.
    NotPaired,
}

/// The counters of an inbox.
#[derive(Debug, Default)]
pub(super) struct Counters {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stats: Stats,
    /// When the orders were listed, and listed in full, in elapsed time.
    good: Option<Duration>,
    complete: Option<Duration>,
}

impl Counters {
    pub(super) fn polled(&self, report: &PollReport, now: Duration) {
        self.with(|state| {
            let stats = &mut state.stats;
            stats.poll_state = PollState::Good;
            stats.polls += 1;
            stats.problems.clear();
            for problem in report.problems() {
                *stats.problems.entry(problem.kind()).or_default() += 1;
            }
            let listing = report.problems().iter();
            let mut listing = listing.filter(|one| one.kind() == ProblemKind::ListingIncomplete);
            stats.last_error = listing.find_map(|one| Some(one.error()?.to_string()));
            stats.add(report);
            state.good = Some(now);
            if report.is_complete() {
                state.complete = Some(now);
            }
        });
    }

    pub(super) fn failed(&self, error: &Error) {
        self.with(|State { stats, .. }| {
            stats.failed_polls += 1;
            stats.last_error = Some(error.to_string());
            stats.poll_state = if error.needs_pairing() || error.is_forbidden() {
                PollState::NotPaired
            } else {
                PollState::Failing
            };
        });
    }

    pub(super) fn store_failed(&self, error: &Error) {
        self.with(|State { stats, .. }| {
            stats.store_failures += 1;
            stats.last_error = Some(error.to_string());
        });
    }

    pub(super) fn add(&self, report: &PollReport) {
        self.with(|state| state.stats.add(report));
    }

    pub(super) fn problem(&self, kind: ProblemKind) {
        self.with(|state| *state.stats.problems.entry(kind).or_default() += 1);
    }

    pub(super) fn hinted(&self) {
        self.with(|state| state.stats.hints += 1);
    }

    /// The counters beside what is in the store.
    pub(super) fn stats(
        &self,
        store: Counts,
        poller: Option<Poller>,
        now: SystemTime,
        elapsed: Duration,
    ) -> Stats {
        let since = |at: Option<Duration>| at.map(|at| elapsed.saturating_sub(at));
        let mut stats = self.with(|state| Stats {
            since_good_poll: since(state.good),
            since_complete_poll: since(state.complete),
            ..state.stats.clone()
        });
        let ago = |time: SystemTime| now.duration_since(time).unwrap_or_default();
        stats.oldest = store.oldest.map(ago);
        stats.oldest_fetch = store.oldest_fetch.map(ago);
        stats.store = store;
        stats.polled_by = poller;
        stats
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Stats {
    fn add(&mut self, report: &PollReport) {
        self.fetched += report.fetched();
        self.deliveries += report.deliveries();
        self.changes += report.changes();
        self.deviations += report.deviations();
    }
}
