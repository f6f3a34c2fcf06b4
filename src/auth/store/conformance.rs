//! Whether a store keeps the rules of [`TokenStore`].
//!
//! *Problem.* A store that is not atomic, or that a dropped future leaves locked, costs a lab its
//! access on a bad day, and works on all others.
//!
//! *Approach.* Every rule is tried alone, in races and with futures that are dropped at each of their
//! polls; a second handle on the same data sees what the first one answered. Mistakes that stores have
//! made are tried on the check itself (`the_check_finds_mistakes`).

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::{TokenKey, TokenStore, Tokens};
use crate::error::Error;

/// How long the check waits for a lease to end.
const SHORT: Duration = Duration::from_millis(300);
// Does not end while the check runs: with a shorter one a slow database would lose its lease in
// mid-rule.
const LONG: Duration = Duration::from_secs(60);

/// Checks that a store keeps the rules of [`TokenStore`]: alone, under concurrent calls, and when
/// the futures of its methods are dropped at any of their polls. It uses the login
/// `conformance-check` and the account of that name, which it clears, and takes about half a
/// second. Run it in your tests.
///
/// `open` opens the store anew on the same data, as another process would. It is called twice;
/// each of the two stores must see what the other one wrote.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use std::sync::Arc;
/// use lab_connector::MemoryTokenStore;
/// use lab_connector::auth::check_token_store;
///
/// let store = Arc::new(MemoryTokenStore::new());
/// check_token_store(|| std::future::ready(Ok(store.clone()))).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The first rule that is broken.
///
/// # Cancel safety
///
/// Dropped, it leaves its entries in the store.
pub async fn check_token_store<S, F>(
    open: impl Fn() -> F,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: TokenStore + 'static,
    F: Future<Output = Result<S, Error>>,
{
    let (store, other) = (Arc::new(open().await?), Arc::new(open().await?));
    let (login, account) = (
        TokenKey::Login("conformance-check".into()),
        TokenKey::Account("conformance-check".into()),
    );
    // An earlier run that was dropped may have left its entries.
    store.clear(&login).await?;
    store.clear(&account).await?;
    entries(&store, &login, &account).await?;
    leases(&store, &login).await?;
    races(&store, &login).await?;
    store.clear(&login).await?;
    store.clear(&login).await?;
    let left = store.load(&login).await?.is_some();
    holds(
        !left,
        "what was cleared is gone, and clearing twice is no error",
    )?;
    Ok(dropped(&store, &other, &login, &account).await?)
}

async fn entries(
    store: &Arc<impl TokenStore>,
    login: &TokenKey,
    account: &TokenKey,
) -> Result<(), Violation> {
    let none = store.load(login).await?;
    holds(none.is_none(), "there is no entry before the first swap")?;
    let claimed = store.claim(login, 1, "a", LONG).await?;
    holds(!claimed, "no lease on an entry that does not exist")?;
    let swapped = store.swap(login, Some(1), &tokens(2)?).await?;
    holds(!swapped, "no swap of an entry that does not exist")?;

    let first = tokens(7)?;
    let swapped = store.swap(login, None, &first).await?;
    holds(swapped, "the first swap finds no entry and succeeds")?;
    let same = store.load(login).await?.map(|kept| kept.expose_json());
    holds(
        same == Some(first.expose_json()),
        "what is loaded is what was kept",
    )?;
    let swapped = store.swap(login, None, &tokens(8)?).await?;
    holds(!swapped, "a swap for no entry fails where there is one")?;
    let swapped = store.swap(login, Some(6), &tokens(8)?).await?;
    holds(!swapped, "a swap fails for another generation")?;
    let other = store.load(account).await?;
    holds(other.is_none(), "a login and an account are two entries")
}

/// From generation 7, to 9.
async fn leases(store: &Arc<impl TokenStore>, key: &TokenKey) -> Result<(), Violation> {
    let claim = async |generation, holder, lease| store.claim(key, generation, holder, lease).await;
    holds(
        !claim(6, "a", LONG).await?,
        "no lease on another generation",
    )?;
    holds(claim(7, "a", LONG).await?, "the first claim is granted")?;
    holds(!claim(7, "b", LONG).await?, "a lease keeps others out")?;
    holds(claim(7, "a", LONG).await?, "its holder may claim anew")?;
    holds(
        claim(7, "a", Duration::ZERO).await?,
        "its holder may give it back",
    )?;
    holds(
        claim(7, "b", SHORT).await?,
        "a lease given back is to be had",
    )?;
    holds(!claim(7, "a", LONG).await?, "also a short lease holds")?;
    // Real time, and a little more than the lease: the store judges it by a clock of its own.
    tokio::time::sleep(SHORT + Duration::from_millis(100)).await;
    holds(claim(7, "a", LONG).await?, "a lease ends by itself")?;

    let swapped = store.swap(key, Some(7), &tokens(8)?).await?;
    holds(swapped, "a swap of the right generation succeeds")?;
    holds(claim(8, "b", LONG).await?, "a swap ends the lease")?;
    let swapped = store.swap(key, Some(8), &tokens(9)?).await?;
    holds(swapped, "a swap does not ask who holds the lease")
}

/// From generation 9, to 30 or so.
async fn races(store: &Arc<impl TokenStore + 'static>, key: &TokenKey) -> Result<(), Violation> {
    // A race shows itself seldom: once is no proof.
    for round in 0..20 {
        let generation = 9 + round;
        let claims = (0..8).map(|number| {
            let (store, key) = (Arc::clone(store), key.clone());
            tokio::spawn(async move {
                let holder = format!("racer {number}");
                store.claim(&key, generation, &holder, LONG).await
            })
        });
        let granted = count(claims.collect()).await?;
        holds(granted == 1, "of many claims at once one is granted")?;
        let next = tokens(generation + 1)?;
        let swaps = (0..8).map(|_| {
            let (store, key, next) = (Arc::clone(store), key.clone(), next.clone());
            tokio::spawn(async move { store.swap(&key, Some(generation), &next).await })
        });
        let done = count(swaps.collect()).await?;
        holds(done == 1, "of many swaps at once one succeeds")?;
    }
    Ok(())
}

/// Every operation, dropped at every poll of its future.
async fn dropped<S: TokenStore + 'static>(
    store: &Arc<S>,
    other: &Arc<S>,
    key: &TokenKey,
    probed: &TokenKey,
) -> Result<(), Violation> {
    /// No operation of a store awaits so often.
    const MOST: usize = 200;
    /// Longer than any store takes for the few calls of a probe.
    const PATIENCE: Duration = Duration::from_secs(20);
    let rule = "after the future of an operation was dropped the store works as before, and what it answers is seen by who else has it open";
    let first = tokens(1)?;
    for operation in 0..5 {
        store.clear(key).await?;
        let begun = operation == 0 || store.swap(key, None, &first).await?;
        holds(begun, rule)?;
        for polls in 1..=MOST {
            let one = async {
                match operation {
                    0 => store.swap(key, None, &first).await.map(drop),
                    1 => store.load(key).await.map(drop),
                    2 => store.claim(key, 1, "a", LONG).await.map(drop),
                    3 => store.swap(key, Some(1), &tokens(2)?).await.map(drop),
                    _ => store.clear(key).await,
                }
            };
            // One poll more with each turn, until the operation ends by itself: then every await of
            // it was dropped once.
            let done = attempt(one, polls).await;
            // A lock that the dropped future has left behind would hang here for ever.
            let probe = tokio::time::timeout(PATIENCE, probe(store, other, probed));
            match probe.await {
                Ok(works) => holds(works?, rule)?,
                Err(_) => return Err(Violation::of(rule)),
            }
            if let Some(done) = done {
                done?;
                break;
            }
        }
    }
    Ok(())
}

