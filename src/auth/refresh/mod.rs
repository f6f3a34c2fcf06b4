//! The life of one account's tokens.
//!
//! *Problem.* A user signs in once; after that the access has to last for years, over restarts,
//! crashes, several processes, and refresh tokens that are good for one use. It is lost when two
//! refreshes use the same token, when a caller that goes away takes the answer with it, and when
//! a process dies between the answer and the disk.
//!
//! *Default.* Callers never refresh. They ask for a token; if one is due, a detached task
//! refreshes it, and all callers share its result, success and failure alike. A caller that
//! goes away loses nothing. The task follows the protocol of [`TokenStore`]:
//!
//! - It loads the entry. If the entry is good already (another process was faster), that is the
//!   result, and nothing is sent.
//! - It asks *Discovery*, as documented, at most every ten minutes (convention); if that fails,
//!   the endpoints stay as they are. Refreshes at the same time wait for the one answer.
//! - It claims the right to refresh, sends the refresh token, swaps the new tokens in, and only
//!   then hands them to callers.
//! - If the answer was lost, it loads the entry again, and where nobody has replaced it sends
//!   the same refresh token once more: services with a period of grace answer with tokens.
//! - If the new tokens cannot be stored, it keeps them in memory, unused, and tries to store
//!   them first thing next time; the refresh token that they replace is not sent again. Only if
//!   the process ends before the store recovers they are lost.
//! - `invalid_grant` means that a person must sign in, unless the store has got other tokens
//!   meanwhile. Any other failure means: later, with growing waits between 5 seconds and
//!   5 minutes, or what the service asks for. Until then no caller sends anything.
//!
//! A token is refreshed early: 5 to 6 minutes before it expires, or when about a quarter of its
//! life is left where it lives shorter than 20 minutes. The exact moment is drawn by chance, so
//! that processes do not come together. If the refresh fails or takes long, the token is used as
//! long as it is valid. All these times are conventions.
//!
//! A token that is answered with 401 before its time is refreshed once, by its generation: a
//! late 401 for an older token refreshes nothing, and a token that was issued because of a 401 is
//! not refreshed for the next 401 within five minutes. Otherwise one endpoint that always answers
//! 401 would cost a refresh for each call.
//!
//! *What counts as newest.* One rule: what callers read is only replaced by a newer generation,
//! or once it has expired. So a task that read the store before a user paired anew cannot bring
//! the old tokens back, and no counter of replacements is needed.

mod failure;
mod renew;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, Shared, select};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task;

use super::health::Health;
use super::{Protocol, TokenKey, TokenStore, Tokens};
use crate::error::{Error, Kind, Result};
use crate::retry::Budget;
use failure::Failure;
use renew::PendingTokens;

/// How long a token that was issued because of a 401, and is refused as well, is not refreshed again.
/// The reason is then the endpoint, and not the token. Convention.
const PAUSE: Duration = Duration::from_secs(5 * 60);

/// Provides the tokens of one login or account.
pub(crate) struct TokenSource {
    key: TokenKey,
    store: Arc<dyn TokenStore>,
    protocol: Protocol,
    /// What fresh calls read. It is written in one step, never while anything is awaited.
    published: RwLock<PublishedTokens>,
    /// Other tokens were published.
    changed: Notify,
    // Held for a few statements, never across an await. Code that holds both locks takes this one
    // first.
    state: Mutex<State>,
    /// What repeats of refreshes may cost.
    budget: Budget,
}

/// The newest tokens that this process knows.
#[derive(Default)]
struct PublishedTokens {
    current: Option<CurrentTokens>,
    /// Generations up to this one were cleared: a task that still has them must not bring them
    /// back.
    cleared: u64,
}

#[derive(Clone)]
struct CurrentTokens {
    tokens: Arc<Tokens>,
    /// When to refresh, by the time of day: expiry is measured in it.
    due: SystemTime,
    /// Of tokens that replaced those which were answered with 401: when they were published, in
    /// elapsed time.
    after_refusal: Option<Duration>,
}

struct State {
    /// The name that tasks claim under.
    holder: String,
    /// The task under way.
    renewing: Option<Renewal>,
    /// New tokens that could not be stored yet.
    pending: Option<PendingTokens>,
    /// The last refresh that the service refused or failed; it counts for its generation only.
    failure: Option<Failure>,
    /// The last failure of all, for the dashboard.
    last_failure: Option<(SystemTime, Error)>,
}

