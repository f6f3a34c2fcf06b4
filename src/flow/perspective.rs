//! Whose API a status was read from.

use super::set::member;
use crate::status::{OrderStatus, Symbol};

/// From where a case is looked at: the same events have other names in the clinic.
///
/// This crate talks to the lab's API. Software that also reads a clinic's side (Align's API for
/// practice management systems, DPMS) meets the same cases there, and a *Completed* that says
/// nothing to a lab: for the clinic it is a scan that has reached the lab. Translate such a
/// history before it is read:
///
/// ```
/// use lab_connector::flow::{History, Perspective, Scenario};
/// use lab_connector::OrderStatus;
///
/// let shown = ["Completed", "Scanning", "Completed"].map(OrderStatus::from);
/// let history = History::complete(shown.iter().map(|status| Perspective::Clinic.status(status)));
/// assert_eq!(history.read().scenario(), Some(Scenario::AfterRescan));
/// ```
///
/// | what happened | the lab sees | the clinic sees |
/// |---|---|---|
/// | a first scan, or a rescan | **Ready for Download** | **Completed** |
/// | modeling | iTero Modeling, then **Lab Review** | iTero Modeling, then **Lab Review** |
/// | the lab returned it to the doctor | Scanning | Scanning |
/// | interpretation 2 | iTero Milling, then **Lab Review** | iTero Milling, then **Lab Review** |
///
/// What is notified is in bold. The names are Align's; that a clinic's history, once translated,
/// reads like a lab's is our model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Perspective {
    /// The lab: the Lab Connector API.
    #[default]
    Lab,
    /// The clinic.
    Clinic,
}

member!(Perspective {
    Lab = "lab",
    Clinic = "clinic",
});

impl Perspective {
    /// The status by the name that the lab's API has for it. Most keep theirs.
    #[must_use]
    pub fn status(self, shown: &OrderStatus) -> OrderStatus {
        match (self, shown) {
            (Perspective::Clinic, OrderStatus::Completed) => OrderStatus::ReadyForDownload,
            _ => shown.clone(),
        }
    }

    /// What the flow sees of a status that is shown here.
    #[must_use]
    pub fn symbol(self, shown: &OrderStatus) -> Option<Symbol> {
        match (self, shown) {
            (Perspective::Clinic, OrderStatus::Completed) => Some(Symbol::F),
            _ => shown.symbol(),
        }
    }

    /// The statuses of which a change is notified here.
    #[must_use]
    pub const fn notified(self) -> &'static [OrderStatus] {
        match self {
            Perspective::Lab => &[OrderStatus::ReadyForDownload, OrderStatus::LabReview],
            Perspective::Clinic => &[OrderStatus::Completed, OrderStatus::LabReview],
        }
    }

    /// Whether a change to this status is notified here.
    #[must_use]
    pub fn is_notified(self, shown: &OrderStatus) -> bool {
        self.notified().contains(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{History, Reading, Scenario, Stage};

    /// What the clinic is shown and which of it is notified, and how that reads.
    fn clinic(shown: &[(&str, bool)]) -> Reading {
        let statuses: Vec<_> = shown
            .iter()
            .map(|(text, notified)| {
                let status = OrderStatus::from(*text);
                assert_eq!(Perspective::Clinic.is_notified(&status), *notified);
                status
            })
            .collect();
        let lab = statuses.iter().map(|s| Perspective::Clinic.status(s));
        let reading = History::complete(lab).read();
        let by_symbol = statuses.iter().fold(Reading::complete(), |reading, s| {
            reading.observe(Perspective::Clinic.symbol(s))
        });
        assert_eq!(by_symbol, reading);
        reading
    }

    #[test]
    fn a_first_scan_and_a_rescan_are_completed() {
        let first = clinic(&[("Completed", true)]);
        assert_eq!(first.scenario(), Some(Scenario::DirectToLab));
        assert_eq!(first.stages().only(), Some(Stage::ReadyForDownload));

        let again = clinic(&[
            ("Completed", true),
            ("Scanning", false),
            ("Completed", true),
        ]);
        assert_eq!(again.scenario(), Some(Scenario::AfterRescan));
    }

    #[test]
    fn modeling_is_followed_by_lab_review() {
        let reading = clinic(&[
            ("Completed", true),
            ("iTero Modeling", false),
            ("Lab Review", true),
        ]);
        assert_eq!(reading.likely(), Some(Scenario::AfterModeling));
        assert_eq!(reading.stages().only(), Some(Stage::InReview));
    }

    #[test]
    fn returned_to_the_doctor_is_scanning() {
        let reading = clinic(&[("Completed", true), ("Scanning", false)]);
        assert_eq!(reading.stages().only(), Some(Stage::WithDoctor));
    }

    #[test]
    fn interpretation_2_is_milling_and_then_lab_review() {
        let reading = clinic(&[
            ("Completed", true),
            ("Lab Review", true),
            ("iTero Milling", false),
            ("Lab Review", true),
        ]);
        assert_eq!(reading.scenario(), Some(Scenario::AfterInterpretation2));
    }

    #[test]
    fn symbols_and_statuses_agree() {
        let unknown = OrderStatus::from("Elsewhere");
        for perspective in Perspective::ALL {
            for status in OrderStatus::KNOWN.iter().chain([&unknown]) {
                let lab = perspective.status(status);
                assert_eq!(perspective.symbol(status), lab.symbol(), "{status}");
                if perspective.is_notified(status) {
                    assert!(lab.is_notified(), "{status}");
                }
            }
        }
    }

    #[test]
    fn the_lab_sees_what_it_always_saw() {
        for status in OrderStatus::KNOWN {
            assert_eq!(Perspective::Lab.status(status), *status);
            let notified = Perspective::Lab.is_notified(status);
            assert_eq!(notified, status.is_notified(), "{status}");
        }
        assert!(!Perspective::Lab.is_notified(&OrderStatus::Completed));
        assert!(!Perspective::Clinic.is_notified(&OrderStatus::ReadyForDownload));
    }
}
