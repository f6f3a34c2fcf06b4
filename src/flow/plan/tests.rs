//! The rules, one by one. `walk` plays them against each other.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::OrderStatus;
use crate::flow::{Arrival, History, Origin, Scenario, Stage};

const F: &str = "Ready for Download";
const R: &str = "Lab Review";
const S: &str = "Scanning";
const D: &str = "Downloaded";
const M: &str = "iTero Modeling";
const I: &str = "iTero Milling";

const NONE: [u32; 0] = [];

fn minute(n: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 60 * n)
}

fn day(n: u64) -> SystemTime {
    minute(24 * 60 * n)
}

/// Files whose sizes the answer gives.
fn files(sizes: &[u64]) -> Fingerprint {
    let names = ["gallery", "scan"];
    names
        .iter()
        .zip(sizes)
        .map(|(name, size)| File::new(*name).size(*size))
        .collect()
}

/// One order, of an account that is listed without a gap.
struct Order {
    record: Record,
    policy: Policy,
    epoch: Epoch,
}

impl Order {
    /// Seen from its beginning on: the account is old enough to know.
    fn new() -> Self {
        let policy = Policy::default();
        let epoch = Epoch::new()
            .listed(day(0) - Duration::from_secs(100 * 86_400), &policy)
            .listed(day(0), &policy);
        // The gap between the two listings ended before the order was first seen.
        Order {
            record: Record::new(),
            policy,
            epoch,
        }
    }

    fn see(&mut self, seen: Observation<'_>) -> Step {
        let step = observe(&self.record, &seen, &self.policy, &self.epoch);
        if let Some(record) = step.record() {
            self.record = record.clone();
        }
        let again = observe(&self.record, &seen, &self.policy, &self.epoch);
        assert!(again.is_unchanged(), "{seen:?} changed something twice");
        assert_eq!(again.deliveries().count(), 0);
        step
    }

    fn listed(&mut self, at: u64, status: &str) -> Step {
        self.listed_with(at, status, &Fingerprint::none())
    }

    fn listed_with(&mut self, at: u64, status: &str, files: &Fingerprint) -> Step {
        self.see(Observation::listed(&status.into(), files, minute(at)))
    }

    fn fetched(&mut self, at: u64, status: &str) -> Step {
        self.fetched_with(at, status, &Fingerprint::none())
    }

    fn fetched_with(&mut self, at: u64, status: &str, files: &Fingerprint) -> Step {
        self.see(Observation::fetched(&status.into(), files, minute(at)))
    }

    fn missing(&mut self, at: u64) -> Step {
        self.see(Observation::missing(minute(at)))
    }

    fn returned(&mut self, at: u64) -> Step {
        self.see(Observation::returned(minute(at)))
    }

    fn told(&mut self, at: u64, history: &[Arrival]) -> Step {
        self.see(Observation::told(history, minute(at)))
    }

    /// The letters of the history; `?` for a status without one.
    fn letters(&self) -> String {
        let arrivals = self.record.history().arrivals().iter();
        arrivals
            .map(|a| a.status().symbol().map_or("?", |symbol| symbol.as_str()))
            .collect()
    }
}

fn numbers(step: &Step) -> Vec<u32> {
    step.deliveries().map(|d| d.ordinal()).collect()
}

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

// Own actions.

#[test]
fn a_returned_scan_is_a_provisional_s() {
    let mut order = Order::new();
    order.listed(1, F);
    let step = order.returned(5);
    assert_eq!(numbers(&step), NONE);
    assert_eq!(order.letters(), "FS");
    assert_eq!(
        order.record.history().last().and_then(Arrival::origin),
        Some(Origin::OwnAction)
    );
    assert!(order.record.reading().stages().contains(Stage::WithDoctor));
    assert_eq!(order.record.returned(), Some(minute(5)));
    assert_eq!(order.record.shown(), Some(&OrderStatus::ReadyForDownload));
}

