//! The case model through its public door: Align's table, examples, and agreement with a
//! second implementation on every short history.

use lab_connector::flow::{Phase, Reading, Stage, Symbol};
use lab_connector::{History, OrderStatus, Scenario};
use proptest::prelude::*;

use crate::reference::{self, Answer, Case, Model, Name, SYMBOLS};

/// Symbols with spaces between them; other words stand for themselves, `_` for a space in them.
fn history(complete: bool, arrivals: &str) -> History {
    let arrivals = arrivals.split_whitespace().map(|word| {
        let letter = word.chars().next().filter(|_| word.len() == 1);
        match letter.and_then(Symbol::from_letter) {
            Some(symbol) => OrderStatus::from(symbol),
            None => OrderStatus::from(word.replace('_', " ")),
        }
    });
    if complete {
        History::complete(arrivals)
    } else {
        History::partial(arrivals)
    }
}

/// What the crate says, in the words of the reference.
fn answer(reading: Reading, deviations: Vec<usize>) -> Answer {
    let mut stages: Vec<Name> = reading.stages().iter().map(Stage::as_str).collect();
    stages.sort();
    Answer {
        candidates: reading.candidates().iter().map(Scenario::number).collect(),
        scenario: reading.scenario().map(Scenario::number),
        likely: reading.likely().map(Scenario::number),
        stages,
        expected: reading.expected().iter().map(letter).collect(),
        deviations,
    }
}

fn answer_to(history: &History) -> Answer {
    answer(history.read(), history.deviations().collect())
}

fn letter(symbol: Symbol) -> char {
    symbol.as_str().chars().next().unwrap()
}

fn symbol(letter: char) -> Symbol {
    Symbol::from_letter(letter).unwrap()
}

// Align's table and the examples.

#[test]
fn each_row_of_aligns_table_can_be_its_scenario_at_every_step() {
    // Complete where the row begins at the case's first event; row 3 is the second scan of a
    // case whose first is row 1.
    for (scenario, before, row) in [
        (1, "", "Ready_for_Download"),
        (2, "", "Lab_Review"),
        (3, "Ready_for_Download", "Ready_for_Download"),
        (4, "", "Lab_Review iTero_Milling Ready_to_Ship Downloaded"),
        (5, "", "Lab_Review iTero_Milling Ready_to_Ship Downloaded"),
        (
            5,
            "",
            "Lab_Review Lab_Review iTero_Milling Ready_to_Ship Downloaded",
        ),
    ] {
        for complete in [true, false] {
            let mut history = history(complete, before);
            for status in row.split(' ') {
                history.push(status.replace('_', " "));
                let answer = answer_to(&history);
                assert!(answer.candidates.contains(&scenario), "{history:?}");
                assert!(answer.deviations.is_empty(), "{history:?}");
            }
        }
    }
}

/// History, complete, candidates, scenario, likely, stages, deviations.
type Row = (
    &'static str,
    bool,
    &'static [u8],
    Option<u8>,
    Option<u8>,
    &'static [&'static str],
    &'static [usize],
);

#[rustfmt::skip]
const EXAMPLES: [Row; 22] = [
    ("F",             true,  &[1],       Some(1), Some(1), &["ready_for_download"], &[]),
    ("F",             false, &[1, 3],    None,    Some(1), &["ready_for_download"], &[]),
    ("F F",           true,  &[3],       Some(3), Some(3), &["ready_for_download"], &[]),
    ("F S F",         true,  &[3],       Some(3), Some(3), &["ready_for_download"], &[]),
    ("F D S F",       true,  &[3],       Some(3), Some(3), &["ready_for_download"], &[]),
    ("R D F",         true,  &[3],       Some(3), Some(3), &["ready_for_download"], &[]),
    ("R",             true,  &[2, 4, 5], None,    Some(2), &["in_review"], &[]),
    ("F R",           true,  &[2, 4, 5], None,    Some(2), &["in_review"], &[]),
    ("F M R",         true,  &[2, 4, 5], None,    Some(2), &["in_review"], &[]),
    ("R I",           true,  &[4, 5],    None,    Some(4), &["in_interpretation", "in_milling"], &[]),
    ("R I T D",       true,  &[4, 5],    None,    Some(4), &["finished"], &[]),
    ("R R",           true,  &[2, 4, 5], None,    Some(5), &["in_review"], &[]),
    ("R R I T D",     true,  &[4, 5],    None,    Some(5), &["finished"], &[]),
    ("R I R",         true,  &[5],       Some(5), Some(5), &["in_review"], &[]),
    ("R I R I T D",   true,  &[5],       Some(5), Some(5), &["finished"], &[]),
    ("F I",           true,  &[4, 5],    None,    Some(4), &["in_interpretation", "in_milling"], &[1]),
    ("S",             true,  &[],        None,    None,    &["being_scanned"], &[]),
    ("S",             false, &[3],       None,    Some(3), &["being_scanned", "with_doctor"], &[]),
    ("R Completed T F", true, &[3],      Some(3), Some(3), &["ready_for_download"], &[3]),
    ("R On_hold T F", true,  &[3],       Some(3), Some(3), &["ready_for_download"], &[3]),
    ("",              true,  &[],        None,    None,    &[], &[]),
    ("",              false, &[],        None,    None,    &[], &[]),
];

