//! What we did ourselves.

use super::*;

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
