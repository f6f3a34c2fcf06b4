//! Values that come in several shapes: text or a number, a list or a single record.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use url::Url;

use crate::status::OrderStatus;

/// A value that has the shape of its field, or whatever it is instead.
pub(crate) enum Read<T> {
    As(T),
    Other(Value),
}

/// An id: text, or a number that lost nothing in being read.
pub(crate) struct Id(pub(crate) String);

/// Text, or a number taken as text.
pub(crate) struct Text(pub(crate) String);

/// A count of bytes: a number, or text that is one.
pub(crate) struct Size(pub(crate) u64);

/// A list; a single record counts as a list of one.
pub(crate) struct Many<T>(pub(crate) Vec<T>);

impl<'de, T: FromScalar> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar(PhantomData))
    }
}

/// What is made of text, or of a number.
pub(crate) trait FromScalar: Sized {
    fn text(text: &str) -> Option<Self>;

    fn number(number: &serde_json::Number) -> Option<Self> {
        Self::text(&number.to_string())
    }
}

impl FromScalar for Id {
    fn text(text: &str) -> Option<Self> {
        Some(Id(text.to_owned()))
    }

    /// Beyond 64 bits digits are lost in reading, and half an id is worse than none.
    fn number(number: &serde_json::Number) -> Option<Self> {
        /// Up to here a double holds every whole number.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let lost = number.is_f64() && number.as_f64().is_none_or(|double| double.abs() >= EXACT);
        (!lost).then(|| Id(number.to_string()))
    }
}

impl FromScalar for Text {
    fn text(text: &str) -> Option<Self> {
        Some(Text(text.to_owned()))
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

impl FromScalar for Size {
    fn text(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Size)
    }
}

struct Scalar<T>(PhantomData<T>);

impl<T: FromScalar> Scalar<T> {
    fn number<E>(number: impl Into<serde_json::Number>) -> Result<Read<T>, E> {
        let number = number.into();
        Ok(T::number(&number).map_or(Read::Other(Value::Number(number)), Read::As))
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
        // If some other crate turns on serde_json's `arbitrary_precision`, a number comes as
        // a map of serde_json's own.
        match Value::deserialize(MapAccessDeserializer::new(map))? {
            Value::Number(number) => Self::number(number),
            other => Ok(Read::Other(other)),
        }
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
#[repr(transparent)]
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
