//! From what the software observes to what happened to an order, and what to ask next.
//!
//! *Problem.* The service does not tell changes. It lists the orders that wait, shows one order
//! when asked, and sends notifications that may come twice, late or never. A listing lags behind,
//! an answer comes after a later one, a page is lost, an order that was downloaded is listed
//! again: the same case, rightly, because it was scanned anew. Software that takes every sight
//! for news does work twice; software that keeps one row per order loses it.
//!
//! *Default.* [`observe`] takes what is recorded of an order and one [`Observation`], and says
//! what to record, which deliveries to hand out and what to ask next. It is a pure function:
//! times and random numbers are passed in, nothing is fetched or stored.
//!
//! - What the service showed decides. A status other than the one it showed last is an arrival;
//!   the same status is one only if the order's files changed, see [`Fingerprint`].
//! - Own actions are marks. A returned scan counts as *Scanning* until the service shows what
//!   it made of it; a download is noted. Answers that were begun before the scan was returned
//!   say nothing, and a status that lags behind is not taken for a new arrival.
//! - An order that is missing from a complete listing is fetched, and what that shows counts. If
//!   it is still the listed status, the listing flickered.
//! - Orders with Align or with the doctor are neither listed nor notified: they are *watched*,
//!   that is fetched now and then, until they are listed again or finished.
//! - A notification is a hint to fetch, nothing else. A forged one costs a request.
//! - Deliveries, the arrivals of *Ready for Download* and *Lab Review*, are numbered from 1 and
//!   never numbered twice. Arrivals are only ever added at the end.
//! - Whether an order is known from its beginning is decided when it is first seen, by the
//!   account's [`Epoch`]. Doubt means that it is not.
//!
//! All of this is our model: of the service Align documents which statuses are listed and
//! notified, and little else.
//!
//! *What cannot be known.* Where answers carry no files, an order that was scanned again
//! between two looks and has the same status looks as if nothing had happened. No rule can tell.
//! And a history that the service itself gives is added only after what was seen last: what it
//! knows of the time between two earlier arrivals comes too late, their numbers are given out.
//!
//! *When to change it.* The limits are in [`Policy`]. Shorten
//! [`longest_gap`](Policy::longest_gap) where orders come and go within hours, widen
//! [`watched`](Policy::watched) to see milling that starts after a model was downloaded.
//!
//! # Example: one order, listed, downloaded, missing, listed again
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use lab_connector::OrderStatus;
//! use lab_connector::flow::Scenario;
//! use lab_connector::flow::plan::{Epoch, Fingerprint, Next, Observation, Policy, Record, observe};
//!
//! let policy = Policy::default();
//! let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
//! let minute = |n: u64| start + Duration::from_secs(60 * n);
//! let (ready, none) = (OrderStatus::ReadyForDownload, Fingerprint::none());
//!
//! // The account was listed before this order was created: it is known from its beginning.
//! let epoch = Epoch::new().listed(start, &policy);
//! let mut record = Record::new();
//!
//! // It is listed: its first delivery.
//! let seen = Observation::listed(&ready, &none, minute(5)).created(minute(2));
//! let step = observe(&record, &seen, &policy, &epoch);
//! assert_eq!(step.deliveries().map(|d| d.ordinal()).collect::<Vec<_>>(), [1]);
//! record = step.into_record().unwrap_or(record);
//!
//! // Listed again: nothing to store.
//! assert!(observe(&record, &Observation::listed(&ready, &none, minute(10)), &policy, &epoch).is_unchanged());
//!
//! // We download it. That is noted, and *Downloaded* is recorded when the service shows it:
//! // the order drops out of the listing, is fetched, and is.
//! let step = observe(&record, &Observation::downloaded(1, minute(12)), &policy, &epoch);
//! record = step.into_record().unwrap_or(record);
//! let step = observe(&record, &Observation::missing(minute(15)), &policy, &epoch);
//! assert_eq!(step.next(), Next::Fetch);
//! record = step.into_record().unwrap_or(record);
//! let step = observe(&record, &Observation::fetched(&OrderStatus::Downloaded, &none, minute(16)), &policy, &epoch);
//! assert_eq!(step.deliveries().count(), 0);
//! record = step.into_record().unwrap_or(record);
//!
//! // Days later the same order is listed once more: the doctor scanned again.
//! let step = observe(&record, &Observation::listed(&ready, &none, minute(9_000)), &policy, &epoch);
//! assert_eq!(step.deliveries().map(|d| d.ordinal()).collect::<Vec<_>>(), [2]);
//! record = step.into_record().unwrap_or(record);
//! assert_eq!(record.reading().scenario(), Some(Scenario::AfterRescan));
//! ```

