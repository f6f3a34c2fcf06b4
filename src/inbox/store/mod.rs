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
//! For each account:
//!
//! * **cases**, one row for each order: what is recorded of it, [`Case`], and the order's
//!   own data as it was seen last. A row has a version that counts its writes, and is replaced only
//!   by who read that version;
//! * **arrivals**, a log: a row is added for each arrival and numbered from 1 in the order in
//!   which they are committed. Those that are deliveries are a queue too;
//! * the account's [`ListingCoverage`], and its revision;
//! * who polls the account, so that not every process does.
//!
//! Correctness does not depend on who polls: two processes that poll one account at the same
//! time do twice the work and deliver nothing twice.
//!
//! # Time
//!
//! Every method that needs the time is given the caller's. A store on one machine goes by that;
//! a store that many machines share trusts no caller's clock and takes its own, also for
//! [`CaseStore::now`].
//!
//! Clocks are set back, and run ahead until somebody sets them right. So a time to wait for is kept
//! with its span: how far ahead it was when it was set. It has passed if it is not later than now, or if
//! it lies further ahead than its span and a minute, which is for callers whose clock is a little behind; so it never holds for longer than it would with a right clock.
//!
//! # What others can ask a database
//!
//! A lab's own software may read these, with another connection. On SQLite their names begin with
//! `lab_connector_`; on PostgreSQL they are in the store's schema. Ids are as the service sends them, but
//! for `\` and U+0000, which are written `\\` and `\0`.
//!
//! * The view **`open_work`**, a row for each delivery that is not acknowledged: `account`, `order_id`,
//!   `ordinal`, `rx_id`, `status`, `arrived_at`, `hidden_until` (claimed or deferred until then),
//!   `attempts`, `failure` (why it failed last).
//! * The view **`order_history`**, a row for each arrival of an order: `account`, `order_id`, `rx_id`,
//!   `sequence` (in the account's log), `position` (in the order's history, from 0), `status`, `delivery`
//!   (the ordinal; null where the arrival is no delivery), `arrived_at`, `acknowledged`.
//! * The view **`with_align`**, a row for each case that may be with Align (in modeling, in milling, in
//!   interpretation, ready to ship): `account`, `order_id`, `rx_id`, `status`, `stage`, `since`.
//! * The table **`cases`**, a row for each order: `account`, `order_id`, `rx_id`, `status`, `stage`,
//!   `changed_at`, `listed`.
//! * The table **`arrivals`**, the log: `account`, `sequence`, `order_id`, `position`, `ordinal` (what
//!   `order_history` calls `delivery`), `status`, `arrived_at`.
//!
//! A `stage` is a machine name of [`Stage`](crate::flow::Stage); where more than one is possible all of
//! them, joined by ` or `.
//!
//! | times and flags | SQLite | PostgreSQL |
//! |---|---|---|
//! | a time in a view | text in UTC, `2026-03-14 08:26:53.000` | `timestamptz` |
//! | a time in a table | milliseconds since 1970 | `timestamptz` |
//! | `acknowledged`, `listed` | 0 or 1 | `boolean` |
//!
//! `orders` has patient data, `tokens` has secrets: grant them to nobody.

mod account;
mod case;
mod commit;
#[cfg(feature = "store-tests")]
mod conformance;
mod logged;
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
use crate::model::{AccountId, OrderId, RxId};

pub(super) use super::due::DueTime;
pub use crate::inbox::plan::{ListingCoverage, NewArrival};
pub use account::{AccountState, Counts, Poller};
pub use case::Case;
pub use commit::{Commit, Save, StoredCase};
#[cfg(feature = "store-tests")]
pub use conformance::check_case_store;
pub use logged::LoggedArrival;
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresStore, PostgresStoreBuilder};
pub use queue::{ClaimedDelivery, Outcome, Settlement};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

