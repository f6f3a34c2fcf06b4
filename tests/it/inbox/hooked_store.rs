//! A store that asks a hook before each call.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lab_connector::inbox::store::{
    AccountState, Case, CaseStore, ClaimedDelivery, Commit, Counts, LoggedArrival, MemoryStore,
    Poller, Settlement, StoredCase,
};
use lab_connector::{AccountId, OrderId, Result, RxId};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    Read,
    Commit,
    /// Any other that writes.
    Write,
}

/// What a test does to a store.
pub trait Hook: Debug + Send + Sync {
    /// What the call fails with.
    fn before(&self, call: Call) -> Result<()>;

    /// Whether another process commits first.
    fn is_overtaken(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub struct HookedStore<H> {
    store: MemoryStore,
    pub hook: H,
}

impl<H> HookedStore<H> {
    pub fn new(hook: H) -> Self {
        HookedStore {
            store: MemoryStore::new(),
            hook,
        }
    }
}

#[async_trait]
impl<H: Hook> CaseStore for HookedStore<H> {
    async fn poll_right(
        &self,
        account: &AccountId,
        process: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Option<Poller>> {
        self.hook.before(Call::Write)?;
        self.store.poll_right(account, process, lease, now).await
    }

    async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()> {
        self.hook.before(Call::Write)?;
        self.store.release_poll_right(account, process).await
    }

    async fn account(&self, account: &AccountId, now: SystemTime) -> Result<AccountState> {
        self.hook.before(Call::Read)?;
        self.store.account(account, now).await
    }

    async fn expected(&self, account: &AccountId) -> Result<Vec<Case>> {
        self.hook.before(Call::Read)?;
        self.store.expected(account).await
    }

    async fn find(&self, account: &AccountId, order: &OrderId) -> Result<Option<StoredCase>> {
        self.hook.before(Call::Read)?;
        self.store.find(account, order).await
    }

    async fn find_all(
        &self,
        account: &AccountId,
        orders: &[OrderId],
        rx_ids: &[RxId],
    ) -> Result<Vec<Case>> {
        self.hook.before(Call::Read)?;
        self.store.find_all(account, orders, rx_ids).await
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        self.hook.before(Call::Read)?;
        self.store.due(account, now, limit).await
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        self.hook.before(Call::Commit)?;
        if self.hook.is_overtaken() {
            return Ok(false);
        }
        self.store.commit(account, commit, now).await
    }

    async fn claim(
        &self,
        account: &AccountId,
        token: &str,
        limit: usize,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<ClaimedDelivery>> {
        self.hook.before(Call::Write)?;
        self.store.claim(account, token, limit, lease, now).await
    }

    async fn settle(
        &self,
        account: &AccountId,
        settlements: &[Settlement],
        now: SystemTime,
    ) -> Result<Vec<bool>> {
        self.hook.before(Call::Write)?;
        self.store.settle(account, settlements, now).await
    }

    async fn reopen(&self, account: &AccountId, order: &OrderId, now: SystemTime) -> Result<bool> {
        self.hook.before(Call::Write)?;
        self.store.reopen(account, order, now).await
    }

    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedArrival>> {
        self.hook.before(Call::Read)?;
        self.store.arrivals(account, after, limit).await
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<StoredCase>> {
        self.hook.before(Call::Read)?;
        self.store.cases(account, after, limit).await
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        self.hook.before(Call::Read)?;
        self.store.counts(account, now).await
    }

    async fn forget(&self, account: &AccountId, order: &OrderId) -> Result<bool> {
        self.hook.before(Call::Write)?;
        self.store.forget(account, order).await
    }

    async fn forget_before(
        &self,
        account: &AccountId,
        time: SystemTime,
        limit: usize,
    ) -> Result<u64> {
        self.hook.before(Call::Write)?;
        self.store.forget_before(account, time, limit).await
    }
}
