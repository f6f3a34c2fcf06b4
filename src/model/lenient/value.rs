//! Values that come in several shapes: text or a number, a list or a single record.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;
use url::Url;

use super::parse::{parse, seeded, text};
use super::record::{Fields, Read};
use crate::status::OrderStatus;

/// What a field may hold.
pub(crate) trait Field: Sized {
    /// Reads a value; `None` if it has another shape.
    fn read(json: &str) -> Option<Self>;
}

/// What is made of text, or of a number.
pub(crate) trait FromScalar: Sized {
    fn text(text: &str) -> Option<Self>;

    /// The number as its digits stand in the answer.
    fn number(number: &str) -> Option<Self> {
        Self::text(number)
    }
}

impl<T: FromScalar> Field for T {
    fn read(json: &str) -> Option<Self> {
        match json.bytes().next()? {
            b'"' => T::text(&text(json)?),
            b'-' | b'0'..=b'9' => T::number(json),
            _ => None,
        }
    }
}

impl FromScalar for String {
    fn text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FromScalar for OrderStatus {
    fn text(text: &str) -> Option<Self> {
        Some(OrderStatus::from(text))
    }
}

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
    let double = number.parse::<f64>().ok().filter(|it| it.abs() < EXACT)?;
    let number = if double.fract() == 0.0 {
        // Within what a double holds exactly.
        Number::from(double as i64)
    } else {
        parse(number).ok()?
    };
    Some(number.to_string())
}

/// An entry of a list inside a record: an object, or one text in its place.
pub(crate) trait Entry: Sized {
    type Fields: Fields;

    fn from_fields(fields: Self::Fields) -> Self;

    fn from_text(text: &str) -> Self;

    /// Of anything else; `json` is what it is.
    fn from_other(json: &str) -> Self;
}

/// A list; a single record counts as a list of one.
impl<T: Entry> Field for Vec<T> {
    fn read(json: &str) -> Option<Self> {
        if !json.starts_with(['[', '{']) {
            return None;
        }
        let mut list = Vec::new();
        if seeded(json, Entries(&mut list)).is_err() {
            // An entry that no parser takes must cost no other: each is read by itself.
            let entries: Vec<&RawValue> = parse(json).ok()?;
            list = entries.into_iter().map(|entry| one(entry.get())).collect();
        }
        Some(list)
    }
}

fn one<T: Entry>(json: &str) -> T {
    let read = match json.bytes().next() {
        Some(b'{') => Read::of(json).ok().map(|read| T::from_fields(read.fields)),
        Some(b'"') => text(json).map(|text| T::from_text(&text)),
        _ => None,
    };
    read.unwrap_or_else(|| T::from_other(json))
}

/// Reads a list, or one entry, to the end of a list.
struct Entries<'a, T>(&'a mut Vec<T>);

impl<'de, T: Entry> DeserializeSeed<'de> for Entries<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Entry> Visitor<'de> for Entries<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        // An order has a zip and thumbnails; a vector would make room for four.
        self.0.reserve_exact(2);
        while let Some(()) = seq.next_element_seed(One(self.0))? {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        One(self.0).visit_map(map)
    }
}

/// Reads one entry, whatever it is, to the end of a list.
struct One<'a, T>(&'a mut Vec<T>);

impl<'de, T: Entry> DeserializeSeed<'de> for One<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: Entry> One<'_, T> {
    fn other<E>(self, json: &str) -> Result<(), E> {
        self.0.push(T::from_other(json));
        Ok(())
    }
}

impl<'de, T: Entry> Visitor<'de> for One<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let read = Read::<T::Fields>::of_map(map)?;
        self.0.push(T::from_fields(read.fields));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push(T::from_text(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element::<&RawValue>()? {
            list.push(value.get());
        }
        self.other(&format!("[{}]", list.join(",")))
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.other(&number.to_string())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.other(&number.to_string())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.other(&Number::from_f64(number).map_or_else(|| "null".to_owned(), |it| it.to_string()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.other(if value { "true" } else { "false" })
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.other("null")
    }
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
            assert_eq!(text(json).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(text("7"), None);
    }
}
