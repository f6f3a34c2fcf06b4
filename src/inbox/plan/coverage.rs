//! Since when listings cover an account, which decides what an order that is new to us can be.
//!
//! *Problem.* The first status of an order means one thing if the order is new, and several if it
//! is older than the integration or came in a gap.
//!
//! *Approach.* The times of the first and the last complete listing and of the end of the last gap.
//! In doubt the history is partial: a partial one leaves a scenario open, a complete one that is
//! none names a wrong scenario.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::time::{after, since};
use crate::flow::millis::{self, cut};
use crate::inbox::due::DueTime;

/// Since when an account is covered by complete listings, and whether without a gap. One for
/// each account, stored with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListingCoverage {
    #[serde(with = "millis::option")]
    first: Option<SystemTime>,
    #[serde(with = "millis::option")]
    last: Option<SystemTime>,
    /// When the listing was begun that ended the last gap.
    #[serde(with = "millis::option")]
    resumed: Option<SystemTime>,
    /// When the account counts as not covered any more.
    stale: Option<DueTime>,
    /// The last listing was empty although orders were listed before.
    emptied: bool,
}

impl ListingCoverage {
    /// An account that was never listed: the next complete listing is its first.
    #[must_use]
    pub const fn new() -> Self {
        ListingCoverage {
            first: None,
            last: None,
            resumed: None,
            stale: None,
            emptied: false,
        }
    }

    /// Whether it says more than what is stored and that time went by, or that has become old.
    pub(in crate::inbox) fn is_worth_storing(&self, stored: &Self, policy: &Policy) -> bool {
        // An hour by default: a process that is killed makes a gap look longer by that much at
        // most, and polls in which nothing changes write once an hour.
        let longest = (policy.longest_gap / 24).min(policy.slow_at_first);
        let is_old = match (self.last, stored.last) {
            // Earlier than what is stored: the clock was set back.
            (Some(last), Some(stored)) => last < stored || since(last, stored) > longest,
            (last, stored) => last != stored,
        };
        is_old
            || self.first != stored.first
            || self.resumed != stored.resumed
            || self.emptied != stored.emptied
            || self.stale.is_some() != stored.stale.is_some()
    }

    /// Whether no listing was complete for so long that orders which are not listed have to be
    /// fetched instead.
    pub(in crate::inbox) fn is_stale(&self, now: SystemTime) -> bool {
        self.stale.is_some_and(|stale| stale.has_passed(now))
    }

    /// Takes in a listing that could be read in full, and says whether it is complete: one that
    /// is empty where orders were listed needs a second one that agrees.
    pub(in crate::inbox) fn take_listing(
        &mut self,
        is_empty: bool,
        orders_were_listed: bool,
        begun: SystemTime,
        policy: &Policy,
    ) -> bool {
        let doubtful = is_empty && orders_were_listed && !self.emptied;
        // Kept while it goes on: an account that stays empty is doubted once.
        self.emptied = is_empty && (orders_were_listed || self.emptied);
        if doubtful {
            return false;
        }
        let begun = cut(begun);
        // Before `last` moves: the gap lies between that and this.
        if self.ended_a_gap(begun, policy) {
            self.resumed = Some(begun);
        }
        self.first = self.first.or(Some(begun));
        self.last = Some(begun);
        self.stale = Some(DueTime::new(begun, policy.patience));
        true
    }

    /// Takes in a listing that could not be read in full. Nothing of it is complete.
    pub(in crate::inbox) fn take_incomplete(&mut self, begun: SystemTime, policy: &Policy) {
        self.emptied = false;
        // Only where no listing was ever complete. Otherwise the time counts from the last complete
        // one, and a failure must not begin it anew.
        if self.stale.is_none() {
            self.stale = Some(DueTime::new(begun, policy.patience));
        }
    }

