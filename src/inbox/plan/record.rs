//! What is remembered of an order between two observations.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use crate::flow::{History, Origin, Reading, millis};
use crate::inbox::due::DueTime;
use crate::status::OrderStatus;

/// Everything that is remembered of one order: plain data, for any store to keep.
///
/// Begin with [`Record::new`], or with [`Record::imported`] for an order whose history another
/// software has; then keep what [`observe`](super::observe) gives back. Stores that search have
/// two columns to make of it: the order's last status and [`Record::next_fetch`].
///
/// With the feature `serde` all times are whole milliseconds since 1970-01-01T00:00Z, what is not
/// known is left out, and what is missing is read as not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::inbox) struct Record {
    pub(super) history: History,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shown: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) returned: Option<Returned>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) downloaded: Option<Downloaded>,
    #[serde(with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<SystemTime>,
    #[serde(with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<SystemTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) watch: Option<Watch>,
}

/// What the service showed last. Own actions do not change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) status: OrderStatus,
    #[serde(default, skip_serializing_if = "Fingerprint::is_none")]
    pub(super) files: Fingerprint,
    /// When the answer was begun that showed it first; none for an imported one. Answers that
    /// show it again do not move it, so that they cost no write. What was begun between the two
    /// and arrives after them is then recorded late, and rightly: it was shown in between.
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) begun: Option<SystemTime>,
    /// When that answer was complete: the order arrived before this.
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) completed: Option<SystemTime>,
    /// When the last answer was complete that changed anything here. What was begun before may
    /// show what was before.
    #[serde(
        default,
        with = "millis::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) until: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Returned {
    #[serde(with = "millis::always")]
    pub(super) at: SystemTime,
    /// The service has shown nothing new since: the S in the history stands for what it will.
    #[serde(default)]
    pub(super) provisional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Downloaded {
    pub(super) ordinal: u32,
    #[serde(with = "millis::always")]
    pub(super) at: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watch {
    #[serde(with = "millis::always")]
    pub(super) since: SystemTime,
    #[serde(with = "millis::always")]
    pub(super) due: SystemTime,
    /// How far ahead that was, in milliseconds.
    pub(super) span: u64,
}

impl Record {
    /// The record of an order that was never observed.
    #[must_use]
    pub(in crate::inbox) const fn new() -> Self {
        Record {
            history: History::empty(false),
            shown: None,
            returned: None,
            downloaded: None,
            missing: None,
            gone: None,
            watch: None,
        }
    }

    /// The record of an order that the lab's former software knows. Its history is partial,
    /// and its deliveries keep their ordinals but are never handed out.
    ///
    /// Its last status counts as shown by the service: seeing it again is no arrival.
    #[must_use]
    pub(in crate::inbox) fn imported(history: History) -> Self {
        let shown = history.last().map(|last| Shown {
            status: last.status().clone(),
            files: Fingerprint::none(),
            begun: None,
            completed: None,
            until: None,
        });
        let arrivals = history.arrivals().iter().cloned();
        let imported = arrivals.map(|arrival| arrival.from_origin(Origin::Imported));
        Record {
            history: History::partial(imported),
            shown,
            ..Record::new()
        }
    }

    /// What happened to the order.
    #[must_use]
    pub(in crate::inbox) fn history(&self) -> &History {
        &self.history
    }

    /// What its history says.
    #[must_use]
    pub(in crate::inbox) fn reading(&self) -> Reading {
        self.history.read()
    }

    /// Whether nothing was ever observed of it.
    #[must_use]
    pub(in crate::inbox) fn is_new(&self) -> bool {
        self.history.is_empty() && self.shown.is_none()
    }

    /// The status that the service showed last, whatever the lab's software did since.
    #[must_use]
    pub(in crate::inbox) fn shown(&self) -> Option<&OrderStatus> {
        self.shown.as_ref().map(|shown| &shown.status)
    }

    /// The order's files, as far as answers described them since it arrived in that status.
    #[must_use]
    pub(in crate::inbox) fn files(&self) -> Option<&Fingerprint> {
        self.shown.as_ref().map(|shown| &shown.files)
    }

    /// How many deliveries there were, imported ones included.
    #[must_use]
    pub(in crate::inbox) fn deliveries(&self) -> usize {
        self.history.deliveries().count()
    }

    /// Since when it is missing from complete listings although the service last showed a
    /// listed status.
    #[must_use]
    pub(in crate::inbox) fn missing_since(&self) -> Option<SystemTime> {
        self.missing
    }

    /// Since when the service does not have it any more.
    #[must_use]
    pub(in crate::inbox) fn gone_since(&self) -> Option<SystemTime> {
        self.gone
    }

    /// When to fetch it by its Rx id although nothing asks for it; none while it is not watched.
    pub(in crate::inbox) fn next_fetch(&self) -> Option<DueTime> {
        let watch = self.watch?;
        Some(DueTime::from_stored(
            watch.due,
            Duration::from_millis(watch.span),
        ))
    }

    /// Whether the other one differs by more than when it is to be fetched.
    pub(in crate::inbox) fn differs(&self, other: &Record) -> bool {
        let Record {
            history,
            shown,
            returned,
            downloaded,
            missing,
            gone,
            watch: _,
        } = self;
        *history != other.history
            || *shown != other.shown
            || *returned != other.returned
            || *downloaded != other.downloaded
            || *missing != other.missing
            || *gone != other.gone
    }
}

#[cfg(test)]
impl Record {
    /// The ordinal of the last delivery whose files we downloaded.
    pub(super) fn downloaded(&self) -> Option<u32> {
        self.downloaded.map(|mark| mark.ordinal)
    }

    /// When we returned it to the doctor, as long as the service has shown nothing new since.
    pub(super) fn returned(&self) -> Option<SystemTime> {
        self.returned
            .filter(|mark| mark.provisional)
            .map(|mark| mark.at)
    }
}

impl Default for Record {
    fn default() -> Self {
        Record::new()
    }
}
