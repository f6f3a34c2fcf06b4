//! Cases as the inbox would keep them.

use std::sync::Arc;

use lab_connector::inbox::store::{Case, NewArrival, Save};
use lab_connector::{Order, OrderId, RxId};
use serde_json::json;

/// A listed case with this delivery.
pub(super) fn delivery(id: &str, version: u64, ordinal: u32) -> Save {
    Save::new(
        case(id, version, "Ready for Download"),
        Some(order(id, "")),
        vec![NewArrival::new(ordinal - 1, Some(ordinal))],
    )
}

/// A new case that waits for nothing, with this in its order's data.
pub(super) fn quiet(id: &str, note: &str) -> Save {
    Save::new(case(id, 0, "Downloaded"), Some(order(id, note)), Vec::new())
}

fn case(id: &str, version: u64, status: &str) -> Case {
    let record = json!({
        "history": { "complete": true, "arrivals": [status] },
        "shown": { "status": status },
    });
    let state = json!({ "record": record }).to_string();
    let rx_id = RxId::new(format!("rx {id}"));
    Case::from_stored(OrderId::new(id), Some(rx_id), version, 0, &state).unwrap()
}

fn order(id: &str, note: &str) -> Arc<Order> {
    let order = json!({ "orderId": id, "rxId": format!("rx {id}"), "status": "x", "note": note });
    Arc::new(serde_json::from_value(order).unwrap())
}