/// A refresh under way, which all callers share.
#[derive(Clone)]
struct Renewal {
    id: task::Id,
    ended: Shared<BoxFuture<'static, RenewalOutcome>>,
    /// The runtime that it runs on. Of several in one process, one may stop while the others go
    /// on.
    runtime: Handle,
}

/// How a task ended.
#[derive(Clone)]
enum RenewalOutcome {
    Done(Result<Arc<Tokens>>),
    /// Its runtime was shut down, or it panicked.
    Stopped,
}

impl TokenSource {
    pub(crate) fn new(key: TokenKey, store: Arc<dyn TokenStore>, protocol: Protocol) -> Self {
        TokenSource {
            key,
            store,
            protocol,
            published: RwLock::default(),
            changed: Notify::new(),
            state: Mutex::new(State {
                holder: holder(),
                renewing: None,
                pending: None,
                failure: None,
                last_failure: None,
            }),
            budget: Budget::full(),
        }
    }

    /// Reads the store if that was not done yet: the last answer of Discovery is kept there, and names
    /// the endpoint of the first call. If the store fails, the call reports it.
    pub(crate) async fn open(self: &Arc<Self>) {
        if self.current().is_some() {
            return;
        }
        let mut changed = pin!(self.changed.notified());
        // Looked at again only after this: what is published in between is not missed.
        changed.as_mut().enable();
        if self.current().is_none() {
            // It reads before it does anything else.
            let ended = self.renewal(None).ended;
            let read = select(ended, changed);
            // A failure is not reported here: the call itself asks for tokens next, and gets the
            // same error.
            let _ = self.protocol.wire.within(self.short(), read).await;
        }
    }

    /// Tokens that are good now.
    ///
    /// For a fresh token this is one read lock, which is never held across an await.
    pub(crate) async fn tokens(self: &Arc<Self>) -> Result<Arc<Tokens>> {
        let now = self.now();
        match self.current() {
            Some(current) if now < current.due => Ok(current.tokens),
            _ => self.renewed(None).await,
        }
    }

    /// Tokens other than those of `refused`, which the service answered with 401. If there are
    /// other ones already, nothing is refreshed; `None` if a refresh would not help.
    pub(crate) async fn tokens_after(
        self: &Arc<Self>,
        refused: u64,
    ) -> Result<Option<Arc<Tokens>>> {
        if let Some(current) = self.current() {
            if current.tokens.generation != refused {
                return self.tokens().await.map(Some);
            }
            let renewed = |at: Duration| self.elapsed().saturating_sub(at) < PAUSE;
            if current.after_refusal.is_some_and(renewed) {
                return Ok(None);
            }
        }
        self.renewed(Some(refused)).await.map(Some)
    }

    /// Whether new tokens could be stored: asked before something is spent that is good for one use.
    pub(crate) async fn probe(&self) -> Result<()> {
        self.store.probe(&self.key).await
    }

    /// Stores tokens that were issued anew, and uses them from now on.
    pub(crate) async fn replace(&self, mut tokens: Tokens) -> Result<()> {
        // Kept with the tokens, so that the next process starts with the endpoints of this one.
        tokens.discovered = self.protocol.directory.answer();
        loop {
            let before = self
                .store
                .load(&self.key)
                .await?
                .map(|kept| kept.generation);
            tokens.generation = before.map_or_else(unused_generation, |before| before + 1);
            if self.store.swap(&self.key, before, &tokens).await? {
                break;
            }
            // Another process has refreshed or paired just now. Ours are newer: the loop ends when
            // nobody else writes (`of_two_pairings_the_one_that_is_stored_is_used`).
        }
        // Tokens that wait for the store are of an entry that is replaced now.
        self.state().pending = None;
        self.publish(self.fresh(tokens))?;
        Ok(())
    }

    /// What is kept when the refresh under way has ended, if there is one: what is to be
    /// revoked.
    pub(crate) async fn settled(&self) -> Result<Option<Tokens>> {
        self.idle().await;
        self.store.load(&self.key).await
    }

