//! The rules: how a record becomes another by an observation.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use super::coverage::ListingCoverage;
use super::fingerprint::{Comparison, Fingerprint};
use super::observation::{Observation, What};
use super::policy::{Policy, after, since};
use super::record::{Downloaded, Record, Returned, Shown, Watch};
use super::step::{Next, Step};
use crate::flow::{Arrival, History, Origin, Stage};
use crate::status::{OrderStatus, Symbol};

/// The record as it becomes, copied only once it changes.
pub(super) struct Draft<'a> {
    pub(super) record: Cow<'a, Record>,
    seen: &'a Observation<'a>,
    pub(super) policy: &'a Policy,
    coverage: &'a ListingCoverage,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        record: &'a Record,
        seen: &'a Observation<'a>,
        policy: &'a Policy,
        coverage: &'a ListingCoverage,
    ) -> Self {
        Draft {
            record: Cow::Borrowed(record),
            seen,
            policy,
            coverage,
        }
    }

    pub(super) fn finish(mut self) -> Step {
        let first = self.record.history.len();
        let fetch = self.take_in();
        let next = match self.record.watch {
            _ if fetch => Next::Fetch,
            Some(watch) => Next::LookAgain(watch.due),
            None => Next::Nothing,
        };
        Step::new(self.record, first, next)
    }

    /// Whether to fetch the order now.
    fn take_in(&mut self) -> bool {
        match self.seen.what {
            What::Returned => self.returned(),
            What::Downloaded(ordinal) => self.downloaded(ordinal),
            _ if self.is_outdated() => {}
            What::Listed(status, files) => self.listed(status, files),
            What::Missing => return self.missing(),
            What::Fetched(status, files) => self.fetched(status, files),
            What::Gone => self.gone(),
            What::ReportedHistory(history) => self.reported_history(history),
        }
        false
    }

    /// Whether the answer was begun before something was complete that is recorded already, so
    /// that it may show what was before that.
    fn is_outdated(&self) -> bool {
        let record = &self.record;
        let shown = record.shown.as_ref().and_then(|shown| shown.until);
        let returned = record.returned.map(|mark| mark.at);
        [shown, returned, record.gone]
            .into_iter()
            .flatten()
            .any(|recorded| self.precedes(recorded))
    }

    /// Whether the answer was begun before, and not so long before that the clock must have been
    /// set back.
    fn precedes(&self, recorded: SystemTime) -> bool {
        let begun = self.seen.time;
        begun < recorded && since(recorded, begun) <= self.policy.longest_answer
    }

    /// Whether the order is known to be missing since before this answer was begun.
    fn was_missing(&self) -> bool {
        let missing = self.record.missing;
        missing.is_some_and(|since| !self.precedes(since))
    }

    fn listed(&mut self, status: &OrderStatus, files: &Fingerprint) {
        let back = self.back();
        let found = self.was_missing();
        if found {
            self.record.to_mut().missing = None;
            self.renew();
        }
        let arrived = self.shown(status, files, Origin::Listing);
        if !arrived && back {
            self.watch_anew();
        } else if !arrived && found && !self.is_to_be_watched() {
            // It was watched only because the listing did not have it.
            self.record.to_mut().watch = None;
        }
    }

    fn fetched(&mut self, status: &OrderStatus, files: &Fingerprint) {
        let back = self.back();
        if self.shown(status, files, Origin::Fetched) {
            return;
        }
        let unlisted = self.was_missing() && self.record.watch.is_none();
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
            self.record.to_mut().missing = Some(self.seen.until());
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
        record.gone = Some(self.seen.until());
        record.missing = None;
        record.watch = None;
    }

    /// Whether the order was gone and is there again.
    fn back(&mut self) -> bool {
        let back = self.record.gone.is_some();
        if back {
            self.record.to_mut().gone = None;
            self.renew();
        }
        back
    }

    /// From now on earlier answers are outdated, also where the status is still the same.
    fn renew(&mut self) {
        let until = self.seen.until();
        if let Some(shown) = &mut self.record.to_mut().shown {
            shown.until = Some(until);
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
                    self.renew();
                    return false;
                }
                Comparison::Changed => {}
            }
        }
        self.becomes(status, files, Some(self.seen.time), origin)
    }

    /// Takes what the service shows as new. It is no arrival if it is what we recorded
    /// ourselves when we returned the order.
    pub(super) fn becomes(
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
            completed: Some(self.seen.until()),
            until: Some(self.seen.until()),
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

    pub(super) fn is_partial(&self) -> bool {
        self.coverage
            .is_partial(self.seen.time, self.seen.created, self.policy)
    }

    fn last_symbol(&self) -> Option<Symbol> {
        let arrivals = self.record.history.arrivals();
        arrivals.iter().rev().find_map(|a| a.status().symbol())
    }

    fn is_to_be_watched(&self) -> bool {
        let reading = self.record.reading();
        let watched = |stage| self.policy.watched.contains(stage);
        let kept_from_review =
            reading.stages().contains(Stage::WithLab) && reading.expected().contains(Symbol::I);
        reading.stages().iter().any(watched) || (self.policy.watch_reviewed && kept_from_review)
    }

    fn watch_anew(&mut self) {
        self.record.to_mut().watch = None;
        if self.is_to_be_watched() {
            self.watch();
        }
    }

    fn watch(&mut self) {
        let now = self.seen.time;
        let interval = self.policy.interval(Duration::ZERO, self.seen.jitter);
        self.record.to_mut().watch = Some(Watch {
            since: now,
            due: after(now, interval),
            span: millis_of(interval),
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
        let interval = self.policy.interval(watched, self.seen.jitter);
        let (due, span) = (after(now, interval), millis_of(interval));
        // An earlier look whose answer came later puts nothing off, unless it is so much earlier
        // that the clock was set back.
        let ahead = since(watch.due, now);
        let longest = Duration::from_millis(watch.span).saturating_add(self.policy.longest_answer);
        if due > watch.due || ahead > longest {
            self.record.to_mut().watch = Some(Watch { due, span, ..watch });
        }
    }
}

/// Intervals are whole milliseconds, see [`Policy::interval`].
fn millis_of(interval: Duration) -> u64 {
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)
}
