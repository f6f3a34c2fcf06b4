//! What the software observed of one order.

use std::time::SystemTime;

use super::fingerprint::Fingerprint;
use crate::flow::{Arrival, millis};
use crate::status::OrderStatus;

/// One thing that the software observed of one order, with its time.
///
/// An answer of the service shows the order as it was at some moment between the time at which
/// its request was *begun* and the time at which it was [complete](Observation::completed); of two
/// answers that overlap nobody knows which is the newer. Of an own action the time is when it was
/// completed: only then the service is bound to know of it. Times are kept to the millisecond.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct Observation<'a> {
    pub(super) what: What<'a>,
    pub(super) time: SystemTime,
    completed: Option<SystemTime>,
    pub(super) created: Option<SystemTime>,
    pub(super) jitter: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    Listed(&'a OrderStatus, &'a Fingerprint),
    Missing,
    Fetched(&'a OrderStatus, &'a Fingerprint),
    Gone,
    Returned,
    Downloaded(u32),
    ReportedHistory(&'a [Arrival]),
}

impl<'a> Observation<'a> {
    /// *Get Orders* listed the order, with this status. Any listing may say so, complete or not.
    #[must_use]
    pub(in crate::inbox) fn listed(
        status: &'a OrderStatus,
        files: &'a Fingerprint,
        begun: SystemTime,
    ) -> Self {
        Self::new(What::Listed(status, files), begun)
    }

    /// The order is not in a listing that is complete. Where a page failed or came twice, or a
    /// record could not be read, nothing follows from absence: observe nothing then.
    #[must_use]
    pub(in crate::inbox) fn missing(begun: SystemTime) -> Self {
        Self::new(What::Missing, begun)
    }

    /// The order was fetched by its Rx id and has this status.
    #[must_use]
    pub(in crate::inbox) fn fetched(
        status: &'a OrderStatus,
        files: &'a Fingerprint,
        begun: SystemTime,
    ) -> Self {
        Self::new(What::Fetched(status, files), begun)
    }

    /// The order was fetched by its Rx id, and the service does not have it (404).
    #[must_use]
    pub(in crate::inbox) fn gone(begun: SystemTime) -> Self {
        Self::new(What::Gone, begun)
    }

    /// We returned the order to the doctor, and the service accepted it. Where it is not known
    /// whether it did, observe nothing: a fetch will show it.
    #[must_use]
    pub(in crate::inbox) fn returned(completed: SystemTime) -> Self {
        Self::new(What::Returned, completed)
    }

    /// We downloaded the files of the delivery with this ordinal, all of them.
    #[must_use]
    pub(in crate::inbox) fn downloaded(ordinal: u32, completed: SystemTime) -> Self {
        Self::new(What::Downloaded(ordinal), completed)
    }

    /// The service itself told a history of the order, oldest first, with its own times where
    /// it gives them. Not documented. Where it comes with a status, observe the history first.
    #[must_use]
    pub(in crate::inbox) fn reported_history(history: &'a [Arrival], begun: SystemTime) -> Self {
        Self::new(What::ReportedHistory(history), begun)
    }

    /// When the answer was complete; of a listing, with its last page. Whatever was begun before
    /// this and shows something else is then known to be no newer. Default: when it was begun,
    /// which is right only where no two requests for the account overlap.
    #[must_use]
    pub(in crate::inbox) fn completed(mut self, time: SystemTime) -> Self {
        self.completed = Some(millis::cut(time));
        self
    }

    /// When the order was created, where the service says so; decides only whether an order
    /// that is seen for the first time is known from its beginning.
    #[must_use]
    pub(in crate::inbox) fn created(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.created = time.into();
        self
    }

    /// A random number, uniform over all of `u32`, by which the next look is put off, see
    /// [`Policy::watch_spread`](super::Policy::watch_spread). Default: 0, not put off.
    #[must_use]
    pub(in crate::inbox) fn jitter(mut self, jitter: u32) -> Self {
        self.jitter = jitter;
        self
    }

    /// Answers that were begun before this do not count any more.
    pub(super) fn until(&self) -> SystemTime {
        self.completed.map_or(self.time, |time| time.max(self.time))
    }

    fn new(what: What<'a>, time: SystemTime) -> Self {
        Observation {
            what,
            time: millis::cut(time),
            completed: None,
            created: None,
            jitter: 0,
        }
    }
}
