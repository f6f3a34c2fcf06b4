//! From polling and notifications to deliveries: no case lost, none done twice.
//!
//! *Problem.* *Get Orders* is a queue with no second chance: a downloaded order drops out of it,
//! the same order comes back after a rescan, after modeling, after interpretation 2, and what
//! happens to it in between is never listed. Software that keeps one row per order loses work;
//! software that downloads before it has saved loses cases.
//!
//! *Default.* An [`Inbox`] polls the service every five minutes and keeps what it saw in a
//! [`CaseStore`]: only then it gives out a [`Delivery`], the unit of the lab's work, and it does
//! so again, under the same name, until you [acknowledge](Delivery::acknowledge) it. Orders that
//! drop out are fetched by their Rx ids, and those with Align or the doctor are followed to their
//! end. What an answer means is decided by a pure function, whose limits are in [`Policy`].
//!
//! Three words: an *arrival* is a change of an order into a status, and each is logged, see
//! [`LoggedArrival`]. Arrivals in *Ready for Download* and *Lab Review* are *deliveries*, because the
//! lab has something to do. A *poll* lists the orders and fetches some, see [`PollReport`].
//!
//! ```no_run
//! # async fn example(lab: lab_connector::Lab) -> lab_connector::Result<()> {
//! use futures_util::TryStreamExt;
//! use lab_connector::inbox::MemoryStore;
//!
//! let inbox = lab.inbox(MemoryStore::new());
//! let mut deliveries = std::pin::pin!(inbox.deliveries());
//! while let Some(delivery) = deliveries.try_next().await? {
//!     let files = delivery.download_all("cases").await?;
//!     println!("{}: {}", delivery.order_id(), delivery.reading().action());
//!     // Hand the files to the lab's software under the delivery's name, and then:
//!     delivery.acknowledge().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Delivered once
//!
//! The name of a delivery is the account, the order id and the ordinal, and it stays. A process
//! that dies between doing the work and acknowledging it gets the delivery again: nobody can
//! rule that out. Let the work bear the name, so that doing it again changes nothing.
//!
//! Deliveries of one order come one after the other. One that [fails](Delivery::fail) holds up
//! the later ones of its order, and no others.
//!
//! # Who polls
//!
//! Somebody has to: [`Inbox::deliveries`] and [`Inbox::arrivals`] poll while they are waited for, so
//! a loop over one of them is enough. Where the work takes long, or where others
//! [claim](Inbox::claim), spawn [`Inbox::run_until`] beside it. [`Inbox::poll`] is a single poll,
//! for software with a timer of its own.
//!
//! # Several processes
//!
//! They share a [`CaseStore`] that is made for it. One of them polls the account, and renews its
//! right to do so every 15 seconds: if it is killed, another one polls within a minute, and at once if
//! it ends. Each delivery has one holder at a time, and one that held it for too long gets an error.
//!
//! # Many labs
//!
//! An inbox for each, in a task of its own; they may share a store, in which each account is apart.
//! [Spread](Inbox::initial_jitter) their polls, and bound what they take together:
//! [`ClientBuilder::total_concurrency`](crate::client::ClientBuilder::total_concurrency). See the
//! example `many_labs`.
//!
//! # Notifications
//!
//! [`Inbox::notify`] takes in what a web server of yours received. A notification is a hint:
//! nothing of it is believed, so a forged, duplicate, late or lost one changes nothing. Floods
//! are merged. Polling goes on all the same, as the safety net. The example
//! `receive_notifications` is a whole web server.
//!
//! # Seeing what it does
//!
//! [`Inbox::stats`] has counters, ages and the last error; [`Inbox::on_poll`] is called with the
//! report of each poll. With the feature `tracing` there are events, target `lab_connector`: polls
//! and deliveries at DEBUG, who polls at INFO, what failed, deviates or cannot be read at WARN. They
//! hold no ids, which lead to patients: a delivery is named by [`Delivery::sequence`], and a lab by
//! a span of yours around its future.
//!
//! # What is kept of patients
//!
//! The store keeps the order as the service sent it, patient data and signed URLs included.
//! [`Inbox::forget`] removes them when they are no longer needed; ids, statuses and times
//! stay, so that a case that comes again is known. Nothing of an order's data is in a log, an
//! error or a `Debug` print.
//!
//! *When to change it.* Intervals and limits are setters of [`Inbox`], the limits of the plan
//! are in [`Policy`]. All of them are conventions of ours.

mod delivery;
mod digest;
mod due;
mod fetch;
mod files;
mod hints;
mod history;
mod logged;
mod plan;
mod poll;
mod process;
mod record;
mod report;
mod run;
mod stats;
pub mod store;
mod trace;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use futures_util::stream;
use tokio::sync::watch;

