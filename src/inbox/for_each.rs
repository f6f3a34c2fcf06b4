//! The loop that a lab's software runs: a handler for each delivery, through bad nights.
//!
//! *Problem.* A loop that claims, works and acknowledges dies at the first hiccup of a database,
//! and a handler that panics takes the process with it.
//!
//! *Approach.* Polling and working go on beside each other, and end together. A handler's failure,
//! a panic too, concerns its delivery alone. A delivery must never be acknowledged for a handler
//! that did not return `Ok`.

use std::error::Error as StdError;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, join3, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use super::run::{Patience, RECHECK, RunGuard, is_lasting, is_passing_of_store};
use super::store::Outcome;
use super::{Delivery, Inbox};
use crate::error::{Result, report};

/// What a handler returns: an error of any kind makes its delivery come again.
pub type HandlerResult = std::result::Result<(), Box<dyn StdError + Send + Sync>>;

impl Inbox {
    /// Works on deliveries, without end: polls as [`Inbox::run`] does, calls the handler with each
    /// delivery, and goes on through everything that can heal.
    ///
    /// While the handler is at work the delivery is held for it, however long that takes. When it
    /// returns `Ok` the delivery is acknowledged. When it returns an error, or panics, the delivery comes
    /// again, after a minute the first time, then after twice as long each time up to an hour, see
    /// [`Inbox::failure_delays`]. The error's text is kept in the store, up to 500 characters, for
    /// [`Delivery::last_failure`], and is never logged.
    ///
    /// The handler may be called with a delivery that it has dealt with already, if the process died
    /// before that was written down, as soon as the [claim lease](Inbox::claim_lease) is over: let the
    /// work bear the delivery's name. While it works on a delivery it is not called with the same one
    /// again, also where the machine slept for longer than the lease. One that was
    /// [superseded](Delivery::is_superseded) by a newer scan says so.
    ///
    /// Failures of the service, of the network and of the store, a lost pairing and tokens that are
    /// no longer accepted do not end it: [`Inbox::stats`] shows them, and it goes on when they have
    /// healed, also with tokens that somebody put into the token store meanwhile.
    ///
    /// ```no_run
    /// # async fn example(lab: lab_connector::Lab) -> lab_connector::Result<()> {
    /// # use lab_connector::inbox::MemoryStore;
    /// let inbox = lab.inbox(MemoryStore::new());
    /// inbox
    ///     .for_each(|delivery| async move {
    ///         let files = delivery.download_all("cases").await?;
    ///         println!("{}: {} files", delivery.order_id(), files.iter().len());
    ///         Ok(())
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What cannot heal without a change: [`Error::is_store`](crate::Error::is_store) without
    /// [`Error::is_retryable`](crate::Error::is_retryable), a broken configuration.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the handlers that are at work are dropped too, and their deliveries come again after
    /// the [claim lease](Inbox::claim_lease). End it with [`Inbox::for_each_until`].
    pub fn for_each<'a, H, F>(&'a self, handler: H) -> impl Future<Output = Result<()>> + Send + 'a
    where
        H: FnMut(Delivery) -> F + Send + 'a,
        F: Future<Output = HandlerResult> + Send + 'a,
    {
        self.for_each_until(std::future::pending(), handler)
    }

    /// The same until `stop` is done. No further delivery is taken then; the handlers that are at work
    /// are waited for, see [`Inbox::grace`], so are refreshes of tokens, see
    /// [`Client::close`](crate::Client::close), and another process may poll the account at once.
    ///
    /// ```no_run
    /// # async fn example(inbox: lab_connector::inbox::Inbox) -> lab_connector::Result<()> {
    /// let stop = async { drop(tokio::signal::ctrl_c().await) };
    /// inbox.for_each_until(stop, |delivery| async move { Ok(()) }).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Inbox::for_each`].
    ///
    /// # Cancel safety
    ///
    /// As [`Inbox::for_each`].
    pub fn for_each_until<'a, H, F>(
        &'a self,
        stop: impl Future<Output = ()> + Send + 'a,
        handler: H,
    ) -> WorkFuture<'a>
    where
        H: FnMut(Delivery) -> F + Send + 'a,
        F: Future<Output = HandlerResult> + Send + 'a,
    {
        let stop = Box::pin(stop);
        let inbox = self;
        Box::pin(async move {
            let (concurrency, grace) = (inbox.settings.concurrency, self.settings.grace);
            // For the whole loop: while `poll` begins `poll_until` anew after a failure, the right
            // to poll is kept.
            let running = RunGuard::new(inbox);
            let end = watch::Sender::new(false);
            // Whatever ends first ends the others.
            let polling = async {
                let polled = poll(inbox, ended(&end)).await;
                end.send_replace(true);
                polled
            };
            let working = async {
                let mut desk = Desk {
                    inbox,
                    handler,
                    held: Vec::new(),
                };
                let worked = desk.work(concurrency, grace, ended(&end)).await;
                end.send_replace(true);
                worked
            };
            let stopping = async {
                // Also ended by the other two: `join3` would wait for `stop` for ever.
                select(stop, pin!(ended(&end))).await;
                end.send_replace(true);
            };
            let (polled, worked, ()) = join3(polling, working, stopping).await;
            drop(running);
            // A refresh may be under way: what it brings must be stored.
            inbox.lab.close().await;
            worked.and(polled)
        })
    }
}

