//! Complete or partial; and what is stored.

use super::*;

// Complete or partial.

#[test]
fn what_stood_in_the_first_good_listing_is_partial() {
    let policy = Policy::default();
    for coverage in [
        ListingCoverage::new(),
        ListingCoverage::new().listed(day(1), &policy),
    ] {
        assert!(coverage.is_partial(day(1), None, &policy));
        assert!(coverage.is_partial(day(1), Some(day(1)), &policy));
        assert!(coverage.is_partial(day(0), Some(day(1)), &policy));
    }
}

#[test]
fn a_creation_time_decides_where_it_is_given() {
    let policy = Policy::default();
    let coverage = ListingCoverage::new().listed(day(1), &policy);
    let seen = day(1) + Duration::from_secs(60);
    assert!(coverage.is_partial(seen, Some(day(0)), &policy));
    assert!(!coverage.is_partial(seen, Some(day(1)), &policy));
}

/// Listed every half day from the first day on.
fn listed_until(last: u64, policy: &Policy) -> ListingCoverage {
    (0..=2 * last).fold(ListingCoverage::new(), |coverage, half| {
        coverage.listed(minute(12 * 60 * half), policy)
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
    for coverage in [before, before.listed(after, &policy)] {
        assert!(coverage.is_partial(after, None, &policy));
        assert!(coverage.is_partial(after, Some(after), &policy));
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
    let coverage = listed_until(100, &policy);
    assert_eq!(coverage.listed(day(50), &policy), coverage);
    assert_eq!(coverage.last_listing(), Some(day(100)));
    assert_eq!(coverage.first_listing(), Some(day(0)));
}

#[test]
fn complete_or_partial_is_decided_once() {
    let mut order = Order::new();
    order.listed(1, F);
    assert!(order.record.history().is_complete());
    order.coverage = ListingCoverage::new();
    order.listed(2, R);
    assert!(order.record.history().is_complete());
    let mut order = Order::new();
    order.see(Observation::listed(&F.into(), &Fingerprint::none(), minute(1)).created(UNIX_EPOCH));
    assert!(!order.record.history().is_complete());
}

// Stored.

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
    let coverage = serde_json::to_string(&order.coverage).unwrap();
    assert_eq!(
        serde_json::from_str::<ListingCoverage>(&coverage).unwrap(),
        order.coverage
    );
}
