//! Times as whole milliseconds since 1970-01-01T00:00Z.
//!
//! Times are cut to it where they come in, so that a record that was stored and read again is
//! the same record, and comparing times does not depend on whether it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time without what is finer than a millisecond.
pub(crate) fn cut(time: SystemTime) -> SystemTime {
    // A time that cannot be made anew stays as it is: better too fine than lost.
    from(since_epoch(time)).unwrap_or(time)
}

/// Rounds down, also before 1970.
pub(crate) fn since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        // The limits of `i64` lie 292 million years away: a clock there is wrong anyway.
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            // Up, since the distance is from 1970 backwards: so the time is rounded down.
            let whole = before.duration().as_nanos().div_ceil(1_000_000);
            i64::try_from(whole).map_or(i64::MIN, |millis| -millis)
        }
    }
}

/// None where the machine's clock does not reach.
pub(crate) fn from(millis: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 {
        // Checked: what a clock can hold differs by system, and Windows begins in 1601.
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

/// For `#[serde(with)]` on an optional time.
#[cfg(feature = "client")]
pub(crate) mod option {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(super::since_epoch).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        match Option::<i64>::deserialize(deserializer)? {
            None => Ok(None),
            Some(millis) => super::from(millis)
                .map(Some)
                .ok_or_else(|| D::Error::custom("a time that the clock does not reach")),
        }
    }
}

/// For `#[serde(with)]` on a time.
#[cfg(feature = "client")]
pub(crate) mod always {
    use std::time::SystemTime;

    use serde::{Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(super::since_epoch(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        super::option::deserialize(deserializer)?
            .ok_or_else(|| D::Error::custom("a time is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_rounds_down_on_both_sides_of_1970() {
        let nanos = Duration::from_nanos(1_500_000);
        assert_eq!(since_epoch(UNIX_EPOCH + nanos), 1);
        assert_eq!(since_epoch(UNIX_EPOCH - nanos), -2);
        for time in [UNIX_EPOCH + nanos, UNIX_EPOCH - nanos, UNIX_EPOCH] {
            assert!(cut(time) <= time);
            assert_eq!(cut(cut(time)), cut(time));
            assert_eq!(from(since_epoch(time)), Some(cut(time)));
        }
    }
}
