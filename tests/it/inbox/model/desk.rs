//! The lab's people at their work, who see to it that nothing is handed to them twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lab_connector::OrderStatus;
use lab_connector::flow::{Scenario, Set};
use lab_connector::inbox::{Delivery, Inbox};

use super::VISIBILITY;
use super::world::{World, pick};

/// A delivery as it was handed out.
#[derive(Clone, Debug)]
pub(super) struct HandedOut {
    pub(super) status: OrderStatus,
    pub(super) candidates: Set<Scenario>,
    pub(super) acknowledged: bool,
    pub(super) doubtful: bool,
    /// It has failed: from then on it holds back no other.
    failed: bool,
}

struct Held {
    delivery: Delivery,
    until: SystemTime,
    /// Somebody else has it by now.
    lost: bool,
}

/// One lab's.
pub(super) struct Desk {
    world: Arc<World>,
    held: Vec<Held>,
    /// By order and ordinal.
    pub(super) handed_out: BTreeMap<(String, u32), HandedOut>,
    put_off: BTreeMap<(String, u32), SystemTime>,
}

impl Desk {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Desk {
            world: Arc::clone(world),
            held: Vec::new(),
            handed_out: BTreeMap::new(),
            put_off: BTreeMap::new(),
        }
    }

    /// Takes deliveries. Gives how many there were.
    pub(super) async fn claim(&mut self, inbox: &Inbox, limit: usize) -> usize {
        let now = self.world.now();
        let claimed = inbox.claim(limit).await.unwrap();
        let count = claimed.len();
        assert!(count <= limit);
        for delivery in claimed {
            self.take(delivery, now);
        }
        count
    }

    fn take(&mut self, delivery: Delivery, now: SystemTime) {
        let order = delivery.order_id().as_str().to_owned();
        let key = (order.clone(), delivery.ordinal());
        self.world.say(|| format!("{key:?} is handed out"));
        let known = self.handed_out.get(&key);
        assert!(
            !known.is_some_and(|known| known.acknowledged),
            "{key:?} was acknowledged and is handed out again"
        );
        if let Some(until) = self.put_off.remove(&key) {
            assert!(until <= now, "{key:?} was put off");
        }
        for held in &mut self.held {
            let one = held.delivery.order_id().as_str() == order;
            if one && held.delivery.ordinal() == key.1 {
                assert!(held.lost || held.until <= now, "{key:?} is held by two");
                held.lost = true;
            }
        }
        let earlier = self.handed_out.range((order.clone(), 0)..key.clone());
        let mut earlier = earlier.map(|(_, earlier)| earlier);
        assert!(
            earlier.all(|earlier| earlier.acknowledged || earlier.failed),
            "{key:?} before an earlier one of its order is done"
        );
        let last = delivery.arrivals_since_last_delivery().last();
        assert!(last.is_some_and(|last| last.is_delivery()));
        let reading = delivery.reading();
        let handed_out = HandedOut {
            status: delivery.status().clone(),
            candidates: reading.candidates(),
            acknowledged: false,
            doubtful: delivery.is_doubtful(),
            failed: known.is_some_and(|known| known.failed),
        };
        if let Some(before) = self.handed_out.get(&key) {
            assert_eq!(before.status, handed_out.status);
            assert_eq!(before.candidates, handed_out.candidates);
        }
        self.handed_out.insert(key, handed_out);
        self.held.push(Held {
            delivery,
            until: now + VISIBILITY,
            lost: false,
        });
    }

    /// Something becomes of a delivery that is held.
    pub(super) async fn work(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let index = self.world.rng().usize(0..self.held.len());
        let held = self.held.swap_remove(index);
        let order = held.delivery.order_id().as_str().to_owned();
        let key = (order.clone(), held.delivery.ordinal());
        let now = self.world.now();
        let what = pick(&mut self.world.rng(), &[0, 0, 0, 0, 1, 2, 3, 4, 5]);
        self.world.say(|| format!("{key:?}: work {what}"));
        let later = Duration::from_secs(self.world.rng().u64(0..4_000));
        let result = match what {
            0 => {
                let result = held.delivery.acknowledge().await;
                if result.is_ok() {
                    self.handed_out.get_mut(&key).unwrap().acknowledged = true;
                }
                result
            }
            1 => {
                let result = held.delivery.defer(now + later).await;
                if result.is_ok() {
                    self.put_off.insert(key.clone(), now + later);
                }
                result
            }
            2 => {
                let result = held.delivery.fail("no reason").await;
                if result.is_ok() {
                    self.put_off
                        .insert(key.clone(), now + Duration::from_secs(60));
                    self.handed_out.get_mut(&key).unwrap().failed = true;
                }
                result
            }
            3 => {
                let result = held.delivery.extend().await;
                if result.is_ok() {
                    let until = now + VISIBILITY;
                    self.held.push(Held { until, ..held });
                    return;
                }
                result
            }
            4 => {
                let result = held.delivery.return_to_doctor("margin").await;
                self.world
                    .say(|| format!("{key:?}: returned {}", result.is_ok()));
                self.held.push(held);
                return;
            }
            // Who has it dies.
            _ => {
                self.held.push(held);
                return;
            }
        };
        match result {
            Ok(()) => assert!(!held.lost, "{key:?} was lost and could be settled"),
            Err(error) => {
                assert!(error.is_lease_lost(), "{error}");
                assert!(held.lost, "{key:?} was not lost and could not be settled");
            }
        }
    }

    /// Everything that is still held is acknowledged, or was lost.
    pub(super) async fn finish(&mut self) {
        for held in std::mem::take(&mut self.held) {
            let key = (
                held.delivery.order_id().as_str().to_owned(),
                held.delivery.ordinal(),
            );
            match held.delivery.acknowledge().await {
                Ok(()) => {
                    assert!(!held.lost);
                    self.handed_out.get_mut(&key).unwrap().acknowledged = true;
                }
                Err(error) => assert!(error.is_lease_lost() && held.lost, "{error}"),
            }
        }
    }
}
