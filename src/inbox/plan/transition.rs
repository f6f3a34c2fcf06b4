//! From a record and an observation to the next record.
//!
//! *Problem.* An answer may be news, a repetition, older than what is recorded, or wrong.
//!
//! *Approach.* The record is copied, the evidence is taken in, and the difference is the
//! transition. Arrivals are only appended: a transition must never remove or reorder one, since
//! their indexes and ordinals are names that last.

use super::coverage::ListingCoverage;
use super::observation::{Evidence, Observation, OrderState};
use super::policy::Policy;
use super::record::{CaseRecord, Presence, View};
use super::schedule::FetchResult;
use crate::flow::{Arrival, Origin};
use crate::inbox::due::DueTime;
use crate::inbox::problem::ProblemKind;

/// What follows from one observation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::inbox) struct Transition {
    record: Option<CaseRecord>,
    /// The index of the first arrival that is new.
    first: usize,
    raises_revision: bool,
    problems: Vec<ProblemKind>,
}

/// An arrival to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewArrival {
    /// Its index in the history, from 0.
    pub index: u32,
    /// Which delivery of its order it is, from 1; none of a mere change, and of what was dealt
    /// with before the integration.
    pub ordinal: Option<u32>,
}

impl NewArrival {
    /// The arrival with this index in the history; with an ordinal it is a delivery.
    #[must_use]
    pub fn new(index: u32, ordinal: Option<u32>) -> Self {
        NewArrival { index, ordinal }
    }
}

/// What an observation means for an order with this record.
///
/// The same observation a second time changes nothing but when to fetch the order, or agrees with
/// news that waits.
#[must_use = "what the transition says has to be stored"]
pub(in crate::inbox) fn observe(
    record: &CaseRecord,
    observation: &Observation<'_>,
    policy: &Policy,
    coverage: &ListingCoverage,
) -> Transition {
    if is_idle(record, observation) {
        return Transition::default();
    }
    let mut planner = Planner {
        record: record.clone(),
        observation,
        policy,
        coverage,
        problems: Vec::new(),
    };
    // An outdated answer is taken in too, and undone: only so it is known whether it would have
    // been news.
    planner.take_in();
    if observation.is_outdated && observation.evidence.is_answer() {
        planner.outdate(record);
    }
    planner.finish(record)
}

impl Transition {
    #[cfg(test)]
    /// The record from now on; none where nothing has to be stored.
    pub(in crate::inbox) fn record(&self) -> Option<&CaseRecord> {
        self.record.as_ref()
    }

    /// The same, to keep.
    pub(in crate::inbox) fn into_record(self) -> Option<CaseRecord> {
        self.record
    }

    /// Whether more changed than when to fetch the order: the commit raises the account's
    /// revision, and the record takes it.
    pub(in crate::inbox) fn raises_revision(&self) -> bool {
        self.raises_revision
    }

    pub(in crate::inbox) fn problems(&self) -> &[ProblemKind] {
        &self.problems
    }

    /// The arrivals that are new, in their order.
    pub(in crate::inbox) fn arrivals(&self) -> impl Iterator<Item = NewArrival> + '_ {
        let record = self.record.iter();
        record.flat_map(|record| {
            // Counted over the whole history, imported deliveries included: an ordinal is a name,
            // and must not depend on which arrivals are new.
            let mut ordinal = 0;
            let arrivals = record.history().arrivals().iter().enumerate();
            let numbered = arrivals.map(move |(index, arrival)| {
                let is_delivery = arrival.is_delivery();
                ordinal += u32::from(is_delivery);
                let is_work = is_delivery && arrival.origin() != Some(Origin::Imported);
                let new = NewArrival {
                    // A history of four billion arrivals fits into no memory.
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    ordinal: is_work.then_some(ordinal),
                };
                (index, new)
            });
            let new = numbered.filter(|(index, _)| *index >= self.first);
            new.map(|(_, arrival)| arrival)
        })
    }
}

