//! The phase table, compiled: one byte is all that a history leaves behind.
//!
//! What a history says is the set of phases that the case can be in, and for each the fewest
//! rounds that explain it. Only the differences of the rounds matter, so that few such sets can
//! be reached: they are the states of a small automaton, found here at compile time by following
//! every symbol from both beginnings.
//!
//! Nothing in here may depend on anything but the table and the symbols: stored codes are states by
//! number, see [`code`](super::code).
//!
//! A reading also counts deviations. Were the count a second number that every arrival adds to,
//! reading would take half as long again; so the table counts the first six itself: it has each
//! state seven times over, once for each count, and arrivals that no history needs, after the
//! seventh deviation, take a slow way.

use std::fmt;

use super::action::LabAction;
use super::phase::{self, FIRST_SCAN, Phase, START, TABLE};
use super::scenario::Scenario;
use super::set::{Member, Set};
use super::stage::Stage;
use crate::status::{OrderStatus, Symbol};

/// What a history says about a case: which scenarios it can be, where it stands, what may come.
///
/// Two bytes, `Copy`; taking in one more status is one look into a table of two kilobytes, for
/// the first arrival of a case as for its millionth. Begin with [`Reading::complete`] or
/// [`Reading::partial`], or let [`History::read`](super::History::read) do it.
///
/// ```
/// use lab_connector::flow::{Reading, Scenario, Stage};
/// use lab_connector::OrderStatus;
///
/// let mut reading = Reading::complete();
/// for status in ["Lab Review", "iTero Milling", "Lab Review"] {
///     reading = reading.observe(&OrderStatus::from(status));
/// }
/// // Milling has no second review: this one came back from interpretation 2.
/// assert_eq!(reading.scenario(), Some(Scenario::AfterInterpretation2));
/// assert!(reading.stages().contains(Stage::InReview));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    /// The state's number in the lower five bits; above them the deviations, or
    /// [`MANY`] if there are more than the table counts.
    place: u8,
    /// The deviations beyond those that the table counts.
    further: u8,
}

impl Reading {
    /// The reading of a history that begins with the case's first event and is still empty.
    #[must_use]
    pub const fn complete() -> Self {
        Reading {
            place: 0,
            further: 0,
        }
    }

    /// The reading of a history whose beginning was missed and that is still empty: the case
    /// is older than the integration.
    #[must_use]
    pub const fn partial() -> Self {
        Reading {
            place: 1,
            further: 0,
        }
    }

    /// The reading after one more arrival. Takes a status, a [`Symbol`], or what
    /// [`OrderStatus::symbol`] returns; a status without a symbol changes nothing.
    #[must_use]
    #[inline]
    pub fn observe(self, arrival: impl Into<Option<Symbol>>) -> Self {
        let column = match arrival.into() {
            // The variants of `Symbol` are numbered from 0, in the order of the columns.
            Some(symbol) => symbol as u8,
            None => NO_SYMBOL,
        };
        self.observe_column(column)
    }

    #[inline]
    fn observe_column(self, column: u8) -> Self {
        // Neither index can be out of bounds: a place is a byte, and there are 256 rows; a column
        // is below 8.
        let place = NEXT[usize::from(self.place)][usize::from(column)];
        if place < MANY {
            Reading { place, further: 0 }
        } else {
            self.observe_further(column)
        }
    }

    /// The same for a history with more deviations than the table counts.
    // Apart, so that the common path stays small enough to be inlined.
    #[cold]
    fn observe_further(self, column: u8) -> Self {
        let place = NEXT[usize::from(self.state_number())][usize::from(column)];
        // From a place that counts none, the next one counts one if the arrival deviates.
        let deviates = place / STATES as u8;
        Reading {
            place: MANY | (place % STATES as u8),
            // The sum of both counts must stay below 256: `deviations` returns it as a byte.
            further: self.further.saturating_add(deviates).min(u8::MAX - COUNTED),
        }
    }

    /// The phases that the case can be in.
    #[must_use]
    pub fn phases(self) -> Set<Phase> {
        Set::from_bits(self.state().phases)
    }

