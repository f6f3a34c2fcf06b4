//! An explanation as text.
//!
//! *Problem.* It goes into logs and tickets, histories may be long, and an unknown status is the
//! service's own text.
//!
//! *Approach.* Lists are cut to their last entries, and foreign text is quoted, escaped and cut.
//! Nothing but statuses and counts must be printed.

use std::fmt::{self, Write as _};

use super::{Exclusion, Explanation};
use crate::flow::history::History;
use crate::flow::scenario::Scenario;
use crate::flow::set::Set;
use crate::flow::stage::Stage;
use crate::status::{OrderStatus, Symbol};

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            self.one_line(f)
        } else {
            self.lines(f)
        }
    }
}

impl Explanation<'_> {
    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(history) = self.history {
            let from = if history.is_complete() {
                "from its first event"
            } else {
                "its beginning was missed"
            };
            let numbered = true;
            let arrivals = Arrivals {
                numbered,
                ..Arrivals::all(history)
            };
            writeln!(f, "seen ({from}): {arrivals}")?;
        }
        match (self.reading.scenario(), self.reading.likely()) {
            (Some(_), _) => writeln!(f, "the scenario is certain:")?,
            (None, Some(likely)) => {
                let number = likely.number();
                writeln!(f, "the scenario is not certain, {number} is the simplest:")?;
            }
            (None, None) => writeln!(f, "no scenario yet")?,
        }
        for (scenario, stages) in self.possible() {
            match scenario {
                Some(scenario) => write!(f, "  {}", ScenarioLabel(scenario))?,
                None => f.write_str("  before any scenario")?,
            }
            writeln!(f, ": {}", StageList(stages))?;
        }
        for &(scenario, why) in &self.excluded {
            write!(
                f,
                "  not {}: {}",
                ScenarioLabel(scenario),
                self.in_words(why)
            )?;
            if let Some(index) = self.last_possible(scenario) {
                write!(f, " (it was possible up to [{index}])")?;
            }
            f.write_char('\n')?;
        }
        let arrivals = self.history.map(History::arrivals).unwrap_or_default();
        // The last ones, in their order.
        for (index, expected) in self.deviations.iter().rev().take(SHOWN).rev() {
            let Some(arrival) = arrivals.get(*index) else {
                continue;
            };
            let status = StatusText(arrival.status());
            writeln!(
                f,
                "deviates: [{index}] {status}, expected {}",
                SymbolList(*expected)
            )?;
        }
        if self.deviations.len() > SHOWN {
            let earlier = self.deviations.len() - SHOWN;
            writeln!(f, "deviates: {earlier} earlier arrivals too")?;
        }
        if self.history.is_none() && self.reading.deviations() > 0 {
            writeln!(f, "deviates: {} of the arrivals", self.reading.deviations())?;
        }
        writeln!(f, "may come next: {}", SymbolList(self.expected()))?;
        write!(f, "the lab: {}", self.action().advice())
    }

    fn one_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(history) = self.history {
            write!(f, "{}: ", Arrivals::all(history))?;
        }
        match (self.reading.candidates().is_empty(), self.reading.likely()) {
            (true, _) => f.write_str("no scenario yet")?,
            (false, likely) => {
                f.write_str("scenario ")?;
                let possible = self.possible().map(|(scenario, _)| match scenario {
                    Some(scenario) => scenario.number().to_string(),
                    None => "none yet".to_owned(),
                });
                list(f, possible)?;
                if let (None, Some(likely)) = (self.reading.scenario(), likely) {
                    write!(f, " (simplest {})", likely.number())?;
                }
            }
        }
        if !self.reading.stages().is_empty() {
            write!(f, ", {}", StageList(self.reading.stages()))?;
        }
        // A reading alone has only the count, a history may have more than the count can hold.
        let known = self.deviations.len();
        match known.max(usize::from(self.reading.deviations())) {
            0 => {}
            1 => f.write_str("; 1 deviation")?,
            count => write!(f, "; {count} deviations")?,
        }
        if let Some((last, _)) = self.deviations.last() {
            write!(f, ", last at [{last}]")?;
        }
        write!(f, "; next {}", SymbolList(self.expected()))?;
        write!(f, "; {}", self.action().advice())
    }

    pub(super) fn in_words(&self, why: Exclusion) -> String {
        match (why, self.history) {
            (Exclusion::NeverShows(symbol), _) => {
                format!("nothing in it shows {}", symbol.status())
            }
            (Exclusion::NoWay { since }, Some(history)) => {
                let arrivals = Arrivals {
                    since,
                    between: ", then ",
                    ..Arrivals::all(history)
                };
                format!("no way to it shows {arrivals}")
            }
            (Exclusion::NeedsEarlier, _) => {
                "something would have to come before, and this is known from its first event"
                    .to_owned()
            }
            (Exclusion::FirstScanIsOver { deviation }, _) => {
                format!("the first scan happens once, and was over before [{deviation}]")
            }
            // Of a reading alone the arrivals are not known.
            (Exclusion::NoWay { .. } | Exclusion::Before, _) => {
                "what came before rules it out".to_owned()
            }
        }
    }
}