/// Without the future's own type: it is too deep for futures that await it, and where the handler
/// borrows the compiler cannot tell of it that it is `Send`.
type WorkFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

fn ended(end: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut end = end.subscribe();
    // The sender lives as long as whoever waits.
    async move { drop(end.wait_for(|ended| *ended).await) }
}

/// Polls until `stop`. What is lasting and can heal is tried again at the interval.
async fn poll(inbox: &Inbox, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let mut stop = pin!(stop.fuse());
    loop {
        match inbox.poll_until(&mut stop).await {
            Err(error) if is_lasting(&error) => return Err(error),
            // A pairing or tokens that somebody can renew. This does not spin: the runner keeps the
            // time of its next poll.
            Err(_) => {}
            Ok(()) => return Ok(()),
        }
    }
}

/// Where deliveries are worked on.
struct Desk<'a, H> {
    inbox: &'a Inbox,
    handler: H,
    /// Those that are worked on.
    held: Vec<Delivery>,
}

impl<H, F> Desk<'_, H>
where
    H: FnMut(Delivery) -> F + Send,
    F: Future<Output = HandlerResult> + Send,
{
    async fn work(
        &mut self,
        concurrency: usize,
        grace: Duration,
        end: impl Future<Output = ()> + Send,
    ) -> Result<()> {
        let clock = self.inbox.lab.clock();
        let mut news = self.inbox.shared.news.subscribe();
        let mut at_work = FuturesUnordered::new();
        let mut end = pin!(end.fuse());
        let mut patience = Patience::default();
        let outcome = loop {
            // A handler that fails without ever waiting, and is to be called again at once, would keep this
            // loop within one poll for ever. To yield only where tokio's budget is spent is not enough: with
            // none left the signal to stop, which the same task reads, is never seen.
            tokio::task::yield_now().await;
            // Before the claim: what is announced during it ends the wait below.
            news.borrow_and_update();
            let mut pause = RECHECK;
            let free = concurrency.saturating_sub(at_work.len());
            let claimed = match free {
                0 => Ok(Vec::new()),
                _ => self.inbox.claim(free).await,
            };
            match claimed {
                Ok(claimed) => {
                    patience.succeeded();
                    for delivery in claimed {
                        // Where the machine slept, its leases end while its handlers run. Two that do the
                        // same work at once would be in each other's way.
                        if self.held.iter().any(|held| held.take_over(&delivery)) {
                            continue;
                        }
                        // Before the handler runs: whatever becomes of it, the delivery is released
                        // at the end.
                        self.held.push(delivery.clone());
                        let work = self.call(&delivery);
                        at_work.push(handle(delivery, work));
                    }
                }
                Err(error) if is_passing_of_store(&error) => {
                    pause = patience.next(self.inbox, &error);
                }
                Err(error) => break Err(error),
            }
            let idle = at_work.is_empty();
            let done = async {
                // An empty `FuturesUnordered` is always ready with `None`: the loop would spin.
                match idle {
                    true => std::future::pending().await,
                    false => at_work.next().await,
                }
            };
            let more = async {
                // News must not cut the pause short after which a failing store is asked again.
                if free > 0 && pause == RECHECK {
                    drop(news.changed().await);
                } else {
                    std::future::pending().await
                }
            };
            let (more, done) = (pin!(more), pin!(done));
            let wait = select(done, select(more, clock.sleep(pause)));
            match select(&mut end, wait).await {
                Either::Left(_) => break Ok(()),
                Either::Right((Either::Left((done, _)), _)) => {
                    // Never none here.
                    done.iter().for_each(|done| self.done(done));
                }
                Either::Right(_) => {}
            }
        };
        let finishing = async {
            while let Some(done) = at_work.next().await {
                self.done(&done);
            }
        };
        select(pin!(finishing), clock.sleep(grace)).await;
        // Handlers are dropped before their deliveries are released: none must go on with what
        // another process can claim.
        drop(at_work);
        self.give_back().await;
        outcome
    }

    /// Calls the handler. What it does before its future is made may panic too.
    fn call(&mut self, delivery: &Delivery) -> std::thread::Result<F> {
        // What a panic leaves of the handler's own state is the handler's affair: the inbox reads
        // none of it.
        let handler = &mut self.handler;
        let delivery = delivery.clone();
        std::panic::catch_unwind(AssertUnwindSafe(|| handler(delivery)))
    }

    fn done(&mut self, done: &Delivery) {
        self.held.retain(|held| !held.is_clone_of(done));
    }

    /// Releases what was not finished.
    async fn give_back(&mut self) {
        for delivery in self.held.drain(..) {
            let (after, failure) = (Duration::ZERO, None);
            let released = delivery.settle(Outcome::Released { after, failure });
            // What cannot be released comes again after its lease.
            let _ = released.await;
        }
    }
}

