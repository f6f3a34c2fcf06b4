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

    /// Whether each call gives way before and after it is done: its future may be dropped there.
    fn gives_way(&self) -> bool {
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

impl<H: Hook> HookedStore<H> {
    async fn before(&self, call: Call) -> Result<()> {
        self.give_way().await;
        self.hook.before(call)
    }

    async fn give_way(&self) {
        if self.hook.gives_way() {
            tokio::task::yield_now().await;
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
        self.before(Call::Write).await?;
        let done = self.store.poll_right(account, process, lease, now).await;
        self.give_way().await;
        done
    }

    async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()> {
        self.before(Call::Write).await?;
        let done = self.store.release_poll_right(account, process).await;
        self.give_way().await;
        done
    }

    async fn account(&self, account: &AccountId, now: SystemTime) -> Result<AccountState> {
        self.before(Call::Read).await?;
        let done = self.store.account(account, now).await;
        self.give_way().await;
        done
    }

    async fn expected(&self, account: &AccountId) -> Result<Vec<Case>> {
        self.before(Call::Read).await?;
        let done = self.store.expected(account).await;
        self.give_way().await;
        done
    }

    async fn find(&self, account: &AccountId, order: &OrderId) -> Result<Option<StoredCase>> {
        self.before(Call::Read).await?;
        let done = self.store.find(account, order).await;
        self.give_way().await;
        done
    }

    async fn find_all(
        &self,
        account: &AccountId,
        orders: &[OrderId],
        rx_ids: &[RxId],
    ) -> Result<Vec<Case>> {
        self.before(Call::Read).await?;
        let done = self.store.find_all(account, orders, rx_ids).await;
        self.give_way().await;
        done
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        self.before(Call::Read).await?;
        let done = self.store.due(account, now, limit).await;
        self.give_way().await;
        done
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        self.before(Call::Commit).await?;
        if self.hook.is_overtaken() {
            return Ok(false);
        }
        let done = self.store.commit(account, commit, now).await;
        self.give_way().await;
        done
    }

    async fn claim(
        &self,
        account: &AccountId,
        token: &str,
        limit: usize,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<ClaimedDelivery>> {
        self.before(Call::Write).await?;
        let done = self.store.claim(account, token, limit, lease, now).await;
        self.give_way().await;
        done
    }

    async fn settle(
        &self,
        account: &AccountId,
        settlements: &[Settlement],
        now: SystemTime,
    ) -> Result<Vec<bool>> {
        self.before(Call::Write).await?;
        let done = self.store.settle(account, settlements, now).await;
        self.give_way().await;
        done
    }

    async fn reopen(&self, account: &AccountId, order: &OrderId, now: SystemTime) -> Result<bool> {
        self.before(Call::Write).await?;
        let done = self.store.reopen(account, order, now).await;
        self.give_way().await;
        done
    }

    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedArrival>> {
        self.before(Call::Read).await?;
        let done = self.store.arrivals(account, after, limit).await;
        self.give_way().await;
        done
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<StoredCase>> {
        self.before(Call::Read).await?;
        let done = self.store.cases(account, after, limit).await;
        self.give_way().await;
        done
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        self.before(Call::Read).await?;
        let done = self.store.counts(account, now).await;
        self.give_way().await;
        done
    }

    async fn forget(&self, account: &AccountId, order: &OrderId) -> Result<bool> {
        self.before(Call::Write).await?;
        let done = self.store.forget(account, order).await;
        self.give_way().await;
        done
    }

    async fn forget_before(
        &self,
        account: &AccountId,
        time: SystemTime,
        limit: usize,
    ) -> Result<u64> {
        self.before(Call::Write).await?;
        let done = self.store.forget_before(account, time, limit).await;
        self.give_way().await;
        done
    }
}
