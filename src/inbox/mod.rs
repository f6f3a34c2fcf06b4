//! From polling and notifications to deliveries: no case lost, none done twice.
//!
//! *Problem.* *Get Orders* is a queue with no second chance: a downloaded order drops out of it,
//! the same order comes back after a rescan, after modeling, after interpretation 2, and what
//! happens to it in between is never listed. Software that keeps one row per order loses work;
//! software that downloads before it has saved loses cases.
//!
//! *Default.* An [`Inbox`] polls the service every five minutes and keeps what it saw in a
//! [`CaseStore`]: only then does it return a [`Delivery`], the unit of the lab's work, and it does
//! so again, under the same name, until you [acknowledge](Delivery::acknowledge) it. Orders that
//! drop out are fetched by their Rx ids, and those with Align or the doctor are followed to their
//! end. What an answer means is decided by a pure function, whose limits are in [`Policy`].
//!
//! Three words: an *arrival* is a change of an order into a status, and each is logged, see
//! [`LoggedArrival`]. Arrivals in *Ready for Download* and *Lab Review* are *deliveries*, because the
//! lab has something to do. A *poll* lists the orders and fetches some, see [`PollReport`].
//! The [glossary](../guide/glossary/index.html) has the other words.
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
//! The service reports no changes: listings lag, replicas disagree, answers overtake each other, clocks
//! are wrong. Three principles decide what an answer means. Nothing is lost: what is shown long enough
//! to be seen is delivered, in doubt too, and is marked then ([`Delivery::is_doubtful`]). Nothing is
//! repeated without end: a status that the case has had before, and a mere change of files, count when
//! a later answer agrees, and each repetition needs twice as many. And no clock decides what is true:
//! answers are put in order by the account's revision in the store.
//!
//! An empty listing where orders were listed is believed when a second one agrees. Orders that drop out,
//! contradict themselves or are with Align or the doctor are fetched by their Rx ids; what fails is
//! tried later each time, so that it holds up no other. After some 60 days without anything new a
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
mod plan;
mod poll;
mod problem;
mod process;
mod record;
mod report;
mod run;
mod settings;
mod stats;
pub mod store;
mod trace;
mod work;

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::client::Lab;
use crate::error::Result;
use crate::model::{AccountId, Notification, OrderId, RxId};
use plan::Evidence;
use plan::queue::Hints;
use poll::KnownCoverage;
use record::{CaseObservation, Moment, record_one};
use run::Runner;
use settings::Settings;
use stats::Counters;
use store::Settlement;

pub use delivery::Delivery;
pub use delivery_files::DeliveryFiles;
pub use for_each::HandlerResult;
pub use history::CaseHistory;
pub use plan::Policy;
pub use problem::{Problem, ProblemKind};
pub use report::PollReport;
pub use stats::{PollState, Stats};
pub use store::LoggedArrival;
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
    shared: Arc<InboxState>,
}

struct InboxState {
    store: Arc<dyn CaseStore>,
    // What this process knows of the listings. Locked for a copy in or out, and never across an
    // await: the guard is not `Send`.
    coverage: Mutex<KnownCoverage>,
    /// When this inbox was first used, by the store's clock and in elapsed time.
    began: OnceLock<(SystemTime, Duration)>,
    // Whoever holds it polls, for as long as a run lasts: so it is held across awaits, and is
    // tokio's. Within a process it also decides who polls; the others only ask the store.
    runner: tokio::sync::Mutex<Runner>,
    /// How many runs and streams there are.
    running: AtomicUsize,
    // Locked for a single call on a bounded map: `notify` adds to it and must not wait.
    hints: Mutex<Hints>,
    // Only that they changed counts. A watch shows a change to every receiver, also to one that was
    // busy when it came; a `Notify` wakes one task, or forgets those that do not wait yet.
    hinted: watch::Sender<()>,
    news: watch::Sender<()>,
    counters: Counters,
    // Locked to copy the `Arc` only, see `tell`.
    observer: Mutex<Option<Observer>>,
}

type Observer = Arc<dyn Fn(&Result<PollReport>) + Send + Sync>;

impl Lab {
    /// An inbox for the lab's orders, which keeps them in `store`.
    #[must_use]
    pub fn inbox(&self, store: impl CaseStore + 'static) -> Inbox {
        Inbox {
            lab: self.clone(),
            settings: Arc::new(Settings::default()),
            shared: Arc::new(InboxState {
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
    /// The orders cannot be listed: no conclusion is drawn from that, and what is due may have been
    /// fetched all the same. Or [`Error::is_store`](crate::Error::is_store).
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
        // The counters come first: an observer that reads them finds this poll in them.
        trace::polled(&result);
        self.tell(&result);
        result
    }

    /// Takes in a notification: the order that it names is fetched soon, by whatever runs this
    /// inbox, or with the next [`Inbox::poll`]. It does not wait and cannot fail.
    ///
    /// Nothing of the notification is believed. One that names another account is taken all the same,
    /// since Align does not document which number it carries, and counts as a
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
        // Called without the lock: an observer that sets another one by `on_round` would wait for
        // itself.
        let observer = self.lock_observer().clone();
        if let Some(observer) = observer {
            observer(result);
        }
    }

    fn hint(&self, rx_id: &RxId) {
        self.counters().hinted();
        self.add_hint(rx_id.as_str());
        // After the hint is in: a run that wakes up earlier finds nothing to take.
        self.shared.hinted.send_replace(());
    }

    /// Leaves out what no store could keep as an Rx id.
    fn add_hint(&self, rx_id: &str) {
        if store::fits(rx_id) {
            self.lock_hints().add(rx_id, self.elapsed());
        }
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
        // A panic elsewhere must not end the inbox. No hint is believed, so none does harm.
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

    /// The time that fetches wait by: the store's, or later, where its clock was set back or has
    /// stopped while this process lives.
    async fn now(&self) -> Result<SystemTime> {
        let now = self.store().now(self.local_now()).await?;
        let elapsed = self.elapsed();
        // The first answer counts for the life of the process: a clock that is set back later is
        // measured against it.
        let (began, at) = self.shared.began.get_or_init(|| (now, elapsed));
        let lived = began.checked_add(elapsed.saturating_sub(*at));
        Ok(lived.map_or(now, |lived| lived.max(now)))
    }

    fn lock_coverage(&self) -> MutexGuard<'_, KnownCoverage> {
        let coverage = self.shared.coverage.lock();
        // It is replaced as a whole, so a panic leaves no half of it.
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
        // A store may return fewer answers than it was asked for: what it does not confirm counts
        // as lost, and comes again.
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
