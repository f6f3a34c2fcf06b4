//! Histories that the service gives, and imported ones.

use super::*;

// A history that the service gives.

fn reported(history: &[(&str, u64)]) -> Vec<Arrival> {
    let arrivals = history.iter();
    arrivals
        .map(|(status, at)| Arrival::new(*status).at(minute(*at)))
        .collect()
}

#[test]
fn a_given_history_fills_the_gap_since_the_last_sight() {
    let mut order = Order::new();
    order.listed(10, F);
    let history = reported(&[(F, 9), (D, 20), (S, 100), (F, 200), (M, 300)]);
    let step = order.told(400, &history);
    assert_eq!(numbers(&step), [2]);
    assert_eq!(order.letters(), "FDSFM");
    let step = order.listed(500, R);
    assert_eq!(numbers(&step), [3]);
}

#[test]
fn a_given_history_without_times_is_laid_against_the_last_sight_of_the_status() {
    let mut order = Order::new();
    order.listed(10, F);
    let history: Vec<Arrival> = [F, D, M].map(Arrival::new).into();
    assert_eq!(order.told(20, &history).arrivals().count(), 2);
    let history: Vec<Arrival> = [F, D, M, R, D, M].map(Arrival::new).into();
    assert!(order.told(30, &history).is_unchanged());
}

#[test]
fn a_given_history_never_numbers_a_delivery_twice() {
    let mut order = Order::new();
    order.listed_with(10, F, &files(&[1]));
    order.listed_with(200, F, &files(&[2]));
    // The service's clock is ahead, then behind.
    for history in [
        reported(&[(F, 13), (S, 100), (F, 203)]),
        reported(&[(F, 7), (S, 90), (F, 190)]),
        vec![Arrival::new(F)],
        vec![],
    ] {
        assert!(order.told(300, &history).is_unchanged());
    }
    assert_eq!(order.letters(), "FF");
}

#[test]
fn a_given_history_that_lags_behind_takes_nothing_back() {
    let mut order = Order::new();
    order.listed(10, R);
    order.fetched(20, I);
    order.listed(60, R);
    for history in [reported(&[(M, 1), (R, 9), (I, 19)]), reported(&[(M, 1)])] {
        assert!(order.told(70, &history).is_unchanged());
    }
    assert_eq!(numbers(&order.listed(80, R)), NONE);
}

#[test]
fn a_given_history_shows_the_return_once() {
    let mut order = Order::new();
    order.listed(10, F);
    order.returned(50);
    // As far as the service knows; then with the return; then with what followed.
    order.told(60, &reported(&[(F, 9), (D, 30)]));
    assert_eq!(order.letters(), "FS");
    order.told(70, &reported(&[(F, 9), (D, 30), (S, 49)]));
    assert_eq!(order.letters(), "FS");
    let step = order.told(200, &reported(&[(F, 9), (D, 30), (S, 49), (F, 150)]));
    assert_eq!(numbers(&step), [2]);
    assert_eq!(order.letters(), "FSF");
}

#[test]
fn a_given_history_without_times_shows_the_return_once() {
    let mut order = Order::new();
    order.listed(10, F);
    order.returned(50);
    for history in [vec![F, D], vec![F, D, S], vec![F, D, S]] {
        let history: Vec<_> = history.into_iter().map(Arrival::new).collect();
        order.told(60, &history);
        assert_eq!(order.letters(), "FS");
    }
    assert_eq!(order.record.returned(), None);
}

#[test]
fn a_given_history_loses_no_delivery_between_two_returns() {
    let mut order = Order::new();
    order.listed(10, F);
    order.returned(50);
    let step = order.told(300, &reported(&[(F, 9), (S, 49), (F, 100), (S, 200)]));
    assert_eq!(numbers(&step), [2]);
    assert_eq!(order.letters(), "FSFS");
}

#[test]
fn a_given_history_by_a_clock_far_ahead_numbers_nothing_twice() {
    let mut order = Order::new();
    order.listed(10, F);
    assert_eq!(
        numbers(&order.told(20, &reported(&[(F, 70), (M, 75)]))),
        NONE
    );
    assert_eq!(order.letters(), "FM");
}

#[test]
fn a_given_history_is_laid_against_an_imported_one_without_times() {
    let mut order = Order::new();
    order.record = Record::imported(History::partial([F]));
    let step = order.told(20, &reported(&[(F, 1), (M, 5), (R, 15)]));
    assert_eq!(numbers(&step), [2]);
    assert_eq!(order.letters(), "FMR");
}

#[test]
fn a_given_history_is_laid_against_when_the_answer_was_complete() {
    let mut order = Order::new();
    order.see(
        Observation::listed(&F.into(), &Fingerprint::none(), minute(10)).completed(minute(30)),
    );
    assert_eq!(
        numbers(&order.told(40, &reported(&[(S, 1), (F, 20)]))),
        NONE
    );
    assert_eq!(order.letters(), "F");
}

#[test]
fn a_given_history_says_when_one_status_came_twice() {
    let mut order = Order::new();
    order.listed(10, F);
    let step = order.told(300, &reported(&[(F, 9), (F, 200), (F, 203)]));
    assert_eq!(numbers(&step), [2]);
}

#[test]
fn a_given_history_of_an_older_order_is_its_past_and_only_its_present_is_work() {
    let mut order = Order::new();
    order.coverage = ListingCoverage::new();
    let step = order.told(
        300,
        &reported(&[(F, 1), (D, 20), (S, 100), (F, 200), (F, 201)]),
    );
    assert_eq!(numbers(&step), [2]);
    assert!(!order.record.history().is_complete());
    assert_eq!(numbers(&order.fetched(301, F)), NONE);
    // Without times too.
    let mut order = Order::new();
    order.coverage = ListingCoverage::new();
    let history: Vec<Arrival> = [R, F, F].map(Arrival::new).into();
    assert_eq!(numbers(&order.told(300, &history)), [2]);
    // Known from its beginning, it was all missed, and all of it is work.
    let mut order = Order::new();
    let history = reported(&[(S, 1), (F, 20), (M, 30), (R, 40)]);
    assert_eq!(numbers(&order.told(50, &history)), [1, 2]);
    assert!(order.record.history().is_complete());
}

// Imported.

#[test]
fn imported_arrivals_keep_their_ordinals_and_are_never_handed_out() {
    let mut order = Order::new();
    order.record = Record::imported(History::complete([F, D, F]));
    assert!(!order.record.history().is_complete());
    assert_eq!(order.record.deliveries(), 2);
    assert!(
        order
            .record
            .history()
            .deliveries()
            .all(|d| !d.is_handed_out())
    );
    assert_eq!(numbers(&order.listed(1, F)), NONE);
    assert_eq!(numbers(&order.listed(2, R)), [3]);
    order.told(3, &reported(&[(F, 0)]));
    assert_eq!(order.letters(), "FDFR");
}

#[test]
fn an_imported_order_that_is_not_listed_any_more_is_fetched() {
    let mut order = Order::new();
    order.record = Record::imported(History::partial([F]));
    assert_eq!(order.missing(1).next(), Next::Fetch);
}
