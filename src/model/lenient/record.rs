//! Records: fields by their names, best first.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::key::{Key, Names, WireKey};
use super::path::Path;

/// Fields that no other field took, by their own keys.
pub(crate) type Extra = serde_json::Map<String, Value>;

/// What a record lacks, in words of ours: never of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    pub(crate) what: &'static str,
    /// The fields, by their best names, of which one would do.
    pub(crate) names: &'static [&'static str],
}

/// The fields of a record, of which none is required.
pub(crate) trait Fields: Default + DeserializeOwned {
    /// What has them, with its article, as in `an order`.
    const WHAT: &'static str;

    /// Reads an object into fields that are empty.
    fn fill<'de, A: MapAccess<'de>>(&mut self, map: A) -> Result<(), A::Error>;

    /// The names by which they go.
    fn names() -> &'static Names;

    /// Goes on to what is bad in a field's value, see [`Field::locate`].
    fn locate(field: u8, json: &str, is_bad: &dyn Fn(&str) -> bool, path: &mut Path);
}

/// Reads an object into fields where they are: they take hundreds of bytes, which are not moved
/// about.
pub(crate) struct Fill<'a, F>(pub(crate) &'a mut F);

impl<'de, F: Fields> DeserializeSeed<'de> for Fill<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fields> Visitor<'de> for Fill<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(F::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.fill(map)
    }
}

/// What a listing lists.
pub(crate) trait Record: Sized {
    type Fields: Fields;

    /// Names that only the record itself has: what has one of them is no wrapping, whatever
    /// its other keys are.
    const OWN: &'static [Key];

    /// The record, if it has what it needs.
    fn from_fields(fields: Self::Fields) -> Result<Self, Missing>;
}

/// What a field may hold.
pub(crate) trait Field: Sized {
    /// Reads a value into its place.
    fn read<'de, D>(deserializer: D, place: Place<'_, Self>) -> Result<Taken, D::Error>
    where
        D: Deserializer<'de>;

    /// Goes on to what is bad in a value, where there are fields in it.
    fn locate(_json: &str, _is_bad: &dyn Fn(&str) -> bool, _path: &mut Path) {}
}

/// Where a value goes.
pub(crate) struct Place<'a, T> {
    field: &'a mut Option<T>,
    /// For a value of another shape: the field stays as it was.
    other: &'a mut Value,
}

/// Whether the field has taken the value. What it has not taken is `other`.
pub(crate) struct Taken(bool);

impl<T> Place<'_, T> {
    #[inline]
    pub(crate) fn take(self, value: T) -> Taken {
        *self.field = Some(value);
        Taken(true)
    }

    #[inline]
    pub(crate) fn pass(self, other: impl Into<Value>) -> Taken {
        *self.other = other.into();
        Taken(false)
    }
}

impl<'de, T: Field> DeserializeSeed<'de> for Place<'_, T> {
    type Value = Taken;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Taken, D::Error> {
        T::read(deserializer, self)
    }
}

/// A key, and the field of these that goes by it.
pub(crate) struct Found<'de> {
    pub(crate) key: Cow<'de, str>,
    /// The field and the name's rank.
    pub(crate) field: Option<(u8, u8)>,
}

/// Reads a key and looks for its field.
///
/// Made for each record apart: in what all records share, serde's part of it would be a call.
pub(crate) struct Find<F>(pub(crate) &'static Names, pub(crate) PhantomData<F>);

impl<'de, F> DeserializeSeed<'de> for Find<F> {
    type Value = Found<'de>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        let WireKey(key) = WireKey::deserialize(deserializer)?;
        Ok(Found {
            field: self.0.find(&key),
            key,
        })
    }
}

/// Takes a field's value, unless a better name of the field came before; what is not taken goes
/// to `extra`. `rank` counts the names from the best one, `taken` is the rank of the last one
/// that was taken.
pub(crate) fn take<'de, T: Field, A: MapAccess<'de>>(
    map: &mut A,
    key: Cow<'de, str>,
    rank: u8,
    taken: &mut u8,
    field: &mut Option<T>,
    extra: &mut Extra,
) -> Result<(), A::Error> {
    if *taken <= rank {
        extra.insert(key.into_owned(), map.next_value()?);
        return Ok(());
    }
    let mut other = Value::Null;
    let place = Place {
        field,
        other: &mut other,
    };
    let Taken(as_field) = map.next_value_seed(place)?;
    if as_field {
        *taken = rank;
    } else if !other.is_null() {
        // An explicit null is a field that is missing.
        extra.insert(key.into_owned(), other);
    }
    Ok(())
}

/// Declares the fields of a record with their names, best first, in lower case and without
/// signs, and reads them by the rule of this module. Nothing is required here: what the record
/// needs is its own to say.
macro_rules! record {
    ($(#[$meta:meta])* $fields:ident, $what:literal {
        $($field:ident: $type:ty = [$($name:literal),+],)+
    }) => {
        $(#[$meta])*
        #[derive(Default)]
        pub(crate) struct $fields {
            $($field: Option<$type>,)+
            extra: $crate::model::lenient::Extra,
        }

        const _: () = {
        #[allow(non_camel_case_types, reason = "named as the fields are")]
        enum Field { $($field),+ }

        const FIELDS: usize = [$(Field::$field),+].len();

        // Not a constant: that would be copied wherever it is used.
        static NAMES: $crate::model::lenient::Names =
            $crate::model::lenient::Names::new(&[$($(($name, Field::$field as u8)),+),+]);

        impl $crate::model::lenient::Fields for $fields {
            const WHAT: &'static str = $what;

            fn names() -> &'static $crate::model::lenient::Names {
                &NAMES
            }

            fn locate(
                field: u8,
                json: &str,
                is_bad: &dyn Fn(&str) -> bool,
                path: &mut $crate::model::lenient::Path,
            ) {
                match field {
                    $(field if field == Field::$field as u8 => {
                        <$type as $crate::model::lenient::Field>::locate(json, is_bad, path);
                    })+
                    _ => {}
                }
            }

            fn fill<'de, A: serde::de::MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
                use $crate::model::lenient;

                let mut taken = [u8::MAX; FIELDS];
                let find = || lenient::Find::<Self>(&NAMES, std::marker::PhantomData);
                while let Some(lenient::Found { key, field }) = map.next_key_seed(find())? {
                    match field {
                        $(Some((field, rank)) if field == Field::$field as u8 => {
                            let taken = &mut taken[Field::$field as usize];
                            let field = &mut self.$field;
                            lenient::take(&mut map, key, rank, taken, field, &mut self.extra)?;
                        })+
                        _ => {
                            self.extra.insert(key.into_owned(), map.next_value()?);
                        }
                    }
                }
                Ok(())
            }
        }

        impl<'de> serde::Deserialize<'de> for $fields {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let mut fields = $fields::default();
                serde::de::DeserializeSeed::deserialize(
                    $crate::model::lenient::Fill(&mut fields),
                    deserializer,
                )?;
                Ok(fields)
            }
        }
        };
    };
}
pub(crate) use record;
