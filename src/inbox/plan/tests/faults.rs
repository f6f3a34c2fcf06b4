//! Faults that were found in earlier planners.

use std::time::Duration;

use super::super::{Evidence, Files, OrderState};
use super::script::{Script, deliveries, status};
use crate::inbox::problem::ProblemKind;

#[test]
fn _23_two_workers_that_poll_at_once_outdate_nothing_while_nothing_changes() {
    let mut script = Script::new().run("f=F, L F{a} x3");
    let revision = script.revision;
    let (status, files) = (status("F"), Files::none());
    let shown = OrderState::new(&status, &files);
    for evidence in [
        Evidence::Listed(shown),
        Evidence::Fetched(shown),
        Evidence::Hinted,
        Evidence::FetchFailed,
    ] {
        script.observe(evidence);
        script.observe(evidence);
    }
    // The first fetch of the order is its view's beginning; nothing else was recorded.
    assert_eq!(script.revision, revision + 1);
}

#[test]
fn an_answer_that_was_asked_for_before_something_was_recorded_says_nothing() {
    let (modeling, files) = (status("M"), Files::none());
    let mut script = Script::new().run("L F, f D");
    let asked = script.revision - 1;
    script.observe_at(
        Evidence::Listed(OrderState::new(&status("R"), &files)),
        asked,
    );
    assert_eq!((&*script.delivered(), &*script.symbols()), ("F*", "F D"));
    // It would have been news: the order is fetched, soon.
    let wait = script.due().unwrap().duration_since(script.now);
    assert!(wait.unwrap_or_default() <= Duration::from_secs(60));
    script.go_on("f=R, L –, L R x2");
    assert_eq!(script.delivered(), "F* R*");
    // What would have been no news asks for nothing.
    let mut script = Script::new().run("L F, f D");
    let due = script.due();
    script.observe_at(
        Evidence::Listed(OrderState::new(&status("F"), &files)),
        asked,
    );
    assert_eq!(script.due(), due);
    // A listing that was begun before the return does not confirm it.
    let mut script = Script::new().run("L F{a}");
    let asked = script.revision;
    script.go_on("ret");
    script.observe_at(Evidence::Absent, asked);
    assert!(script.record.is_return_open());
    script.observe_at(Evidence::Fetched(OrderState::new(&modeling, &files)), asked);
    assert_eq!(script.symbols(), "F S!");
}

#[test]
fn a_404_ends_no_watch() {
    let mut script = Script::new().run("L R, f I, f=404, L – x18");
    assert!(script.record.is_not_found());
    script.go_on("f=R, L – x600, L R x2");
    assert_eq!(script.delivered(), "R* R*");
    assert!(!script.record.is_not_found());
}

#[test]
fn what_is_given_up_is_said_and_comes_back() {
    let mut script = Script::new().run("L R, f I, f=I");
    for _ in 0..100 {
        script.go_on("+24h, L –");
    }
    assert!(script.record.schedule().is_given_up());
    assert_eq!(script.problems, [ProblemKind::GivenUp]);
    assert_eq!(script.fetches, 1 + 76);
    assert_eq!(script.due(), None);
    // A hint is one fetch; a forged one begins no watch.
    script.go_on("N, L – x50");
    assert_eq!(script.fetches, 1 + 77);
    assert!(script.record.schedule().is_given_up());
    script.go_on("f=R, L R x2");
    assert_eq!(script.delivered(), "R* R*");
}

#[test]
fn a_fetch_that_fails_is_delayed_by_a_day_at_most() {
    let mut script = Script::new().run("L R, f=!, N");
    script.go_on("L – x4032");
    // Two weeks: the delay doubles from one poll to a day.
    assert!((15..40).contains(&script.fetches), "{}", script.fetches);
    let due = script.due().unwrap();
    assert!(due.duration_since(script.now).unwrap() <= Duration::from_secs(86_400));
}

#[test]
fn a_flood_of_hints_is_a_bounded_number_of_fetches() {
    let mut script = Script::new().run("f=F, L F");
    for _ in 0..288 {
        script.go_on("N x50, L F");
    }
    assert!(script.fetches < 40, "{}", script.fetches);
}

#[test]
fn forged_hints_do_not_use_up_a_watch() {
    let mut script = Script::new().run("L R, f I, f=I");
    for _ in 0..300 {
        script.go_on("+1h, N, L –");
    }
    assert!(script.fetches > 200);
    assert!(!script.record.schedule().is_given_up());
}

#[test]
fn a_clock_a_year_ahead_for_a_while_delays_by_no_year() {
    let mut script = Script::new().run("L R, f I, f=I, L – x3");
    let year = Duration::from_secs(365 * 86_400);
    script.now += year;
    script.go_on("L – x3");
    script.now -= year;
    let fetches = script.fetches;
    script.go_on("L – x15");
    assert!(script.fetches > fetches);
}

