//! When a case is fetched next, and why.
//!
//! *Problem.* Listings show what waits for the lab only, and hints, failures and doubts all ask for
//! fetches of the same order.
//!
//! *Approach.* One due time and one reason for each case. A reason that stays makes the interval
//! longer; an arrival begins anew. No case must be fetched at each poll for ever, and none must
//! wait for ever.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::record::{CaseRecord, Presence, is_zero};
use super::time::after;
use crate::flow::Stage;
use crate::flow::millis::{self, cut};
use crate::inbox::due::DueTime;
use crate::status::{OrderStatus, Symbol};

/// When to fetch a case, why, and how it went so far. A change of this alone is no change of
/// what is recorded: it outdates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::inbox) struct Schedule {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// A hint asks for a fetch, beside the reason.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hinted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<DueTime>,
    /// When it was fetched last, whatever came of it.
    #[serde(with = "millis::option", skip_serializing_if = "Option::is_none")]
    tried: Option<SystemTime>,
    /// Fetches that failed in a row.
    #[serde(skip_serializing_if = "is_zero")]
    failures: u32,
    /// Fetches that were answered since the reason began.
    #[serde(skip_serializing_if = "is_zero")]
    answered: u32,
    /// Fetches since the last arrival, failed or answered.
    #[serde(skip_serializing_if = "is_zero")]
    fruitless: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    given_up: bool,
    /// The last listing was not complete, and lacked it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) unlisted: bool,
}

/// Why a case is fetched; the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub(in crate::inbox) enum Reason {
    /// A listing showed it in several states, or without an order id.
    Contradicted,
    /// News of it waits for an answer that agrees.
    Unclear,
    /// It should be listed and is not.
    DroppedOut,
    /// Something hinted at it.
    Hinted,
    /// It is listed in another status than the current one, or listings say nothing of it.
    Lagging,
    /// It is where the service neither lists nor notifies.
    Watched,
}

/// How a fetch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FetchResult {
    Answered,
    Failed,
}

impl Schedule {
    pub(super) fn is_empty(&self) -> bool {
        *self == Schedule::default()
    }

    /// When it is due; none while nothing asks for a fetch.
    pub(in crate::inbox) fn due(&self) -> Option<DueTime> {
        self.due
    }

    pub(in crate::inbox) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether it was fetched so often without anything new that it is not fetched any more.
    pub(in crate::inbox) fn is_given_up(&self) -> bool {
        self.given_up
    }

    fn set_due(&mut self, now: SystemTime, wait: Duration) {
        self.due = Some(DueTime::new(now, wait));
    }

    /// Makes it due at once, but for the time that has to lie between two fetches.
    fn bring_forward(&mut self, now: SystemTime, wait: Duration, policy: &Policy) {
        let spacing = policy.spacing(self.fruitless);
        // A last try that lies ahead of the clock counts as now.
        let tried = self.tried.map(|tried| tried.min(now));
        let spaced = tried.map_or(now, |tried| after(tried, spacing).max(now));
        let wait = spaced.duration_since(now).unwrap_or_default().max(wait);
        let due = DueTime::new(now, wait);
        // Only ever earlier: to ask once more must not put the fetch off.
        let is_sooner = |known: DueTime| known.has_passed(now) || known.at <= due.at;
        if !self.due.is_some_and(is_sooner) {
            self.due = Some(due);
        }
    }
}

impl CaseRecord {
    /// Notes that the order was fetched.
    pub(super) fn fetched(&mut self, result: FetchResult, now: SystemTime, policy: &Policy) {
        let schedule = &mut self.schedule;
        schedule.tried = Some(cut(now));
        // Failed or answered: either costs the service a request.
        schedule.fruitless = schedule.fruitless.saturating_add(1);
        match result {
            FetchResult::Answered => {
                // `reschedule` sets the next time, if anything still asks for a fetch.
                schedule.failures = 0;
                schedule.due = None;
                // Forged hints must not use up a watch. Test `forged_hints_do_not_use_up_a_watch`.
                if !std::mem::take(&mut schedule.hinted) {
                    schedule.answered = schedule.answered.saturating_add(1);
                }
            }
            FetchResult::Failed => {
                schedule.failures = schedule.failures.saturating_add(1);
                schedule.set_due(now, policy.failure_delay(schedule.failures));
            }
        }
    }

