//! What is remembered of an order between two observations.
//!
//! *Problem.* An answer is judged by what was shown before, also by another process and an older
//! release.
//!
//! *Approach.* Plain data, stored as JSON. What is at its default is left out, so that a case at rest
//! takes few bytes (test `a_record_is_small`), and what is missing is read as never observed. A name in
//! here must not change unless the old one is still read.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::files::{File, Files};
use super::policy::Policy;
use super::schedule::Schedule;
use crate::flow::millis::{self, cut};
use crate::flow::{Arrival, History, Origin, Reading};
use crate::inbox::due::DueTime;
use crate::status::{OrderStatus, Symbol};

/// Three complete listings in a row have to lack an order before its return counts.
// Listings lag, and replicas disagree: an order that never left is lacked once in a while, and
// seldom three times in a row.
const ABSENCES: u32 = 3;

/// Everything that is remembered of one order: plain data, for any store to keep.
///
/// What is missing in stored JSON is read as never observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::inbox) struct CaseRecord {
    pub(super) history: History,
    /// From this index on the statuses count that the case has had: an own return begins anew.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) anew: u32,
    #[serde(skip_serializing_if = "View::is_new")]
    pub(super) listings: View,
    #[serde(skip_serializing_if = "View::is_new")]
    pub(super) fetches: View,
    /// How many agreeing answers the next weak arrival in a status needs, where it is not one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) needed: Vec<(OrderStatus, u32)>,
    /// How many complete listings in a row lacked it while nothing else showed it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) absences: u32,
    /// A fetch has shown it since listings lack it, so that they are not to be believed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) vouched: bool,
    /// How many of them make its return to the listing an arrival.
    #[serde(skip_serializing_if = "is_usual")]
    pub(super) absences_needed: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) returned: Option<Return>,
    /// The ordinal of the last delivery that we downloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) downloaded: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) not_found: bool,
    /// Until when a fetch has to settle what a listing left open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unsettled: Option<DueTime>,
    /// What the service's own history ended with when it was taken last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reported: Option<ReportedEnd>,
    #[serde(skip_serializing_if = "Schedule::is_empty")]
    pub(super) schedule: Schedule,
}

/// What one of the two views showed last. Weak news changes it only when it is agreed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct View {
    pub(super) presence: Presence,
    #[serde(skip_serializing_if = "Files::is_none")]
    pub(super) files: Files,
    /// The other view brought the last arrival: this one's next change belongs to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) behind: bool,
    /// Its last answer ended its own news: which of the two was right is not clear.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) unsure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waiting: Option<WeakNews>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Presence {
    #[default]
    Unseen,
    Absent,
    // A stored name: another one needs an alias, or no record with it can be read.
    #[serde(alias = "Shown", alias = "ObservedOrder")]
    Present(OrderStatus),
}

/// News that needs agreement: a status that the case has had, or other files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WeakNews {
    pub(super) status: OrderStatus,
    /// What changed of the files; none where the status or the presence did.
    #[serde(default, skip_serializing_if = "Files::is_none")]
    pub(super) changes: Files,
    /// All files of the answer.
    #[serde(default, skip_serializing_if = "Files::is_none")]
    pub(super) files: Files,
    /// What the service's own history tells of the time before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) gap: Vec<Arrival>,
    /// How many later answers agreed.
    pub(super) agreed: u32,
}

/// A returned scan that the service has not shown yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Return {
    /// The status before it: whatever shows it lags behind.
    pub(super) before: OrderStatus,
    /// None once it has passed: then it is not known whether the return had any effect.
    pub(super) until: Option<DueTime>,
}

/// The end of the service's own history, by the service's own time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReportedEnd {
    #[serde(with = "millis::always")]
    pub(super) at: SystemTime,
    pub(super) status: OrderStatus,
    /// How many arrivals there were when it was taken.
    pub(super) arrivals: u32,
    /// How many histories in a row ended before it or had lost it.
    #[serde(default)]
    pub(super) misfits: u32,
}

impl CaseRecord {
    /// The record of an order that was never observed.
    pub(in crate::inbox) fn new() -> Self {
        CaseRecord {
            history: History::partial(Vec::<Arrival>::new()),
            anew: 0,
            listings: View::default(),
            fetches: View::default(),
            needed: Vec::new(),
            absences: 0,
            vouched: false,
            absences_needed: ABSENCES,
            returned: None,
            downloaded: None,
            not_found: false,
            unsettled: None,
            reported: None,
            schedule: Schedule::default(),
        }
    }

