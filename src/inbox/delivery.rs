//! The unit of a lab's work, and what happens to it.
//!
//! *Problem.* A worker can die, sleep beyond its lease, or hear no answer at any point.
//!
//! *Approach.* What became of a delivery is said with the token of its claim, and the store decides
//! whether that still counts. Files are fetched only while the delivery is held: a worker that lost
//! it must not take an order off the list that another one works on.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use tokio::sync::watch;

use super::Inbox;
use super::delivery_files::DeliveryFiles;
use super::fetch;
use super::files;
use super::plan::Evidence;
use super::plan::identity::Subject;
use super::record::{CaseObservation, ObservedOrder};
use super::store::{ClaimedDelivery, Outcome, Settlement};
use crate::access::Access;
use crate::download::safe_name;
use crate::error::{Error, Kind, Result};
use crate::flow::{Arrival, History, Reading};
use crate::model::{Order, OrderId, RxId};
use crate::status::{OrderStatus, Symbol};

/// The longest reason for a failure that is kept, in characters.
// A message with its causes fits. A whole dump, with what is in it of patients, does not.
const LONGEST_REASON: usize = 500;

/// A unit of the lab's work: an order that arrived in *Ready for Download* or *Lab Review*.
///
/// The same order is delivered again after a rescan, after modeling and after interpretation 2:
/// the account, the [order's id](Delivery::order_id) and the [ordinal](Delivery::ordinal)
/// together name a delivery, and under that name it comes again until it is
/// [acknowledged](Delivery::acknowledge). Work on it should bear the name too: whoever writes the
/// same delivery twice then writes it once.
///
/// Whoever has it holds it for the [claim lease](Inbox::claim_lease): until then nobody else gets
/// it. Dropped, it comes again after that.
///
/// ```no_run
/// # use lab_connector::inbox::{Delivery, HandlerResult};
/// async fn handle(delivery: Delivery) -> HandlerResult {
///     if delivery.is_superseded() {
///         return Ok(()); // a newer scan is on its way, under the next name
///     }
///     let name = format!("{}-{}", delivery.order_id(), delivery.ordinal());
///     let files = delivery.download_all("cases").await?;
///     println!("{name}: {} files, {}", files.iter().len(), delivery.reading().action());
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Delivery {
    pub(super) inbox: Inbox,
    claimed: Arc<ClaimedDelivery>,
    order: Arc<Order>,
    history: Arc<History>,
    claim: Arc<Claim>,
}

/// The claim that a delivery is held with. Its clones share it: what one of them says of the delivery,
/// all have said.
struct Claim {
    /// Another one where the lease ended and the same process has claimed it again.
    token: watch::Sender<Arc<str>>,
    /// Whether somebody has tried to acknowledge it: the answer may have been lost.
    acknowledged: AtomicBool,
    /// Whether somebody has tried to release it.
    released: AtomicBool,
}

impl Delivery {
    /// A delivery to work on; or, where its order's data are gone, what is to be noted of it.
    pub(super) fn new(
        inbox: &Inbox,
        claimed: ClaimedDelivery,
        token: &Arc<str>,
    ) -> Result<Self, Settlement> {
        let stored = &claimed.stored;
        let Some(order) = stored.order.clone() else {
            let failure = "the store has no data of its order: they were deleted too early";
            return Err(Settlement {
                sequence: claimed.sequence,
                token: Arc::clone(token),
                outcome: failed(inbox, claimed.attempts, failure.to_owned()),
            });
        };
        let history = stored.case.history_until(claimed.index);
        Ok(Delivery {
            inbox: inbox.clone(),
            order,
            history: Arc::new(history),
            claimed: Arc::new(claimed),
            claim: Arc::new(Claim {
                token: watch::Sender::new(Arc::clone(token)),
                acknowledged: AtomicBool::default(),
                released: AtomicBool::default(),
            }),
        })
    }

    /// The order's number.
    #[must_use]
    pub fn order_id(&self) -> &OrderId {
        self.claimed.stored.case.order_id()
    }

    /// Which delivery of its order it is, from 1.
    #[must_use]
    pub fn ordinal(&self) -> u32 {
        self.claimed.ordinal
    }

