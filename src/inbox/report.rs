//! What a poll brought.

use crate::client::Unreadable;
use crate::error::Error;
use crate::model::OrderId;

/// What a poll brought. It is in the store by then.
#[derive(Debug, Default)]
pub struct PollReport {
    pub(super) listed: u64,
    pub(super) complete: bool,
    pub(super) fetched: u64,
    pub(super) deliveries: u64,
    pub(super) changes: u64,
    pub(super) deviations: u64,
    pub(super) problems: Vec<Problem>,
}

impl PollReport {
    /// How many orders were listed.
    #[must_use]
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// Whether the listing was read in full. Only then something follows from an order's absence.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// How many orders were fetched one by one.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched
    }

    /// How many deliveries are new: arrivals of *Ready for Download* and *Lab Review*.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// How many other arrivals are new.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many arrivals were not to be expected from what came before; see
    /// [`Reading::deviations`](crate::flow::Reading::deviations).
    #[must_use]
    pub fn deviations(&self) -> u64 {
        self.deviations
    }

    /// What could not be read or fetched. It is tried again with the next poll.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(super) fn add(&mut self, other: PollReport) {
        self.fetched += other.fetched;
        self.deliveries += other.deliveries;
        self.changes += other.changes;
        self.deviations += other.deviations;
        self.problems.extend(other.problems);
    }
}

/// Something that could not be read or fetched, beside what could.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// A page of the listing failed, or the pages make no sense. Nothing is concluded from
    /// absence then.
    Listing(Error),
    /// A record of the listing cannot be read. Nothing is concluded from absence then.
    Unreadable(Unreadable),
    /// An order without an Rx id, or with one of more than 256 bytes: it is delivered, and cannot be
    /// followed once it is no longer listed.
    NoRxId(OrderId),
    /// An order whose id has more than 256 bytes: it is not kept, and so not delivered. Databases
    /// find nothing by an id of any length, and one that they refuse must not hold up the others.
    /// Convention: the ids that are seen are much shorter.
    IdTooLong(OrderId),
    /// An order that was to be fetched could not be fetched; its id, if it is known.
    NotFetched(Option<OrderId>, Error),
}
