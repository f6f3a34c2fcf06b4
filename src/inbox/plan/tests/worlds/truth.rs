//! What is true of the order.

use crate::flow::Arrival;
use crate::inbox::plan::{Files, OrderState};
use crate::status::OrderStatus;
use fastrand::Rng;

/// A phase of the truth.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) status: OrderStatus,
    /// Which scan its files are of.
    pub(super) version: u64,
    pub(super) since: u64,
}

impl Phase {
    pub(super) fn waits_for_lab(&self) -> bool {
        self.status.is_listed()
    }
}

/// What an answer shows.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) status: OrderStatus,
    pub(super) files: Files,
    pub(super) history: Vec<Arrival>,
}

impl State {
    pub(super) fn shown(&self) -> OrderState<'_> {
        OrderState {
            history: &self.history,
            ..OrderState::new(&self.status, &self.files)
        }
    }
}

/// What may come next. A phase that waits for the lab may follow itself only where its files tell.
pub(super) fn next(rng: &mut Rng, last: &Phase, files_tell: bool, since: u64) -> Phase {
    use OrderStatus::{
        Completed, Downloaded, IteroMilling, IteroModeling, LabReview, ReadyForDownload,
        ReadyToShip, Scanning, Sent,
    };
    let choices: &[OrderStatus] = match &last.status {
        ReadyForDownload => &[
            Downloaded,
            Scanning,
            IteroModeling,
            LabReview,
            ReadyForDownload,
        ],
        LabReview => &[
            Downloaded,
            Scanning,
            IteroModeling,
            IteroMilling,
            ReadyForDownload,
            LabReview,
        ],
        Downloaded => &[
            Scanning,
            IteroModeling,
            ReadyForDownload,
            LabReview,
            IteroMilling,
            Completed,
        ],
        Scanning => &[ReadyForDownload, Sent, LabReview],
        IteroModeling => &[LabReview],
        IteroMilling => &[ReadyToShip, LabReview, Downloaded],
        ReadyToShip => &[Downloaded],
        _ => &[ReadyForDownload, LabReview, Scanning],
    };
    let status = choices[rng.usize(0..choices.len())].clone();
    if status.is_listed() && status == last.status && !files_tell {
        return next(rng, last, files_tell, since);
    }
    let is_new_scan = status == ReadyForDownload || (status == LabReview && rng.bool());
    let version = last.version + u64::from(is_new_scan || status == last.status);
    Phase {
        status,
        version,
        since,
    }
}
