//! A history in plain English: for a log, a support ticket, a tooltip.
//!
//! *Problem.* A reading says which scenarios are left, not why the others are not.
//!
//! *Approach.* From the last arrival the ways through the table are followed back until none is
//! left; the arrivals that were passed are the reason. It is worked out from the table, so it
//! cannot contradict the reading. No text of a patient must be printed: only statuses are.

mod text;

use super::action::LabAction;
use super::arrival::Arrival;
use super::automaton::Reading;
use super::history::History;
use super::phase::Phase;
use super::scenario::Scenario;
use super::set::{Member, Set};
use super::stage::Stage;
use crate::status::Symbol;
pub(super) use text::{StatusText, words};

/// Why a history reads as it does.
///
/// [`History::explain`] makes it; [`Reading::explain`] makes a shorter one, as it lacks the
/// arrivals. `{}` prints several lines for a person, `{:#}` one line for a log. The wording may
/// change with any release.
///
/// Only statuses are printed, never what identifies a case or a patient. An unknown status is
/// the service's own text: it is printed escaped and cut short.
///
/// ```
/// use lab_connector::flow::{History, Scenario};
///
/// let history = History::complete(["Lab Review", "iTero Milling", "Lab Review"]);
/// let explanation = history.explain();
///
/// assert_eq!(
///     explanation.why_not(Scenario::Milling).as_deref(),
///     Some("no way to it shows iTero Milling, then Lab Review")
/// );
/// assert_eq!(
///     format!("{explanation:#}"),
///     "Lab Review, iTero Milling, Lab Review: scenario 5, in review; next Scanning, \
///      Ready for Download, iTero Modeling, Lab Review, iTero Milling, Ready to Ship or \
///      Downloaded; review the model; if milling was asked for, click Proceed in the portal"
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    history: Option<&'a History>,
    reading: Reading,
    deviations: Vec<(usize, Set<Symbol>)>,
    excluded: Vec<(Scenario, Exclusion)>,
    last_possible: [Option<usize>; Scenario::ALL.len()],
}

impl History {
    /// Why the history reads as it does. Linear in its length.
    #[must_use]
    pub fn explain(&self) -> Explanation<'_> {
        let mut reading = if self.is_complete() {
            Reading::complete()
        } else {
            Reading::partial()
        };
        let mut deviations = Vec::new();
        let mut last_possible = [None; Scenario::ALL.len()];
        for (index, arrival) in self.arrivals().iter().enumerate() {
            let before = reading;
            reading = reading.observe(arrival.status());
            if deviates(before, arrival) {
                deviations.push((index, before.expected()));
            }
            for scenario in reading.candidates().iter() {
                last_possible[usize::from(scenario.index())] = Some(index);
            }
        }
        let excluded = excluded(reading, |scenario| {
            why_not(scenario, self.arrivals(), &deviations)
        });
        Explanation {
            history: Some(self),
            reading,
            deviations,
            excluded,
            last_possible,
        }
    }
}

impl Reading {
    /// Why it says what it says, as far as it is known without the arrivals;
    /// [`History::explain`] says more.
    #[must_use]
    pub fn explain(self) -> Explanation<'static> {
        // Any of them: all phases that are possible show the symbol that arrived last.
        let shown = self.phases().iter().next().map(Phase::shows);
        Explanation {
            history: None,
            reading: self,
            deviations: Vec::new(),
            excluded: excluded(self, |scenario| match shown {
                Some(symbol) if showing(scenario, symbol).is_empty() => {
                    Exclusion::NeverShows(symbol)
                }
                _ => Exclusion::Before,
            }),
            last_possible: [None; Scenario::ALL.len()],
        }
    }
}