use crate::client::Lab;
use crate::error::{Error, Kind, Result};
use crate::model::{AccountId, Notification, OrderId, RxId};
use hints::Hints;
use plan::ListingCoverage;
use record::{CaseObservation, What, record_one};
use run::{Patience, Runner, Running};
use stats::Counters;
use store::{Outcome, Settlement};

pub use delivery::Delivery;
pub use history::CaseHistory;
pub use logged::LoggedArrival;
pub use plan::Policy;
pub use report::{PollReport, Problem};
pub use stats::{PolledBy, Stats};
pub use store::{CaseStore, MemoryStore};

/// The cases of a lab: what the service showed of them, and what is to be done.
///
/// Clones share everything but later changes of the settings.
#[derive(Clone)]
pub struct Inbox {
    lab: Lab,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

#[derive(Clone, Debug)]
struct Settings {
    policy: Policy,
    interval: Duration,
    initial_jitter: Duration,
    claim_lease: Duration,
    max_fetches_per_poll: usize,
}

struct Shared {
    store: Arc<dyn CaseStore>,
    /// The coverage as this process knows it: not every good listing is written.
    coverage: Mutex<ListingCoverage>,
    runner: tokio::sync::Mutex<Runner>,
    /// How many runs and streams there are.
    running: AtomicUsize,
    hints: Hints,
    hinted: watch::Sender<()>,
    news: watch::Sender<()>,
    counters: Counters,
    observer: Mutex<Option<Observer>>,
}

type Observer = Arc<dyn Fn(&Result<PollReport>) + Send + Sync>;

impl Lab {
    /// An inbox for the lab's orders, which keeps them in `store`.
    #[must_use]
    pub fn inbox(&self, store: impl CaseStore + 'static) -> Inbox {
        Inbox {
            lab: self.clone(),
            settings: Arc::new(Settings {
                policy: Policy::default(),
                interval: Duration::from_secs(5 * 60),
                initial_jitter: Duration::ZERO,
                claim_lease: Duration::from_secs(15 * 60),
                max_fetches_per_poll: 200,
            }),
            shared: Arc::new(Shared {
                store: Arc::new(store),
                coverage: Mutex::default(),
                runner: tokio::sync::Mutex::default(),
                running: AtomicUsize::new(0),
                hints: Hints::default(),
                hinted: watch::Sender::new(()),
                news: watch::Sender::new(()),
                counters: Counters::default(),
                observer: Mutex::default(),
            }),
        }
    }
}

/// Settings.
impl Inbox {
    /// Other limits of the plan than those of [`Policy::default`].
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.settings_mut().policy = policy;
        self
    }

