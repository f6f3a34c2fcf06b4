//! Orders: listing them, fetching one, sending one back.
//!
//! *Problem.* An order that is missing from a listing looks as if the lab had downloaded it, and a
//! service may answer with another order than the one asked for.
//!
//! *Approach.* A listing says what it lacks, and one bad record costs no other. An order must not be
//! taken for the one asked for if its own Rx id says otherwise, and a scan must not be returned twice.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde_json::Value;

use super::Lab;
use super::listing::Rules;
use super::pipeline::{Answer, Call};
use crate::endpoints::Operation;
use crate::error::{Error, Result};
use crate::model::lenient::{Fault, Ids, LocatedFault};
use crate::model::{Order, OrderId, RxId};

/// The orders of a lab.
#[derive(Clone, Copy, Debug)]
pub struct Orders<'a> {
    lab: &'a Lab,
}

impl<'a> Orders<'a> {
    pub(super) fn new(lab: &'a Lab) -> Self {
        Orders { lab }
    }

    /// *Get Orders*: the cases that wait for the lab, those in *Ready for Download* and *Lab
    /// Review*. An order that was downloaded drops out.
    ///
    /// All pages are read, see [`next_page`](super::ClientBuilder::next_page). Each is a call of its own, with
    /// attempts and a time limit of its own.
    ///
    /// # Errors
    ///
    /// [`Error::is_decode`] if the answer is no list of orders. A single order that cannot be
    /// read is no error, nor is a page after the first that fails: see
    /// [`Listing::unreadable`], [`Listing::problem`] and [`Listing::is_complete`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn list(&self) -> Result<Listing> {
        let call = Call::new(Operation::GetOrders).with("account_id", self.lab.id.as_str());
        let pages = self
            .lab
            .caller
            .pages(call, |order: &Order| order.id().as_str());
        let (orders, gaps) = pages.await?;
        Ok(Listing { orders, gaps })
    }

    /// *Get Order by Rx Id*: one order, whatever its status.
    ///
    /// # Errors
    ///
    /// [`Error::is_not_found`] if there is none; [`Error::is_decode`], which names the field,
    /// if it cannot be read, or if it is another order: one that names another Rx id.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn by_rx(&self, rx_id: &RxId) -> Result<Order> {
        let (answer, order) = self.fetch(rx_id).await?;
        // An order without an Rx id of its own cannot contradict the one that was asked for.
        // In capitals or not: only a real difference contradicts
        // (`another_order_than_the_one_asked_for_is_an_error`).
        let same = |other: &RxId| other.as_str().eq_ignore_ascii_case(rx_id.as_str());
        match order.rx_id().is_none_or(same) {
            true => Ok(order),
            // A service that answers with another order must not have it taken for this one.
            false => {
                Err(answer.unreadable(LocatedFault::new("rxid".to_owned(), Fault::AnotherOrder)))
            }
        }
    }

    /// The same, whatever order the service answers with: the caller judges that itself.
    pub(crate) async fn by_rx_unchecked(&self, rx_id: &RxId) -> Result<Order> {
        self.fetch(rx_id).await.map(|(_, order)| order)
    }

    async fn fetch(&self, rx_id: &RxId) -> Result<(Answer, Order)> {
        let call = Call::new(Operation::GetOrderByRxId)
            .with("account_id", self.lab.id.as_str())
            .with("rx_id", rx_id.as_str());
        let answer = self.lab.caller.send(call).await?;
        let client = &self.lab.caller.client;
        let rules = Rules::new(client, Operation::GetOrderByRxId, client.inner.listing);
        let order = answer.record(rules).await?;
        Ok((answer, order))
    }

    /// *Return Scan*: sends an order back to the doctor for a rescan. Await the result.
    pub fn return_to_doctor(&self, order: impl Into<OrderId>) -> ReturnScan<'a> {
        ReturnScan {
            lab: self.lab,
            order: order.into(),
            fields: serde_json::Map::new(),
        }
    }
}