/// As many arrivals or deviations are printed at most: the last ones.
const SHOWN: usize = 16;

/// The arrivals from an index on; the middle of a long history is left out.
struct Arrivals<'a> {
    history: &'a History,
    since: usize,
    numbered: bool,
    between: &'static str,
}

impl<'a> Arrivals<'a> {
    fn all(history: &'a History) -> Self {
        Arrivals {
            history,
            since: 0,
            numbered: false,
            between: ", ",
        }
    }
}

impl fmt::Display for Arrivals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.history.len().saturating_sub(self.since);
        if count == 0 {
            return f.write_str("nothing");
        }
        let left_out = if count > SHOWN {
            // The first one stays: it says what the others follow.
            self.since + 1..self.since + 1 + count - SHOWN
        } else {
            0..0
        };
        let arrivals = self.history.arrivals().iter().enumerate();
        for (index, arrival) in arrivals.skip(self.since) {
            if index == left_out.start && !left_out.is_empty() {
                write!(f, "{}… ({} more)", self.between, left_out.len())?;
            }
            if left_out.contains(&index) {
                continue;
            }
            if index > self.since {
                f.write_str(self.between)?;
            }
            if self.numbered {
                write!(f, "[{index}] ")?;
            }
            write!(f, "{}", StatusText(arrival.status()))?;
        }
        Ok(())
    }
}

/// A status as a log may show it: the text of an unknown one is foreign.
pub(in crate::flow) struct StatusText<'a>(pub(in crate::flow) &'a OrderStatus);

impl fmt::Display for StatusText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The longest known status has 24 characters.
        const LONGEST: usize = 40;
        let text = self.0.as_str();
        if self.0.is_known() {
            return f.write_str(text);
        }
        let mut rest = text.chars();
        f.write_char('"')?;
        for c in rest.by_ref().take(LONGEST) {
            // A line break in a status must not make a second line in a log.
            write!(f, "{}", c.escape_debug())?;
        }
        if rest.next().is_some() {
            f.write_char('…')?;
        }
        f.write_char('"')
    }
}

struct ScenarioLabel(Scenario);

impl fmt::Display for ScenarioLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.number(), self.0.title())
    }
}

struct StageList(Set<Stage>);

impl fmt::Display for StageList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, self.0.iter().map(words))
    }
}

/// The stage's name as words.
pub(in crate::flow) fn words(stage: Stage) -> String {
    stage
        .as_str()
        .replace("with_", "with the ")
        .replace('_', " ")
}

struct SymbolList(Set<Symbol>);

impl fmt::Display for SymbolList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        list(f, self.0.iter().map(Symbol::status))
    }
}

fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    let mut items = items.peekable();
    let mut first = true;
    while let Some(item) = items.next() {
        if !first {
            f.write_str(if items.peek().is_some() { ", " } else { " or " })?;
        }
        write!(f, "{item}")?;
        first = false;
    }
    Ok(())
}
