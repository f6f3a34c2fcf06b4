//! The sequences on which earlier rules failed, and their neighbours.

use super::script::{Script, deliveries};
use crate::inbox::problem::ProblemKind;

/// Further deliveries of an unchanged service: each needs twice the evidence of the one before.
fn comes_to_rest(script: &Script, first: &str) {
    assert_eq!(script.deliveries[0], first);
    let further = script.deliveries.len() - 1;
    assert!(further <= 9, "{}", script.delivered());
}

#[test]
fn _1_a_file_time_that_is_renewed_at_every_second_answer() {
    for every in 1..6 {
        for fetch in ["f=!", "f=L"] {
            let mut script = Script::new().run(fetch);
            for poll in 0..340 {
                let state = format!("F{{a:{}}}", poll / every);
                script.go_on(&format!("L {state}"));
            }
            comes_to_rest(&script, "F*");
        }
    }
}

#[test]
fn _2_and_3_two_replicas_that_are_stuck() {
    for (run, new_ids) in [
        (1, false),
        (2, false),
        (1, true),
        (2, true),
        (3, true),
        (5, false),
    ] {
        for stuck in ["M", "D", "S"] {
            let mut script = Script::new();
            let mut number = 0;
            let mut file = || {
                number += 1;
                if new_ids {
                    format!("{{n{number}}}")
                } else {
                    String::new()
                }
            };
            for poll in 0..340 {
                // The fetch asks the same replica, or the other one.
                let (listed, fetched) = if poll / run % 2 == 0 {
                    ("R", "R")
                } else {
                    ("–", stuck)
                };
                let files = if listed == "R" { file() } else { String::new() };
                script.go_on(&format!("f={fetched}{}, L {listed}{files}", file()));
            }
            comes_to_rest(&script, "R*");
            let mut script = Script::new();
            for poll in 0..340 {
                let (listed, fetched) = if poll / run % 2 == 0 {
                    ("R", stuck)
                } else {
                    ("–", "R")
                };
                script.go_on(&format!("f={fetched}, L {listed}"));
            }
            comes_to_rest(&script, "R*");
        }
    }
}

#[test]
fn _4_a_file_that_flickers_and_stays() {
    assert_eq!(deliveries("L F{a}, L F{b}, L F{a}, L F{b} x50"), "F* F*?");
    assert_eq!(deliveries("L F{a}, L F{b}, L F{a} x50"), "F*");
    assert_eq!(deliveries("L F{a:1}, L F{a:2} x50"), "F* F*?");
    assert_eq!(deliveries("L F{a:1}, L F, L F{a:1} x50"), "F*");
    assert_eq!(deliveries("L F, L F{a}, L F{a} x50"), "F*");
    assert_eq!(deliveries("L F{a,b}, L F{a} x9, L F{b} x9"), "F*");
}

#[test]
fn _5_fetches_that_show_one_status_for_ever() {
    let steps = "f=S, L F x3, L – x3, L F x3, L – x3, L F x3";
    assert_eq!(deliveries(steps), "F* F* F*");
    let longer = "f=S, L F x6, L – x6, L F x6, L – x6, L F x6, L – x9, L F x9";
    assert_eq!(deliveries(longer), "F* F* F* F*");
}

#[test]
fn _5_a_quiet_status_after_a_delivery_needs_one_answer_that_agrees_however_often_it_came() {
    let cycle = "L –, f M, f M, L R x40";
    let steps = format!("L R x3, {}", [cycle; 5].join(", "));
    assert_eq!(deliveries(&steps), "R* R* R* R* R* R*");
}

#[test]
fn _6_and_7_a_return_whose_rescan_only_listings_show() {
    assert_eq!(deliveries("f=!, L F{a}, ret, L – x4, L F{a} x50"), "F* F*");
    assert_eq!(deliveries("f=!, L F, ret, L – x4, L F x50"), "F* F*");
    assert_eq!(deliveries("f=404, L F, ret, L –, L F x50"), "F* F*");
    assert_eq!(deliveries("f=!, L R, ret, L – x2, L F x50"), "R* F*");
}