impl Evidence<'_> {
    /// Whether the service said it in answer to a request: only such can be outdated.
    fn is_answer(&self) -> bool {
        // The rest is about now, so no later record makes it old. A failed fetch shows nothing that
        // could be.
        !matches!(
            self,
            Evidence::Hinted | Evidence::Returned | Evidence::Downloaded(_) | Evidence::FetchFailed
        )
    }

    fn fetch_result(&self) -> Option<FetchResult> {
        match self {
            Evidence::Fetched(_) | Evidence::NotFound => Some(FetchResult::Answered),
            Evidence::FetchFailed => Some(FetchResult::Failed),
            _ => None,
        }
    }
}

/// The two views of an order that the software has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ViewName {
    Listings,
    Fetches,
}

/// The record as it becomes.
pub(super) struct Planner<'a> {
    pub(super) record: CaseRecord,
    pub(super) observation: &'a Observation<'a>,
    pub(super) policy: &'a Policy,
    pub(super) coverage: &'a ListingCoverage,
    pub(super) problems: Vec<ProblemKind>,
}

impl Planner<'_> {
    fn take_in(&mut self) {
        let now = self.observation.now;
        if let Some(result) = self.observation.evidence.fetch_result() {
            self.record.fetched(result, now, self.policy);
        }
        match self.observation.evidence {
            Evidence::Listed(shown) => self.listed(&shown),
            Evidence::Absent => self.absent(),
            Evidence::Unlisted => self.record.schedule.unlisted = true,
            Evidence::Unsettled(states) => self.unsettled(states),
            Evidence::Fetched(shown) => self.fetched(&shown),
            // A 404 ends nothing by itself: the path may be wrong, or a replica behind. Test
            // `a_404_ends_no_watch`.
            Evidence::NotFound => self.record.not_found = true,
            // Counted above; it says nothing of the order.
            Evidence::FetchFailed => {}
            Evidence::Hinted => self.record.hinted(now, self.policy),
            Evidence::Returned => self.returned(),
            Evidence::Downloaded(ordinal) => self.downloaded(ordinal),
        }
    }

    /// The order was recorded after this was asked for: it says nothing. If it would have been
    /// news the order is fetched.
    fn outdate(&mut self, before: &CaseRecord) {
        let would_be_news = self.record.history.len() > before.history.len()
            || self.record.listings.waiting != before.listings.waiting
            || self.record.fetches.waiting != before.fetches.waiting;
        self.record = before.clone();
        // They are about what is undone here.
        self.problems.clear();
        let now = self.observation.now;
        // The request was made all the same. Without a note of it the order would be due again at
        // once.
        if let Some(result) = self.observation.evidence.fetch_result() {
            self.record.fetched(result, now, self.policy);
        }
        if would_be_news {
            self.record.hinted(now, self.policy);
        }
    }

    fn finish(mut self, before: &CaseRecord) -> Transition {
        let Observation { now, jitter, .. } = *self.observation;
        let is_stale = self.coverage.is_stale(now);
        // Last: the reason to fetch follows from the whole record.
        self.record.reschedule(now, self.policy, is_stale, jitter);
        // Once: in every later poll it would be no news.
        if self.record.schedule.is_given_up() && !before.schedule.is_given_up() {
            self.problems.push(ProblemKind::GivenUp);
        }
        let raises_revision = self.record.differs_in_substance(before);
        let changed = raises_revision || self.record.schedule != before.schedule;
        Transition {
            record: changed.then_some(self.record),
            first: before.history.len(),
            raises_revision,
            problems: self.problems,
        }
    }

    fn listed(&mut self, shown: &OrderState<'_>) {
        let is_back = std::mem::take(&mut self.record.schedule.unlisted);
        if is_back && !self.record.is_current(shown.status) {
            // Nobody knows whether it was gone meanwhile.
            self.record.hinted(self.observation.now, self.policy);
        }
        self.shown(ViewName::Listings, shown);
        // Weak news leaves open what the absences before it were.
        if self.record.listings.shows().is_some() {
            self.record.absences = 0;
            self.record.vouched = false;
        }
    }

    fn fetched(&mut self, shown: &OrderState<'_>) {
        self.record.not_found = false;
        // A fetch that shows what listings lack speaks against the listings: their absences must
        // not add up to a rescan. Test `_12_and_13_absent_without_evidence`.
        self.record.vouched = self.record.listings.presence == Presence::Absent;
        let (arrivals, was_away) = (self.record.history.len(), self.record.is_away());
        self.shown(ViewName::Fetches, shown);
        // Away for long enough, it may be back from a rescan, and a fetch sees that a moment before a
        // listing does. Only an arrival says what became of it. Test
        // `a_fetch_that_sees_a_return_first_does_not_undo_the_absences_before_it`.
        if !was_away || self.record.history.len() > arrivals {
            self.record.absences = 0;
        }
    }

    fn absent(&mut self) {
        // With the doctor an order is not listed: that is what the return was for.
        self.record.returned = None;
        self.record.schedule.unlisted = false;
        // News of listings that the next complete one does not repeat.
        if let Some(news) = self.record.listings.waiting.take() {
            self.not_agreed(&news);
        }
        self.record.listings.leave();
        let record = &mut self.record;
        let should_be_listed = record.history.last().is_some_and(Arrival::is_delivery);
        // While fetches work they see what listings miss.
        let is_unseen = !record.vouched || record.not_found || record.schedule.failures() > 0;
        // Counted up to what is needed only: beyond it, each poll would write the record anew.
        if should_be_listed && is_unseen && !record.is_away() {
            record.absences += 1;
        }
    }

    /// A listing has the order and leaves open what to record. A fetch settles it; if none does
    /// for a day it is recorded once, in the state listed last whose status the case has not had.
    fn unsettled(&mut self, states: &[OrderState<'_>]) {
        let is_contradicted = states.len() > 1;
        if is_contradicted {
            self.problems.push(ProblemKind::Contradicted);
        } else if !self.record.is_new()
            && let [shown] = states
        {
            // Its order id is missing, and the case is known by its Rx id: only a new case waits
            // for a fetch to bring the order id. Test `_18_an_order_without_an_order_id`.
            return self.listed(shown);
        }
        self.record.schedule.unlisted = false;
        let now = self.observation.now;
        let patience = self.policy.patience;
        let wait = *self
            .record
            .unsettled
            // Set once: a listing that says the same again must not begin the day anew.
            .get_or_insert_with(|| DueTime::new(now, patience));
        if !wait.has_passed(now) {
            return;
        }
        let is_new = |shown: &&OrderState<'_>| !self.record.has_had(shown.status);
        if let Some(shown) = states.iter().rev().find(is_new) {
            self.arrive_as_shown(ViewName::Listings, shown, is_contradicted);
            // Where it goes on, only a fetch ends it.
            self.record.unsettled = is_contradicted.then_some(wait);
        }
    }

    pub(super) fn view(&self, name: ViewName) -> &View {
        match name {
            ViewName::Listings => &self.record.listings,
            ViewName::Fetches => &self.record.fetches,
        }
    }

    pub(super) fn view_mut(&mut self, name: ViewName) -> &mut View {
        match name {
            ViewName::Listings => &mut self.record.listings,
            ViewName::Fetches => &mut self.record.fetches,
        }
    }
}

/// Whether an observation says nothing that is not recorded: so it is of most orders in most
/// polls, and nothing is copied for them. Of an order that was never seen nothing is recorded.
fn is_idle(record: &CaseRecord, observation: &Observation<'_>) -> bool {
    match observation.evidence {
        Evidence::Listed(shown) => {
            let history_is_known = shown.history.last().is_none_or(|last| {
                let reported = record.reported.as_ref();
                reported.is_some_and(|one| {
                    one.misfits == 0 && last.time() == Some(one.at) && *last.status() == one.status
                })
            });
            record.rests_in(shown.status)
                && history_is_known
                && record.listings.files.cover(shown.files)
        }
        Evidence::Fetched(_) | Evidence::Unsettled(_) => false,
        Evidence::FetchFailed | Evidence::NotFound => record.is_new() && record.unsettled.is_none(),
        _ => record.is_new(),
    }
}