    /// Its number in the account's log, as [`LoggedArrival::sequence`](super::LoggedArrival::sequence) has it.
    /// Logs name a delivery by it: it leads to no patient by itself.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.claimed.sequence
    }

    /// The order as it was seen last.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The status it arrived in.
    #[must_use]
    pub fn status(&self) -> &OrderStatus {
        match self.history.last() {
            Some(arrival) => arrival.status(),
            None => self.order.status(),
        }
    }

    /// The order's history up to this arrival.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What the history up to this arrival says.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.history.read()
    }

    /// The order's whole history, as it was known when the delivery was claimed. It is longer
    /// than [`Delivery::history`] where the case has gone on.
    #[must_use]
    pub fn full_history(&self) -> &History {
        self.claimed.stored.case.history()
    }

    /// What happened since the previous delivery of the order: the arrivals after it, this one
    /// last.
    #[must_use]
    pub fn arrivals_since_last_delivery(&self) -> &[Arrival] {
        let arrivals = self.history.arrivals();
        let before = arrivals.len().saturating_sub(1);
        let previous = arrivals.iter().take(before).rposition(Arrival::is_delivery);
        arrivals
            .get(previous.map_or(0, |index| index + 1)..)
            .unwrap_or_default()
    }

    /// When it became known.
    #[must_use]
    pub fn arrived_at(&self) -> SystemTime {
        self.claimed.arrived_at
    }

    /// How often it was claimed, this time included.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.claimed.attempts
    }

    /// Whether a newer scan of the order has arrived: a later delivery of it is there. The files that
    /// the service returns now are the newer ones, so there is nothing left to do under this name but to
    /// acknowledge it.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        let arrivals = self.full_history().arrivals().iter();
        let mut later = arrivals.skip(self.history.len());
        later.any(Arrival::is_delivery)
    }

    /// Whether the evidence leaves open if it arrived anew, see [`Arrival::is_doubtful`]: it may be
    /// what the lab has already.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.history.last().is_some_and(Arrival::is_doubtful)
    }

    /// Whether somebody asked for it again, with [`Inbox::redeliver`].
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.claimed.repeated
    }

    /// Why it failed last, in the words of [`Delivery::fail`].
    #[must_use]
    pub fn last_failure(&self) -> Option<&str> {
        self.claimed.failure.as_deref()
    }

    /// Says that the work is done: it never comes again, and the order's next delivery
    /// can be claimed. Where the answer was lost, say so once more.
    ///
    /// # Errors
    ///
    /// [`Error::is_lease_lost`] if it was held for too long and somebody else got it: what they
    /// do counts. [`Error::is_store`]: it may come again.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is acknowledged or comes again.
    pub async fn acknowledge(&self) -> Result<()> {
        self.inbox.acknowledge_all([self]).await
    }

    /// Notes that it is being acknowledged. Whether that was tried before.
    pub(super) fn begin_acknowledging(&self) -> bool {
        // It guards no other data: any ordering would do.
        self.claim.acknowledged.swap(true, Ordering::SeqCst)
    }

    /// Releases it, to come again at `time`, or at once if that has passed. The order's
    /// later deliveries wait, unless it has failed before.
    ///
    /// # Errors
    ///
    /// As [`Delivery::acknowledge`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is released or comes again after the claim lease.
    pub async fn defer(&self, time: SystemTime) -> Result<()> {
        let now = self.inbox.now().await?;
        let after = time.duration_since(now).unwrap_or_default();
        let failure = None;
        self.settle(Outcome::Released { after, failure }).await
    }

    /// Releases it because the work failed, to come again: after a minute the first
    /// time, then after twice as long each time, up to an hour. It is never given up; whoever
    /// reads [`Inbox::stats`] sees it.
    ///
    /// The reason is kept, up to 500 characters: put no patient data into it.
    ///
    /// # Errors
    ///
    /// As [`Delivery::acknowledge`].
    ///
    /// # Cancel safety
    ///
    /// As [`Delivery::defer`].
    pub async fn fail(&self, reason: &str) -> Result<()> {
        // By characters: a cut by bytes can fall within one.
        let failure = reason.chars().take(LONGEST_REASON).collect();
        let outcome = failed(&self.inbox, self.attempts(), failure);
        self.settle(outcome).await
    }

    /// Holds it for the [claim lease](Inbox::claim_lease) from now: for work that takes longer.
    /// [`Delivery::download_all`] does so by itself.
    ///
    /// # Errors
    ///
    /// As [`Delivery::acknowledge`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is held for longer or as before.
    pub async fn extend(&self) -> Result<()> {
        let claim_lease = self.inbox.settings.claim_lease;
        self.settle(Outcome::Extended(claim_lease)).await
    }

    /// The name of the directory that [`Delivery::download_all`] makes: the order's id, in a form that
    /// is a file name on every system, and the ordinal. No other delivery of the account has it. A
    /// convention of ours.
    #[must_use]
    pub fn directory_name(&self) -> PathBuf {
        let (order, ordinal) = (safe_name(self.order_id().as_str()), self.ordinal());
        format!("{order}-{ordinal}").into()
    }

    /// Downloads all files of the order, below `directory`, into one that has the order's id and the ordinal in
    /// its name. Directories that are missing are made, for the user of the process alone unless files are
    /// [shared](crate::client::ClientBuilder::shared_files). Thumbnails come first and the zip last: what
    /// marks an order *Downloaded* is not documented. Then it is recorded that the files were
    /// downloaded.
    ///
    /// Where the listing gave no files the order is fetched first; where a file is refused, or is not
    /// the one that was announced, to see whether there are others in its place by now. If the order
    /// has gone on and is shown without files, those that it was seen with last are fetched. The
    /// delivery is held while files arrive. It is not acknowledged: that is for when the software has
    /// taken them over.
    ///
    /// No files are given only where the service says of an order that is with the lab that it has
    /// none.
    ///
    /// # Errors
    ///
    /// [`Error::is_without_files`]: the service does not say now which files the order has, and
    /// has not said so before.
    ///
    /// Of the first file that failed, see [`Download::to_file`](crate::client::Download::to_file);
    /// the others were tried all the same. What came stays, and the next call goes on with it.
    /// [`Error::is_lease_lost`] as [`Delivery::acknowledge`]: nothing is fetched by a worker that was
    /// away for too long.
    ///
    /// # Cancel safety
    ///
    /// As [`Download::to_file`](crate::client::Download::to_file).
    pub async fn download_all(&self, directory: impl AsRef<Path>) -> Result<DeliveryFiles> {
        // A worker that was away for long must not fetch, and so take off the list, what somebody else
        // works on by now.
        self.extend().await?;
        let directory = directory.as_ref().join(self.directory_name());
        make_directory(directory.clone(), self.inbox.lab.access()).await?;
        let order = self.with_files().await?;
        let mut files = self.fetch(&order, &directory).await;
        if let Err(error) = &files
            && may_be_replaced(error)
            && let Some(other) = self.with_other_files(&order).await
        {
            files = self.fetch(&other, &directory).await;
        }
        let files = files?;
        // After the last file: a crash before this costs another check of files that are here, and
        // none of them.
        let downloaded = Evidence::Downloaded(self.ordinal());
        self.inbox.did(self.order_id(), downloaded).await?;
        Ok(files)
    }

    /// Sends the order back to the doctor for a rescan, and records that it is there. The delivery
    /// is not acknowledged by that.
    ///
    /// A handler may run again after that, as where the program ended before the acknowledgement. So nothing
    /// is sent where the order has been with the doctor since this delivery: what is with the lab by now
    /// may be the rescan. To return that one by hand, use
    /// [`Orders::return_to_doctor`](crate::client::Orders::return_to_doctor).
    ///
    /// # Errors
    ///
    /// As [`Orders::return_to_doctor`](crate::client::Orders::return_to_doctor). Where
    /// [`Error::was_sent`] is `None`, check the order in the portal or wait for the inbox, which
    /// fetches it. [`Error::is_store`]: it may have been returned, and the next fetch will show that.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the order may have been returned; the next fetch will show that.
    pub async fn return_to_doctor(&self, reason: &str) -> Result<()> {
        if self.was_with_doctor_since().await? {
            return Ok(());
        }
        let orders = self.inbox.lab.orders();
        let returned = orders
            .return_to_doctor(self.order_id())
            .reason(reason)
            .await;
        if let Err(error) = returned {
            // The service may have accepted it although the answer was lost: a fetch shows.
            if let Some(rx_id) = self.rx_id() {
                // Not `did`: nobody knows yet whether the order went back. Test
                // `a_return_of_which_nobody_knows_is_looked_at`.
                self.inbox.hint(rx_id);
            }
            return Err(error);
        }
        self.inbox.did(self.order_id(), Evidence::Returned).await
    }

    /// Asked of the store: since it was claimed more may have been recorded.
    async fn was_with_doctor_since(&self) -> Result<bool> {
        let found = self
            .inbox
            .store()
            .find(self.inbox.account(), self.order_id());
        let Some(found) = found.await? else {
            return Ok(false);
        };
        let arrivals = found.case.history().arrivals().iter();
        // Behind this delivery only: a return before it led to it. Test
        // `a_handler_that_runs_again_returns_nothing_a_second_time`.
        let mut later = arrivals.skip(self.history.arrivals().len());
        Ok(later.any(|arrival| arrival.status().symbol() == Some(Symbol::S)))
    }

    async fn fetch(&self, order: &Order, directory: &Path) -> Result<DeliveryFiles> {
        let orders = std::slice::from_ref(order);
        let fetching = Box::pin(self.inbox.lab.download_all(orders).to_directory(directory));
        let holding = Box::pin(self.hold());
        // A lost delivery ends the download: another worker fetches the same files by now.
        match select(fetching, holding).await {
            Either::Left((fetched, _)) => DeliveryFiles::of(fetched),
            Either::Right((lost, _)) => Err(lost),
        }
    }

    /// The order with its files. To go on without them would look as if there were none.
    async fn with_files(&self) -> Result<Arc<Order>> {
        if files::are_given(&self.order) {
            return Ok(Arc::clone(&self.order));
        }
        match self.fetch_order().await? {
            Some(order) if files::are_given(&order) => Ok(order),
            _ => Err(Error::new(Kind::WithoutFiles)),
        }
    }

    /// The order as it is now, if its files are others. An order that nobody lists any more would
    /// otherwise never be seen with them.
    async fn with_other_files(&self, known: &Order) -> Option<Arc<Order>> {
        // Where it cannot be fetched, the file's own error says more.
        let order = self.fetch_order().await.ok()??;
        let others =
            !order.assets().is_empty() && files::fingerprint(&order) != files::fingerprint(known);
        others.then_some(order)
    }

    fn rx_id(&self) -> Option<&RxId> {
        self.claimed.stored.case.rx_id()
    }

    /// The order as it is now. None if it cannot be asked for, or the answer is about another
    /// one: its files are another patient's.
    async fn fetch_order(&self) -> Result<Option<Arc<Order>>> {
        let Some(rx_id) = self.rx_id() else {
            return Ok(None);
        };
        let moment = self.inbox.moment().await?;
        let order = self.inbox.lab.orders().by_rx_unchecked(rx_id).await?;
        let case = self.order_id();
        if fetch::subject(Some(case), rx_id, &order) != Subject::Asked {
            return Ok(None);
        }
        let shown = ObservedOrder::new(order);
        let observation = CaseObservation::fetched(case.clone(), &shown);
        // Recorded as any fetch is: it may be the only answer that shows the order with these
        // files.
        self.inbox.observe(&moment, observation).await?;
        Ok(Some(Arc::new(shown.order)))
    }

    /// Holds the delivery until it is lost.
    pub(super) async fn hold(&self) -> Error {
        loop {
            let claim_lease = self.inbox.settings.claim_lease;
            // A third: one try may fail, and the next still comes before the lease ends.
            self.inbox.lab.clock().sleep(claim_lease / 3).await;
            match self.extend().await {
                // Only the store's word ends the hold. A clock would end it in a machine that
                // slept, where nobody else has claimed.
                Err(error) if error.is_lease_lost() => return error,
                // The next one may succeed in time.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Holds it also when it was lost: as soon as this process has claimed it again.
    pub(super) async fn hold_on(&self) -> Infallible {
        let mut token = self.claim.token.subscribe();
        loop {
            self.hold().await;
            // The sender lives as long as the delivery.
            drop(token.changed().await);
        }
    }

    /// Goes on under a later claim of the same delivery. Not where something has been said of it, or it
    /// was asked for again by hand: then the later claim is work of its own.
    pub(super) fn take_over(&self, later: &Delivery) -> bool {
        let Claim {
            token,
            acknowledged,
            released,
        } = &*self.claim;
        let is_over = acknowledged.load(Ordering::SeqCst) || released.load(Ordering::SeqCst);
        // Asked for by hand, its attempts begin anew.
        let is_same = later.sequence() == self.sequence() && later.attempts() > self.attempts();
        if is_over || !is_same {
            return false;
        }
        token.send_replace(later.claim.token.borrow().clone());
        true
    }

    /// Whether both are the same claim.
    pub(super) fn is_clone_of(&self, other: &Delivery) -> bool {
        Arc::ptr_eq(&self.claim, &other.claim)
    }

    pub(super) async fn settle(&self, outcome: Outcome) -> Result<()> {
        if matches!(outcome, Outcome::Released { .. }) {
            self.claim.released.store(true, Ordering::SeqCst);
        }
        let settled = self.inbox.settle(vec![self.settlement(outcome)]).await?;
        match settled.as_slice() {
            [true] => Ok(()),
            _ => Err(Error::new(Kind::LeaseLost)),
        }
    }

    pub(super) fn settlement(&self, outcome: Outcome) -> Settlement {
        Settlement {
            sequence: self.claimed.sequence,
            token: Arc::clone(&self.claim.token.borrow()),
            outcome,
        }
    }
}

/// Makes a directory, and those above it that are missing. Its name has an order's id, and the names of
/// its files may have more: it is for those who may read the files.
async fn make_directory(directory: PathBuf, access: Access) -> Result<()> {
    let make = move || access.directory().recursive(true).create(directory);
    // On a network file system it may take long, and must not block the runtime.
    let made = tokio::task::spawn_blocking(make).await;
    let made = made.map_err(io::Error::from).flatten();
    made.map_err(|error| Error::new(Kind::File(error.to_string())).with_source(error))
}

/// Without the order's data.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("account", self.inbox.account())
            .field("order_id", self.order_id())
            .field("ordinal", &self.ordinal())
            .field("history", &self.history)
            .field("attempts", &self.attempts())
            .finish_non_exhaustive()
    }
}

