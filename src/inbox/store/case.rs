//! What is recorded of a case.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::fits;
use super::packed::Packed;
use crate::error::{Error, Result};
use crate::flow::plan::{Glance, Record};
use crate::model::{Order, OrderId, RxId};
use crate::status::OrderStatus;

/// What is recorded of a case, without the order's own data.
#[derive(Clone)]
pub struct Case(Form);

#[derive(Clone)]
enum Form {
    /// Shared: most cases that are read are not changed.
    Whole(Arc<Whole>),
    /// Unpacked when somebody asks: most cases that are listed stand still.
    Packed(Arc<Packed>, OnceLock<Arc<Whole>>),
}

#[derive(Clone, PartialEq)]
struct Whole {
    order_id: OrderId,
    rx_id: Option<RxId>,
    version: u64,
    state: State,
}

/// What a store keeps as one text: more may be in it one day.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct State {
    record: Record,
    /// Tells whether the order's own data are those that were seen last.
    digest: u64,
}

impl Case {
    /// A case that was never kept.
    pub(crate) fn new(order_id: OrderId) -> Self {
        Case::whole(Whole {
            order_id,
            rx_id: None,
            version: 0,
            state: State::default(),
        })
    }

    /// A case as it was kept: `json` is what [`Case::to_json`] gave.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if it is anything else.
    pub fn from_stored(
        order_id: OrderId,
        rx_id: Option<RxId>,
        version: u64,
        json: &str,
    ) -> Result<Self> {
        let state: State = serde_json::from_str(json)
            .map_err(|_| Error::store(format!("the record of order {order_id} is damaged")))?;
        Ok(Case::whole(Whole {
            order_id,
            rx_id,
            version,
            state,
        }))
    }

    fn whole(whole: Whole) -> Self {
        Case(Form::Whole(Arc::new(whole)))
    }

    fn all(&self) -> &Arc<Whole> {
        match &self.0 {
            Form::Whole(whole) => whole,
            Form::Packed(packed, whole) => whole.get_or_init(|| Arc::new(Whole::from(&**packed))),
        }
    }

    pub(super) fn packed(packed: Arc<Packed>) -> Self {
        Case(Form::Packed(packed, OnceLock::new()))
    }

    /// The record and what belongs to it, as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`], for a status that cannot be written; there is none.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(&self.all().state).map_err(Error::store)
    }

    /// The order's number.
    #[must_use]
    pub fn order_id(&self) -> &OrderId {
        match &self.0 {
            Form::Whole(whole) => &whole.order_id,
            Form::Packed(packed, _) => packed.order_id(),
        }
    }

    /// The Rx id that it can be fetched by.
    #[must_use]
    pub fn rx_id(&self) -> Option<&RxId> {
        match &self.0 {
            Form::Whole(whole) => whole.rx_id.as_ref(),
            Form::Packed(packed, _) => packed.rx_id(),
        }
    }

    /// How often it was written before; 0 if it is new. It is to replace that version and no
    /// other.
    #[must_use]
    pub fn version(&self) -> u64 {
        match &self.0 {
            Form::Whole(whole) => whole.version,
            Form::Packed(packed, _) => packed.version,
        }
    }

    /// What was recorded.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.all().state.record
    }

    /// Whether a complete listing should have it: the service last showed a status that *Get
    /// Orders* lists.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        let glance = self.glance();
        !glance.is_gone && glance.shown.is_some_and(|status| status.is_listed())
    }

    /// When to look at it although nothing asks for it.
    #[must_use]
    pub fn look_at(&self) -> Option<SystemTime> {
        self.record().next_look()
    }

    /// When its last arrival was seen, where that is known.
    #[must_use]
    pub fn changed_at(&self) -> Option<SystemTime> {
        let arrivals = self.record().history().arrivals();
        arrivals.iter().rev().find_map(|arrival| arrival.time())
    }

    /// Whether this is what the service showed last, and the order was there ever since.
    pub(crate) fn still_shows(&self, status: &OrderStatus) -> bool {
        let glance = self.glance();
        glance.shown.as_ref() == Some(status) && !glance.is_missing && !glance.is_gone
    }

    fn glance(&self) -> Glance {
        match &self.0 {
            Form::Whole(whole) => Glance::at(&whole.state.record),
            Form::Packed(packed, _) => packed.glance(),
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        match &self.0 {
            Form::Whole(whole) => whole.state.digest,
            Form::Packed(packed, _) => packed.digest,
        }
    }

    pub(crate) fn set_record(&mut self, record: Record) {
        self.change().state.record = record;
    }

    /// Takes over what an order that was seen says about how it is found.
    pub(crate) fn saw(&mut self, order: &Order, digest: u64) {
        let whole = self.change();
        if let Some(rx_id) = order.rx_id().filter(|rx_id| fits(rx_id.as_str())) {
            whole.rx_id = Some(rx_id.clone());
        }
        whole.state.digest = digest;
    }

    pub(crate) fn set_rx_id(&mut self, rx_id: Option<RxId>) {
        self.change().rx_id = rx_id;
    }

    fn change(&mut self) -> &mut Whole {
        if let Form::Packed(..) = self.0 {
            self.0 = Form::Whole(Arc::clone(self.all()));
        }
        match &mut self.0 {
            Form::Whole(whole) => Arc::make_mut(whole),
            Form::Packed(..) => unreachable!("it was unpacked"),
        }
    }
}

impl From<&Packed> for Whole {
    fn from(packed: &Packed) -> Self {
        Whole {
            order_id: packed.order_id().clone(),
            rx_id: packed.rx_id().cloned(),
            version: packed.version,
            state: State {
                record: packed.record(),
                digest: packed.digest,
            },
        }
    }
}

impl PartialEq for Case {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("order_id", self.order_id())
            .field("rx_id", &self.rx_id())
            .field("version", &self.version())
            .field("record", self.record())
            .finish_non_exhaustive()
    }
}
