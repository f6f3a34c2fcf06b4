//! A case in few bytes, with its order's data.

use std::sync::Arc;

use crate::flow::plan::{Glance, Record};
use crate::model::{Order, OrderId, RxId};

use super::Case;

/// A case with its order's data, as [`MemoryStore`](super::MemoryStore) has it. What the order
/// says itself is not kept twice: its ids, and the files by which it is told from the one before.
pub(super) struct Packed {
    order: Option<Arc<Order>>,
    /// Those of a case without an order, or of one whose order has others.
    ids: Option<Box<Ids>>,
    pub(super) version: u64,
    pub(super) digest: u64,
    record: Box<[u8]>,
}

struct Ids {
    order: OrderId,
    rx: Option<RxId>,
}

impl Packed {
    pub(super) fn new(case: &Case, order: Option<Arc<Order>>) -> Self {
        let files = order.as_deref().map(Order::fingerprint);
        let record = case.record();
        let mut packed = Vec::new();
        record.pack(record.files() != files.as_ref(), &mut packed);
        let about = order.as_deref();
        let in_order = about
            .is_some_and(|order| order.id() == case.order_id() && order.rx_id() == case.rx_id());
        let ids = (!in_order).then(|| Ids {
            order: case.order_id().clone(),
            rx: case.rx_id().cloned(),
        });
        Packed {
            order,
            ids: ids.map(Box::new),
            version: case.version(),
            digest: case.digest(),
            record: packed.into_boxed_slice(),
        }
    }

    pub(super) fn order(&self) -> Option<&Arc<Order>> {
        self.order.as_ref()
    }

    pub(super) fn order_id(&self) -> &OrderId {
        match (&self.ids, &self.order) {
            (Some(ids), _) => &ids.order,
            (None, Some(order)) => order.id(),
            (None, None) => unreachable!("a case without an order has its ids with it"),
        }
    }

    pub(super) fn rx_id(&self) -> Option<&RxId> {
        match &self.ids {
            Some(ids) => ids.rx.as_ref(),
            None => self.order.as_deref()?.rx_id(),
        }
    }

    pub(super) fn record(&self) -> Record {
        let files = || {
            let order = self.order.as_deref();
            order.map(Order::fingerprint).unwrap_or_default()
        };
        match Record::unpack(&self.record, files) {
            Some(record) => record,
            None => unreachable!("what was packed is unpacked"),
        }
    }

    /// What decides about most cases, without unpacking the record.
    pub(super) fn glance(&self) -> Glance {
        match Glance::at_packed(&self.record) {
            Some(glance) => glance,
            None => unreachable!("what was packed is unpacked"),
        }
    }
}
