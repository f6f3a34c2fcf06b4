//! A store that counts what is asked of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lab_connector::inbox::store::{
    AccountState, Case, CaseKey, CaseStore, Claimed, Commit, Counts, Forget, LogEntry, MemoryStore,
    PollRight, Settlement, Stored,
};
use lab_connector::{AccountId, OrderId, Result};

#[derive(Debug, Default)]
pub struct Counting {
    store: MemoryStore,
    pub reads: AtomicU64,
    pub writes: AtomicU64,
}

#[async_trait]
impl CaseStore for Counting {
    async fn poll_right(
        &self,
        account: &AccountId,
        process: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<PollRight> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.poll_right(account, process, lease, now).await
    }

    async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.release_poll_right(account, process).await
    }

    async fn account(&self, account: &AccountId, now: SystemTime) -> Result<AccountState> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.account(account, now).await
    }

    async fn expected(&self, account: &AccountId, orders: &[OrderId]) -> Result<Vec<Case>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.expected(account, orders).await
    }

    async fn find(&self, account: &AccountId, case: CaseKey<'_>) -> Result<Option<Stored>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.find(account, case).await
    }

    async fn find_all(&self, account: &AccountId, cases: &[CaseKey<'_>]) -> Result<Vec<Case>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.find_all(account, cases).await
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.due(account, now, limit).await
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.commit(account, commit, now).await
    }

    async fn claim(
        &self,
        account: &AccountId,
        token: &str,
        limit: usize,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<Claimed>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.claim(account, token, limit, lease, now).await
    }

    async fn settle(
        &self,
        account: &AccountId,
        settlements: &[Settlement],
        now: SystemTime,
    ) -> Result<Vec<bool>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.settle(account, settlements, now).await
    }

    async fn reopen(&self, account: &AccountId, order: &OrderId, now: SystemTime) -> Result<bool> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.reopen(account, order, now).await
    }

    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.arrivals(account, after, limit).await
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<Stored>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.cases(account, after, limit).await
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.counts(account, now).await
    }

    async fn forget(&self, account: &AccountId, which: Forget<'_>, limit: usize) -> Result<u64> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.store.forget(account, which, limit).await
    }
}