    /// Something hints that a fetch is worth while.
    pub(super) fn hinted(&mut self, now: SystemTime, policy: &Policy) {
        self.schedule.hinted = true;
        self.schedule.bring_forward(now, Duration::ZERO, policy);
    }

    /// An arrival begins all counts anew.
    pub(super) fn renew_schedule(&mut self) {
        let Schedule {
            tried,
            failures,
            unlisted,
            ..
        } = self.schedule;
        self.schedule = Schedule {
            tried,
            failures,
            // Neither does the spacing begin anew: news from listings does not mean that fetches
            // work.
            fruitless: failures,
            unlisted,
            // While fetches fail their delay goes on.
            due: self.schedule.due.filter(|_| failures > 0),
            ..Schedule::default()
        };
    }

    /// Sees to it that the case is due when what is recorded of it asks for it.
    pub(super) fn reschedule(
        &mut self,
        now: SystemTime,
        policy: &Policy,
        listings_are_stale: bool,
        jitter: u32,
    ) {
        let wanted = self.reason(policy, listings_are_stale);
        let schedule = &mut self.schedule;
        let is_new = schedule.reason != wanted;
        if is_new {
            schedule.reason = wanted;
            schedule.answered = 0;
            schedule.given_up = false;
        }
        let Some(reason) = wanted else {
            // A hint asks for a fetch whatever else does.
            schedule.due = schedule.due.filter(|_| schedule.hinted);
            return;
        };
        // A reason that goes on keeps its time, or each poll would put the fetch off again.
        if schedule.given_up || (!is_new && schedule.due.is_some()) {
            return;
        }
        // Only these can go on for ever while no listing shows the order.
        let ends = matches!(reason, Reason::Watched | Reason::DroppedOut);
        if ends && schedule.answered > policy.watch_fetches {
            schedule.given_up = true;
            schedule.due = None;
            return;
        }
        let slow = |answered| policy.jittered(policy.slow_interval(answered), jitter);
        let wait = match (reason, schedule.answered) {
            // These begin slowly: an arrival is seldom followed by the next within minutes.
            (Reason::Lagging | Reason::Watched, answered) => slow(answered),
            (_, 0) => Duration::ZERO,
            (_, answered) if policy.growing_interval(answered - 1) < policy.slow_at_first => {
                policy.growing_interval(answered - 1)
            }
            (_, answered) => slow(answered),
        };
        // Reasons that come and go must not begin the intervals anew each time. Test
        // `reasons_that_come_and_go_do_not_begin_the_intervals_anew`.
        schedule.bring_forward(now, wait, policy);
    }

    /// The most urgent reason to fetch it.
    fn reason(&self, policy: &Policy, listings_are_stale: bool) -> Option<Reason> {
        if self.unsettled.is_some() {
            return Some(Reason::Contradicted);
        }
        let waits = self.listings.waiting.is_some() || self.fetches.waiting.is_some();
        // Listings come by themselves.
        if waits || self.fetches.unsure {
            return Some(Reason::Unclear);
        }
        let last = self.history.last()?;
        if last.is_delivery() && self.listings.presence == Presence::Absent {
            return Some(Reason::DroppedOut);
        }
        let lags = |status: &OrderStatus| !self.is_current(status);
        // One incomplete listing may lack anything. After a day without a complete one, only a
        // fetch shows whether the order is there.
        let is_overlooked = self.schedule.unlisted && listings_are_stale;
        if is_overlooked || self.listings.shows().is_some_and(lags) {
            return Some(Reason::Lagging);
        }
        (self.not_found || self.is_to_be_watched(policy)).then_some(Reason::Watched)
    }

    fn is_to_be_watched(&self, policy: &Policy) -> bool {
        let reading = self.reading();
        let watched = |stage| policy.watched.contains(stage);
        // A model that the lab keeps, from which the doctor can still order the milling.
        let kept_from_review =
            reading.stages().contains(Stage::WithLab) && reading.expected().contains(Symbol::I);
        reading.stages().iter().any(watched) || (policy.watch_reviewed && kept_from_review)
    }
}