    /// The time between two polls; up to a tenth is added by chance. Default: 5 minutes, a
    /// convention. At least a second.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings_mut().interval = interval.max(Duration::from_secs(1));
        self
    }

    /// Within which time from the start the first poll of [`Inbox::run`] and the streams comes, by
    /// chance. Default: at once. Software that starts with many labs gives the interval here, so
    /// that their polls are spread over it and stay so; deliveries that are in the store
    /// already are delivered meanwhile, and notified orders are fetched.
    #[must_use]
    pub fn initial_jitter(mut self, time: Duration) -> Self {
        self.settings_mut().initial_jitter = time;
        self
    }

    /// For how long a claimed delivery is held: after that it comes again.
    /// Default: 15 minutes. At least a second.
    #[must_use]
    pub fn claim_lease(mut self, claim_lease: Duration) -> Self {
        self.settings_mut().claim_lease = claim_lease.max(Duration::from_secs(1));
        self
    }

    /// How many orders a poll fetches one by one; others wait for the next. Default: 200. At
    /// least 1.
    #[must_use]
    pub fn max_fetches_per_poll(mut self, orders: usize) -> Self {
        self.settings_mut().max_fetches_per_poll = orders.max(1);
        self
    }

    /// Is called with the result of each poll: to print or count them. This inbox and all its
    /// clones have one observer. It is called between polls: what takes long delays them.
    #[must_use]
    pub fn on_poll(self, observer: impl Fn(&Result<PollReport>) + Send + Sync + 'static) -> Self {
        *self.lock_observer() = Some(Arc::new(observer));
        self
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

/// Looking at the service.
impl Inbox {
    /// One poll: lists the orders, fetches those that dropped out, those that were notified
    /// and those that are due to be fetched, and keeps what is new. An order that the
    /// listing shows in several states is fetched too, and counts as what it is then.
    ///
    /// An order that cannot be fetched or read does not stop the others: see
    /// [`PollReport::problems`]. It does not ask who holds the account's lease.
    ///
    /// # Errors
    ///
    /// The orders cannot be listed, of which nothing is concluded; or [`Error::is_store`].
    ///
    /// # Cancel safety
    ///
    /// Safe: what was found new is durable, or found again.
    pub async fn poll(&self) -> Result<PollReport> {
        let result = poll::poll(self).await;
        match &result {
            Ok(report) => self.counters().polled(report, self.local_now()),
            Err(error) => self.counters().failed(error),
        }
        trace::polled(&result);
        let observer = self.lock_observer().clone();
        if let Some(observer) = observer {
            observer(&result);
        }
        result
    }

    /// Takes in a notification: the order that it names is fetched soon, by whatever runs this
    /// inbox, or with the next [`Inbox::poll`]. It does not wait and cannot fail.
    ///
    /// Nothing of the notification is believed. An order is fetched at most twice a minute for
    /// it; of Rx ids that are not known 20 a minute are fetched, and for those beyond the orders
    /// are listed, once a minute at most.
    pub fn notify(&self, notification: &Notification) {
        notification.rx_ids().for_each(|rx_id| self.hint(rx_id));
    }

    fn hint(&self, rx_id: &RxId) {
        self.counters().hinted();
        self.hints().add(rx_id, self.local_now());
        self.shared.hinted.send_replace(());
    }
}

/// Working on what is new.
impl Inbox {
    /// Takes deliveries to work on, at most `limit`, without waiting. Those of different orders
    /// come in the order of their arrival; of one order one comes after the other.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have taken deliveries; they come again after the
    /// [claim lease](Inbox::claim_lease).
    pub async fn claim(&self, limit: usize) -> Result<Vec<Delivery>> {
        let token: Arc<str> = token().into();
        let (store, account) = (self.store(), self.account());
        let claim_lease = self.settings.claim_lease;
        let claimed = store.claim(account, &token, limit, claim_lease, self.local_now());
        let claimed = claimed.await?;
        claimed.iter().for_each(trace::claimed);
        let claimed = claimed.into_iter();
        let deliveries = claimed.map(|claimed| Delivery::new(self, claimed, &token));
        deliveries.collect()
    }

    /// Deliveries to work on, one after the other, without end. While it waits for the next, it
    /// does what [`Inbox::run`] does, unless that runs.
    ///
    /// Each delivery is taken when the stream is asked for it. Work on several at a time with
    /// several streams, or with `buffer_unordered`.
    ///
    /// # Errors
    ///
    /// As [`Inbox::run`]; the stream goes on when it is asked again.
    ///
    /// # Cancel safety
    ///
    /// Safe between two items. A stream that is dropped while it waits may have taken one
    /// delivery, which comes again after the [claim lease](Inbox::claim_lease).
    pub fn deliveries(&self) -> impl Stream<Item = Result<Delivery>> + Send + Unpin + '_ {
        let begin = (self.shared.news.subscribe(), Running::new(self));
        Box::pin(stream::unfold(
            begin,
            move |(mut news, running)| async move {
                let next = self.next_delivery(&mut news).await;
                Some((next, (news, running)))
            },
        ))
    }

    async fn next_delivery(&self, news: &mut watch::Receiver<()>) -> Result<Delivery> {
        let mut patience = Patience::default();
        loop {
            match self.claim_or_wait(news).await {
                Ok(Some(delivery)) => return Ok(delivery),
                Ok(None) => patience.succeeded(),
                Err(error) => patience.wait(self, error).await?,
            }
        }
    }

    async fn claim_or_wait(&self, news: &mut watch::Receiver<()>) -> Result<Option<Delivery>> {
        news.borrow_and_update();
        // Also while there is always something to do.
        self.turn().await?;
        let claimed = self.claim(1).await?.pop();
        if claimed.is_none() {
            self.wait(news).await?;
        }
        Ok(claimed)
    }

    /// Acknowledges several deliveries of this inbox at once; see [`Delivery::acknowledge`].
    ///
    /// # Errors
    ///
    /// [`Error::is_lease_lost`] if one of them was held for too long and somebody else got it; the
    /// others are acknowledged. [`Error::is_store`]: they may come again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, each is acknowledged or comes again.
    pub async fn acknowledge_all(
        &self,
        deliveries: impl IntoIterator<Item = &Delivery>,
    ) -> Result<()> {
        let deliveries = deliveries.into_iter();
        let done = deliveries.map(|delivery| delivery.settlement(Outcome::Acknowledged));
        self.settle(done.collect()).await
    }

    /// Every arrival behind the number `after` in the account's log, without end: to show them.
    /// Begin with 0, with the [`LoggedArrival::sequence`] that you saw last, or for new ones only with the
    /// number of [`arrivals`](store::Counts::arrivals) in [`Stats::store`]. While it waits, it does
    /// what [`Inbox::run`] does, unless that runs.
    ///
    /// # Errors
    ///
    /// As [`Inbox::run`]; the stream goes on when it is asked again.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub fn arrivals(
        &self,
        after: u64,
    ) -> impl Stream<Item = Result<LoggedArrival>> + Send + Unpin + '_ {
        let begin = (self.shared.news.subscribe(), after, VecDeque::new());
        let running = Running::new(self);
        Box::pin(stream::unfold(
            (begin, running),
            move |((mut news, mut after, mut page), running)| async move {
                let next = self.next_arrival(&mut news, after, &mut page).await;
                if let Ok(arrival) = &next {
                    after = arrival.sequence();
                }
                Some((next, ((news, after, page), running)))
            },
        ))
    }

    async fn next_arrival(
        &self,
        news: &mut watch::Receiver<()>,
        after: u64,
        page: &mut VecDeque<LoggedArrival>,
    ) -> Result<LoggedArrival> {
        let mut patience = Patience::default();
        loop {
            if let Some(arrival) = page.pop_front() {
                return Ok(arrival);
            }
            match self.read_or_wait(news, after, page).await {
                Ok(()) => patience.succeeded(),
                Err(error) => patience.wait(self, error).await?,
            }
        }
    }

    async fn read_or_wait(
        &self,
        news: &mut watch::Receiver<()>,
        after: u64,
        page: &mut VecDeque<LoggedArrival>,
    ) -> Result<()> {
        news.borrow_and_update();
        self.turn().await?;
        page.extend(self.arrivals_after(after, 100).await?);
        if page.is_empty() {
            self.wait(news).await?;
        }
        Ok(())
    }

    /// The arrivals behind the number `after` in the account's log that are there now, at most
    /// `limit`.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn arrivals_after(&self, after: u64, limit: usize) -> Result<Vec<LoggedArrival>> {
        let logged = self.store().arrivals(self.account(), after, limit).await?;
        logged.into_iter().map(LoggedArrival::new).collect()
    }

    /// How the inbox is doing.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn stats(&self) -> Result<Stats> {
        let now = self.now().await?;
        let counts = self.store().counts(self.account(), now).await?;
        let account = self.store().account(self.account(), now).await?;
        Ok(self.counters().stats(counts, account.poller, now))
    }
}

