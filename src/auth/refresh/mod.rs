//! The life of one account's tokens.
//!
//! *Problem.* A user signs in once; after that the access has to last for years, over restarts,
//! crashes, several processes, and refresh tokens that are good for one use. It is lost when two
//! refreshes use the same token, when a caller that goes away takes the answer with it, and when
//! a process dies between the answer and the disk.
//!
//! *Default.* Callers never refresh. They ask for a token; if one is due, a detached task
//! refreshes it, and all callers share its result, success and failure alike. Who goes away
//! loses nothing. The task follows the protocol of [`TokenStore`](super::TokenStore):
//!
//! - It loads the entry. If the entry is good already (another process was faster), that is the
//!   result, and nothing is sent.
//! - It asks *Discovery*, as documented, at most every ten minutes (convention); if that fails,
//!   the endpoints stay as they are.
//! - It claims the right to refresh, sends the refresh token, swaps the new tokens in, and only
//!   then gives them out.
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
//! late 401 for an older token refreshes nothing, and a token that was just issued for such a
//! reason and never worked is not refreshed for another minute.

mod failure;
mod task;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::health::Health;
use super::{Protocol, TokenKey, TokenStore, Tokens};
use crate::error::{Error, Kind, Result};
use failure::Failure;
use task::Pending;

/// How long a token that came after a 401, and is refused as well, is not refreshed again.
const PAUSE: Duration = Duration::from_secs(60);

/// Gives out the tokens of one login or account.
pub(crate) struct TokenSource {
    key: TokenKey,
    store: Arc<dyn TokenStore>,
    protocol: Protocol,
    /// The name that this source claims under.
    holder: String,
    /// What fresh calls read. It is written in one step, never while anything is awaited.
    current: RwLock<Option<Current>>,
    /// The last generation that the service accepted.
    worked: AtomicU64,
    state: Mutex<State>,
}

#[derive(Clone)]
struct Current {
    tokens: Arc<Tokens>,
    /// When to refresh.
    due: SystemTime,
}

#[derive(Default)]
struct State {
    /// Counts the times that tokens were replaced or cleared from outside of the task: one that
    /// began before does not publish what it found.
    epoch: u64,
    /// The task under way, with its number, and the last number given.
    renewing: Option<(u64, Renewal)>,
    tasks: u64,
    /// New tokens that could not be stored yet.
    pending: Option<Pending>,
    /// The last refresh, if it failed.
    failure: Option<Failure>,
    /// The last failure of all, for the dashboard.
    last_failure: Option<(SystemTime, Error)>,
    /// The generation that came after a 401, and when.
    reactive: Option<(u64, SystemTime)>,
}

type Renewal = Shared<BoxFuture<'static, Ended>>;

