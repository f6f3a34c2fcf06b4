//! Cases in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::{
    Case, CaseKey, CaseStore, Claimed, Commit, Counts, Forget, Logged, NewArrival, Outcome, Save,
    Settlement, Stored,
};
use crate::error::Result;
use crate::flow::plan::Epoch;
use crate::model::{AccountId, Order, OrderId, RxId};

/// Keeps cases in memory: they are gone when the process ends, and what is listed then is
/// delivered again with a partial history.
///
/// For tests, and to look around. Clones share what they keep.
#[derive(Clone, Default)]
pub struct MemoryStore {
    accounts: Arc<Mutex<HashMap<AccountId, Account>>>,
}

#[derive(Default)]
struct Account {
    epoch: Epoch,
    lease: Option<(String, SystemTime)>,
    cases: BTreeMap<OrderId, Kept>,
    by_rx: HashMap<RxId, OrderId>,
    /// The cases that a complete listing should have.
    listed: BTreeSet<OrderId>,
    due: BTreeSet<(SystemTime, OrderId)>,
    /// Arrival number *n* is at *n* − 1.
    log: Vec<Entry>,
    /// The deliveries in the log that are not acknowledged.
    open: BTreeMap<u64, Open>,
}

struct Kept {
    case: Case,
    order: Option<Arc<Order>>,
}

struct Entry {
    order_id: OrderId,
    arrival: NewArrival,
}

struct Open {
    arrived_at: SystemTime,
    /// Hidden until then.
    due: SystemTime,
    token: Option<Arc<str>>,
    attempts: u32,
    failure: Option<String>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        MemoryStore::default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Account>> {
        // Nothing in here panics half-way through a change.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, account: &AccountId, read: impl FnOnce(&Account) -> T) -> T {
        match self.lock().get(account) {
            Some(account) => read(account),
            None => read(&Account::default()),
        }
    }

    fn write<T>(&self, account: &AccountId, write: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.lock();
        write(accounts.entry(account.clone()).or_default())
    }
}

