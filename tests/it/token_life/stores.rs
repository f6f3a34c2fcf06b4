//! The stores keep the rules, and the check finds those that do not.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use lab_connector::auth::{TokenKey, Tokens, check_token_store};
use lab_connector::transport::{self, TransportError};
use lab_connector::{Error, FileTokenStore, MemoryTokenStore, Result, TokenStore};
use tokio::sync::Mutex;

use crate::support::{TestClock, builder, state_of, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores_keep_the_rules() {
    let store = Arc::new(MemoryTokenStore::new());
    let open = || ready(Ok(Arc::clone(&store)));
    check_token_store(open).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let open = || ready(FileTokenStore::open(&path));
    check_token_store(open).await.unwrap();
    for entry in std::fs::read_dir(&path).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".lease"), "{name} is left");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    GrantsAll,
    GrantsToOneForEver,
    IgnoresGenerations,
    OneEntryForAll,
    ForgetsToClear,
    LiesAfterADrop,
}

#[derive(Debug)]
struct Wrong(MemoryTokenStore, Mistake, AtomicBool, Mutex<()>);

impl Wrong {
    fn key(&self, key: &TokenKey) -> TokenKey {
        match self.1 {
            Mistake::OneEntryForAll => TokenKey::Login("one".into()),
            _ => key.clone(),
        }
    }
}

#[async_trait]
impl TokenStore for Wrong {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        self.0.load(&self.key(key)).await
    }

    async fn claim(
        &self,
        key: &TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> Result<bool> {
        let (holder, lease) = match self.1 {
            Mistake::GrantsAll => ("one", lease),
            Mistake::GrantsToOneForEver if !lease.is_zero() => (holder, Duration::from_secs(9999)),
            _ => (holder, lease),
        };
        self.0
            .claim(&self.key(key), generation, holder, lease)
            .await
    }

    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool> {
        let key = self.key(key);
        if self.1 == Mistake::LiesAfterADrop {
            // As a connection that is left within a transaction.
            let _turn = self.3.lock().await;
            if self.2.swap(true, Ordering::SeqCst) {
                return Ok(true);
            }
            tokio::task::yield_now().await;
            self.2.store(false, Ordering::SeqCst);
            return self.0.swap(&key, expected, tokens).await;
        }
        let expected = match self.1 {
            Mistake::IgnoresGenerations => self.0.load(&key).await?.map(|kept| kept.generation()),
            _ => expected,
        };
        self.0.swap(&key, expected, tokens).await
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        match self.1 {
            Mistake::ForgetsToClear => Ok(()),
            _ => self.0.clear(&self.key(key)).await,
        }
    }
}

#[tokio::test]
async fn the_check_finds_mistakes() {
    for (mistake, found) in [
        (Mistake::GrantsAll, "keeps others out"),
        (Mistake::GrantsToOneForEver, "ends by itself"),
        (Mistake::IgnoresGenerations, "no swap of an entry"),
        (Mistake::OneEntryForAll, "two entries"),
        (Mistake::ForgetsToClear, "what was cleared is gone"),
        (
            Mistake::LiesAfterADrop,
            "after the future of an operation was dropped",
        ),
    ] {
        let store = Wrong(
            MemoryTokenStore::new(),
            mistake,
            AtomicBool::new(false),
            Mutex::default(),
        );
        let store = Arc::new(store);
        let open = || ready(Ok(Arc::clone(&store)));
        let violation = check_token_store(open).await.unwrap_err();
        assert!(
            violation.to_string().contains(found),
            "{mistake:?}: {violation}"
        );
    }
}

/// A store on a full disk, which knows it.
#[derive(Debug)]
struct Full(Arc<MemoryTokenStore>);

#[async_trait]
impl TokenStore for Full {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
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

    async fn probe(&self, _: &TokenKey) -> Result<()> {
        Err(Error::store_unavailable("the disk is full"))
    }

    async fn swap(&self, _: &TokenKey, _: Option<u64>, _: &Tokens) -> Result<bool> {
        Err(Error::store_unavailable("the disk is full"))
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        self.0.clear(key).await
    }
}

#[tokio::test]
async fn nothing_is_spent_whose_tokens_could_not_be_kept() {
    let clock = TestClock::new();
    let kept = store(&clock, -1).await;
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let client = builder("https://service.example/", &clock)
        .token_store(Full(kept))
        .transport(transport::from_fn(move |request| {
            // Discovery may be asked: it spends nothing.
            counted.fetch_add(
                usize::from(request.method() != Method::GET),
                Ordering::SeqCst,
            );
            std::future::ready(Err(TransportError::broken("it is not to be asked")))
        }))
        .build()
        .unwrap();
    let login = client.login("me");
    let request = login.authorize().unwrap();
    let state = state_of(&request);
    let redirected = format!("https://lab.example/callback?code=1&state={state}");
    let code = login.finish(&request, &redirected.parse().unwrap()).await;
    let pairing = login.pair("1").await;
    let rotation = client.account("account-77").orders().list().await;
    for error in [
        code.unwrap_err(),
        pairing.map(drop).unwrap_err(),
        rotation.map(drop).unwrap_err(),
    ] {
        assert!(error.is_store() && error.is_retryable(), "{error}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}
