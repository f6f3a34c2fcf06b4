//! What the software observed of one order.
//!
//! Plain data, borrowed from the answer. Time and chance are in it, so that the planner asks nobody
//! and a run can be repeated. Nothing of an order but its status, files, history and time of
//! creation must come in here: the planner decides by nothing else.

use std::time::SystemTime;

use super::files::Files;
use crate::flow::Arrival;
use crate::status::OrderStatus;

/// Something that was observed of one order, with what was known when it was asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct Observation<'a> {
    pub(in crate::inbox) evidence: Evidence<'a>,
    /// The case was recorded at a later revision of the account than the one that was read before
    /// the request was sent: what the answer shows may be older than what is recorded.
    pub(in crate::inbox) is_outdated: bool,
    /// When the request was begun, by the local clock; decides only since when an order is known.
    pub(in crate::inbox) begun: SystemTime,
    /// The time by which things wait: see the module's page.
    pub(in crate::inbox) now: SystemTime,
    /// A random number, uniform over all of `u32`, that spreads the slow fetches.
    pub(in crate::inbox) jitter: u32,
}

/// What was observed.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) enum Evidence<'a> {
    /// A listing, complete or not, has the order in this state.
    Listed(OrderState<'a>),
    /// A complete listing lacks the order.
    Absent,
    /// A listing that is not complete lacks the order.
    Unlisted,
    /// A listing has the order, and what to record is not clear: it shows it in several states,
    /// or in one and without an order id. In the order of the listing.
    Unsettled(&'a [OrderState<'a>]),
    /// The order was fetched by its Rx id and is in this state.
    Fetched(OrderState<'a>),
    /// It was fetched, and the service does not have it (404).
    NotFound,
    /// It could not be fetched, or what came was about another order.
    FetchFailed,
    /// A notification named the order, or something else hints that a fetch is worth while.
    Hinted,
    /// We returned the order to the doctor, and the service accepted it.
    Returned,
    /// We downloaded all files of the delivery with this ordinal.
    Downloaded(u32),
}

/// The state in which an answer shows an order.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct OrderState<'a> {
    pub(in crate::inbox) status: &'a OrderStatus,
    pub(in crate::inbox) files: &'a Files,
    /// The history that the service itself reports, oldest first with its own times.
    pub(in crate::inbox) history: &'a [Arrival],
    /// When the order was created, where the service says so.
    pub(in crate::inbox) created: Option<SystemTime>,
}

impl<'a> OrderState<'a> {
    #[cfg(test)]
    pub(in crate::inbox) fn new(status: &'a OrderStatus, files: &'a Files) -> Self {
        OrderState {
            status,
            files,
            history: &[],
            created: None,
        }
    }
}
