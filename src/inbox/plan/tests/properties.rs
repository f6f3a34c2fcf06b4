//! What holds whatever is observed.

use proptest::prelude::*;

use super::script::Script;

fn step() -> impl Strategy<Value = String> {
    let state = prop::sample::select(vec![
        "F",
        "R",
        "S",
        "M",
        "D",
        "I",
        "Prêt",
        "Completed",
        "F{a}",
        "F{b}",
        "F{a:1}",
        "F{a:2,b}",
        "R{a}",
        "R{c:3}",
        "F[S1 F2]",
        "R[F2 R3]",
        "F[F9 S1]",
        "D[S1 F2 D5]",
    ]);
    prop_oneof![
        6 => state.clone().prop_map(|state| format!("L {state}")),
        3 => Just("L –".to_owned()),
        1 => Just("L x".to_owned()),
        1 => Just("L F|R".to_owned()),
        1 => Just("L ?F".to_owned()),
        4 => state.clone().prop_map(|state| format!("f {state}")),
        2 => state.prop_map(|state| format!("f={state}")),
        1 => Just("f !".to_owned()),
        1 => Just("f 404".to_owned()),
        1 => Just("N".to_owned()),
        1 => Just("ret".to_owned()),
        1 => Just("+26h".to_owned()),
        1 => Just("clock-30h".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// That records are read back as they were written is asserted by the script at each step.
    #[test]
    fn arrivals_are_only_added_and_replays_bring_nothing(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut script = Script::new();
        let mut before = Vec::new();
        for step in &steps {
            let asked = script.revision;
            script.go_on(step);
            let arrivals = script.record.history().arrivals();
            prop_assert_eq!(arrivals.get(..before.len()), Some(before.as_slice()));
            let grown = arrivals.len() > before.len();
            before = arrivals.to_vec();
            // The same answer once more, asked for when the first was.
            if grown && (step.starts_with("L ") || step.starts_with("f ")) && !step.contains('=') {
                let revision = std::mem::replace(&mut script.revision, asked);
                script.go_on(step);
                script.revision = revision;
                prop_assert_eq!(script.record.history().arrivals(), before.as_slice());
            }
        }
    }

    /// Each state of a service that tells its history, lagging now and then, is delivered once.
    #[test]
    fn a_service_that_tells_its_history_doubles_nothing(
        course in prop::collection::vec(
            (0..6_usize, prop::collection::vec((any::<bool>(), 0..4_u8), 1..5)),
            1..12,
        ),
    ) {
        let mut script = Script::new();
        let mut entries: Vec<String> = Vec::new();
        let mut expected = Vec::new();
        for (symbol, looks) in &course {
            let symbol = ["F", "M", "R", "S", "D", "I"][*symbol];
            if entries.last().is_some_and(|last| last.starts_with(symbol)) {
                continue;
            }
            entries.push(format!("{symbol}{}", entries.len() + 1));
            if symbol == "F" || symbol == "R" {
                expected.push(format!("{symbol}*"));
            }
            for (is_fetch, lag) in looks {
                // The whole history follows a lagging one: the service has not lost its end.
                let lengths = [(*lag == 0).then(|| entries.len() - 1), Some(entries.len())];
                for length in lengths.into_iter().flatten().filter(|length| *length > 0) {
                    script.go_on(&look(*is_fetch, &entries[..length]));
                }
            }
        }
        // Doubtful ones may come twice: absences that a lagging listing ends, for one.
        let sure = script.deliveries.iter().filter(|one| !one.ends_with('?'));
        let delivered: Vec<_> = sure.collect();
        let mut rest = expected.iter();
        prop_assert!(
            delivered.iter().all(|one| rest.any(|other| other == *one)),
            "{:?} of {:?}", delivered, entries
        );
    }

    /// Whatever came before: a service that shows one state for good comes to rest at once, and
    /// in that state if it waits for the lab.
    #[test]
    fn an_unchanged_service_comes_to_rest_in_what_it_shows(
        steps in prop::collection::vec(step(), 0..40),
        last in prop::sample::select(vec!["F", "R", "S", "M", "D"]),
    ) {
        let mut script = Script::new();
        steps.iter().for_each(|step| script.go_on(step));
        let listed = if last == "F" || last == "R" { last } else { "–" };
        script.go_on(&format!("f={last}, L {listed} x700"));
        let deliveries = script.deliveries.len();
        // Nobody asks for an order that is kept by the lab, or given up.
        if listed != "–" {
            let symbols = script.symbols();
            let shown = symbols.split(' ').next_back().unwrap().trim_end_matches('!').to_owned();
            prop_assert_eq!(shown, last, "{}", symbols);
        }
        script.go_on(&format!("L {listed} x700"));
        prop_assert_eq!(script.deliveries.len(), deliveries);
    }
}

/// The step in which a view shows the last of these entries, with all of them as its history.
fn look(is_fetch: bool, entries: &[String]) -> String {
    let symbol = &entries[entries.len() - 1][..1];
    match is_fetch {
        true => format!("f {symbol}[{}]", entries.join(" ")),
        false if symbol == "F" || symbol == "R" => format!("L {symbol}[{}]", entries.join(" ")),
        false => "L –".to_owned(),
    }
}

#[test]
fn a_record_is_small() {
    let script = Script::new().run("L F{a:1,b:2}, f F{a:1,b:2}");
    let text = serde_json::to_string(&script.record).unwrap();
    assert!(text.len() < 420, "{} {text}", text.len());
}
