//! Values that come in several shapes: text or a number, a list or a single record.
//!
//! *Problem.* One service writes `12`, the next `"12"`, and a third a list where others have one
//! object.
//!
//! *Approach.* Each type says what it makes of text and of a number. A value of another shape must
//! not fail the record: it is stepped over, and kept beside the fields.

use serde_json::Number;
use url::Url;

use super::limits::ExceededLimit;
use super::parse::{SyntaxError, Walk, parse};
use super::record::{Fields, ParsedRecord};
use crate::status::OrderStatus;

/// What a field may hold.
pub(crate) trait Field: Sized {
    /// Reads a value; `None` if it has another shape. Either way it is stepped over.
    fn read(walk: &mut Walk<'_>) -> Result<Option<Self>, SyntaxError>;
}

/// What is made of text, or of a number.
pub(crate) trait FromScalar: Sized {
    fn text(text: &str) -> Option<Self>;

    /// The number as the answer writes its digits.
    fn number(number: &str) -> Option<Self> {
        Self::text(number)
    }
}

impl<T: FromScalar> Field for T {
    fn read(walk: &mut Walk<'_>) -> Result<Option<Self>, SyntaxError> {
        Ok(match walk.peek() {
            Some(b'"') => T::text(&walk.string()?),
            // By its digits, not as a double: an order number of nine digits is safe in one, a
            // longer id is not.
            Some(b'-' | b'0'..=b'9') => T::number(walk.value()?),
            _ => walk.value().map(|_| None)?,
        })
    }
}

impl FromScalar for String {
    fn text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// Text, or an object that has it: `{"id": 3, "name": "Lab Review"}`.
impl Field for OrderStatus {
    fn read(walk: &mut Walk<'_>) -> Result<Option<Self>, SyntaxError> {
        Ok(match walk.peek() {
            Some(b'{') => ParsedRecord::<StatusFields>::walk(walk)?.fields.text,
            _ => String::read(walk)?,
        }
        .map(OrderStatus::from))
    }
}

super::record!(StatusFields, "a status" {
    text: String = ["name", "status", "statusname", "displayname", "text", "label", "title", "value", "description", "code"],
});

impl FromScalar for Url {
    fn text(text: &str) -> Option<Self> {
        Url::parse(text).ok()
    }
}

/// A count: a whole number, or text that is one.
impl FromScalar for u64 {
    fn text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn number(number: &str) -> Option<Self> {
        id_text(number)?.parse().ok()
    }
}

/// The text of a number that is an id. One that was written as a float is the integer that it is, as
/// Lua and Go write it; one that has lost digits on the way is none, since half an id is worse.
pub(crate) fn id_text(number: &str) -> Option<String> {
    /// Up to here a double holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        return Some(number.to_owned());
    }
    // From 2^53 on a double has gaps, so the digits may have been lost before they came.
    let double = number.parse::<f64>().ok().filter(|it| it.abs() < EXACT)?;
    let number = if double.fract() == 0.0 {
        // Within what a double holds exactly.
        Number::from(double as i64)
    } else {
        parse(number).ok()?
    };
    Some(number.to_string())
}

/// An entry of a list inside a record: an object, or something else in its place.
pub(crate) trait Entry: Sized {
    type Fields: Fields;

    fn from_fields(fields: Self::Fields) -> Self;

    fn from_text(text: &str) -> Self;

    /// Of anything else; `json` is what it is.
    fn from_other(json: &str) -> Self;
}

/// A list; a single record counts as a list of one.
impl<T: Entry> Field for Vec<T> {
    fn read(walk: &mut Walk<'_>) -> Result<Option<Self>, SyntaxError> {
        let mut list = Vec::new();
        match walk.peek() {
            Some(b'[') => {
                // An order has a zip and thumbnails; a vector would make room for four.
                list.reserve_exact(2);
                walk.list(|walk| {
                    if list.len() == walk.limits.entries {
                        // Noted and stepped over, so that the record is reported as too long and
                        // the rest of the listing is read.
                        walk.over = Some(ExceededLimit::Entries);
                        return walk.value().map(drop);
                    }
                    walk.count += 1;
                    list.push(one(walk)?);
                    Ok(())
                })?;
            }
            Some(b'{') => list.push(one(walk)?),
            _ => return walk.value().map(|_| None),
        }
        Ok(Some(list))
    }
}

fn one<T: Entry>(walk: &mut Walk<'_>) -> Result<T, SyntaxError> {
    Ok(match walk.peek() {
        Some(b'{') => T::from_fields(ParsedRecord::walk(walk)?.fields),
        Some(b'"') => T::from_text(&walk.string()?),
        _ => T::from_other(walk.value()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_digits_that_came_or_none() {
        for (number, id) in [
            ("123456789", Some("123456789")),
            ("123456789.0", Some("123456789")),
            ("1.23456789e8", Some("123456789")),
            ("-7", Some("-7")),
            ("1.5", Some("1.5")),
            (
                "123456789012345678901234567890",
                Some("123456789012345678901234567890"),
            ),
            // As a double printed it: digits are lost.
            ("1.2345678901234568e29", None),
            ("1e999", None),
        ] {
            assert_eq!(id_text(number).as_deref(), id, "{number}");
        }
    }

    #[test]
    fn half_a_character_is_replaced() {
        for (json, expected) in [
            (r#""a\ud800b""#, "a\u{FFFD}b"),
            (r#""\udfff""#, "\u{FFFD}"),
            (r#""\ud83e\uddb7 \ud83e""#, "🦷 \u{FFFD}"),
            (r#""plain""#, "plain"),
        ] {
            assert_eq!(Walk::new(json).string().as_deref(), Ok(expected), "{json}");
        }
        for json in ["7", "\"", r#""\u12""#, "\"a\nb\""] {
            assert_eq!(Walk::new(json).string(), Err(SyntaxError), "{json}");
        }
    }
}
