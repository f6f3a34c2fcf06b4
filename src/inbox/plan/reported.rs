//! A history that the service itself gives.

use std::time::SystemTime;

use super::draft::Draft;
use super::fingerprint::Fingerprint;
use super::policy::{after, since};
use super::record::Shown;
use crate::flow::{Arrival, Origin};
use crate::status::Symbol;

impl Draft<'_> {
    /// A history that the service gives. Only what comes after the last that was shown is new:
    /// the arrivals before that have their places and their numbers.
    pub(super) fn reported_history(&mut self, history: &[Arrival]) {
        // What happened before an order of unknown beginning was first seen, was dealt with
        // elsewhere. Only the status it has now is work.
        let past = if self.record.is_new() && self.is_partial() {
            self.now_of(history)
        } else {
            0
        };
        let new = self.new_of(history);
        for (index, arrival) in history.iter().enumerate().skip(new) {
            let origin = if index < past {
                Origin::Imported
            } else {
                Origin::ServiceHistory
            };
            self.told_one(arrival, origin);
        }
    }

    /// At which index of the given history the status begins that it ends with.
    fn now_of(&self, history: &[Arrival]) -> usize {
        let mut now = history.len().saturating_sub(1);
        while let Some([before, first]) = now.checked_sub(1).and_then(|at| history.get(at..=now))
            && before.status() == first.status()
            && !self.are_apart(before.time(), first.time())
        {
            now -= 1;
        }
        now
    }

    /// From which index on the given history is new.
    fn new_of(&self, history: &[Arrival]) -> usize {
        let new = match &self.record.shown {
            Some(shown) => self.new_since(shown, history),
            None => 0,
        };
        match self.record.returned {
            Some(mark) if mark.provisional => new + Self::until_returned(&history[new..], mark.at),
            _ => new,
        }
    }

    fn new_since(&self, shown: &Shown, history: &[Arrival]) -> usize {
        // Its own times of what it told before may be ahead of our clock.
        let told = self.record.history.last().and_then(Arrival::time);
        let known = shown.begun.max(told);
        let reach = shown
            .completed
            .max(told)
            .map(|time| after(time, self.policy.clock_difference));
        let same = |arrival: &Arrival| *arrival.status() == shown.status;
        // Without times, the match that leaves the fewest arrivals as new.
        let last = history
            .iter()
            .rposition(|arrival| same(arrival) && !is_after(arrival, reach))
            .or_else(|| history.iter().position(same));
        let (from, known) = match last {
            Some(last) => (last + 1, known),
            // It begins after what was shown last, or ends before it.
            None => (0, reach),
        };
        let is_new = |arrival: &Arrival| match last {
            // A history that lags behind what was shown goes on after an earlier match.
            Some(_) => arrival.time().is_none() || known.is_none() || is_after(arrival, known),
            None => is_after(arrival, known),
        };
        let rest = &history[from..];
        from + rest.iter().position(is_new).unwrap_or(rest.len())
    }

    /// How many arrivals of a given history lie before the return that we recorded ourselves:
    /// all up to the S that it became, or to what is later by its time.
    fn until_returned(history: &[Arrival], returned: SystemTime) -> usize {
        let is_since = |arrival: &Arrival| {
            arrival.status().symbol() == Some(Symbol::S)
                || arrival.time().is_some_and(|time| time > returned)
        };
        history.iter().position(is_since).unwrap_or(history.len())
    }

    fn told_one(&mut self, arrival: &Arrival, origin: Origin) {
        let repeated = self.record.shown() == Some(arrival.status());
        // Twice the same, one after the other: two arrivals if their times say so.
        let before = self.record.history.last().and_then(Arrival::time);
        if repeated && !self.are_apart(before, arrival.time()) {
            return;
        }
        let files = Fingerprint::none();
        self.becomes(arrival.status(), &files, arrival.time(), origin);
    }

    fn are_apart(&self, before: Option<SystemTime>, later: Option<SystemTime>) -> bool {
        matches!((before, later), (Some(before), Some(later))
            if since(later, before) > self.policy.clock_difference)
    }
}

/// Whether both times are known, and that of the arrival is the later.
fn is_after(arrival: &Arrival, time: Option<SystemTime>) -> bool {
    arrival.time().zip(time).is_some_and(|(at, time)| at > time)
}
