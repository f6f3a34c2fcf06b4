//! Records: fields by their names, best first.

use std::borrow::Cow;

use super::extra::Extra;
use super::fault::{Fault, Located, Path};
use super::parse::members;

/// What a record lacks, in words of ours: never of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    pub(crate) what: &'static str,
    /// The fields, by their best names, of which one would do.
    pub(crate) names: &'static [&'static str],
}

/// What a listing lists.
pub(crate) trait Record: Sized {
    type Fields: Fields;

    /// Names that only the record itself has: what has one of them is no wrapping, whatever
    /// its other keys are.
    const OWN: &'static [&'static str];

    /// The record, if it has what it needs.
    fn from_fields(fields: Self::Fields) -> Result<Self, Missing>;

    /// Reads a record; `path` is its place, for the error.
    fn read(json: &str, path: impl FnOnce() -> Path) -> Result<Self, Located> {
        let mut misshapen = None;
        let fields = match Self::Fields::read(json, &mut misshapen) {
            Ok(fields) => fields,
            Err(fault) => {
                return Err(Located {
                    path: path(),
                    fault,
                });
            }
        };
        Self::from_fields(fields).map_err(|missing| {
            let lacks = |name: &str| missing.names.contains(&name);
            let (name, fault) = match (misshapen, missing.names) {
                (Some((name, fault)), _) if lacks(name) => (Some(name), fault),
                (_, [name]) => (Some(*name), Fault::Missing(missing.what)),
                _ => (None, Fault::Missing(missing.what)),
            };
            let mut path = path();
            if let Some(name) = name {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Located { path, fault }
        })
    }
}

/// The fields of a record, of which none is required.
pub(crate) trait Fields: Default {
    /// Reads an object.
    fn read(json: &str, misshapen: &mut Misshapen) -> Result<Self, Fault>;
}

/// The best name of the first field whose value has another shape, and what is wrong with it.
pub(crate) type Misshapen = Option<(&'static str, Fault)>;

/// A field that goes by a key.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) field: usize,
    /// The name's rank among those of the field: 0 is the best.
    pub(crate) rank: usize,
}

/// Splits an object into its members and hands each to its field: `take` says whether the value has
/// the field's shape. What no field takes goes to `extra`.
///
/// Of several members that one field goes by, the one with the best name counts. Of two that are
/// spelled alike it does not matter which comes first, so that a database may sort them; the other
/// says nothing, and is dropped.
pub(crate) fn read_known(
    json: &str,
    what: &'static str,
    find: impl Fn(&str) -> Option<Known>,
    extra: &mut Extra,
    mut take: impl FnMut(usize, &str) -> bool,
) -> Result<(), Fault> {
    let mut found: Vec<(Known, Cow<'_, str>, &str)> = Vec::with_capacity(12);
    let read = members(json, |key, value| match find(&key) {
        // An explicit null is a field that is missing.
        Some(_) if value == "null" => {}
        Some(known) => found.push((known, key, value)),
        None => extra.push(&key, value),
    });
    read.map_err(|error| {
        if error.is_data() {
            Fault::shape(json, what)
        } else {
            Fault::Syntax
        }
    })?;
    // Backwards, and stable: of one key that stands twice the later one counts, as everywhere.
    found.reverse();
    found.sort_by(|(a, a_key, _), (b, b_key, _)| {
        (a.field, a.rank, a_key).cmp(&(b.field, b.rank, b_key))
    });
    found.dedup_by(|(_, later, _), (_, first, _)| later == first);
    let mut taken: Option<Known> = None;
    for (known, key, value) in found {
        match taken.filter(|taken| taken.field == known.field) {
            Some(taken) if taken.rank == known.rank => {}
            Some(_) => extra.push(&key, value),
            None if take(known.field, value) => taken = Some(known),
            None => extra.push(&key, value),
        }
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
        use $crate::model::lenient::{self, Fault, Field as _, Known};

        #[allow(non_camel_case_types, reason = "named as the fields are")]
        enum Field { $($field),+ }

        /// The names of each field, best first.
        const NAMES: &[&[&str]] = &[$(&[$($name),+]),+];

        // A longer name would never be found.
        const _: () = {
            let mut field = 0;
            while field < NAMES.len() {
                let mut name = 0;
                while name < NAMES[field].len() {
                    assert!(NAMES[field][name].len() <= $crate::key::LONGEST);
                    name += 1;
                }
                field += 1;
            }
        };

        /// The field that goes by a key.
        fn find(key: &str) -> Option<Known> {
            let folded = $crate::key::Folded::new(key);
            let key = folded.as_str();
            let field = match key {
                $($($name)|+ => Field::$field as usize,)+
                _ => return None,
            };
            let rank = NAMES[field].iter().position(|name| *name == key)?;
            Some(Known { field, rank })
        }

        impl lenient::Fields for $fields {
            fn read(json: &str, misshapen: &mut lenient::Misshapen) -> Result<Self, Fault> {
                let mut extra = lenient::Extra::default();
                let mut fields = $fields::default();
                lenient::read_known(json, $what, find, &mut extra, |field, value| {
                    let taken = match field {
                        $(field if field == Field::$field as usize => {
                            fields.$field = <$type>::read(value);
                            fields.$field.is_some()
                        })+
                        _ => false,
                    };
                    if !taken && misshapen.is_none() {
                        let fault = Fault::shape(value, "text or a number");
                        *misshapen = Some((NAMES[field][0], fault));
                    }
                    taken
                })?;
                fields.extra = extra;
                Ok(fields)
            }
        }

        /// From whatever describes itself, also within a type that a user flattens or tags. Answers
        /// and stores are read from their text, which costs no tree.
        impl<'de> serde::Deserialize<'de> for $fields {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                <$fields as lenient::Fields>::read(&value.to_string(), &mut None)
                    .map_err(serde::de::Error::custom)
            }
        }
        };
    };
}
pub(crate) use record;
