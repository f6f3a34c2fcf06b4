//! Cases in memory.

mod index;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use self::index::Index;
use super::packed::Packed;
use super::{
    Case, CaseKey, CaseStore, Claimed, Commit, Counts, Forget, Logged, Outcome, Save, Settlement,
    Stored,
};
use crate::error::Result;
use crate::flow::plan::Epoch;
use crate::model::{AccountId, OrderId, RxId};

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
    /// A case has the same slot for ever.
    cases: Vec<Arc<Packed>>,
    by_order: Index,
    by_rx: Index,
    /// The cases that a complete listing should have.
    listed: BTreeSet<Slot>,
    due: BTreeSet<(SystemTime, Slot)>,
    /// Arrival number *n* is at *n* − 1.
    log: Vec<Entry>,
    /// When what is in the log was committed: from which number on, until the next.
    committed: Vec<(u64, SystemTime)>,
    /// The deliveries in the log that are not acknowledged.
    open: BTreeSet<u64>,
    /// Those of them that were claimed at some time.
    worked_on: HashMap<u64, Work>,
}

/// The index of a case.
type Slot = usize;

struct Entry {
    slot: Slot,
    index: u32,
    ordinal: Option<NonZeroU32>,
}

/// What became of a delivery that was claimed at some time.
struct Work {
    /// Hidden until then.
    due: SystemTime,
    token: Option<Arc<str>>,
    attempts: u32,
    failure: Option<String>,
}

