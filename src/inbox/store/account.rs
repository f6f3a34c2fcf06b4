//! An account as a whole.

use std::time::SystemTime;

use crate::model::OrderId;

/// How much a store has of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Cases.
    pub cases: u64,
    /// Arrivals in the log: the number of the last one.
    pub arrivals: u64,
    /// Deliveries that are not acknowledged.
    pub open: u64,
    /// Those of them that are hidden now: claimed or deferred.
    pub hidden: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// When the oldest open one was committed.
    pub oldest: Option<SystemTime>,
}

/// Whose data to forget. A store answers a choice that it does not know with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forget<'a> {
    /// Cases whose last arrival was before this, or is of unknown time.
    Before(SystemTime),
    /// One case.
    Order(&'a OrderId),
}