/// Whether an error may mean that the file is no longer the order's. Which status says so is not
/// documented; and where an id or a URL is of the order, another file comes that does not fit what
/// was announced for the first.
fn may_be_replaced(error: &Error) -> bool {
    let status = error.status().map(|status| status.as_u16());
    error.is_incomplete() || matches!(status, Some(400 | 403 | 404 | 410))
}

/// What becomes of a delivery that failed at this attempt.
fn failed(inbox: &Inbox, attempts: u32, failure: String) -> Outcome {
    let (first, longest) = inbox.settings.failure_delays;
    Outcome::Released {
        after: backoff(attempts, first, longest),
        failure: Some(failure),
    }
}

/// How long a delivery that failed at this attempt waits for the next.
fn backoff(attempts: u32, first: Duration, longest: Duration) -> Duration {
    // The shift is bounded: attempts go on for as long as the work fails.
    let doubled = first.saturating_mul(1 << attempts.saturating_sub(1).min(30));
    doubled.min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_that_fails_waits_longer_each_time_up_to_an_hour() {
        const MINUTE: Duration = Duration::from_secs(60);
        let minutes = |attempts| backoff(attempts, MINUTE, MINUTE * 60).as_secs() / 60;
        let waits: Vec<_> = (0..9).map(minutes).collect();
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(minutes(u32::MAX), 60);
    }
}