    /// The record of an order that the lab's former software knows. Its history is partial, its
    /// deliveries keep their ordinals and are never delivered, and its last status is the
    /// current one, without files.
    pub(in crate::inbox) fn imported(
        history: &History,
        now: SystemTime,
        policy: &Policy,
        jitter: u32,
    ) -> Self {
        let arrivals = history.arrivals().iter().cloned();
        let arrivals = arrivals.map(|arrival| arrival.from_origin(Origin::Imported));
        let mut record = CaseRecord {
            history: History::partial(arrivals),
            ..CaseRecord::new()
        };
        record.reschedule(cut(now), policy, false, jitter);
        record
    }

    pub(in crate::inbox) fn history(&self) -> &History {
        &self.history
    }

    pub(in crate::inbox) fn reading(&self) -> Reading {
        self.history.read()
    }

    /// Whether other files were shown that no second answer has confirmed.
    pub(in crate::inbox) fn has_files_in_doubt(&self) -> bool {
        let views = [&self.listings, &self.fetches];
        let mut news = views.into_iter().filter_map(|view| view.waiting.as_ref());
        news.any(|news| !news.changes.is_none())
    }

    /// Whether it was only heard of so far: nothing has arrived.
    pub(in crate::inbox) fn is_new(&self) -> bool {
        self.history.is_empty()
    }

    /// How many deliveries there were, imported ones included.
    pub(in crate::inbox) fn deliveries(&self) -> usize {
        let arrivals = self.history.arrivals().iter();
        arrivals.filter(|arrival| arrival.is_delivery()).count()
    }

    #[cfg(test)]
    pub(in crate::inbox) fn is_not_found(&self) -> bool {
        self.not_found
    }

    #[cfg(test)]
    /// Whether we returned it and the service has not shown what it made of it.
    pub(in crate::inbox) fn is_return_open(&self) -> bool {
        self.returned.is_some()
    }

    /// Whether listings have lacked it often enough: its return to them counts, and further
    /// absences say nothing more.
    pub(super) fn is_away(&self) -> bool {
        self.absences >= self.absences_needed
    }

    /// Whether its absence from a listing says anything: ask for these cases beside those that
    /// are listed.
    pub(in crate::inbox) fn is_expected_in_listings(&self) -> bool {
        // What listings lacked often enough, or nobody looks for any more, is gone.
        let is_gone = self.listings.presence == Presence::Absent
            && (self.is_away() || self.schedule.is_given_up());
        // An absence ends news that waits, and confirms a return: both ask for it.
        self.listings.shows().is_some()
            || self.listings.waiting.is_some()
            || self.returned.is_some()
            || (!is_gone && self.history.last().is_some_and(Arrival::is_delivery))
    }

