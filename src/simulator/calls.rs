//! The calls so far: a log, counts for faults, and counts for the rate limit.
//!
//! It is what a test reads when software did something unexpected, so it must not hold a secret: no
//! query, no header, no body (`the_log_holds_no_secret`).

use std::collections::{HashMap, VecDeque};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::faults::Occasion;
use super::{Simulator, SimulatorState};
use crate::endpoints::Operation;

/// A call of the API, and what the software was answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// Its number, from 1, among all calls.
    pub number: u64,
    /// When it came, in simulated time.
    pub at: SystemTime,
    /// What was asked for.
    pub operation: Operation,
    /// The path, without what follows the `?`: codes and signatures are there.
    pub path: String,
    /// The status of the answer; none if it was never to arrive.
    pub status: Option<u16>,
    /// How long the body was to be, in bytes, where that was known.
    pub length: Option<u64>,
    /// The [names](super::Fault::name) of the faults that it met.
    pub faults: Vec<&'static str>,
}

/// So many calls are remembered: more than a test looks at, and a bound for runs that go on for days.
const REMEMBERED: usize = 1000;

/// How often everything was asked for, and the last calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    total: u64,
    log: VecDeque<Call>,
    /// Since the faults were set: notifications first, then the operations.
    counts: [u64; Operation::ALL.len() + 1],
    /// In the minute that began then: how many there were for each account.
    minute: Option<SystemTime>,
    in_minute: HashMap<String, u32>,
}

impl Calls {
    /// Counts one more, and returns its number since the faults were set, from 1.
    pub(super) fn count(&mut self, occasion: Occasion) -> u64 {
        let at = match occasion {
            Occasion::Notification => 0,
            // The discriminants are those of the table, from 0: `counts` has a place for each, behind
            // notifications.
            Occasion::Call(operation) => operation as usize + 1,
        };
        self.counts[at] += 1;
        self.counts[at]
    }

    pub(super) fn count_anew(&mut self) {
        self.counts = Default::default();
    }

    /// Counts one more against a limit for each minute, and says how long to wait if it was one
    /// too many.
    pub(super) fn limited(&mut self, path: &str, limit: u32, now: SystemTime) -> Option<Duration> {
        const MINUTE: Duration = Duration::from_secs(60);
        // A fixed window and not a sliding one: easy to predict in a test.
        let begun = self.minute.filter(|begun| now < *begun + MINUTE);
        let begun = begun.unwrap_or_else(|| {
            self.in_minute.clear();
            now
        });
        self.minute = Some(begun);
        // Calls that concern no account share the empty key.
        let account = path.strip_prefix("/accounts/").unwrap_or_default();
        let account = account.split('/').next().unwrap_or_default();
        let count = self.in_minute.entry(account.to_owned()).or_default();
        *count += 1;
        let left = (begun + MINUTE).duration_since(now).unwrap_or_default();
        (*count > limit).then_some(left)
    }

    pub(super) fn note(&mut self, mut call: Call) {
        self.total += 1;
        call.number = self.total;
        if self.log.len() == REMEMBERED {
            // A ring: a long run must not grow.
            self.log.pop_front();
        }
        self.log.push_back(call);
    }

    /// The newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Call> {
        self.log.iter().rev()
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Numbers and counts go on.
    pub(super) fn forget(&mut self) {
        self.log.clear();
    }
}

impl SimulatorState {
    pub(super) fn calls(&self) -> MutexGuard<'_, Calls> {
        // Guards the log and the counts. No code holds it together with the world's lock, or across
        // an await.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last calls, oldest first, from this number on.
    pub(super) fn calls_from(&self, number: u64) -> Vec<Call> {
        let calls = self.calls();
        let later = calls.log.iter().filter(|call| call.number >= number);
        later.cloned().collect()
    }
}

/// What the software did.
impl Simulator {
    /// The last 1000 calls of the API, oldest first. A call is among them when its answer begins.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls_from(0)
    }

    /// How many calls of the API there were.
    #[must_use]
    pub fn call_count(&self) -> u64 {
        self.shared.calls().total
    }
}
