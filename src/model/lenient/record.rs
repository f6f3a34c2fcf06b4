//! Records: fields by their names, best first.

use serde::de::{Deserialize, DeserializeOwned, MapAccess};
use serde_json::Value;

use super::key::Key;
use super::value::Read;

/// Fields that no other field took, by their own keys.
pub(crate) type Extra = serde_json::Map<String, Value>;

/// What a record lacks, in words of ours: never of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing(pub(crate) &'static str);

/// What a listing lists.
pub(crate) trait Record: Sized {
    /// Its fields, of which none is required.
    type Fields: DeserializeOwned;

    /// With its article, as in `an order`.
    const WHAT: &'static str;

    /// Names that only the record itself has: what has one of them is no wrapping, whatever
    /// its other keys are.
    const OWN: &'static [Key];

    /// The record, if it has what it needs.
    fn from_fields(fields: Self::Fields) -> Result<Self, Missing>;
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
/// signs, and reads them by the rule of this module. Nothing is required here: what the record
/// needs is its own to say.
macro_rules! record {
    ($fields:ident, $what:literal { $($field:ident: $type:ty = [$($name:literal),+],)+ }) => {
        #[derive(Default)]
        pub(crate) struct $fields {
            $($field: Option<(u8, $type)>,)+
            extra: $crate::model::lenient::Extra,
        }

        impl<'de> serde::Deserialize<'de> for $fields {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[allow(non_camel_case_types, reason = "named as the fields are")]
                enum Field { $($field),+ }

                const LIST: &[(&str, u8)] = &[$($(($name, Field::$field as u8)),+),+];
                // Not a constant: that would be copied wherever it is used.
                static NAMES: $crate::model::lenient::Names<{ LIST.len() }> = {
                    let mut list = [("", 0); LIST.len()];
                    list.copy_from_slice(LIST);
                    $crate::model::lenient::Names::new(list)
                };

                struct Visitor;

                impl<'de> serde::de::Visitor<'de> for Visitor {
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
                        while let Some(lenient::WireKey(key)) = map.next_key()? {
                            match lenient::Key::of(&key).and_then(|key| NAMES.find(key)) {
                                $(Some((field, rank)) if field == Field::$field as u8 => {
                                    lenient::take(
                                        &mut map, &key, rank, &mut fields.$field, &mut fields.extra,
                                    )?;
                                })+
                                _ => {
                                    fields.extra.insert(key.into_owned(), map.next_value()?);
                                }
                            }
                        }
                        Ok(fields)
                    }
                }

                deserializer.deserialize_map(Visitor)
            }
        }
    };
}
pub(crate) use record;
