//! Which scenario is this case in, and what is to be done? Read from its statuses alone.
//!
//! A case reaches a dental lab in one of five ways, and it can go through several of them in turn:
//! scanned, scanned again, modeled, milled. The service does not say which way it came. It shows a
//! status, and the same status stands for several ways. Align asks the software of a lab to
//! process every case by its order id, its status *and its history*; this module is the part that
//! reads the history.
//!
//! ```
//! use lab_connector::flow::{History, LabAction, Scenario, Stage};
//!
//! // Known from its first event: a first scan, then the case came up for review.
//! let mut history = History::complete(["Ready for Download", "Lab Review"]);
//! let reading = history.read();
//! assert_eq!(reading.scenario(), None); // 2, 4 or 5: nobody can know yet
//! assert_eq!(reading.likely(), Some(Scenario::AfterModeling)); // the simplest of them
//! assert_eq!(reading.action(), LabAction::ReviewAndProceed);
//!
//! // It goes to the mill, and comes back for review. Plain milling never does that.
//! history.push("iTero Milling");
//! history.push("Lab Review");
//! let reading = history.read();
//! assert_eq!(reading.scenario(), Some(Scenario::AfterInterpretation2));
//! assert_eq!(reading.stages().only(), Some(Stage::InReview));
//! ```
//!
//! Everything here is pure: no clock, no I/O, no dependency.
//!
//! # The five scenarios
//!
//! Documented, in Align's *Lab Connector Flows*, revision 3, 08 Jun 2023, in our words. The numbers
//! are those of its table; [`Scenario`] has them as names.
//!
//! | scenario | what happened | statuses in Align's table |
//! |---|---|---|
//! | 1 first scan, direct to the lab | the clinic scanned and sent the case: the usual way | Ready for Download |
//! | 2 back from modeling | the lab sent the case to Align's modelers, in the MyiTero portal | Lab Review |
//! | 3 after a rescan | the lab sent the case back to the doctor, by API or portal, who scanned again | Ready for Download |
//! | 4 milling | the lab asked for a physical model: it is modeled first, the lab approves it (*Proceed*, in the portal), then it is milled | Lab Review; then iTero Milling, Ready to Ship, Downloaded |
//! | 5 milling by way of interpretation 2 | as 4, but a modeler sent the case through interpretation 2, which is rare; from there it goes on to milling, or, unlikely, back to the lab | Lab Review; then perhaps Lab Review again; then iTero Milling, Ready to Ship, Downloaded |
//!
//! # One status, several meanings
//!
//! What the lab does in the portal cannot be seen through the API, only what follows from it. And a
//! status follows from several things. Where it matters to the flow a status is one of seven
//! letters, its [`Symbol`]:
//!
//! | symbol | statuses | it can be |
//! |---|---|---|
//! | S | Rx Created, Scanning, Sending, Sent | no scenario yet, or 3: with the doctor |
//! | F | Ready for Download | 1, 3 |
//! | M | iTero Modeling | 2, 4, 5 |
//! | R | Lab Review | 2, 4, 5: and in 5 before or after interpretation 2 |
//! | I | iTero Milling | 4, 5: and in 5 the mill or interpretation 2 |
//! | T | Ready to Ship | 4, 5 |
//! | D | Downloaded | 1 to 5: the lab has fetched it, or the milled case is finished |
//!
//! Only F and R are listed by *Get Orders* and notified (documented). The other five are *quiet*:
//! software sees them when it asks for the order by its id, and often it does not. So a history
//! usually lacks them, and the model does without. Statuses that say nothing about a lab's flow
//! (*Completed*, say) and those that this crate does not know have no symbol; they are kept in the
//! history and change nothing.
//!
//! # The model
//!
//! Ours, not Align's: the five rows made exact. At every moment a case is in exactly one of 24
//! [phases](Phase). A phase shows one symbol, belongs to a scenario (the first scan to none) and has
//! a [stage](Stage): where the case stands within the scenario. One table says which phase may follow
//! which. This picture is made from it:
//!
#![doc = include_str!("../../docs/flow.svg")]
//!
//! Boxes marked ↻ lie where the lab can start something new with the case: return it to the doctor,
//! ask for modeling, ask for milling. As the steps into *Scanning* and *iTero Modeling* are quiet,
//! what comes of it may be the first thing that is seen. [`History::mermaid`] draws the way of a given history
//! into this picture.
//!
//! **Reading** a history is to ask after every arrival: *in which phases can the case be now?* In those
//! that show the arrived symbol and may follow one that was possible before. All of them together are a
//! [`Reading`]: two bytes, `Copy`, one look into a table for an arrival.
//!
//! # Complete and partial histories
//!
//! An *arrival* is a change into a status, oldest first. Reading the same status twice is one
//! arrival; a second *Ready for Download* because the doctor scanned again is another. Telling these
//! apart is the work of the `inbox` (feature `client`), which turns what was observed into arrivals.
//!
//! A history is *complete* if the software has known the case from its first event. The first F is then
//! the first scan. It is *partial* if the case is older than the integration: the same F may be a
//! rescan. When in doubt, partial: that costs certainty at the beginning, while a history that is
//! wrongly complete has wrong answers. Before anything has arrived a complete one expects S, F, M
//! or R, and a partial one everything.
//!
//! # Examples
//!
//! In letters, each an arrival. *Candidates* are the scenarios that it can be.
//!
//! | history | candidates | scenario | likely | stages | deviates |
//! |---|---|---|---|---|---|
//! | F | 1 | 1 | 1 | ready_for_download | – |
//! | F (partial) | 1 3 | – | 1 | ready_for_download | – |
//! | F F | 3 | 3 | 3 | ready_for_download | – |
//! | F S F | 3 | 3 | 3 | ready_for_download | – |
//! | F D S F | 3 | 3 | 3 | ready_for_download | – |
//! | R D F | 3 | 3 | 3 | ready_for_download | – |
//! | R | 2 4 5 | – | 2 | in_review | – |
//! | F R | 2 4 5 | – | 2 | in_review | – |
//! | F M R | 2 4 5 | – | 2 | in_review | – |
//! | R D | 2 4 5 | – | 2 | with_lab | – |
//! | R I | 4 5 | – | 4 | in_interpretation in_milling | – |
//! | R I T D | 4 5 | – | 4 | finished | – |
//! | R R | 2 4 5 | – | 5 | in_review | – |
//! | R R I T D | 4 5 | – | 5 | finished | – |
//! | R I R | 5 | 5 | 5 | in_review | – |
//! | R I R I T D | 5 | 5 | 5 | finished | – |
//! | F I | 4 5 | – | 4 | in_interpretation in_milling | 1 |
//! | S | – | – | – | being_scanned | – |
//! | S (partial) | 3 | – | 3 | being_scanned with_doctor | – |
//! | R Completed T F | 3 | 3 | 3 | ready_for_download | 3 |
//!
//! ```
//! use lab_connector::flow::{History, Reading, Scenario, Symbol};
//!
//! fn letters(text: &str) -> Vec<Symbol> {
//!     text.chars().filter_map(Symbol::from_letter).collect()
//! }
//! fn complete(text: &str) -> Reading {
//!     History::complete(letters(text)).read()
//! }
//! fn partial(text: &str) -> Reading {
//!     History::partial(letters(text)).read()
//! }
//! fn check(
//!     reading: Reading,
//!     candidates: &[u8],
//!     scenario: Option<u8>,
//!     likely: Option<u8>,
//!     stages: &str,
//! ) {
//!     let numbers: Vec<u8> = reading.candidates().iter().map(Scenario::number).collect();
//!     assert_eq!(numbers, candidates);
//!     assert_eq!(reading.scenario().map(Scenario::number), scenario);
//!     assert_eq!(reading.likely().map(Scenario::number), likely);
//!     assert_eq!(reading.stages().to_string(), stages);
//! }
//!
//! check(complete("F"), &[1], Some(1), Some(1), "ready_for_download");
//! check(partial("F"), &[1, 3], None, Some(1), "ready_for_download");
//! for rescanned in ["F F", "F S F", "F D S F", "R D F"] {
//!     check(complete(rescanned), &[3], Some(3), Some(3), "ready_for_download");
//! }
//! for modeled in ["R", "F R", "F M R"] {
//!     check(complete(modeled), &[2, 4, 5], None, Some(2), "in_review");
//! }
//! check(complete("R D"), &[2, 4, 5], None, Some(2), "with_lab");
//! check(complete("R I"), &[4, 5], None, Some(4), "in_interpretation, in_milling");
//! check(complete("R I T D"), &[4, 5], None, Some(4), "finished");
//! check(complete("R R"), &[2, 4, 5], None, Some(5), "in_review");
//! check(complete("R R I T D"), &[4, 5], None, Some(5), "finished");
//! check(complete("R I R"), &[5], Some(5), Some(5), "in_review");
//! check(complete("R I R I T D"), &[5], Some(5), Some(5), "finished");
//! check(complete("F I"), &[4, 5], None, Some(4), "in_interpretation, in_milling");
//! check(complete("S"), &[], None, None, "being_scanned");
//! check(partial("S"), &[3], None, Some(3), "being_scanned, with_doctor");
//!
//! let seen = ["Lab Review", "Completed", "Ready to Ship", "Ready for Download"];
//! let history = History::complete(seen);
//! check(history.read(), &[3], Some(3), Some(3), "ready_for_download");
//! assert_eq!(history.deviations().collect::<Vec<_>>(), [3]);
//! ```
//!
//! # Certain, likely, or neither
//!
//! * [`candidates`](Reading::candidates) are all scenarios that it can be. As long as the last arrival
//!   was seen, no quiet status that was missed takes the true one out of them, but for a remake (see
//!   below).
//! * [`scenario`](Reading::scenario) is the one scenario that is left. It is certain within the model,
//!   and none where two are left, or where the first scan, which belongs to no scenario, is possible too.
//! * [`likely`](Reading::likely) is the simplest explanation: the one that needs the fewest rounds
//!   (scans, rescans and orders for modeling), and of equals the lowest number. *R R* is one case of 5 or
//!   two orders for modeling, so 5 is simpler, though 5 is rare. It is no probability; show it to
//!   people as a guess, and let nothing irreversible hang on it.
//!
//! Certain within the model is not certain: a lab may do what the model does not know. There is one
//! such course that leaves no trace. A model is milled and finished, and the case is begun anew. Where
//! the end was seen, the remake is a deviation and is followed from there; where everything from the
//! mill to the next review was missed, what is left is the history of a case that came back from
//! interpretation 2, and reads as one.
//!
//! ```
//! use lab_connector::flow::{History, Scenario, Symbol::*};
//!
//! // Milled, finished, fetched, and modeled once more.
//! let whole = History::complete([R, I, T, D, M, R]).read();
//! assert_eq!((whole.scenario(), whole.deviations()), (None, 1));
//!
//! // The same, and nobody looked in between.
//! let seen = History::complete([R, I, R]).read();
//! assert_eq!(seen.scenario(), Some(Scenario::AfterInterpretation2));
//! assert_eq!(seen.deviations(), 0);
//! ```
//!
//! One fetch that shows the *T*, the *D* or the *M* is enough to tell the two apart: the `inbox` makes
//! such fetches.
//!
//! # Deviations
//!
//! An arrival that nothing possible leads to is a *deviation*: *F I* is a case that is being milled and
//! was never reviewed. It is no error. An arrival was missed, the case was not complete, or the service
//! does what our model does not know. The reading notes it and goes on from every phase that shows the
//! symbol (but the first scan happens once), so that the case is followed on, and one strange arrival
//! costs a doubt and not the case. A remake after the milling flow is over is a deviation as well.
//! [`History::deviations`] has their indexes: from 0, counting every arrival.
//!
//! Deviations that pile up over many cases are worth a look, and a ticket: [`History::explain`] has
//! the text for it.
//!
//! # Stages may lag
//!
//! Scenarios do not suffer from quiet statuses that were missed. Stages do: *R D* reads as downloaded
//! for review, but an *I* and a *T* that nobody looked for may have come before that *D*, and the case
//! is finished. To know the stage, ask for the order from time to time while it is with the doctor or
//! with Align, as the `inbox` does.
//!
//! # How to decide
//!
//! | question | ask | mind |
//! |---|---|---|
//! | Is there work? | the arrival's symbol: [`Symbol::is_delivery`] | the same order comes again, rightly: after a rescan, after modeling, after interpretation 2. Each arrival of F or R is work of its own; one record an order loses it |
//! | What can the lab do now? | [`Reading::action`] | needs no certainty: it is the most demanding of what is possible |
//! | Is it a new scan of a case that we have? | [`Reading::scenario`] is [`AfterRescan`](Scenario::AfterRescan) | in a partial history a first F leaves it open: look in your own records |
//! | What do we tell the customer? | [`Reading::scenario`], else [`Reading::likely`] | say that the second is a guess |
//! | Is it on its way to us as a model? | [`Reading::stages`] | they may lag |
//! | Is it over? | [`Reading::expected`] is empty | it never is for cases without milling: the lab can always start something new. The end can be missed, as any stage |
//! | Is something odd? | [`Reading::deviations`] | log it, go on |
//!
//! ```
//! use lab_connector::flow::{History, LabAction, Scenario};
//!
//! let history = History::partial(["Ready for Download", "Lab Review", "Ready for Download"]);
//! let reading = history.read();
//! let job = match reading.scenario() {
//!     Some(Scenario::DirectToLab) => "open a job",
//!     Some(Scenario::AfterRescan) => "put the new scan in the place of the old one",
//!     Some(_) => "go on with the job",
//!     None => "open a job unless there is one",
//! };
//! assert_eq!(job, "put the new scan in the place of the old one");
//! assert_eq!(reading.action(), LabAction::DownloadAndStart);
//!
//! // For the log, and for whoever asks why.
//! let explanation = history.explain().to_string();
//! assert!(explanation.contains("not 4 (milling): nothing in it shows Ready for Download"));
//! ```
//!
//! # The parts
//!
//! * [`History`] holds the arrivals of an order, [`Reading`] is what they say.
//! * [`Explanation`] says why, in words; [`History::mermaid`] and [`History::dot`] draw it.
//! * [`Phase`] is the table itself, for those who want to check it or make something of it.
//!
//! # The clinic's side
//!
//! Software that also reads a clinic's side (Align's API for practice management systems) meets the same
//! cases there, under the same names but one: a scan that has reached the lab, *Ready for Download* here,
//! is *Completed* there, a status that says nothing to a lab. Translate it before the history is read:
//!
//! ```
//! use lab_connector::OrderStatus;
//! use lab_connector::flow::{History, Scenario};
//!
//! let shown = ["Completed", "Scanning", "Completed"].map(OrderStatus::from);
//! let translated = shown.map(|status| match status {
//!     OrderStatus::Completed => OrderStatus::ReadyForDownload,
//!     status => status,
//! });
//! assert_eq!(History::complete(translated).read().scenario(), Some(Scenario::AfterRescan));
//! ```
//!
//! The names are Align's; that a clinic's history reads like a lab's is our model.
//!
//! # What is documented
//!
//! | statement | by |
//! |---|---|
//! | the five scenarios and their statuses; what is listed and notified | Align, *Lab Connector Flows*, revision 3, 08 Jun 2023 |
//! | further statuses (Rx Created, Scanning, Sending, Sent, iTero Modeling) and who holds a case | the names are Align's, their place in the flow is our reading |
//! | phases, what may follow what, stages, deviations, the simplest explanation, what the lab can do | our model; no document of Align has it |

