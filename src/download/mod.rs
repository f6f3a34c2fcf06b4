//! Files that arrive whole, or not at all.
//!
//! *Problem.* A case's zip has tens to hundreds of megabytes. Connections break; half a file
//! must never be taken for a case.
//!
//! *Default.* A download is written to a `.part` file beside its target, its length is compared
//! with what the answer and the order say, it is flushed to the disk, and only then does it get
//! its name.

mod name;
mod progress;
mod sink;

pub use name::safe_name;
pub use progress::Progress;
pub(crate) use progress::Report;
pub use sink::Downloaded;
pub(crate) use sink::Sink;