#[test]
fn examples_read_as_they_are_described() {
    for (arrivals, complete, candidates, scenario, likely, stages, deviations) in EXAMPLES {
        let answer = answer_to(&history(complete, arrivals));
        let what = format!("{arrivals:?}, complete: {complete}");
        assert_eq!(answer.candidates, candidates, "{what}");
        assert_eq!(answer.scenario, scenario, "{what}");
        assert_eq!(answer.likely, likely, "{what}");
        assert_eq!(answer.stages, stages, "{what}");
        assert_eq!(answer.deviations, deviations, "{what}");
    }
}

#[test]
fn what_is_expected_of_an_empty_and_of_a_finished_history() {
    let expected = |complete, arrivals| -> String {
        answer_to(&history(complete, arrivals))
            .expected
            .iter()
            .collect()
    };
    assert_eq!(expected(true, ""), "SFMR");
    assert_eq!(expected(true, "Completed"), "SFMR");
    assert_eq!(expected(false, ""), "SFMRITD");
    assert_eq!(expected(true, "R I T D"), "");
    assert_eq!(expected(true, "R I"), "RITD");
}

#[test]
fn a_remake_after_the_end_deviates_and_is_followed_from_there() {
    let rescan = answer_to(&history(true, "R I T D S F"));
    assert_eq!(rescan.deviations, [4]);
    assert_eq!(rescan.scenario, Some(3));
    let modeled = answer_to(&history(true, "R I T D M R I"));
    assert_eq!(modeled.deviations, [4]);
    assert_eq!(modeled.candidates, [4, 5]);
}

#[test]
fn deviations_are_listed_beyond_what_a_reading_counts() {
    let history = history(true, &"M ".repeat(400));
    assert_eq!(history.read().deviations(), 255);
    assert!(history.deviations().eq(1..400));
}

#[test]
fn quiet_arrivals_that_were_missed_cost_stages_only() {
    // Milled and finished in truth, and only the last arrival was seen.
    let answer = answer_to(&history(true, "R D"));
    assert_eq!(answer.candidates, [2, 4, 5]);
    assert_eq!(answer.stages, ["with_lab"]);
}

// Agreement with the reference.

#[test]
fn agrees_with_the_reference_on_every_short_history() {
    let model = Model::new();
    for complete in [true, false] {
        let mut seen = 0;
        whole_histories(&model, complete, 4, &mut seen);
        assert_eq!(seen, (8_usize.pow(5) - 1) / 7);
        let mut seen = 0;
        step_by_step(&model, complete, 5, &mut seen);
        assert_eq!(seen, (7_usize.pow(6) - 1) / 6);
    }
}

/// Two million histories: `scripts/soak flow` runs it, in release.
#[test]
#[ignore = "long; run by scripts/soak flow"]
fn agrees_with_the_reference_on_every_history_of_up_to_seven() {
    let model = Model::new();
    for complete in [true, false] {
        let mut seen = 0;
        whole_histories(&model, complete, 5, &mut seen);
        step_by_step(&model, complete, 7, &mut seen);
        assert_eq!(seen, (8_usize.pow(6) - 1) / 7 + (7_usize.pow(8) - 1) / 6);
    }
}