/// Whether tokens can be kept, claimed and cleared, and others see each of it.
async fn probe(
    store: &impl TokenStore,
    other: &impl TokenStore,
    key: &TokenKey,
) -> Result<bool, Error> {
    let seen = async |generation: Option<u64>| {
        let kept = other.load(key).await?;
        Ok::<_, Error>(kept.map(|kept| kept.generation()) == generation)
    };
    Ok(store.swap(key, None, &tokens(1)?).await?
        && seen(Some(1)).await?
        && store.claim(key, 1, "a", LONG).await?
        && !other.claim(key, 1, "b", LONG).await?
        && store.swap(key, Some(1), &tokens(2)?).await?
        && seen(Some(2)).await?
        && {
            store.clear(key).await?;
            seen(None).await?
        })
}

/// Polls a future so many times at most; none if it was not done by then, and was dropped.
pub(crate) async fn attempt<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn count(
    tasks: Vec<tokio::task::JoinHandle<Result<bool, Error>>>,
) -> Result<usize, Violation> {
    let mut granted = 0;
    for task in tasks {
        granted += usize::from(task.await.map_err(Error::store)??);
    }
    Ok(granted)
}

fn tokens(generation: u64) -> Result<Tokens, Error> {
    Tokens::from_json(&format!(
        // Not only ASCII, and an expiry far in the future.
        r#"{{"access_token":"a{generation} é","refresh_token":"r{generation}","issued_at":1,"expires_at":4000000000,"generation":{generation}}}"#
    ))
}

pub(crate) fn holds(rule: bool, what: &'static str) -> Result<(), Violation> {
    if rule {
        Ok(())
    } else {
        Err(Violation::of(what))
    }
}

/// A rule of [`TokenStore`] or [`CaseStore`](crate::inbox::store::CaseStore) that a store breaks.
#[derive(Debug)]
pub(crate) struct Violation {
    what: &'static str,
    source: Option<Error>,
}

impl Violation {
    pub(crate) fn of(what: &'static str) -> Self {
        Violation { what, source: None }
    }
}

impl From<Error> for Violation {
    fn from(error: Error) -> Self {
        Violation {
            what: "the store works",
            source: Some(error),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken rule: {}", self.what)
    }
}

impl std::error::Error for Violation {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source: &(dyn std::error::Error + 'static) = self.source.as_ref()?;
        Some(source)
    }
}
