//! Dates of HTTP headers, RFC 9110 section 5.6.7.
//!
//! Three forms are in use: that of RFC 1123, which all should send, that of RFC 850, and that of
//! `asctime`. A recipient must read all three. The parser of RFC 2822 dates reads only the first.

use std::time::SystemTime;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// Reads each of the three forms. The day of the week says nothing and is not compared.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    // Without the day of the week, which is cut off below: some servers write a wrong one.
    const FORMATS: [&str; 3] = [
        "%d %b %Y %H:%M:%S GMT",
        "%d-%b-%y %H:%M:%S GMT",
        "%b %d %H:%M:%S %Y",
    ];
    let (weekday, rest) = text.trim().split_once([',', ' '])?;
    // Only a word can be the day of the week. Anything else before the separator would be dropped
    // unread.
    if weekday.len() < 3 || !weekday.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    // A day before the tenth has a blank more, in one of the forms.
    let words: Vec<_> = rest.split_ascii_whitespace().collect();
    let rest = words.join(" ");
    FORMATS.iter().find_map(|format| {
        let time = strtime::parse(format, &rest).ok()?.to_datetime().ok()?;
        Some(TimeZone::UTC.to_timestamp(time).ok()?.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_three_forms_are_read() {
        for (text, seconds) in [
            ("Sat, 14 Mar 2026 09:26:53 GMT", 1_773_480_413),
            (" Sat, 14 Mar 2026 09:26:53 GMT ", 1_773_480_413),
            ("Saturday, 14-Mar-26 09:26:53 GMT", 1_773_480_413),
            ("Sat Mar 14 09:26:53 2026", 1_773_480_413),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ] {
            let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "Sat",
            "Sat, ",
            "Sat, 14 Mar 2026",
            "Sat, 14 Mar 2026 09:26:53",
            "Sat, 14 Mar 2026 09:26:53 +0100",
            "Sat, 31 Feb 2026 09:26:53 GMT",
            "Sat, 14 Mar 2026 25:26:53 GMT",
            "1, 14 Mar 2026 09:26:53 GMT",
            "2026-03-14T09:26:53Z",
            "last Tuesday",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
