//! What is new after a look.

use crate::client::Unreadable;
use crate::error::Error;
use crate::flow::{History, Reading};
use crate::model::{Order, OrderId};
use crate::status::OrderStatus;

/// What a look at the service found new.
#[derive(Debug, Default)]
pub struct Round {
    pub(super) deliveries: Vec<Delivery>,
    pub(super) changes: Vec<Change>,
    pub(super) problems: Vec<Problem>,
}

impl Round {
    /// The arrivals of *Ready for Download* and *Lab Review*: work for the lab.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// The other arrivals: worth showing, nothing to process.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What could not be read or fetched. It is tried again with the next round.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// A unit of the lab's work: an order that arrived in *Ready for Download* or *Lab Review*.
///
/// The same order is delivered again after a rescan, after modeling and after interpretation 2:
/// the account, the order id and the ordinal together name a delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub(super) ordinal: u32,
    pub(super) change: Change,
}

impl Delivery {
    /// Which delivery of its order it is, from 1.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Whether the order was never delivered before.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.ordinal == 1
    }

    /// The order as it was seen.
    #[must_use]
    pub fn order(&self) -> &Order {
        self.change.order()
    }

    /// The status it arrived in.
    #[must_use]
    pub fn status(&self) -> &OrderStatus {
        self.change.status()
    }

    /// The order's history up to this arrival.
    #[must_use]
    pub fn history(&self) -> &History {
        self.change.history()
    }

    /// What the history says.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.change.reading()
    }
}

/// An arrival of an order in a status.
#[derive(Clone, Debug)]
pub struct Change {
    pub(super) order: Order,
    pub(super) status: OrderStatus,
    pub(super) history: History,
}

impl Change {
    /// The order as it was seen.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The status it arrived in.
    #[must_use]
    pub fn status(&self) -> &OrderStatus {
        &self.status
    }

    /// The order's history up to this arrival.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What the history says.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.history.read()
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
    /// An order without an Rx id: it is delivered, and cannot be followed once it is no longer
    /// listed.
    NoRxId(OrderId),
    /// An order that was to be looked at could not be fetched.
    NotFetched(OrderId, Error),
}
