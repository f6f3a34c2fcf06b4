//! Where cases are kept, and who works on which delivery.
//!
//! *Problem.* What an inbox knows must outlive the process, a delivery must be durable before the
//! first of its files is fetched, and where several processes work for a lab, each delivery
//! must have one holder at a time.
//!
//! *Default.* [`MemoryStore`], which forgets everything when the process ends.
//! *When to change it.* Always, but in tests: `SqliteStore` (feature `sqlite`) for one machine,
//! `PostgresStore` (feature `postgres`) for many, or a [`CaseStore`] of your own on the
//! database that your software has already. Both are a [`TokenStore`](crate::TokenStore) too.
//!
//! # What is kept
//!
//! For each account three things, and a lease:
//!
//! * **cases**, one row for each order: what is recorded of it, [`Case`], and the order's
//!   own data as it was seen last. A row has a version that counts its writes, and is replaced only
//!   by who read that version;
//! * **arrivals**, a log: a row is added for each arrival and numbered from 1 in the order in
//!   which they are committed. Those that are deliveries are a queue too;
//! * the account's [`ListingCoverage`];
//! * who polls the account, so that not every process does.
//!
//! What is right does not hang on the lease: two processes that poll one account at the same
//! time do twice the work and nothing twice.
//!
//! # Time
//!
//! Every method that needs the time is given the caller's. A store on one machine goes by that;
//! a store that many machines share trusts no caller's clock and takes its own, also for
//! [`CaseStore::now`].
//!
//! # What others can ask a database
//!
//! Tables and views may be read by a lab's own software, with another connection. On SQLite their
//! names begin with `lab_connector_`, and times are milliseconds since 1970; on PostgreSQL they are in
//! the store's schema, and times are `timestamptz`. Ids are as the service sends them, but for `\`
//! and U+0000, which are written `\\` and `\0`.
//!
//! | | |
//! |---|---|
//! | `cases` | a row for each order: `status` and `stage` (a machine name of [`Stage`](crate::flow::Stage); where more than one is possible all of them, joined by ` or `), `changed_at`, `listed` |
//! | `arrivals` | the log: `status`, `arrived_at`, and of a delivery its `ordinal` |
//! | `open_work` | a view: deliveries that are not acknowledged, until when they are hidden, how often they were tried and why they failed |
//! | `order_history` | a view: the arrivals of each order, and whether a delivery was acknowledged |
//! | `with_align` | a view: the cases that may be with Align (in modeling, in milling, in interpretation, ready to ship), and since when |
//!
//! `orders` has patient data, `tokens` has secrets: grant them to nobody.

mod account;
mod case;
mod commit;
#[cfg(feature = "store-tests")]
mod conformance;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod queue;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{AccountId, OrderId};

#[cfg(feature = "store-tests")]
pub use crate::auth::Violation;
pub use crate::inbox::plan::ListingCoverage;
pub use account::{Counts, Forget};
pub use case::Case;
pub use commit::{CaseKey, Commit, LogEntry, NewArrival, Save, Stored};
#[cfg(feature = "store-tests")]
pub use conformance::check_case_store;
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresStore, PostgresStoreBuilder};
pub use queue::{Claimed, Outcome, Settlement};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

/// Keeps the cases of accounts, and gives out their deliveries.
///
/// Implement it where cases belong with the rest of your data. On a database it is three tables
/// and a statement or two for each method:
///
/// ```sql
/// CREATE TABLE accounts (
///     account     text PRIMARY KEY,
///     epoch       text,             -- ListingCoverage, as JSON
///     sequence    bigint NOT NULL,  -- the number of its last arrival
///     holder      text,             -- who polls it
///     held_until  timestamptz
/// );
/// CREATE TABLE cases (
///     account     text, order_id text, PRIMARY KEY (account, order_id),
///     rx_id       text,             -- indexed with account
///     version     bigint NOT NULL,
///     state       text NOT NULL,    -- Case::to_json()
///     listed      boolean NOT NULL, -- Case::is_listed(); indexed where true
///     look_at     timestamptz,      -- Case::fetch_due_at(); indexed where not null
///     changed_at  timestamptz,      -- Case::changed_at()
///     data        text              -- the Order, as JSON: patient data
/// );
/// CREATE TABLE arrivals (
///     account     text, sequence bigint, PRIMARY KEY (account, sequence),
///     order_id    text NOT NULL,
///     position    integer NOT NULL, -- its index in the history
///     ordinal     integer,          -- of a delivery
///     arrived_at  timestamptz NOT NULL,
///     open        boolean NOT NULL, -- a delivery that is not acknowledged; indexed where true
///     due         timestamptz,      -- hidden until then
///     token       text,             -- whose it is, or was
///     attempts    integer NOT NULL,
///     failure     text
/// );
/// ```
///
/// Ids of orders and prescriptions have at most 256 bytes. An order's data and what
/// [`Case::to_json`] gives are the only texts whose length has no bound. Ids may have any
/// character in them, U+0000 too, which PostgreSQL takes in no `text`; in JSON it is escaped, which
/// `jsonb` takes for the character. Times are whole milliseconds; a lease may be as long as
/// [`Duration::MAX`], and a thousand years stand for it. Failures are
/// [`Error::store`](crate::Error::store).
///
/// `check_case_store`, with the feature `store-tests`, says whether an implementation keeps
/// these rules.
#[async_trait]
pub trait CaseStore: fmt::Debug + Send + Sync {
    /// The time that counts: `local`, unless the store has a better clock.
    ///
    /// # Errors
    ///
    /// The store cannot be asked.
    async fn now(&self, local: SystemTime) -> Result<SystemTime> {
        Ok(local)
    }

