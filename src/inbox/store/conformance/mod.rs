//! Whether a store keeps the rules of [`CaseStore`].
//!
//! *Problem.* A store of somebody else's has mistakes that show after months: a lost delivery, a
//! gap in a log, a lease that never ends.
//!
//! *Approach.* Each rule of the trait is asked for by itself, and named where it is broken. The
//! check must find each mistake that it says it finds: the test `the_check_finds_each_mistake`
//! makes them one by one.

mod clocks;
mod dropped;
mod keeping;
mod races;
mod reading;
mod working;

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    AccountState, Case, CaseStore, ClaimedDelivery, Commit, ListingCoverage, LoggedArrival,
    NewArrival, Outcome, Save, Settlement,
};
use crate::auth::{Violation, holds};
use crate::error::{Error, Result};
use crate::flow::{Arrival, History, millis};
use crate::inbox::plan::Policy;
use crate::model::{AccountId, Order, OrderId, RxId};

/// Checks that a store keeps the rules of [`CaseStore`]: alone, under concurrent calls, with clocks
/// that are set back and ahead, and when the futures of its methods are dropped at any of their
/// polls. Run it in your tests.
///
/// `open` opens the store anew on the same data, as another process would: it is called twice, and
/// what the one answers the other has to see.
///
/// It works on accounts whose names begin with `conformance` and go on with a random number; what
/// it puts there stays. It takes well under a second, and a second or two on a store that has a
/// clock of its own ([`CaseStore::now`]): there it waits for leases to end.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use lab_connector::inbox::store::{MemoryStore, check_case_store};
///
/// let store = MemoryStore::new();
/// check_case_store(|| std::future::ready(Ok(store.clone()))).await?;
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
/// Dropped, it leaves entries in the store, as it does when it is done.
pub async fn check_case_store<S, F>(
    open: impl Fn() -> F,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: CaseStore + 'static,
    F: Future<Output = Result<S>>,
{
    let stores = (Arc::new(open().await?), Arc::new(open().await?));
    // From the plainest rule to the hardest, one after the other: of a store that breaks many the error
    // names the one to mend first. Each has an account of its own, so that none sees another's rows.
    let store = &stores;
    reading::empty(&mut Check::new(store).await?).await?;
    keeping::accounts(&mut Check::new(store).await?).await?;
    keeping::commits(&mut Check::new(store).await?).await?;
    keeping::conflicts(&mut Check::new(store).await?).await?;
    keeping::revisions(&mut Check::new(store).await?).await?;
    keeping::values(&mut Check::new(store).await?).await?;
    reading::expected(&mut Check::new(store).await?).await?;
    reading::due(&mut Check::new(store).await?).await?;
    reading::find_all(&mut Check::new(store).await?).await?;
    working::leases(&mut Check::new(store).await?).await?;
    working::claims(&mut Check::new(store).await?).await?;
    working::order(&mut Check::new(store).await?).await?;
    working::outcomes(&mut Check::new(store).await?).await?;
    working::stale(&mut Check::new(store).await?).await?;
    working::failed_ones(&mut Check::new(store).await?).await?;
    working::reopened(&mut Check::new(store).await?).await?;
    working::times(&mut Check::new(store).await?).await?;
    reading::pages(&mut Check::new(store).await?).await?;
    reading::forgotten(&mut Check::new(store).await?).await?;
    races::versions(&mut Check::new(store).await?).await?;
    races::log(&mut Check::new(store).await?).await?;
    races::leases(&mut Check::new(store).await?).await?;
    races::claims(&mut Check::new(store).await?).await?;
    races::settlements(&mut Check::new(store).await?).await?;
    dropped::operations(&mut Check::new(store).await?).await?;
    dropped::wholes(&mut Check::new(store).await?).await?;
    Ok(clocks::set(&mut Check::new(store).await?).await?)
}

/// A time that the check waits for where it must.
// Longer than a call to a database may take: a lease of it must not end before it is looked at.
const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(3600);

/// How far ahead a case is to be fetched at most.
const SPAN: Duration = Duration::from_secs(24 * 60 * 60);

const READY: &str = "Ready for Download";
const DOWNLOADED: &str = "Downloaded";

/// A store and an account of its own.
struct Check<S> {
    store: Arc<S>,
    /// The same data, opened once more.
    other: Arc<S>,
    account: AccountId,
    now: SystemTime,
    /// Whether the store goes by its own clock.
    own_clock: bool,
}

impl<S: CaseStore + 'static> Check<S> {
    /// With an account that was never used.
    async fn new((store, other): &(Arc<S>, Arc<S>)) -> Result<Self> {
        // The clock of no database shows this: a store that returns it goes by the caller's.
        let odd = UNIX_EPOCH + Duration::from_secs(1_234_567_890);
        let own_clock = store.now(odd).await? != odd;
        let now = store.now(SystemTime::now()).await?;
        Ok(Check {
            store: Arc::clone(store),
            other: Arc::clone(other),
            account: account("1"),
            now: millis::cut(now),
            own_clock,
        })
    }

    /// Until this time has passed and a little more.
    async fn pass(&mut self, time: Duration) {
        // A little more: a database's clock may be read with less precision than ours.
        let time = time + Duration::from_millis(50);
        // A database's clock goes by itself: tokio's paused one would not move it.
        if self.own_clock {
            tokio::time::sleep(time).await;
        }
        self.now += time;
    }

    async fn commit(&self, saves: Vec<Save>) -> Result<bool> {
        let commit = Commit {
            saves,
            coverage: None,
        };
        self.store.commit(&self.account, &commit, self.now).await
    }

    /// Keeps something that nothing stands against.
    async fn keep(&self, saves: Vec<Save>) -> Result<(), Violation> {
        holds(
            self.commit(saves).await?,
            "a commit of cases as they were read succeeds",
        )
    }

    /// New cases with a delivery each.
    async fn deliver(&self, ids: &[&str]) -> Result<(), Violation> {
        let saves = ids.iter().map(|id| delivery(id, 0, 1));
        self.keep(saves.collect::<Result<_>>()?).await
    }

    async fn claim(
        &self,
        token: &str,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<ClaimedDelivery>> {
        let claimed = self
            .store
            .claim(&self.account, token, limit, lease, self.now);
        claimed.await
    }

    async fn settle(&self, sequence: u64, token: &str, outcome: Outcome) -> Result<bool> {
        let settlement = settlement(sequence, token, outcome);
        Ok(self.settle_all(&[settlement]).await? == [true])
    }

    async fn settle_all(&self, settlements: &[Settlement]) -> Result<Vec<bool>> {
        let settled = self.store.settle(&self.account, settlements, self.now);
        settled.await
    }

    /// Whether the process gets the right to poll.
    async fn polls(&self, process: &str, lease: Duration) -> Result<bool> {
        let store = &self.store;
        let process = self.process(process);
        let right = store.poll_right(&self.account, &process, lease, self.now);
        Ok(right.await?.is_none())
    }

    /// The name of a process of this check alone: others may go on beside it on the same data.
    fn process(&self, name: &str) -> String {
        // The random part of the account's name.
        let number = self.account.as_str().split(' ').nth(1);
        format!("{name}-{}", number.unwrap_or_default())
    }

    async fn release(&self, process: &str) -> Result<()> {
        let process = self.process(process);
        let released = self.store.release_poll_right(&self.account, &process);
        released.await
    }

    async fn state(&self) -> Result<AccountState> {
        self.store.account(&self.account, self.now).await
    }

    async fn find(&self, id: &str) -> Result<Option<super::StoredCase>> {
        let id = OrderId::new(id);
        self.store.find(&self.account, &id).await
    }

    async fn log(&self) -> Result<Vec<LoggedArrival>> {
        self.store.arrivals(&self.account, 0, 10_000).await
    }
}

/// The name of an account that nobody used yet, with characters that need care.
fn account(which: impl Display) -> AccountId {
    AccountId::new(format!(
        "conformance {:016x} {which} 'é\"%_$1\\?🦷",
        fastrand::u64(..)
    ))
}

/// A case as the store reads one: in this status, arrived at this time; twice, so that the log can have
/// either.
fn case(
    id: &str,
    version: u64,
    status: &str,
    arrived: Option<SystemTime>,
    look_at: Option<SystemTime>,
) -> Result<Case> {
    // By its stored form, as a store makes one: `Case` has no other constructor in public.
    let mut arrival = Arrival::new(status);
    if let Some(time) = arrived {
        arrival = arrival.at(time);
    }
    let mut record =
        serde_json::json!({ "history": History::complete([arrival.clone(), arrival]) });
    if let Some(time) = look_at.map(millis::since_epoch) {
        let span = u64::try_from(SPAN.as_millis()).unwrap_or(u64::MAX);
        record["schedule"] = serde_json::json!({ "due": { "at": time, "span": span } });
    }
    let state = serde_json::json!({ "record": record });
    // Of its own kind, so that a store which confuses the two ids is found.
    let rx_id = RxId::new(format!("rx {id}"));
    Case::from_stored(
        OrderId::new(id),
        Some(rx_id),
        version,
        0,
        &state.to_string(),
    )
}

/// What an account is covered by since this time.
fn covered(since: SystemTime) -> ListingCoverage {
    let mut coverage = ListingCoverage::new();
    coverage.take_listing(false, false, since, &Policy::default());
    coverage
}

/// A case to be kept without an arrival.
fn save(case: Case, order: Option<Arc<Order>>) -> Save {
    Save::new(case, order, Vec::new())
}

/// A listed case with its order's data and this delivery.
fn delivery(id: &str, version: u64, ordinal: u32) -> Result<Save> {
    let case = case(id, version, READY, None, None)?;
    let arrivals = vec![arrived(ordinal - 1, Some(ordinal))];
    Ok(Save::new(case, Some(order(id, "")?), arrivals))
}

fn arrived(index: u32, ordinal: Option<u32>) -> NewArrival {
    NewArrival { index, ordinal }
}

/// An order with this note in it.
fn order(id: &str, note: &str) -> Result<Arc<Order>> {
    let order = serde_json::json!({
        "orderId": id, "rxId": format!("rx {id}"), "status": READY, "note": note,
        // U+0000 is JSON, and PostgreSQL's `text` refuses it. The others end a text or match more
        // than themselves in SQL.
        "patient": { "name": "O'Neill \"%_\\ é 🦷 \u{0} \u{202e}" },
    });
    let order = serde_json::from_value(order).map_err(Error::store)?;
    Ok(Arc::new(order))
}

fn settlement(sequence: u64, token: &str, outcome: Outcome) -> Settlement {
    Settlement {
        sequence,
        token: token.into(),
        outcome,
    }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Released {
        after: Duration::ZERO,
        failure: Some(reason.to_owned()),
    }
}

fn again() -> Outcome {
    Outcome::Released {
        after: Duration::ZERO,
        failure: None,
    }
}

fn sequences(claimed: &[ClaimedDelivery]) -> Vec<u64> {
    claimed.iter().map(|claimed| claimed.sequence).collect()
}

fn ids<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Vec<&'a str> {
    let cases = cases.into_iter();
    cases.map(|case| case.order_id().as_str()).collect()
}