/// What *Get Orders* listed.
#[derive(Debug)]
pub struct Listing {
    orders: Vec<Order>,
    gaps: Gaps,
}

/// What a listing may lack.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    pub(super) unreadable: Vec<Unreadable>,
    /// Why there may be more.
    pub(super) problem: Option<Error>,
}

impl Listing {
    /// The orders that could be read.
    #[must_use]
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// The orders that could be read.
    #[must_use]
    pub fn into_orders(self) -> Vec<Order> {
        self.orders
    }

    /// The orders and what could not be read among them, to keep.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Order>, Vec<Unreadable>) {
        (self.orders, self.gaps.unreadable)
    }

    /// The records that could not be read; of very many, the first 1,000.
    #[must_use]
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.gaps.unreadable
    }

    /// Why there may be more orders: a page that failed, that reports a failure, that repeats an
    /// earlier one, or that is announced without a way to it. What was read before is in the listing.
    ///
    /// [`Error::is_origin`] if a link to the next page leads where the token must not go;
    /// [`Error::is_decode`] if the pages make no sense, if an answer speaks of errors beside its list,
    /// or if the listing is over one of its [limits](super::ListingLimits), which it names; or whatever
    /// made the page fail.
    #[must_use]
    pub fn problem(&self) -> Option<&Error> {
        self.gaps.problem.as_ref()
    }

    /// Whether every record of every page was read. Only then does an order's absence say
    /// anything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.gaps.unreadable.is_empty() && self.gaps.problem.is_none()
    }
}

/// A record of a listing that could not be read.
pub struct Unreadable {
    position: usize,
    error: Error,
    order_id: Option<OrderId>,
    rx_id: Option<RxId>,
}

impl Unreadable {
    pub(super) fn new(position: usize, error: Error, ids: &Ids) -> Self {
        Unreadable {
            position,
            error,
            order_id: ids.order.as_deref().map(OrderId::new),
            rx_id: ids.rx.as_deref().map(RxId::new),
        }
    }

    /// Its place in the listing, from 0.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Why it could not be read.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The order's number, if that could be read: the order is there.
    #[must_use]
    pub fn order_id(&self) -> Option<&OrderId> {
        self.order_id.as_ref()
    }

    /// The Rx id, if that could be read.
    #[must_use]
    pub fn rx_id(&self) -> Option<&RxId> {
        self.rx_id.as_ref()
    }
}

/// Without ids: there may be anything in their place.
impl fmt::Debug for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unreadable")
            .field("position", &self.position)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// A scan about to be returned. Await it.
#[must_use = "a scan is returned when this is awaited"]
pub struct ReturnScan<'a> {
    lab: &'a Lab,
    order: OrderId,
    fields: serde_json::Map<String, Value>,
}

impl ReturnScan<'_> {
    /// The text for the doctor. Its key, `reason`, is a convention of this crate: the body of
    /// *Return Scan* is not documented. Use [`ReturnScan::field`] for another.
    pub fn reason(self, reason: impl Into<String>) -> Self {
        self.field("reason", reason.into())
    }

    /// A further field of the request's JSON body.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Sent once, and again only if it certainly was not sent.
    async fn send(self) -> Result<()> {
        let call = Call::new(Operation::ReturnScan)
            .with("account_id", self.lab.id.as_str())
            .with("order_id", self.order.as_str())
            .json(Value::Object(self.fields));
        // A success may say in its body that nothing was returned (`success_with_an_error_in_it_is_none`).
        self.lab.caller.send(call).await?.done()
    }
}

/// What the body says is about a patient.
impl fmt::Debug for ReturnScan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnScan")
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

impl<'a> IntoFuture for ReturnScan<'a> {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

    /// Returns the scan.
    ///
    /// # Errors
    ///
    /// [`Error::is_conflict`] if the order is not in a state that allows it; [`Error::is_decode`] if
    /// the answer is a success by its status and says otherwise. If [`Error::was_sent`] is `None`,
    /// fetch the order before trying again.
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped before it returns, the scan may have been returned.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
