//! What a vendor can read off an inbox.
//!
//! *Problem.* An inbox goes on through failures, so somebody has to see them from outside.
//!
//! *Approach.* Counters of this process beside counts of the store. They must decide nothing, and
//! hold no id: they go to whoever watches.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::problem::ProblemKind;
use super::report::PollReport;
use super::store::{Counts, Poller};
use crate::error::Error;

/// How an inbox is doing. Counters are of this inbox and its clones, since it was made;
/// [`Stats::store`] is of the account, whoever did it.
///
/// As JSON the fields have their names here, with `_seconds` behind those that are a duration:
///
/// ```json
/// {
///   "poll_state": "good", "polls": 288, "failed_polls": 1,
///   "since_good_poll_seconds": 12.5, "since_complete_poll_seconds": 12.5,
///   "last_error": null, "problems": {"not_fetched": 2},
///   "fetched": 31, "hints": 7, "deliveries": 12, "changes": 19, "deviations": 0, "store_failures": 0,
///   "polled_by": {"process": "6f3c", "until": "2026-03-14T09:27:23.000Z"},
///   "store": {
///     "cases": 40, "arrivals": 95, "open": 3, "hidden": 1, "failed": 1, "most_attempts": 4,
///     "oldest": "2026-03-14T08:26:53.000Z", "due": 1, "oldest_fetch": "2026-03-14T09:26:50.250Z",
///     "given_up": 0
///   },
///   "oldest_seconds": 3600.0, "oldest_fetch_seconds": 2.75
/// }
/// ```
///
/// What is not there is `null`; fields may be added.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// How the last poll of this inbox went.
    pub poll_state: PollState,
    /// Polls that listed the orders.
    pub polls: u64,
    /// Polls that could not.
    pub failed_polls: u64,
    /// How long ago the orders were listed last; none if they never were.
    #[serde(rename = "since_good_poll_seconds", serialize_with = "seconds")]
    pub since_good_poll: Option<Duration>,
    /// How long ago they were listed in full last; none if they never were. Only such a listing
    /// shows which orders are gone.
    #[serde(rename = "since_complete_poll_seconds", serialize_with = "seconds")]
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
    #[serde(rename = "oldest_seconds", serialize_with = "seconds")]
    pub oldest: Option<Duration>,
    /// For how long the fetch that is due longest has been due; none if none is.
    #[serde(rename = "oldest_fetch_seconds", serialize_with = "seconds")]
    pub oldest_fetch: Option<Duration>,
}

/// How the last poll went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PollState {
    /// There was none yet.
    #[default]
    NotYet,
    /// The orders were listed.
    Good,
    /// They could not be listed; it is tried again.
    Failing,
    /// The service refuses this software the account's orders, or no longer accepts its tokens:
    /// [pair](crate::Login::pair) it again.
    NotPaired,
}

fn seconds<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.as_secs_f64()).serialize(serializer)
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
            // The problems are those of the last poll: what is mended must go.
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
            // Told apart because somebody has to act: no later poll goes better by itself.
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
        // In elapsed time: a clock that is set must not make a good poll look old.
        let since = |at: Option<Duration>| at.map(|at| elapsed.saturating_sub(at));
        let mut stats = self.with(|state| Stats {
            since_good_poll: since(state.good),
            since_complete_poll: since(state.complete),
            ..state.stats.clone()
        });
        // A time that lies ahead was set by another clock: its age is nothing.
        let ago = |time: SystemTime| now.duration_since(time).unwrap_or_default();
        stats.oldest = store.oldest.map(ago);
        stats.oldest_fetch = store.oldest_fetch.map(ago);
        stats.store = store;
        stats.polled_by = poller;
        stats
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // Locked for a few sums, and never across an await. A panic must not end the inbox:
        // counters are shown and decide nothing.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_json_it_is_what_is_documented() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_480_413);
        let seconds = Duration::from_secs_f64;
        let stats = Stats {
            poll_state: PollState::Good,
            polls: 288,
            failed_polls: 1,
            since_good_poll: Some(seconds(12.5)),
            since_complete_poll: Some(seconds(12.5)),
            last_error: None,
            problems: [(ProblemKind::NotFetched, 2)].into(),
            fetched: 31,
            hints: 7,
            deliveries: 12,
            changes: 19,
            deviations: 0,
            store_failures: 0,
            polled_by: Some(Poller::new("6f3c", now + seconds(30.0))),
            store: Counts {
                cases: 40,
                arrivals: 95,
                open: 3,
                hidden: 1,
                failed: 1,
                most_attempts: 4,
                oldest: Some(now - seconds(3600.0)),
                due: 1,
                oldest_fetch: Some(now - seconds(2.75)),
                given_up: 0,
            },
            oldest: Some(seconds(3600.0)),
            oldest_fetch: Some(seconds(2.75)),
        };
        let documented: String = include_str!("stats.rs")
            .lines()
            .skip_while(|line| *line != "/// ```json")
            .skip(1)
            .map_while(|line| line.strip_prefix("///"))
            .take_while(|line| *line != " ```")
            .collect();
        let documented: serde_json::Value = serde_json::from_str(&documented).unwrap();
        assert_eq!(serde_json::to_value(&stats).unwrap(), documented);
        assert_eq!(
            serde_json::to_value(Stats::default()).unwrap(),
            json!({
                "poll_state": "not_yet", "polls": 0, "failed_polls": 0,
                "since_good_poll_seconds": null, "since_complete_poll_seconds": null,
                "last_error": null, "problems": {}, "fetched": 0, "hints": 0, "deliveries": 0,
                "changes": 0, "deviations": 0, "store_failures": 0, "polled_by": null,
                "store": {
                    "cases": 0, "arrivals": 0, "open": 0, "hidden": 0, "failed": 0,
                    "most_attempts": 0, "oldest": null, "due": 0, "oldest_fetch": null,
                    "given_up": 0,
                },
                "oldest_seconds": null, "oldest_fetch_seconds": null,
            })
        );
        let states = [PollState::Failing, PollState::NotPaired];
        assert_eq!(
            serde_json::to_value(states).unwrap(),
            json!(["failing", "not_paired"])
        );
    }
}
