//! JSON as it comes: how keys are spelled, and whether an id is a number, is not documented.
//!
//! One rule for every record: keys are compared without regard to case, `_` and `-`; a field
//! goes by several names, of which the first one wins; an id or a date may be text or a number;
//! what has no field, or not the shape that its field has, is kept under its own key.
//!
//! The rooms: [`key`] compares keys, [`value`] reads what a field may hold, [`record`] reads
//! fields by their names, [`listing`] reads records in whatever they are wrapped, [`parse`] is
//! the way to the parser, and [`fault`] and [`path`] say what cannot be read, and where, without
//! saying what it holds.

mod fault;
mod key;
mod listing;
mod parse;
mod path;
mod record;
mod value;

pub(crate) use fault::Fault;
pub(crate) use key::{Key, Names, same_key};
pub(crate) use listing::{Records, UNREADABLE_LIMIT, one, records};
pub(crate) use path::{Located, Path};
pub(crate) use record::{Extra, Field, Fields, Fill, Find, Found, Missing, Record, record, take};
pub(crate) use value::{Entry, FromScalar, exact_text};
