//! What the lab can do now.
//!
//! *Problem.* Which scenario a case is in is often not certain, and the lab has to act all the same.
//!
//! *Approach.* The actions are in the order of what they ask of the lab, so that the least of those that
//! are possible is the most demanding. Their order must not change without that in mind: `Reading::action`
//! takes the minimum.

use super::set::member;

/// What a lab can do with a case as it stands. Model of ours.
///
/// Where several phases are possible, [`Reading::action`](super::Reading::action) returns the most
/// demanding of their actions: what may have to be done is not to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LabAction {
    /// Download the files and start work.
    DownloadAndStart,
    /// Review the model, in the portal too, and click *Proceed* there if milling was asked for.
    ReviewAndProceed,
    /// Wait until the doctor has scanned.
    WaitForDoctor,
    /// Wait for Align's modelers or for its mill.
    WaitForAlign,
    /// Expect the milled model.
    ExpectShipment,
    /// Nothing: the lab has what it needs, or the case is finished, or nothing is known of it.
    Nothing,
}

member!(LabAction {
    DownloadAndStart = "download_and_start",
    ReviewAndProceed = "review_and_proceed",
    WaitForDoctor = "wait_for_doctor",
    WaitForAlign = "wait_for_align",
    ExpectShipment = "expect_shipment",
    Nothing = "nothing",
});

impl LabAction {
    /// The action as a sentence for a person.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            LabAction::DownloadAndStart => "download the files and start work",
            LabAction::ReviewAndProceed => {
                "review the model; if milling was asked for, click Proceed in the portal"
            }
            LabAction::WaitForDoctor => "wait for the doctor's scan",
            LabAction::WaitForAlign => "wait for Align",
            LabAction::ExpectShipment => "expect the milled model",
            LabAction::Nothing => "nothing to do",
        }
    }
}
