//! What a round brought.

use super::problem::Problem;

/// What a round brought. It is in the store by then.
#[derive(Clone, Debug, Default)]
pub struct PollReport {
    pub(super) listed: u64,
    pub(super) complete: bool,
    pub(super) fetched: u64,
    pub(super) deliveries: u64,
    pub(super) changes: u64,
    pub(super) deviations: u64,
    pub(super) problems: Vec<Problem>,
}

impl PollReport {
    /// How many orders were listed.
    #[must_use]
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// Whether the listing was read in full, and is believed: an empty one where orders were listed is
    /// when a second one agrees. Only then something follows from an order's absence.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// How many orders were fetched one by one.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched
    }

    /// How many deliveries are new.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// How many other arrivals are new.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many arrivals were not to be expected from what came before; see
    /// [`Reading::deviations`](crate::flow::Reading::deviations).
    #[must_use]
    pub fn deviations(&self) -> u64 {
        self.deviations
    }

    /// What could not be read, fetched or believed.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
