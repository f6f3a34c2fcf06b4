//! Arrivals, as the log has them.
//!
//! The log has numbers only: index and ordinal. The status and the times are read from the case's
//! history, so that there is one truth. Neither `Debug` nor JSON must show the order's data.

use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{NewArrival, StoredCase};
use crate::error::{Error, Result};
use crate::flow::rfc3339::Rfc3339;
use crate::flow::{Arrival, History, Reading};
use crate::model::{Order, OrderId};
use crate::status::OrderStatus;

/// An arrival of an order in a status: worth showing. Those that are deliveries are among them,
/// and are worked on by [`Inbox::deliveries`](crate::inbox::Inbox::deliveries).
///
/// As JSON: `{"sequence": 7, "order_id": "123456789", "ordinal": 2, "status": "Lab Review", "at":
/// "2026-03-14T09:26:53.000Z", "origin": "listing", "doubtful": false, "history": {…}}`. `ordinal` is
/// `null` if it is no delivery, `at` and `origin` where they are not known; [`History`] says how it is
/// written. The order's data are not in it.
#[derive(Clone)]
pub struct LoggedArrival {
    sequence: u64,
    ordinal: Option<u32>,
    order_id: OrderId,
    order: Option<Arc<Order>>,
    history: History,
    arrival: Arrival,
}

impl LoggedArrival {
    /// The arrival with this number in the log, and its case as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if the case has no history.
    pub fn new(sequence: u64, arrival: NewArrival, stored: StoredCase) -> Result<Self> {
        let NewArrival { index, ordinal } = arrival;
        let history = stored.case.history_until(index);
        // An empty history behind an entry of the log: a store that kept one without the other.
        let arrival = history.last().cloned().ok_or_else(|| {
            Error::store(format!(
                "a case's record lacks number {sequence} of the log"
            ))
        })?;
        Ok(LoggedArrival {
            sequence,
            ordinal,
            order_id: stored.case.order_id().clone(),
            order: stored.order,
            history,
            arrival,
        })
    }

    /// Its number in the account's log, from 1 without gaps. Whoever keeps the number that was
    /// shown last goes on behind it with [`Inbox::arrivals`](crate::inbox::Inbox::arrivals).
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Which delivery of its order it is, from 1; none if it is no delivery.
    #[must_use]
    pub fn ordinal(&self) -> Option<u32> {
        self.ordinal
    }

    /// The order's number.
    #[must_use]
    pub fn order_id(&self) -> &OrderId {
        &self.order_id
    }

    /// The order as it was seen last; none if its data were forgotten.
    #[must_use]
    pub fn order(&self) -> Option<&Order> {
        self.order.as_deref()
    }

    /// The arrival.
    #[must_use]
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// The status it arrived in.
    #[must_use]
    pub fn status(&self) -> &OrderStatus {
        self.arrival.status()
    }

    /// The order's history up to this arrival.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What the history says.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.history.read()
    }
}

impl Serialize for LoggedArrival {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("LoggedArrival", 8)?;
        fields.serialize_field("sequence", &self.sequence)?;
        fields.serialize_field("order_id", &self.order_id)?;
        fields.serialize_field("ordinal", &self.ordinal)?;
        fields.serialize_field("status", self.status())?;
        fields.serialize_field("at", &self.arrival.time().map(Rfc3339))?;
        fields.serialize_field("origin", &self.arrival.origin())?;
        fields.serialize_field("doubtful", &self.arrival.is_doubtful())?;
        fields.serialize_field("history", &self.history)?;
        fields.end()
    }
}

/// Without the order's data.
impl fmt::Debug for LoggedArrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedArrival")
            .field("sequence", &self.sequence)
            .field("ordinal", &self.ordinal)
            .field("order_id", &self.order_id)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::*;
    use crate::flow::Origin;

    #[test]
    fn as_json_it_is_what_is_documented() {
        let arrival = Arrival::new("Lab Review")
            .at(UNIX_EPOCH + Duration::from_secs(1_773_480_413))
            .from_origin(Origin::Listing);
        let mut logged = LoggedArrival {
            sequence: 7,
            ordinal: Some(2),
            order_id: OrderId::new("123456789"),
            order: Some(Arc::new(
                serde_json::from_value(json!({"orderId": "1", "status": "F", "patient": "canary"}))
                    .unwrap(),
            )),
            history: History::partial([Arrival::new("Downloaded"), arrival.clone()]),
            arrival,
        };
        assert_eq!(
            serde_json::to_value(&logged).unwrap(),
            json!({
                "sequence": 7, "order_id": "123456789", "ordinal": 2, "status": "Lab Review",
                "at": "2026-03-14T09:26:53.000Z", "origin": "listing", "doubtful": false,
                "history": {"complete": false, "arrivals": [
                    "Downloaded",
                    {"status": "Lab Review", "at": "2026-03-14T09:26:53.000Z", "origin": "listing"},
                ]},
            })
        );
        logged.ordinal = None;
        logged.arrival = Arrival::new("Scanning").doubtful();
        let json = serde_json::to_value(&logged).unwrap();
        assert_eq!(json["ordinal"], json!(null));
        assert_eq!(json["at"], json!(null));
        assert_eq!(json["origin"], json!(null));
        assert_eq!(json["doubtful"], true);
    }
}
