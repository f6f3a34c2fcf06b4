//! The stores of cases keep the rules, and the check finds those that do not.

mod dropped;
mod mistakes;
mod postgres;
mod server;
mod sqlite;
mod support;

use std::future::ready;
use std::time::{Duration, SystemTime};

use lab_connector::inbox::store::{
    CaseStore, Commit, MemoryStore, Outcome, Settlement, check_case_store,
};
use lab_connector::{AccountId, OrderId};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_rules() {
    let store = MemoryStore::new();
    let open = || ready(Ok(store.clone()));
    check_case_store(open).await.unwrap();
    // Again, in a store that is no longer empty.
    check_case_store(open).await.unwrap();
}

#[tokio::test]
async fn reasons_are_not_printed() {
    let (store, account, now) = (MemoryStore::new(), "L-1".into(), SystemTime::now());
    let commit = Commit::new(vec![support::delivery("1", 0, 1)]);
    let lease = Duration::from_secs(600);
    assert!(store.commit(&account, &commit, now).await.unwrap());
    store.claim(&account, "t", 1, lease, now).await.unwrap();
    let failed = Settlement::new(
        1,
        "t".into(),
        Outcome::Released {
            after: Duration::ZERO,
            failure: Some("patient Doe is unknown".into()),
        },
    );
    let printed = format!("{failed:?} {failed:#?}");
    store.settle(&account, &[failed], now).await.unwrap();
    let claimed = store.claim(&account, "u", 1, lease, now).await.unwrap();
    assert!(claimed[0].failure.is_some());
    let printed = printed + &format!("{claimed:?} {claimed:#?}");
    assert!(!printed.contains("Doe"), "{printed}");
}

/// Text columns of databases have trouble with them, and a service may send one.
async fn ids_with_a_nul_are_kept(store: &impl CaseStore) {
    let (account, now) = (
        AccountId::new("L\0 1"),
        store.now(SystemTime::now()).await.unwrap(),
    );
    let ids = ["a\0b", "a\\0b", "a", "a\\\0b"];
    let commit = Commit::new(ids.map(|id| support::delivery(id, 0, 1)).into());
    assert!(store.commit(&account, &commit, now).await.unwrap());
    assert!(!store.commit(&account, &commit, now).await.unwrap());
    let asked = ids.map(OrderId::new);
    let found = store.find_all(&account, &asked, &[]).await.unwrap();
    assert_eq!(found.len(), 4);
    for id in &asked {
        let found = store.find(&account, id).await.unwrap();
        assert_eq!(found.unwrap().case.order_id(), id);
    }
    let lease = Duration::from_secs(600);
    let claimed = store.claim(&account, "t\0", 9, lease, now).await.unwrap();
    assert_eq!(claimed.len(), 4);
    let failed = Settlement::new(
        claimed[0].sequence,
        "t\0".into(),
        Outcome::Released {
            after: Duration::ZERO,
            failure: Some("no\0 \\".into()),
        },
    );
    assert_eq!(
        store.settle(&account, &[failed], now).await.unwrap(),
        [true]
    );
    let claimed = store.claim(&account, "u", 9, lease, now).await.unwrap();
    assert_eq!(claimed[0].failure.as_deref(), Some("no\0 \\"));
}