mod epoch;
mod fingerprint;
mod observation;
mod policy;
mod record;
mod step;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

pub use epoch::Epoch;
pub use fingerprint::{File, Fingerprint};
pub use observation::Observation;
pub use policy::Policy;
pub use record::Record;
pub use step::{Next, Recorded, Step};

use self::fingerprint::Comparison;
use self::observation::What;
use self::policy::{after, since};
use self::record::{Downloaded, Returned, Shown, Watch};
use super::arrival::{Arrival, Origin};
use super::history::History;
use crate::status::{OrderStatus, Symbol};

/// What an observation means for an order of which this is recorded.
///
/// The same observation a second time changes nothing. Where nothing changes, nothing is
/// allocated: a poll of many orders that stand still costs a comparison for each.
pub fn observe(
    record: &Record,
    observation: &Observation<'_>,
    policy: &Policy,
    epoch: &Epoch,
) -> Step {
    let first = record.history.len();
    let mut draft = Draft {
        record: Cow::Borrowed(record),
        seen: observation,
        policy,
        epoch,
    };
    let fetch = draft.take_in();
    let next = match draft.record.watch {
        _ if fetch => Next::Fetch,
        Some(watch) => Next::LookAgain(watch.due),
        None => Next::Nothing,
    };
    Step::new(draft.record, first, next)
}

/// The record as it becomes, copied only once it changes.
struct Draft<'a> {
    record: Cow<'a, Record>,
    seen: &'a Observation<'a>,
    policy: &'a Policy,
    epoch: &'a Epoch,
}

