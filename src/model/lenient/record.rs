//! Records: fields by their names, best first.
//!
//! *Problem.* A field goes by several names, and an answer may have more than one of them, in any
//! order.
//!
//! *Approach.* Each member goes to its field when it is met. Only if a field is named twice is the
//! record read again, with all its members at hand; that is rare, and the common case costs one
//! pass. No member must be lost: what no field takes goes to `extra`.

use super::extra::ExtraFields;
use super::fault::{Fault, Ids, LocatedFault, Path};
use super::limits::{ExceededLimit, Limits};
use super::parse::{SyntaxError, Walk, members};
use super::shapes::Shapes;
use crate::key::FoldedKey;

/// What a record lacks, in words of ours: never of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MissingField {
    pub(crate) what: &'static str,
    /// The fields, by their best names; one of them would do.
    pub(crate) names: &'static [&'static str],
}

/// What a listing lists.
pub(crate) trait Record: Sized {
    type Fields: Fields;

    /// Names that only the record itself has: what has one of them is no wrapping, whatever
    /// its other keys are.
    const OWN: &'static [&'static str];

    /// The record, if it has what it needs.
    fn from_fields(fields: Self::Fields) -> Result<Self, MissingField>;

    /// What names a record that lacks something else.
    fn ids(_: &Self::Fields) -> Ids {
        Ids::default()
    }

    /// Whether it can be nothing else, though it has no key of its own: an envelope has an id and a
    /// status too.
    fn is_certain(&self) -> bool {
        false
    }

    /// Reads a record; `path` is its place, for the error.
    fn read(
        json: &str,
        limits: Limits,
        shapes: Option<&Shapes>,
        path: impl FnOnce() -> Path,
    ) -> Result<Self, LocatedFault> {
        match ParsedRecord::of(json, limits, shapes) {
            Ok(read) => Self::judge(read, path),
            Err(fault) => Err(LocatedFault::new(path(), fault)),
        }
    }

    /// The record of these fields, or what it lacks.
    fn judge(
        read: ParsedRecord<Self::Fields>,
        path: impl FnOnce() -> Path,
    ) -> Result<Self, LocatedFault> {
        // Before the fields are consumed: the error needs the ids.
        let ids = Self::ids(&read.fields);
        // A record that is over a limit was not read to its end, so what it seems to lack may be
        // there.
        if let Some(over) = read.over {
            return Err(LocatedFault {
                ids,
                ..LocatedFault::new(path(), Fault::ExceededLimit(over))
            });
        }
        let misshapen = read.misshapen;
        Self::from_fields(read.fields).map_err(|missing| {
            let lacks = |name: &str| missing.names.contains(&name);
            // A field of the wrong shape is the better explanation of a field that is missing.
            let (name, fault) = match (misshapen, missing.names) {
                (Some((field, fault)), _) if lacks(Self::Fields::name(field)) => {
                    (Some(Self::Fields::name(field)), fault)
                }
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
            LocatedFault { path, fault, ids }
        })
    }
}

/// The fields of a record; none is required.
pub(crate) trait Fields: Default {
    /// What has them, with its article, as in `an order`.
    const WHAT: &'static str;

    /// The field that goes by a key.
    fn find(key: &str) -> Option<KnownField>;

    /// Sets a field, if the value has its shape. Either way the walk steps over the value.
    fn take(&mut self, field: usize, walk: &mut Walk<'_>) -> Result<bool, SyntaxError>;

    /// The best name of a field.
    fn name(field: usize) -> &'static str;

    fn extra(&mut self) -> &mut ExtraFields;
}

/// A field that goes by a key.
#[derive(Clone, Copy)]
pub(crate) struct KnownField {
    pub(crate) field: usize,
    /// The name's rank among those of the field: 0 is the best.
    pub(crate) rank: usize,
}

/// Fields as they were read.
pub(crate) struct ParsedRecord<F> {
    pub(crate) fields: F,
    /// The first field whose value has another shape, and what is wrong with it.
    misshapen: Option<(usize, Fault)>,
    /// What it is too large for.
    over: Option<ExceededLimit>,
}

impl<F: Fields> ParsedRecord<F> {
    /// Reads an object.
    pub(crate) fn of(json: &str, limits: Limits, shapes: Option<&Shapes>) -> Result<Self, Fault> {
        let mut walk = Walk::within(json, limits).shaped(shapes);
        if walk.peek() != Some(b'{') {
            return Err(Fault::shape(json, F::WHAT));
        }
        let read = Self::whole(&mut walk);
        read.and_then(|read| walk.end().map(|()| read))
            .map_err(|SyntaxError| Fault::Syntax)
    }

