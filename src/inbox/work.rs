//! Working on what is new: claiming and acknowledging deliveries, following the log of arrivals.
//!
//! *Problem.* A stream waits for what another task or another process commits, and may be the only
//! one that polls.
//!
//! *Approach.* News is marked as seen before the store is asked, and waited for after it, so that
//! nothing falls in between. A stream that waits does the inbox's work meanwhile. Nothing that was
//! claimed must be kept from the caller: dropped, it comes again after its lease.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::stream;
use tokio::sync::watch;

use super::process;
use super::run::{Patience, RunGuard};
use super::stats::Stats;
use super::store::Outcome;
use super::{Delivery, Inbox, LoggedArrival, trace};
use crate::error::{Error, Kind, Result};

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
        let token: Arc<str> = process::unique().into();
        let (store, account) = (self.store(), self.account());
        let claim_lease = self.settings.claim_lease;
        let claimed = store.claim(account, &token, limit, claim_lease, self.local_now());
        let claimed = claimed.await?;
        claimed.iter().for_each(trace::claimed);
        let (mut deliveries, mut without_data) = (Vec::with_capacity(claimed.len()), Vec::new());
        for claimed in claimed {
            match Delivery::new(self, claimed, &token) {
                Ok(delivery) => deliveries.push(delivery),
                Err(failed) => without_data.push(failed),
            }
        }
        if !without_data.is_empty() {
            // One order's trouble: the others are delivered, and the statistics show this one as
            // they show what keeps failing.
            self.settle(without_data).await?;
        }
        Ok(deliveries)
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
        // The guard lives in the stream's state: dropped with it, it releases the right to poll.
        let begin = (self.shared.news.subscribe(), RunGuard::new(self));
        // Boxed, so that the stream is `Unpin`: callers take `next` without pinning it.
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
        // Before the claim: what is announced during it ends the wait at once.
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
                // Noted before the store is asked: where its answer is lost, the next call finds no
                // open delivery and has to take that for done.
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
    /// number of [`arrivals`](super::store::Counts::arrivals) in [`Stats::store`]. While it waits, it does
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
        let running = RunGuard::new(self);
        Box::pin(stream::unfold(
            (begin, running),
            move |((mut news, mut after, mut page), running)| async move {
                let next = self.next_arrival(&mut news, after, &mut page).await;
                // Only by what was returned: after an error the stream goes on behind it and misses
                // none.
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
        // Before the read, as in `claim_or_wait`.
        news.borrow_and_update();
        self.turn().await?;
        // A page of 100: each arrival comes with its order's data, so a long log must not be read
        // at once.
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
        self.store().arrivals(self.account(), after, limit).await
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
