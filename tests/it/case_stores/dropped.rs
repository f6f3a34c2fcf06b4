//! Futures of the stores on databases are dropped: a handler's client left, a time-out struck.
//!
//! Whatever was dropped, the store still works, and what was answered is what another connection
//! sees.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use lab_connector::auth::{TokenKey, TokenStore, Tokens};
use lab_connector::inbox::store::{
    CaseKey, CaseStore, Commit, Forget, Outcome, PostgresStore, Settlement, SqliteStore,
};
use lab_connector::{AccountId, OrderId};

use super::support::{delivery, quiet};
use crate::postgres::Schema;

const LONG: Duration = Duration::from_secs(600);

/// No operation is polled so often, unless it hangs.
const MOST_POLLS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_futures_may_be_dropped_after_any_poll() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cases.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(&path).await.unwrap();
    at_each_poll(&store, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_answers_are_true_under_time_outs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cases.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(&path).await.unwrap();
    under_time_outs(&store, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_futures_may_be_dropped_after_any_poll() {
    let Some(schema) = Schema::new("postgres_futures_may_be_dropped_after_any_poll") else {
        return;
    };
    at_each_poll(&one_connection(&schema).await, &schema.store().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_answers_are_true_under_time_outs() {
    let Some(schema) = Schema::new("postgres_answers_are_true_under_time_outs") else {
        return;
    };
    let store = schema.builder().max_connections(2).connect().await.unwrap();
    under_time_outs(&store, &schema.store().await).await;
}

/// So that a connection that was left in the middle of something is used again.
async fn one_connection(schema: &Schema) -> PostgresStore {
    let builder = schema.builder().max_connections(1);
    builder.connect().await.unwrap()
}

/// Polls a future so often, each time when it asks for it, and drops it unless it is done.
async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What the future of each operation is dropped in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Lease,
    Read,
    Commit,
    Claim,
    Settle,
    Forget,
    ClaimTokens,
    Swap,
    Clear,
}

impl Operation {
    const ALL: [Operation; 9] = [
        Operation::Lease,
        Operation::Read,
        Operation::Commit,
        Operation::Claim,
        Operation::Settle,
        Operation::Forget,
        Operation::ClaimTokens,
        Operation::Swap,
        Operation::Clear,
    ];
}

async fn at_each_poll<S: CaseStore + TokenStore>(store: &S, other: &S) {
    for operation in Operation::ALL {
        let mut polls = 0;
        loop {
            let place = format!("{operation:?} dropped after {polls} polls");
            let subject = Subject::new(store, &format!("{operation:?} {polls}")).await;
            let done = drop_after(polls, subject.run(operation)).await;
            let works = tokio::time::timeout(Duration::from_secs(20), subject.works(other));
            works
                .await
                .unwrap_or_else(|_| panic!("{place}: the store hangs"));
            if let Some(true) = done {
                assert!(subject.is_seen_by(other, operation).await, "{place}");
                break;
            }
            assert_eq!(done, None, "{place}: it was refused");
            polls += 1;
            assert!(polls < MOST_POLLS, "{place}: it is never done");
        }
    }
}

/// Where one operation is done: an account with a case, a delivery that is claimed, tokens.
struct Subject<'a, S> {
    store: &'a S,
    account: AccountId,
    key: TokenKey,
    now: SystemTime,
}

impl<'a, S: CaseStore + TokenStore> Subject<'a, S> {
    async fn new(store: &'a S, name: &str) -> Self {
        let now = store.now(SystemTime::now()).await.unwrap();
        let (account, key) = (AccountId::new(name), TokenKey::Login(name.into()));
        let subject = Subject {
            store,
            account,
            key,
            now,
        };
        let saves = vec![delivery("1", 0, 1), quiet("2", "note")];
        assert!(subject.commit(saves).await);
        assert_eq!(subject.claim("a").await.len(), 1);
        assert!(store.swap(&subject.key, None, &tokens(1)).await.unwrap());
        // What `Operation::Claim` takes.
        assert!(subject.commit(vec![delivery("3", 0, 1)]).await);
        subject
    }

    async fn commit(&self, saves: Vec<lab_connector::inbox::store::Save>) -> bool {
        let commit = Commit::new(saves);
        self.store
            .commit(&self.account, &commit, self.now)
            .await
            .unwrap()
    }

    async fn claim(&self, token: &str) -> Vec<lab_connector::inbox::store::Claimed> {
        let claimed = CaseStore::claim(self.store, &self.account, token, 9, LONG, self.now);
        claimed.await.unwrap()
    }

    /// Whether it was done.
    async fn run(&self, operation: Operation) -> bool {
        let (store, account, key) = (self.store, &self.account, &self.key);
        match operation {
            Operation::Lease => store.lease(account, "a", LONG, self.now).await.unwrap(),
            Operation::Read => {
                let found = store.expected(account, &["2".into()]).await.unwrap();
                found.len() == 3
            }
            Operation::Commit => self.commit(vec![delivery("4", 0, 1)]).await,
            Operation::Claim => self.claim("b").await.len() == 1,
            Operation::Settle => {
                let settlement = settlement(1, "a");
                let settled = store.settle(account, &[settlement], self.now).await;
                settled.unwrap() == [true]
            }
            Operation::Forget => {
                let id = OrderId::new("2");
                store.forget(account, Forget::Order(&id)).await.unwrap() == 1
            }
            Operation::ClaimTokens => TokenStore::claim(store, key, 1, "a", LONG).await.unwrap(),
            Operation::Swap => store.swap(key, Some(1), &tokens(2)).await.unwrap(),
            Operation::Clear => store.clear(key).await.is_ok(),
        }
    }

    /// Whether it is there for others.
    async fn is_seen_by(&self, other: &S, operation: Operation) -> bool {
        let (account, key) = (&self.account, &self.key);
        let counts = other.counts(account, self.now).await.unwrap();
        let case = async |id: &str| {
            let id = OrderId::new(id);
            other.find(account, CaseKey::Order(&id)).await.unwrap()
        };
        match operation {
            Operation::Lease => !other.lease(account, "b", LONG, self.now).await.unwrap(),
            Operation::Read => true,
            Operation::Commit => case("4").await.is_some(),
            Operation::Claim => counts.hidden == 2,
            Operation::Settle => counts.open == 1,
            Operation::Forget => case("2").await.unwrap().order.is_none(),
            Operation::ClaimTokens => !TokenStore::claim(other, key, 1, "b", LONG).await.unwrap(),
            Operation::Swap => generation(other, key).await == Some(2),
            Operation::Clear => generation(other, key).await.is_none(),
        }
    }

    /// The store does everything, elsewhere, and others see each step at once: what the next one
    /// would bring to an end must not hide what the one before has left open.
    async fn works(&self, other: &S) {
        let account = AccountId::new(format!("{} afterwards", self.account));
        let key = TokenKey::Login(format!("{account}"));
        let elsewhere = Subject {
            store: self.store,
            account,
            key,
            now: self.now,
        };
        let store = self.store;
        store.clear(&elsewhere.key).await.unwrap();
        assert!(store.swap(&elsewhere.key, None, &tokens(1)).await.unwrap());
        assert_eq!(generation(other, &elsewhere.key).await, Some(1));
        assert!(elsewhere.commit(vec![delivery("1", 0, 1)]).await);
        assert_eq!(elsewhere.claim("c").await.len(), 1);
        let done = [settlement(1, "c")];
        let settled = store.settle(&elsewhere.account, &done, self.now).await;
        assert_eq!(settled.unwrap(), [true]);
    }
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

async fn generation(store: &impl TokenStore, key: &TokenKey) -> Option<u64> {
    store
        .load(key)
        .await
        .unwrap()
        .map(|tokens| tokens.generation())
}

/// Eight workers, 100 rounds of operations each, under time-outs of 0 to 20 ms.
async fn under_time_outs<S: CaseStore + TokenStore>(store: &S, other: &S) {
    let workers = (0..8).map(|worker| one_under_time_outs(store, other, worker));
    let found = futures_util::future::join_all(workers).await;
    let sum = |of: fn(&[[usize; 3]; 2]) -> [usize; 3]| {
        let all = found.iter().map(of);
        all.fold([0; 3], |sum, one| [0, 1, 2].map(|at| sum[at] + one[at]))
    };
    let (answered, untrue) = (sum(|one| one[0]), sum(|one| one[1]));
    let what = "commits, acknowledgements, swaps";
    assert_eq!(
        untrue, [0; 3],
        "untrue {what}, of {answered:?} that were answered"
    );
}

/// How often it was answered that something is kept, and how often that was not true.
async fn one_under_time_outs<S: CaseStore + TokenStore>(
    store: &S,
    other: &S,
    worker: u64,
) -> [[usize; 3]; 2] {
    let account = AccountId::new(format!("L-{worker}"));
    let now = store.now(SystemTime::now()).await.unwrap();
    let mut rng = fastrand::Rng::with_seed(worker);
    let mut kept = BTreeSet::new();
    let mut acknowledged = BTreeSet::new();
    let mut swapped = Vec::new();
    for number in 0..100 {
        // Most of them strike: an operation takes a millisecond or two.
        let time = |rng: &mut fastrand::Rng| Duration::from_millis(20).mul_f64(rng.f64().powi(4));
        let id = number.to_string();
        let commit = Commit::new(vec![delivery(&id, 0, 1)]);
        let done = store.commit(&account, &commit, now);
        if let Ok(done) = tokio::time::timeout(time(&mut rng), done).await {
            assert!(done.unwrap());
            kept.insert(id.clone());
        }
        let claimed = CaseStore::claim(store, &account, &id, 1, LONG, now);
        if let Ok(claimed) = tokio::time::timeout(time(&mut rng), claimed).await {
            for claimed in claimed.unwrap() {
                let settlement = [settlement(claimed.sequence, &id)];
                let settled = store.settle(&account, &settlement, now);
                if let Ok(settled) = tokio::time::timeout(time(&mut rng), settled).await {
                    assert_eq!(settled.unwrap(), [true]);
                    acknowledged.insert((claimed.sequence, id.clone()));
                }
            }
        }
        let key = TokenKey::Login(format!("{worker} {id}"));
        let tokens = tokens(3);
        let done = store.swap(&key, None, &tokens);
        if let Ok(done) = tokio::time::timeout(time(&mut rng), done).await {
            assert!(done.unwrap());
            swapped.push(key);
        }
    }
    // Whatever is still going on is over when the same connection has done something else.
    let works = async {
        store.counts(&account, now).await.unwrap();
        store.clear(&TokenKey::Login("none".into())).await.unwrap();
    };
    let works = tokio::time::timeout(Duration::from_secs(20), works).await;
    works.expect("the store hangs");

    let cases = other.cases(&account, None, 1000).await.unwrap();
    let found: BTreeSet<_> = cases.iter().map(|stored| stored.case.order_id()).collect();
    let missing = |id: &&String| !found.contains(&OrderId::new(id.as_str()));
    let lost: Vec<_> = kept.iter().filter(missing).collect();
    let mut open = Vec::new();
    for (sequence, token) in acknowledged.iter().cloned() {
        // Whoever holds one that is still open may settle it.
        let done = [settlement(sequence, &token)];
        if other.settle(&account, &done, now).await.unwrap() == [true] {
            open.push(sequence);
        }
    }
    let mut forgotten = Vec::new();
    for key in &swapped {
        if generation(other, key).await != Some(3) {
            forgotten.push(key);
        }
    }
    let answered = [kept.len(), acknowledged.len(), swapped.len()];
    [answered, [lost.len(), open.len(), forgotten.len()]]
}
