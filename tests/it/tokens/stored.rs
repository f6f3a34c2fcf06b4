//! Tokens and the store that keeps them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::{Error, FileTokenStore, MemoryTokenStore, Result, TokenStore};
use tokio::sync::Semaphore;

use super::list;
use super::service::Service;
use crate::support::{TestClock, account, keep, kept, login, store};

/// A store that fails or takes its time on demand, and tells of what it saved.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) inner: Arc<MemoryTokenStore>,
    pub(super) fails: AtomicBool,
    cannot_load: AtomicBool,
    pub(super) saved: Semaphore,
    /// The next answer is kept until it is let out.
    slow_load: AtomicBool,
    slow_swap: AtomicBool,
    reached: Semaphore,
    let_out: Semaphore,
}

impl Watched {
    pub(super) async fn new(clock: &TestClock, seconds: i64) -> Arc<Self> {
        Arc::new(Watched {
            inner: store(clock, seconds).await,
            fails: AtomicBool::new(false),
            cannot_load: AtomicBool::new(false),
            saved: Semaphore::new(0),
            slow_load: AtomicBool::new(false),
            slow_swap: AtomicBool::new(false),
            reached: Semaphore::new(0),
            let_out: Semaphore::new(0),
        })
    }

    /// Waits to be let out, once if it is slow.
    async fn pass(&self, slow: &AtomicBool) {
        if slow.swap(false, Ordering::SeqCst) {
            self.reached.add_permits(1);
            self.let_out.acquire().await.unwrap().forget();
        }
    }
}

#[async_trait]
impl TokenStore for Watched {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        if self.cannot_load.load(Ordering::SeqCst) {
            return Err(Error::store("the disk is away"));
        }
        let loaded = self.inner.load(key).await;
        self.pass(&self.slow_load).await;
        loaded
    }

    async fn claim(
        &self,
        key: &TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> Result<bool> {
        self.inner.claim(key, generation, holder, lease).await
    }

    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::store("the disk is full"));
        }
        let swapped = self.inner.swap(key, expected, tokens).await?;
        self.saved.add_permits(1);
        self.pass(&self.slow_swap).await;
        Ok(swapped)
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::store("the disk is full"));
        }
        self.inner.clear(key).await
    }
}

#[tokio::test]
async fn tokens_are_used_only_when_they_are_stored() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = Watched::new(&clock, -1).await;
    let client = service.client(&clock, Arc::clone(&store));
    store.fails.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = list(&client).await.unwrap_err();
        assert!(
            error.is_store() && !error.is_reauthorization_needed(),
            "{error}"
        );
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert!(error.operation().is_some(), "{error}");
    }
    assert!(service.shown().is_empty());
    // The refresh token was good for one use: what it brought must not be lost.
    store.fails.store(false, Ordering::SeqCst);
    list(&client).await.unwrap();
    assert_eq!(
        (service.token_requests(), service.shown()),
        (1, vec!["access-2".to_owned()])
    );
    assert_eq!(
        kept(&store.inner, &account()).await.as_deref(),
        Some("access-2")
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_no_empty_store() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = Watched::new(&clock, 3600).await;
    let client = service.client(&clock, Arc::clone(&store));
    store.cannot_load.store(true, Ordering::SeqCst);
    for error in [
        list(&client).await.unwrap_err(),
        client.account("account-77").is_paired().await.unwrap_err(),
        client.login("me").is_signed_in().await.unwrap_err(),
        client.login("me").revoke().await.unwrap_err(),
    ] {
        assert!(
            error.is_store() && !error.is_reauthorization_needed(),
            "{error}"
        );
    }
    assert!(service.shown().is_empty());
    store.cannot_load.store(false, Ordering::SeqCst);
    list(&client).await.unwrap();
}

/// A store of somebody else's making may panic; that ends one renewal, not all of them.
#[tokio::test]
async fn a_renewal_that_panics_is_followed_by_others() {
    #[derive(Debug)]
    struct Panicking(Arc<MemoryTokenStore>, AtomicBool);

    #[async_trait]
    impl TokenStore for Panicking {
        async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
            assert!(self.1.swap(true, Ordering::SeqCst), "the first load panics");
            self.0.load(key).await
        }

        async fn claim(
            &self,
            key: &TokenKey,
            generation: u64,
            holder: &str,
            lease: Duration,
        ) -> Result<bool> {
            self.0.claim(key, generation, holder, lease).await
        }

        async fn swap(
            &self,
            key: &TokenKey,
            expected: Option<u64>,
            tokens: &Tokens,
        ) -> Result<bool> {
            self.0.swap(key, expected, tokens).await
        }

        async fn clear(&self, key: &TokenKey) -> Result<()> {
            self.0.clear(key).await
        }
    }

    let (clock, service) = (TestClock::new(), Service::new());
    let store = Panicking(store(&clock, 3600).await, AtomicBool::new(false));
    let client = service.client(&clock, store);
    // The call whose renewal panicked may go on with the next one, or fail as the store did.
    if let Err(error) = list(&client).await {
        assert!(error.is_store(), "{error}");
        assert_eq!(error.operation(), Some("Get Orders"));
    }
    list(&client).await.unwrap();
}