#[test]
fn a_returned_scan_that_the_service_then_shows_is_no_second_arrival() {
    let mut order = Order::new();
    order.listed(1, F);
    order.returned(5);
    let step = order.fetched(6, "Scanning (For the Dr)");
    assert_eq!(step.arrivals().count(), 0);
    assert_eq!(order.letters(), "FS");
    assert_eq!(order.record.returned(), None);
    assert_eq!(numbers(&order.listed(7, F)), [2]);
    assert_eq!(order.letters(), "FSF");
}

#[test]
fn an_answer_begun_before_an_own_action_completed_never_overrides_it() {
    let mut order = Order::new();
    order.listed_with(1, F, &files(&[1]));
    order.returned(5);
    assert!(order.listed_with(4, F, &files(&[2])).is_unchanged());
    assert!(order.listed(4, R).is_unchanged());
    assert!(order.fetched(4, D).is_unchanged());
    assert_eq!(order.letters(), "FS");
}

#[test]
fn a_mark_never_turns_a_status_that_lags_behind_into_an_arrival() {
    let mut order = Order::new();
    order.listed_with(1, F, &files(&[1]));
    order.returned(5);
    for at in [6, 7] {
        assert!(order.listed_with(at, F, &files(&[1])).is_unchanged());
        assert_eq!(order.fetched(at, F).arrivals().count(), 0);
    }
    assert_eq!(order.letters(), "FS");
    assert_eq!(order.record.returned(), Some(minute(5)));
    // Other files are a rescan that was too quick to be seen with the doctor.
    assert_eq!(numbers(&order.listed_with(8, F, &files(&[2]))), [2]);
    assert_eq!(order.letters(), "FSF");
}

#[test]
fn an_order_that_is_with_the_doctor_already_is_not_twice_there() {
    let mut order = Order::new();
    order.fetched(1, S);
    order.returned(5);
    order.returned(6);
    order.fetched(7, S);
    assert_eq!(order.letters(), "S");
}

#[test]
fn a_return_that_is_reported_late_does_not_undo_what_the_service_showed_since() {
    let mut order = Order::new();
    order.listed(1, F);
    order.fetched(500, S);
    order.listed(600, F);
    order.returned(300);
    assert_eq!(order.letters(), "FSF");
    assert_eq!(order.record.returned(), None);
}

#[test]
fn a_finished_download_is_noted_and_d_comes_from_the_service() {
    let mut order = Order::new();
    order.listed(1, F);
    let step = order.see(Observation::downloaded(1, minute(4)));
    assert_eq!(step.arrivals().count(), 0);
    assert_eq!(order.record.downloaded(), Some(1));
    assert!(order.listed(5, F).is_unchanged());
    assert_eq!(order.fetched(6, D).arrivals().count(), 1);
    assert_eq!(order.letters(), "FD");
    // A delivery that does not exist was not downloaded.
    assert!(
        order
            .see(Observation::downloaded(2, minute(7)))
            .is_unchanged()
    );
}

#[test]
fn a_download_hides_no_delivery_that_was_listed_meanwhile() {
    let mut order = Order::new();
    order.listed_with(1, F, &files(&[1]));
    order.see(Observation::downloaded(1, minute(9)));
    assert_eq!(numbers(&order.listed_with(5, F, &files(&[2]))), [2]);
    assert_eq!(order.record.downloaded(), Some(1));
}

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
    order.fetched(2, D);
    let step = order.missing(3);
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
    assert_eq!(order.record.next_look(), Some(minute(90)));
}

// Notifications.

#[test]
fn a_notification_makes_the_software_fetch_and_changes_nothing() {
    let mut order = Order::new();
    for at in [1, 1, 0] {
        let step = order.see(Observation::notified(minute(at)));
        assert!(step.is_unchanged());
        assert_eq!(step.next(), Next::Fetch);
    }
    // Forged: the service does not know the order, and we go on not knowing it.
    assert!(order.see(Observation::gone(minute(2))).is_unchanged());
    order.listed(3, F);
    assert_eq!(
        order.see(Observation::notified(minute(1))).next(),
        Next::Fetch
    );
    assert_eq!(order.letters(), "F");
}

// A history that the service gives.

fn told(history: &[(&str, u64)]) -> Vec<Arrival> {
    let arrivals = history.iter();
    arrivals
        .map(|(status, at)| Arrival::new(*status).at(minute(*at)))
        .collect()
}

