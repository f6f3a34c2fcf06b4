//! The life of tokens: one refresh for many callers and processes, nothing lost, nothing
//! hammered.

mod callers;
mod endings;
mod failures;
mod processes;
mod soak;
mod stores;
mod support;
mod waiting;
