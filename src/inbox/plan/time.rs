//! Clocks decide how long to wait, never what is true.

use std::time::{Duration, SystemTime};

/// The time so much later; where the clock does not reach that far, the time itself.
pub(super) fn after(time: SystemTime, distance: Duration) -> SystemTime {
    time.checked_add(distance).unwrap_or(time)
}

/// How long after, nothing for a time that is not after.
pub(super) fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}