    /// Waits for the refresh under way, if there is one, as long as a call would.
    pub(crate) async fn idle(&self) {
        let under_way = self.state().renewing.clone();
        if let Some(renewal) = under_way {
            let limit = self.protocol.wire.timeouts.operation;
            // However it ended: what counts is what is kept.
            let _ = self.protocol.wire.within(limit, renewal.ended).await;
        }
    }

    /// Forgets the tokens, also where they cannot be read.
    pub(crate) async fn clear(&self) -> Result<()> {
        // An entry that cannot be read is cleared like any other: `forget_tokens` is the way out of
        // it.
        let kept = self.store.load(&self.key).await.ok().flatten();
        // The store comes first: if it fails, the tokens are still stored and this process goes on
        // with them.
        self.store.clear(&self.key).await?;
        self.state().pending = None;
        let mut published = self.write_published();
        let known = published.current.take().map(|current| current.tokens);
        // A task that is under way may hold the generation of the store or that of this process. It
        // must not publish either of them again (`what_was_read_before_it_was_forgotten_is_not_used`).
        let cleared = [
            known.map(|tokens| tokens.generation),
            kept.map(|tokens| tokens.generation),
        ];
        published.cleared = cleared
            .into_iter()
            .flatten()
            .fold(published.cleared, u64::max);
        Ok(())
    }

    /// Begins to store new tokens that could not be stored when they came.
    pub(crate) fn store_pending(self: &Arc<Self>) {
        let pending = self.state().pending.is_some();
        if pending {
            // Its task stores them before it does anything else.
            self.renewal(None);
        }
    }

    /// Whether nothing would be lost if it were made anew: nothing is under way, new tokens do not wait
    /// for the store, and no refresh has failed that would be tried again too early.
    pub(crate) fn is_at_rest(&self) -> bool {
        let now = self.elapsed();
        let state = self.state();
        let waits = state.failure.as_ref().is_some_and(|failure| {
            // The service refuses again what it has refused.
            failure.next.is_none_or(|next| now < next)
        });
        let renewed = self.current().and_then(|current| current.after_refusal);
        let pauses = renewed.is_some_and(|at| now.saturating_sub(at) < PAUSE);
        state.renewing.is_none() && state.pending.is_none() && !waits && !pauses
    }

    /// The state of the access. Nothing is sent.
    pub(crate) async fn health(&self) -> Result<Health> {
        let stored = self.store.load(&self.key).await?;
        let state = self.state();
        let generation = stored.as_ref().map(|tokens| tokens.generation);
        let failure = state
            .failure
            .as_ref()
            .filter(|failure| Some(failure.generation) == generation);
        Ok(Health {
            expires_at: stored.as_ref().map(|tokens| tokens.expires_at),
            last_success: stored.as_ref().map(|tokens| tokens.issued_at),
            last_failure: state.last_failure.clone(),
            next_refresh: failure.and_then(|failure| self.at(failure.next?)),
            reauthorization_needed: stored.is_none()
                || failure.is_some_and(|failure| failure.next.is_none()),
        })
    }

    /// Waits for the task, in steps, as long as it makes sense; falls back to what is still
    /// valid.
    async fn renewed(self: &Arc<Self>, refused: Option<u64>) -> Result<Arc<Tokens>> {
        let wire = &self.protocol.wire;
        let usable = || {
            let valid = |tokens: &Arc<Tokens>| {
                self.now() < tokens.expires_at && Some(tokens.generation) != refused
            };
            self.current().map(|current| current.tokens).filter(valid)
        };
        // With valid tokens a caller waits for `short`, and then uses what it has.
        let short = self.short();
        let began = self.elapsed();
        let mut joined = pin!(self.join(refused));
        let result = loop {
            let mut changed = pin!(self.changed.notified());
            // Looked at only after this: what is published in between is not missed.
            changed.as_mut().enable();
            // Looked at anew each time: tokens may come from the store after a restart
            // (`the_first_call_after_a_restart_waits_no_longer_than_any_other`), and expire while the
            // caller waits (`a_call_whose_token_expires_meanwhile_waits_for_the_refresh`).
            let limit = match usable() {
                Some(tokens) if self.held_back(tokens.generation).is_some() => return Ok(tokens),
                Some(_) => short,
                None => wire.timeouts.operation,
            };
            let left = limit.saturating_sub(self.elapsed().saturating_sub(began));
            if left.is_zero() {
                break Err(Error::new(Kind::Timeout(limit)));
            }
            // A task of another runtime is looked after in short steps: if that runtime has stopped,
            // nothing ever wakes this caller (`a_runtime_that_stands_still_holds_nobody_up_for_ever`).
            let is_elsewhere = self.runs_elsewhere().is_some();
            let step = if is_elsewhere { left.min(short) } else { left };
            match wire.within(step, select(joined.as_mut(), changed)).await {
                Some(Either::Left((result, _))) => break result,
                Some(Either::Right(_)) => {}
                None if is_elsewhere && self.forget_stopped(short).await => {
                    joined.set(self.join(refused));
                }
                None => {}
            }
        };
        // An early refresh that fails does not take away what is still good
        // (`an_early_refresh_that_fails_takes_nothing_away_and_is_not_hammered`).
        result.or_else(|error| usable().ok_or_else(|| self.caller_error(error)))
    }