#[tokio::test]
async fn pairing_brings_the_account_tokens_of_its_own() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = Watched::new(&clock, 3600).await;
    store.inner.clear(&account()).await.unwrap();
    let client = service.client(&clock, Arc::clone(&store));
    assert!(!client.account("account-77").is_paired().await.unwrap());
    let error = list(&client).await.unwrap_err();
    assert!(error.is_reauthorization_needed(), "{error}");

    store.fails.store(true, Ordering::SeqCst);
    let error = client.login("me").pair("account-77").await.unwrap_err();
    assert!(error.is_store(), "{error}");
    assert_eq!(error.operation(), Some("Pair"));
    store.fails.store(false, Ordering::SeqCst);

    let lab = client.login("me").pair("account-77").await.unwrap();
    assert_eq!(
        kept(&store.inner, &login()).await.as_deref(),
        Some("access-1")
    );
    assert_eq!(
        kept(&store.inner, &account()).await.as_deref(),
        Some("access-3")
    );
    lab.orders().list().await.unwrap();
    assert_eq!(service.shown(), ["access-3"]);
}

/// The slower of two pairings is the one whose tokens were replaced: nobody goes on with those.
#[tokio::test]
async fn of_two_pairings_the_one_that_is_stored_is_used() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = Watched::new(&clock, 3600).await;
    store.slow_swap.store(true, Ordering::SeqCst);
    let client = service.client(&clock, Arc::clone(&store));
    let pair = || {
        let me = client.login("me");
        tokio::spawn(async move { me.pair("account-77").await.map(drop) })
    };
    let slow = pair();
    store.reached.acquire().await.unwrap().forget();
    pair().await.unwrap().unwrap();
    store.let_out.add_permits(1);
    slow.await.unwrap().unwrap();
    let stored = kept(&store, &account()).await.unwrap();
    assert_eq!(stored, "access-3");
    list(&client).await.unwrap();
    assert_eq!(service.shown(), [stored]);
}

/// Tokens that a call had read already when they were forgotten are not used any more.
#[tokio::test]
async fn what_was_read_before_it_was_forgotten_is_not_used() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = Watched::new(&clock, 3600).await;
    store.slow_load.store(true, Ordering::SeqCst);
    let client = service.client(&clock, Arc::clone(&store));
    let call = tokio::spawn({
        let client = client.clone();
        async move { list(&client).await }
    });
    store.reached.acquire().await.unwrap().forget();
    client.account("account-77").forget_tokens().await.unwrap();
    store.let_out.add_permits(1);
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_reauthorization_needed(), "{error}");
    assert!(list(&client).await.unwrap_err().is_reauthorization_needed());
    assert_eq!(service.shown(), [""; 0]);
}

#[tokio::test]
async fn unpairing_and_revoking_forget_the_tokens() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = store(&clock, 3600).await;
    let client = service.client(&clock, Arc::clone(&store));
    let lab = client.account("account-77");
    lab.unpair().await.unwrap();
    assert!(!lab.is_paired().await.unwrap());
    assert_eq!(kept(&store, &account()).await, None);
    assert_eq!(kept(&store, &login()).await.as_deref(), Some("access-1"));
    let shown = service.shown().len();
    for error in [
        list(&client).await.unwrap_err(),
        lab.unpair().await.unwrap_err(),
    ] {
        assert!(error.is_reauthorization_needed(), "{error}");
    }
    assert_eq!(service.shown().len(), shown);

    let me = client.login("me");
    assert!(me.is_signed_in().await.unwrap());
    me.revoke().await.unwrap();
    me.revoke().await.unwrap();
    assert!(!me.is_signed_in().await.unwrap());
    assert_eq!(kept(&store, &login()).await, None);
}

/// Signing in anew begins a new count of renewals only if nobody remembers the old one.
#[tokio::test]
async fn tokens_that_follow_forgotten_ones_are_newer() {
    let (clock, service) = (TestClock::new(), Service::new());
    let store = store(&clock, -1).await;
    let client = service.client(&clock, Arc::clone(&store));
    list(&client).await.unwrap();
    let before = store.load(&account()).await.unwrap().unwrap().generation();
    client.account("account-77").revoke().await.unwrap();
    keep(&store, &login(), &crate::support::tokens(&clock, 3600)).await;
    client.login("me").pair("account-77").await.unwrap();
    let after = store.load(&account()).await.unwrap().unwrap().generation();
    assert!(after > before, "{after} follows {before}");
}

#[tokio::test]
async fn tokens_in_files_outlive_the_process() {
    let (clock, service) = (TestClock::new(), Service::new());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let client = service.client(&clock, FileTokenStore::open(&path).unwrap());
    let files = FileTokenStore::open(&path).unwrap();
    keep(&files, &login(), &crate::support::tokens(&clock, 3600)).await;
    client.login("me").pair("account-77").await.unwrap();
    drop(client);

    let client = service.client(&clock, FileTokenStore::open(&path).unwrap());
    list(&client).await.unwrap();
    clock.advance(Duration::from_secs(3600));
    list(&client).await.unwrap();
    let third = service.client(&clock, FileTokenStore::open(&path).unwrap());
    list(&third).await.unwrap();
    assert_eq!(
        (service.token_requests(), service.shown()),
        (
            1,
            ["access-2", "access-3", "access-3"]
                .map(str::to_owned)
                .to_vec()
        )
    );

    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }
    names.retain(|name| !name.ends_with(".lease"));
    names.sort_unstable();
    assert_eq!(names.len(), 2, "{names:?}");
    for (name, kind) in names.iter().zip(["account_", "login_"]) {
        // A digest, and not whose tokens they are.
        let digest = name.strip_prefix(kind).unwrap().strip_suffix(".json");
        let digest = digest.unwrap();
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