    /// The same of an object on the way: each member goes to the field that it names, and what no
    /// field takes to `extra`.
    pub(crate) fn walk(walk: &mut Walk<'_>) -> Result<Self, SyntaxError> {
        let begin = walk.mark();
        let mut read = Self::new();
        // One bit for each field; no record has more than 32.
        let (mut named, mut named_twice) = (0_u32, false);
        walk.object(|walk, key| {
            if walk.length(begin) > walk.limits.record_bytes {
                // What it has else is not kept: it is over its limit already.
                walk.over = Some(ExceededLimit::RecordBytes);
                return walk.value().map(drop);
            }
            match find::<F>(walk.shapes, &key) {
                None => read.fields.extra().push(&key, walk.value()?),
                Some(known) if named & 1 << known.field == 0 => {
                    named |= 1 << known.field;
                    read.take(known, &key, walk)?;
                }
                // Decided after the record: a better name may still come.
                Some(_) => {
                    named_twice = true;
                    walk.value()?;
                }
            }
            Ok(())
        })?;
        let json = walk.since(begin);
        if json.len() > walk.limits.record_bytes {
            walk.over = Some(ExceededLimit::RecordBytes);
        // A record that was cut is dropped by the caller, so choosing would be for nothing.
        } else if named_twice && walk.stop.is_none() && walk.over.is_none() {
            read = Self::choosing(json, walk)?;
        }
        Ok(read)
    }

    /// The same, with what it is too large for.
    pub(super) fn whole(walk: &mut Walk<'_>) -> Result<Self, SyntaxError> {
        let mut read = Self::walk(walk)?;
        read.over = walk.over.take();
        read.fields.extra().shrink();
        Ok(read)
    }

    /// The same of an object that has several members which one field goes by: the one with the best
    /// name counts, if it has the field's shape. Of two that are spelled alike it does not matter
    /// which comes first, so that a database may sort them; the other says nothing, and is dropped.
    fn choosing(json: &str, walk: &mut Walk<'_>) -> Result<Self, SyntaxError> {
        let mut read = Self::new();
        let mut found = Vec::new();
        members(json, |key, value| match find::<F>(walk.shapes, &key) {
            // A field that is missing.
            Some(_) if value == "null" => {}
            Some(known) => found.push((known, key, value)),
            None => read.fields.extra().push(&key, value),
        })?;
        // Backwards, and stable: if one key occurs twice, the later one counts, as everywhere.
        found.reverse();
        found.sort_by(|(a, a_key, _), (b, b_key, _)| {
            (a.field, a.rank, a_key).cmp(&(b.field, b.rank, b_key))
        });
        found.dedup_by(|(_, later, _), (_, first, _)| later == first);
        let mut taken: Option<KnownField> = None;
        for (known, key, value) in found {
            match taken.filter(|taken| taken.field == known.field) {
                // Spelled alike: dropped, see above.
                Some(taken) if taken.rank == known.rank => {}
                Some(_) => read.fields.extra().push_known(&key, value),
                None => {
                    let mut inner = Walk::within(value, walk.limits).shaped(walk.shapes);
                    if read.take(known, &key, &mut inner)? {
                        taken = Some(known);
                    }
                    // The inner walk counts for the record: a list in it may be over its limit.
                    walk.over = walk.over.or(inner.over);
                }
            }
        }
        Ok(read)
    }