/// Keeps the cases of accounts, and lets workers claim their deliveries.
///
/// Implement it where cases belong with the rest of your data. On a database it is four tables
/// and a statement or two for each method:
///
/// ```sql
/// CREATE TABLE accounts (
///     account     text PRIMARY KEY,
///     coverage    text,             -- ListingCoverage, as JSON
///     revision    bigint NOT NULL,
///     sequence    bigint NOT NULL,  -- the number of its last arrival
///     process     text              -- who polls it
/// );
/// CREATE TABLE processes (
///     process     text PRIMARY KEY,
///     until       timestamptz NOT NULL, span interval NOT NULL -- it lives until then
/// );
/// CREATE TABLE cases (
///     account     text, order_id text, PRIMARY KEY (account, order_id),
///     rx_id       text,             -- indexed with account
///     version     bigint NOT NULL,
///     revision    bigint NOT NULL,
///     state       text NOT NULL,    -- Case::to_json()
///     listed      boolean NOT NULL, -- Case::is_expected(); indexed where true
///     fetch_due   timestamptz,      -- Case::fetch_due(); indexed where not null
///     fetch_span  interval,
///     given_up    boolean NOT NULL, -- Case::is_given_up(); indexed where true
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
///     due         timestamptz,      -- hidden until then; null until it is claimed
///     due_span    interval,         -- how far ahead that was when it was set
///     token       text,             -- whose it is, or was
///     attempts    integer NOT NULL,
///     failure     text,
///     repeated    boolean NOT NULL  -- opened again by hand
/// );
/// ```
///
/// Ids of orders and prescriptions have at most 256 bytes. An order's data and what
/// [`Case::to_json`] returns are the only texts whose length has no bound. Ids may have any
/// character in them, U+0000 too, which PostgreSQL takes in no `text`; in JSON it is escaped, which
/// `jsonb` takes for the character. Times are whole milliseconds; a lease may be as long as
/// [`Duration::MAX`], and a thousand years stand for it.
///
/// A failure that may pass by itself (no connection, a lock that was not given in time, a full
/// disk) is an [`Error::store_unavailable`](crate::Error::store_unavailable): the inbox waits and
/// goes on. Any other is an [`Error::store`](crate::Error::store), and ends what runs.
///
/// `check_case_store`, with the feature `store-tests`, says whether an implementation keeps
/// these rules.
///
/// # Cancel safety
///
/// The future of each method may be dropped at any of its polls, as a web handler is whose client
/// left. What a method does is done from its beginning to its end or not at all, and the next call
/// finds the store as if nothing had been dropped: do it on a task or a thread of its own where the
/// database's driver does not see to that.
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

    /// Asks for the right to poll an account, for the time of `lease` from now; its holder keeps it
    /// by asking again.
    ///
    /// `None` if it has the right now, or else the process that has it. `process` is a text of at most 64
    /// characters, another one in each process; it is the process that has the right, so that two
    /// inboxes of one process may both poll. A right that [has passed](self#time) does not hold.
    ///
    /// Each inbox that runs asks about every 15 seconds, for 45. Where there are many, keep one row
    /// for each process that says until when it lives, let the accounts point to it, and answer from
    /// memory while less than half of the lease has passed since that row was written: then ten
    /// thousand accounts cost a small write every 20 seconds.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the right was taken or not.
    async fn poll_right(
        &self,
        account: &AccountId,
        process: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Option<Poller>>;

    /// Releases the right to poll an account, if the process has it: another one gets it at
    /// once.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the right was released or not.
    async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()>;

    /// What is known of the account as a whole.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn account(&self, account: &AccountId, now: SystemTime) -> Result<AccountState>;

    /// The cases that a complete listing should have ([`Case::is_expected`]), each once, in any
    /// order.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn expected(&self, account: &AccountId) -> Result<Vec<Case>>;

    /// One case with its order's data, if it is known.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn find(&self, account: &AccountId, order: &OrderId) -> Result<Option<StoredCase>>;

    /// The cases of these orders and of these Rx ids that are known, each once, in any order. Should
    /// two cases have one Rx id, either or both.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn find_all(
        &self,
        account: &AccountId,
        orders: &[OrderId],
        rx_ids: &[RxId],
    ) -> Result<Vec<Case>>;

    /// Cases that are due to be fetched ([`Case::fetch_due`]), those with the earliest times first,
    /// at most `limit`. A time that [has passed](self#time) is due too.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn due(&self, account: &AccountId, now: SystemTime, limit: usize) -> Result<Vec<Case>>;

    /// Keeps cases, logs their arrivals and sets the account's coverage: everything, or nothing.
    ///
    /// `true` if so: then it is durable, and the deliveries can be claimed. `false` if a case
    /// has another version in the store than it has here (none in the store is version 0): then
    /// nothing has changed. A case that is kept gets the next version. No case is in a commit
    /// twice.
    ///
    /// If one of the saves [changes what is recorded](Save::changes_record), the account's revision
    /// is raised by one, and the cases of these saves get it ([`Case::revision`]); the others keep
    /// the revision that they have.
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
    /// Open deliveries that are not hidden are claimed in the order of the log. One that nobody has
    /// claimed is not hidden, whatever the clock was when it was committed; one that was claimed,
    /// released or extended is hidden until the [time](self#time) that this set. Of each case one can be
    /// claimed at a time: the first open one, passing over those that failed and are hidden, so that one
    /// whose files are gone does not hold back the later ones for ever. Each claim of a delivery counts as an attempt. `token`
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
    ) -> Result<Vec<ClaimedDelivery>>;

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

    /// Opens the last delivery of an order again, under its own name, whether or not it is open: nobody
    /// holds it then, it is not hidden, it has no attempts and no failure, and is marked as
    /// [repeated](ClaimedDelivery::repeated). Nothing is logged. `false` if the order has none.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is open again or as before.
    async fn reopen(&self, account: &AccountId, order: &OrderId, now: SystemTime) -> Result<bool>;

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
    ) -> Result<Vec<LoggedArrival>>;

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
    ) -> Result<Vec<StoredCase>>;

    /// How much there is.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts>;

    /// Forgets the data of an order, patient data among it, and what its failed deliveries were given
    /// as reasons. Kept are ids, statuses and times, so that a case that comes again is not taken for a
    /// new one. `false` if nothing was forgotten: the case is not known or has no data any more, or a
    /// listing should have it, or it has open deliveries.
    ///
    /// # Errors
    ///
    /// The store cannot be written. The data is forgotten or not.
    async fn forget(&self, account: &AccountId, order: &OrderId) -> Result<bool>;

    /// The same for the cases whose last arrival was before `time` or is of unknown time, at most
    /// `limit` of them; says how many were forgotten. Those of which [`CaseStore::forget`] forgets
    /// nothing are passed over.
    ///
    /// The inbox calls it again until it forgets less than the limit, so that others are not kept
    /// waiting.
    ///
    /// # Errors
    ///
    /// The store cannot be written. The data of each case is forgotten or not.
    async fn forget_before(
        &self,
        account: &AccountId,
        time: SystemTime,
        limit: usize,
    ) -> Result<u64>;
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
    // Written out, also where the trait has a default: without it the clock of the store inside
    // would not count.
    async fn now(&self, local: SystemTime) -> Result<SystemTime> {
        (**self).now(local).await
    }

    async fn poll_right(
        &self,
        account: &AccountId,
        process: &str,
        lease: Duration,
        now: SystemTime,
    ) -> Result<Option<Poller>> {
        (**self).poll_right(account, process, lease, now).await
    }

    async fn release_poll_right(&self, account: &AccountId, process: &str) -> Result<()> {
        (**self).release_poll_right(account, process).await
    }

    async fn account(&self, account: &AccountId, now: SystemTime) -> Result<AccountState> {
        (**self).account(account, now).await
    }

    async fn expected(&self, account: &AccountId) -> Result<Vec<Case>> {
        (**self).expected(account).await
    }

    async fn find(&self, account: &AccountId, order: &OrderId) -> Result<Option<StoredCase>> {
        (**self).find(account, order).await
    }

    async fn find_all(
        &self,
        account: &AccountId,
        orders: &[OrderId],
        rx_ids: &[RxId],
    ) -> Result<Vec<Case>> {
        (**self).find_all(account, orders, rx_ids).await
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
    ) -> Result<Vec<ClaimedDelivery>> {
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

    async fn reopen(&self, account: &AccountId, order: &OrderId, now: SystemTime) -> Result<bool> {
        (**self).reopen(account, order, now).await
    }

    async fn arrivals(
        &self,
        account: &AccountId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LoggedArrival>> {
        (**self).arrivals(account, after, limit).await
    }

    async fn cases(
        &self,
        account: &AccountId,
        after: Option<&OrderId>,
        limit: usize,
    ) -> Result<Vec<StoredCase>> {
        (**self).cases(account, after, limit).await
    }

    async fn counts(&self, account: &AccountId, now: SystemTime) -> Result<Counts> {
        (**self).counts(account, now).await
    }

    async fn forget(&self, account: &AccountId, order: &OrderId) -> Result<bool> {
        (**self).forget(account, order).await
    }

    async fn forget_before(
        &self,
        account: &AccountId,
        time: SystemTime,
        limit: usize,
    ) -> Result<u64> {
        (**self).forget_before(account, time, limit).await
    }
}
