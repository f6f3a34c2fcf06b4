//! Polls at an interval, by one process at a time, woken by hints.
//!
//! *Problem.* Several processes, and several tasks of one process, may want to poll one account.
//! Each poll that is made twice costs the service twice.
//!
//! *Approach.* Within the process the lock on [`Runner`] decides; between processes the right to
//! poll that the store grants. Both save work only: nothing that is right may depend on them, since
//! a process can be suspended with the right in its hand and wake up without it.
//!
//! A failure that passes by itself must not end a run.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use tokio::sync::watch;

use super::Inbox;
use super::fetch::fetch_hinted;
use super::process;
use super::store::Poller;
use super::trace;
use crate::error::{Error, Result};

/// How often an inbox asks its store where it has no news: another process may have put something
/// there.
pub(super) const RECHECK: Duration = Duration::from_secs(5);

/// The shortest time between a listing and one that hints ask for.
const SOONEST: Duration = Duration::from_secs(60);

/// For how long a process has the right to poll without asking again. After a kill nobody polls for
/// so long, and for [`BEAT`] until another one asks: a minute together.
// Three beats: one that fails, while a database restarts say, does not lose the right.
const LEASE: Duration = Duration::from_secs(45);

/// How often it asks.
const BEAT: Duration = Duration::from_secs(15);

/// When the next poll is due, in elapsed time. Whoever holds it polls for this process.
#[derive(Debug, Default)]
pub(super) struct Runner {
    /// None before the first.
    next: Option<Duration>,
    last: Option<PollStart>,
    /// When to ask for the right to poll again.
    beat: Option<Duration>,
    /// Whether this process polls the account; not known before it asked.
    leads: Option<bool>,
    /// Whether the next listing stands in for hints.
    stands_in: bool,
}

/// A poll that was begun.
#[derive(Clone, Copy, Debug)]
struct PollStart {
    elapsed: Duration,
    /// By the time of day, which goes on while a machine is suspended.
    at: SystemTime,
}

impl Runner {
    /// Does what is due. A failure that may pass by itself is no error, except the store's.
    async fn turn(&mut self, inbox: &Inbox) -> Result<()> {
        let now = inbox.elapsed();
        // Chosen once for the inbox: a stream that is dropped and made anew does not wait its
        // jitter again.
        let next = *self.next.get_or_insert_with(|| now + first_poll(inbox));
        let is_due = next <= now || self.slept(inbox);
        // With the right it is renewed at each beat. Without it nobody is asked before a poll is
        // due.
        if (is_due || self.leads == Some(true)) && self.beat.is_none_or(|beat| beat <= now) {
            self.lead(inbox).await?;
        }
        if is_due && self.leads == Some(true) {
            return self.poll(inbox, now).await;
        }
        // Also without the right to poll: a notification reaches one process, which need not be the
        // one that polls.
        let brought = self.leading(inbox, fetch_hinted(inbox)).await;
        if inbox.lock_hints().take_overflow() {
            self.stands_in = true;
            let soonest = self.last.map_or(now, |last| last.elapsed + SOONEST);
            if soonest < next {
                // Reported once, however long the flood goes on.
                trace::overflow();
                self.next = Some(soonest);
            }
        }
        tolerate(brought)
    }

    async fn poll(&mut self, inbox: &Inbox, now: Duration) -> Result<()> {
        // Both are set before the poll and count from its beginning: a slow listing does not
        // stretch the interval, and a future that is dropped in the middle does not poll again at
        // once.
        self.last = Some(PollStart {
            elapsed: now,
            at: inbox.local_now(),
        });
        self.next = Some(now + interval(inbox));
        // All that was hinted at beyond what could be kept is in it.
        self.stands_in |= inbox.lock_hints().take_overflow();
        let polled = self.leading(inbox, inbox.poll()).await.map(drop);
        if polled.as_ref().is_err_and(is_passing_of_store) {
            // The caller waits for the store; the turn after that polls.
            self.next = Some(now);
        } else if polled.is_ok() {
            self.stands_in = false;
        } else if self.stands_in {
            self.next = Some(now + SOONEST);
        }
        tolerate(polled)
    }

    /// Whether the time of day says that the interval is over: the machine was suspended, which
    /// elapsed time does not count everywhere. A clock that is set ahead costs a poll.
    fn slept(&self, inbox: &Inbox) -> bool {
        self.last.is_some_and(|last| {
            let ago = inbox.local_now().duration_since(last.at);
            // `interval` adds a tenth at most: a process that was awake has polled before 1.2 of
            // it. An error is a clock that was set back, which says nothing.
            ago.is_ok_and(|ago| ago >= inbox.settings.interval.mul_f64(1.2))
        })
    }

    /// Takes the right to poll the account, if nobody else has it, or keeps it.
    async fn lead(&mut self, inbox: &Inbox) -> Result<()> {
        // Where it cannot be asked, the next turn asks.
        self.beat = None;
        let leads = ask(inbox).await?.is_none();
        self.beat = Some(inbox.elapsed() + BEAT);
        if self.leads.replace(leads) != Some(leads) {
            trace::poll_right(leads);
        }
        Ok(())
    }