/// How a task ended.
#[derive(Clone)]
enum Ended {
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
            holder: oauth2::CsrfToken::new_random().into_secret(),
            current: RwLock::default(),
            worked: AtomicU64::new(0),
            state: Mutex::default(),
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
        let now = self.now();
        match self.current() {
            Some(current) if current.tokens.generation != refused => {
                return self.tokens().await.map(Some);
            }
            _ => {}
        }
        let just_renewed = self
            .state()
            .reactive
            .is_some_and(|(generation, at)| generation == refused && now < at + PAUSE);
        if just_renewed && self.worked.load(Ordering::Relaxed) != refused {
            return Ok(None);
        }
        let tokens = self.renewed(Some(refused)).await?;
        let mut state = self.state();
        if state
            .reactive
            .is_none_or(|(generation, _)| generation != tokens.generation)
        {
            state.reactive = Some((tokens.generation, self.now()));
        }
        Ok(Some(tokens))
    }

    /// The service accepted a token.
    pub(crate) fn accepted(&self, tokens: &Tokens) {
        self.worked.store(tokens.generation, Ordering::Relaxed);
    }

    /// Whether new tokens could be stored: asked before something is spent that is good for one use.
    pub(crate) async fn probe(&self) -> Result<()> {
        self.store.probe(&self.key).await
    }

    /// Stores tokens that were issued anew, and uses them from now on.
    pub(crate) async fn replace(&self, mut tokens: Tokens) -> Result<()> {
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
            // Another process has refreshed or paired just now. Ours are newer.
        }
        let due = self.due(&tokens);
        self.reset(Some(Current {
            tokens: Arc::new(tokens),
            due,
        }));
        Ok(())
    }

    /// What is kept, good or not.
    pub(crate) async fn stored(&self) -> Result<Option<Tokens>> {
        self.store.load(&self.key).await
    }

    /// What is kept when the refresh under way has ended, if there is one: what is to be
    /// revoked.
    pub(crate) async fn settled(&self) -> Result<Option<Tokens>> {
        let under_way = self.state().renewing.as_ref().map(|(_, task)| task.clone());
        if let Some(task) = under_way {
            let limit = self.protocol.wire.timeouts.operation;
            // However it ended: what counts is what is kept.
            let _ = self.protocol.wire.within(limit, task).await;
        }
        self.store.load(&self.key).await
    }

    /// Forgets the tokens.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.store.clear(&self.key).await?;
        self.reset(None);
        Ok(())
    }

    /// How things stand. Nothing is sent.
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
            next_refresh: failure.and_then(|failure| failure.next),
            reauthorization_needed: stored.is_none()
                || failure.is_some_and(|failure| failure.next.is_none()),
        })
    }

    /// Waits for the task, as long as it makes sense; falls back to what is still valid.
    async fn renewed(self: &Arc<Self>, refused: Option<u64>) -> Result<Arc<Tokens>> {
        let usable = || {
            let valid = |tokens: &Arc<Tokens>| {
                self.now() < tokens.expires_at && Some(tokens.generation) != refused
            };
            self.current().map(|current| current.tokens).filter(valid)
        };
        let wire = &self.protocol.wire;
        let limit = match usable() {
            Some(tokens) if self.held_back(tokens.generation).is_some() => return Ok(tokens),
            // No call is held up for long by what it can do without: 5 seconds by default.
            Some(_) => wire.timeouts.attempt / 6,
            None => wire.timeouts.operation,
        };
        let result = match wire.within(limit, self.join(refused)).await {
            Some(result) => result,
            None => Err(Error::new(Kind::Timeout(limit))),
        };
        // An early refresh that fails does not take away what is still good.
        result.or_else(|error| usable().ok_or_else(|| self.told(error)))
    }

    /// The result of the task.
    async fn join(self: &Arc<Self>, refused: Option<u64>) -> Result<Arc<Tokens>> {
        let mut again = true;
        loop {
            let (number, renewal) = self.renewal(refused);
            match renewal.await {
                // A task that began before the 401 may have found the refused tokens good.
                Ended::Done(Ok(tokens)) if Some(tokens.generation) == refused && again => {}
                Ended::Done(result) => return result,
                // The runtime that the task ran on is gone; ours is not.
                Ended::Stopped if again => {}
                Ended::Stopped => {
                    return Err(Error::new(Kind::Store("the refresh was stopped".into())));
                }
            }
            again = false;
            self.forget(number);
        }
    }

    /// The task that is under way, or a new one.
    fn renewal(self: &Arc<Self>, refused: Option<u64>) -> (u64, Renewal) {
        let mut state = self.state();
        if let Some((number, renewal)) = &state.renewing {
            return (*number, renewal.clone());
        }
        state.tasks += 1;
        let number = state.tasks;
        let this = Arc::clone(self);
        // Detached: it goes on when every caller is gone.
        let task = tokio::spawn(async move {
            let result = this.renew(refused).await;
            this.forget(number);
            result
        });
        let renewal: Renewal = async move {
            match task.await {
                Ok(result) => Ended::Done(result),
                Err(_) => Ended::Stopped,
            }
        }
        .boxed()
        .shared();
        state.renewing = Some((number, renewal.clone()));
        (number, renewal)
    }

    fn forget(&self, number: u64) {
        let mut state = self.state();
        if matches!(&state.renewing, Some((under_way, _)) if *under_way == number) {
            state.renewing = None;
        }
    }

    /// Gives out what the task found, unless the tokens were replaced or cleared meanwhile:
    /// then what they were replaced by.
    fn publish(&self, epoch: u64, current: Current) -> Result<Arc<Tokens>> {
        let state = self.state();
        let mut place = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if state.epoch == epoch {
            *place = Some(current);
        }
        match &*place {
            Some(current) => Ok(Arc::clone(&current.tokens)),
            None => Err(not_signed_in()),
        }
    }

    /// Begins anew with what was issued, or with nothing.
    fn reset(&self, current: Option<Current>) {
        let mut state = self.state();
        state.epoch += 1;
        state.pending = None;
        state.failure = None;
        state.reactive = None;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// When to refresh tokens.
    fn due(&self, tokens: &Tokens) -> SystemTime {
        due(tokens, fastrand::f64())
    }

    fn current(&self) -> Option<Current> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        self.protocol.wire.clock.now()
    }
}

/// For calls that cannot do without tokens.
pub(crate) fn not_signed_in() -> Error {
    Error::new(Kind::Reauthorization("no tokens are stored"))
}

/// Five minutes before the end, or a quarter of the life where that is shorter, and by chance
/// (0 to 1) up to a fifth of that earlier.
fn due(tokens: &Tokens, chance: f64) -> SystemTime {
    const EARLY: Duration = Duration::from_secs(5 * 60);
    let life = tokens.expires_at.duration_since(tokens.issued_at);
    let early = EARLY.min(life.unwrap_or_default() / 4);
    let early = early + early.mul_f64(chance.clamp(0.0, 1.0) / 5.0);
    tokens
        .expires_at
        .checked_sub(early)
        .unwrap_or(tokens.expires_at)
}

/// A number that no entry had before.
fn unused_generation() -> u64 {
    // The machine's clock, not the client's: one of a test may stand still.
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
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
            };
            assert_eq!(due(&tokens, chance), at(1000 + due_at), "{life} {chance}");
        }
    }
}