#[test]
fn _8_a_status_that_a_lagging_view_would_not_show() {
    let mut script = Script::new().run("L F{a}, L R{a}, ret, L F{a}");
    assert_eq!(script.delivered(), "F* R* F*");
    script.go_on("L F{a} x50");
    assert_eq!(script.delivered(), "F* R* F*");
}

#[test]
fn _9_files_that_a_lagging_view_would_not_show() {
    assert_eq!(deliveries("L F{a}, ret, L F{a,b} x50"), "F* F*");
    assert_eq!(
        deliveries("L F{a:1}, ret, L F{a:1} x9, L F{a:2} x50"),
        "F* F*"
    );
}

#[test]
fn _10_a_return_without_effect() {
    let mut script = Script::new().run("L F{a}, ret, L F{a} x280");
    assert_eq!(script.delivered(), "F*");
    assert_eq!(script.problems, []);
    script.go_on("L F{a} x600");
    assert_eq!(script.delivered(), "F* F*?");
    assert_eq!(script.problems, [ProblemKind::ReturnUnconfirmed]);
    let mut script = Script::new().run("f=F, L F, ret, L F x900");
    assert_eq!(script.delivered(), "F* F*?");
    script.go_on("ret, L F x900");
    assert_eq!(script.delivered(), "F* F*? F*?");
}

#[test]
fn _11_a_download_that_only_a_fetch_saw() {
    assert_eq!(deliveries("L F, N, f D, L x, f=F, L F x50"), "F* F*");
    assert_eq!(deliveries("f=D, L F, N, f D, L x, L F x50"), "F*");
}

#[test]
fn _12_and_13_absent_without_evidence() {
    assert_eq!(deliveries("f=!, L R, L – x36, L R x50"), "R* R*?");
    assert_eq!(deliveries("f=404, L R, L – x36, L R x50"), "R* R*?");
    assert_eq!(deliveries("f=!, L R, L – x2, L R x50"), "R*");
    assert_eq!(deliveries("f=R, L R, L – x36, L R x50"), "R*");
    assert_eq!(deliveries("f=!, L R, L –, L x x9, L –, L R x50"), "R*");
    let again = "f=!, L R, L – x3, L R, L – x5, L R, L – x6, L R, L – x11, L R";
    assert_eq!(deliveries(again), "R* R*? R*?");
}

#[test]
fn a_fetch_that_sees_a_return_first_does_not_undo_the_absences_before_it() {
    let gone = "f=!, L R, L – x36";
    assert_eq!(deliveries(&format!("{gone}, f R, L R x50")), "R* R*?");
    assert_eq!(
        deliveries(&format!("{gone}, f R, L – x9, L R x50")),
        "R* R*?"
    );
    // What a fetch brings as news of its own is not doubled by the listing.
    let rescanned = format!("{gone}, f S, f R, f R, f=R, L – x9, L R x50");
    assert_eq!(deliveries(&rescanned), "R* R*");
    // Too few absences, and then a fetch that speaks against them.
    let flickers = "f=!, L R, L – x2, f R, f=R, L – x9, L R x50";
    assert_eq!(deliveries(flickers), "R*");
}

#[test]
fn _14_an_order_that_lags_when_it_drops_out() {
    assert_eq!(
        deliveries("L F, L –, f F, f=S, L – x6, f=F, L F x9"),
        "F* F*"
    );
    assert_eq!(
        deliveries("f=F, N, f F, L –, f=S, L – x6, f=F, L F x9"),
        "F* F*"
    );
}

#[test]
fn _15_a_rescan_that_the_fetch_sees_first_and_a_late_file() {
    let steps = "L F{a}, f D, f F{a,b}, L F{a,b}, L F{a,b,c} x50";
    assert_eq!(deliveries(steps), "F* F* F*?");
    assert_eq!(
        deliveries("L F{a}, f D, f F{a,b}, L F{a} x3, L F{a,b} x50"),
        "F* F*"
    );
}

#[test]
fn _15_files_that_the_bringing_view_shows_otherwise_are_news() {
    let rescanned = "L F{a:1}, L –, f S, f F{a:2}, f F{a:2}";
    assert_eq!(deliveries(&format!("{rescanned}, L F{{a:2}} x9")), "F* F*");
    assert_eq!(
        deliveries(&format!("{rescanned}, L F{{a:3}} x9")),
        "F* F* F*?"
    );
}

