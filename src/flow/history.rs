//! What happened to an order, as far as it was seen.
//!
//! *Problem.* Indexes of arrivals and ordinals of deliveries are names that other software keeps.
//!
//! *Approach.* A list that only grows. An arrival must never be removed, changed or sorted in by
//! its time: one that became known late is marked, and stays where it is.

use super::arrival::Arrival;
#[cfg(any(doc, test))]
use super::arrival::Origin;
use super::automaton::Reading;

/// The arrivals of an order, in the order in which they became known.
///
/// A value: arrivals are added at the end and never changed, taken away or rearranged, so that
/// the index of an arrival and the ordinal of a delivery are names that last.
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
///
/// With the feature `serde` it is `{"complete": true, "arrivals": ["Ready for Download", …]}`;
/// [`Arrival`] says how its times are written. Without `complete` it is read as partial.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct History {
    complete: bool,
    arrivals: Vec<Arrival>,
}

impl History {
    /// A history from the first event on.
    #[must_use]
    pub fn complete<I>(arrivals: I) -> Self
    where
        I: IntoIterator<Item: Into<Arrival>>,
    {
        Self::new(true, arrivals)
    }

    /// A history whose beginning was missed.
    #[must_use]
    pub fn partial<I>(arrivals: I) -> Self
    where
        I: IntoIterator<Item: Into<Arrival>>,
    {
        Self::new(false, arrivals)
    }

    pub(super) fn new<I>(complete: bool, arrivals: I) -> Self
    where
        I: IntoIterator<Item: Into<Arrival>>,
    {
        let mut history = Self::empty(complete);
        history.extend(arrivals);
        history
    }

    pub(crate) const fn empty(complete: bool) -> Self {
        History {
            complete,
            arrivals: Vec::new(),
        }
    }

    /// Adds an arrival at the end, whatever its time; an older one is marked as
    /// [late](Arrival::is_late).
    pub fn push(&mut self, arrival: impl Into<Arrival>) {
        let mut arrival = arrival.into();
        // What is not late is not older than anything before it, so the last such is the newest.
        // Linear only over late arrivals at the end, of which there are few.
        let newest = self
            .arrivals
            .iter()
            .rev()
            .find(|a| !a.late && a.time().is_some());
        arrival.late = match (arrival.time(), newest.and_then(Arrival::time)) {
            (Some(time), Some(newest)) => time < newest,
            _ => false,
        };
        self.arrivals.push(arrival);
    }

    /// Whether the order was known from its first event.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The arrivals, in the order in which they became known.
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
                // The count is full at 255: without this the arrivals after it would not be found.
                let before = reading.deviations_forgotten();
                reading = before.observe(&arrival.status);
                (reading.deviations() > 0).then_some(index)
            })
    }

    /// The arrivals of *Ready for Download* and *Lab Review*, numbered from 1: the units of the
    /// lab's work. The others are changes, worth showing, nothing to process.
    ///
    /// An order is delivered again after a rescan, after modeling and after interpretation 2.
    /// Software that keeps one row per order loses that work.
    ///
    /// ```
    /// use lab_connector::flow::History;
    ///
    /// let history = History::complete(["Scanning", "Ready for Download", "Downloaded", "Lab Review"]);
    /// let numbers: Vec<_> = history.deliveries().map(|(ordinal, _)| ordinal).collect();
    /// assert_eq!(numbers, [1, 2]);
    /// ```
    ///
    /// An [imported](Origin::Imported) one is never handed to the lab's software: it was dealt with
    /// before the integration, and only keeps its ordinal. With the account and the order id the
    /// ordinal names a delivery for good.
    pub fn deliveries(&self) -> impl Iterator<Item = (u32, &Arrival)> + '_ {
        let arrivals = self.arrivals.iter();
        (1..).zip(arrivals.filter(|arrival| arrival.is_delivery()))
    }

    fn beginning(&self) -> Reading {
        if self.complete {
            Reading::complete()
        } else {
            Reading::partial()
        }
    }
}

impl<T: Into<Arrival>> Extend<T> for History {
    fn extend<I: IntoIterator<Item = T>>(&mut self, arrivals: I) {
        let arrivals = arrivals.into_iter();
        // The lower bound only: an upper one may be any number that a caller's iterator names.
        self.arrivals.reserve(arrivals.size_hint().0);
        arrivals.for_each(|arrival| self.push(arrival));
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for History {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Fields {
            // Without it partial: in doubt a history must not count as complete.
            #[serde(default)]
            complete: bool,
            #[serde(default)]
            arrivals: Vec<Arrival>,
        }

        let fields = Fields::deserialize(deserializer)?;
        // Through `push`, so that late ones are marked anew.
        Ok(History::new(fields.complete, fields.arrivals))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn an_older_arrival_is_marked_and_stays_in_its_place() {
        let mut history = History::complete([Arrival::new("Ready for Download").at(at(10))]);
        history.push("Downloaded");
        history.push(Arrival::new("Scanning").at(at(5)));
        history.push(Arrival::new("Ready for Download").at(at(7)));
        history.push(Arrival::new("Downloaded").at(at(10)));
        let late: Vec<_> = history.arrivals().iter().map(Arrival::is_late).collect();
        assert_eq!(late, [false, false, true, true, false]);
        assert!(history.arrivals()[2].status().is("Scanning"));
    }

    #[test]
    fn deliveries_are_numbered_from_one_and_imported_ones_count() {
        let mut history = History::partial([
            Arrival::new("Ready for Download").from_origin(Origin::Imported),
            Arrival::new("Downloaded").from_origin(Origin::Imported),
        ]);
        history.push("Lost in Transit");
        history.push("Lab Review");
        let found: Vec<_> = history
            .deliveries()
            .map(|(ordinal, arrival)| (ordinal, arrival.status().as_str()))
            .collect();
        assert_eq!(found, [(1, "Ready for Download"), (2, "Lab Review")]);
    }

    #[test]
    fn the_reading_after_each_arrival_ends_with_the_reading_of_all() {
        let history = History::complete(["Ready for Download", "iTero Milling", "Lab Review"]);
        let readings: Vec<_> = history.readings().collect();
        assert_eq!(readings.len(), 3);
        assert_eq!(readings.last(), Some(&history.read()));
        assert_eq!(history.deviations().collect::<Vec<_>>(), [1]);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_history_is_stored_compactly_and_read_leniently() {
        let history = History::complete([
            Arrival::new("Ready for Download"),
            Arrival::new("On hold")
                .at(at(1_686_182_400))
                .from_origin(Origin::Fetched),
            Arrival::new("Lab Review").at(at(1)),
        ]);
        let text = r#"{"complete":true,"arrivals":["Ready for Download",{"status":"On hold","at":"2023-06-08T00:00:00.000Z","origin":"fetched"},{"status":"Lab Review","at":"1970-01-01T00:00:01.000Z"}]}"#;
        assert_eq!(serde_json::to_string(&history).ok().as_deref(), Some(text));
        assert_eq!(serde_json::from_str(text).ok(), Some(history));

        let lenient = r#"{"arrivals":["labReview",{"status":"F","origin":"told by a bird","new":[1]}],"more":0}"#;
        let read: History = serde_json::from_str(lenient).unwrap();
        assert_eq!(read, History::partial(["Lab Review", "F"]));
        assert!(serde_json::from_str::<History>(r#"{"arrivals":[{"at":1}]}"#).is_err());
    }
}
