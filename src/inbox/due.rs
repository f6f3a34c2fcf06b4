//! Times that lie ahead.
//!
//! *Problem.* A clock that runs ahead sets times that are wrong, and is set back later: what it has
//! set would wait for a day, or a year.
//!
//! *Approach.* Each time is kept with its span. What lies further ahead than it ever should counts
//! as passed: a wrong clock may bring something early, and must never delay it (tests
//! `a_clock_a_year_ahead_for_a_while_delays_by_no_year` and
//! `what_a_wrong_clock_has_set_counts_as_passed`).

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::flow::millis;

/// A caller may have read the time that it passes in a moment before.
// `not_yet` of the SQL stores has the same minute: both must call the same times passed.
const LENIENCY: Duration = Duration::from_secs(60);

/// No span is longer than a thousand years, as clocks have an end.
const LONGEST: Duration = Duration::from_secs(1000 * 366 * 24 * 60 * 60);

/// A time to wait for, and how far ahead it lay when it was set.
///
/// Clocks are set back. A time that lies further ahead than it lay when it was set was set by a clock
/// that ran ahead, and counts as passed: so a wrong clock delays nothing for longer than a right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DueTime {
    /// The time to wait for, in whole milliseconds.
    #[serde(with = "millis::always")]
    pub(super) at: SystemTime,
    /// How far ahead it lay when it was set; a thousand years at most.
    #[serde(with = "whole_millis")]
    pub(super) span: Duration,
}

impl DueTime {
    /// The time that lies so far ahead.
    pub(super) fn new(now: SystemTime, span: Duration) -> Self {
        let span = whole_millis::cut(span.min(LONGEST));
        let now = millis::cut(now);
        // Where the clock ends, due at once: what is due never would be lost.
        let at = now.checked_add(span).unwrap_or(now);
        DueTime { at, span }
    }

    /// Whether it has passed, or counts as passed: it lies further ahead than its span and a
    /// minute, which is for callers that read the clock a little earlier than others.
    pub(super) fn has_passed(&self, now: SystemTime) -> bool {
        match self.at.duration_since(now) {
            Ok(ahead) => ahead.is_zero() || ahead > self.span.saturating_add(LENIENCY),
            Err(_) => true,
        }
    }
}

mod whole_millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn cut(span: Duration) -> Duration {
        Duration::from_millis(millis(span))
    }

    fn millis(span: Duration) -> u64 {
        // `Duration::MAX` has more milliseconds than a `u64`. Whoever asks for it means for ever.
        u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn serialize<S: Serializer>(
        span: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(millis(*span))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_further_ahead_than_it_was_set_has_passed() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let hour = Duration::from_secs(3600);
        let due = DueTime::new(now, hour);
        for (at, passed) in [
            (now, false),
            (now + hour - Duration::from_millis(1), false),
            (now + hour, true),
            (now - LENIENCY, false),
            (now - LENIENCY * 2, true),
            (now - 1000 * hour, true),
        ] {
            assert_eq!(due.has_passed(at), passed, "{at:?}");
        }
        assert!(!DueTime::new(now, Duration::MAX).has_passed(now + 1000 * hour));
        assert!(DueTime::new(now, Duration::ZERO).has_passed(now));
    }

    #[test]
    fn it_is_read_back_as_it_was_written() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        for span in [Duration::ZERO, Duration::from_micros(1_500), Duration::MAX] {
            let due = DueTime::new(now, span);
            let text = serde_json::to_string(&due).unwrap();
            assert_eq!(serde_json::from_str::<DueTime>(&text).unwrap(), due);
        }
    }
}