#[test]
fn _16_and_17_statuses_that_nobody_knows() {
    assert_eq!(deliveries("N, f Prêt, L Prêt x50"), "Prêt*?");
    assert_eq!(deliveries("L Prêt x50, f=Prêt, L Prêt x9"), "Prêt*?");
    assert_eq!(deliveries("L Prêt, L Revue x50"), "Prêt*? Revue*?");
    assert_eq!(deliveries("f Prêt, L – x9, f=Prêt, L – x9"), "");
    assert_eq!(deliveries("f=Prêt, L F, L Prêt x50"), "F* Prêt*?");
    assert_eq!(
        deliveries("f=D, L Prêt x3, L – x6, f=Prêt, L Prêt x20"),
        "Prêt*? Prêt*?"
    );
}

#[test]
fn _18_an_order_without_an_order_id() {
    let mut script = Script::new().run("f=!, L ?F x287");
    assert_eq!(script.delivered(), "");
    script.go_on("L ?F x300");
    assert_eq!(script.delivered(), "F*");
    script.go_on("L F x300");
    assert_eq!(script.delivered(), "F*");
    assert_eq!(deliveries("f=F, L ?F x50"), "F*");
}

#[test]
fn _19_an_order_that_is_listed_in_two_states() {
    let mut script = Script::new().run("f=!, L F, L F|R x285");
    assert_eq!(script.delivered(), "F*");
    script.go_on("L F|R x900");
    assert_eq!(script.delivered(), "F* R*?");
    assert_eq!(deliveries("f=R, L F|R x900"), "R*");
    assert_eq!(deliveries("f=!, L F|R x900"), "R*? F*?");
    assert!(script.fetches < 40, "{}", script.fetches);
}

#[test]
fn a_quick_rescan_of_which_one_fetch_and_one_listing_tell_is_not_lost() {
    let before = "L F, L –, f S, L F x2";
    assert_eq!(deliveries(before), "F* F*");
    assert_eq!(
        deliveries(&format!("{before}, L –, f S, L F x9")),
        "F* F* F*?"
    );
    // The software's own download takes an order off the list.
    assert_eq!(
        deliveries("L F, L –, f D, L F x2, L –, f D, L F x9"),
        "F* F*"
    );
    // It is once more and no oftener.
    let script = Script::new().run(&format!("{before}, L F, f F"));
    let mut script = script;
    for _ in 0..300 {
        script.go_on("L –, f S, L F, f F");
    }
    assert_eq!(script.delivered(), "F* F* F*?");
}

#[test]
fn _20_and_21_a_history_that_the_service_gives() {
    let mut script = Script::new().run("L R, f R[F1 M2 R3], L R x9, f R[F1 M2 R3]");
    assert_eq!(script.delivered(), "R*");
    script.go_on("f M[F1 M2]");
    assert_eq!((&*script.delivered(), &*script.symbols()), ("R*", "R"));
    script.go_on("f=R[F1 M2 R3 I4 R5], f R[F1 M2 R3 I4 R5], L R x3");
    assert_eq!(
        (&*script.delivered(), &*script.symbols()),
        ("R* R*", "R I R")
    );
    // Brought by the views already.
    let steps = "L R, f R[R3], f I, L –, f=I, L – x20, L R x5, f R[R3 I4 R5], L R x9";
    assert_eq!(deliveries(steps), "R* R*");
    // Not to be used: newest first, without times, not ending in what is shown.
    for history in ["R3 M2 F1", "F M R", "F1 M2"] {
        let mut script = Script::new();
        for _ in 0..50 {
            script.go_on(&format!("L R, f R[{history}]"));
        }
        assert_eq!(script.delivered(), "R*", "{history}");
        assert!(script.problems.contains(&ProblemKind::HistoryIgnored));
    }
    let script = Script::new().run("f R[F1 M2 R3], L R x3");
    assert_eq!((&*script.delivered(), &*script.symbols()), ("R*", "F M R"));
}

