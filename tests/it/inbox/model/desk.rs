//! The lab's people at their work, who see to it that nothing is handed to them twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lab_connector::OrderStatus;
use lab_connector::flow::{Scenario, Set};
use lab_connector::inbox::{Delivery, Inbox};

use super::VISIBILITY;
use super::expected::Expected;
use super::world::{World, pick};

/// A delivery as it was handed out.
#[derive(Clone, Debug)]
pub(super) struct HandedOut {
    pub(super) status: OrderStatus,
    pub(super) candidates: Set<Scenario>,
    pub(super) acknowledged: bool,
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
    pub(super) async fn claim(
        &mut self,
        inbox: &Inbox,
        limit: usize,
        expected: &BTreeMap<String, Expected>,
        exact: bool,
    ) -> usize {
        let now = self.world.now();
        let claimed = inbox.claim(limit).await.unwrap();
        let count = claimed.len();
        assert!(count <= limit);
        for delivery in claimed {
            self.take(delivery, now, expected, exact);
        }
        count
    }

    fn take(
        &mut self,
        delivery: Delivery,
        now: SystemTime,
        expected: &BTreeMap<String, Expected>,
        exact: bool,
    ) {
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
        assert!(
            earlier.clone().all(|(_, earlier)| earlier.acknowledged),
            "{key:?} before an earlier one of its order is done"
        );
        if exact {
            let earlier = u32::try_from(earlier.count()).unwrap();
            assert_eq!(earlier + 1, key.1, "{key:?} skips an ordinal");
            self.compare(&delivery, &expected[&order]);
        }
        let reading = delivery.reading();
        let handed_out = HandedOut {
            status: delivery.status().clone(),
            candidates: reading.candidates(),
            acknowledged: false,
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

    /// A delivery has the history that was shown up to it, and reads it as the model says.
    fn compare(&self, delivery: &Delivery, expected: &Expected) {
        let upto = expected.upto(delivery.ordinal());
        let upto = upto.expect("what was never shown is handed out");
        let arrivals = upto.iter().map(|arrived| arrived.status.clone());
        let arrivals: Vec<OrderStatus> = arrivals.collect();
        let statuses = delivery.history().arrivals().iter();
        let statuses: Vec<OrderStatus> = statuses.map(|arrival| arrival.status().clone()).collect();
        assert_eq!(statuses, arrivals, "the history of a delivery");
        let complete = expected
            .complete
            .unwrap_or(delivery.history().is_complete());
        assert_eq!(delivery.history().is_complete(), complete, "completeness");
        let history = if complete {
            lab_connector::History::complete(arrivals)
        } else {
            lab_connector::History::partial(arrivals)
        };
        assert_eq!(delivery.reading(), history.read());
        assert!(
            delivery
                .arrivals_since_last_delivery()
                .last()
                .is_some_and(|last| last.is_delivery())
        );
    }

    /// Something becomes of a delivery that is held.
    pub(super) async fn work(&mut self, returned: &mut Vec<(String, bool)>) {
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
                returned.push((order, result.is_ok()));
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