    /// The result of the task.
    async fn join(self: &Arc<Self>, refused: Option<u64>) -> Result<Arc<Tokens>> {
        // One repeat only. The second task begins after the 401, so that its result holds whatever
        // it is.
        let mut again = true;
        loop {
            let renewal = self.renewal(refused);
            match renewal.ended.clone().await {
                // A task that began before the 401 may have found the refused tokens good.
                RenewalOutcome::Done(Ok(tokens)) if Some(tokens.generation) == refused && again => {
                }
                RenewalOutcome::Done(result) => return result,
                // The runtime that the task ran on is gone; ours is not.
                RenewalOutcome::Stopped if again => {}
                RenewalOutcome::Stopped => {
                    return Err(Error::new(Kind::Store("the refresh was stopped".into())));
                }
            }
            again = false;
            self.forget(renewal.id);
        }
    }

    /// The task that is under way, or a new one.
    fn renewal(self: &Arc<Self>, refused: Option<u64>) -> Renewal {
        // Held until the task is entered: two callers must not begin two tasks, and a task that
        // ends at once waits in `forget` until its entry is there. Nothing is awaited meanwhile.
        let mut state = self.state();
        if let Some(renewal) = &state.renewing {
            return renewal.clone();
        }
        let this = Arc::clone(self);
        // Detached: it goes on when every caller is gone (`callers_that_go_away_lose_nothing`).
        let task = self.protocol.detached.spawn(async move {
            let result = this.renew(refused).await;
            this.forget(task::id());
            result
        });
        let id = task.id();
        let ended = async move {
            match task.await {
                Ok(result) => RenewalOutcome::Done(result),
                Err(_) => RenewalOutcome::Stopped,
            }
        };
        let renewal = Renewal {
            id,
            ended: ended.boxed().shared(),
            runtime: Handle::current(),
        };
        state.renewing = Some(renewal.clone());
        renewal
    }

    fn forget(&self, id: task::Id) {
        // By its id: another task may have taken its place.
        let mut state = self.state();
        if state.renewing.as_ref().is_some_and(|task| task.id == id) {
            state.renewing = None;
        }
    }

    /// The task under way, if it runs on another runtime than the caller.
    fn runs_elsewhere(&self) -> Option<Renewal> {
        let renewal = self.state().renewing.clone()?;
        (renewal.runtime.id() != Handle::current().id()).then_some(renewal)
    }

    /// Forgets the task under way if its runtime has stopped: it would never end.
    async fn forget_stopped(&self, patience: Duration) -> bool {
        let Some(renewal) = self.runs_elsewhere() else {
            return false;
        };
        // A handle does not say whether its runtime still runs. An empty task that ends does.
        let probe = renewal.runtime.spawn(async {});
        let runs = matches!(
            self.protocol.wire.within(patience, probe).await,
            Some(Ok(()))
        );
        if !runs {
            self.forget(renewal.id);
            // It may only sleep. Should it wake up, the lease must keep the two apart.
            self.state().holder = holder();
        }
        !runs
    }