impl<'a> Explanation<'a> {
    /// What is explained.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// The history that was read; none for a reading alone.
    #[must_use]
    pub fn history(&self) -> Option<&'a History> {
        self.history
    }

    /// The scenarios that the case can be in, each with where it stands there. The first scan
    /// belongs to no scenario and comes last.
    pub fn possible(&self) -> impl Iterator<Item = (Option<Scenario>, Set<Stage>)> + use<> {
        let phases = self.reading.phases();
        let of = move |scenario| {
            let stages: Set<Stage> = phases
                .iter()
                .filter(|phase| phase.scenario() == scenario)
                .map(Phase::stage)
                .collect();
            (!stages.is_empty()).then_some((scenario, stages))
        };
        Scenario::ALL
            .into_iter()
            .map(Some)
            .chain([None])
            .filter_map(of)
    }

    /// Why it cannot be this scenario, in a few words; none if it can, or if nothing has been seen.
    #[must_use]
    pub fn why_not(&self, scenario: Scenario) -> Option<String> {
        let why = self.why(scenario)?;
        Some(self.in_words(why))
    }

    fn why(&self, scenario: Scenario) -> Option<Exclusion> {
        let excluded = self.excluded.iter().find(|(s, _)| *s == scenario);
        excluded.map(|(_, why)| *why)
    }

    /// The last arrival after which this scenario was possible; none if it never was, and for
    /// a reading alone.
    #[must_use]
    pub fn last_possible(&self, scenario: Scenario) -> Option<usize> {
        self.last_possible[usize::from(scenario.index())]
    }

    /// The arrivals that the model has no explanation for, by their indexes, each with what would
    /// have been expected instead. Empty for a reading alone, which knows only
    /// [how many](Reading::deviations) there were.
    #[must_use]
    pub fn deviations(&self) -> &[(usize, Set<Symbol>)] {
        &self.deviations
    }

    /// What may come next.
    #[must_use]
    pub fn expected(&self) -> Set<Symbol> {
        self.reading.expected()
    }

    /// What the lab can do now; [`LabAction::advice`] says it in words.
    #[must_use]
    pub fn action(&self) -> LabAction {
        self.reading.action()
    }
}

/// Why a case cannot be in a scenario. Worked out from the phase table, so that it is true of
/// the model as it is, and of as few arrivals as will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exclusion {
    /// No phase of the scenario shows what arrived last.
    NeverShows(Symbol),
    /// No way through the model shows the arrivals from this index on and ends in the scenario.
    /// No later index would do: without that arrival there is a way.
    NoWay {
        /// The index of the arrival.
        since: usize,
    },
    /// The ways to the scenario that show these arrivals begin before the first of them, and
    /// the history is complete.
    NeedsEarlier,
    /// Only a first scan would explain it, and that happens once. The history was picked up
    /// anew at this deviation, when something else than a scan had been seen already.
    FirstScanIsOver {
        /// The index of the arrival that deviates.
        deviation: usize,
    },
    /// Something before the last arrival rules it out; a reading alone does not know what.
    Before,
}

pub(super) fn deviates(before: Reading, arrival: &Arrival) -> bool {
    // The count is full at 255, and would not show one more.
    let after = before.deviations_forgotten().observe(arrival.status());
    after.deviations() > 0
}

fn excluded(reading: Reading, why: impl Fn(Scenario) -> Exclusion) -> Vec<(Scenario, Exclusion)> {
    if reading.phases().is_empty() {
        return Vec::new();
    }
    Scenario::ALL
        .into_iter()
        // Only of those that are excluded: so a reason cannot contradict the reading.
        .filter(|scenario| !reading.candidates().contains(*scenario))
        .map(|scenario| (scenario, why(scenario)))
        .collect()
}

/// Walks back from the last arrival along every way that ends in the scenario, until none is
/// left: the arrivals walked over are the reason.
fn why_not(
    scenario: Scenario,
    arrivals: &[Arrival],
    deviations: &[(usize, Set<Symbol>)],
) -> Exclusion {
    let mut seen = arrivals
        .iter()
        .enumerate()
        .rev()
        .filter_map(|(index, arrival)| Some((index, arrival.status().symbol()?)));
    let Some((mut index, symbol)) = seen.next() else {
        return Exclusion::Before;
    };
    // The phases from which the arrivals that were walked over lead into the scenario.
    let mut ways = showing(scenario, symbol);
    if ways.is_empty() {
        return Exclusion::NeverShows(symbol);
    }
    loop {
        // None is skipped on the way back: the last one is met first.
        if deviations.last().is_some_and(|(last, _)| *last == index) {
            // Every phase that shows the symbol is possible again here, but the first scan.
            return Exclusion::FirstScanIsOver { deviation: index };
        }
        let Some((before, symbol)) = seen.next() else {
            // A partial history may begin in every phase: this one is complete.
            return Exclusion::NeedsEarlier;
        };
        ways = Phase::ALL
            .into_iter()
            .filter(|phase| phase.shows() == symbol)
            .filter(|phase| phase.may_be_followed_by().iter().any(|p| ways.contains(p)))
            .collect();
        if ways.is_empty() {
            return Exclusion::NoWay { since: before };
        }
        index = before;
    }
}

fn showing(scenario: Scenario, symbol: Symbol) -> Set<Phase> {
    Phase::ALL
        .into_iter()
        .filter(|phase| phase.scenario() == Some(scenario) && phase.shows() == symbol)
        .collect()
}

#[cfg(test)]
mod tests;
