//! The stores of cases keep the rules, and the check finds those that do not.

mod mistakes;

use lab_connector::inbox::store::{MemoryStore, check_case_store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_rules() {
    let store = MemoryStore::new();
    check_case_store(store.clone()).await.unwrap();
    // Again, in a store that is no longer empty.
    check_case_store(store).await.unwrap();
}
