//! Dates as the wire has them.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::lenient::FromScalar;

/// A point in time as the service wrote it, and what it means where that can be read.
///
/// The format is not documented. Read are RFC 3339 and its relatives (`2026-03-14T09:26:53Z`,
/// with an offset, or without one and then taken as UTC), and seconds or milliseconds since
/// 1970 as a number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WireTime {
    text: String,
}

impl WireTime {
    /// Takes what the wire has.
    #[must_use]
    pub fn parse(text: impl Into<String>) -> Self {
        WireTime { text: text.into() }
    }

    /// The text as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The time, where the text can be read. It is read now: of most orders in a listing nobody
    /// asks.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        read(self.text.trim())
    }
}

impl serde::Serialize for WireTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl FromScalar for WireTime {
    fn text(text: &str) -> Option<Self> {
        Some(WireTime::parse(text))
    }
}

impl fmt::Debug for WireTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

fn read(text: &str) -> Option<SystemTime> {
    if let Ok(number) = text.parse::<u64>() {
        // Seconds would reach this number in the year 5138, milliseconds reached it in 1973.
        let since = if number < 100_000_000_000 {
            Duration::from_secs(number)
        } else {
            Duration::from_millis(number)
        };
        return SystemTime::UNIX_EPOCH.checked_add(since);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.into());
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let time = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(time.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_are_read() {
        let expected = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_480_413));
        for text in [
            "2026-03-14T09:26:53Z",
            "2026-03-14T11:26:53+02:00",
            "2026-03-14T09:26:53",
            "2026-03-14 09:26:53",
            "1773480413",
            "1773480413000",
        ] {
            assert_eq!(WireTime::parse(text).time(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_kept() {
        let time = WireTime::parse("last Tuesday");
        assert_eq!((time.as_str(), time.time()), ("last Tuesday", None));
        assert_eq!(
            WireTime::parse("18446744073709551615").time().is_none(),
            cfg!(windows)
        );
    }
}
