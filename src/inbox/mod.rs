//! From polling to deliveries.
//!
//! *Problem.* *Get Orders* is a queue with no second chance: a downloaded order drops out of it,
//! the same order comes back after a rescan, after modeling, after interpretation 2, and what
//! happens to it in between is never listed.
//!
//! *Default.* An [`Inbox`] remembers what the service showed of each order. A
//! [`poll`](Inbox::poll) lists the orders, fetches those that dropped out and those that are
//! watched, and says what is new: [`Delivery`], the unit of the lab's work, and [`Change`],
//! worth showing and nothing to process. What an answer means is decided by
//! [`flow::plan`](crate::flow::plan).
//!
//! It remembers in memory: after a restart it begins anew, and what is listed then is delivered
//! again with a partial history.
//!
//! ```no_run
//! # async fn example(lab: lab_connector::Lab) -> lab_connector::Result<()> {
//! let inbox = lab.inbox();
//! let round = inbox.poll().await?;
//! for delivery in round.deliveries() {
//!     println!("{}: {}", delivery.order().id(), delivery.reading().action());
//! }
//! # Ok(())
//! # }
//! ```

mod delivery;
mod poll;
pub mod store;

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use tokio::sync::Mutex;

use crate::client::Lab;
use crate::error::Result;
use crate::flow::History;
use crate::flow::plan::{Epoch, Observation, Policy, Record};
use crate::model::{Notification, Order, OrderId};

pub use delivery::{Change, Delivery, Problem, Round};

/// What the service showed of a lab's orders, and what is new.
pub struct Inbox {
    lab: Lab,
    policy: Policy,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: Epoch,
    cases: HashMap<OrderId, Case>,
}

/// An order as it was last seen, with what is recorded of it.
struct Case {
    order: Order,
    record: Record,
}

impl Lab {
    /// An inbox for the lab's orders.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        Inbox {
            lab: self.clone(),
            policy: Policy::default(),
            state: Mutex::default(),
        }
    }
}

impl Inbox {
    /// Other limits than those of [`Policy::default`].
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// One round: lists the orders, fetches those that dropped out and those whose time to be
    /// looked at has come, and says what is new.
    ///
    /// An order that cannot be fetched or read does not stop the others: see
    /// [`Round::problems`].
    ///
    /// # Errors
    ///
    /// The orders cannot be listed. Nothing is concluded from that.
    ///
    /// # Cancel safety
    ///
    /// Not safe in this release: what was found new before the future was dropped is not
    /// reported again.
    pub async fn poll(&self) -> Result<Round> {
        let mut state = self.state.lock().await;
        let mut round = Round::default();
        poll::round(self, &mut state, &mut round).await?;
        Ok(round)
    }

    /// Looks at the order that a notification names. The notification is a hint and nothing of
    /// it is believed: a duplicate, late or forged one changes nothing.
    ///
    /// # Errors
    ///
    /// The order cannot be fetched, for instance because there is none
    /// ([`is_not_found`](crate::Error::is_not_found)).
    ///
    /// # Cancel safety
    ///
    /// As [`Inbox::poll`].
    pub async fn notify(&self, notification: &Notification) -> Result<Round> {
        let mut state = self.state.lock().await;
        let mut round = Round::default();
        let begun = self.now();
        let order = self.lab.orders().by_rx(notification.rx_id()).await?;
        poll::fetched(self, &mut state, &mut round, order, begun);
        Ok(round)
    }

    /// Notes that the files of a delivery were downloaded.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped, it has noted it or not.
    pub async fn downloaded(&self, delivery: &Delivery) {
        let observation = Observation::downloaded(delivery.ordinal(), self.now());
        // A mark: *Downloaded* is an arrival when the service shows it.
        let _ = self.note(delivery.order(), &observation).await;
    }

    /// Sends the case of a delivery back to the doctor, and records that it is there: the round
    /// holds the change.
    ///
    /// # Errors
    ///
    /// As [`Orders::return_to_doctor`](crate::client::Orders::return_to_doctor).
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped, the scan may have been returned; the next look at it will tell.
    pub async fn return_to_doctor(&self, delivery: &Delivery, reason: &str) -> Result<Round> {
        let order = delivery.order();
        let returned = self
            .lab
            .orders()
            .return_to_doctor(order.id())
            .reason(reason);
        returned.await?;
        Ok(self.note(order, &Observation::returned(self.now())).await)
    }

    /// Every order that was seen, with its history, by order id.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn histories(&self) -> Vec<(OrderId, History)> {
        let state = self.state.lock().await;
        let mut histories: Vec<_> = state
            .cases
            .iter()
            .map(|(id, case)| (id.clone(), case.record.history().clone()))
            .collect();
        histories.sort_by(|(one, _), (other, _)| one.cmp(other));
        histories
    }

    async fn note(&self, order: &Order, observation: &Observation<'_>) -> Round {
        let mut state = self.state.lock().await;
        let mut round = Round::default();
        poll::note(self, &mut state, &mut round, order, observation);
        round
    }

    fn now(&self) -> SystemTime {
        self.lab.clock().now()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("lab", &self.lab)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
