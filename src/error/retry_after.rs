//! `Retry-After`, RFC 9110 section 10.2.3.
//!
//! The standard has two forms, and services write more. A form that is not read would be an immediate
//! repeat, against the service's word; one that is read wrongly could stop a lab for years. So any
//! header must come to a wait of at most a day, or to none
//! (`any_header_is_a_wait_of_at_most_a_day_or_none`).

use std::time::{Duration, SystemTime};

use crate::http_date;

/// A wait, in whatever form: seconds, also with a fraction; the HTTP date of its end, in any of its
/// three forms; the end as seconds since 1970, which is no standard and was seen. Longer than a day
/// is no wait but a mistake, and is taken as a day.
pub(crate) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// From 2001 on. Nobody is asked to wait for thirty years.
    const SINCE_1970: std::ops::Range<f64> = 1e9..1e11;

    let value = value.trim();
    // An end that has passed is no wait.
    let until = |end: SystemTime| end.duration_since(now).unwrap_or_default();
    // `parse` alone would also read `inf`, `1e5` and a sign.
    let is_number = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let wait = match value.parse::<f64>() {
        Ok(seconds) if is_number => {
            let span = Duration::try_from_secs_f64(seconds).ok();
            match span {
                Some(since) if SINCE_1970.contains(&seconds) => {
                    until(SystemTime::UNIX_EPOCH.checked_add(since)?)
                }
                // More than a number has room for is longer than a day as well.
                span => span.unwrap_or(DAY),
            }
        }
        _ => until(http_date::parse(value)?),
    };
    Some(wait.min(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_header_is_a_wait_of_at_most_a_day_or_none(value in r"\PC{0,40}|[0-9 ]{0,40}|[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{0,9} [+A-Z0-9-]{0,5}", now in any::<u32>()) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.into());
            let wait = parse(&value, now);
            prop_assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(86_400)));
        }

        #[test]
        fn any_number_is_that_many_seconds(seconds in 0u64..=86_400, blanks in " {0,2}") {
            let value = format!("{blanks}{seconds}{blanks}");
            let wait = parse(&value, SystemTime::UNIX_EPOCH);
            prop_assert_eq!(wait, Some(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn a_point_in_time_and_a_fraction() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_480_413);
        for (value, millis) in [
            ("1773480430", 17_000),
            ("1773480400", 0),
            ("1.5", 1_500),
            (".5", 500),
        ] {
            assert_eq!(
                parse(value, now),
                Some(Duration::from_millis(millis)),
                "{value}"
            );
        }
    }

    #[test]
    fn seconds_and_dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("99999999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:49:00 GMT", Some(86_400)),
            // The two older forms, which RFC 9110 asks recipients to read.
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun Nov  6 08:50:07 1994", Some(30)),
            ("1773480430", Some(86_400)),
            ("soon", None),
            ("1e3", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(
                parse(value, now),
                seconds.map(Duration::from_secs),
                "{value}"
            );
        }
    }
}