    fn new() -> Self {
        ParsedRecord {
            fields: F::default(),
            misshapen: None,
            over: None,
        }
    }

    /// Sets a field. A value of another shape is kept beside the fields; an explicit null is a
    /// field that is missing.
    fn take(
        &mut self,
        known: KnownField,
        key: &str,
        walk: &mut Walk<'_>,
    ) -> Result<bool, SyntaxError> {
        let begin = walk.mark();
        let taken = self.fields.take(known.field, walk)?;
        let value = walk.since(begin);
        if !taken && value != "null" {
            self.fields.extra().push_known(key, value);
            let first = self.misshapen.as_ref().map(|(field, _)| *field);
            // The first field of the table, not of the answer, so that the error does not depend on
            // the order of keys.
            if first.is_none_or(|first| known.field < first) {
                // By its kind alone: the value may be a patient's name.
                let fault = Fault::shape(value, "text or a number");
                self.misshapen = Some((known.field, fault));
            }
        }
        Ok(taken)
    }
}

/// The field that goes by a key, by what is configured or by what is usual.
fn find<F: Fields>(shapes: Option<&Shapes>, key: &str) -> Option<KnownField> {
    let configured = shapes.and_then(|shapes| shapes.field(F::WHAT, key));
    F::find(configured.unwrap_or(key))
}

/// The fields by their names, of which there are `COUNT`: the best ones first, which most keys are.
pub(crate) const fn keys<const COUNT: usize>(
    names: &[&[&str]],
) -> [(FoldedKey, KnownField); COUNT] {
    let none = KnownField { field: 0, rank: 0 };
    let mut keys = [(FoldedKey::new(""), none); COUNT];
    let (mut found, mut rank) = (0, 0);
    while found < COUNT {
        let mut field = 0;
        while field < names.len() {
            if rank < names[field].len() {
                let name = FoldedKey::of_name(names[field][rank]);
                keys[found] = (name, KnownField { field, rank });
                found += 1;
            }
            field += 1;
        }
        rank += 1;
    }
    keys
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
            extra: $crate::model::lenient::ExtraFields,
        }

        const _: () = {
        use $crate::key::FoldedKey;
        use $crate::model::lenient::{self, Field as _, KnownField};

        #[allow(non_camel_case_types, reason = "named as the fields are")]
        enum Field { $($field),+ }

        /// The names of each field, best first.
        const NAMES: &[&[&str]] = &[$(&[$($name),+]),+];

        // Those that were named are noted in a set of 32 bits.
        const _: () = assert!(NAMES.len() <= 32);

        static KEYS: [(FoldedKey, KnownField); [$($($name),+),+].len()] = lenient::keys(NAMES);

        impl lenient::Fields for $fields {
            const WHAT: &'static str = $what;

            fn find(key: &str) -> Option<KnownField> {
                let key = FoldedKey::new(key);
                let known = KEYS.iter().find(|(name, _)| *name == key);
                known.map(|(_, known)| *known)
            }

            fn take(
                &mut self,
                field: usize,
                walk: &mut lenient::Walk<'_>,
            ) -> Result<bool, lenient::SyntaxError> {
                Ok(match field {
                    $(field if field == Field::$field as usize => {
                        self.$field = <$type>::read(walk)?;
                        self.$field.is_some()
                    })+
                    // Never: `find` names fields of this record only.
                    _ => walk.value().map(|_| false)?,
                })
            }

            fn name(field: usize) -> &'static str {
                NAMES[field][0]
            }

            fn extra(&mut self) -> &mut lenient::ExtraFields {
                &mut self.extra
            }
        }

        /// From whatever describes itself, also within a type that a user flattens or tags. Answers
        /// and stores are read from their text, which costs no tree.
        impl<'de> serde::Deserialize<'de> for $fields {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                lenient::ParsedRecord::of(&value.to_string(), lenient::Limits::NONE, None)
                    .map(|read| read.fields)
                    .map_err(serde::de::Error::custom)
            }
        }
        };
    };
}
pub(crate) use record;
