//! JSON as it comes: how keys are spelled, and whether an id is a number, is not documented.
//!
//! One rule for every record: keys are compared without regard to case, `_` and `-`; a field
//! goes by several names, of which the first one wins; an id or a date may be text or a number;
//! what has no field, or not the shape that its field has, is kept under its own key.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Fields that no other field took, by their own keys.
pub(crate) type Extra = serde_json::Map<String, Value>;

/// Whether `key` is spelled like `name`, which is in lower case and without signs.
pub(crate) fn same_key(key: &str, name: &str) -> bool {
    letters(key).eq(name.bytes())
}

/// The bytes of a key that count, in lower case.
fn letters(key: &str) -> impl Iterator<Item = u8> + '_ {
    key.bytes()
        .filter(|byte| !matches!(byte, b'_' | b'-'))
        .map(|byte| byte.to_ascii_lowercase())
}

/// A key in the form in which names are compared, on the stack; longer keys are no names.
pub(crate) struct Key {
    bytes: [u8; 32],
    length: usize,
}

impl Key {
    pub(crate) fn of(key: &str) -> Option<Key> {
        let mut bytes = [0; 32];
        let mut length = 0;
        for byte in letters(key) {
            *bytes.get_mut(length)? = byte;
            length += 1;
        }
        Some(Key { bytes, length })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A value that has the shape of its field, or whatever it is instead.
pub(crate) enum Read<T> {
    As(T),
    Other(Value),
}

/// Text, or a number taken as text.
pub(crate) struct Text(pub(crate) String);

/// A count of bytes: a number, or text that is one.
pub(crate) struct Size(pub(crate) u64);

/// A list; a single record counts as a list of one.
pub(crate) struct Many<T>(pub(crate) Vec<T>);

impl<'de> Deserialize<'de> for Read<Text> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar(PhantomData::<Text>))
    }
}

impl<'de> Deserialize<'de> for Read<Size> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar(PhantomData::<Size>))
    }
}

trait FromScalar: Sized {
    fn text(text: &str) -> Option<Self>;
    fn number(number: serde_json::Number) -> Option<Self>;
}

impl FromScalar for Text {
    fn text(text: &str) -> Option<Self> {
        Some(Text(text.to_owned()))
    }

    fn number(number: serde_json::Number) -> Option<Self> {
        Some(Text(number.to_string()))
    }
}

impl FromScalar for Size {
    fn text(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Size)
    }

    fn number(number: serde_json::Number) -> Option<Self> {
        number.as_u64().map(Size)
    }
}

struct Scalar<T>(PhantomData<T>);

impl<T: FromScalar> Scalar<T> {
    fn number<E>(number: impl Into<serde_json::Number>) -> Result<Read<T>, E> {
        let number = number.into();
        Ok(T::number(number.clone()).map_or(Read::Other(Value::Number(number)), Read::As))
    }
}

