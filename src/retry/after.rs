//! `Retry-After`, RFC 9110 section 10.2.3.

use std::time::{Duration, SystemTime};

/// Seconds, or an HTTP date in the future. Longer than a day is no wait but a mistake, and is
/// taken as a day.
pub(crate) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let value = value.trim();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // More digits than a number has room for is longer than a day as well.
        value.parse().map_or(DAY, Duration::from_secs)
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        SystemTime::from(date)
            .duration_since(now)
            .unwrap_or_default()
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
            ("soon", None),
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