    /// Keeps the right to poll for as long as something takes.
    async fn leading<T>(&mut self, inbox: &Inbox, work: impl Future<Output = T>) -> T {
        if self.leads != Some(true) {
            return work.await;
        }
        let keeping = async {
            loop {
                inbox.lab.clock().sleep(BEAT).await;
                // A right that was lost, or a store that fails, is found when the work is done:
                // nothing that is right hangs on it.
                let _ = ask(inbox).await;
                // A clock whose waits end at once must not keep the work from going on.
                tokio::task::yield_now().await;
            }
        };
        match select(pin!(work), pin!(keeping)).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => never,
        }
    }

    /// Forgets the right to poll, so that it is asked for anew. Whether it must be released.
    fn resign(&mut self) -> bool {
        self.beat = None;
        // Forgotten before it is released: the next turn must ask, whatever becomes of the release.
        self.leads.take() == Some(true)
    }

    /// How long nothing is due.
    fn rest(&self, inbox: &Inbox) -> Duration {
        let now = inbox.elapsed();
        let wait = |at: Option<Duration>| at.map(|at| at.saturating_sub(now));
        let (next, beat) = (wait(self.next), wait(self.beat));
        let next = match (self.leads, next) {
            // Without a beat the last question failed, and the next one is due now.
            (Some(true), Some(next)) => next.min(beat.unwrap_or_default()),
            // It asks again for what another one has.
            (Some(false), Some(next)) => next.max(beat.unwrap_or_default()),
            (_, next) => next.unwrap_or_default(),
        };
        let hint = inbox.lock_hints().wait(now);
        hint.map_or(next, |hint| hint.min(next))
    }
}

async fn ask(inbox: &Inbox) -> Result<Option<Poller>> {
    let (store, account) = (inbox.store(), inbox.account());
    let asked = store.poll_right(account, process::name(), LEASE, inbox.local_now());
    asked.await
}

/// Something that polls while it lives. When the last one of an inbox ends, the right to poll is
/// released, so that another process polls at once.
pub(super) struct RunGuard(Inbox);

impl RunGuard {
    pub(super) fn new(inbox: &Inbox) -> Self {
        // Counted for the whole inbox: the guard of one stream must not give away the right by
        // which another polls.
        inbox.shared.running.fetch_add(1, Ordering::SeqCst);
        RunGuard(inbox.clone())
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        // The value before: above 1, another one goes on.
        if self.0.shared.running.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        // A drop cannot wait. Where the lock is held, somebody has begun to poll since, and keeps
        // the right.
        let leads = match self.0.shared.runner.try_lock() {
            Ok(mut runner) => runner.resign(),
            Err(_) => false,
        };
        // Without a runtime the right ends by itself.
        if leads && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let inbox = self.0.clone();
            runtime.spawn(async move {
                // Where it fails, another process gets the right when it ends by itself.
                let _ = stop(&inbox).await;
            });
        }
    }
}

/// Notes how far the listings go, and releases the right to poll.
async fn stop(inbox: &Inbox) -> Result<()> {
    trace::stopped();
    // Noted first: the process that polls next reads it, and would take an older time for a gap. A
    // failure to note is returned last, since it must not keep the right from being released.
    let noted = inbox.note_coverage().await;
    let (store, account) = (inbox.store(), inbox.account());
    store.release_poll_right(account, process::name()).await?;
    noted
}