mod action;
mod arrival;
mod automaton;
mod code;
mod diagram;
mod explain;
mod history;
pub(crate) mod millis;
mod phase;
#[cfg(feature = "serde")]
pub(crate) mod rfc3339;
mod scenario;
mod set;
mod stage;

pub use crate::status::Symbol;
pub use action::LabAction;
pub use arrival::{Arrival, Origin};
pub use automaton::Reading;
pub use diagram::{dot, mermaid};
pub use explain::Explanation;
pub use history::History;
pub use phase::Phase;
pub use scenario::Scenario;
pub use set::Set;
pub use stage::Stage;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::OrderStatus;

    /// The rows of the page's table of examples, by their text.
    #[test]
    fn the_examples_of_this_page_are_true() {
        let page = include_str!("mod.rs");
        let mut rows = 0;
        let table = page
            .lines()
            .skip_while(|line| !line.starts_with("//! | history |"))
            .skip(2)
            .map_while(|line| line.strip_prefix("//! | "));
        for row in table {
            let cells: Vec<&str> = row
                .trim_end_matches('|')
                .split('|')
                .map(str::trim)
                .collect();
            let [history, candidates, scenario, likely, stages, deviates] = cells[..] else {
                panic!("{row}");
            };
            let (letters, partial) = match history.strip_suffix(" (partial)") {
                Some(letters) => (letters, true),
                None => (history, false),
            };
            let statuses = letters.split(' ').map(|word| {
                let symbol = Symbol::ALL.into_iter().find(|s| s.as_str() == word);
                symbol.map_or_else(|| OrderStatus::from(word), Symbol::status)
            });
            let history = if partial {
                History::partial(statuses)
            } else {
                History::complete(statuses)
            };
            let reading = history.read();
            let text = |words: Vec<String>| match words.is_empty() {
                true => "–".to_owned(),
                false => words.join(" "),
            };
            let number = |scenario: Scenario| scenario.number().to_string();
            assert_eq!(
                [candidates, scenario, likely, stages, deviates],
                [
                    text(reading.candidates().iter().map(number).collect()),
                    text(reading.scenario().into_iter().map(number).collect()),
                    text(reading.likely().into_iter().map(number).collect()),
                    text(reading.stages().iter().map(|s| s.to_string()).collect()),
                    text(
                        history
                            .deviations()
                            .map(|index| index.to_string())
                            .collect()
                    ),
                ],
                "{row}"
            );
            rows += 1;
        }
        assert_eq!(rows, 20);
    }

    /// What the page says that each symbol can be.
    #[test]
    fn the_meanings_on_this_page_are_those_of_the_table() {
        for (symbol, scenarios) in [
            (Symbol::S, "3"),
            (Symbol::F, "1 3"),
            (Symbol::M, "2 4 5"),
            (Symbol::R, "2 4 5"),
            (Symbol::I, "4 5"),
            (Symbol::T, "4 5"),
            (Symbol::D, "1 2 3 4 5"),
        ] {
            let shown: Set<Scenario> = Phase::ALL
                .into_iter()
                .filter(|phase| phase.shows() == symbol)
                .filter_map(Phase::scenario)
                .collect();
            let numbers: Vec<_> = shown.iter().map(|s| s.number().to_string()).collect();
            assert_eq!(numbers.join(" "), scenarios, "{symbol}");
        }
    }

    /// "No quiet status that was missed takes the true one out": for every case that follows the
    /// table, of any length, whichever of its quiet arrivals were missed. Two arrivals in a
    /// quiet status with nothing seen between them are seen as one.
    #[test]
    fn missed_quiet_statuses_do_not_exclude_the_truth() {
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        struct Case {
            truth: Option<Phase>,
            reading: Reading,
            shown: Option<Symbol>,
        }
        let begin = |reading| Case {
            truth: None,
            reading,
            shown: None,
        };
        let mut pending = vec![begin(Reading::complete()), begin(Reading::partial())];
        let mut known = std::collections::HashSet::new();
        while let Some(case) = pending.pop() {
            let next = match case.truth {
                Some(phase) => phase.may_be_followed_by(),
                None if case.reading == Reading::complete() => Phase::beginnings(),
                None => Phase::ALL.into(),
            };
            for phase in next.iter() {
                let symbol = phase.shows();
                let missed = Case {
                    truth: Some(phase),
                    ..case
                };
                let mut after = Vec::new();
                if !symbol.is_delivery() {
                    after.push(missed);
                }
                if symbol.is_delivery() || case.shown != Some(symbol) {
                    after.push(Case {
                        reading: case.reading.observe(symbol),
                        shown: Some(symbol),
                        ..missed
                    });
                }
                for case in after {
                    assert_eq!(case.reading.deviations(), 0, "{phase} {:?}", case.reading);
                    // The last arrival was seen, by itself or by what it still shows.
                    if let Some(scenario) = phase.scenario()
                        && case.shown == Some(symbol)
                    {
                        let candidates = case.reading.candidates();
                        assert!(candidates.contains(scenario), "{phase} {:?}", case.reading);
                    }
                    if known.insert(case) {
                        pending.push(case);
                    }
                }
            }
        }
        assert!(known.len() > 100, "{}", known.len());
    }
}
