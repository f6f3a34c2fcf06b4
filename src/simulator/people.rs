//! What people do outside the API: doctors, the lab's people in the portal, modelers, the mill.

use std::fmt;

use super::Simulator;
use super::world::{Case, Patient};
use crate::flow::Phase;
use crate::model::{AccountId, OrderId};
use crate::status::OrderStatus;

/// An action that does not fit where the case is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    action: &'static str,
    phase: Option<Phase>,
}

impl Refused {
    pub(super) fn new(action: &'static str, phase: Option<Phase>) -> Self {
        Refused { action, phase }
    }

    /// Where the case is; none if there is no such case or account.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Some(phase) => write!(
                f,
                "cannot {}: the case is in {phase} ({})",
                self.action,
                phase.shows().status()
            ),
            None => write!(
                f,
                "cannot {}: there is no such case or account",
                self.action
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// What people do. Each action is refused, with the reason, where the case is not.
impl Simulator {
    /// A doctor fills in a prescription for a lab; the case is created and still to be scanned.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn prescribe(&self, account: impl Into<AccountId>) -> Result<OrderId, Refused> {
        let account = account.into();
        let mut world = self.world();
        if !world.accounts.contains_key(&account) {
            return Err(Refused::new("prescribe", None));
        }
        let patient = patient(world.cases.len());
        Ok(world.prescribe(account, patient))
    }

    /// The scan of a prescribed case begins: *Scanning*.
    ///
    /// # Errors
    ///
    /// The case is scanned already.
    pub fn begin_scan(&self, order: &OrderId) -> Result<(), Refused> {
        let action = "begin the scan";
        let mut world = self.world();
        let case = world
            .cases
            .get_mut(order)
            .ok_or(Refused::new(action, None))?;
        if case.phase() != Phase::Scan {
            return Err(case.refuses(action));
        }
        case.show(OrderStatus::Scanning);
        Ok(())
    }

    /// A doctor scans a new case and sends it straight to the lab: *Ready for Download*.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn scan(&self, account: impl Into<AccountId>) -> Result<OrderId, Refused> {
        let order = self.prescribe(account)?;
        self.finish_scan(&order)?;
        Ok(order)
    }

    /// The scan of a prescribed case is sent to the lab: *Ready for Download*.
    ///
    /// # Errors
    ///
    /// The case is scanned already.
    pub fn finish_scan(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "finish the scan", |case| match case.phase() {
            Phase::Scan => Some(Phase::AtLab),
            _ => None,
        })
    }

    /// The lab sends the case to modeling, in the portal: *iTero Modeling*. A clinic may also
    /// send a fresh scan there. After the end of the milling flow this is a remake.
    ///
    /// # Errors
    ///
    /// The case is with the doctor, with Align, or on its way.
    pub fn send_to_modeling(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "send to modeling", |case| {
            starts_anew(case, Phase::ModelingP)
        })
    }

    /// The lab asks for a milled model, in the portal: the case goes to modeling first. After
    /// the end of the milling flow this is a remake.
    ///
    /// # Errors
    ///
    /// As [`Simulator::send_to_modeling`].
    pub fn request_milling(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "request milling", |case| {
            starts_anew(case, Phase::ModelingM)
        })
    }

    /// The modelers are done: *Lab Review*.
    ///
    /// # Errors
    ///
    /// The case is not in modeling.
    pub fn finish_modeling(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "finish modeling", |case| match case.phase() {
            Phase::ModelingP => Some(Phase::ReviewP),
            Phase::ModelingM => Some(Phase::ReviewM),
            Phase::ModelingG => Some(Phase::ReviewG),
            _ => None,
        })
    }

    /// The lab clicks *Proceed* in the portal, and the model is milled: *iTero Milling*.
    ///
    /// # Errors
    ///
    /// The case is not in review, or milling was not asked for.
    pub fn proceed(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "proceed to milling", |case| match case.phase() {
            Phase::ReviewM | Phase::ReviewedM => Some(Phase::MillingM),
            Phase::Review2 | Phase::Reviewed2 => Some(Phase::MillingG),
            _ => None,
        })
    }

    /// The modeler sends the case through interpretation 2 before it is milled; it shows *iTero
    /// Milling*.
    ///
    /// # Errors
    ///
    /// The case is not in review, or milling was not asked for.
    pub fn begin_interpretation(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "begin interpretation 2", |case| match case.phase() {
            Phase::ReviewM | Phase::ReviewedM => {
                case.was_on_the_way_to_interpretation();
                Some(Phase::Interp2)
            }
            _ => None,
        })
    }

    /// Interpretation 2 is done and the model is milled, the usual way: it goes on showing
    /// *iTero Milling*.
    ///
    /// # Errors
    ///
    /// The case is not in interpretation 2.
    pub fn interpretation_to_milling(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "mill after interpretation 2", |case| {
            (case.phase() == Phase::Interp2).then_some(Phase::MillingG)
        })
    }

    /// Interpretation 2 is done and the lab is to review the case again: *Lab Review*. Rare.
    ///
    /// # Errors
    ///
    /// The case is not in interpretation 2.
    pub fn interpretation_to_review(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "send back to review", |case| {
            (case.phase() == Phase::Interp2).then_some(Phase::Review2)
        })
    }

    /// The model is milled: *Ready to Ship*.
    ///
    /// # Errors
    ///
    /// The case is not in milling.
    pub fn finish_milling(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "finish milling", |case| match case.phase() {
            Phase::MillingM => Some(Phase::ReadyM),
            Phase::MillingG => Some(Phase::ReadyG),
            _ => None,
        })
    }

    /// The model is shipped, and the milling flow is over: *Downloaded*.
    ///
    /// # Errors
    ///
    /// The model is not ready to ship.
    pub fn ship(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "ship", |case| match case.phase() {
            Phase::ReadyM => Some(Phase::FinishedM),
            Phase::ReadyG => Some(Phase::FinishedG),
            _ => None,
        })
    }

    /// The lab sends the case back to the doctor, in the portal: *Scanning*. After the end of
    /// the milling flow this is a remake.
    ///
    /// # Errors
    ///
    /// The case is not with the lab.
    pub fn return_to_doctor(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "return to the doctor", |case| {
            starts_anew(case, Phase::Rescan)
        })
    }

    /// The doctor has scanned again and sends the case to the lab: *Ready for Download*.
    ///
    /// # Errors
    ///
    /// The case was not returned.
    pub fn rescan(&self, order: &OrderId) -> Result<(), Refused> {
        self.act(order, "rescan", |case| {
            (case.phase() == Phase::Rescan).then_some(Phase::AtLabAgain)
        })
    }

    /// Where a case is in truth, and how it came there.
    #[must_use]
    pub fn path(&self, order: &OrderId) -> Option<Vec<Phase>> {
        self.world().case(order).map(|case| case.path().to_vec())
    }

    fn act(
        &self,
        order: &OrderId,
        action: &'static str,
        to: impl FnOnce(&mut Case) -> Option<Phase>,
    ) -> Result<(), Refused> {
        let mut world = self.world();
        let case = world
            .cases
            .get_mut(order)
            .ok_or(Refused::new(action, None))?;
        let phase = to(case).ok_or_else(|| case.refuses(action))?;
        let notice = world.enter(order, phase);
        drop(world);
        self.post(notice);
        Ok(())
    }
}

/// The lab may start something new where the phase table says so, and again after the end of
/// the milling flow.
fn starts_anew(case: &Case, phase: Phase) -> Option<Phase> {
    let now = case.phase();
    let waits_for_doctor = matches!(now, Phase::Rescan);
    let first_scan_returned = now == Phase::Scan && phase == Phase::Rescan;
    let allowed = now.may_be_followed_by().contains(phase)
        || matches!(now, Phase::FinishedM | Phase::FinishedG);
    (allowed && !waits_for_doctor && !first_scan_returned).then_some(phase)
}

/// Names of our own; no patient bears them on purpose.
fn patient(number: usize) -> Patient {
    const FIRST: [&str; 8] = [
        "Alva", "Bruno", "Celia", "Dario", "Edith", "Fabio", "Greta", "Hugo",
    ];
    const LAST: [&str; 7] = [
        "Ashgrove",
        "Birkwood",
        "Calloway",
        "Dunmore",
        "Eastlake",
        "Fernhill",
        "Greystone",
    ];
    Patient {
        first_name: FIRST[number % FIRST.len()].to_owned(),
        last_name: LAST[number % LAST.len()].to_owned(),
    }
}