impl<'de, T: FromScalar> Visitor<'de> for Scalar<T> {
    type Value = Read<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Read<T>, E> {
        Ok(T::text(text).map_or_else(|| Read::Other(text.into()), Read::As))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Read<T>, E> {
        Self::number(number)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Read<T>, E> {
        Self::number(number)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Read<T>, E> {
        match serde_json::Number::from_f64(number) {
            Some(number) => Self::number(number),
            None => Ok(Read::Other(Value::Null)),
        }
    }

    fn visit_bool<E>(self, value: bool) -> Result<Read<T>, E> {
        Ok(Read::Other(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Read<T>, E> {
        Ok(Read::Other(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Read<T>, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(Read::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Read<T>, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(Read::Other)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Read<Many<T>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Read<Many<T>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Read::As(Many(list)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let one = T::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Read::As(Many(vec![one])))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Read::Other(text.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Read::Other(number.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Read::Other(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Read::Other(number.into()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Read::Other(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Read::Other(Value::Null))
            }
        }

        deserializer.deserialize_any(List(PhantomData))
    }
}

/// An entry of a list inside a record: an object, or one text in its place.
pub(crate) trait Entry: for<'de> Deserialize<'de> {
    fn from_text(text: &str) -> Self;
    fn from_other(value: Value) -> Self;
}

/// Reads an entry, whatever it is.
pub(crate) struct AnyEntry<T>(pub(crate) T);

impl<'de, T: Entry> Deserialize<'de> for AnyEntry<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);

        impl<'de, T: Entry> Visitor<'de> for Any<T> {
            type Value = AnyEntry<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an entry")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(AnyEntry)
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(AnyEntry(T::from_text(text)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                let value = Value::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(AnyEntry(T::from_other(value)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(AnyEntry(T::from_other(number.into())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(AnyEntry(T::from_other(number.into())))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(AnyEntry(T::from_other(number.into())))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(AnyEntry(T::from_other(value.into())))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(AnyEntry(T::from_other(Value::Null)))
            }
        }

        deserializer.deserialize_any(Any(PhantomData))
    }
}

/// Takes a field's value, unless a better name of the field came before; what is not taken goes
/// to `extra`. `rank` counts the names from the best one.
pub(crate) fn take<'de, T, A>(
    map: &mut A,
    key: &str,
    rank: u8,
    slot: &mut Option<(u8, T)>,
    extra: &mut Extra,
) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
    Read<T>: Deserialize<'de>,
{
    if slot.as_ref().is_some_and(|(taken, _)| *taken <= rank) {
        extra.insert(key.to_owned(), map.next_value()?);
        return Ok(());
    }
    match map.next_value()? {
        // An explicit null is a field that is missing.
        Read::Other(Value::Null) => {}
        Read::Other(value) => {
            extra.insert(key.to_owned(), value);
        }
        Read::As(value) => *slot = Some((rank, value)),
    }
    Ok(())
}

/// Declares the fields of a record with their names, best first, in lower case and without
/// signs, and reads them by the rule of this module. Nothing is required here: the record's
/// `TryFrom` decides that.
macro_rules! record {
    ($fields:ident, $what:literal { $($field:ident: $type:ty = [$($name:literal),+],)+ }) => {
        #[derive(Default)]
        struct $fields {
            $($field: Option<(u8, $type)>,)+
            extra: $crate::model::lenient::Extra,
        }

        impl<'de> serde::Deserialize<'de> for $fields {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Record;

                impl<'de> serde::de::Visitor<'de> for Record {
                    type Value = $fields;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$fields, A::Error> {
                        use $crate::model::lenient;
                        let mut fields = $fields::default();
                        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                            let name = lenient::Key::of(&key);
                            let name = name.as_ref().map_or(&b""[..], lenient::Key::as_bytes);
                            $(
                                if let Some(rank) = lenient::rank(name, &[$($name),+]) {
                                    lenient::take(
                                        &mut map, &key, rank, &mut fields.$field, &mut fields.extra,
                                    )?;
                                    continue;
                                }
                            )+
                            fields.extra.insert(key.into_owned(), map.next_value()?);
                        }
                        Ok(fields)
                    }
                }

                deserializer.deserialize_map(Record)
            }
        }
    };
}
pub(crate) use record;

/// Which of the names this is, counted from the best one.
#[inline]
pub(crate) fn rank(name: &[u8], names: &[&str]) -> Option<u8> {
    let at = names.iter().position(|known| known.as_bytes() == name)?;
    Some(at as u8)
}

/// Keys under which a list may be wrapped.
const WRAPPERS: [&str; 8] = [
    "orders", "accounts", "cases", "items", "data", "results", "value", "content",
];

/// The records of a listing: a bare list, a list wrapped in an object, or one object by itself.
pub(crate) struct Records<T> {
    pub(crate) good: Vec<T>,
    /// Position and reason of each record that cannot be read.
    pub(crate) unreadable: Vec<(usize, String)>,
}

/// Reads a listing.
///
/// A list that decodes is decoded once; only one that fails is read again, record by record,
/// so that one bad record does not hide the good ones.
pub(crate) fn records<T>(body: &[u8]) -> Result<Records<T>, serde_json::Error>
where
    T: for<'de> Deserialize<'de>,
{
    if let Ok(Wrapped(good)) = serde_json::from_slice::<Wrapped<T>>(body) {
        return Ok(Records {
            good,
            unreadable: Vec::new(),
        });
    }
    let Wrapped(values) = serde_json::from_slice::<Wrapped<Value>>(body)?;
    let mut records = Records {
        good: Vec::with_capacity(values.len()),
        unreadable: Vec::new(),
    };
    for (position, value) in values.into_iter().enumerate() {
        match T::deserialize(value.into_deserializer()) {
            Ok(record) => records.good.push(record),
            Err(error) => records.unreadable.push((position, message(&error))),
        }
    }
    Ok(records)
}

/// Why a record cannot be read, without its values: the messages of our own readers name fields
/// only, those of serde may quote what they found.
pub(crate) fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !text.starts_with("invalid type") && !text.starts_with("invalid value") {
        return text;
    }
    match (error.line(), error.column()) {
        // Read again from a value, which has no lines.
        (0, _) => "a value has the wrong type".to_owned(),
        (line, column) => format!("a value has the wrong type, line {line} column {column}"),
    }
}

struct Wrapped<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Wrapped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Wrapped<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or an object that wraps one")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Wrapped<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Wrapped(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wrapped<T>, A::Error> {
                let mut list = None;
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    let wraps = WRAPPERS.iter().any(|name| same_key(&key, name));
                    if wraps && list.is_none() {
                        list = map.next_value::<Option<Vec<T>>>()?;
                    } else {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                list.map(Wrapped)
                    .ok_or_else(|| A::Error::custom("it holds no list of records"))
            }
        }

        deserializer.deserialize_any(List(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_without_case_and_signs() {
        for key in ["rxId", "RxID", "rx_id", "RX-ID", "rxid"] {
            assert!(same_key(key, "rxid"), "{key}");
            assert_eq!(
                Key::of(key).map(|k| k.as_bytes().to_vec()),
                Some(b"rxid".to_vec())
            );
        }
        assert!(!same_key("rx id", "rxid"));
        assert!(Key::of(&"x".repeat(33)).is_none());
    }

    #[test]
    fn a_list_may_be_bare_or_wrapped() {
        for body in [
            "[1,2]",
            r#"{"total":2,"Items":[1,2]}"#,
            r#"{"data":[1,2],"next":null}"#,
        ] {
            assert_eq!(
                records::<u32>(body.as_bytes()).map(|r| r.good).ok(),
                Some(vec![1, 2])
            );
        }
        assert!(records::<u32>(b"{}").is_err());
        assert!(records::<u32>(b"<html>").is_err());
        assert_eq!(
            records::<u32>(br#"{"orders":[]}"#)
                .map(|r| r.good.len())
                .ok(),
            Some(0)
        );
    }

    #[test]
    fn one_bad_record_does_not_hide_the_good_ones() {
        let records = records::<u32>(br#"[1,"two",3]"#).unwrap();
        assert_eq!(records.good, [1, 3]);
        assert_eq!(records.unreadable.len(), 1);
        assert_eq!(records.unreadable[0].0, 1);
    }
}
