//! How far a download has come.

use std::fmt;

/// How far a download has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Bytes in all, if the service says.
    pub total: Option<u64>,
}

/// What is told of it.
pub(crate) struct Report(pub(crate) Box<dyn FnMut(Progress) + Send>);

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}