#[test]
fn _20_news_with_a_history_that_waits_while_the_other_view_goes_on() {
    let before = "f F[F1], f D[F1 D2], L R[F1 D2 R3], f D[F1 D2 R3 D4]";
    let again = "L F[F1 D2 R3 D4 S5 F6] x2, f D[F1 D2 R3 D4 S5 F6 D7] x9";
    let script = Script::new().run(&format!("{before}, {again}"));
    assert_eq!(
        (&*script.delivered(), &*script.symbols()),
        ("F* R* F*", "F D R D S F D")
    );
}

/// What agrees shows a later scan than the news did: it is the one that is delivered.
#[test]
fn _20_a_history_that_has_gone_on_when_an_answer_agrees() {
    let before = "f F[F1], L R[F1 R2], f D[F1 R2 D3]";
    for gone_on in ["L F", "f F"] {
        let steps = format!(
            "{before}, L F[F1 R2 D3 S4 F5], {gone_on}[F1 R2 D3 S4 F5 S6 F7] x9, L F[F1 R2 D3 S4 F5 S6 F7] x9"
        );
        let script = Script::new().run(&steps);
        assert_eq!(
            (&*script.delivered(), &*script.symbols()),
            ("F* R* F*", "F R D S S F"),
            "{gone_on}"
        );
    }
}

#[test]
fn _20_a_history_that_changes_although_nothing_does() {
    for keep in [1, 3, usize::MAX] {
        let mut script = Script::new();
        let mut entries = Vec::new();
        for poll in 0..340 {
            entries.push(format!("R{}", poll + 1));
            entries.drain(..entries.len().saturating_sub(keep));
            script.go_on(&format!("f R[{}], L R", entries.join(" ")));
        }
        comes_to_rest(&script, "R*");
    }
    // Its times are shifted for good: what it shows is not outdated for ever.
    let steps = "f R[R9000], f=M[R90 M91], L – x40, f=R, L R x9";
    assert_eq!(deliveries(steps), "R* R*");
}

#[test]
fn _20_a_history_that_is_written_anew_while_news_waits() {
    // Each delivery of one status doubles the answers that have to agree, up to eight here.
    let rescans = "L F{a}[F10], L F{b}[F10 F20] x2, L F{c}[F10 F20 F30] x3, \
                   L F{d}[F10 F20 F30 F40] x5";
    assert_eq!(deliveries(rescans), "F* F* F* F*");
    let last = "L F{e}[F10 F20 F30 F40 F50] x3, L F{e}[F11 F21 F31 F41 F51]";
    assert_eq!(deliveries(&format!("{rescans}, {last} x5")), "F* F* F* F*");
    for more in ["x6", "x60"] {
        let steps = format!("{rescans}, {last} {more}");
        assert_eq!(deliveries(&steps), "F* F* F* F* F*");
    }
}

#[test]
fn _22_a_clock_that_is_set_back_again_and_again() {
    let mut script = Script::new().run("f=!");
    for _ in 0..4 {
        script.go_on("L ?F x60, clock-30h");
    }
    while script.deliveries.is_empty() {
        script.go_on("L ?F");
    }
    assert!(script.elapsed.as_secs() <= 24 * 3_600 + 300);
    assert_eq!(script.delivered(), "F*");
}

#[test]
fn _24_files_that_appear_one_by_one() {
    for fetch in ["f=!", "f=L"] {
        for gap in ["", " x2", " x3"] {
            let steps = format!("{fetch}, L F{{a}}{gap}, L F{{a,b}}{gap}, L F{{a,b,c}} x20");
            let delivered = deliveries(&steps);
            assert!(
                ["F* F*?", "F* F*? F*?"].contains(&&*delivered),
                "{steps}: {delivered}"
            );
        }
    }
}

#[test]
fn _25_and_26_imported_orders() {
    assert_eq!(Script::imported("R I").run("L R x9").delivered(), "R*");
    assert_eq!(Script::imported("R I").run("f=I, L R").delivered(), "");
    assert_eq!(Script::imported("F").run("L F{a} x9").delivered(), "");
    assert_eq!(
        Script::imported("F")
            .run("L F{a} x2, L F{a,b} x9")
            .delivered(),
        "F*?"
    );
    let mut script = Script::imported("F M").run("f=M, L – x20");
    assert!(script.fetches > 0, "it is watched");
    script.go_on("f=R, L R");
    assert_eq!(script.delivered(), "R*");
    assert_eq!(script.record.deliveries(), 2);
}
