//! What is kept at once, and what is read back.
//!
//! *Problem.* A delivery without its case, or a case whose arrival is not logged, is lost work.
//!
//! *Approach.* They are one value, so that no store can keep one without the other.

use std::sync::Arc;

use super::{Case, ListingCoverage, NewArrival};
use crate::model::Order;

/// A case with its order's data.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredCase {
    /// The case.
    pub case: Case,
    /// The order as it was seen last; none if it was forgotten or imported.
    pub order: Option<Arc<Order>>,
}

impl StoredCase {
    /// A case as it was read, with its order's data if there are any.
    #[must_use]
    pub fn new(case: Case, order: Option<Arc<Order>>) -> Self {
        StoredCase { case, order }
    }
}

/// What to keep, all of it or nothing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Commit {
    /// The cases that changed.
    pub saves: Vec<Save>,
    /// Since when the account is listed, if that changed; none if it stays as it is.
    pub coverage: Option<ListingCoverage>,
}

impl Commit {
    /// A commit of cases alone.
    #[must_use]
    pub fn new(saves: Vec<Save>) -> Self {
        Commit {
            saves,
            coverage: None,
        }
    }
}

/// A case that changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Save {
    /// The case, with the version that it replaces.
    pub case: Case,
    /// The order's data as they are now; none if they stay as they are.
    pub order: Option<Arc<Order>>,
    /// What is to be logged of it, in this order.
    pub arrivals: Vec<NewArrival>,
    /// Whether what is recorded of the case changes, rather than only when it is to be fetched.
    /// Then it is of a new [revision](super::AccountState::revision).
    pub changes_record: bool,
}

impl Save {
    /// A case to be kept, with its order's data if they changed and the arrivals to be logged.
    /// What is recorded changes by it.
    #[must_use]
    pub fn new(case: Case, order: Option<Arc<Order>>, arrivals: Vec<NewArrival>) -> Self {
        Save {
            case,
            order,
            arrivals,
            changes_record: true,
        }
    }
}
