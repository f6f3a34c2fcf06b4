//! Dates as the service writes them.
//!
//! *Problem.* The format is not documented, and a date that was misread is worse than one that was
//! not read.
//!
//! *Approach.* The text is kept as it came and read when it is asked for. Formats that could be
//! mistaken for another, such as `03/04/2026`, are not read.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::lenient::FromScalar;
use crate::http_date;

/// A point in time as the service wrote it, and what it means where that can be read.
///
/// The format is not documented. Read are RFC 3339 and its relatives (`2026-03-14T09:26:53Z`,
/// with an offset, or without one and then taken as UTC), the dates of HTTP headers, seconds,
/// milliseconds, microseconds or nanoseconds since 1970 as a number, and `/Date(…)/`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct WireTime {
    text: Box<str>,
}

impl WireTime {
    /// Takes what the wire has.
    pub(crate) fn parse(text: impl Into<String>) -> Self {
        WireTime {
            text: text.into().into(),
        }
    }

    /// The text as it came.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The time, where the text can be read. It is read now: of most orders in a listing nobody
    /// asks.
    pub(crate) fn time(&self) -> Option<SystemTime> {
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
    // .NET of old: milliseconds, and an offset that is for display only.
    if let Some(inner) = text.strip_prefix("/Date(") {
        // Milliseconds in UTC; the offset changes only how it is shown.
        let number = inner.strip_suffix(")/")?.split(['+', '-']).next()?;
        // Unsigned: a date before 1970 is no date of an order, and stays a text.
        let since = Duration::from_millis(number.parse().ok()?);
        return SystemTime::UNIX_EPOCH.checked_add(since);
    }
    if let Some(since) = since_epoch(text) {
        return SystemTime::UNIX_EPOCH.checked_add(since);
    }
    if let Some(time) = http_date::parse(text) {
        return Some(time);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.into());
    }
    // UTC is a convention. By the machine's own zone one text would be two times on two machines.
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let time = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(time.into())
}

/// A number of seconds, milliseconds, microseconds or nanoseconds: which, its size says. Seconds would
/// reach the first bound in the year 5138, milliseconds reached it in 1973; and so on.
fn since_epoch(text: &str) -> Option<Duration> {
    let number: f64 = match text.bytes().next()? {
        // A date such as `2026-03-14` begins with a digit too: it is no number, and is read by the
        // formats that follow.
        b'0'..=b'9' => text.parse().ok()?,
        _ => return None,
    };
    // A double would lose the last digits of nanoseconds.
    let whole = text.parse::<u64>().ok();
    let unit: u32 = match number {
        ..1e11 => 0,
        ..1e14 => 3,
        ..1e17 => 6,
        ..1e19 => 9,
        _ => return None,
    };
    match (whole, unit) {
        // A fraction: nothing finer than a double is lost that anybody wrote.
        (None, _) => Duration::try_from_secs_f64(number / 10_f64.powi(unit.cast_signed())).ok(),
        (Some(number), 0) => Some(Duration::from_secs(number)),
        (Some(number), 3) => Some(Duration::from_millis(number)),
        (Some(number), 6) => Some(Duration::from_micros(number)),
        (Some(number), _) => Some(Duration::from_nanos(number)),
    }
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
            "1773480413000000",
            "1773480413000000000",
            "1773480413.0",
            "1.773480413e9",
            "Sat, 14 Mar 2026 09:26:53 GMT",
            "Saturday, 14-Mar-26 09:26:53 GMT",
            "Sat Mar 14 09:26:53 2026",
            "/Date(1773480413000)/",
            "/Date(1773480413000+0100)/",
            "/Date(1773480413000-0500)/",
        ] {
            assert_eq!(WireTime::parse(text).time(), expected, "{text}");
        }
    }

    #[test]
    fn a_fraction_of_a_second_is_kept() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(1_773_480_413_250);
        for text in [
            "1773480413.25",
            "1773480413250",
            "1773480413250000",
            "2026-03-14T09:26:53.25Z",
        ] {
            assert_eq!(WireTime::parse(text).time(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_kept() {
        let time = WireTime::parse("last Tuesday");
        assert_eq!((time.as_str(), time.time()), ("last Tuesday", None));
        for text in [
            "18446744073709551615",
            "1e300",
            "-1",
            "nan",
            "/Date(x)/",
            "/Date(",
        ] {
            assert_eq!(WireTime::parse(text).time(), None, "{text}");
        }
    }
}
