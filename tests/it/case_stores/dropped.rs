//! Time-outs strike the stores on databases: what was answered is what another connection sees. That
//! each operation may be dropped at each poll of its future the checks of stores tell.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use lab_connector::auth::{TokenKey, TokenStore, Tokens};
use lab_connector::inbox::store::{CaseStore, Commit, Outcome, Settlement, SqliteStore};
use lab_connector::{AccountId, OrderId};

use super::support::delivery;
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

async fn generation(store: &impl TokenStore, key: &TokenKey) -> Option<u64> {
    store
        .load(key)
        .await
        .unwrap()
        .map(|tokens| tokens.generation())
}

/// Eight workers, 100 rounds of operations each, under time-outs of 0 to 20 ms.
pub(super) async fn under_time_outs<S: CaseStore + TokenStore>(store: &S, other: &S) {
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
