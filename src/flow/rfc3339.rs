//! Times as text in JSON: RFC 3339 in UTC, to the millisecond.
//!
//! *Problem.* People read exports, and databases sort them as texts.
//!
//! *Approach.* Written in one form, and read in several. A time must come back as the same time,
//! also from before 1970 and from a clock that is wrong.
//!
//! Always three digits after the second, so that texts sort as their times do. Whole milliseconds
//! since 1970 are read too.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;
use serde::de::{self, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::millis;

static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// A time, to be written.
pub(crate) struct Rfc3339(pub(crate) SystemTime);

impl Rfc3339 {
    /// `None` beyond the year 9999.
    pub(crate) fn text(&self) -> Option<impl fmt::Display + use<>> {
        let time = Timestamp::from_millisecond(millis::since_epoch(self.0));
        time.ok().map(Text)
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => serializer.collect_str(&text),
            // From a clock that is wrong: as such it is read back.
            None => serializer.serialize_i64(millis::since_epoch(self.0)),
        }
    }
}

struct Text(Timestamp);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = PRINTER.print_timestamp(&self.0, StdFmtWrite(f));
        written.map_err(|_| fmt::Error)
    }
}

/// For `#[serde(serialize_with)]` on a time.
#[cfg(feature = "client")]
pub(crate) fn serialize<S: Serializer>(
    time: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    Rfc3339(*time).serialize(serializer)
}

/// The same on an optional time.
#[cfg(feature = "client")]
pub(crate) fn serialize_option<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(Rfc3339).serialize(serializer)
}

/// Reads what [`Rfc3339`] writes, with any offset, and whole milliseconds since 1970.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SystemTime>, D::Error> {
    // Text, a number or null: so only formats that describe themselves can be read, as for
    // `Arrival`.
    deserializer.deserialize_any(TimeVisitor)
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Option<SystemTime>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time of RFC 3339, or milliseconds since 1970")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let time: Timestamp = text.parse().map_err(|_| {
            // The text itself is not quoted: it may be anything.
            let unexpected = de::Unexpected::Other("a text that is no time of RFC 3339");
            E::invalid_value(unexpected, &self)
        })?;
        Ok(Some(millis::cut(time.into())))
    }

    fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Self::Value, E> {
        let time = millis::from(millis);
        time.map(Some)
            .ok_or_else(|| E::custom("a time that the clock does not reach"))
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Self::Value, E> {
        // Too large for `i64`: the largest value is beyond every clock, and fails in the same way.
        self.visit_i64(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn read(json: &str) -> Option<SystemTime> {
        deserialize(&mut serde_json::Deserializer::from_str(json)).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let day = Duration::from_secs(86_400);
        for (time, json) in [
            (UNIX_EPOCH, r#""1970-01-01T00:00:00.000Z""#),
            (UNIX_EPOCH - day, r#""1969-12-31T00:00:00.000Z""#),
            (
                UNIX_EPOCH + Duration::from_millis(1_686_182_400_250),
                r#""2023-06-08T00:00:00.250Z""#,
            ),
            (UNIX_EPOCH + 3_000_000 * day, "259200000000000"),
        ] {
            assert_eq!(serde_json::to_string(&Rfc3339(time)).unwrap(), json);
            assert_eq!(read(json), Some(time));
        }
    }

    #[test]
    fn other_forms_are_read() {
        let expected = Some(UNIX_EPOCH + Duration::from_secs(1_686_182_400));
        for json in ["1686182400000", r#""2023-06-08T02:00:00+02:00""#] {
            assert_eq!(read(json), expected, "{json}");
        }
        assert_eq!(read("null"), None);
        for json in [r#""canary""#, r#""2023-06-08""#, "1.5", "true"] {
            let error = deserialize(&mut serde_json::Deserializer::from_str(json)).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
