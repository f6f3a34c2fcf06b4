//! A store that makes a mistake: a good one, and what is wrong between it and whoever asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt;
use lab_connector::inbox::store::{
    AccountState, Case, CaseStore, ClaimedDelivery, Commit, Counts, LoggedArrival, MemoryStore,
    Outcome, Poller, Save, Settlement, StoredCase,
};
use lab_connector::{AccountId, OrderId, Result, RxId};

use super::Mistake;

#[derive(Debug)]
pub(super) struct Wrong {
    inner: MemoryStore,
    mistake: Mistake,
    /// What was acknowledged.
    done: AtomicU64,
    /// The last token that claimed anything.
    token: std::sync::Mutex<Arc<str>>,
    /// The latest time that was ever passed in for an account.
    latest: std::sync::Mutex<HashMap<AccountId, SystemTime>>,
    /// How many commits an account had.
    revised: std::sync::Mutex<HashMap<AccountId, u64>>,
    begun: AtomicBool,
    commits: tokio::sync::Mutex<()>,
}

impl Wrong {
    pub(super) fn new(mistake: Mistake) -> Self {
        Wrong {
            inner: MemoryStore::new(),
            mistake,
            done: AtomicU64::new(0),
            token: std::sync::Mutex::new("".into()),
            latest: std::sync::Mutex::default(),
            revised: std::sync::Mutex::default(),
            begun: AtomicBool::new(false),
            commits: tokio::sync::Mutex::default(),
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    fn account(&self, account: &AccountId) -> AccountId {
        match self.mistake {
            Mistake::OneAccount => AccountId::new("one"),
            _ => account.clone(),
        }
    }

    fn time(&self, time: SystemTime) -> SystemTime {
        if self.makes(Mistake::CutsSeconds) {
            match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => SystemTime::UNIX_EPOCH + Duration::from_secs(after.as_secs()),
                Err(_) => time,
            }
        } else {
            time
        }
    }

    fn limit(&self, limit: usize) -> usize {
        match self.mistake {
            Mistake::LimitOfOneAtLeast => limit.max(1),
            _ => limit,
        }
    }

    /// The id as it is kept.
    fn kept(&self, id: &OrderId) -> OrderId {
        let id = id.as_str();
        match self.mistake {
            Mistake::IgnoresCase => id.to_lowercase().into(),
            Mistake::CutsAtNul => id.split('\0').next().unwrap().into(),
            _ => id.into(),
        }
    }

    fn renamed(&self, case: &Case) -> Case {
        let id = self.kept(case.order_id());
        let json = case.to_json().unwrap();
        Case::from_stored(
            id,
            case.rx_id().cloned(),
            case.version(),
            case.revision(),
            &json,
        )
        .unwrap()
    }

    /// The latest time that was ever passed in.
    fn latest(&self, account: &AccountId, now: SystemTime) -> SystemTime {
        let mut latest = self.latest.lock().unwrap();
        let latest = latest.entry(account.clone()).or_insert(now);
        *latest = now.max(*latest);
        *latest
    }

    /// The time by which leases end.
    fn lease_time(&self, account: &AccountId, now: SystemTime) -> SystemTime {
        let latest = self.latest(account, now);
        match self.mistake {
            Mistake::LeasesGoOnWhenTheClockIsSetBack => latest,
            _ => now,
        }
    }

    /// Whether all cases are as they were read.
    async fn are_as_read(&self, account: &AccountId, commit: &Commit) -> Result<bool> {
        for save in &commit.saves {
            let kept = self.inner.find(account, save.case.order_id()).await?;
            if kept.map_or(0, |kept| kept.case.version()) != save.case.version() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same cases with the versions that the store has now.
    async fn as_stored(&self, account: &AccountId, commit: &Commit) -> Commit {
        let mut commit = commit.clone();
        for save in &mut commit.saves {
            let kept = self
                .inner
                .find(account, save.case.order_id())
                .await
                .unwrap();
            let version = kept.map_or(0, |kept| kept.case.version());
            let id = save.case.order_id().clone();
            let json = save.case.to_json().unwrap();
            save.case = Case::from_stored(
                id,
                save.case.rx_id().cloned(),
                version,
                save.case.revision(),
                &json,
            )
            .unwrap();
        }
        commit
    }
}

/// A commit that is kept when it is dropped.
struct Half<'a>(Option<(&'a MemoryStore, &'a AccountId, Commit, SystemTime)>);

impl Half<'_> {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        if let Some((store, account, commit, now)) = self.0.take() {
            let done = store.commit(account, &commit, now).now_or_never();
            done.unwrap().unwrap();
        }
    }
}

