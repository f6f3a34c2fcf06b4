//! Why something cannot be read, and where, without a word of what it holds.
//!
//! *Problem.* An error is logged, and a parser's message quotes what it could not read: a patient's
//! name, a token.
//!
//! *Approach.* Fixed texts, names of our own and indexes. Nothing that came from the service must
//! be in here but ids, which are not printed.

use std::fmt;

use super::limits::ExceededLimit;
use super::parse::SyntaxError;

/// Why a record, or what should hold records, cannot be read.
///
/// Made of fixed texts only: serde's messages quote values, and a value may be a patient's name.
/// So none of them is ever shown; that nothing can be quoted is a matter of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What came is not JSON at all.
    NotJson,
    /// The record breaks JSON's rules where the rest does not: half an escape in a key.
    Syntax,
    /// There is something else where an object, or a value, is due.
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
    /// Another order is due.
    AnotherOrder,
    /// It is too large.
    ExceededLimit(ExceededLimit),
    /// There is more around the list than is kept.
    Around,
    /// It says of itself that it is no success.
    Failed,
}

impl Fault {
    /// What is there in place of what is due, by its first letter.
    pub(crate) fn shape(json: &str, due: &'static str) -> Self {
        // Only the kind of the value: its text may be a patient's name.
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
            Fault::Syntax => f.write_str("it is not valid JSON"),
            Fault::Shape { found, due } => write!(f, "{found} where {due} is due"),
            Fault::Missing(what) => {
                write!(
                    f,
                    "{what}; `shapes.names` of the endpoints may name its key"
                )
            }
            Fault::NoList => f.write_str(
                "it holds no list of records; `shapes.lists` of the endpoints may say where it is",
            ),
            Fault::AnotherOrder => f.write_str("it is another order than the one asked for"),
            Fault::ExceededLimit(over) => over.fmt(f),
            Fault::Around => f.write_str("more stands around its list than belongs there"),
            Fault::Failed => f.write_str("it says that it failed"),
            Fault::NotOne => f.write_str("one record is due, and there is none or more than one"),
        }
    }
}

impl From<SyntaxError> for Fault {
    fn from(SyntaxError: SyntaxError) -> Self {
        Fault::NotJson
    }
}

/// The way to a record or a field, as in `orders[3].status`: empty for the whole answer.
///
/// Made of names of this crate and of indexes: what the service's own keys say may be
/// about a patient, and is not in it.
pub(crate) type Path = String;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocatedFault {
    pub(crate) path: Path,
    pub(crate) fault: Fault,
    /// The ids of the record, as far as they could be read.
    pub(crate) ids: Ids,
}

/// What names a record that cannot be read beyond that.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) order: Option<Box<str>>,
    pub(crate) rx: Option<Box<str>>,
}

/// An id that could not be read may be any text.
impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids(…)")
    }
}

impl LocatedFault {
    pub(crate) fn new(path: Path, fault: Fault) -> Self {
        LocatedFault {
            path,
            fault,
            ids: Ids::default(),
        }
    }
}

impl fmt::Display for LocatedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            // Of our names and of indexes only, see `Path`.
            write!(f, "{}: ", self.path)?;
        }
        self.fault.fmt(f)
    }
}

impl From<Fault> for LocatedFault {
    fn from(fault: Fault) -> Self {
        LocatedFault::new(Path::new(), fault)
    }
}
