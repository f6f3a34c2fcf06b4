//! The shapes of answers, as a configuration states them.
//!
//! *Problem.* A service may wrap its lists, or spell its keys, as nobody foresaw, on the day that a
//! partner gets access.
//!
//! *Approach.* Where a list stands and what a field is called are settings. They are read strictly:
//! a name that maps nothing must be an error at the start, and not a field that is missing later.

use serde_json::{Map, Value, json};

use super::lenient::{Entry, FieldName, Fields, KnownField, Record, Shapes, StatusFields};
use super::order::HistoryEntry;
use super::{Account, Asset, Order};
use crate::key::same_key;

/// What a configuration may name the fields of.
struct RecordKind {
    name: &'static str,
    what: &'static str,
    find: fn(&str) -> Option<KnownField>,
    field: fn(usize) -> &'static str,
}

const fn named<F: Fields>(name: &'static str) -> RecordKind {
    RecordKind {
        name,
        what: F::WHAT,
        find: F::find,
        field: F::name,
    }
}

const NAMED: [RecordKind; 5] = [
    named::<<Order as Record>::Fields>("order"),
    named::<<Asset as Entry>::Fields>("asset"),
    named::<<HistoryEntry as Entry>::Fields>("history"),
    named::<StatusFields>("status"),
    named::<<Account as Record>::Fields>("account"),
];

/// Reads `{"lists": {"get_orders": "/a/b"}, "names": {"order": {"orderId": ["caseNo"]}}}`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn read(
    value: &Value,
    operation: impl Fn(&str) -> Option<&'static str>,
) -> Result<Shapes, String> {
    let mut shapes = Shapes::default();
    // Strict, unlike answers: a mistake in a configuration must be found at the start.
    for (part, value) in object(value, "shapes")? {
        match part.as_str() {
            "lists" => {
                for (name, pointer) in object(value, "shapes.lists")? {
                    let operation =
                        operation(name).ok_or_else(|| format!("`{name}` is no operation"))?;
                    let pointer = pointer
                        .as_str()
                        // RFC 6901: a pointer is empty, for the whole answer, or begins with a slash
                        // (sections 3 and 5).
                        .filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))
                        .ok_or_else(|| format!("the list of `{name}` must be a JSON pointer"))?;
                    shapes.lists.insert(operation, pointer.to_owned());
                }
            }
            "names" => {
                for (name, fields) in object(value, "shapes.names")? {
                    let named = NAMED.iter().find(|named| same_key(name, named.name));
                    let named = named.ok_or_else(|| {
                        let known = NAMED.map(|named| named.name).join(", ");
                        format!("`{name}` has no fields that can be named; {known} have")
                    })?;
                    for (field, keys) in object(fields, name)? {
                        add(&mut shapes, named, field, keys)?;
                    }
                }
            }
            _ => return Err(format!("`shapes.{part}` cannot be set")),
        }
    }
    Ok(shapes)
}

/// The field, by its best name, that a key of such a record is read as.
pub(crate) fn field_of(record: &str, key: &str, shapes: &Shapes) -> Option<&'static str> {
    let named = NAMED.iter().find(|named| named.name == record)?;
    let configured = shapes.field(named.what, key);
    let known = (named.find)(configured.unwrap_or(key))?;
    Some((named.field)(known.field))
}

fn object<'v>(value: &'v Value, what: &str) -> Result<&'v Map<String, Value>, String> {
    let object = value.as_object();
    object.ok_or_else(|| format!("`{what}` must be an object"))
}

fn add(shapes: &mut Shapes, named: &RecordKind, field: &str, keys: &Value) -> Result<(), String> {
    // Otherwise a misspelled field would silently map nothing.
    if (named.find)(field).is_none() {
        return Err(format!("{} has no field `{field}`", named.what));
    }
    let keys = match keys {
        Value::Array(keys) => keys.as_slice(),
        // One name may be written without a list.
        key => std::slice::from_ref(key),
    };
    for key in keys {
        let key = key.as_str();
        shapes.names.push(FieldName {
            what: named.what,
            key: key
                .ok_or_else(|| format!("the names of `{field}` must be text"))?
                .to_owned(),
            field: field.to_owned(),
        });
    }
    Ok(())
}

/// What [`read`] reads.
pub(crate) fn write(shapes: &Shapes) -> Value {
    let mut names = json!({});
    for name in &shapes.names {
        let of = NAMED.iter().find(|named| named.what == name.what);
        // An index into a JSON value makes what is missing.
        let keys = &mut names[of.map_or("", |named| named.name)][&name.field];
        match keys.as_array_mut() {
            Some(keys) => keys.push(name.key.as_str().into()),
            None => *keys = json!([name.key]),
        }
    }
    json!({ "lists": shapes.lists, "names": names })
}
