//! What an observation means: what to record, what to hand out, what to ask next.

use std::borrow::Cow;
use std::time::SystemTime;

use super::record::Record;
use crate::flow::Arrival;
#[cfg(test)]
use crate::flow::Delivered;

/// What follows from one observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inbox) struct Step {
    record: Option<Record>,
    /// The index of the first arrival that is new.
    first: usize,
    next: Next,
}

/// What to ask the service next about this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(in crate::inbox) enum Next {
    /// Nothing: the listing will tell.
    Nothing,
    /// Fetch it by its Rx id, now.
    Fetch,
    /// Fetch it by its Rx id at this time, or somewhat later where the budget asks for it.
    LookAgain(SystemTime),
}

impl Step {
    pub(super) fn new(record: Cow<'_, Record>, first: usize, next: Next) -> Self {
        let record = match record {
            Cow::Borrowed(_) => None,
            Cow::Owned(record) => Some(record),
        };
        Step {
            record,
            first,
            next,
        }
    }

    /// The record from now on; none where nothing changed and nothing has to be stored.
    #[must_use]
    pub(in crate::inbox) fn into_record(self) -> Option<Record> {
        self.record
    }

    /// What to ask next.
    #[must_use]
    pub(in crate::inbox) fn next(&self) -> Next {
        self.next
    }

    /// The arrivals that are new, in their order.
    pub(in crate::inbox) fn arrivals(&self) -> impl Iterator<Item = Recorded<'_>> + '_ {
        let arrivals = self.record.as_ref().map(|r| r.history().arrivals());
        let (old, new) = arrivals
            .and_then(|all| all.split_at_checked(self.first))
            .unwrap_or_default();
        let mut deliveries = (1..).skip(old.iter().filter(|a| a.is_delivery()).count());
        (self.first..)
            .zip(new)
            .map(move |(index, arrival)| Recorded {
                index,
                ordinal: if arrival.is_delivery() {
                    deliveries.next()
                } else {
                    None
                },
                arrival,
            })
    }
}

#[cfg(test)]
impl Step {
    pub(super) fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Whether nothing has to be stored.
    pub(super) fn is_unchanged(&self) -> bool {
        self.record.is_none()
    }

    /// Those of the new arrivals that are to be handed to the lab's software.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = Delivered<'_>> + '_ {
        self.record
            .iter()
            .flat_map(|record| record.history().deliveries())
            .filter(|delivery| delivery.index() >= self.first && delivery.is_handed_out())
    }
}

/// An arrival that a [`Step`] adds to the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inbox) struct Recorded<'a> {
    index: usize,
    ordinal: Option<u32>,
    arrival: &'a Arrival,
}

impl<'a> Recorded<'a> {
    /// Its index in the history, from 0.
    #[must_use]
    pub(in crate::inbox) fn index(self) -> usize {
        self.index
    }

    /// Which delivery of its order it is, from 1; none if it is a mere change.
    #[must_use]
    pub(in crate::inbox) fn ordinal(self) -> Option<u32> {
        self.ordinal
    }

    /// The arrival.
    #[must_use]
    pub(in crate::inbox) fn arrival(self) -> &'a Arrival {
        self.arrival
    }
}