    /// Lets callers read tokens that are newer than theirs; returns what they read now. It is the
    /// only rule: see the module's page.
    fn publish(&self, new: CurrentTokens) -> Result<Arc<Tokens>> {
        let now = self.now();
        let mut published = self.write_published();
        let generation = new.tokens.generation;
        let newer = match &published.current {
            Some(known) => generation > known.tokens.generation || known.tokens.expires_at <= now,
            None => generation > published.cleared,
        };
        if newer {
            published.current = Some(new);
            // Waiters enable their notification before they read, so that none of them misses this
            // one.
            self.changed.notify_waiters();
        }
        match &published.current {
            Some(current) => Ok(Arc::clone(&current.tokens)),
            None => Err(self.key.has_none()),
        }
    }

    /// Loads the entry. An answer of Discovery in it is adopted if it is newer than the one in force.
    async fn load(&self) -> Result<Option<Tokens>> {
        let stored = self.store.load(&self.key).await?;
        if let Some(discovered) = stored.as_ref().and_then(|kept| kept.discovered.as_ref()) {
            self.protocol.directory.adopt(discovered, self.now());
        }
        Ok(stored)
    }

    /// No call is held up for longer by what it can do without: 5 seconds by default.
    fn short(&self) -> Duration {
        self.protocol.wire.timeouts.attempt / 6
    }

    /// Tokens as they were issued or loaded, with the time of their refresh. The answer of Discovery
    /// is left out: the directory has it once for all accounts.
    fn fresh(&self, tokens: Tokens) -> CurrentTokens {
        let tokens = Tokens {
            discovered: None,
            ..tokens
        };
        CurrentTokens {
            // Drawn here, so that `due` stays pure.
            due: due(&tokens, fastrand::f64()),
            tokens: Arc::new(tokens),
            after_refusal: None,
        }
    }

    fn current(&self) -> Option<CurrentTokens> {
        let published = self.published.read();
        let published = published.unwrap_or_else(PoisonError::into_inner);
        published.current.clone()
    }

    fn write_published(&self) -> RwLockWriteGuard<'_, PublishedTokens> {
        let published = self.published.write();
        // Tokens are replaced in one assignment, so a panic leaves them whole.
        published.unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each field is set in one assignment, so a panic leaves none half written. A refresh that
        // panicked must not end all later ones (`a_renewal_that_panics_is_followed_by_others`).
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        self.protocol.wire.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.protocol.wire.clock.elapsed()
    }

    /// The time of day at a moment of elapsed time.
    fn at(&self, elapsed: Duration) -> Option<SystemTime> {
        let left = elapsed.saturating_sub(self.elapsed());
        self.now().checked_add(left)
    }
}

/// Five minutes before the end, or a quarter of the life where that is shorter, and by chance
/// (0 to 1) up to a fifth of that earlier.
fn due(tokens: &Tokens, chance: f64) -> SystemTime {
    const EARLY: Duration = Duration::from_secs(5 * 60);
    // Tokens that expire before they were issued come from a wrong clock: they are due when they
    // expire.
    let life = tokens.expires_at.duration_since(tokens.issued_at);
    let early = EARLY.min(life.unwrap_or_default() / 4);
    let early = early + early.mul_f64(chance.clamp(0.0, 1.0) / 5.0);
    tokens
        .expires_at
        .checked_sub(early)
        .unwrap_or(tokens.expires_at)
}

/// A name that nobody else has.
fn holder() -> String {
    // Sixteen random bytes in 22 characters; a store must take 64.
    oauth2::CsrfToken::new_random().into_secret()
}

/// A number that no entry had before.
fn unused_generation() -> u64 {
    // The machine's clock, not the client's: that of a test may not move.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // Microseconds since 1970 fit for half a million years. A clock before 1970 makes it 0.
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(1)
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_due_before_they_expire() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (life, chance, due_at) in [
            (3600, 0.0, 3300),
            (3600, 1.0, 3240),
            (86_400, 0.5, 86_070),
            (1200, 0.0, 900),
            (60, 0.0, 45),
            (60, 1.0, 42),
            (0, 1.0, 0),
        ] {
            let tokens = Tokens {
                access: "a".into(),
                refresh: None,
                issued_at: at(1000),
                expires_at: at(1000 + life),
                generation: 1,
                discovered: None,
            };
            assert_eq!(due(&tokens, chance), at(1000 + due_at), "{life} {chance}");
        }
    }
}