#[test]
fn a_given_history_fills_the_gap_since_the_last_sight() {
    let mut order = Order::new();
    order.listed(10, F);
    let history = told(&[(F, 9), (D, 20), (S, 100), (F, 200), (M, 300)]);
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
        told(&[(F, 13), (S, 100), (F, 203)]),
        told(&[(F, 7), (S, 90), (F, 190)]),
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
    for history in [told(&[(M, 1), (R, 9), (I, 19)]), told(&[(M, 1)])] {
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
    order.told(60, &told(&[(F, 9), (D, 30)]));
    assert_eq!(order.letters(), "FS");
    order.told(70, &told(&[(F, 9), (D, 30), (S, 49)]));
    assert_eq!(order.letters(), "FS");
    let step = order.told(200, &told(&[(F, 9), (D, 30), (S, 49), (F, 150)]));
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
    let step = order.told(300, &told(&[(F, 9), (S, 49), (F, 100), (S, 200)]));
    assert_eq!(numbers(&step), [2]);
    assert_eq!(order.letters(), "FSFS");
}

#[test]
fn a_given_history_by_a_clock_far_ahead_numbers_nothing_twice() {
    let mut order = Order::new();
    order.listed(10, F);
    assert_eq!(numbers(&order.told(20, &told(&[(F, 70), (M, 75)]))), NONE);
    assert_eq!(order.letters(), "FM");
}

#[test]
fn a_given_history_is_laid_against_an_imported_one_without_times() {
    let mut order = Order::new();
    order.record = Record::imported(History::partial([F]));
    let step = order.told(20, &told(&[(F, 1), (M, 5), (R, 15)]));
    assert_eq!(numbers(&step), [2]);
    assert_eq!(order.letters(), "FMR");
}

#[test]
fn a_given_history_is_laid_against_when_the_answer_was_complete() {
    let mut order = Order::new();
    order.see(
        Observation::listed(&F.into(), &Fingerprint::none(), minute(10)).completed(minute(30)),
    );
    assert_eq!(numbers(&order.told(40, &told(&[(S, 1), (F, 20)]))), NONE);
    assert_eq!(order.letters(), "F");
}

#[test]
fn a_given_history_says_when_one_status_came_twice() {
    let mut order = Order::new();
    order.listed(10, F);
    let step = order.told(300, &told(&[(F, 9), (F, 200), (F, 203)]));
    assert_eq!(numbers(&step), [2]);
}

#[test]
fn a_given_history_of_an_older_order_is_its_past_and_only_its_present_is_work() {
    let mut order = Order::new();
    order.epoch = Epoch::new();
    let step = order.told(300, &told(&[(F, 1), (D, 20), (S, 100), (F, 200), (F, 201)]));
    assert_eq!(numbers(&step), [2]);
    assert!(!order.record.history().is_complete());
    assert_eq!(numbers(&order.fetched(301, F)), NONE);
    // Without times too.
    let mut order = Order::new();
    order.epoch = Epoch::new();
    let history: Vec<Arrival> = [R, F, F].map(Arrival::new).into();
    assert_eq!(numbers(&order.told(300, &history)), [2]);
    // Known from its beginning, it was all missed, and all of it is work.
    let mut order = Order::new();
    let history = told(&[(S, 1), (F, 20), (M, 30), (R, 40)]);
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
    order.told(3, &told(&[(F, 0)]));
    assert_eq!(order.letters(), "FDFR");
}

#[test]
fn an_imported_order_that_is_not_listed_any_more_is_fetched() {
    let mut order = Order::new();
    order.record = Record::imported(History::partial([F]));
    assert_eq!(order.missing(1).next(), Next::Fetch);
}

// Complete or partial.

#[test]
fn what_stood_in_the_first_good_listing_is_partial() {
    let policy = Policy::default();
    for epoch in [Epoch::new(), Epoch::new().listed(day(1), &policy)] {
        assert!(epoch.is_partial(day(1), None, &policy));
        assert!(epoch.is_partial(day(1), Some(day(1)), &policy));
        assert!(epoch.is_partial(day(0), Some(day(1)), &policy));
    }
}

#[test]
fn a_creation_time_decides_where_it_is_given() {
    let policy = Policy::default();
    let epoch = Epoch::new().listed(day(1), &policy);
    let seen = day(1) + Duration::from_secs(60);
    assert!(epoch.is_partial(seen, Some(day(0)), &policy));
    assert!(!epoch.is_partial(seen, Some(day(1)), &policy));
}

/// Listed every half day from the first day on.
fn listed_until(last: u64, policy: &Policy) -> Epoch {
    (0..=2 * last).fold(Epoch::new(), |epoch, half| {
        epoch.listed(minute(12 * 60 * half), policy)
    })
}

#[test]
fn without_a_creation_time_an_order_is_partial_for_90_days() {
    let mut policy = Policy::default();
    assert!(listed_until(89, &policy).is_partial(day(89), None, &policy));
    assert!(!listed_until(90, &policy).is_partial(day(90), None, &policy));
    policy.doubt_after_start = Duration::from_secs(86_400);
    assert!(!listed_until(1, &policy).is_partial(day(1), None, &policy));
}

#[test]
fn what_is_first_seen_after_a_gap_is_partial() {
    let policy = Policy::default();
    let before = listed_until(100, &policy);
    let after = minute(100 * 24 * 60 + 24 * 60 + 1);
    assert!(!before.is_partial(day(101), None, &policy));
    // Whether the listing that ends the gap is noted before or after its orders are observed.
    for epoch in [before, before.listed(after, &policy)] {
        assert!(epoch.is_partial(after, None, &policy));
        assert!(epoch.is_partial(after, Some(after), &policy));
    }
    let since = before.listed(after, &policy);
    let later = after + Duration::from_secs(300);
    assert!(!since.is_partial(later, None, &policy));
    assert!(since.is_partial(later, Some(day(100)), &policy));
    assert!(!since.is_partial(later, Some(after), &policy));
    let strict = Policy {
        longest_gap: Duration::from_secs(60),
        ..Policy::default()
    };
    assert!(since.is_partial(later, None, &strict));
}

#[test]
fn a_listing_that_was_noted_out_of_order_makes_no_gap() {
    let policy = Policy::default();
    let epoch = listed_until(100, &policy);
    assert_eq!(epoch.listed(day(50), &policy), epoch);
    assert_eq!(epoch.last_listing(), Some(day(100)));
    assert_eq!(epoch.first_listing(), Some(day(0)));
}

#[test]
fn complete_or_partial_is_decided_once() {
    let mut order = Order::new();
    order.listed(1, F);
    assert!(order.record.history().is_complete());
    order.epoch = Epoch::new();
    order.listed(2, R);
    assert!(order.record.history().is_complete());
    let mut order = Order::new();
    order.see(Observation::listed(&F.into(), &Fingerprint::none(), minute(1)).created(UNIX_EPOCH));
    assert!(!order.record.history().is_complete());
}

// Stored.

#[cfg(feature = "serde")]
#[test]
fn a_record_is_the_same_after_it_was_stored() {
    let mut order = Order::new();
    let odd = Duration::from_nanos(1_234_567);
    order.see(Observation::listed(
        &F.into(),
        &files(&[1, 2]),
        minute(1) + odd,
    ));
    order.see(Observation::downloaded(1, minute(2) + odd));
    order.see(Observation::returned(minute(3) + odd));
    order.see(Observation::missing(minute(4) + odd));
    order.see(Observation::gone(minute(5) + odd));
    let text = serde_json::to_string(&order.record).unwrap();
    let read: Record = serde_json::from_str(&text).unwrap();
    assert_eq!(read, order.record);
    assert_eq!(
        serde_json::to_string(&Record::new()).unwrap(),
        r#"{"history":{"complete":false,"arrivals":[]}}"#
    );
    assert_eq!(
        serde_json::from_str::<Record>(r#"{"unheard":1}"#).unwrap(),
        Record::new()
    );
    let epoch = serde_json::to_string(&order.epoch).unwrap();
    assert_eq!(serde_json::from_str::<Epoch>(&epoch).unwrap(), order.epoch);
}
