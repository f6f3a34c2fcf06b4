//! Values that come in several shapes: text or a number, a list or a single record.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use url::Url;

use super::path::{Path, locate_in_list};
use super::record::{Field, Fields, Place, Taken};
use crate::status::OrderStatus;

/// What is made of text, or of a number.
pub(crate) trait FromScalar: Sized {
    fn text(text: &str) -> Option<Self>;

    fn number(number: &Number) -> Option<Self> {
        Self::text(&number.to_string())
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

    fn number(number: &Number) -> Option<Self> {
        number.as_u64()
    }
}

/// The text of a number that lost nothing in being read: beyond 64 bits digits are lost, and
/// half an id is worse than none.
pub(crate) fn exact_text(number: &Number) -> Option<String> {
    /// Up to here a double holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let lost = number.is_f64() && number.as_f64().is_none_or(|double| double.abs() >= EXACT);
    (!lost).then(|| number.to_string())
}

impl<T: FromScalar> Field for T {
    #[inline]
    fn read<'de, D>(deserializer: D, place: Place<'_, Self>) -> Result<Taken, D::Error>
    where
        D: Deserializer<'de>,
    {
        deserializer.deserialize_any(Scalar(place))
    }
}

struct Scalar<'a, T>(Place<'a, T>);

impl<T: FromScalar> Scalar<'_, T> {
    fn number(self, number: impl Into<Number>) -> Taken {
        let number = number.into();
        match T::number(&number) {
            Some(value) => self.0.take(value),
            None => self.0.pass(number),
        }
    }
}

impl<'de, T: FromScalar> Visitor<'de> for Scalar<'_, T> {
    type Value = Taken;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Taken, E> {
        Ok(match T::text(text) {
            Some(value) => self.0.take(value),
            None => self.0.pass(text),
        })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Taken, E> {
        Ok(self.number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Taken, E> {
        Ok(self.number(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Taken, E> {
        Ok(match Number::from_f64(number) {
            Some(number) => self.number(number),
            None => self.0.pass(Value::Null),
        })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Taken, E> {
        Ok(self.0.pass(value))
    }

    fn visit_unit<E>(self) -> Result<Taken, E> {
        Ok(self.0.pass(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Taken, A::Error> {
        let value = Value::deserialize(SeqAccessDeserializer::new(seq))?;
        Ok(self.0.pass(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Taken, A::Error> {
        // If some other crate turns on serde_json's `arbitrary_precision`, a number comes as
        // a map of serde_json's own.
        Ok(match Value::deserialize(MapAccessDeserializer::new(map))? {
            Value::Number(number) => self.number(number),
            other => self.0.pass(other),
        })
    }
}

/// An entry of a list inside a record: an object, or one text in its place.
pub(crate) trait Entry: Sized {
    type Fields: Fields;

    /// Reads an object to the end of the list.
    fn push<'de, A: MapAccess<'de>>(list: &mut Vec<Self>, map: A) -> Result<(), A::Error>;

    fn from_text(text: &str) -> Self;

    fn from_other(value: Value) -> Self;
}

/// A list; a single record counts as a list of one.
impl<T: Entry> Field for Vec<T> {
    fn read<'de, D>(deserializer: D, place: Place<'_, Self>) -> Result<Taken, D::Error>
    where
        D: Deserializer<'de>,
    {
        deserializer.deserialize_any(List(place))
    }

    fn locate(json: &str, is_bad: &dyn Fn(&str) -> bool, path: &mut Path) {
        locate_in_list::<T::Fields>(json, is_bad, path);
    }
}

struct List<'a, T>(Place<'a, Vec<T>>);

impl<'de, T: Entry> Visitor<'de> for List<'_, T> {
    type Value = Taken;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Taken, A::Error> {
        let mut list = Vec::new();
        while seq.next_element_seed(Push(&mut list))?.is_some() {}
        Ok(self.0.take(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Taken, A::Error> {
        let mut list = Vec::with_capacity(1);
        T::push(&mut list, map)?;
        Ok(self.0.take(list))
    }

    fn visit_str<E>(self, text: &str) -> Result<Taken, E> {
        Ok(self.0.pass(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Taken, E> {
        Ok(self.0.pass(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Taken, E> {
        Ok(self.0.pass(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Taken, E> {
        Ok(self.0.pass(number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Taken, E> {
        Ok(self.0.pass(value))
    }

    fn visit_unit<E>(self) -> Result<Taken, E> {
        Ok(self.0.pass(Value::Null))
    }
}

/// Reads an entry, whatever it is, to the end of the list.
struct Push<'a, T>(&'a mut Vec<T>);

impl<'de, T: Entry> DeserializeSeed<'de> for Push<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: Entry> Push<'_, T> {
    fn other<E>(self, value: impl Into<Value>) -> Result<(), E> {
        self.0.push(T::from_other(value.into()));
        Ok(())
    }
}

impl<'de, T: Entry> Visitor<'de> for Push<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if self.0.is_empty() {
            // An order has a zip and thumbnails; a vector would make room for four.
            self.0.reserve_exact(2);
        }
        T::push(self.0, map)
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push(T::from_text(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.other(Value::deserialize(SeqAccessDeserializer::new(seq))?)
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.other(number)
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.other(number)
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.other(number)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.other(value)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.other(Value::Null)
    }
}
