//! JSON as it comes: how keys are spelled, and whether an id is a number, is not documented.
//!
//! *The rule, for every record.* Keys are compared without regard to case, `_` and `-`. A field
//! goes by several names; the best one wins, wherever it is. An id or a date may be
//! text or a number. What has no field, or not the shape that its field has, is kept as the service
//! sent it.
//!
//! *Approach.* An answer is read in one pass: each field that a key names is read where it stands.
//! Nothing is built for the others: their text is kept, and read when somebody asks. What breaks one
//! field must break no other, and no record must be lost without a word: absence means something.
//!
//! The modules: [`value`] reads what a field may hold, [`mod@record`] reads fields by their names,
//! [`extra`] keeps what has no field, [`listing`] reads records in whatever they are wrapped,
//! [`parse`] is the way through the text, and [`fault`] says what cannot be read, and where,
//! without saying what it holds.

mod extra;
mod fault;
mod limits;
mod listing;
mod parse;
mod record;
mod shapes;
mod value;

pub(crate) use extra::{ExtraFields, entry};
pub(crate) use fault::{Fault, Ids, LocatedFault};
pub(crate) use limits::{ExceededLimit, Limits, StopReason};
pub(crate) use listing::{
    DEPTH, Records, UNREADABLE_LIMIT, is_failure, one, records, wrapper_rank,
};
pub(crate) use parse::{SyntaxError, Walk};
pub(crate) use record::{Fields, KnownField, MissingField, ParsedRecord, Record, keys, record};
pub(crate) use shapes::{FieldName, Shapes};
pub(crate) use value::{Entry, Field, FromScalar, StatusFields, id_text};
