//! What the software observed of one order.

use std::time::SystemTime;

use super::files::Files;
use crate::flow::Arrival;
use crate::status::OrderStatus;

/// Something that was observed of one order, with what was known when it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    pub evidence: Evidence<'a>,
    /// The account's revision, read before the request was sent; of an own action, before it
    /// was begun.
    pub revision: u64,
    /// When the request was begun, by the local clock; decides only since when an order is known.
    pub begun: SystemTime,
    /// The time by which things wait: see the module's page.
    pub now: SystemTime,
    /// A random number, uniform over all of `u32`, that spreads the slow fetches.
    pub jitter: u32,
}

/// What was observed.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'a> {
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
pub struct OrderState<'a> {
    pub status: &'a OrderStatus,
    pub files: &'a Files,
    /// The history that the service itself gives, oldest first with its own times.
    pub history: &'a [Arrival],
    /// When the order was created, where the service says so.
    pub created: Option<SystemTime>,
}

impl<'a> OrderState<'a> {
    pub fn new(status: &'a OrderStatus, files: &'a Files) -> Self {
        OrderState {
            status,
            files,
            history: &[],
            created: None,
        }
    }
}
