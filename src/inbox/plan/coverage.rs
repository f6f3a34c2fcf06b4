//! Since when an account is known, which decides whether an order is known from its beginning.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::policy::{Policy, after, since};
use crate::flow::millis;

/// Since when an account is listed, and whether without a gap. One for each account, stored
/// with it, by `serde`; what is in it is the crate's own affair.
// A *good* listing is complete: no page failed or was repeated, no record was unreadable. After
// each, `listed` gives the next value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListingCoverage {
    #[serde(with = "millis::option")]
    first: Option<SystemTime>,
    #[serde(with = "millis::option")]
    last: Option<SystemTime>,
    #[serde(with = "millis::option")]
    resumed: Option<SystemTime>,
}

impl ListingCoverage {
    /// An account that was never listed: the next good listing is its first.
    #[must_use]
    pub const fn new() -> Self {
        ListingCoverage {
            first: None,
            last: None,
            resumed: None,
        }
    }

    /// The value after a good listing that was begun at this time.
    ///
    /// Observe the orders of the listing with the value from before it or from after it: both
    /// say the same of them.
    pub(in crate::inbox) fn listed(self, begun: SystemTime, policy: &Policy) -> Self {
        let begun = millis::cut(begun);
        let gap = self
            .last
            .is_some_and(|last| since(begun, last) > policy.longest_gap);
        ListingCoverage {
            first: self.first.or(Some(begun)),
            last: self.last.max(Some(begun)),
            resumed: if gap { Some(begun) } else { self.resumed },
        }
    }

    /// When the account's first good listing was begun.
    pub(in crate::inbox) fn first_listing(&self) -> Option<SystemTime> {
        self.first
    }

    /// When its last good listing was begun.
    pub(in crate::inbox) fn last_listing(&self) -> Option<SystemTime> {
        self.last
    }

    /// Whether an order that is seen for the first time, in an answer begun at `begun`, may be
    /// older than what is known of the account, so that its history is partial. Doubt means yes.
    ///
    /// `created` is when the order was created, where the service says so.
    pub(in crate::inbox) fn is_partial(
        &self,
        begun: SystemTime,
        created: Option<SystemTime>,
        policy: &Policy,
    ) -> bool {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return true;
        };
        let begun = millis::cut(begun);
        // In the listing that ended a gap, or before it.
        let after_gap = since(begun, last) > policy.longest_gap
            || self.resumed.is_some_and(|resumed| begun <= resumed);
        if begun <= first || after_gap {
            return true;
        }
        match created.map(millis::cut) {
            Some(created) => created < first || Some(created) < self.resumed,
            None => begun < after(first, policy.doubt_after_start),
        }
    }
}
