//! Cases in memory.
//!
//! Each method is one step under one lock, which is never held across an await: so a future that is
//! dropped has done all or nothing, as the trait asks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::{
    AccountState, Case, CaseStore, ClaimedDelivery, Commit, Counts, DueTime, ListingCoverage,
    LoggedArrival, NewArrival, Outcome, Poller, Save, Settlement, StoredCase,
};
use crate::error::Result;
use crate::model::{AccountId, OrderId, RxId};

/// Keeps cases in memory: they are gone when the process ends, and what is listed then is
/// delivered again with a partial history.
///
/// For tests, and to try things out. Clones share what they keep.
#[derive(Clone, Default)]
pub struct MemoryStore {
    accounts: Arc<Mutex<HashMap<AccountId, Account>>>,
}

#[derive(Default)]
struct Account {
    coverage: ListingCoverage,
    revision: u64,
    /// Which process polls it, and until when.
    poller: Option<(String, DueTime)>,
    cases: BTreeMap<OrderId, StoredCase>,
    by_rx: BTreeSet<(RxId, OrderId)>,
    /// Arrival number *n* is at *n* − 1.
    log: Vec<Entry>,
    /// The deliveries in the log that are not acknowledged.
    open: BTreeMap<u64, Work>,
}

struct Entry {
    order_id: OrderId,
    index: u32,
    ordinal: Option<u32>,
    arrived_at: SystemTime,
}

