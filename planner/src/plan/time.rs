//! Times are whole milliseconds since 1970; clocks decide how long to wait, never what is true.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time without what is finer than a millisecond, so that a record that was stored and read
/// again is the same record.
pub(super) fn cut(time: SystemTime) -> SystemTime {
    from_millis(to_millis(time)).unwrap_or(time)
}

/// The time so much later; where the clock does not reach that far, the time itself.
pub(super) fn after(time: SystemTime, distance: Duration) -> SystemTime {
    time.checked_add(distance).unwrap_or(time)
}

/// How long after, nothing for a time that is not after.
pub(super) fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

/// Something to wait for: a time, and how far ahead it can lie at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Deadline {
    #[serde(with = "millis")]
    pub(super) at: SystemTime,
    #[serde(with = "duration")]
    span: Duration,
}

impl Deadline {
    pub(super) fn after(now: SystemTime, span: Duration) -> Self {
        let now = cut(now);
        let span = Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Deadline {
            at: after(now, span),
            span,
        }
    }

    pub(super) fn from(self) -> SystemTime {
        self.at.checked_sub(self.span).unwrap_or(self.at)
    }

    /// What lies further ahead than its own span was written by a clock that has been set back
    /// since: waiting for it could take years.
    pub(super) fn has_passed(self, now: SystemTime) -> bool {
        self.at <= now || since(self.at, now) > self.span
    }

    /// Since when it has been due. Of one that a clock set back made due, not before now.
    pub(super) fn since(self, now: SystemTime) -> Option<SystemTime> {
        self.has_passed(now).then(|| self.at.min(now))
    }
}

fn to_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            let whole = before.duration().as_nanos().div_ceil(1_000_000);
            i64::try_from(whole).map_or(i64::MIN, |millis| -millis)
        }
    }
}

fn from_millis(millis: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

pub(super) mod millis {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::plan) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(super::to_millis(*time))
    }

    pub(in crate::plan) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        super::from_millis(i64::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("a time that the clock does not reach"))
    }
}

pub(super) mod optional_millis {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(in crate::plan) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(super::to_millis).serialize(serializer)
    }

    pub(in crate::plan) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let millis = Option::<i64>::deserialize(deserializer)?;
        let time = |millis| {
            super::from_millis(millis)
                .ok_or_else(|| D::Error::custom("a time that the clock does not reach"))
        };
        millis.map(time).transpose()
    }
}

mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::plan) fn serialize<S: Serializer>(
        span: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub(in crate::plan) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_passed_outside_of_its_span() {
        let hour = Duration::from_secs(3_600);
        let deadline = Deadline::after(UNIX_EPOCH + hour * 1_000, hour);
        for minute in 0..200 {
            let now = UNIX_EPOCH + hour * 999 + Duration::from_secs(60) * minute;
            let is_inside = deadline.from() <= now && now < deadline.at;
            assert_eq!(deadline.has_passed(now), !is_inside);
        }
    }

    #[test]
    fn a_clock_set_back_behind_the_beginning_ends_the_wait() {
        let hour = Duration::from_secs(3_600);
        let start = UNIX_EPOCH + hour * 1_000;
        let deadline = Deadline::after(start, hour);
        assert!(!deadline.has_passed(start));
        assert!(!deadline.has_passed(start + hour / 2));
        assert!(deadline.has_passed(start + hour));
        assert!(deadline.has_passed(start - hour));
        assert_eq!(deadline.since(start - hour), Some(start - hour));
        assert_eq!(deadline.since(start + hour * 3), Some(start + hour));
    }
}
