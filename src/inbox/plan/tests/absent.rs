//! Orders that drop out of the listing and that are watched.

use super::*;

// Dropped out.

#[test]
fn an_order_missing_from_a_complete_listing_is_fetched() {
    let mut order = Order::new();
    order.listed(1, R);
    assert_eq!(order.missing(2).next(), Next::Fetch);
    assert_eq!(order.record.missing_since(), Some(minute(2)));
    // Still owed, as long as no fetch came.
    let step = order.missing(3);
    assert!(step.is_unchanged());
    assert_eq!(step.next(), Next::Fetch);
    order.fetched(4, I);
    assert_eq!(order.letters(), "RI");
    assert_eq!(order.record.missing_since(), None);
}

#[test]
fn an_order_that_is_not_expected_in_the_listing_is_not_missing() {
    let mut order = Order::new();
    assert!(order.missing(1).is_unchanged());
    order.listed(2, F);
    order.fetched(3, D);
    let step = order.missing(4);
    assert!(step.is_unchanged());
    assert_eq!(step.next(), Next::Nothing);
}

#[test]
fn a_listing_that_flickers_records_nothing_and_costs_no_fetch_each_time() {
    let mut order = Order::new();
    order.listed(1, F);
    order.missing(2);
    let step = order.fetched(3, F);
    assert_eq!(step.arrivals().count(), 0);
    assert_eq!(step.next(), Next::LookAgain(minute(63)));
    // The listing goes on without it: no more fetches than the watch makes.
    let step = order.missing(4);
    assert!(step.is_unchanged());
    assert_eq!(step.next(), Next::LookAgain(minute(63)));
    let step = order.listed(5, F);
    assert_eq!(step.arrivals().count(), 0);
    assert_eq!(step.next(), Next::Nothing);
    assert_eq!(order.letters(), "F");
}

#[test]
fn an_order_that_is_gone_is_recorded_as_gone() {
    let mut order = Order::new();
    order.listed(1, F);
    order.missing(2);
    let step = order.see(Observation::gone(minute(3)));
    assert_eq!(step.arrivals().count(), 0);
    assert_eq!(step.next(), Next::Nothing);
    assert_eq!(order.record.gone_since(), Some(minute(3)));
    assert_eq!(order.missing(4).next(), Next::Nothing);
    // It comes back as it was: no status lay between.
    assert_eq!(numbers(&order.listed(5, F)), NONE);
    assert_eq!(order.record.gone_since(), None);
    assert!(order.see(Observation::gone(minute(4))).is_unchanged());
    assert_eq!(order.letters(), "F");
}

#[test]
fn an_order_that_was_gone_is_watched_again_if_it_was() {
    let mut order = Order::new();
    order.fetched(1, M);
    assert_eq!(
        order.see(Observation::gone(minute(2))).next(),
        Next::Nothing
    );
    assert_eq!(order.fetched(10, M).next(), Next::LookAgain(minute(70)));
    let mut order = Order::new();
    order.listed(1, F);
    order.returned(2);
    assert_eq!(
        order.see(Observation::gone(minute(3))).next(),
        Next::Nothing
    );
    // The listing lags behind: we know it is with the doctor.
    assert_eq!(order.listed(10, F).next(), Next::LookAgain(minute(70)));
}

// Watched.

#[test]
fn orders_with_align_or_the_doctor_are_watched_until_they_are_listed_or_finished() {
    let mut order = Order::new();
    let mut watched = Vec::new();
    for (at, status) in [(1, F), (2, M), (3, R), (4, I)] {
        watched.push(order.fetched(at, status).next() != Next::Nothing);
    }
    assert_eq!(watched, [false, true, false, true]);
    assert_ne!(order.fetched(5, "Ready to Ship").next(), Next::Nothing);
    assert_eq!(order.fetched(6, D).next(), Next::Nothing);
    assert!(order.record.reading().stages().contains(Stage::Finished));
    // The first scan is nothing to wait for: it will be listed.
    assert_eq!(Order::new().fetched(1, S).next(), Next::Nothing);
    let mut returned = Order::new();
    returned.listed(1, F);
    assert_eq!(returned.returned(2).next(), Next::LookAgain(minute(62)));
}

#[test]
fn a_model_that_was_downloaded_for_review_is_watched_since_milling_may_follow() {
    let mut order = Order::new();
    order.listed(1, R);
    assert_eq!(order.fetched(2, D).next(), Next::LookAgain(minute(62)));
    // Proceed was clicked afterwards: quiet, and seen all the same.
    assert_ne!(order.fetched(62, I).next(), Next::Nothing);
    // Where modeling or a rescan follows the listing will tell.
    let mut scan = Order::new();
    scan.listed(1, F);
    assert_eq!(scan.fetched(2, D).next(), Next::Nothing);
    let mut spared = Order::new();
    spared.policy.watch_reviewed = false;
    spared.listed(1, R);
    assert_eq!(spared.fetched(2, D).next(), Next::Nothing);
}

#[test]
fn a_watched_order_is_looked_at_less_and_less_often_and_not_for_ever() {
    let mut order = Order::new();
    order.listed(1, R);
    let mut step = order.fetched(2, I);
    let mut looks = Vec::new();
    while let Next::LookAgain(time) = step.next() {
        looks.push(time);
        step = order.see(Observation::fetched(
            &OrderStatus::IteroMilling,
            &Fingerprint::none(),
            time,
        ));
    }
    assert_eq!(looks.len(), 75);
    assert_eq!(looks[0], minute(62));
    assert!(looks[74] >= minute(2) + order.policy.watch_for);
    let intervals: Vec<_> = looks
        .windows(2)
        .map(|w| policy::since(w[1], w[0]))
        .collect();
    assert!(intervals.is_sorted());
    // What happens then is still recorded, and watched again.
    let at = 200 * 24 * 60;
    assert_ne!(order.fetched(at, "Ready to Ship").next(), Next::Nothing);
}

#[test]
fn an_unknown_status_does_not_end_the_watch() {
    let mut order = Order::new();
    order.fetched(1, M);
    assert_ne!(order.fetched(2, "On hold").next(), Next::Nothing);
}

#[test]
fn jitter_puts_a_look_off() {
    let mut order = Order::new();
    let step = order
        .see(Observation::fetched(&M.into(), &Fingerprint::none(), minute(1)).jitter(u32::MAX));
    assert_eq!(step.next(), Next::LookAgain(minute(73)));
}

#[test]
fn an_earlier_look_that_comes_later_brings_no_look_forward() {
    let mut order = Order::new();
    order.fetched(1, M);
    order.fetched(30, M);
    assert!(order.fetched(20, M).is_unchanged());
    assert_eq!(
        order.record.next_fetch().map(|due| due.at),
        Some(minute(90))
    );
}

#[test]
fn an_order_that_nobody_knows_is_not_recorded_because_it_is_gone() {
    let mut order = Order::new();
    assert!(order.see(Observation::gone(minute(2))).is_unchanged());
}
