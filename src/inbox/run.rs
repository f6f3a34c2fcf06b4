//! Polls at an interval, woken by hints.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use tokio::sync::watch;

use super::Inbox;
use super::fetch::fetch_hinted;
use super::report::PollReport;
use super::trace;
use crate::error::{Error, Result};

/// Without news an inbox asks its store so often: another process may have put something
/// there.
const RECHECK: Duration = Duration::from_secs(5);

/// A listing that hints ask for comes at least so long after the one before.
const SOONEST: Duration = Duration::from_secs(60);

/// When the next poll is due. Whoever holds it polls for this process.
#[derive(Debug, Default)]
pub(super) struct Runner {
    /// None before the first.
    next: Option<SystemTime>,
    last: Option<SystemTime>,
    /// Whether this process polls the account; not known before it asked.
    leads: Option<bool>,
}

impl Runner {
    /// Does what is due. What may pass by itself is no error.
    async fn turn(&mut self, inbox: &Inbox) -> Result<()> {
        let now = inbox.local_now();
        let next = self.next.get_or_insert_with(|| start(inbox, now));
        if *next <= now {
            self.last = Some(now);
            self.next = now.checked_add(interval(inbox));
            if self.lead(inbox).await? {
                // All that was hinted at beyond what could be kept is in it.
                inbox.hints().take_overflow();
                tolerate(inbox.poll().await)?;
                return Ok(());
            }
        }
        let brought = fetch_hinted(inbox).await;
        if inbox.hints().take_overflow() {
            trace::overflow();
            let soonest = self.last.and_then(|last| last.checked_add(SOONEST));
            self.next = self.next.min(Some(soonest.unwrap_or(now).max(now)));
        }
        tolerate(brought).map(drop)
    }

    /// Takes the right to poll the account, if nobody else has it.
    async fn lead(&mut self, inbox: &Inbox) -> Result<bool> {
        let leads = inbox.lease(lease(inbox)).await?;
        if self.leads.replace(leads) != Some(leads) {
            trace::lease(leads);
        }
        Ok(leads)
    }

    /// How long nothing is due.
    fn rest(&self, inbox: &Inbox) -> Duration {
        let now = inbox.local_now();
        let next = [self.next, inbox.hints().next()]
            .into_iter()
            .flatten()
            .min();
        next.map_or(Duration::ZERO, |next| {
            next.duration_since(now).unwrap_or_default()
        })
    }
}

impl Inbox {
    /// Polls at the [interval](Inbox::interval), and fetches orders when they are
    /// [notified](Inbox::notify), until the future is dropped.
    ///
    /// [`Inbox::deliveries`] and [`Inbox::arrivals`] do so too, while they wait. Of several that
    /// run in this process one polls; of several processes the one that holds the
    /// account's lease in the store. Should it end, another takes over.
    ///
    /// # Errors
    ///
    /// What does not pass by itself: [`Error::is_reauthorization_needed`],
    /// [`Error::is_forbidden`], [`Error::is_store`], a broken configuration. Failures of the
    /// service or the network are no error: the next poll may go better, and
    /// [`Inbox::stats`] says how long it has been since a good one.
    ///
    /// # Cancel safety
    ///
    /// Safe: what was found new is durable, or found again.
    pub async fn run(&self) -> Result<()> {
        self.run_until(std::future::pending()).await
    }

    /// As [`Inbox::run`], until `stop` is done. A poll that is under way is finished, and
    /// another process may poll the account at once.
    ///
    /// # Errors
    ///
    /// As [`Inbox::run`].
    ///
    /// # Cancel safety
    ///
    /// As [`Inbox::run`].
    pub async fn run_until(&self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        let mut stop = pin!(stop);
        let mut runner = match select(pin!(self.shared.runner.lock()), &mut stop).await {
            Either::Left((runner, _)) => runner,
            Either::Right(_) => return Ok(()),
        };
        let mut woken = self.shared.hinted.subscribe();
        loop {
            woken.borrow_and_update();
            runner.turn(self).await?;
            let rest = self.lab.clock().sleep(runner.rest(self));
            let woken = pin!(woken.changed());
            // First, so that it is asked also where nothing has to be waited for.
            if let Either::Left(_) = select(&mut stop, select(rest, woken)).await {
                break;
            }
        }
        if runner.leads.take() == Some(true) {
            trace::stopped();
        }
        self.lease(Duration::ZERO).await.map(drop)
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

/// What does not pass by itself is an error.
fn tolerate(result: Result<PollReport>) -> Result<()> {
    match result {
        Err(error) if is_lasting(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_lasting(error: &Error) -> bool {
    error.is_reauthorization_needed()
        || error.is_forbidden()
        || error.is_store()
        || error.is_configuration()
        || error.is_origin()
}

/// When the first poll is due.
fn start(inbox: &Inbox, now: SystemTime) -> SystemTime {
    let wait = inbox.settings.initial_jitter.mul_f64(fastrand::f64());
    now.checked_add(wait).unwrap_or(now)
}

/// With up to a tenth more, so that many accounts do not poll in step.
fn interval(inbox: &Inbox) -> Duration {
    let interval = inbox.settings.interval;
    interval + interval.mul_f64(fastrand::f64() / 10.0)
}

/// Two intervals, and time for a slow poll.
fn lease(inbox: &Inbox) -> Duration {
    inbox.settings.interval * 2 + Duration::from_secs(120)
}
