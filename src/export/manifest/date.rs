//! Dates of a manifest: American, and without a zone.

use std::fmt;
use std::time::SystemTime;

use jiff::civil::{Date as CivilDate, DateTime};
use jiff::tz::Offset;

/// A day in the calendar, in no particular time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    year: i16,
    month: i8,
    day: i8,
}

impl Day {
    /// The year, such as 2026.
    #[must_use]
    pub fn year(&self) -> i32 {
        self.year.into()
    }

    /// The month, 1 to 12.
    #[must_use]
    pub fn month(&self) -> u8 {
        self.month.unsigned_abs()
    }

    /// The day of the month, 1 to 31.
    #[must_use]
    pub fn day(&self) -> u8 {
        self.day.unsigned_abs()
    }

    /// Reads `MM/dd/yyyy`; what follows after a space is left.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let date = civil_date(text.split_whitespace().next()?)?;
        Some(Day {
            year: date.year(),
            month: date.month(),
            day: date.day(),
        })
    }
}

/// As `2026-11-22`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Reads `MM/dd/yyyy HH:mm:ss` at an offset from UTC: `+02:00`, `-5` or `5.5` hours. Without
/// an offset that can be read there is no point in time.
pub(super) fn instant(text: &str, offset: &str) -> Option<SystemTime> {
    let (date, time) = text.trim().split_once(' ')?;
    let time: jiff::civil::Time = time.trim().parse().ok()?;
    let civil = DateTime::from_parts(civil_date(date)?, time);
    let offset = Offset::from_seconds(seconds(offset.trim())?).ok()?;
    Some(offset.to_timestamp(civil).ok()?.into())
}

fn civil_date(text: &str) -> Option<CivilDate> {
    let mut parts = text.split('/');
    let mut number = || {
        parts
            .next()
            .filter(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let (month, day, year) = (number()?, number()?, number()?);
    let date = CivilDate::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    date.ok().filter(|_| parts.next().is_none())
}

fn seconds(offset: &str) -> Option<i32> {
    let negative = offset.starts_with('-');
    let digits = offset.trim_start_matches(['+', '-']);
    let (hours, minutes) = match digits.split_once(':') {
        // What follows minutes would be seconds, and is zero.
        Some((hours, minutes)) => (hours.parse::<f64>().ok()?, minutes.get(..2)?.parse().ok()?),
        None => (digits.parse().ok()?, 0.0),
    };
    let seconds = hours * 3600.0 + minutes * 60.0;
    // Beyond are minutes, or nonsense.
    let known = (0.0..=14.0 * 3600.0).contains(&seconds);
    let seconds = if negative { -seconds } else { seconds };
    #[expect(clippy::cast_possible_truncation, reason = "at most 14 hours")]
    known.then_some(seconds as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn days_are_read() {
        let day = Day::parse("03/14/2026").unwrap();
        assert_eq!((day.year(), day.month(), day.day()), (2026, 3, 14));
        assert_eq!(day.to_string(), "2026-03-14");
        assert_eq!(Day::parse(" 3/4/2026 00:00:00"), Day::parse("03/04/2026"));
        for text in [
            "",
            "14/03/2026",
            "2026-03-14",
            "02/30/2026",
            "1/2",
            "1/2/3/4",
            "+1/2/3",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }

    #[test]
    fn instants_need_an_offset() {
        let time = "03/14/2026 11:26:53";
        let expected = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_480_413));
        for offset in ["+02:00", "02:00:00", "2", " 2.0 "] {
            assert_eq!(instant(time, offset), expected, "{offset}");
        }
        assert_eq!(instant("03/14/2026 03:56:53", "-5.5"), expected);
        for offset in ["", "x", "120", "NaN", "inf", "é:éé"] {
            assert_eq!(instant(time, offset), None, "{offset}");
        }
        assert_eq!(instant("03/14/2026", "0"), None);
    }
}