    /// The scenarios that the case can be in.
    #[must_use]
    pub fn candidates(self) -> Set<Scenario> {
        Set::from_bits(self.state().candidates)
    }

    /// The scenario, where there is no doubt: every phase that is possible belongs to it.
    #[must_use]
    pub fn scenario(self) -> Option<Scenario> {
        self.state().scenario
    }

    /// The scenario of the simplest explanation: fewest rounds, and of those the lowest number.
    /// No probability.
    #[must_use]
    pub fn likely(self) -> Option<Scenario> {
        self.state().likely
    }

    /// Where the case can stand. Lags where quiet statuses were missed: a case that was seen
    /// in review and then as downloaded may have been milled in between.
    #[must_use]
    pub fn stages(self) -> Set<Stage> {
        Set::from_bits(self.state().stages)
    }

    /// The symbols that may come next.
    #[must_use]
    pub fn expected(self) -> Set<Symbol> {
        Set::from_bits(self.state().expected)
    }

    /// How many arrivals the model had no explanation for; 255 means 255 or more.
    #[must_use]
    pub const fn deviations(self) -> u8 {
        if self.place < MANY {
            self.place / STATES as u8
        } else {
            COUNTED + self.further
        }
    }

    /// What the lab can do now. Where it is not certain, the most demanding of what is possible.
    #[must_use]
    pub fn action(self) -> LabAction {
        self.phases()
            .iter()
            .map(Phase::action)
            // The actions are ordered: the least is the most demanding.
            .min()
            .unwrap_or(LabAction::Nothing)
    }

    /// The same reading with its count at zero: whether the next arrival deviates is then seen
    /// even where the count is full.
    pub(super) const fn deviations_forgotten(self) -> Self {
        Reading {
            place: self.state_number(),
            further: 0,
        }
    }

    /// The state's number. Numbers are given in the order in which the states are found, which
    /// is fixed as long as the phase table is.
    pub(super) const fn state_number(self) -> u8 {
        self.place % STATES as u8
    }

    /// The reading with these parts, if there is such a state.
    pub(super) const fn from_parts(state_number: u8, deviations: u8) -> Option<Self> {
        // Codes come from databases: one that no state has is refused, as its row would be empty.
        if state_number >= AUTOMATON.count {
            return None;
        }
        Some(if deviations <= COUNTED {
            Reading {
                place: deviations * STATES as u8 + state_number,
                further: 0,
            }
        } else {
            Reading {
                place: MANY + state_number,
                further: deviations - COUNTED,
            }
        })
    }

    fn state(self) -> &'static State {
        &STATE[usize::from(self.state_number())]
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("phases", &self.phases())
            .field("deviations", &self.deviations())
            .finish()
    }
}

impl From<&OrderStatus> for Option<Symbol> {
    fn from(status: &OrderStatus) -> Self {
        status.symbol()
    }
}

/// A row of the table: seven symbols, and a column for what has none and changes nothing.
const COLUMNS: usize = 8;
const NO_SYMBOL: u8 = 7;
/// As many states as five bits can number, so that three are left for the deviations.
const STATES: usize = 32;
/// How many deviations the table counts.
const COUNTED: u8 = 6;
/// Places from here on mean more deviations than that.
// Seven times 32 is 224, so all places fit into a byte.
const MANY: u8 = (COUNTED + 1) * STATES as u8;

struct Automaton {
    /// By place and column the next place. A deviation leads from one count to the one above.
    next: [[u8; COLUMNS]; 256],
    states: [State; STATES],
    /// How many states there are.
    count: u8,
}

/// What a state says, worked out once. The sets are their bits.
#[derive(Clone, Copy)]
struct State {
    phases: u32,
    candidates: u32,
    stages: u32,
    expected: u32,
    scenario: Option<Scenario>,
    likely: Option<Scenario>,
}

const AUTOMATON: Automaton = compile();
/// Apart from the rest, so that its address needs no sum.
static NEXT: [[u8; COLUMNS]; 256] = AUTOMATON.next;
static STATE: [State; STATES] = AUTOMATON.states;