/// Waits after failures of the store: a second, then twice as long each time, up to a minute.
#[derive(Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// Waits, if the error may pass by itself; returns it if not.
    pub(super) async fn wait(&mut self, inbox: &Inbox, error: Error) -> Result<()> {
        if !is_passing_of_store(&error) {
            return Err(error);
        }
        let wait = self.next(inbox, &error);
        inbox.lab.clock().sleep(wait).await;
        Ok(())
    }

    /// How long to wait after a failure that may pass, which is noted.
    pub(super) fn next(&mut self, inbox: &Inbox, error: &Error) -> Duration {
        inbox.counters().store_failed(error);
        trace::store_failed(error);
        inbox.tell(&Err(error.clone()));
        // The shift is bounded, since failures go on for as long as a database is down: 64 s, cut
        // to a minute.
        let longest = Duration::from_secs(1 << self.failures.min(6)).min(Duration::from_secs(60));
        self.failures = self.failures.saturating_add(1);
        // Between half of it and the whole: processes that lost one database do not come back in
        // step.
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

impl Inbox {
    /// Polls at the [interval](Inbox::interval), and fetches orders when they are
    /// [notified](Inbox::notify), until the future is dropped.
    ///
    /// [`Inbox::deliveries`] and [`Inbox::arrivals`] do so too, while they wait. Of several that
    /// run in this process one polls; of several processes the one that has the right to, which it
    /// renews every 15 seconds. If it is killed, another one polls within a minute; if it ends, at
    /// once.
    ///
    /// # Errors
    ///
    /// What does not pass by itself: [`Error::is_reauthorization_needed`],
    /// [`Error::is_forbidden`], [`Error::is_store`] without [`Error::is_retryable`], a broken
    /// configuration. Failures of the service, of the network, and those of the store that may pass
    /// are no error: the next poll may go better, and [`Inbox::stats`] says how long it has been
    /// since a good one.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was found new is durable, or found again.
    pub async fn run(&self) -> Result<()> {
        self.run_until(std::future::pending()).await
    }

    /// As [`Inbox::run`], until `stop` is done. A poll that is under way is finished, refreshes of
    /// tokens are waited for, see [`Client::close`](crate::Client::close), and another process may poll
    /// the account at once.
    ///
    /// # Errors
    ///
    /// As [`Inbox::run`].
    ///
    /// # Cancel safety
    ///
    /// As [`Inbox::run`].
    pub async fn run_until(&self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        let polled = self.poll_until(stop).await;
        // A poll may have gone on without the refresh that it began: what that brings must be stored.
        self.lab.close().await;
        polled
    }

    pub(super) async fn poll_until(&self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        // Before the lock is taken, so that it is dropped after it: its drop needs the lock to
        // resign.
        let _running = RunGuard::new(self);
        let mut until = pin!(stop);
        // A second run of this inbox waits here until the first one ends, and can be stopped
        // meanwhile.
        let mut runner = match select(pin!(self.shared.runner.lock()), &mut until).await {
            Either::Left((runner, _)) => runner,
            Either::Right(_) => return Ok(()),
        };
        let mut woken = self.shared.hinted.subscribe();
        let mut patience = Patience::default();
        loop {
            // Before the turn: a hint that comes in during it ends the rest below at once.
            woken.borrow_and_update();
            // Not raced against `stop`: a poll that is under way is finished.
            let wait = match runner.turn(self).await {
                Ok(()) => {
                    patience.succeeded();
                    let rest = self.lab.clock().sleep(runner.rest(self));
                    let woken = woken.changed();
                    Either::Left(async move {
                        select(rest, pin!(woken)).await;
                        Ok(())
                    })
                }
                Err(error) => Either::Right(patience.wait(self, error)),
            };
            // First, so that it is asked also where nothing has to be waited for.
            match select(&mut until, pin!(wait)).await {
                Either::Left(_) => break,
                Either::Right((waited, _)) => waited?,
            }
        }
        // Here and not in the guard, whose drop cannot wait: when this returns, another process can
        // poll.
        if runner.resign() {
            self::stop(self).await?;
        }
        Ok(())
    }

    /// Waits until there may be something new in the store; polls meanwhile if nobody
    /// else in this process does.
    pub(super) async fn wait(&self, news: &mut watch::Receiver<()>) -> Result<()> {
        let mut woken = self.shared.hinted.subscribe();
        let rest = match self.shared.runner.try_lock() {
            Ok(mut runner) => {
                runner.turn(self).await?;
                runner.rest(self).min(RECHECK)
            }
            // Another task of this process polls and announces its news. What other processes put
            // into the store is found by asking only.
            Err(_) => RECHECK,
        };
        let rest = self.lab.clock().sleep(rest);
        let (news, woken) = (pin!(news.changed()), pin!(woken.changed()));
        select(rest, select(news, woken)).await;
        Ok(())
    }

    /// Does what is due, if nobody else in this process does.
    pub(super) async fn turn(&self) -> Result<()> {
        match self.shared.runner.try_lock() {
            Ok(mut runner) => runner.turn(self).await,
            Err(_) => Ok(()),
        }
    }
}

/// What passes by itself is no error; what the store says is for whoever waits.
fn tolerate(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.is_store() || needs_somebody(&error) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Does not pass by itself.
fn needs_somebody(error: &Error) -> bool {
    error.is_reauthorization_needed() || error.is_forbidden() || is_lasting(error)
}

/// Does not pass while this process lives. A pairing and tokens may come back.
pub(super) fn is_lasting(error: &Error) -> bool {
    error.is_configuration()
        || error.is_origin()
        || (error.is_store() && !is_passing_of_store(error))
}

/// A failure of the store that may pass by itself.
pub(super) fn is_passing_of_store(error: &Error) -> bool {
    error.is_store() && error.is_retryable()
}

/// How long the first poll waits.
fn first_poll(inbox: &Inbox) -> Duration {
    // By chance and not by a number of the account: inboxes need not know of each other.
    inbox.settings.initial_jitter.mul_f64(fastrand::f64())
}

/// With up to a tenth more, so that many accounts do not poll in step.
fn interval(inbox: &Inbox) -> Duration {
    let interval = inbox.settings.interval;
    interval + interval.mul_f64(fastrand::f64() / 10.0)
}
