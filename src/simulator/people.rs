//! What people do outside the API: doctors, the lab's people in the portal, modelers, the mill.
//!
//! The API shows none of it but the status that follows. Each method is one row of the table of
//! actions, so that the board, the control API and the life do the same.

use super::case::Case;
use super::refusal::Refusal;
use super::world::{Notice, World};
use super::{Action, Simulator, SimulatorState};
use crate::model::{AccountId, OrderId};
use crate::status::OrderStatus;

/// What people do. Each action is refused, with the reason, where the case is not.
impl Simulator {
    /// One of the actions below, by name.
    ///
    /// # Errors
    ///
    /// The case is not where this can be done, or there is no such case.
    pub fn act(&self, order: &OrderId, action: Action) -> Result<(), Refusal> {
        self.shared.act(order, action)
    }

    /// What can be done with a case now; nothing if there is no such case.
    #[must_use]
    pub fn possible(&self, order: &OrderId) -> Vec<Action> {
        self.shared.possible(order)
    }

    /// A doctor fills in a prescription for a lab; the case is created and still to be scanned.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn prescribe(&self, account: impl Into<AccountId>) -> Result<OrderId, Refusal> {
        self.shared.prescribe(&account.into())
    }

    /// The scan of a prescribed case begins: *Scanning*.
    ///
    /// # Errors
    ///
    /// The case is scanned already.
    pub fn begin_scan(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::BeginScan)
    }

    /// A doctor scans a new case and sends it straight to the lab: *Ready for Download*.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn scan(&self, account: impl Into<AccountId>) -> Result<OrderId, Refusal> {
        self.shared.scan(&account.into())
    }

    /// The scan of a prescribed case is sent to the lab: *Ready for Download*.
    ///
    /// # Errors
    ///
    /// The case is scanned already.
    pub fn finish_scan(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::FinishScan)
    }

    /// The lab's people fetch the files in the portal: *Downloaded*.
    ///
    /// # Errors
    ///
    /// There is nothing for the lab to fetch.
    pub fn download(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::Download)
    }

    /// The lab sends the case to modeling, in the portal: *iTero Modeling*. A clinic may also
    /// send a fresh scan there. After the end of the milling flow this is a remake.
    ///
    /// # Errors
    ///
    /// The case is with the doctor, with Align, or on its way.
    pub fn send_to_modeling(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::SendToModeling)
    }

    /// The lab asks for a milled model, in the portal: the case goes to modeling first. After
    /// the end of the milling flow this is a remake.
    ///
    /// # Errors
    ///
    /// As [`Simulator::send_to_modeling`].
    pub fn request_milling(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::RequestMilling)
    }

    /// The modelers are done: *Lab Review*.
    ///
    /// # Errors
    ///
    /// The case is not in modeling.
    pub fn finish_modeling(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::FinishModeling)
    }

    /// The lab clicks *Proceed* in the portal, and the model is milled: *iTero Milling*.
    ///
    /// # Errors
    ///
    /// The case is not in review, or milling was not asked for.
    pub fn proceed(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::Proceed)
    }

    /// The modeler sends the case through interpretation 2 before it is milled; it shows *iTero
    /// Milling*.
    ///
    /// # Errors
    ///
    /// The case is not in review, or milling was not asked for.
    pub fn begin_interpretation(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::BeginInterpretation)
    }

    /// Interpretation 2 is done and the model is milled, the usual way: it goes on showing
    /// *iTero Milling*.
    ///
    /// # Errors
    ///
    /// The case is not in interpretation 2.
    pub fn interpretation_to_milling(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::InterpretationToMilling)
    }

    /// Interpretation 2 is done and the lab is to review the case again: *Lab Review*. Rare.
    ///
    /// # Errors
    ///
    /// The case is not in interpretation 2.
    pub fn interpretation_to_review(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::InterpretationToReview)
    }

    /// The model is milled: *Ready to Ship*.
    ///
    /// # Errors
    ///
    /// The case is not in milling.
    pub fn finish_milling(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::FinishMilling)
    }

    /// The model is shipped, and the milling flow is over: *Downloaded*.
    ///
    /// # Errors
    ///
    /// The model is not ready to ship.
    pub fn ship(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::Ship)
    }

    /// The lab sends the case back to the doctor, in the portal: *Scanning*. After the end of
    /// the milling flow this is a remake.
    ///
    /// # Errors
    ///
    /// The case is not with the lab.
    pub fn return_to_doctor(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::ReturnToDoctor)
    }

    /// The doctor has scanned again and sends the case to the lab: *Ready for Download*.
    ///
    /// # Errors
    ///
    /// The case was not returned.
    pub fn rescan(&self, order: &OrderId) -> Result<(), Refusal> {
        self.act(order, Action::Rescan)
    }
}

impl SimulatorState {
    pub(super) fn prescribe(&self, account: &AccountId) -> Result<OrderId, Refusal> {
        let prescribed = self.world().prescribe(account, None);
        prescribed.ok_or(Refusal::new("prescribe", None))
    }

    pub(super) fn scan(&self, account: &AccountId) -> Result<OrderId, Refusal> {
        let order = self.prescribe(account)?;
        self.act(&order, Action::FinishScan)?;
        Ok(order)
    }

    pub(super) fn act(&self, order: &OrderId, action: Action) -> Result<(), Refusal> {
        let notice = self.world().act(order, action)?;
        // After the lock is released: posting takes both locks itself.
        self.post(notice);
        Ok(())
    }

    pub(super) fn possible(&self, order: &OrderId) -> Vec<Action> {
        let world = self.world();
        world.case(order).map(Case::possible).unwrap_or_default()
    }
}

impl World {
    /// The notice is to be posted.
    pub(super) fn act(
        &mut self,
        order: &OrderId,
        action: Action,
    ) -> Result<Option<Notice>, Refusal> {
        let case = self.case_mut(order);
        let case = case.ok_or(Refusal::new(action.phrase(), None))?;
        let to = action.leads(case.phase());
        let to = to.ok_or_else(|| case.refuses(action.phrase()))?;
        Ok(match action {
            Action::BeginScan => self.show(order, to, OrderStatus::Scanning),
            Action::BeginInterpretation => {
                case.was_on_the_way_to_interpretation();
                self.enter(order, to)
            }
            _ => self.enter(order, to),
        })
    }
}
