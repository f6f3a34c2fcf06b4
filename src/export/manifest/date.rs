//! Times of a manifest: American, and without a zone.

use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::Offset;

use crate::model::american;

/// Reads `MM/dd/yyyy HH:mm:ss` at an offset from UTC: `+02:00`, `-5` or `5.5` hours. Without
/// an offset that can be read there is no point in time.
pub(super) fn instant(text: &str, offset: &str) -> Option<SystemTime> {
    let (date, time) = text.trim().split_once(' ')?;
    let time: jiff::civil::Time = time.trim().parse().ok()?;
    let civil = DateTime::from_parts(american(date)?, time);
    // A zone's name would say more, and the manifest has none.
    let offset = Offset::from_seconds(seconds(offset.trim())?).ok()?;
    Some(offset.to_timestamp(civil).ok()?.into())
}

fn seconds(offset: &str) -> Option<i32> {
    let negative = offset.starts_with('-');
    let digits = offset.trim_start_matches(['+', '-']);
    // Halves of hours occur: India is at 5.5.
    let (hours, minutes) = match digits.split_once(':') {
        // What follows minutes would be seconds, and is zero.
        Some((hours, minutes)) => (hours.parse::<f64>().ok()?, minutes.get(..2)?.parse().ok()?),
        None => (digits.parse().ok()?, 0.0),
    };
    let seconds = hours * 3600.0 + minutes * 60.0;
    // UTC+14 is the largest offset in use: a larger number would be minutes, or nonsense. A NaN is not
    // in the range.
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
