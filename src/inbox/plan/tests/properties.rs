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

#[test]
fn a_record_is_small() {
    let script = Script::new().run("L F{a:1,b:2}, f F{a:1,b:2}");
    let text = serde_json::to_string(&script.record).unwrap();
    assert!(text.len() < 420, "{} {text}", text.len());
}
