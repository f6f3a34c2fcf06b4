//! What a poll brought: counts and problems, no data.

use serde::Serialize;

use super::problem::Problem;

/// What a poll brought. It is in the store by then.
///
/// As JSON: `{"listed": 12, "complete": true, "fetched": 1, "deliveries": 2, "changes": 0,
/// "deviations": 0, "problems": […]}`; see [`Problem`].
#[derive(Clone, Debug, Default, Serialize)]
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Error;
    use crate::inbox::ProblemKind;
    use crate::model::OrderId;

    #[test]
    fn as_json_it_is_what_is_documented() {
        let order = Some(OrderId::new("canary"));
        let error = Error::configuration("no room");
        let report = PollReport {
            listed: 12,
            complete: true,
            fetched: 1,
            deliveries: 2,
            changes: 3,
            deviations: 4,
            problems: vec![
                Problem::new(ProblemKind::NotFetched, order.clone(), Some(error.clone())),
                Problem::new(ProblemKind::NoRxId, order, None),
            ],
        };
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            json!({
                "listed": 12, "complete": true, "fetched": 1, "deliveries": 2, "changes": 3,
                "deviations": 4, "problems": [
                    {"kind": "not_fetched", "error": error.to_string()},
                    {"kind": "no_rx_id", "error": null},
                ],
            })
        );
    }
}
