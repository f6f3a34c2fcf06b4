//! A history that the service itself reports: undocumented, possible, and believed only as far as
//! it agrees with itself.
//!
//! *Problem.* It tells what happened between two answers. It may also be written anew, end early, or
//! have a line for each answer.
//!
//! *Approach.* The last entry that was taken is a mark, and what is later by the service's own times is
//! new. These times are compared with each other only: never with a clock, and never with times of
//! ours.

use super::observation::{Evidence, OrderState};
use super::record::{CaseRecord, ReportedEnd};
use super::transition::Planner;
use crate::flow::{Arrival, Origin};
use crate::inbox::problem::ProblemKind;
use crate::status::{OrderStatus, Symbol};

/// How many histories in a row may end before the last entry taken, or lack it. Beyond that the service
/// must have written its times anew, and what it tells is taken as known once more: to believe for
/// ever that all its answers are old would lose the case.
const TOLERATED_MISFITS: u32 = 3;

/// What a history says beyond what is recorded.
pub(super) enum HistoryNews {
    Nothing,
    /// The answer is older than what is recorded.
    Outdated,
    /// Entries that are new; the last one is the status shown.
    News(Vec<Arrival>),
}

impl Planner<'_> {
    pub(super) fn history_news(&mut self, shown: &OrderState<'_>) -> HistoryNews {
        let Some(last) = shown.history.last() else {
            return HistoryNews::Nothing;
        };
        if !is_consistent(shown.history, shown.status) {
            self.problems.push(ProblemKind::HistoryIgnored);
            return HistoryNews::Nothing;
        }
        if self.record.is_new() {
            // All of it: `arrive` marks what came before the last entry as imported.
            return HistoryNews::News(shown.history.to_vec());
        }
        let Some(known) = &self.record.reported else {
            // The views have brought what this tells of a known case: it only sets the mark.
            self.record.take_reported(shown.history);
            return HistoryNews::Nothing;
        };
        let is_older = last.time() < Some(known.at);
        let has_lost_it = !shown
            .history
            .iter()
            .any(|entry| entry.time() == Some(known.at) && *entry.status() == known.status);
        if is_older || has_lost_it {
            return self.misfits(shown, is_older);
        }
        let at = known.at;
        let since = usize::try_from(known.arrivals).unwrap_or(usize::MAX);
        if let Some(known) = &mut self.record.reported {
            // Only misfits in a row say that the service writes its times anew.
            known.misfits = 0;
        }
        let new = shown.history.iter().filter(|entry| entry.time() > Some(at));
        let new: Vec<&Arrival> = new.collect();
        let arrivals = self.record.history.arrivals().get(since..);
        let known = matched(arrivals.unwrap_or_default(), &new);
        let new = one_delivery_per_status(&new[known..]);
        if new.is_empty() {
            // The views brought all that is new. The mark moves on, or these entries would be
            // matched with arrivals that come later.
            if known > 0 {
                self.record.take_reported(shown.history);
            }
            return HistoryNews::Nothing;
        }
        HistoryNews::News(new)
    }

    fn misfits(&mut self, shown: &OrderState<'_>, is_older: bool) -> HistoryNews {
        let misfits = self.record.reported.as_mut().map_or(0, |known| {
            // Bounded: beyond the tolerance the mark is taken anew, with none.
            known.misfits += 1;
            known.misfits
        });
        // One that ends earlier is merely an older answer. One that lost the entry contradicts
        // itself.
        if !is_older {
            self.problems.push(ProblemKind::HistoryIgnored);
        }
        if misfits > TOLERATED_MISFITS {
            self.record.take_reported(shown.history);
            self.record.forget_times_of_news();
            return HistoryNews::Nothing;
        }
        if is_older {
            HistoryNews::Outdated
        } else {
            HistoryNews::Nothing
        }
    }
}

impl CaseRecord {
    /// Whether an entry of the service's history is no later than the last one taken.
    pub(super) fn has_taken(&self, entry: &Arrival) -> bool {
        let known = self.reported.as_ref();
        let time = known.zip(entry.time());
        time.is_some_and(|(known, time)| time <= known.at)
    }

    /// The times of what waits are those that the service has given up: by them it would seem to have
    /// been taken, and a change that the service goes on showing would begin anew, for ever where
    /// the times are written anew before enough answers agree.
    fn forget_times_of_news(&mut self) {
        for view in [&mut self.listings, &mut self.fetches] {
            for entry in view.waiting.iter_mut().flat_map(|news| &mut news.gap) {
                *entry = Arrival::new(entry.status().clone());
            }
        }
    }

    /// Takes the end of a history as known.
    pub(super) fn take_reported(&mut self, history: &[Arrival]) {
        let end = history.last().and_then(|last| {
            Some(ReportedEnd {
                at: last.time()?,
                status: last.status().clone(),
                arrivals: u32::try_from(self.history.len()).unwrap_or(u32::MAX),
                misfits: 0,
            })
        });
        // An arrival without a history leaves the mark where it is.
        self.reported = end.or_else(|| self.reported.take());
    }
}

impl Evidence<'_> {
    /// When the order was created, where the answer says so.
    pub(super) fn created(&self) -> Option<std::time::SystemTime> {
        match self {
            Evidence::Listed(shown) | Evidence::Fetched(shown) => shown.created,
            Evidence::Unsettled(states) => states.iter().find_map(|shown| shown.created),
            _ => None,
        }
    }
}

/// Whether every entry has a time, none descends, and the last is the status shown.
fn is_consistent(history: &[Arrival], status: &OrderStatus) -> bool {
    history.iter().all(|entry| entry.time().is_some())
        && history.is_sorted_by_key(Arrival::time)
        && history.last().is_some_and(|last| last.status() == status)
}

/// How many of the new entries the views have brought already: all up to the one that the latest
/// of their arrivals matches, from the end.
fn matched(arrivals: &[Arrival], new: &[&Arrival]) -> usize {
    let brought = arrivals
        .iter()
        .rev()
        .filter(|arrival| arrival.origin() != Some(Origin::ServiceHistory));
    let mut positions =
        brought.filter_map(|arrival| new.iter().rposition(|entry| is_same(arrival, entry)));
    positions.next().map_or(0, |position| position + 1)
}

fn is_same(arrival: &Arrival, entry: &Arrival) -> bool {
    let is_return = arrival.origin() == Some(Origin::OwnAction);
    arrival.status() == entry.status() || (is_return && entry.status().symbol() == Some(Symbol::S))
}

/// Of the deliveries in a gap only the last of each status: a service that writes a line for each
/// answer must not make work of each line.
fn one_delivery_per_status(entries: &[&Arrival]) -> Vec<Arrival> {
    let is_kept = |(index, entry): &(usize, &&Arrival)| {
        !entry.is_delivery()
            || !entries[index + 1..]
                .iter()
                .any(|later| later.status() == entry.status())
    };
    let kept = entries.iter().enumerate().filter(is_kept);
    kept.map(|(_, entry)| (*entry).clone()).collect()
}
