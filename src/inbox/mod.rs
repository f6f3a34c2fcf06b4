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
//! use lab_connector::inbox::MemoryStore;
//!
//! let inbox = lab.inbox(MemoryStore::new());
//! inbox
//!     .for_each(|delivery| async move {
//!         let files = delivery.download_all("cases").await?;
//!         println!("{}: {}", delivery.order_id(), delivery.reading().action());
//!         // Hand `files` to the lab's software under the delivery's name.
//!         # drop(files);
//!         Ok(())
//!     })
//!     .await
//! # }
//! ```
//!
//! # Delivered once
//!
//! The name of a delivery is the account, the order id and the ordinal, and it stays. A process
//! that dies between doing the work and acknowledging it gets the delivery again: nobody can
//! rule that out. Let the work bear the name, so that doing it again changes nothing.
//!
//! Deliveries of one order come one after the other. One that [failed](Delivery::fail) holds up
//! no others while it waits for its next try.
//!
//! # What is believed
//!
//! The service tells no changes: listings lag, replicas disagree, answers overtake each other, clocks
//! are wrong. Three principles decide what an answer means. Nothing is lost: what is shown long enough
//! to be seen is delivered, in doubt too, and is marked then ([`Delivery::is_doubtful`]). Nothing is
//! repeated without end: a status that the case has had before, and a mere change of files, count when
//! a later answer agrees, and each repetition needs twice as many. And no clock decides what is true:
//! answers are put in order by the account's revision in the store.
//!
//! An empty listing where orders were listed is believed when a second one agrees. Orders that drop out,
//! contradict themselves or are with Align or the doctor are fetched by their Rx ids; what fails is
//! tried later each time, so that it stands in nobody's way. After some 60 days without anything new a
//! case is [given up](Inbox::given_up). All of this is our model: of the service Align documents which
//! statuses are listed and notified, and little else.
//!
//! # Who polls
//!
//! Somebody has to: [`Inbox::for_each`], [`Inbox::deliveries`] and [`Inbox::arrivals`] poll, the latter
//! two while they are waited for. Where others [claim](Inbox::claim), spawn [`Inbox::run_until`]. [`Inbox::poll`] is a single poll,
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
//! [`Inbox::stats`] has counters, ages, states and problems; [`Inbox::on_round`] is called with the
//! report of each poll, and with the reason where none came about. With the feature `tracing` there are events, target `lab_connector`: polls
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
mod delivery_files;
mod digest;
mod due;
mod fetch;
mod files;
mod for_each;
mod history;
mod logged;
mod plan;
mod poll;
mod problem;
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
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use futures_util::stream;
use tokio::sync::watch;

use crate::client::Lab;
use crate::error::{Error, Kind, Result};
use crate::model::{AccountId, Notification, OrderId, RxId};
use plan::Evidence;
use plan::queue::Hints;
use poll::KnownCoverage;
use record::{CaseObservation, Moment, record_one};
use run::{Patience, Runner, Running};
use stats::Counters;
use store::{Outcome, Settlement};

pub use delivery::Delivery;
pub use delivery_files::{DeliveryFile, DeliveryFiles};
pub use for_each::{ForEach, Handled};
pub use history::CaseHistory;
pub use logged::LoggedArrival;
pub use plan::Policy;
pub use problem::{Problem, ProblemKind};
pub use report::PollReport;
pub use stats::{PollState, PolledBy, Stats};
pub use store::{CaseStore, MemoryStore};

/// The cases of a lab: what the service showed of them, and what is to be done.
///
/// Clones share everything but later changes of the settings.
///
/// ```no_run
/// use lab_connector::inbox::MemoryStore;
/// use std::time::Duration;
///
/// # async fn example(lab: lab_connector::Lab) -> lab_connector::Result<()> {
/// let inbox = lab
///     .inbox(MemoryStore::new())
///     .interval(Duration::from_secs(120))
///     .concurrency(2);
/// inbox
///     .for_each(|delivery| async move {
///         delivery.download_all("cases").await?;
///         Ok(())
///     })
///     .await
/// # }
/// ```
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
    failure_delays: (Duration, Duration),
    max_fetches_per_poll: usize,
}