    /// Takes the right to poll an account, for the time of `lease` from now, or takes it anew
    /// as its holder. A lease of zero gives it back.
    ///
    /// `true` if nobody else's lease holds. `holder` is a text of at most 64 characters, another
    /// one in each process.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has taken the lease or not.
    async fn lease(
        &self,
        account: &AccountId,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool>;

    /// Since when the account is known; [`ListingCoverage::new`] if it is not.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn epoch(&self, account: &AccountId) -> Result<ListingCoverage>;

    /// What a listing is compared with: those of `orders` that are known, and all cases that a
    /// complete listing should have ([`Case::is_listed`]), each once, in any order.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn expected(&self, account: &AccountId, orders: &[OrderId]) -> Result<Vec<Case>>;

    /// One case with its order's data, if it is known. Should two cases have one Rx id, either.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn find(&self, account: &AccountId, case: CaseKey<'_>) -> Result<Option<Stored>>;

    /// Cases that are due to be fetched, the longest due first, at most `limit`.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>>;

    /// Keeps cases, logs their arrivals and sets the account's epoch: everything, or nothing.
    ///
    /// `true` if so: then it is durable, and the deliveries can be claimed. `false` if a case
    /// has another version in the store than it has here (none in the store is version 0): then
    /// nothing has changed. A case that is kept gets the next version. No case is in a commit
    /// twice.
    ///
    /// The arrivals of one account are logged in the order of its commits: whoever has read the
    /// log up to a number has missed none before it. Lock the account's row first.
    ///
    /// # Errors
    ///
    /// The store cannot be written. What was to be kept is kept, whole, or not.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has kept everything or nothing.
    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool>;

    /// Takes deliveries to work on, at most `limit`, and hides them from other claims for the
    /// time of `lease`; then they can be claimed again, with another token.
    ///
    /// Open deliveries that are due are claimed in the order of the log. Of each case only
    /// the first open one can be claimed. Each claim of a delivery counts as an attempt. `token`
    /// is a text of at most 64 characters, another one for each call.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have taken deliveries; they come again after the lease.
    async fn claim(
        &self,
        account: &AccountId,
        token: &str,
        limit: usize,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<Claimed>>;

    /// Says what became of claimed deliveries; one answer for each, in the same order.
    ///
    /// `true` if the delivery is open and was claimed last with this token: then the outcome is
    /// durable. Otherwise nothing has changed for it. That its lease has ended does not matter as
    /// long as nobody else has claimed it.
    ///
    /// # Errors
    ///
    /// The store cannot be written. Each outcome is kept or not.
    ///
    /// # Cancel safety
    ///
    /// Dropped, each outcome is kept or not.
    async fn settle(
        &self,
        account: &AccountId,
        settlements: &[Settlement],
        now: SystemTime,
    ) -> Result<Vec<bool>>;

    /// The log of arrivals behind the number `after`, in its order, at most `limit`.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogEntry>>;

    /// The cases behind the order `after`, by order id, at most `limit`. Any order of ids will
    /// do, as long as it is always the same.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<Stored>>;

    /// How much there is.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts>;

    /// Forgets the data of orders, patient data among it, and what failed deliveries were
    /// given as reasons; says of how many cases. Kept are ids, statuses and times, so that a
    /// case that comes again is not taken for a new one.
    ///
    /// Passed over are cases that a listing should have, that have open deliveries, or that
    /// have no data any more.
    ///
    /// # Errors
    ///
    /// The store cannot be written. The data of each case is forgotten or not.
    async fn forget(&self, account: &AccountId, which: Forget<'_>) -> Result<u64>;
}

/// No id that is kept is longer, in bytes. Those that are seen are numbers and UUIDs. An index of
/// PostgreSQL has room for 2,704 bytes: enough for such an id with all of its characters escaped,
/// beside an account's.
const LONGEST_ID: usize = 256;

/// Whether an id is no longer than those that are kept.
pub(super) fn fits(id: &str) -> bool {
    id.len() <= LONGEST_ID
}

#[async_trait]
impl<T: CaseStore + ?Sized> CaseStore for Arc<T> {
    async fn now(&self, local: SystemTime) -> Result<SystemTime> {
        (**self).now(local).await
    }

    async fn lease(
        &self,
        account: &AccountId,
        holder: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool> {
        (**self).lease(account, holder, lease, now).await
    }

    async fn epoch(&self, account: &AccountId) -> Result<ListingCoverage> {
        (**self).epoch(account).await
    }

    async fn expected(&self, account: &AccountId, orders: &[OrderId]) -> Result<Vec<Case>> {
        (**self).expected(account, orders).await
    }

    async fn find(&self, account: &AccountId, case: CaseKey<'_>) -> Result<Option<Stored>> {
        (**self).find(account, case).await
    }

    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>> {
        (**self).due(account, now, limit).await
    }

    async fn commit(&self, account: &AccountId, commit: &Commit, now: SystemTime) -> Result<bool> {
        (**self).commit(account, commit, now).await
    }

    async fn claim(
        &self,
        account: &AccountId,
        token: &str,
        limit: usize,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Vec<Claimed>> {
        (**self).claim(account, token, limit, lease, now).await
    }

    async fn settle(
        &self,
        account: &AccountId,
        settlements: &[Settlement],
        now: SystemTime,
    ) -> Result<Vec<bool>> {
        (**self).settle(account, settlements, now).await
    }

    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        (**self).arrivals(account, after, limit).await
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<Stored>> {
        (**self).cases(account, after, limit).await
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        (**self).counts(account, now).await
    }

    async fn forget(&self, account: &AccountId, which: Forget<'_>) -> Result<u64> {
        (**self).forget(account, which).await
    }
}
