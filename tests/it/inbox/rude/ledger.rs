//! What the lab's people were handed, and what of it must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use lab_connector::inbox::Delivery;
use serde_json::Value;

use super::Tally;

/// What the lab's people were handed.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) era: usize,
    /// The order id of each patient.
    pub(super) names: BTreeMap<String, String>,
    pub(super) handed: BTreeMap<(String, u32), HandedOut>,
    /// What each process works on.
    at_work: BTreeSet<(usize, String, u32)>,
    /// What must not be. A handler must not panic over it, since that is caught.
    pub(super) wrong: Vec<String>,
    pub(super) tally: Tally,
}

pub(super) struct HandedOut {
    pub(super) who: String,
    pub(super) status: String,
    /// When it was handed out first.
    pub(super) era: usize,
    acknowledged: bool,
}

impl Ledger {
    pub(super) fn take(&mut self, delivery: &Delivery) {
        let extra = delivery.order().extra();
        let who = extra.get("who").and_then(Value::as_str).unwrap_or_default();
        let name = delivery.order_id().as_str();
        if !who.starts_with("patient-") {
            self.wrong
                .push(format!("{name} is delivered with the data of {who:?}"));
        }
        let known = self
            .names
            .entry(who.to_owned())
            .or_insert_with(|| name.to_owned());
        if *known != name {
            let wrong = format!("{who} is delivered as {known} and as {name}");
            self.wrong.push(wrong);
        }
        if self.names.values().filter(|known| *known == name).count() > 1 {
            self.wrong
                .push(format!("{name} is the name of two patients"));
        }
        let key = (name.to_owned(), delivery.ordinal());
        let status = delivery.status().as_str();
        match self.handed.get(&key) {
            Some(known) if known.acknowledged => {
                self.wrong
                    .push(format!("{key:?} was acknowledged and comes again"));
            }
            Some(known) if known.status != status => {
                self.wrong
                    .push(format!("{key:?} is another one by now: {status}"));
            }
            Some(_) => {}
            None => {
                self.tally.deliveries += 1;
                self.tally.doubtful += u64::from(delivery.is_doubtful());
                let handed = HandedOut {
                    who: who.to_owned(),
                    status: status.to_owned(),
                    era: self.era,
                    acknowledged: false,
                };
                self.handed.insert(key, handed);
            }
        }
    }

    /// A process's handler takes a delivery, until what this returns is dropped.
    pub(super) fn begin(
        ledger: &Arc<Mutex<Ledger>>,
        process: usize,
        delivery: &Delivery,
    ) -> AtWork {
        let name = delivery.order_id().as_str().to_owned();
        let key = (process, name, delivery.ordinal());
        let mut held = ledger.lock().unwrap();
        held.take(delivery);
        if !held.at_work.insert(key.clone()) {
            held.wrong
                .push(format!("two handlers of one process work on {key:?}"));
        }
        let ledger = Arc::clone(ledger);
        AtWork { ledger, key }
    }

    pub(super) fn acknowledged(&mut self, delivery: &Delivery) {
        let key = (delivery.order_id().as_str().to_owned(), delivery.ordinal());
        if let Some(handed) = self.handed.get_mut(&key) {
            handed.acknowledged = true;
        }
    }
}

/// A handler that works on a delivery.
pub(super) struct AtWork {
    ledger: Arc<Mutex<Ledger>>,
    key: (usize, String, u32),
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.ledger.lock().unwrap().at_work.remove(&self.key);
    }
}
