//! How much is read of an answer.
//!
//! *Problem.* A hostile or broken service can send millions of small records, which take many times
//! their length in memory.
//! *Approach.* The walk counts while it reads, and stops. It must not read on only to count what it
//! leaves out.

use std::fmt;

/// What an answer may hold. What is over a limit is not read; none of it is a fault of the JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many records, and entries of the lists in them.
    pub(crate) records: usize,
    /// How many entries a list in a record may have.
    pub(crate) entries: usize,
    pub(crate) record_bytes: usize,
}

impl Limits {
    /// For what was checked before: by a store, say.
    pub(crate) const NONE: Limits = Limits {
        records: usize::MAX,
        entries: usize::MAX,
        record_bytes: usize::MAX,
    };
}

/// The limit that something is over, by the name of its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExceededLimit {
    Records,
    Entries,
    RecordBytes,
    Bytes,
    Time,
}

impl fmt::Display for ExceededLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, setting) = match self {
            ExceededLimit::Records => ("it holds more records", "records"),
            ExceededLimit::Entries => ("a list in it is longer", "entries"),
            ExceededLimit::Bytes => ("its pages are longer together", "bytes"),
            ExceededLimit::Time => ("it takes longer", "time"),
            ExceededLimit::RecordBytes => ("a record in it is longer", "record_bytes"),
        };
        write!(f, "{what} than `ListingLimits::{setting}` allows")
    }
}

/// Why the way through a text ended before the text did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The text is the beginning of one.
    Cut,
    ExceededLimit(ExceededLimit),
}
