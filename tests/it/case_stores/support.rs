//! Cases as the inbox would keep them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lab_connector::inbox::store::{Case, CaseStore, Commit, NewArrival, Outcome, Save, Settlement};
use lab_connector::{AccountId, Order, OrderId, RxId};
use serde_json::json;

/// A listed case with this delivery.
pub(super) fn delivery(id: &str, version: u64, ordinal: u32) -> Save {
    Save::new(
        case(id, version, &vec!["Ready for Download"; ordinal as usize]),
        Some(order(id, "")),
        vec![NewArrival::new(ordinal - 1, Some(ordinal))],
    )
}

/// A new case that waits for nothing, with this in its order's data.
pub(super) fn quiet(id: &str, note: &str) -> Save {
    Save::new(
        case(id, 0, &["Downloaded"]),
        Some(order(id, note)),
        Vec::new(),
    )
}

fn case(id: &str, version: u64, arrivals: &[&str]) -> Case {
    let record = json!({
        "history": { "complete": true, "arrivals": arrivals },
        "shown": { "status": arrivals.last() },
    });
    let state = json!({ "record": record }).to_string();
    let rx_id = RxId::new(format!("rx {id}"));
    Case::from_stored(OrderId::new(id), Some(rx_id), version, 0, &state).unwrap()
}

fn order(id: &str, note: &str) -> Arc<Order> {
    let order = json!({ "orderId": id, "rxId": format!("rx {id}"), "status": "x", "note": note });
    Arc::new(serde_json::from_value(order).unwrap())
}

/// A case with two deliveries of which one is done, and one with Align.
pub(super) async fn some_cases(store: &impl CaseStore) {
    let account = AccountId::new("L-1");
    let now = store.now(SystemTime::now()).await.unwrap();
    let first = Commit::new(vec![delivery("1", 0, 1), with_align("2")]);
    assert!(store.commit(&account, &first, now).await.unwrap());
    let lease = Duration::from_secs(600);
    let claimed = store.claim(&account, "t", 1, lease, now).await.unwrap();
    let done = Settlement::new(claimed[0].sequence, "t".into(), Outcome::Acknowledged);
    assert_eq!(store.settle(&account, &[done], now).await.unwrap(), [true]);
    let second = Commit::new(vec![delivery("1", 1, 2)]);
    assert!(store.commit(&account, &second, now).await.unwrap());
}

fn with_align(id: &str) -> Save {
    let case = case(id, 0, &["iTero Modeling"]);
    Save::new(case, Some(order(id, "")), vec![NewArrival::new(0, None)])
}

/// What a vendor may ask, and the answers about [`some_cases`].
pub(super) const QUESTIONS: &[(&str, &[&str])] = &[
    (
        "SELECT order_id FROM @cases WHERE status = 'iTero Modeling'",
        &["2"],
    ),
    (
        "SELECT stage FROM @cases ORDER BY order_id",
        &["ready_for_download", "in_modeling"],
    ),
    ("SELECT order_id FROM @cases WHERE listed", &["1"]),
    (
        "SELECT status FROM @arrivals ORDER BY sequence LIMIT 2",
        &["Ready for Download", "iTero Modeling"],
    ),
    (
        "SELECT order_id || ' ' || ordinal || ' ' || status FROM @open_work",
        &["1 2 Ready for Download"],
    ),
    (
        "SELECT position || ' ' || CASE WHEN acknowledged THEN 'done' ELSE 'open' END
         FROM @order_history WHERE order_id = '1' ORDER BY sequence",
        &["0 done", "1 open"],
    ),
    (
        "SELECT order_id || ' ' || status FROM @with_align",
        &["2 iTero Modeling"],
    ),
];