#[test]
fn a_listing_with_fewer_files_than_a_fetch_delivers_once() {
    let mut script = Script::new();
    for _ in 0..50 {
        script.go_on("L F{a}, f F{a,b,c}");
    }
    assert_eq!(script.delivered(), "F*");
}

#[test]
fn an_order_that_stays_out_of_incomplete_listings_is_fetched() {
    let mut script = Script::new().run("f=S, L F");
    assert!(script.record.is_expected_in_listings());
    script.go_on("L x x280");
    assert_eq!(script.due(), None);
    script.go_on("L x x60");
    // Hourly: then as an order with the doctor.
    assert_eq!((script.fetches, &*script.symbols()), (4, "F S"));
    // It is listed again in what it was listed in before: a fetch tells.
    script.go_on("f=F, L F x2");
    assert_eq!(script.delivered(), "F* F*");
    assert_eq!(script.due(), None);
}

#[test]
fn nothing_is_recorded_of_an_order_that_was_never_seen() {
    for step in ["L –", "f 404", "f !", "N", "ret"] {
        let script = Script::new().run(step);
        assert!(script.record.is_new() && script.due().is_none(), "{step}");
        assert_eq!(script.revision, 0);
    }
}

#[test]
fn the_same_status_again_after_another_is_another_delivery() {
    assert_eq!(
        deliveries("f=L, L F x3, L – x3, L F x3, L R x3, L F x3"),
        "F* F* R* F*"
    );
    let script = Script::new().run("f=M, L F, L – x2, f=R, L R x2, f=I, L – x2, f=R, L R x4");
    assert_eq!(script.symbols(), "F M R I R");
}

#[test]
fn a_return_is_confirmed_by_what_the_service_shows() {
    let mut script = Script::new().run("L R, ret, L R");
    assert!(script.record.is_return_open());
    script.go_on("f S");
    assert!(!script.record.is_return_open());
    assert_eq!(script.symbols(), "R S!");
    script.go_on("L –, L R x9");
    assert_eq!(script.delivered(), "R* R*");
}

/// Found by random worlds, and cut to what matters.
mod found_by_worlds {
    use super::*;

    #[test]
    fn weak_news_in_between_does_not_wipe_out_absences() {
        let steps = "L Klar x3, L F x3, L Klar x3, L – x9, L F, L Klar x9";
        assert_eq!(deliveries(steps), "Klar*? F* Klar*? Klar*?");
    }

    #[test]
    fn weak_news_of_one_view_does_not_stand_in_the_way_of_the_other() {
        let script = Script::new().run("L F, f M, f D, L –, f M, L F x3");
        assert_eq!(script.delivered(), "F* F*");
        assert_eq!(script.symbols(), "F M D F");
    }

    #[test]
    fn a_view_that_lags_behind_and_shows_other_files_has_news() {
        assert_eq!(deliveries("L F{a}, f D, L F{b} x3"), "F* F*");
        assert_eq!(deliveries("L F{a}, f D, L F{a} x3"), "F*");
    }

    #[test]
    fn a_fetch_stands_alone_while_an_incomplete_listing_lacks_the_order() {
        let steps = "L R{a}, f S, L R{b} x2, L x, f S, f S, L R{b}, f R, L R{b} x3";
        assert_eq!(deliveries(steps), "R* R* R*");
    }

    #[test]
    fn files_that_are_taken_for_part_of_an_arrival_cause_a_fetch() {
        let steps = "L F{a}, L –, f S, f F{b}, f F{b}, f=F{b,c}, L F{c} x9";
        assert_eq!(deliveries(steps), "F* F* F*?");
        let steps = "L F{a}, L –, f S, f F{b}, f F{b}, f=F{b}, L F{b} x9";
        assert_eq!(deliveries(steps), "F* F*");
    }

    #[test]
    fn a_view_that_is_not_behind_has_news_of_its_own() {
        let steps = "L F{a:1}, f S, f F{a:1}, L F{a:1} x5, L F{a:2} x9";
        assert_eq!(deliveries(steps), "F* F* F*?");
    }

    #[test]
    fn a_fetch_that_contradicts_the_one_before_is_made_once_more() {
        let mut script = Script::new().run("L F{a}, f F{a}, f F{b}");
        assert!(script.due().is_some());
        script.go_on("f F{a}");
        assert!(script.due().is_some());
        script.go_on("f F{a}");
        assert_eq!(script.due(), None);
        assert_eq!(script.problems, [ProblemKind::NotAgreed]);
    }

    #[test]
    fn reasons_that_come_and_go_do_not_begin_the_intervals_anew() {
        let mut script = Script::new().run("f=404, L F");
        for poll in 0..340 {
            script.go_on(&format!("L –, L F{{a:{poll}}}"));
        }
        assert!(script.fetches < 340 * 2 / 4, "{}", script.fetches);
    }
}
