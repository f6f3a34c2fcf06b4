//! The rules, one by one. `walk` plays them against each other.

mod absent;
mod beginning;
mod own_actions;
mod reported;
mod shown;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::OrderStatus;
use crate::flow::{Arrival, History, Origin, Scenario, Stage};

const F: &str = "Ready for Download";
const R: &str = "Lab Review";
const S: &str = "Scanning";
const D: &str = "Downloaded";
const M: &str = "iTero Modeling";
const I: &str = "iTero Milling";

const NONE: [u32; 0] = [];

fn minute(n: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 60 * n)
}

fn day(n: u64) -> SystemTime {
    minute(24 * 60 * n)
}

/// Files whose sizes the answer gives.
fn files(sizes: &[u64]) -> Fingerprint {
    let names = ["gallery", "scan"];
    names
        .iter()
        .zip(sizes)
        .map(|(name, size)| File::new(*name).size(*size))
        .collect()
}

/// One order, of an account that is listed without a gap.
struct Order {
    record: Record,
    policy: Policy,
    coverage: ListingCoverage,
}

impl Order {
    /// Seen from its beginning on: the account is old enough to know.
    fn new() -> Self {
        let policy = Policy::default();
        let coverage = ListingCoverage::new()
            .listed(day(0) - Duration::from_secs(100 * 86_400), &policy)
            .listed(day(0), &policy);
        // The gap between the two listings ended before the order was first seen.
        Order {
            record: Record::new(),
            policy,
            coverage,
        }
    }

    fn see(&mut self, seen: Observation<'_>) -> Step {
        let step = observe(&self.record, &seen, &self.policy, &self.coverage);
        if let Some(record) = step.record() {
            self.record = record.clone();
        }
        let again = observe(&self.record, &seen, &self.policy, &self.coverage);
        assert!(again.is_unchanged(), "{seen:?} changed something twice");
        assert_eq!(again.deliveries().count(), 0);
        step
    }

    fn listed(&mut self, at: u64, status: &str) -> Step {
        self.listed_with(at, status, &Fingerprint::none())
    }

    fn listed_with(&mut self, at: u64, status: &str, files: &Fingerprint) -> Step {
        self.see(Observation::listed(&status.into(), files, minute(at)))
    }

    fn fetched(&mut self, at: u64, status: &str) -> Step {
        self.fetched_with(at, status, &Fingerprint::none())
    }

    fn fetched_with(&mut self, at: u64, status: &str, files: &Fingerprint) -> Step {
        self.see(Observation::fetched(&status.into(), files, minute(at)))
    }

    fn missing(&mut self, at: u64) -> Step {
        self.see(Observation::missing(minute(at)))
    }

    fn returned(&mut self, at: u64) -> Step {
        self.see(Observation::returned(minute(at)))
    }

    fn told(&mut self, at: u64, history: &[Arrival]) -> Step {
        self.see(Observation::reported_history(history, minute(at)))
    }

    /// The letters of the history; `?` for a status without one.
    fn letters(&self) -> String {
        let arrivals = self.record.history().arrivals().iter();
        arrivals
            .map(|a| a.status().symbol().map_or("?", |symbol| symbol.as_str()))
            .collect()
    }
}

fn numbers(step: &Step) -> Vec<u32> {
    step.deliveries().map(|d| d.ordinal()).collect()
}

/// One order: listed, downloaded, missing, listed again.
#[test]
fn an_order_that_was_downloaded_and_is_listed_again_is_a_second_delivery() {
    let mut order = Order::new();
    assert_eq!(numbers(&order.listed(5, F)), [1]);
    assert!(order.listed(10, F).is_unchanged());

    // Our download is noted, and *Downloaded* is recorded when the service shows it: the order
    // drops out of the listing, is fetched, and is.
    order.see(Observation::downloaded(1, minute(12)));
    assert_eq!(order.missing(15).next(), Next::Fetch);
    assert_eq!(numbers(&order.fetched(16, D)), NONE);

    // Days later the same order is listed once more: the doctor scanned again.
    assert_eq!(numbers(&order.listed(9_000, F)), [2]);
    let reading = order.record.reading();
    assert_eq!(reading.scenario(), Some(Scenario::AfterRescan));
}