struct Shared {
    store: Arc<dyn CaseStore>,
    coverage: Mutex<KnownCoverage>,
    /// When this inbox was first used, by the store's clock and in elapsed time.
    began: OnceLock<(SystemTime, Duration)>,
    runner: tokio::sync::Mutex<Runner>,
    /// How many runs and streams there are.
    running: AtomicUsize,
    hints: Mutex<Hints>,
    hinted: watch::Sender<()>,
    news: watch::Sender<()>,
    counters: Counters,
    observer: Mutex<Option<Observer>>,
}

/// No setting is longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

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
                failure_delays: (Duration::from_secs(60), Duration::from_secs(60 * 60)),
                max_fetches_per_poll: 200,
            }),
            shared: Arc::new(Shared {
                store: Arc::new(store),
                coverage: Mutex::default(),
                began: OnceLock::new(),
                runner: tokio::sync::Mutex::default(),
                running: AtomicUsize::new(0),
                hints: Mutex::default(),
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
        let settings = self.settings_mut();
        settings.policy = policy;
        settings.policy.poll_interval = settings.interval;
        self
    }

    /// The time between two polls; up to a tenth is added by chance. Default: 5 minutes, a
    /// convention. At least a second.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        let settings = self.settings_mut();
        settings.interval = interval.clamp(Duration::from_secs(1), LONGEST);
        settings.policy.poll_interval = settings.interval;
        self
    }

    /// Within which time from the start the first poll of [`Inbox::run`] and the streams comes, by
    /// chance. Default: at once. Software that starts with many labs gives the interval here, so
    /// that their polls are spread over it and stay so; deliveries that are in the store
    /// already are delivered meanwhile, and notified orders are fetched.
    #[must_use]
    pub fn initial_jitter(mut self, time: Duration) -> Self {
        self.settings_mut().initial_jitter = time.min(LONGEST);
        self
    }

    /// For how long a claimed delivery is held: after that it comes again.
    /// Default: 15 minutes. At least a second.
    #[must_use]
    pub fn claim_lease(mut self, claim_lease: Duration) -> Self {
        self.settings_mut().claim_lease = claim_lease.clamp(Duration::from_secs(1), LONGEST);
        self
    }

    /// How long a delivery that failed waits for its next try: the first time, then twice as long each
    /// time, up to the longest. Default: a minute, and an hour.
    #[must_use]
    pub fn failure_delays(mut self, first: Duration, longest: Duration) -> Self {
        let first = first.min(LONGEST);
        self.settings_mut().failure_delays = (first, longest.clamp(first, LONGEST));
        self
    }

    /// How many orders a poll fetches one by one; others wait for the next. Default: 200. At
    /// least 1.
    #[must_use]
    pub fn max_fetches_per_poll(mut self, orders: usize) -> Self {
        self.settings_mut().max_fetches_per_poll = orders.max(1);
        self
    }

    /// Is called with the result of each round: a poll that was made, or the reason why one that was
    /// due did not come about. To print or count them. This inbox and all its clones have one
    /// observer. It is called between rounds: what takes long delays them.
    #[must_use]
    pub fn on_round(self, observer: impl Fn(&Result<PollReport>) + Send + Sync + 'static) -> Self {
        *self.lock_observer() = Some(Arc::new(observer));
        self
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

/// Looking at the service.
impl Inbox {
    /// One poll: lists the orders, fetches those that are due, the longest due first, and keeps what is
    /// new.
    ///
    /// An order that cannot be fetched or read does not stop the others: see
    /// [`PollReport::problems`]. It does not ask who holds the account's lease.
    ///
    /// # Errors
    ///
    /// The orders cannot be listed, of which no conclusion is drawn; what is due may have been fetched
    /// all the same. Or [`Error::is_store`].
    ///
    /// # Cancel safety
    ///
    /// Safe: what was found new is durable, or found again.
    pub async fn poll(&self) -> Result<PollReport> {
        let result = poll::poll(self).await;
        match &result {
            Ok(report) => self.counters().polled(report, self.elapsed()),
            Err(error) => self.counters().failed(error),
        }
        trace::polled(&result);
        self.tell(&result);
        result
    }

    /// Takes in a notification: the order that it names is fetched soon, by whatever runs this
    /// inbox, or with the next [`Inbox::poll`]. It does not wait and cannot fail.
    ///
    /// Nothing of the notification is believed. One that names another account is taken all the same,
    /// since which number stands there is not documented, and counts as a
    /// [problem](ProblemKind::OtherAccount). 20 a minute are taken as they are, each order at most twice;
    /// for those beyond the orders are listed, once a minute at most, which shows whatever is notified.
    pub fn notify(&self, notification: &Notification) {
        let named = notification.account_id().map(AccountId::as_str);
        let named = named.and_then(plan::identity::present);
        if named.is_some_and(|named| named != self.account().as_str()) {
            self.counters().problem(ProblemKind::OtherAccount);
        }
        notification.rx_ids().for_each(|rx_id| self.hint(rx_id));
    }

    /// Tells the observer of a round.
    fn tell(&self, result: &Result<PollReport>) {
        let observer = self.lock_observer().clone();
        if let Some(observer) = observer {
            observer(result);
        }
    }

    fn hint(&self, rx_id: &RxId) {
        self.counters().hinted();
        self.add_hint(rx_id.as_str());
        self.shared.hinted.send_replace(());
    }

    /// Leaves out what no store could keep as an Rx id.
    fn add_hint(&self, rx_id: &str) {
        if store::fits(rx_id) {
            self.lock_hints().add(rx_id, self.elapsed());
        }
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
        let (settlements, tried): (Vec<_>, Vec<_>) = deliveries
            .into_iter()
            .map(|delivery| {
                let done = delivery.settlement(Outcome::Acknowledged);
                (done, delivery.begin_acknowledging())
            })
            .unzip();
        let settled = self.settle(settlements).await?;
        // One that was acknowledged before, and whose answer was lost, is not open any more.
        if settled
            .iter()
            .zip(tried)
            .all(|(held, tried)| *held || tried)
        {
            return Ok(());
        }
        Err(Error::new(Kind::LeaseLost))
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
        let elapsed = self.elapsed();
        Ok(self.counters().stats(counts, account.poller, now, elapsed))
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

    fn lock_hints(&self) -> MutexGuard<'_, Hints> {
        let hints = self.shared.hints.lock();
        hints.unwrap_or_else(PoisonError::into_inner)
    }

    fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    fn plan_policy(&self) -> &Policy {
        &self.settings.policy
    }

    /// The time of this process. Claims and leases go by it, so that processes agree.
    fn local_now(&self) -> SystemTime {
        self.lab.clock().now()
    }

    fn elapsed(&self) -> Duration {
        self.lab.clock().elapsed()
    }

    /// The time that fetches wait by: the store's, or later, where its clock was set back or stands
    /// still while this process lives.
    async fn now(&self) -> Result<SystemTime> {
        let now = self.store().now(self.local_now()).await?;
        let elapsed = self.elapsed();
        let (began, at) = self.shared.began.get_or_init(|| (now, elapsed));
        let lived = began.checked_add(elapsed.saturating_sub(*at));
        Ok(lived.map_or(now, |lived| lived.max(now)))
    }

    fn lock_coverage(&self) -> MutexGuard<'_, KnownCoverage> {
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

    /// Records something about one order.
    async fn observe(&self, moment: &Moment, observation: CaseObservation<'_>) -> Result<()> {
        let mut report = PollReport::default();
        record_one(self, moment, observation, &mut report).await?;
        self.counters().add(&report);
        Ok(())
    }

    /// Records an action of our own.
    async fn did(&self, order_id: &OrderId, action: Evidence<'_>) -> Result<()> {
        let moment = self.moment().await?;
        let observation = CaseObservation::new(order_id.clone(), action);
        self.observe(&moment, observation).await
    }

    /// Whether each was held.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<bool>> {
        let store = self.store();
        let settled = store.settle(self.account(), &settlements, self.local_now());
        let mut settled = settled.await?;
        settled.resize(settlements.len(), false);
        // A later delivery of the same order can be claimed now, or this one again.
        self.announce();
        for (settlement, held) in settlements.iter().zip(&settled) {
            trace::settled(settlement, *held);
        }
        Ok(settled)
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
