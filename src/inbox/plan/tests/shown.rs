//! What the service showed, and in which order.

use super::*;

// What the service showed.

#[test]
fn a_shown_status_that_differs_from_the_last_shown_is_an_arrival() {
    let mut order = Order::new();
    assert_eq!(numbers(&order.listed(1, F)), [1]);
    let step = order.fetched(2, D);
    let recorded: Vec<_> = step.arrivals().map(|a| (a.index(), a.ordinal())).collect();
    assert_eq!(recorded, [(1, None)]);
    assert_eq!(numbers(&step), NONE);
    let step = order.listed(3, R);
    let recorded: Vec<_> = step.arrivals().map(|a| (a.index(), a.ordinal())).collect();
    assert_eq!(recorded, [(2, Some(2))]);
    assert_eq!(numbers(&step), [2]);
    assert_eq!(order.letters(), "FDR");
    let arrivals = order.record.history().arrivals().iter();
    let origins: Vec<_> = arrivals.map(Arrival::origin).collect();
    assert_eq!(
        origins,
        [Origin::Listing, Origin::Fetched, Origin::Listing].map(Some)
    );
    assert_eq!(
        order.record.history().last().and_then(Arrival::time),
        Some(minute(3))
    );
}

#[test]
fn statuses_of_the_same_symbol_are_different_statuses() {
    let mut order = Order::new();
    for (at, status) in ["Rx Created", "Scanning", "Sending", "Sent"]
        .iter()
        .enumerate()
    {
        assert_eq!(order.fetched(at as u64 + 1, status).arrivals().count(), 1);
    }
    assert_eq!(order.letters(), "SSSS");
}

#[test]
fn the_same_status_again_is_no_arrival_and_nothing_to_store() {
    let mut order = Order::new();
    order.listed_with(1, F, &files(&[1, 2]));
    for at in 2..50 {
        let step = order.listed_with(at, "READY_FOR_DOWNLOAD", &files(&[1, 2]));
        assert!(step.is_unchanged());
        assert_eq!(step.next(), Next::Nothing);
    }
}

#[test]
fn the_same_status_is_an_arrival_if_the_files_changed() {
    let mut order = Order::new();
    order.listed_with(1, F, &files(&[1, 2]));
    assert_eq!(numbers(&order.listed_with(2, F, &files(&[1, 3]))), [2]);
    // One more, one less.
    assert_eq!(numbers(&order.listed_with(3, F, &files(&[1]))), [3]);
    assert_eq!(numbers(&order.listed_with(4, F, &files(&[1, 3]))), [4]);
    assert_eq!(order.letters(), "FFFF");
    assert_eq!(
        order.record.reading().scenario(),
        Some(Scenario::AfterRescan)
    );
}

#[test]
fn an_absent_part_never_differs_and_is_learned_when_it_comes() {
    let mut order = Order::new();
    order.listed(1, F);
    // A listing without assets, then a fetch with them: the same delivery, better known.
    let step = order.fetched_with(2, F, &files(&[1, 2]));
    assert!(step.record().is_some() && step.arrivals().count() == 0);
    assert!(order.listed(3, F).is_unchanged());
    let ids: Fingerprint = ["scan", "gallery"].map(File::new).into_iter().collect();
    assert!(order.listed_with(4, F, &ids).is_unchanged());
    // What was learned is compared, although the last answer did not carry it.
    assert_eq!(numbers(&order.fetched_with(5, F, &files(&[1, 9]))), [2]);
}

#[test]
fn the_files_of_an_earlier_arrival_are_not_held_against_a_later_one() {
    let mut order = Order::new();
    order.fetched_with(1, F, &files(&[1]));
    order.fetched(2, S);
    assert_eq!(numbers(&order.listed(3, F)), [2]);
    assert_eq!(numbers(&order.fetched_with(4, F, &files(&[2]))), NONE);
}

#[test]
fn without_fingerprints_a_repeat_is_an_arrival_only_if_another_status_lay_between() {
    let mut order = Order::new();
    order.listed(1, R);
    assert_eq!(numbers(&order.listed(2, R)), NONE);
    order.fetched(3, I);
    assert_eq!(numbers(&order.listed(4, R)), [2]);
    // One that says nothing about the flow lies between as well.
    order.fetched(5, "Completed");
    assert_eq!(numbers(&order.listed(6, R)), [3]);
}

#[test]
fn without_fingerprints_an_absence_counts_only_if_a_fetch_shows_another_status() {
    let mut order = Order::new();
    order.listed(1, F);
    assert_eq!(order.missing(2).next(), Next::Fetch);
    // The fetch failed; the listing has it again.
    assert_eq!(numbers(&order.listed(3, F)), NONE);
    assert_eq!(order.missing(4).next(), Next::Fetch);
    order.fetched(5, D);
    assert_eq!(numbers(&order.listed(6, F)), [2]);
}

#[test]
fn a_status_without_a_symbol_is_recorded_and_changes_no_reading() {
    let mut order = Order::new();
    order.listed(1, F);
    let before = order.record.reading();
    assert_eq!(order.fetched(2, "Lost in Transit").arrivals().count(), 1);
    assert!(order.fetched(3, "LOST-IN-TRANSIT").is_unchanged());
    assert_eq!(order.letters(), "F?");
    assert_eq!(order.record.reading(), before);
}

// Lag and answers out of order.

#[test]
fn an_answer_begun_before_what_is_recorded_was_complete_says_nothing() {
    let mut order = Order::new();
    order.listed(1, F);
    order
        .see(Observation::fetched(&D.into(), &Fingerprint::none(), minute(5)).completed(minute(8)));
    for at in [4, 7] {
        assert!(order.listed(at, F).is_unchanged());
        assert!(order.missing(at).is_unchanged());
        assert!(order.see(Observation::gone(minute(at))).is_unchanged());
    }
    assert_eq!(numbers(&order.listed(8, F)), [2]);
}

#[test]
fn files_learned_from_one_answer_are_not_held_against_one_begun_before() {
    let mut order = Order::new();
    order.listed(1, F);
    order.see(Observation::fetched(&F.into(), &files(&[2]), minute(5)).completed(minute(6)));
    assert!(order.fetched_with(4, F, &files(&[1])).is_unchanged());
    assert!(order.fetched_with(6, F, &files(&[2])).is_unchanged());
}

#[test]
fn a_clock_that_was_set_back_does_not_blind_the_plan() {
    let mut order = Order::new();
    order.listed(100_000, F);
    let step = order.fetched(10, D);
    assert_eq!(order.letters(), "FD");
    assert!(step.arrivals().all(|a| a.arrival().is_late()));
    assert_eq!(numbers(&order.listed(11, F)), [2]);
}