impl Inbox {
    /// The lab whose inbox it is.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    fn account(&self) -> &AccountId {
        self.lab.id()
    }

    fn store(&self) -> &dyn CaseStore {
        &*self.shared.store
    }

    fn hints(&self) -> &Hints {
        &self.shared.hints
    }

    fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    fn plan_policy(&self) -> &Policy {
        &self.settings.policy
    }

    /// The time of this process.
    fn local_now(&self) -> SystemTime {
        self.lab.clock().now()
    }

    /// The time that counts.
    async fn now(&self) -> Result<SystemTime> {
        self.store().now(self.local_now()).await
    }

    async fn stored_coverage(&self) -> Result<ListingCoverage> {
        let account = self.store().account(self.account(), self.local_now());
        Ok(account.await?.coverage)
    }

    async fn coverage(&self) -> Result<ListingCoverage> {
        let stored = self.stored_coverage().await?;
        Ok(poll::later(self.known_coverage(), stored))
    }

    fn known_coverage(&self) -> ListingCoverage {
        *self.lock_coverage()
    }

    fn remember(&self, coverage: ListingCoverage) {
        let mut here = self.lock_coverage();
        *here = poll::later(coverage, *here);
    }

    fn lock_coverage(&self) -> MutexGuard<'_, ListingCoverage> {
        let coverage = self.shared.coverage.lock();
        coverage.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_observer(&self) -> MutexGuard<'_, Option<Observer>> {
        let observer = self.shared.observer.lock();
        observer.unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be something to claim.
    fn announce(&self) {
        self.shared.news.send_replace(());
    }

    /// Records what was seen of one order.
    async fn saw(&self, observation: CaseObservation, report: &mut PollReport) -> Result<()> {
        record_one(self, observation, report).await?;
        self.counters().fetched(report);
        Ok(())
    }

    /// Records an action of our own.
    async fn did(&self, order_id: &OrderId, what: What) -> Result<()> {
        let now = self.now().await?;
        let observation = CaseObservation {
            order_id: order_id.clone(),
            what,
            begun: now,
            completed: now,
        };
        self.saw(observation, &mut PollReport::default()).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<()> {
        let store = self.store();
        let settled = store.settle(self.account(), &settlements, self.local_now());
        let settled = settled.await?;
        // A later delivery of the same order can be claimed now, or this one again.
        self.announce();
        for (settlement, held) in settlements.iter().zip(&settled) {
            trace::settled(settlement, *held);
        }
        if settled.len() == settlements.len() && settled.iter().all(|held| *held) {
            return Ok(());
        }
        Err(Error::new(Kind::LeaseLost))
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("lab", &self.lab)
            .field("store", &self.shared.store)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A name that no other claim has.
fn token() -> String {
    format!("{:032x}", fastrand::u128(..))
}
