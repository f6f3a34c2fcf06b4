//! Why something cannot be read, without a word of what it holds.

use std::fmt;

/// Why a record, or what should hold records, cannot be read.
///
/// Made of fixed texts only: serde's messages quote values, and a value may be a patient's name.
/// So none of them is ever shown; that nothing can be quoted is a matter of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What came is no JSON at all.
    NotJson,
    /// The record breaks JSON's rules where the rest does not: half an escape, a number out of
    /// range, more than 128 levels.
    Syntax,
    /// The record holds bytes that are no UTF-8.
    NotUtf8,
    /// Something else stands where an object, or a value, is due.
    Shape {
        found: &'static str,
        due: &'static str,
    },
    /// The record lacks a field.
    Missing(&'static str),
    /// Nothing in it is a list of records.
    NoList,
    /// One record is due.
    NotOne,
}

impl Fault {
    /// What stands in place of what is due, by its first letter.
    pub(super) fn shape(json: &str, due: &'static str) -> Self {
        let found = match json.trim_ascii_start().bytes().next() {
            Some(b'"') => "text",
            Some(b'[') => "a list",
            Some(b'{') => "an object",
            Some(b'n') => "null",
            Some(b't' | b'f') => "true or false",
            Some(b'-' | b'0'..=b'9') => "a number",
            _ => "something else",
        };
        Fault::Shape { found, due }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotJson => f.write_str("it is not JSON"),
            Fault::Syntax => f.write_str("it is no valid JSON"),
            Fault::NotUtf8 => f.write_str("it is no valid UTF-8"),
            Fault::Shape { found, due } => write!(f, "{found} where {due} is due"),
            Fault::Missing(what) => f.write_str(what),
            Fault::NoList => f.write_str("it holds no list of records"),
            Fault::NotOne => f.write_str("one record is due, and there is none or more than one"),
        }
    }
}
