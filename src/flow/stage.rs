//! Where within its scenario a case stands.
//!
//! Names are stored in databases and stand in views that others ask: none must be renamed. Their order is
//! that of a case's way, and `Display` of a set goes by it.

use super::set::member;

/// Where a case stands. Model of ours: a status and a scenario together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The first scan is being made, or is on its way.
    BeingScanned,
    /// A scan or a rescan waits for the lab.
    ReadyForDownload,
    /// The lab has fetched it and works on it.
    WithLab,
    /// Back with the doctor, for a rescan.
    WithDoctor,
    /// With Align's modelers.
    InModeling,
    /// Modeled; the lab reviews it.
    InReview,
    /// In interpretation 2.
    InInterpretation,
    /// The model is being milled.
    InMilling,
    /// The milled model waits to be shipped.
    ReadyToShip,
    /// The milling flow is over.
    Finished,
}

member!(Stage {
    BeingScanned = "being_scanned",
    ReadyForDownload = "ready_for_download",
    WithLab = "with_lab",
    WithDoctor = "with_doctor",
    InModeling = "in_modeling",
    InReview = "in_review",
    InInterpretation = "in_interpretation",
    InMilling = "in_milling",
    ReadyToShip = "ready_to_ship",
    Finished = "finished",
});