impl Work {
    const NONE: Self = Work {
        due: SystemTime::UNIX_EPOCH,
        token: None,
        attempts: 0,
        failure: None,
    };
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
            let asked = orders.iter().filter_map(|id| account.slot(id));
            let mut chosen: Vec<Slot> = asked.chain(account.listed.iter().copied()).collect();
            chosen.sort_unstable();
            chosen.dedup();
            let cases = chosen
                .into_iter()
                .filter_map(|slot| account.cases.get(slot));
            cases.map(case).collect()
        }))
    }

    async fn find(&self, account: &AccountId, case: CaseKey<'_>) -> Result<Option<Stored>> {
        Ok(self.read(account, |account| {
            let slot = match case {
                CaseKey::Order(id) => account.slot(id)?,
                CaseKey::Rx(id) => account.by_rx.find(id, rx_ids(&account.cases))?,
            };
            account.cases.get(slot).map(stored)
        }))
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        Ok(self.read(account, |account| {
            let due = account.due.iter().take_while(|(time, _)| *time <= now);
            due.take(limit)
                .filter_map(|(_, slot)| account.cases.get(*slot).map(case))
                .collect()
        }))
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        Ok(self.write(account, |account| {
            let as_read = commit.saves.iter().all(|save| {
                let slot = account.slot(save.case.order_id());
                let kept = slot.and_then(|slot| account.cases.get(slot));
                kept.map_or(0, |kept| kept.version) == save.case.version()
            });
            if as_read {
                let first = account.next_sequence();
                commit.saves.iter().for_each(|save| account.keep(save));
                if account.next_sequence() > first {
                    account.committed.push((first, now));
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
            for sequence in &account.open {
                if claimed.len() == limit {
                    break;
                }
                let Some((entry, ordinal)) = delivery(&account.log, *sequence) else {
                    continue;
                };
                let is_first = first_of.insert(entry.slot);
                let work = account.worked_on.get(sequence);
                let hidden = work.is_some_and(|work| work.due > now);
                let Some(kept) = account.cases.get(entry.slot) else {
                    continue;
                };
                if !is_first || hidden {
                    continue;
                }
                let work = account.worked_on.entry(*sequence).or_insert(Work::NONE);
                work.due = after(now, lease);
                work.token = Some(Arc::clone(&token));
                work.attempts = work.attempts.saturating_add(1);
                claimed.push(Claimed {
                    sequence: *sequence,
                    stored: stored(kept),
                    index: entry.index,
                    ordinal,
                    arrived_at: arrived_at(&account.committed, *sequence),
                    attempts: work.attempts,
                    failure: work.failure.clone(),
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
                    index: entry.index,
                    ordinal: entry.ordinal.map(NonZeroU32::get),
                    stored: stored(account.cases.get(entry.slot)?),
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
            let before = match after {
                Some(id) => account.slot(id).map_or(usize::MAX, |slot| slot + 1),
                None => 0,
            };
            let behind = account.cases.iter().skip(before);
            behind.take(limit).map(stored).collect()
        }))
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(self.read(account, |account| {
            let open = account.open.iter();
            let work = || account.worked_on.values();
            Counts {
                cases: count(account.cases.len()),
                arrivals: count(account.log.len()),
                open: count(account.open.len()),
                hidden: count(work().filter(|work| work.due > now).count()),
                failed: count(work().filter(|work| work.failure.is_some()).count()),
                oldest: open
                    .map(|sequence| arrived_at(&account.committed, *sequence))
                    .min(),
            }
        }))
    }

    async fn forget(&self, account: &AccountId, which: Forget<'_>) -> Result<u64> {
        Ok(self.write(account, |account| {
            let busy: BTreeSet<_> = account
                .open
                .iter()
                .filter_map(|sequence| Some(delivery(&account.log, *sequence)?.0.slot))
                .collect();
            let mut forgotten = 0;
            for (slot, kept) in account.cases.iter_mut().enumerate() {
                let case = case(kept);
                let chosen = match which {
                    Forget::Before(time) => case.changed_at().is_none_or(|at| at < time),
                    Forget::Order(order) => order == case.order_id(),
                };
                let idle = !case.is_listed() && !busy.contains(&slot);
                if chosen && idle && kept.order().is_some() {
                    *kept = Packed::new(&case, None).into();
                    forgotten += 1;
                }
            }
            forgotten
        }))
    }
}

impl Account {
    fn slot(&self, order: &OrderId) -> Option<Slot> {
        self.by_order.find(order, order_ids(&self.cases))
    }

    fn keep(&mut self, save: &Save) {
        let known = self.slot(save.case.order_id());
        let slot = known.unwrap_or(self.cases.len());
        let before = self.cases.get(slot).cloned();
        if let Some(before) = &before {
            if let Some(time) = case(before).look_at() {
                self.due.remove(&(time, slot));
            }
            if let Some(id) = before.rx_id() {
                self.by_rx.remove(slot, id);
            }
        }
        if let Some(time) = save.case.look_at() {
            self.due.insert((time, slot));
        }
        if save.case.is_listed() {
            self.listed.insert(slot);
        } else {
            self.listed.remove(&slot);
        }
        let order = save.order.as_ref();
        let order = order.or_else(|| before.as_deref()?.order());
        let mut kept = Packed::new(&save.case, order.cloned());
        kept.version += 1;
        let has_rx_id = kept.rx_id().is_some();
        match self.cases.get_mut(slot) {
            Some(place) => *place = kept.into(),
            None => {
                self.cases.push(kept.into());
                self.by_order.insert(slot, order_ids(&self.cases));
            }
        }
        if has_rx_id {
            self.by_rx.insert(slot, rx_ids(&self.cases));
        }
        for arrival in &save.arrivals {
            if arrival.ordinal.is_some() {
                let sequence = self.next_sequence();
                self.open.insert(sequence);
            }
            self.log.push(Entry {
                slot,
                index: arrival.index,
                ordinal: arrival.ordinal.and_then(NonZeroU32::new),
            });
        }
    }

    /// The number of the next arrival in the log.
    fn next_sequence(&self) -> u64 {
        u64::try_from(self.log.len()).map_or(u64::MAX, |length| length + 1)
    }

    fn settle(&mut self, settlement: &Settlement, now: SystemTime) -> bool {
        let Some(work) = self.worked_on.get_mut(&settlement.sequence) else {
            return false;
        };
        if work.token.as_deref() != Some(&*settlement.token) {
            return false;
        }
        match &settlement.outcome {
            Outcome::Acknowledged => {
                self.worked_on.remove(&settlement.sequence);
                self.open.remove(&settlement.sequence);
            }
            Outcome::Again {
                after: time,
                failure,
            } => {
                work.due = after(now, *time);
                work.token = None;
                if failure.is_some() {
                    work.failure.clone_from(failure);
                }
            }
            Outcome::Held(lease) => work.due = after(now, *lease),
        }
        true
    }
}

fn case(kept: &Arc<Packed>) -> Case {
    Case::packed(Arc::clone(kept))
}

fn stored(kept: &Arc<Packed>) -> Stored {
    Stored {
        case: case(kept),
        order: kept.order().cloned(),
    }
}

fn order_ids<'a>(cases: &'a [Arc<Packed>]) -> impl Fn(Slot) -> Option<&'a OrderId> {
    |slot| cases.get(slot).map(|kept| kept.order_id())
}

fn rx_ids<'a>(cases: &'a [Arc<Packed>]) -> impl Fn(Slot) -> Option<&'a RxId> {
    |slot| cases.get(slot)?.rx_id()
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
    Some((entry, entry.ordinal?.get()))
}

fn arrived_at(committed: &[(u64, SystemTime)], sequence: u64) -> SystemTime {
    let behind = committed.partition_point(|(first, _)| *first <= sequence);
    let commit = behind.checked_sub(1).and_then(|at| committed.get(at));
    // Whatever is in the log was committed.
    commit.map_or(SystemTime::UNIX_EPOCH, |(_, time)| *time)
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