    /// Whether a listing says nothing new that shows the order in this status and with these files,
    /// and tells no history. Nothing is copied for it: so it is of most orders in most polls.
    pub(in crate::inbox) fn is_unchanged<'a>(
        &self,
        status: &OrderStatus,
        files: impl IntoIterator<Item = File<'a>>,
    ) -> bool {
        self.rests_in(status) && files.into_iter().all(|file| self.listings.files.has(&file))
    }

    /// Whether it is listed in this status, which is the current one, and nothing is open.
    pub(super) fn rests_in(&self, status: &OrderStatus) -> bool {
        // The gate to `is_idle`, behind which nothing is recorded: whatever a listing could change
        // stands here.
        self.listings.shows() == Some(status)
            && self.current() == Some(status)
            && self.history.last().is_some_and(Arrival::is_delivery)
            && self.listings.waiting.is_none()
            && self.fetches.waiting.is_none()
            && self.returned.is_none()
            && self.unsettled.is_none()
            && self.absences == 0
            && !self.vouched
            && !self.schedule.unlisted
    }

    pub(in crate::inbox) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What the worlds ask to know how long a calm time has to be.
    #[cfg(test)]
    pub(in crate::inbox) fn agreement_needed_for_tests(&self, status: &OrderStatus) -> u32 {
        self.agreement_needed(status)
    }

    #[cfg(test)]
    pub(in crate::inbox) fn absences_needed_for_tests(&self) -> u32 {
        self.absences_needed
    }

    #[cfg(test)]
    pub(in crate::inbox) fn is_settled_for_tests(&self) -> bool {
        self.listings.waiting.is_none() && self.fetches.waiting.is_none()
    }

    /// What speaks for the order having been away from the lab, in complete listings that lacked
    /// it: a fetch that showed it with the doctor or Align counts as three, although no second
    /// one has agreed yet. Polls that are far apart see no more of a quick rescan.
    pub(super) fn absence_evidence(&self) -> u32 {
        let news = self.fetches.waiting.as_ref();
        let is_elsewhere = news
            .and_then(|news| news.status.symbol())
            // Not *Downloaded*: a download of our own takes an order off the list as well. Test
            // `a_quick_rescan_of_which_one_fetch_and_one_listing_tell_is_not_lost`.
            .is_some_and(|symbol| !matches!(symbol, Symbol::F | Symbol::R | Symbol::D));
        let weight = if is_elsewhere { ABSENCES } else { 0 };
        self.absences.saturating_add(weight)
    }

    /// The status of the last arrival.
    pub(super) fn current(&self) -> Option<&OrderStatus> {
        self.history.last().map(Arrival::status)
    }

    /// Whether a status is the current one. What the doctor makes of an order that we returned
    /// has several names.
    pub(super) fn is_current(&self, status: &OrderStatus) -> bool {
        self.history.last().is_some_and(|last| {
            // We wrote *Scanning*, and the service may say *Rx Created* or *Sent*: both are the
            // same return.
            let both_with_doctor = last.status().symbol() == Some(Symbol::S)
                && status.symbol() == Some(Symbol::S)
                && last.origin() == Some(Origin::OwnAction);
            last.status() == status || both_with_doctor
        })
    }

    /// Whether the case has had a status since we returned it last.
    pub(super) fn has_had(&self, status: &OrderStatus) -> bool {
        let anew = usize::try_from(self.anew).unwrap_or(usize::MAX);
        let arrivals = self.history.arrivals().get(anew..).unwrap_or_default();
        arrivals.iter().any(|arrival| arrival.status() == status)
    }

    /// How many agreeing answers a weak arrival in this status needs.
    pub(super) fn agreement_needed(&self, status: &OrderStatus) -> u32 {
        let is_quiet = status.symbol().is_some() && !status.is_listed();
        if is_quiet && self.history.last().is_some_and(Arrival::is_delivery) {
            // It costs no delivery, and without it the next one could not be told from this. Test
            // `_5_a_quiet_status_after_a_delivery_needs_one_answer_that_agrees_however_often_it_came`.
            return 1;
        }
        let needed = self.needed.iter().find(|(known, _)| known == status);
        needed.map_or(1, |(_, needed)| *needed)
    }

    pub(super) fn double_agreement(&mut self, status: &OrderStatus) {
        match self.needed.iter_mut().find(|(known, _)| known == status) {
            Some((_, needed)) => *needed = needed.saturating_mul(2),
            // A list and no map: a case meets a handful of statuses in its life.
            None => self.needed.push((status.clone(), 2)),
        }
    }

    /// Whether both records differ in more than when to fetch the order.
    // Taken apart by name: a new field does not compile before somebody decides whether it counts.
    pub(super) fn differs_in_substance(&self, other: &CaseRecord) -> bool {
        let CaseRecord {
            history,
            anew,
            listings,
            fetches,
            needed,
            absences,
            vouched,
            absences_needed,
            returned,
            downloaded,
            not_found,
            unsettled,
            reported,
            schedule: _,
        } = self;
        *history != other.history
            || *anew != other.anew
            || *listings != other.listings
            || *fetches != other.fetches
            || *needed != other.needed
            || *absences != other.absences
            || *vouched != other.vouched
            || *absences_needed != other.absences_needed
            || *returned != other.returned
            || *downloaded != other.downloaded
            || *not_found != other.not_found
            || *unsettled != other.unsettled
            || *reported != other.reported
    }
}

impl Default for CaseRecord {
    fn default() -> Self {
        CaseRecord::new()
    }
}

impl View {
    /// The status that it shows; none while it lacks the order.
    pub(super) fn shows(&self) -> Option<&OrderStatus> {
        match &self.presence {
            Presence::Present(status) => Some(status),
            Presence::Unseen | Presence::Absent => None,
        }
    }

    fn is_new(&self) -> bool {
        *self == View::default()
    }
}

pub(super) fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_usual(absences: &u32) -> bool {
    *absences == ABSENCES
}