/// A delivery that is not acknowledged.
struct Work {
    order_id: OrderId,
    index: u32,
    ordinal: u32,
    arrived_at: SystemTime,
    /// Hidden until then; none until it is claimed.
    due: Option<DueTime>,
    token: Option<Arc<str>>,
    attempts: u32,
    failure: Option<String>,
    repeated: bool,
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
            // Reading makes no entry: an account that somebody merely asks for takes no memory.
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
    async fn poll_right(
        &self,
        account: &AccountId,
        process: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Option<Poller>> {
        Ok(self.write(account, |account| match account.poller(now) {
            Some((other, due)) if other != process => Some(Poller::new(other, due.at)),
            // Nobody has it, it has ended, or the process asks again.
            _ => {
                account.poller = Some((process.to_owned(), DueTime::new(now, lease)));
                None
            }
        }))
    }

    async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()> {
        self.write(account, |account| {
            account.poller.take_if(|(holder, _)| holder == process);
        });
        Ok(())
    }

    async fn account(&self, account: &AccountId, now: SystemTime) -> Result<AccountState> {
        Ok(self.read(account, |account| AccountState {
            coverage: account.coverage,
            revision: account.revision,
            poller: account
                .poller(now)
                .map(|(process, due)| Poller::new(process, due.at)),
        }))
    }

    async fn expected(&self, account: &AccountId) -> Result<Vec<Case>> {
        Ok(self.read(account, |account| {
            let cases = account.cases.values().map(|stored| &stored.case);
            cases.filter(|case| case.is_expected()).cloned().collect()
        }))
    }

    async fn find(&self, account: &AccountId, order: &OrderId) -> Result<Option<StoredCase>> {
        Ok(self.read(account, |account| account.cases.get(order).cloned()))
    }

    async fn find_all(
        &self,
        account: &AccountId,
        orders: &[OrderId],
        rx_ids: &[RxId],
    ) -> Result<Vec<Case>> {
        Ok(self.read(account, |account| {
            let by_rx = rx_ids.iter().filter_map(|id| {
                // The smallest key with this Rx id: no order id comes before the empty one.
                let mut behind = account.by_rx.range((id.clone(), OrderId::new(""))..);
                let (_, order) = behind.next().filter(|(rx_id, _)| rx_id == id)?;
                Some(order)
            });
            let found: HashSet<&OrderId> = orders.iter().chain(by_rx).collect();
            let found = found.into_iter().filter_map(|id| account.cases.get(id));
            found.map(|stored| stored.case.clone()).collect()
        }))
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        Ok(self.read(account, |account| {
            let cases = account.cases.values().map(|stored| &stored.case);
            let due = cases.filter_map(|case| Some((case.due_time()?, case)));
            let mut due: Vec<_> = due.filter(|(due, _)| due.has_passed(now)).collect();
            due.sort_by_key(|(due, _)| due.at);
            let due = due.into_iter().map(|(_, case)| case.clone());
            due.take(limit).collect()
        }))
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        Ok(self.write(account, |account| {
            // All are checked before the first is changed: everything, or nothing.
            let as_read = commit.saves.iter().all(|save| {
                let kept = account.cases.get(save.case.order_id());
                kept.map_or(0, |kept| kept.case.version()) == save.case.version()
            });
            if as_read {
                if commit.saves.iter().any(|save| save.changes_record) {
                    account.revision += 1;
                }
                commit.saves.iter().for_each(|save| account.keep(save, now));
                account.coverage = commit.coverage.unwrap_or(account.coverage);
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
    ) -> Result<Vec<ClaimedDelivery>> {
        Ok(self.write(account, |account| {
            let token: Arc<str> = token.into();
            // One of each order at a time, whichever of them it is.
            let open = account.open.values();
            let held = open
                .filter(|work| work.is_held(now))
                .map(|work| &work.order_id);
            let mut busy: HashSet<OrderId> = held.cloned().collect();
            let mut claimed = Vec::new();
            for (sequence, work) in &mut account.open {
                if claimed.len() == limit {
                    break;
                }
                // What failed and waits for its next try does not hold back the later ones.
                let waits = work.failure.is_some() && work.is_hidden(now);
                // The order is busy also where its first delivery is hidden: the later ones wait
                // behind it.
                if waits || !busy.insert(work.order_id.clone()) || work.is_hidden(now) {
                    continue;
                }
                // Never: a delivery is kept with its case, and no case is removed.
                let Some(stored) = account.cases.get(&work.order_id) else {
                    continue;
                };
                work.due = Some(DueTime::new(now, lease));
                work.token = Some(Arc::clone(&token));
                // Counted when it is claimed: a worker that dies reports no failure.
                work.attempts = work.attempts.saturating_add(1);
                claimed.push(ClaimedDelivery {
                    sequence: *sequence,
                    stored: stored.clone(),
                    index: work.index,
                    ordinal: work.ordinal,
                    arrived_at: work.arrived_at,
                    attempts: work.attempts,
                    failure: work.failure.clone(),
                    repeated: work.repeated,
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

    async fn reopen(&self, account: &AccountId, order: &OrderId, _: SystemTime) -> Result<bool> {
        Ok(self.write(account, |account| {
            let log = account.log.iter().zip(1..);
            let of_order = log.filter(|(entry, _)| entry.order_id == *order);
            let deliveries =
                of_order.filter_map(|(entry, sequence)| Some((entry, sequence, entry.ordinal?)));
            let Some((entry, sequence, ordinal)) = deliveries.last() else {
                return false;
            };
            let work = Work {
                order_id: order.clone(),
                index: entry.index,
                ordinal,
                arrived_at: entry.arrived_at,
                due: None,
                token: None,
                attempts: 0,
                failure: None,
                repeated: true,
            };
            // Under its own number, over what is open: whoever holds it has another token, and has
            // lost it.
            account.open.insert(sequence, work);
            true
        }))
    }

    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedArrival>> {
        self.read(account, |account| {
            let first = usize::try_from(after).unwrap_or(usize::MAX);
            let log = account.log.iter().zip(1..).skip(first).take(limit);
            log.filter_map(|(entry, sequence)| {
                let stored = account.cases.get(&entry.order_id)?.clone();
                let arrival = NewArrival::new(entry.index, entry.ordinal);
                Some(LoggedArrival::new(sequence, arrival, stored))
            })
            .collect()
        })
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<StoredCase>> {
        use std::ops::Bound::{Excluded, Unbounded};

        Ok(self.read(account, |account| {
            let behind = (after.map_or(Unbounded, Excluded), Unbounded);
            let cases = account.cases.range::<OrderId, _>(behind);
            cases
                .take(limit)
                .map(|(_, stored)| stored.clone())
                .collect()
        }))
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(self.read(account, |account| {
            let open = || account.open.values();
            let failed = || open().filter(|work| work.failure.is_some());
            let cases = || account.cases.values().map(|stored| &stored.case);
            let due = || {
                cases()
                    .filter_map(Case::due_time)
                    .filter(|due| due.has_passed(now))
            };
            Counts {
                cases: count(account.cases.len()),
                arrivals: count(account.log.len()),
                open: count(account.open.len()),
                hidden: count(open().filter(|work| work.is_hidden(now)).count()),
                failed: count(failed().count()),
                most_attempts: failed().map(|work| work.attempts).max().unwrap_or_default(),
                oldest: open().map(|work| work.arrived_at).min(),
                due: count(due().count()),
                oldest_fetch: due().map(|due| due.at).min(),
                given_up: count(cases().filter(|case| case.is_given_up()).count()),
            }
        }))
    }

    async fn forget(&self, account: &AccountId, order: &OrderId) -> Result<bool> {
        Ok(self.forget_if(account, 1, |id, _| id == order) > 0)
    }

    async fn forget_before(
        &self,
        account: &AccountId,
        time: SystemTime,
        limit: usize,
    ) -> Result<u64> {
        let is_old = |_: &OrderId, case: &Case| case.changed_at().is_none_or(|at| at < time);
        Ok(self.forget_if(account, limit, is_old))
    }
}

impl MemoryStore {
    fn forget_if(
        &self,
        account: &AccountId,
        limit: usize,
        is_meant: impl Fn(&OrderId, &Case) -> bool,
    ) -> u64 {
        self.write(account, |account| {
            let busy: HashSet<_> = account.open.values().map(|work| &work.order_id).collect();
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            let mut forgotten = 0;
            for (order_id, stored) in &mut account.cases {
                if forgotten == limit {
                    break;
                }
                // What is listed or open needs its data still.
                let case = &stored.case;
                if is_meant(order_id, case) && !case.is_expected() && !busy.contains(order_id) {
                    forgotten += u64::from(stored.order.take().is_some());
                }
            }
            forgotten
        })
    }
}

impl Account {
    /// Which process polls it now, and until when.
    fn poller(&self, now: SystemTime) -> Option<(&str, DueTime)> {
        let (process, due) = self.poller.as_ref()?;
        (!due.has_passed(now)).then_some((process, *due))
    }

    fn keep(&mut self, save: &Save, now: SystemTime) {
        let order_id = save.case.order_id();
        let before = self.cases.get(order_id);
        if let Some(rx_id) = before.and_then(|stored| stored.case.rx_id()) {
            // An Rx id can change: the old one must not lead here.
            self.by_rx.remove(&(rx_id.clone(), order_id.clone()));
        }
        if let Some(rx_id) = save.case.rx_id() {
            self.by_rx.insert((rx_id.clone(), order_id.clone()));
        }
        let order = save.order.as_ref();
        // A save without data leaves those that are there.
        let order = order.or_else(|| before?.order.as_ref()).cloned();
        let revision = match before {
            // `commit` has raised it already.
            _ if save.changes_record => self.revision,
            Some(stored) => stored.case.revision(),
            None => 0,
        };
        let case = save.case.saved(revision);
        self.cases
            .insert(order_id.clone(), StoredCase { case, order });
        for arrival in &save.arrivals {
            self.log.push(Entry {
                order_id: order_id.clone(),
                index: arrival.index,
                ordinal: arrival.ordinal,
                arrived_at: now,
            });
            // A mere change is logged, and is no work.
            let Some(ordinal) = arrival.ordinal else {
                continue;
            };
            let sequence = u64::try_from(self.log.len()).unwrap_or(u64::MAX);
            let work = Work {
                order_id: order_id.clone(),
                index: arrival.index,
                ordinal,
                arrived_at: now,
                due: None,
                token: None,
                attempts: 0,
                failure: None,
                repeated: false,
            };
            self.open.insert(sequence, work);
        }
    }

    fn settle(&mut self, settlement: &Settlement, now: SystemTime) -> bool {
        let Some(work) = self.open.get_mut(&settlement.sequence) else {
            return false;
        };
        // The token decides and not the time: an outcome that is late still counts while nobody
        // else has claimed the delivery.
        if work.token.as_deref() != Some(&*settlement.token) {
            return false;
        }
        match &settlement.outcome {
            Outcome::Acknowledged => {
                self.open.remove(&settlement.sequence);
            }
            Outcome::Released { after, failure } => {
                work.due = Some(DueTime::new(now, *after));
                work.token = None;
                // None leaves the former reason: to defer a delivery does not mean that it works
                // now.
                if failure.is_some() {
                    work.failure.clone_from(failure);
                }
            }
            Outcome::Extended(lease) => work.due = Some(DueTime::new(now, *lease)),
        }
        true
    }
}

impl Work {
    /// Whether somebody works on it.
    fn is_held(&self, now: SystemTime) -> bool {
        self.token.is_some() && self.is_hidden(now)
    }

    fn is_hidden(&self, now: SystemTime) -> bool {
        self.due.is_some_and(|due| !due.has_passed(now))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
