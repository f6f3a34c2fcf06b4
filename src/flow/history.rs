//! What happened to an order, as far as it was seen.

use std::time::SystemTime;

use super::automaton::Reading;
use crate::status::OrderStatus;

/// The arrivals of an order, oldest first.
///
/// *Complete* if the software has known the order from its first event, else *partial*: the
/// difference decides what the first arrival can mean. When in doubt, partial.
///
/// ```
/// use lab_connector::flow::{History, Scenario};
///
/// // Known from the first scan: only a rescan makes it ready a second time.
/// let history = History::complete(["Ready for Download", "Ready for Download"]);
/// assert_eq!(history.read().scenario(), Some(Scenario::AfterRescan));
///
/// // Older than the integration: it may be the first scan or a rescan.
/// let history = History::partial(["Ready for Download"]);
/// assert_eq!(history.read().scenario(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct History {
    complete: bool,
    arrivals: Vec<Arrival>,
}

impl History {
    /// A history from the first event on.
    #[must_use]
    pub fn complete<I>(statuses: I) -> Self
    where
        I: IntoIterator<Item: Into<OrderStatus>>,
    {
        Self::new(true, statuses)
    }

    /// A history whose beginning was missed.
    #[must_use]
    pub fn partial<I>(statuses: I) -> Self
    where
        I: IntoIterator<Item: Into<OrderStatus>>,
    {
        Self::new(false, statuses)
    }

    fn new<I>(complete: bool, statuses: I) -> Self
    where
        I: IntoIterator<Item: Into<OrderStatus>>,
    {
        let arrivals = statuses.into_iter().map(Arrival::new).collect();
        History { complete, arrivals }
    }

    /// Adds an arrival at the end.
    pub fn push(&mut self, arrival: impl Into<Arrival>) {
        self.arrivals.push(arrival.into());
    }

    /// Whether the order was known from its first event.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The arrivals, oldest first.
    #[must_use]
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// The last arrival.
    #[must_use]
    pub fn last(&self) -> Option<&Arrival> {
        self.arrivals.last()
    }

    /// How many arrivals there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Whether nothing has arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
    }

    /// What the history says.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut reading = self.beginning();
        for arrival in &self.arrivals {
            reading = reading.observe(&arrival.status);
        }
        reading
    }

    /// What the history said after each arrival.
    pub fn readings(&self) -> impl ExactSizeIterator<Item = Reading> + '_ {
        let mut reading = self.beginning();
        self.arrivals.iter().map(move |arrival| {
            reading = reading.observe(&arrival.status);
            reading
        })
    }

    /// The arrivals that the model has no explanation for, by their index: from 0, counting
    /// every arrival, also those of statuses that say nothing.
    pub fn deviations(&self) -> impl Iterator<Item = usize> + '_ {
        let mut reading = self.beginning();
        self.arrivals
            .iter()
            .enumerate()
            .filter_map(move |(index, arrival)| {
                let before = reading.deviations_forgotten();
                reading = before.observe(&arrival.status);
                (reading.deviations() > 0).then_some(index)
            })
    }

    fn beginning(&self) -> Reading {
        if self.complete {
            Reading::complete()
        } else {
            Reading::partial()
        }
    }
}

/// One change of an order into a status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Arrival {
    status: OrderStatus,
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    at: Option<SystemTime>,
}

impl Arrival {
    /// An arrival of which only the status is known.
    #[must_use]
    pub fn new(status: impl Into<OrderStatus>) -> Self {
        Arrival {
            status: status.into(),
            at: None,
        }
    }

    /// The same arrival with the time at which it was seen.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.at = Some(time);
        self
    }

    /// The status arrived in.
    #[must_use]
    pub fn status(&self) -> &OrderStatus {
        &self.status
    }

    /// When it was seen, by the clock of the software; none where nobody noted it.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.at
    }
}

impl<T: Into<OrderStatus>> From<T> for Arrival {
    fn from(status: T) -> Self {
        Arrival::new(status)
    }
}
