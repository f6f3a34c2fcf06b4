//! The events of an inbox, where the feature `tracing` is on. Never an id, a status in the
//! service's own words, or a reason that somebody gave: ids lead to patients. Software that
//! works for several labs puts the future of each into a span of its own that names the lab.

#[cfg(feature = "tracing")]
pub(super) use events::*;
#[cfg(not(feature = "tracing"))]
pub(super) use nothing::*;

#[cfg(feature = "tracing")]
mod events {
    use super::super::report::PollReport;
    use super::super::store::{ClaimedDelivery, Outcome, Settlement};
    use crate::error::{Error, Result};
    use crate::flow::Symbol;

    // One target, so that a filter of one word takes all of it. WARN is for what somebody may have to
    // look at: nothing here is an error that ends the inbox.

    /// A poll that listed the orders, or could not.
    pub(in super::super) fn polled(result: &Result<PollReport>) {
        match result {
            Ok(report) => {
                problems(report);
                tracing::debug!(
                    target: "lab_connector",
                    listed = report.listed(),
                    complete = report.is_complete(),
                    fetched = report.fetched(),
                    deliveries = report.deliveries(),
                    changes = report.changes(),
                    deviations = report.deviations(),
                    problems = report.problems().len(),
                    "polled"
                );
            }
            Err(error) => tracing::warn!(target: "lab_connector", %error, "the poll failed"),
        }
    }

    /// Orders were fetched because of hints.
    pub(in super::super) fn fetched(report: &PollReport) {
        problems(report);
        tracing::debug!(
            target: "lab_connector",
            fetched = report.fetched(),
            deliveries = report.deliveries(),
            changes = report.changes(),
            deviations = report.deviations(),
            problems = report.problems().len(),
            "fetched what was notified"
        );
    }

    fn problems(report: &PollReport) {
        for problem in report.problems() {
            // A kind, and an error of the crate: neither has an id in it.
            tracing::warn!(target: "lab_connector", "{problem}");
        }
    }

    /// A case arrived where the model does not expect it.
    pub(in super::super) fn deviates(shows: Option<Symbol>) {
        tracing::warn!(
            target: "lab_connector",
            // The letter: an unknown status is the service's own text.
            shows = shows.map(|symbol| symbol.as_str()),
            "a case deviates from the model"
        );
    }

    pub(in super::super) fn claimed(claimed: &ClaimedDelivery) {
        tracing::debug!(
            target: "lab_connector",
            sequence = claimed.sequence,
            ordinal = claimed.ordinal,
            attempts = claimed.attempts,
            "a delivery is claimed"
        );
    }

    /// What was said of a delivery, and whether whoever said it still held it.
    pub(in super::super) fn settled(settlement: &Settlement, held: bool) {
        let sequence = settlement.sequence;
        if !held {
            tracing::warn!(target: "lab_connector", sequence, "a delivery was held for too long");
            return;
        }
        match &settlement.outcome {
            Outcome::Acknowledged => {
                tracing::debug!(target: "lab_connector", sequence, "a delivery is acknowledged");
            }
            Outcome::Released { after, failure } => {
                let again_after_s = after.as_secs();
                if failure.is_some() {
                    tracing::warn!(target: "lab_connector", sequence, again_after_s, "a delivery failed");
                } else {
                    tracing::debug!(target: "lab_connector", sequence, again_after_s, "a delivery is deferred");
                }
            }
            Outcome::Extended(_) => {
                tracing::trace!(target: "lab_connector", sequence, "a delivery is held for longer");
            }
        }
    }

    /// Whether this process polls the account, where that is news.
    pub(in super::super) fn poll_right(leads: bool) {
        if leads {
            tracing::info!(target: "lab_connector", "polling the account");
        } else {
            tracing::info!(target: "lab_connector", "another process polls the account");
        }
    }

    /// The store failed in a way that may pass.
    pub(in super::super) fn store_failed(error: &Error) {
        tracing::warn!(target: "lab_connector", %error, "the store is not available");
    }

    pub(in super::super) fn stopped() {
        tracing::info!(target: "lab_connector", "polling was stopped");
    }

    pub(in super::super) fn overflow() {
        tracing::warn!(
            target: "lab_connector",
            "more was notified than is fetched one by one: the orders will be listed"
        );
    }
}

#[cfg(not(feature = "tracing"))]
mod nothing {
    use super::super::report::PollReport;
    use super::super::store::{ClaimedDelivery, Settlement};
    use crate::error::{Error, Result};
    use crate::flow::Symbol;

    // The same names without a body, so that callers need no `cfg`.
    pub(in super::super) fn polled(_: &Result<PollReport>) {}
    pub(in super::super) fn fetched(_: &PollReport) {}
    pub(in super::super) fn deviates(_: Option<Symbol>) {}
    pub(in super::super) fn claimed(_: &ClaimedDelivery) {}
    pub(in super::super) fn settled(_: &Settlement, _: bool) {}
    pub(in super::super) fn poll_right(_: bool) {}
    pub(in super::super) fn store_failed(_: &Error) {}
    pub(in super::super) fn stopped() {}
    pub(in super::super) fn overflow() {}
}