#[async_trait]
impl CaseStore for MemoryStore {
    async fn lease(
        &self,
        account: &AccountId,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool> {
        Ok(self.write(account, |account| {
            let free = match &account.lease {
                Some((other, until)) => other == holder || *until <= now,
                None => true,
            };
            if free {
                account.lease = Some((holder.to_owned(), after(now, lease)));
            }
            free
        }))
    }

    async fn epoch(&self, account: &AccountId) -> Result<Epoch> {
        Ok(self.read(account, |account| account.epoch))
    }

    async fn expected(&self, account: &AccountId, orders: &[OrderId]) -> Result<Vec<Case>> {
        Ok(self.read(account, |account| {
            let asked = orders.iter().filter(|id| !account.listed.contains(*id));
            let asked: BTreeSet<_> = asked.collect();
            let all = account.listed.iter().chain(asked);
            all.filter_map(|id| Some(account.cases.get(id)?.case.clone()))
                .collect()
        }))
    }

    async fn find(&self, account: &AccountId, case: CaseKey<'_>) -> Result<Option<Stored>> {
        Ok(self.read(account, |account| {
            let id = match case {
                CaseKey::Order(id) => id,
                CaseKey::Rx(rx_id) => account.by_rx.get(rx_id)?,
            };
            Some(account.cases.get(id)?.stored())
        }))
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        Ok(self.read(account, |account| {
            let due = account.due.iter().take_while(|(time, _)| *time <= now);
            due.take(limit)
                .filter_map(|(_, id)| Some(account.cases.get(id)?.case.clone()))
                .collect()
        }))
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        Ok(self.write(account, |account| {
            let as_read = commit.saves.iter().all(|save| {
                let kept = account.cases.get(save.case.order_id());
                kept.map_or(0, |kept| kept.case.version()) == save.case.version()
            });
            if as_read {
                for save in &commit.saves {
                    account.keep(save, now);
                }
                account.epoch = commit.epoch.unwrap_or(account.epoch);
            }
            as_read
        }))
    }

    async fn claim(
        &self,
        account: &AccountId,
        token: &str,
        limit: usize,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<Claimed>> {
        Ok(self.write(account, |account| {
            let token: Arc<str> = token.into();
            let mut first_of = BTreeSet::new();
            let mut claimed = Vec::new();
            for (sequence, open) in &mut account.open {
                if claimed.len() == limit {
                    break;
                }
                let Some((entry, ordinal)) = delivery(&account.log, *sequence) else {
                    continue;
                };
                let is_first = first_of.insert(&entry.order_id);
                let Some(kept) = account.cases.get(&entry.order_id) else {
                    continue;
                };
                if !is_first || open.due > now {
                    continue;
                }
                open.due = after(now, lease);
                open.token = Some(Arc::clone(&token));
                open.attempts = open.attempts.saturating_add(1);
                claimed.push(Claimed {
                    sequence: *sequence,
                    stored: kept.stored(),
                    index: entry.arrival.index,
                    ordinal,
                    arrived_at: open.arrived_at,
                    attempts: open.attempts,
                    failure: open.failure.clone(),
                });
            }
            claimed
        }))
    }

    async fn settle(
        &self,
        account: &AccountId,
        settlements: &[Settlement],
        now: SystemTime,
    ) -> Result<Vec<bool>> {
        Ok(self.write(account, |account| {
            let settled = settlements.iter();
            settled
                .map(|settlement| account.settle(settlement, now))
                .collect()
        }))
    }

    async fn arrivals(&self, account: &AccountId, after: u64, limit: usize) -> Result<Vec<Logged>> {
        Ok(self.read(account, |account| {
            let first = usize::try_from(after).unwrap_or(usize::MAX);
            let log = account.log.iter().zip(1..).skip(first).take(limit);
            log.filter_map(|(entry, sequence)| {
                Some(Logged {
                    sequence,
                    index: entry.arrival.index,
                    ordinal: entry.arrival.ordinal,
                    stored: account.cases.get(&entry.order_id)?.stored(),
                })
            })
            .collect()
        }))
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<Stored>> {
        Ok(self.read(account, |account| {
            let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
            let behind = account.cases.range::<OrderId, _>((begin, Bound::Unbounded));
            behind.take(limit).map(|(_, kept)| kept.stored()).collect()
        }))
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(self.read(account, |account| {
            let open = || account.open.values();
            Counts {
                cases: count(account.cases.len()),
                arrivals: count(account.log.len()),
                open: count(account.open.len()),
                hidden: count(open().filter(|open| open.due > now).count()),
                failed: count(open().filter(|open| open.failure.is_some()).count()),
                oldest: open().map(|open| open.arrived_at).min(),
            }
        }))
    }

    async fn forget(&self, account: &AccountId, which: Forget<'_>) -> Result<u64> {
        Ok(self.write(account, |account| {
            let busy: BTreeSet<_> = account
                .open
                .keys()
                .filter_map(|sequence| Some(&delivery(&account.log, *sequence)?.0.order_id))
                .collect();
            let mut forgotten = 0;
            for (id, kept) in &mut account.cases {
                let chosen = match which {
                    Forget::Before(time) => kept.case.changed_at().is_none_or(|at| at < time),
                    Forget::Order(order) => order == id,
                };
                let idle = !kept.case.is_listed() && !busy.contains(id);
                if chosen && idle && kept.order.take().is_some() {
                    forgotten += 1;
                }
            }
            forgotten
        }))
    }
}

impl Account {
    fn keep(&mut self, save: &Save, now: SystemTime) {
        let id = save.case.order_id();
        let before = self.cases.remove(id);
        if let Some(before) = &before {
            if let Some(time) = before.case.look_at() {
                self.due.remove(&(time, id.clone()));
            }
            if let Some(rx_id) = before.case.rx_id().filter(|_| save.case.rx_id().is_some()) {
                self.by_rx.remove(rx_id);
            }
        }
        if let Some(rx_id) = save.case.rx_id() {
            self.by_rx.insert(rx_id.clone(), id.clone());
        }
        if let Some(time) = save.case.look_at() {
            self.due.insert((time, id.clone()));
        }
        if save.case.is_listed() {
            self.listed.insert(id.clone());
        } else {
            self.listed.remove(id);
        }
        for arrival in &save.arrivals {
            self.log.push(Entry {
                order_id: id.clone(),
                arrival: *arrival,
            });
            if arrival.ordinal.is_some() {
                let sequence = u64::try_from(self.log.len()).unwrap_or(u64::MAX);
                let open = Open {
                    arrived_at: now,
                    due: now,
                    token: None,
                    attempts: 0,
                    failure: None,
                };
                self.open.insert(sequence, open);
            }
        }
        let kept = Kept {
            case: save.case.clone().written(),
            order: save.order.clone().or(before.and_then(|kept| kept.order)),
        };
        self.cases.insert(id.clone(), kept);
    }

    fn settle(&mut self, settlement: &Settlement, now: SystemTime) -> bool {
        let Some(open) = self.open.get_mut(&settlement.sequence) else {
            return false;
        };
        if open.token.as_deref() != Some(&*settlement.token) {
            return false;
        }
        match &settlement.outcome {
            Outcome::Acknowledged => {
                self.open.remove(&settlement.sequence);
            }
            Outcome::Again {
                after: time,
                failure,
            } => {
                open.due = after(now, *time);
                open.token = None;
                if failure.is_some() {
                    open.failure.clone_from(failure);
                }
            }
            Outcome::Held(lease) => open.due = after(now, *lease),
        }
        true
    }
}

impl Kept {
    fn stored(&self) -> Stored {
        Stored {
            case: self.case.clone(),
            order: self.order.clone(),
        }
    }
}

/// So much later; a thousand years at most, as clocks have an end.
fn after(now: SystemTime, time: Duration) -> SystemTime {
    const LONGEST: Duration = Duration::from_secs(1000 * 366 * 24 * 60 * 60);
    now + time.min(LONGEST)
}

/// The delivery with this number in the log.
fn delivery(log: &[Entry], sequence: u64) -> Option<(&Entry, u32)> {
    let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
    let entry = log.get(index)?;
    Some((entry, entry.arrival.ordinal?))
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
