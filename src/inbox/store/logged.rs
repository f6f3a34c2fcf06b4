//! Arrivals, as the log has them.

use std::fmt;
use std::sync::Arc;

use super::{NewArrival, Stored};
use crate::error::{Error, Result};
use crate::flow::{Arrival, History, Reading};
use crate::model::{Order, OrderId};
use crate::status::OrderStatus;

/// An arrival of an order in a status: worth showing. Those that are deliveries are among them,
/// and are worked on by [`Inbox::deliveries`](crate::inbox::Inbox::deliveries).
#[derive(Clone)]
pub struct LoggedArrival {
    sequence: u64,
    ordinal: Option<u32>,
    order_id: OrderId,
    order: Option<Arc<Order>>,
    history: History,
    arrival: Arrival,
}

impl LoggedArrival {
    /// The arrival with this number in the log, and its case as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the case has no history.
    pub fn new(sequence: u64, arrival: NewArrival, stored: Stored) -> Result<Self> {
        let NewArrival { index, ordinal } = arrival;
        let history = stored.case.history_until(index);
        let arrival = history.last().cloned().ok_or_else(|| {
            Error::store(format!(
                "a case's record lacks number {sequence} of the log"
            ))
        })?;
        Ok(LoggedArrival {
            sequence,
            ordinal,
            order_id: stored.case.order_id().clone(),
            order: stored.order,
            history,
            arrival,
        })
    }

    /// Its number in the account's log, from 1 without gaps. Whoever keeps the number that was
    /// shown last goes on behind it with [`Inbox::arrivals`](crate::inbox::Inbox::arrivals).
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Which delivery of its order it is, from 1; none if it is no delivery.
    #[must_use]
    pub fn ordinal(&self) -> Option<u32> {
        self.ordinal
    }

    /// The order's number.
    #[must_use]
    pub fn order_id(&self) -> &OrderId {
        &self.order_id
    }

    /// The order as it was seen last; none if its data were forgotten.
    #[must_use]
    pub fn order(&self) -> Option<&Order> {
        self.order.as_deref()
    }

    /// The arrival.
    #[must_use]
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// The status it arrived in.
    #[must_use]
    pub fn status(&self) -> &OrderStatus {
        self.arrival.status()
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

/// Without the order's data.
impl fmt::Debug for LoggedArrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedArrival")
            .field("sequence", &self.sequence)
            .field("ordinal", &self.ordinal)
            .field("order_id", &self.order_id)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