/// A state while it is compiled: for each phase that is possible one more than the rounds it
/// needs beyond the fewest; zero for the others.
#[derive(Clone, Copy)]
struct PhaseRounds {
    rounds: [u8; PHASES],
    /// Whether any symbol other than S was seen.
    beyond_scan: bool,
    beginning: Beginning,
}

#[derive(Clone, Copy)]
enum Beginning {
    Complete,
    Partial,
    Past,
}

const PHASES: usize = TABLE.len();

const fn compile() -> Automaton {
    let nothing = PhaseRounds {
        rounds: [0; PHASES],
        beyond_scan: false,
        beginning: Beginning::Complete,
    };
    let mut found = [nothing; STATES];
    // States 0 and 1 are the two empty histories: `Reading::complete` and `Reading::partial` rely
    // on it.
    found[1].beginning = Beginning::Partial;
    let mut count = 2;

    let mut next = [[0; COLUMNS]; 256];
    // `for` and iterators are not const: so each loop counts by hand.
    let mut at = 0;
    while at < count {
        let mut column = 0;
        while column < Symbol::ALL.len() {
            // Breadth first, so that states are numbered by a shortest history. The numbers are
            // stored: see `code::tests::CODES`.
            let (to, deviation) = step(&found[at], Symbol::ALL[column]);
            // From 2 on: no arrival leads back to an empty history.
            let mut number = 2;
            while number < count && !same(&found[number], &to) {
                number += 1;
            }
            if number == count {
                // The compiler stops here if the phases ever need more states than five bits
                // can number.
                found[number] = to;
                count += 1;
            }
            // At most 63: one deviation and 31.
            next[at][column] = (deviation as usize * STATES + number) as u8;
            column += 1;
        }
        // A status without a symbol changes nothing.
        next[at][NO_SYMBOL as usize] = at as u8;
        at += 1;
    }
    // The same again for one deviation more, and for many, which stay many.
    at = STATES;
    while at < next.len() {
        let mut column = 0;
        while column < COLUMNS {
            let before = next[at - STATES][column];
            next[at][column] = if before < MANY {
                before + STATES as u8
            } else {
                before
            };
            column += 1;
        }
        at += 1;
    }

    let mut states = [describe(&found[0]); STATES];
    at = 0;
    while at < count {
        states[at] = describe(&found[at]);
        at += 1;
    }
    Automaton {
        next,
        states,
        count: count as u8,
    }
}

/// The phases that show `symbol` and may follow one that was possible; if there are none, the
/// arrival deviates, and every phase that shows it is possible again.
const fn step(from: &PhaseRounds, symbol: Symbol) -> (PhaseRounds, bool) {
    let mut to = PhaseRounds {
        rounds: [0; PHASES],
        beyond_scan: from.beyond_scan || !matches!(symbol, Symbol::S),
        beginning: Beginning::Past,
    };
    let mut follows = false;
    let mut phase = 0;
    while phase < PHASES {
        if TABLE[phase].shows as u8 == symbol as u8 {
            let rounds = fewest_rounds(from, Phase::ALL[phase]);
            to.rounds[phase] = rounds;
            // Zero is no way: so one deviates only if no phase with the symbol can follow.
            follows |= rounds > 0;
        }
        phase += 1;
    }
    if !follows {
        phase = 0;
        while phase < PHASES {
            // The first scan happens once, so a deviation must not lead back to it.
            let again = from.beyond_scan && phase::has(FIRST_SCAN, Phase::ALL[phase]);
            if TABLE[phase].shows as u8 == symbol as u8 && !again {
                // All are equally simple again: what came before is not explained anyway.
                to.rounds[phase] = 1;
            }
            phase += 1;
        }
    }
    (reduce(to), !follows)
}