/// Long enough for the others of a race to come as far.
async fn pause() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl CaseStore for Wrong {
    async fn poll_right(
        &self,
        account: &AccountId,
        process: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Option<Poller>> {
        let (process, lease) = match self.mistake {
            Mistake::LetsAllPoll => ("one", lease),
            Mistake::LetsOnePollForEver => (process, Duration::MAX),
            _ => (process, lease),
        };
        let account = self.account(account);
        let now = self.lease_time(&account, now);
        self.inner.poll_right(&account, process, lease, now).await
    }

    async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()> {
        let account = self.account(account);
        let now = self.latest(&account, SystemTime::UNIX_EPOCH);
        let holder = self.inner.account(&account, now).await?.poller;
        match (self.mistake, holder) {
            (Mistake::ReleasesAnothersRight, Some(holder)) => {
                let released = self.inner.release_poll_right(&account, &holder.process);
                released.await
            }
            (Mistake::ReleasesNothing, _) => Ok(()),
            _ => self.inner.release_poll_right(&account, process).await,
        }
    }

    async fn find_all(
        &self,
        account: &AccountId,
        orders: &[OrderId],
        rx_ids: &[RxId],
    ) -> Result<Vec<Case>> {
        let orders: Vec<_> = orders.iter().map(|id| self.kept(id)).collect();
        let account = self.account(account);
        let mut found = self.inner.find_all(&account, &orders, rx_ids).await?;
        if self.makes(Mistake::FindsTwice) && orders.windows(2).any(|pair| pair[0] == pair[1]) {
            found.extend(found.clone());
        }
        Ok(found)
    }

    async fn reopen(&self, account: &AccountId, order: &OrderId, now: SystemTime) -> Result<bool> {
        let account = self.account(account);
        match self.mistake {
            Mistake::ReopensNothing => Ok(true),
            Mistake::ReopensWhatNeverWas => {
                let reopened = self.inner.reopen(&account, order, now);
                reopened.await.map(|_| true)
            }
            _ => self.inner.reopen(&account, order, now).await,
        }
    }

    async fn account(&self, account: &AccountId, now: SystemTime) -> Result<AccountState> {
        let account = self.account(account);
        let now = self.lease_time(&account, now);
        let mut state = self.inner.account(&account, now).await?;
        match self.mistake {
            Mistake::RevisesWithEachCommit => {
                let revised = self.revised.lock().unwrap();
                state.revision = revised.get(&account).copied().unwrap_or_default();
            }
            Mistake::RevisesNothing => state.revision = 0,
            _ => {}
        }
        Ok(state)
    }

    async fn expected(&self, account: &AccountId) -> Result<Vec<Case>> {
        let account = self.account(account);
        let mut cases = self.inner.expected(&account).await?;
        if self.makes(Mistake::ExpectsTwice) {
            cases.extend(cases.clone());
        }
        if self.makes(Mistake::ExpectsAll) {
            let all = self.inner.cases(&account, None, 100).await?;
            cases = all.into_iter().map(|stored| stored.case).collect();
        }
        Ok(cases)
    }

    async fn find(&self, account: &AccountId, order: &OrderId) -> Result<Option<StoredCase>> {
        let order = self.kept(order);
        self.inner.find(&self.account(account), &order).await
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        let now = match self.mistake {
            Mistake::DueAnyTime => now + Duration::from_secs(1_000_000_000_000),
            _ => now,
        };
        let account = self.account(account);
        let mut due = self.inner.due(&account, now, self.limit(limit)).await?;
        if self.makes(Mistake::DueInAnyOrder) {
            due.sort_by(|one, other| one.order_id().cmp(other.order_id()));
        }
        Ok(due)
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        let account = self.account(account);
        let mut commit = commit.clone();
        match self.mistake {
            Mistake::IgnoresVersions => commit = self.as_stored(&account, &commit).await,
            Mistake::CommitsInTwoSteps => {
                if !self.are_as_read(&account, &commit).await? {
                    return Ok(false);
                }
                pause().await;
                commit = self.as_stored(&account, &commit).await;
            }
            Mistake::LiesAfterADrop => {
                // As a connection that is left within a transaction.
                let _turn = self.commits.lock().await;
                if self.begun.swap(true, Ordering::SeqCst) {
                    return Ok(true);
                }
                tokio::task::yield_now().await;
                self.begun.store(false, Ordering::SeqCst);
                return self.inner.commit(&account, &commit, now).await;
            }
            Mistake::KeepsHalfWhenDropped if !commit.saves.is_empty() => {
                let _turn = self.commits.lock().await;
                if !self.are_as_read(&account, &commit).await? {
                    return Ok(false);
                }
                let first = Commit::new(vec![commit.saves[0].clone()]);
                let half = Half(Some((&self.inner, &account, first, now)));
                tokio::task::yield_now().await;
                half.finish();
                return self.inner.commit(&account, &commit, now).await;
            }
            Mistake::KeepsHalf if !commit.saves.is_empty() => {
                let mut all = true;
                for save in commit.saves {
                    let mut one = Commit::new(vec![save]);
                    one.coverage = commit.coverage;
                    all &= self.inner.commit(&account, &one, now).await?;
                }
                return Ok(all);
            }
            Mistake::LosesTheCoverage => commit.coverage = None,
            Mistake::LosesAnArrival => {
                for save in &mut commit.saves {
                    save.arrivals.truncate(1);
                }
            }
            Mistake::LogsBackwards => commit.saves.iter_mut().for_each(|s| s.arrivals.reverse()),
            Mistake::IgnoresCase | Mistake::CutsAtNul => {
                for save in &mut commit.saves {
                    save.case = self.renamed(&save.case);
                }
                let mut seen = std::collections::HashSet::new();
                commit
                    .saves
                    .retain(|save: &Save| seen.insert(save.case.order_id().clone()));
            }
            _ => {}
        }
        if self.makes(Mistake::RevisesEachCase) {
            let saves = commit.saves.iter_mut();
            saves.for_each(|save| save.changes_record = true);
        }
        let done = self.inner.commit(&account, &commit, self.time(now)).await?;
        if done && !commit.saves.is_empty() {
            self.revised
                .lock()
                .unwrap()
                .entry(account)
                .and_modify(|n| *n += 1)
                .or_insert(1);
        }
        Ok(done)
    }

    async fn claim(
        &self,
        account: &AccountId,
        token: &str,
        limit: usize,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<ClaimedDelivery>> {
        let account = self.account(account);
        let lease = match self.mistake {
            Mistake::ClaimsForEver => Duration::MAX,
            Mistake::ClaimsInTwoSteps => Duration::ZERO,
            _ => lease,
        };
        let limit = self.limit(limit);
        let lease_time = self.lease_time(&account, now);
        let claim = self.inner.claim(&account, token, limit, lease, lease_time);
        let mut claimed = claim.await?;
        match self.mistake {
            Mistake::ClaimsInTwoSteps => {
                pause().await;
                let held = |claimed: &ClaimedDelivery| {
                    Settlement::new(claimed.sequence, token.into(), Outcome::Extended(lease))
                };
                let held: Vec<_> = claimed.iter().map(held).collect();
                self.inner.settle(&account, &held, now).await?;
            }
            Mistake::HandsOutTheLatestFirst => claimed.reverse(),
            Mistake::HandsOutTwoOfACase => {
                let done = |claimed: &ClaimedDelivery| {
                    Settlement::new(claimed.sequence, token.into(), Outcome::Acknowledged)
                };
                let done: Vec<_> = claimed.iter().map(done).collect();
                self.inner.settle(&account, &done, now).await?;
                let more = limit - claimed.len();
                let more = self.inner.claim(&account, token, more, lease, now);
                claimed.extend(more.await?);
                claimed.sort_by_key(|claimed| claimed.sequence);
            }
            Mistake::DueByTheCommittersClock => {
                claimed.retain(|claimed| claimed.arrived_at <= now);
            }
            Mistake::CountsNoAttempts => claimed.iter_mut().for_each(|c| c.attempts = 1),
            _ => {}
        }
        if !claimed.is_empty() {
            *self.token.lock().unwrap() = token.into();
        }
        Ok(claimed)
    }

    async fn settle(
        &self,
        account: &AccountId,
        settlements: &[Settlement],
        now: SystemTime,
    ) -> Result<Vec<bool>> {
        let account = self.account(account);
        let mut settlements = settlements.to_vec();
        for settlement in &mut settlements {
            match (&mut settlement.outcome, self.mistake) {
                (Outcome::Released { failure, .. }, Mistake::LosesTheFailure) => *failure = None,
                (Outcome::Released { failure, .. }, Mistake::ClearsTheFailure) => {
                    failure.get_or_insert_default();
                }
                (_, Mistake::AcceptsStaleTokens) => {
                    settlement.token = self.token.lock().unwrap().clone();
                }
                (
                    Outcome::Released {
                        after,
                        failure: None,
                    },
                    Mistake::KeepsTokensGivenBack,
                ) => {
                    settlement.outcome = Outcome::Extended(*after);
                }
                (outcome @ Outcome::Extended(_), Mistake::DropsHeld) => {
                    *outcome = Outcome::Acknowledged;
                }
                (outcome @ Outcome::Acknowledged, Mistake::ComesAgainAfterAcknowledge) => {
                    self.done.fetch_add(1, Ordering::SeqCst);
                    *outcome = Outcome::Released {
                        after: Duration::ZERO,
                        failure: None,
                    };
                }
                _ => {}
            }
        }
        let now = self.lease_time(&account, now);
        let settled = self.inner.settle(&account, &settlements, now).await?;
        Ok(match self.mistake {
            Mistake::TellsStaleTokensYes => vec![true; settled.len()],
            Mistake::SettlesInAnyOrder => settled.into_iter().rev().collect(),
            _ => settled,
        })
    }

    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedArrival>> {
        let after = match self.mistake {
            Mistake::PagesFromTheStart if after > 1 => after - 1,
            _ => after,
        };
        let limit = self.limit(limit);
        let account = self.account(account);
        self.inner.arrivals(&account, after, limit).await
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<StoredCase>> {
        let account = self.account(account);
        let limit = self.limit(limit);
        self.inner.cases(&account, after, limit).await
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        let mut counts = self.inner.counts(&self.account(account), now).await?;
        if self.makes(Mistake::CountsAcknowledged) {
            let log = self.inner.arrivals(account, 0, 10_000).await?;
            let deliveries = log.iter().filter(|logged| logged.ordinal().is_some());
            counts.open = deliveries.count() as u64;
        }
        Ok(counts)
    }

    async fn forget(&self, account: &AccountId, order: &OrderId) -> Result<bool> {
        if self.makes(Mistake::ForgetsNothing) {
            return Ok(false);
        }
        self.inner.forget(&self.account(account), order).await
    }

    async fn forget_before(
        &self,
        account: &AccountId,
        time: SystemTime,
        limit: usize,
    ) -> Result<u64> {
        let (time, limit) = match self.mistake {
            Mistake::ForgetsNothing => return Ok(0),
            Mistake::ForgetsAllAtOnce => (time, usize::MAX),
            Mistake::ForgetsToTheMinute => (time + Duration::from_secs(60), limit),
            _ => (time, limit),
        };
        let account = self.account(account);
        self.inner.forget_before(&account, time, limit).await
    }
}
