//! Time-outs strike the stores on databases: what was answered is what another connection sees. That
//! each operation may be dropped at each poll of its future the checks of stores tell.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use lab_connector::auth::{TokenKey, TokenStore, Tokens};
use lab_connector::inbox::store::{CaseStore, Commit, Outcome, Settlement, SqliteStore};
use lab_connector::{AccountId, OrderId};

use super::support::{delivery, quiet};
use crate::postgres::Schema;

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_answers_are_true_under_time_outs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cases.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(&path).await.unwrap();
    under_time_outs(&store, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_answers_are_true_under_time_outs() {
    let Some(schema) = Schema::new("postgres_answers_are_true_under_time_outs") else {
        return;
    };
    let store = schema.builder().max_connections(2).connect().await.unwrap();
    under_time_outs(&store, &schema.store().await).await;
}

fn settlement(sequence: u64, token: &str) -> Settlement {
    Settlement::new(sequence, token.into(), Outcome::Acknowledged)
}

fn tokens(generation: u64) -> Tokens {
    let json = serde_json::json!({
        "generation": generation, "access_token": "a", "refresh_token": "r",
        "issued_at": 1_773_480_413, "expires_at": 1_773_484_013,
    });
    Tokens::from_json(&json.to_string()).unwrap()
}

/// Sixteen workers go through all operations under time-outs of 0 to 20 ms: 50 rounds each, or for
/// so many seconds as `STORES_SECONDS` says.
pub(super) async fn under_time_outs<S: CaseStore + TokenStore>(store: &S, other: &S) {
    let seconds = std::env::var("STORES_SECONDS").map(|seconds| seconds.parse().unwrap());
    let time = seconds.map(Duration::from_secs).ok();
    let workers = (0..16).map(|worker| Worker::new(store, worker).work(other, time));
    let found = futures_util::future::join_all(workers).await;
    let sum = |of: fn(&[Counts; 2]) -> Counts| {
        let all = found.iter().map(of);
        all.fold([0; 5], |sum, one| {
            std::array::from_fn(|at| sum[at] + one[at])
        })
    };
    let (answered, untrue) = (sum(|one| one[0]), sum(|one| one[1]));
    let line = format!("{WHAT}: {answered:?} answered, {untrue:?} untrue\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    assert_eq!(untrue, [0; 5], "{WHAT}");
}

const WHAT: &str = "commits, acknowledgements, orders forgotten, swaps, tokens cleared";
type Counts = [usize; 5];

struct Worker<'a, S> {
    store: &'a S,
    account: AccountId,
    rng: fastrand::Rng,
    now: SystemTime,
    kept: BTreeSet<String>,
    /// Number and token.
    acknowledged: BTreeSet<(u64, String)>,
    forgotten: BTreeSet<String>,
    swapped: BTreeSet<String>,
    cleared: BTreeSet<String>,
}

impl<'a, S: CaseStore + TokenStore> Worker<'a, S> {
    fn new(store: &'a S, worker: u64) -> Self {
        Worker {
            store,
            account: AccountId::new(format!("L-{worker} {:x}", fastrand::u64(..))),
            rng: fastrand::Rng::with_seed(worker),
            now: SystemTime::now(),
            kept: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            swapped: BTreeSet::new(),
            cleared: BTreeSet::new(),
        }
    }

    /// None if the time-out struck.
    async fn within<T>(
        rng: &mut fastrand::Rng,
        operation: impl Future<Output = lab_connector::Result<T>>,
    ) -> Option<T> {
        let time = Duration::from_millis(20).mul_f64(rng.f64());
        let done = tokio::time::timeout(time, operation).await.ok();
        done.map(|done| done.unwrap())
    }

    /// How often it was answered that something is kept, and how often that was not true.
    async fn work(mut self, other: &S, time: Option<Duration>) -> [Counts; 2] {
        self.now = self.store.now(SystemTime::now()).await.unwrap();
        let begun = std::time::Instant::now();
        for number in 0.. {
            if time.map_or(number == 50, |time| begun.elapsed() > time) {
                break;
            }
            self.round(number.to_string()).await;
        }
        // Whatever has begun is over when the same connections have done something else.
        let works = async {
            self.store.counts(&self.account, self.now).await.unwrap();
            self.store.clear(&self.key("none")).await.unwrap();
        };
        let works = tokio::time::timeout(Duration::from_secs(20), works).await;
        works.expect("the store hangs");
        self.judge(other).await
    }

    fn key(&self, id: &str) -> TokenKey {
        TokenKey::Login(format!("{} {id}", self.account))
    }

    async fn round(&mut self, id: String) {
        let (store, account, now) = (self.store, self.account.clone(), self.now);
        let key = self.key(&id);
        let rng = &mut self.rng;
        let commit = Commit::new(vec![delivery(&id, 0, 1), quiet(&format!("q{id}"), "note")]);
        if let Some(done) = Self::within(rng, store.commit(&account, &commit, now)).await {
            assert!(done);
            self.kept.insert(id.clone());
        }
        let order = OrderId::new(format!("q{id}"));
        let _ = Self::within(rng, store.find(&account, &order)).await;
        let _ = Self::within(rng, store.expected(&account)).await;
        let claimed = CaseStore::claim(store, &account, &id, 1, LONG, now);
        for claimed in Self::within(rng, claimed).await.into_iter().flatten() {
            let done = [settlement(claimed.sequence, &id)];
            if let Some(settled) = Self::within(rng, store.settle(&account, &done, now)).await {
                assert_eq!(settled, [true]);
                self.acknowledged.insert((claimed.sequence, id.clone()));
            }
        }
        let forget = store.forget(&account, &order);
        if Self::within(rng, forget).await == Some(true) {
            self.forgotten.insert(format!("q{id}"));
        }
        let _ = Self::within(rng, store.arrivals(&account, 0, 3)).await;
        let _ = Self::within(rng, store.poll_right(&account, "a", LONG, now)).await;
        let kept = tokens(3);
        let swap = Self::within(rng, store.swap(&key, None, &kept)).await;
        if let Some(done) = swap {
            assert!(done);
            self.swapped.insert(id.clone());
        }
        let _ = Self::within(rng, TokenStore::claim(store, &key, 3, "a", LONG)).await;
        if rng.bool() {
            // Whether it was done or not is not known if the time-out strikes.
            self.swapped.remove(&id);
            let clear = Self::within(rng, store.clear(&key)).await;
            // A swap that was dropped is done too, and may be done after it.
            if clear.is_some() && swap.is_some() {
                self.cleared.insert(id);
            }
        }
    }

    async fn judge(&self, other: &S) -> [Counts; 2] {
        let (account, now) = (&self.account, self.now);
        let case = async |id: &str| {
            let id = OrderId::new(id);
            other.find(account, &id).await.unwrap()
        };
        let mut untrue = Counts::default();
        for id in &self.kept {
            untrue[0] += usize::from(case(id).await.is_none());
        }
        for (sequence, token) in &self.acknowledged {
            // Whoever holds one that is still open may settle it.
            let done = [settlement(*sequence, token)];
            let settled = other.settle(account, &done, now).await.unwrap();
            untrue[1] += usize::from(settled == [true]);
        }
        for id in &self.forgotten {
            untrue[2] += usize::from(case(id).await.is_none_or(|case| case.order.is_some()));
        }
        for id in &self.swapped {
            let tokens = other.load(&self.key(id)).await.unwrap();
            untrue[3] += usize::from(tokens.is_none_or(|tokens| tokens.generation() != 3));
        }
        for id in &self.cleared {
            untrue[4] += usize::from(other.load(&self.key(id)).await.unwrap().is_some());
        }
        let answered = [
            self.kept.len(),
            self.acknowledged.len(),
            self.forgotten.len(),
            self.swapped.len(),
            self.cleared.len(),
        ];
        [answered, untrue]
    }
}