/// One more than the fewest rounds in which `to` can be reached; zero if it cannot.
const fn fewest_rounds(from: &PhaseRounds, to: Phase) -> u8 {
    match from.beginning {
        Beginning::Complete => return phase::has(START, to) as u8,
        // The case is older than its history, so every phase is as likely as any other.
        Beginning::Partial => return 1,
        Beginning::Past => {}
    }
    let mut fewest = 0;
    let mut before = 0;
    while before < PHASES {
        if from.rounds[before] > 0 && phase::has(TABLE[before].next, to) {
            // Fewer rounds is the simpler explanation, which `likely` returns.
            let opens = phase::opens_round(Some(Phase::ALL[before]), to);
            let rounds = from.rounds[before] + opens as u8;
            if fewest == 0 || rounds < fewest {
                fewest = rounds;
            }
        }
        before += 1;
    }
    fewest
}

/// Counts rounds from the fewest.
const fn reduce(mut possible: PhaseRounds) -> PhaseRounds {
    let mut fewest = u8::MAX;
    let mut phase = 0;
    while phase < PHASES {
        if possible.rounds[phase] > 0 && possible.rounds[phase] < fewest {
            fewest = possible.rounds[phase];
        }
        phase += 1;
    }
    phase = 0;
    while phase < PHASES {
        if possible.rounds[phase] > 0 {
            // Only differences matter. With absolute counts a long history would need ever new
            // states, and the table would have no end.
            possible.rounds[phase] -= fewest - 1;
        }
        phase += 1;
    }
    possible
}

// Written out: a derived `==` cannot be called in a const function. The beginning is not compared,
// since only states after an arrival are, and for those it is always `Past`.
const fn same(one: &PhaseRounds, other: &PhaseRounds) -> bool {
    let mut phase = 0;
    while phase < PHASES {
        if one.rounds[phase] != other.rounds[phase] {
            return false;
        }
        phase += 1;
    }
    one.beyond_scan == other.beyond_scan
}

const fn describe(possible: &PhaseRounds) -> State {
    let mut state = State {
        phases: 0,
        candidates: 0,
        stages: 0,
        expected: match possible.beginning {
            Beginning::Complete => shown_by(START),
            // A partial history may begin with anything.
            Beginning::Partial => (1 << Symbol::ALL.len()) - 1,
            Beginning::Past => 0,
        },
        scenario: None,
        likely: None,
    };
    let mut without_scenario = false;
    let mut phase = 0;
    while phase < PHASES {
        if possible.rounds[phase] > 0 {
            let row = &TABLE[phase];
            state.phases |= 1 << phase;
            state.stages |= 1 << row.stage as u32;
            state.expected |= shown_by(row.next);
            match row.scenario {
                None => without_scenario = true,
                Some(scenario) => {
                    state.candidates |= 1 << scenario as u32;
                    let simplest = possible.rounds[phase] == 1;
                    // Of equally simple ones the lowest number: a convention, so that the answer
                    // does not depend on the order of the table.
                    let lower = match state.likely {
                        None => true,
                        Some(likely) => (scenario as u8) < likely as u8,
                    };
                    if simplest && lower {
                        state.likely = Some(scenario);
                    }
                }
            }
        }
        phase += 1;
    }
    // The first scan belongs to no scenario: where it is possible too, nothing is certain.
    if state.candidates.count_ones() == 1 && !without_scenario {
        state.scenario = Some(Scenario::ALL[state.candidates.trailing_zeros() as usize]);
    }
    state
}

const fn shown_by(phases: Set<Phase>) -> u32 {
    let mut symbols = 0;
    let mut phase = 0;
    while phase < PHASES {
        if phase::has(phases, Phase::ALL[phase]) {
            symbols |= 1 << TABLE[phase].shows as u32;
        }
        phase += 1;
    }
    symbols
}

// Every member of a set has its own bit.
const _: () = assert!(<Phase as Member>::ALL.len() <= 32 && PHASES == Phase::ALL.len());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_deviation_is_counted_up_to_255() {
        // The first is a modeled case without a review; none of the others follows from it.
        let mut reading = Reading::complete().observe(Symbol::M);
        for count in 1..400 {
            assert_eq!(reading.deviations(), (count - 1).min(255) as u8);
            reading = reading.observe(Symbol::M);
        }
        assert_eq!(reading.deviations(), 255);
        assert_eq!(reading.deviations_forgotten().deviations(), 0);
    }
}