    /// Whether an order that is seen for the first time, in an answer begun at `begun`, may be
    /// older than what is known of the account, so that its history is partial. Doubt means yes.
    ///
    /// The value from before a listing and the one from after it say the same of its orders.
    pub(in crate::inbox) fn is_partial(
        &self,
        begun: SystemTime,
        created: Option<SystemTime>,
        policy: &Policy,
    ) -> bool {
        let (Some(first), Some(_)) = (self.first, self.last) else {
            return true;
        };
        let begun = cut(begun);
        let after_gap =
            self.ended_a_gap(begun, policy) || self.resumed.is_some_and(|resumed| begun <= resumed);
        // The listing that ended a gap shows what came during it, too.
        if begun <= first || after_gap {
            return true;
        }
        match created.map(cut) {
            // `None` is less than any time, so without a gap the second comparison is false.
            Some(created) => created < first || Some(created) < self.resumed,
            // It may have been with the doctor or Align, where nothing is listed, since before the
            // first listing.
            None => begun < after(first, policy.doubt_after_start),
        }
    }

    /// A clock that was set back hides how long the gap was.
    fn ended_a_gap(&self, begun: SystemTime, policy: &Policy) -> bool {
        self.last
            .is_some_and(|last| begun < last || since(begun, last) > policy.longest_gap)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn hour(n: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(3_600 * (n + 1_000_000))
    }

    fn covered(hours: &[u64]) -> ListingCoverage {
        let mut coverage = ListingCoverage::default();
        for n in hours {
            assert!(coverage.take_listing(false, true, hour(*n), &Policy::default()));
        }
        coverage
    }

    #[test]
    fn what_is_older_than_the_first_listing_or_came_in_a_gap_is_partial() {
        let policy = Policy::default();
        let partial = |coverage: &ListingCoverage, begun, created: Option<u64>| {
            coverage.is_partial(hour(begun), created.map(hour), &policy)
        };
        assert!(partial(&ListingCoverage::default(), 5, None));
        let coverage = covered(&[0, 1]);
        assert!(partial(&coverage, 0, Some(0)));
        assert!(partial(&coverage, 2, None) && !partial(&coverage, 2, Some(1)));
        let long = covered(&(0..=90).map(|day| day * 24).collect::<Vec<_>>());
        assert!(!partial(&long, 90 * 24 + 1, None));
        // A gap of two days, and a clock that was set back by three hours.
        for coverage in [covered(&[0, 48]), covered(&[0, 10, 7])] {
            let last = coverage.last.unwrap();
            assert!(coverage.is_partial(last, Some(hour(6)), &policy));
            assert!(coverage.is_partial(last + Duration::from_secs(9), Some(hour(6)), &policy));
        }
    }

    #[test]
    fn an_empty_listing_needs_a_second_one() {
        let mut coverage = covered(&[0]);
        let policy = Policy::default();
        assert!(!coverage.take_listing(true, true, hour(1), &policy));
        assert!(coverage.take_listing(true, true, hour(1), &policy));
        assert!(coverage.take_listing(true, false, hour(2), &policy));
        assert!(!covered(&[0]).take_listing(true, true, hour(2), &policy));
        // One that cannot be read in between agrees with nothing.
        let mut coverage = covered(&[0]);
        assert!(!coverage.take_listing(true, true, hour(1), &policy));
        coverage.take_incomplete(hour(2), &policy);
        assert!(!coverage.take_listing(true, true, hour(3), &policy));
    }

    #[test]
    fn an_account_without_complete_listings_is_stale_after_a_day() {
        let (policy, mut coverage) = (Policy::default(), ListingCoverage::default());
        assert!(!coverage.is_stale(hour(0)));
        coverage.take_incomplete(hour(0), &policy);
        coverage.take_incomplete(hour(20), &policy);
        assert!(!coverage.is_stale(hour(23)) && coverage.is_stale(hour(24)));
        assert!(coverage.take_listing(false, false, hour(24), &policy));
        assert!(!coverage.is_stale(hour(25)));
    }
}
