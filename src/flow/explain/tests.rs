use super::Exclusion::{FirstScanIsOver, NeedsEarlier, NeverShows, NoWay};
use super::*;
use crate::status::OrderStatus;
use Scenario::*;

fn statuses(letters: &str) -> impl Iterator<Item = OrderStatus> {
    letters.split_whitespace().map(|word| {
        let mut letters = word.chars();
        match (
            letters.next().and_then(Symbol::from_letter),
            letters.as_str(),
        ) {
            (Some(symbol), "") => symbol.status(),
            _ => OrderStatus::from(word),
        }
    })
}

fn complete(letters: &str) -> History {
    History::complete(statuses(letters))
}

fn partial(letters: &str) -> History {
    History::partial(statuses(letters))
}

type Row = (History, [Option<Exclusion>; 5], &'static [usize]);

/// Each example with what excludes each scenario, from 1 to 5, and with what deviates.
#[test]
fn each_example_has_its_reasons() {
    use Symbol::{F, I, R, S};
    fn never(symbol: Symbol) -> Option<Exclusion> {
        Some(NeverShows(symbol))
    }
    fn since(since: usize) -> Option<Exclusion> {
        Some(NoWay { since })
    }
    const MAYBE: Option<Exclusion> = None;
    let earlier = Some(NeedsEarlier);
    let first_scan = Some(FirstScanIsOver { deviation: 3 });

    #[rustfmt::skip]
    let rows: [Row; 20] = [
        (complete("F"),           [MAYBE,      never(F), earlier,  never(F), never(F)], &[]),
        (partial("F"),            [MAYBE,      never(F), MAYBE,    never(F), never(F)], &[]),
        (complete("F F"),         [since(0),   never(F), MAYBE,    never(F), never(F)], &[]),
        (complete("F S F"),       [since(0),   never(F), MAYBE,    never(F), never(F)], &[]),
        (complete("F D S F"),     [since(1),   never(F), MAYBE,    never(F), never(F)], &[]),
        (complete("R D F"),       [since(1),   never(F), MAYBE,    never(F), never(F)], &[]),
        (complete("R"),           [never(R),   MAYBE,    never(R), MAYBE,    MAYBE],    &[]),
        (complete("F R"),         [never(R),   MAYBE,    never(R), MAYBE,    MAYBE],    &[]),
        (complete("F M R"),       [never(R),   MAYBE,    never(R), MAYBE,    MAYBE],    &[]),
        (complete("R I"),         [never(I),   never(I), never(I), MAYBE,    MAYBE],    &[]),
        (complete("R I T D"),     [since(2),   since(2), since(2), MAYBE,    MAYBE],    &[]),
        (complete("R R"),         [never(R),   MAYBE,    never(R), MAYBE,    MAYBE],    &[]),
        (complete("R R I T D"),   [since(3),   since(3), since(3), MAYBE,    MAYBE],    &[]),
        (complete("R I R"),       [never(R),   since(1), never(R), since(1), MAYBE],    &[]),
        (complete("R I R I T D"), [since(4),   since(4), since(4), since(1), MAYBE],    &[]),
        (complete("F I"),         [never(I),   never(I), never(I), MAYBE,    MAYBE],    &[1]),
        (complete("S"),           [never(S),   never(S), earlier,  never(S), never(S)], &[]),
        (partial("S"),            [never(S),   never(S), MAYBE,    never(S), never(S)], &[]),
        (complete("R Completed T F"), [first_scan, never(F), MAYBE, never(F), never(F)], &[3]),
        (complete("F D"),         [MAYBE,      since(0), earlier,  since(0), since(0)], &[]),
    ];
    for (history, why_not, deviations) in rows {
        let explanation = history.explain();
        let said = Scenario::ALL.map(|scenario| explanation.why(scenario));
        assert_eq!(said, why_not, "{explanation}");
        let said: Vec<_> = explanation
            .deviations()
            .iter()
            .map(|(index, _)| *index)
            .collect();
        assert_eq!(said, deviations, "{explanation}");
        assert_eq!(explanation.reading(), history.read());
    }
}

/// Every history of up to five arrivals, from both beginnings: the reasons hold when the model
/// is asked again.
#[test]
fn every_reason_is_true_of_the_model() {
    let mut histories = vec![Vec::new()];
    let mut at = 0;
    while histories[at].len() < 5 {
        for symbol in Symbol::ALL {
            let mut longer: Vec<Symbol> = histories[at].clone();
            longer.push(symbol);
            histories.push(longer);
        }
        at += 1;
    }
    for symbols in &histories {
        for history in [
            History::complete(symbols.iter().copied()),
            History::partial(symbols.iter().copied()),
        ] {
            let explanation = history.explain();
            let candidates = explanation.reading().candidates();
            for scenario in Scenario::ALL {
                let can = |from: usize, readable: bool| {
                    let part = History::partial(symbols[from..].iter().copied());
                    let reading = part.read();
                    reading.candidates().contains(scenario)
                        && (reading.deviations() == 0) == readable
                };
                let holds = match explanation.why(scenario) {
                    None => symbols.is_empty() || candidates.contains(scenario),
                    _ if candidates.contains(scenario) => false,
                    Some(NeverShows(symbol)) => {
                        symbols.last() == Some(&symbol) && !can(symbols.len() - 1, true)
                    }
                    Some(NoWay { since }) => !can(since, true) && can(since + 1, true),
                    Some(NeedsEarlier) => history.is_complete() && can(0, true),
                    Some(FirstScanIsOver { deviation }) => {
                        explanation
                            .deviations()
                            .iter()
                            .any(|(index, _)| *index == deviation)
                            && scenario == DirectToLab
                            && can(deviation, true)
                            && symbols[..deviation].iter().any(|s| *s != Symbol::S)
                    }
                    Some(Exclusion::Before) => false,
                };
                assert!(holds, "{scenario}\n{explanation}");
            }
        }
    }
}

#[test]
fn deviations_are_those_of_the_history() {
    let history = complete("I F T Sent D D Elsewhere D");
    let explanation = history.explain();
    let indexes: Vec<_> = explanation
        .deviations()
        .iter()
        .map(|(index, _)| *index)
        .collect();
    assert_eq!(indexes, history.deviations().collect::<Vec<_>>());
    let (_, expected) = explanation.deviations()[0];
    assert_eq!(expected, Reading::complete().expected());
}

#[test]
fn lines_for_a_person() {
    assert_eq!(
        complete("R I R").explain().to_string(),
        "\
seen (from its first event): [0] Lab Review, [1] iTero Milling, [2] Lab Review
the scenario is certain:
  5 (milling by way of interpretation 2): in review
  not 1 (first scan, direct to the lab): nothing in it shows Lab Review
  not 2 (back from modeling): no way to it shows iTero Milling, then Lab Review (it was possible up to [0])
  not 3 (after a rescan): nothing in it shows Lab Review
  not 4 (milling): no way to it shows iTero Milling, then Lab Review (it was possible up to [1])
may come next: Scanning, Ready for Download, iTero Modeling, Lab Review, iTero Milling, Ready to Ship or Downloaded
the lab: review the model; if milling was asked for, click Proceed in the portal"
    );
    assert_eq!(
        partial("S").explain().to_string(),
        "\
seen (its beginning was missed): [0] Scanning
the scenario is not certain, 3 is the simplest:
  3 (after a rescan): with the doctor
  before any scenario: being scanned
  not 1 (first scan, direct to the lab): nothing in it shows Scanning
  not 2 (back from modeling): nothing in it shows Scanning
  not 4 (milling): nothing in it shows Scanning
  not 5 (milling by way of interpretation 2): nothing in it shows Scanning
may come next: Scanning, Ready for Download, iTero Modeling or Lab Review
the lab: wait for the doctor's scan"
    );
    assert_eq!(
        complete("R Completed T F").explain().to_string(),
        "\
seen (from its first event): [0] Lab Review, [1] Completed, [2] Ready to Ship, [3] Ready for Download
the scenario is certain:
  3 (after a rescan): ready for download
  not 1 (first scan, direct to the lab): the first scan happens once, and was over before [3]
  not 2 (back from modeling): nothing in it shows Ready for Download (it was possible up to [1])
  not 4 (milling): nothing in it shows Ready for Download (it was possible up to [2])
  not 5 (milling by way of interpretation 2): nothing in it shows Ready for Download (it was possible up to [2])
deviates: [3] Ready for Download, expected Downloaded
may come next: Scanning, Ready for Download, iTero Modeling, Lab Review or Downloaded
the lab: download the files and start work"
    );
}

#[test]
fn a_line_for_a_log() {
    for (history, line) in [
        (
            complete("F I"),
            "Ready for Download, iTero Milling: scenario 4 or 5 (simplest 4), in interpretation \
             or in milling; 1 deviation, last at [1]; next Lab Review, iTero Milling, Ready to \
             Ship or Downloaded; wait for Align",
        ),
        (
            partial("S"),
            "Scanning: scenario 3 or none yet (simplest 3), being scanned or with the doctor; \
             next Scanning, Ready for Download, iTero Modeling or Lab Review; wait for the \
             doctor's scan",
        ),
        (
            complete("R I T D"),
            "Lab Review, iTero Milling, Ready to Ship, Downloaded: scenario 4 or 5 (simplest \
             4), finished; next nothing; nothing to do",
        ),
        (
            complete(""),
            "nothing: no scenario yet; next Scanning, Ready for Download, iTero Modeling or Lab \
             Review; nothing to do",
        ),
    ] {
        assert_eq!(format!("{:#}", history.explain()), line);
    }
}

#[test]
fn nothing_seen_excludes_nothing() {
    for history in [complete(""), partial(""), complete("Completed Elsewhere")] {
        let explanation = history.explain();
        assert_eq!(explanation.excluded, []);
        assert_eq!(explanation.possible().count(), 0);
        assert_eq!(explanation.expected(), history.read().expected());
    }
}

#[test]
fn a_reading_alone_says_what_it_knows() {
    let history = complete("F I R");
    let explanation = history.read().explain();
    assert_eq!(
        explanation.excluded,
        [
            (DirectToLab, NeverShows(Symbol::R)),
            (AfterModeling, Exclusion::Before),
            (AfterRescan, NeverShows(Symbol::R)),
            (Milling, Exclusion::Before),
        ]
    );
    assert!(explanation.deviations().is_empty());
    let text = explanation.to_string();
    assert!(
        text.contains("\n  not 4 (milling): what came before rules it out\ndeviates: 1 of"),
        "{text}"
    );
}

#[test]
fn foreign_text_is_escaped_and_cut_short() {
    let history = History::complete([format!("Lost\nERROR \u{202e}\u{1b}[31m{}", "x".repeat(500))]);
    for text in [
        history.explain().to_string(),
        format!("{:#}", history.explain()),
    ] {
        assert!(
            text.contains(r#""Lost\nERROR \u{202e}\u{1b}[31mxxx"#),
            "{text}"
        );
        assert!(text.contains("x…\"") && text.len() < 400, "{text}");
    }
}

#[test]
fn a_long_history_is_cut_in_its_middle() {
    let history = History::complete(["F", "D", "S"].repeat(100).into_iter().map(|letter| {
        let symbol = letter.chars().next().and_then(Symbol::from_letter);
        symbol.map(Symbol::status).unwrap_or(OrderStatus::Completed)
    }));
    let text = history.explain().to_string();
    assert!(
        text.contains("[0] Ready for Download, … (284 more), [285] Ready for Download"),
        "{text}"
    );
    assert!(text.contains("[299] Scanning\n"), "{text}");

    // More deviations than a reading counts: the last ones are named, the count is exact.
    let history = History::complete(vec![Symbol::T; 300]);
    let text = history.explain().to_string();
    assert!(
        text.contains("deviates: [299] Ready to Ship, expected Downloaded\n"),
        "{text}"
    );
    assert!(
        text.contains("deviates: 284 earlier arrivals too\n"),
        "{text}"
    );
}