impl Draft<'_> {
    /// Whether to fetch the order now.
    fn take_in(&mut self) -> bool {
        match self.seen.what {
            What::Notified => return true,
            What::Returned => self.returned(),
            What::Downloaded(ordinal) => self.downloaded(ordinal),
            _ if self.is_outdated() => {}
            What::Listed(status, files) => self.listed(status, files),
            What::Missing => return self.missing(),
            What::Fetched(status, files) => self.fetched(status, files),
            What::Gone => self.gone(),
            What::Told(history) => self.told(history),
        }
        false
    }

    /// Whether the answer was begun before something that is already recorded, so that it may
    /// show what was before that.
    fn is_outdated(&self) -> bool {
        let record = &self.record;
        let shown = record.shown.as_ref().and_then(|s| s.begun.max(s.again));
        let returned = record.returned.map(|mark| mark.at);
        let begun = self.seen.time;
        [shown, returned, record.gone]
            .into_iter()
            .flatten()
            .any(|recorded| {
                begun < recorded && since(recorded, begun) <= self.policy.longest_answer
            })
    }

    fn listed(&mut self, status: &OrderStatus, files: &Fingerprint) {
        let back = self.back();
        let found = self.record.missing.is_some();
        if found {
            self.record.to_mut().missing = None;
            self.again();
        }
        let arrived = self.shown(status, files, Origin::Listing);
        if !arrived && back {
            self.watch_anew();
        } else if !arrived && found && !self.is_in_watched_stage() {
            // It was watched only because the listing did not have it.
            self.record.to_mut().watch = None;
        }
    }

    fn fetched(&mut self, status: &OrderStatus, files: &Fingerprint) {
        let back = self.back();
        if self.shown(status, files, Origin::Fetched) {
            return;
        }
        let unlisted = self.record.missing.is_some() && self.record.watch.is_none();
        if back {
            self.watch_anew();
        } else if unlisted {
            // The listing flickered. Should it never have the order again, the order is looked
            // at now and then instead of once for each listing.
            self.watch();
        } else {
            self.looked();
        }
    }

    fn missing(&mut self) -> bool {
        let expected =
            self.record.gone.is_none() && self.record.shown().is_some_and(OrderStatus::is_listed);
        if !expected {
            return false;
        }
        if self.record.missing.is_none() {
            self.record.to_mut().missing = Some(self.seen.time);
            return true;
        }
        // Reported before: fetched since if it is watched, otherwise the fetch is still owed.
        self.record.watch.is_none()
    }

    fn gone(&mut self) {
        // Of an order that was never seen nothing is recorded: the hint was false.
        if self.record.is_new() || self.record.gone.is_some() {
            return;
        }
        let record = self.record.to_mut();
        record.gone = Some(self.seen.time);
        record.missing = None;
        record.watch = None;
    }

    /// Whether the order was gone and is there again.
    fn back(&mut self) -> bool {
        let back = self.record.gone.is_some();
        if back {
            self.record.to_mut().gone = None;
            self.again();
        }
        back
    }

    /// From now on earlier answers are outdated, also where the status is still the same.
    fn again(&mut self) {
        let now = self.seen.time;
        if let Some(shown) = &mut self.record.to_mut().shown {
            shown.again = Some(now);
        }
    }

    fn returned(&mut self) {
        let at = self.seen.time;
        if self.record.returned.is_some_and(|mark| at <= mark.at) {
            return;
        }
        // Reported late: the service has shown since what it made of it.
        let shown = self.record.shown.as_ref().and_then(|shown| shown.begun);
        let shown_since = shown.is_some_and(|begun| at < begun);
        let with_doctor = self.last_symbol() == Some(Symbol::S);
        if !shown_since && !with_doctor {
            self.arrive(OrderStatus::Scanning, Some(at), Origin::OwnAction);
        }
        self.record.to_mut().returned = Some(Returned {
            at,
            provisional: !shown_since,
        });
    }

    fn downloaded(&mut self, ordinal: u32) {
        let noted = self.record.downloaded.map_or(0, |mark| mark.ordinal);
        // What was never delivered cannot have been downloaded.
        let exists = usize::try_from(ordinal).is_ok_and(|n| n <= self.record.deliveries());
        if ordinal > noted && exists {
            let at = self.seen.time;
            self.record.to_mut().downloaded = Some(Downloaded { ordinal, at });
        }
    }

    /// A history that the service gives. Only what comes after the last that was shown is new:
    /// the arrivals before that have their places and their numbers.
    fn told(&mut self, history: &[Arrival]) {
        // What happened before an order of unknown beginning was first seen, was dealt with
        // elsewhere. Only the status it has now is work.
        let past = if self.record.is_new() && self.is_partial() {
            self.now_of(history)
        } else {
            0
        };
        let new = self.new_of(history);
        for (index, arrival) in history.iter().enumerate().skip(new) {
            let origin = if index < past {
                Origin::Imported
            } else {
                Origin::ServiceHistory
            };
            self.told_one(arrival, origin);
        }
    }

    /// At which index of the given history the status begins that it ends with.
    fn now_of(&self, history: &[Arrival]) -> usize {
        let mut now = history.len().saturating_sub(1);
        while let Some([before, first]) = now.checked_sub(1).and_then(|at| history.get(at..=now))
            && before.status() == first.status()
            && !self.are_apart(before.time(), first.time())
        {
            now -= 1;
        }
        now
    }

    /// From which index on the given history is new.
    fn new_of(&self, history: &[Arrival]) -> usize {
        let new = match &self.record.shown {
            Some(shown) => self.new_since(shown, history),
            None => 0,
        };
        match self.record.returned {
            Some(mark) if mark.provisional => new + self.until_returned(&history[new..], mark.at),
            _ => new,
        }
    }

    fn new_since(&self, shown: &Shown, history: &[Arrival]) -> usize {
        // Its own times of what it told before may be ahead of our clock.
        let told = self.record.history.last().and_then(Arrival::time);
        let known = shown.begun.max(told);
        let reach = known.map(|time| after(time, self.policy.clock_difference));
        let is_after = |arrival: &Arrival, time: Option<SystemTime>| matches!((arrival.time(), time), (Some(at), Some(time)) if at > time);
        let same = |arrival: &Arrival| *arrival.status() == shown.status;
        // Without times, the match that leaves the fewest arrivals as new.
        let last = history
            .iter()
            .rposition(|arrival| same(arrival) && !is_after(arrival, reach))
            .or_else(|| history.iter().position(same));
        let (from, known) = match last {
            Some(last) => (last + 1, known),
            // It begins after what was shown last, or ends before it.
            None => (0, reach),
        };
        let is_new = |arrival: &Arrival| match last {
            // A history that lags behind what was shown goes on after an earlier match.
            Some(_) => arrival.time().is_none() || known.is_none() || is_after(arrival, known),
            None => is_after(arrival, known),
        };
        let rest = &history[from..];
        from + rest.iter().position(is_new).unwrap_or(rest.len())
    }

    /// How many arrivals of a given history lie before the return that we recorded ourselves.
    fn until_returned(&self, history: &[Arrival], returned: SystemTime) -> usize {
        let difference = self.policy.clock_difference;
        let is_since = |arrival: &Arrival| {
            arrival
                .time()
                .map(|time| after(time, difference) >= returned)
        };
        history
            .iter()
            .position(|a| a.status().symbol() == Some(Symbol::S) && is_since(a) != Some(false))
            .or_else(|| history.iter().position(|a| is_since(a) == Some(true)))
            .unwrap_or(history.len())
    }

    fn told_one(&mut self, arrival: &Arrival, origin: Origin) {
        let repeated = self.record.shown() == Some(arrival.status());
        // Twice the same, one after the other: two arrivals if their times say so.
        let before = self.record.history.last().and_then(Arrival::time);
        if repeated && !self.are_apart(before, arrival.time()) {
            return;
        }
        let files = Fingerprint::none();
        self.becomes(arrival.status(), &files, arrival.time(), origin);
    }

    fn are_apart(&self, before: Option<SystemTime>, later: Option<SystemTime>) -> bool {
        matches!((before, later), (Some(before), Some(later))
            if since(later, before) > self.policy.clock_difference)
    }

    /// Whether what an answer shows is an arrival.
    fn shown(&mut self, status: &OrderStatus, files: &Fingerprint, origin: Origin) -> bool {
        if let Some(shown) = &self.record.shown
            && shown.status == *status
        {
            match shown.files.compare(files) {
                Comparison::Nothing => return false,
                Comparison::More => {
                    if let Some(shown) = &mut self.record.to_mut().shown {
                        shown.files.complete_with(files);
                    }
                    return false;
                }
                Comparison::Changed => {}
            }
        }
        self.becomes(status, files, Some(self.seen.time), origin)
    }

    /// Takes what the service shows as new. It is no arrival if it is what we recorded
    /// ourselves when we returned the order.
    fn becomes(
        &mut self,
        status: &OrderStatus,
        files: &Fingerprint,
        at: Option<SystemTime>,
        origin: Origin,
    ) -> bool {
        let provisional = self.record.returned.is_some_and(|mark| mark.provisional);
        let confirmed = provisional && status.symbol() == Some(Symbol::S);
        if !confirmed {
            self.arrive(status.clone(), at, origin);
        }
        let record = self.record.to_mut();
        record.shown = Some(Shown {
            status: status.clone(),
            files: files.clone(),
            begun: Some(self.seen.time),
            again: None,
        });
        if let Some(mark) = &mut record.returned {
            mark.provisional = false;
        }
        record.missing = None;
        !confirmed
    }

    fn arrive(&mut self, status: OrderStatus, at: Option<SystemTime>, origin: Origin) {
        if self.record.is_new() {
            let complete = !self.is_partial();
            self.record.to_mut().history = History::empty(complete);
        }
        let mut arrival = Arrival::new(status).from_origin(origin);
        if let Some(at) = at {
            arrival = arrival.at(at);
        }
        self.record.to_mut().history.push(arrival);
        self.watch_anew();
    }

    fn is_partial(&self) -> bool {
        self.epoch
            .is_partial(self.seen.time, self.seen.created, self.policy)
    }

    fn last_symbol(&self) -> Option<Symbol> {
        let arrivals = self.record.history.arrivals();
        arrivals.iter().rev().find_map(|a| a.status().symbol())
    }

    fn is_in_watched_stage(&self) -> bool {
        let mut stages = self.record.reading().stages().iter();
        stages.any(|stage| self.policy.watched.contains(stage))
    }

    fn watch_anew(&mut self) {
        self.record.to_mut().watch = None;
        if self.is_in_watched_stage() {
            self.watch();
        }
    }

    fn watch(&mut self) {
        let now = self.seen.time;
        let interval = self.policy.interval(Duration::ZERO, self.seen.jitter);
        self.record.to_mut().watch = Some(Watch {
            since: now,
            due: after(now, interval),
        });
    }

    /// A look showed nothing new: put off the next, or end the watch.
    fn looked(&mut self) {
        let Some(watch) = self.record.watch else {
            return;
        };
        let now = self.seen.time;
        let watched = since(now, watch.since);
        if watched >= self.policy.watch_for {
            self.record.to_mut().watch = None;
            return;
        }
        let due = after(now, self.policy.interval(watched, self.seen.jitter));
        // An earlier look whose answer came later puts nothing off.
        if due > watch.due {
            self.record.to_mut().watch = Some(Watch { due, ..watch });
        }
    }
}