/// Every history of up to `length` arrivals, statuses without a symbol among them, read as a
/// whole by both.
fn whole_histories(model: &Model, complete: bool, length: usize, seen: &mut usize) {
    let mut arrivals = vec![vec![]];
    for _ in 0..=length {
        for letters in &arrivals {
            let statuses = letters.iter().map(|letter: &Option<char>| match letter {
                Some(letter) => symbol(*letter).status(),
                None => OrderStatus::Completed,
            });
            let history = if complete {
                History::complete(statuses)
            } else {
                History::partial(statuses)
            };
            let theirs = model.answer(&model.read(complete, letters));
            assert_eq!(answer_to(&history), theirs, "{letters:?}, {complete}");
            *seen += 1;
        }
        let alphabet = SYMBOLS.map(Some).into_iter().chain([None]);
        arrivals = arrivals
            .iter()
            .flat_map(|letters| {
                let longer = |letter| [&letters[..], &[letter]].concat();
                alphabet.clone().map(longer)
            })
            .collect();
    }
}

/// Every history of up to `length` symbols, each one step after the history it prolongs.
fn step_by_step(model: &Model, complete: bool, length: usize, seen: &mut usize) {
    fn visit(
        model: &Model,
        (ours, theirs): (Reading, &Case),
        deviations: &[usize],
        (depth, length): (usize, usize),
        seen: &mut usize,
    ) {
        let what = model.answer(theirs);
        assert_eq!(answer(ours, deviations.to_vec()), what);
        *seen += 1;
        if depth == length {
            return;
        }
        for letter in SYMBOLS {
            let after = ours.observe(symbol(letter));
            let mut deviations = deviations.to_vec();
            if after.deviations() > ours.deviations() {
                deviations.push(depth);
            }
            let theirs = model.step(theirs, Some(letter));
            visit(
                model,
                (after, &theirs),
                &deviations,
                (depth + 1, length),
                seen,
            );
        }
    }
    let ours = if complete {
        Reading::complete()
    } else {
        Reading::partial()
    };
    let theirs = model.begin(complete);
    visit(model, (ours, &theirs), &[], (0, length), seen);
}

#[test]
fn the_phases_are_those_of_the_reference() {
    let model = Model::new();
    let names = |phases: Vec<Phase>| {
        let mut names: Vec<_> = phases.into_iter().map(Phase::as_str).collect();
        names.sort();
        names
    };
    let sorted = |phases: &[Name]| {
        let mut names = phases.to_vec();
        names.sort();
        names
    };
    assert_eq!(
        names(Phase::beginnings().iter().collect()),
        sorted(model.after("(start)"))
    );
    for phase in Phase::ALL {
        let name = phase.as_str();
        assert_eq!(letter(phase.shows()), reference::shown(name));
        assert_eq!(
            phase.scenario().map(Scenario::number),
            reference::scenario(name)
        );
        assert_eq!(
            names(phase.may_be_followed_by().iter().collect()),
            sorted(model.after(name)),
            "{phase}"
        );
    }
}

/// A scenario is certain exactly if every walk that shows the history ends in it.
#[test]
fn a_scenario_is_given_only_if_every_walk_agrees() {
    let model = Model::new();
    let mut explained = vec![vec![]];
    for _ in 0..6 {
        let mut longer = Vec::new();
        for letters in &explained {
            for next in SYMBOLS {
                let letters: Vec<char> = [&letters[..], &[next]].concat();
                let history = History::complete(letters.iter().map(|l| symbol(*l)));
                let ends: Vec<_> = model
                    .walks(&letters)
                    .iter()
                    .map(|walk| reference::scenario(walk[walk.len() - 1]))
                    .collect();
                let deviates = history.deviations().next().is_some();
                assert_eq!(ends.is_empty(), deviates, "{letters:?}");
                let Some(first) = ends.first() else { continue };
                let agreed = ends.iter().all(|end| end == first);
                let certain = first.filter(|_| agreed);
                let scenario = history.read().scenario().map(Scenario::number);
                assert_eq!(scenario, certain, "{letters:?}");
                longer.push(letters);
            }
        }
        explained = longer;
    }
    assert!(explained.len() > 1000);
}

// Properties.