/// Holds a delivery for a handler, and writes down what became of it.
async fn handle<F>(delivery: Delivery, work: std::thread::Result<F>) -> Delivery
where
    F: Future<Output = HandlerResult> + Send,
{
    let work = async {
        match work {
            Ok(work) => AssertUnwindSafe(work).catch_unwind().await,
            Err(panic) => Err(panic),
        }
    };
    // Where somebody else has it by now, the work goes on: to stop half-way through would be worse than to
    // do under one name what they do.
    let done = {
        let (work, holding) = (pin!(work), pin!(delivery.hold_on()));
        match select(work, holding).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => match never {},
        }
    };
    let failure = match done {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(report(&*error)),
        Err(panic) => Some(format!("the handler panicked: {}", panic_text(&*panic))),
    };
    let mut patience = Patience::default();
    loop {
        // The work is over: only saying so is repeated. Should the lease end meanwhile, the
        // delivery comes again under its name.
        let settled = match &failure {
            None => delivery.acknowledge().await,
            Some(reason) => delivery.fail(reason).await,
        };
        match settled {
            Err(error) if is_passing_of_store(&error) => {
                let pause = patience.next(&delivery.inbox, &error);
                delivery.inbox.lab.clock().sleep(pause).await;
            }
            // The next claim reports a store that fails for good; a lost lease has an event.
            Ok(()) | Err(_) => return delivery,
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    // `panic!` carries a `&str` for a literal, and a `String` where it formats.
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a text")
}
