//! What faults change inside a handler.
//!
//! A handler looks here and at nothing else of the faults, so that it stays the description of a
//! service that works.

use std::time::{Duration, SystemTime};

/// What a fault changes in an answer that is made; those that change its bytes on the way are
/// not known here.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct Effects {
    /// Seconds that the service's clock is ahead.
    pub(super) skew: i64,
    pub(super) unreadable_record: bool,
    pub(super) missing_order: bool,
    pub(super) stale_order: bool,
    pub(super) expired_url: bool,
    pub(super) other_region: bool,
    /// The answer will not arrive whole: who asked has seen nothing of it for certain.
    pub(super) broken: bool,
    /// How fast the connection sends the answer, if it drips.
    pub(super) bytes_per_second: Option<u32>,
    /// A number to choose by.
    pub(super) choice: u64,
}

impl Effects {
    pub(super) fn skewed(&self, time: SystemTime) -> SystemTime {
        let by = Duration::from_secs(self.skew.unsigned_abs());
        let skewed = if self.skew < 0 {
            time.checked_sub(by)
        } else {
            time.checked_add(by)
        };
        skewed.unwrap_or(time)
    }

    /// Whether the answer is the one that everybody gets.
    pub(super) fn is_plain(&self) -> bool {
        self.skew == 0
            && !self.unreadable_record
            && !self.missing_order
            && !self.stale_order
            && !self.expired_url
    }
}