fn arrivals(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Option<char>>> {
    let letter = prop::sample::select(
        SYMBOLS
            .map(Some)
            .into_iter()
            .chain([None])
            .collect::<Vec<_>>(),
    );
    prop::collection::vec(letter, length)
}

fn statuses(arrivals: &[Option<char>]) -> Vec<OrderStatus> {
    let status = |letter: &Option<char>| {
        letter.map_or_else(|| OrderStatus::from("On hold"), |l| symbol(l).status())
    };
    arrivals.iter().map(status).collect()
}

/// A walk through the phases from a case's first event: phases by the choices made.
fn walk(model: &Model, choices: &[usize]) -> Vec<Name> {
    let mut walk = Vec::new();
    let mut at = "(start)";
    for choice in choices {
        let next = model.after(at);
        if next.is_empty() {
            break;
        }
        at = next[choice % next.len()];
        walk.push(at);
    }
    walk
}

proptest! {
    #[test]
    fn agrees_with_the_reference_on_long_histories(
        complete: bool,
        arrivals in arrivals(0..41),
    ) {
        let model = Model::new();
        let theirs = model.answer(&model.read(complete, &arrivals));
        let statuses = statuses(&arrivals);
        let history = if complete {
            History::complete(&statuses)
        } else {
            History::partial(&statuses)
        };
        prop_assert_eq!(answer_to(&history), theirs);
    }

    #[test]
    fn one_by_one_is_the_same_as_at_once(complete: bool, arrivals in arrivals(0..41)) {
        let statuses = statuses(&arrivals);
        let (mut reading, history) = if complete {
            (Reading::complete(), History::complete(&statuses))
        } else {
            (Reading::partial(), History::partial(&statuses))
        };
        let mut readings = history.readings();
        for status in &statuses {
            reading = reading.observe(status);
            prop_assert_eq!(readings.next(), Some(reading));
        }
        prop_assert_eq!(readings.next(), None);
        prop_assert_eq!(history.read(), reading);
        prop_assert_eq!(history.deviations().count(), usize::from(reading.deviations()));
    }

    /// The truth is never excluded, whatever quiet arrivals were missed, as long as the last
    /// one was seen; and what is called certain is true.
    #[test]
    fn the_truth_survives_missed_quiet_arrivals(
        choices in prop::collection::vec(any::<usize>(), 1..25),
        missed in prop::collection::vec(any::<bool>(), 25),
        beginning in 0..25_usize,
    ) {
        let model = Model::new();
        let walk = walk(&model, &choices);
        let (last, rest) = walk.split_last().unwrap();
        let truth = reference::scenario(last);
        let beginning = beginning.min(rest.len());
        for (complete, rest) in [(true, rest), (false, &rest[beginning..])] {
            let seen: Vec<_> = rest
                .iter()
                .zip(&missed)
                .map(|(phase, missed)| (symbol(reference::shown(phase)), missed))
                .filter(|(symbol, missed)| symbol.is_delivery() || !**missed)
                .map(|(symbol, _)| symbol)
                .chain([symbol(reference::shown(last))])
                .collect();
            let reading = if complete {
                History::complete(seen.iter().copied()).read()
            } else {
                History::partial(seen.iter().copied()).read()
            };
            if let Some(truth) = truth {
                let candidates = answer(reading, Vec::new()).candidates;
                prop_assert!(candidates.contains(&truth), "{:?}: {:?}", walk, seen);
            }
            if let Some(scenario) = reading.scenario() {
                prop_assert_eq!(Some(scenario.number()), truth, "{:?}: {:?}", walk, seen);
            }
        }
    }

    #[test]
    fn any_text_is_a_status_and_reads_back(text: String) {
        let status = OrderStatus::from(text.as_str());
        prop_assert_eq!(&OrderStatus::from(status.as_str()), &status);
        prop_assert_eq!(status.is_known(), status.meaning().is_some());
        if !status.is_known() {
            prop_assert_eq!(status.as_str(), text);
            prop_assert_eq!(status.symbol(), None);
        }
    }

    #[test]
    fn any_bytes_are_a_status(bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes);
        let status = OrderStatus::from(text.clone());
        prop_assert!(status.is(&text));
    }

    /// Case, signs between the letters and a note at the end do not matter.
    #[test]
    fn a_known_status_is_known_in_any_spelling(
        known in prop::sample::select(OrderStatus::KNOWN),
        upper in prop::collection::vec(any::<bool>(), 40),
        signs in prop::collection::vec("[ _.\u{a0}-]{0,2}", 40),
        note in "( ?\\([a-z .]{0,8}\\))?",
    ) {
        let mut text = String::new();
        let letters = known.as_str().chars().filter(|c| *c != ' ');
        for ((letter, upper), signs) in letters.zip(upper).zip(&signs) {
            text.push_str(signs);
            if upper {
                text.push(letter.to_ascii_uppercase());
            } else {
                text.push(letter.to_ascii_lowercase());
            }
        }
        text.push_str(&note);
        prop_assert_eq!(OrderStatus::from(text), known.clone());
    }
}
