//! The life of one account's tokens.
//!
//! Callers never refresh. They ask for a token; if it has to be renewed, one detached task does
//! it and all of them wait for its result. A caller that goes away takes nothing with it: the
//! task stores the new tokens before anybody uses them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::{Protocol, TokenKey, TokenStore, Tokens};
use crate::error::{Error, Kind, Result};

/// Tokens are renewed this long before they expire.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// After an early renewal that failed, the next one is tried this much later: a service that is
/// down must not hold up every call that could do without it.
const PAUSE: Duration = Duration::from_secs(30);

/// Gives out the tokens of one login or account.
pub(crate) struct TokenSource {
    key: TokenKey,
    store: Arc<dyn TokenStore>,
    protocol: Protocol,
    state: Mutex<State>,
    /// Held by whoever changes what is stored: a renewal that is under way must neither bring
    /// back tokens that are forgotten meanwhile, nor replace those of a new pairing.
    changing: tokio::sync::Mutex<Unsaved>,
}

/// Tokens that could not be stored. The refresh token that brought them may have been good for
/// one use: the next renewal stores them instead of asking for others.
type Unsaved = Option<Tokens>;

#[derive(Default)]
struct State {
    current: Option<Arc<Tokens>>,
    /// The highest generation so far. It outlives the tokens: those that follow are newer.
    newest: u64,
    /// No early renewal before this time.
    paused_until: Option<SystemTime>,
    /// The task under way.
    renewing: Option<Renewal>,
}

type Renewal = Shared<BoxFuture<'static, Result<Arc<Tokens>>>>;

impl TokenSource {
    pub(crate) fn new(key: TokenKey, store: Arc<dyn TokenStore>, protocol: Protocol) -> Self {
        TokenSource {
            key,
            store,
            protocol,
            state: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Tokens that are good now.
    pub(crate) async fn tokens(self: &Arc<Self>) -> Result<Arc<Tokens>> {
        let now = self.protocol.wire.clock.now();
        let (known, renewal) = {
            let mut state = self.state();
            match &state.current {
                Some(tokens) if now + EARLY < tokens.expires_at => return Ok(Arc::clone(tokens)),
                Some(tokens)
                    if now < tokens.expires_at
                        && state.paused_until.is_some_and(|until| now < until) =>
                {
                    return Ok(Arc::clone(tokens));
                }
                current => (current.clone(), self.renewal(&mut state, None)),
            }
        };
        match (renewal.await, known) {
            // What is in use and still good is not taken away by a store that fails.
            (Err(_), Some(tokens)) if now < tokens.expires_at => Ok(tokens),
            (renewed, _) => renewed,
        }
    }

    /// Tokens other than those of `refused`, which the service answered with 401. If newer ones
    /// are there already, nothing is renewed.
    pub(crate) async fn tokens_after(self: &Arc<Self>, refused: u64) -> Result<Arc<Tokens>> {
        loop {
            let renewal = {
                let mut state = self.state();
                match &state.current {
                    Some(tokens) if tokens.generation > refused => return Ok(Arc::clone(tokens)),
                    _ => self.renewal(&mut state, Some(refused)),
                }
            };
            let renewed = renewal.await?;
            if renewed.generation > refused {
                return Ok(renewed);
            }
            // It began before the refusal, and kept what was refused.
        }
    }

    /// Stores tokens that were issued anew, and uses them from now on.
    pub(crate) async fn replace(&self, mut tokens: Tokens) -> Result<()> {
        let mut unsaved = self.changing.lock().await;
        let before = self.store.load(&self.key).await?;
        let before = before.map_or(0, |tokens| tokens.generation);
        tokens.generation = before.max(self.state().newest) + 1;
        self.store.save(&self.key, &tokens).await?;
        *unsaved = None;
        self.publish(tokens);
        Ok(())
    }

    /// What is kept, good or not.
    pub(crate) async fn stored(&self) -> Result<Option<Tokens>> {
        self.store.load(&self.key).await
    }

    /// Forgets the tokens.
    pub(crate) async fn clear(&self) -> Result<()> {
        let mut unsaved = self.changing.lock().await;
        self.forget(&mut unsaved).await
    }

    /// Revokes the tokens and forgets them; nothing to do if there are none.
    pub(crate) async fn revoke(&self) -> Result<()> {
        let mut unsaved = self.changing.lock().await;
        let stored = self.store.load(&self.key).await?;
        match unsaved.clone().or(stored) {
            Some(tokens) => {
                self.protocol.revoke(&tokens).await?;
                self.forget(&mut unsaved).await
            }
            None => Ok(()),
        }
    }

    async fn forget(&self, unsaved: &mut Unsaved) -> Result<()> {
        self.store.clear(&self.key).await?;
        *unsaved = None;
        self.state().current = None;
        Ok(())
    }

    /// The task that is under way, or a new one.
    fn renewal(self: &Arc<Self>, state: &mut State, refused: Option<u64>) -> Renewal {
        if let Some(renewal) = &state.renewing {
            return renewal.clone();
        }
        let this = Arc::clone(self);
        // Detached: it goes on when every caller is gone.
        let task = tokio::spawn(async move {
            let renewed = this.renew(refused).await;
            this.state().renewing = None;
            renewed
        });
        let this = Arc::downgrade(self);
        let renewal: Renewal = async move {
            task.await.unwrap_or_else(|error| {
                // A store of somebody's making panicked, or the runtime has ended: the next
                // caller begins anew.
                if let Some(this) = this.upgrade() {
                    this.state().renewing = None;
                }
                Err(Error::new(Kind::Store("the renewal was stopped".into())).with_source(error))
            })
        }
        .boxed()
        .shared();
        state.renewing = Some(renewal.clone());
        renewal
    }

    /// What is stored, if it is good; else it is refreshed, stored and only then given out.
    async fn renew(&self, refused: Option<u64>) -> Result<Arc<Tokens>> {
        let mut unsaved = self.changing.lock().await;
        let Some(mut stored) = self.store.load(&self.key).await? else {
            return Err(Error::new(Kind::Reauthorization("no tokens are stored")));
        };
        if let Some(tokens) = &*unsaved
            && tokens.generation > stored.generation
        {
            self.store.save(&self.key, tokens).await?;
            stored = tokens.clone();
        }
        *unsaved = None;
        let now: SystemTime = self.protocol.wire.clock.now();
        let was_refused = refused.is_some_and(|generation| stored.generation <= generation);
        if !was_refused && now + EARLY < stored.expires_at {
            return Ok(self.publish(stored));
        }
        let mut renewed = match self.protocol.refresh(&stored).await {
            Ok(renewed) => renewed,
            // An early renewal that fails does not take away what is still good.
            Err(_) if !was_refused && now < stored.expires_at => {
                self.state().paused_until = Some(now + PAUSE);
                return Ok(self.publish(stored));
            }
            Err(error) => return Err(error),
        };
        let older = self.state().newest.max(refused.unwrap_or_default());
        renewed.generation = renewed.generation.max(older + 1);
        *unsaved = Some(renewed.clone());
        self.store.save(&self.key, &renewed).await?;
        *unsaved = None;
        Ok(self.publish(renewed))
    }

    /// Gives tokens that are stored to all callers from now on.
    fn publish(&self, tokens: Tokens) -> Arc<Tokens> {
        let tokens = Arc::new(tokens);
        let mut state = self.state();
        state.newest = state.newest.max(tokens.generation);
        state.current = Some(Arc::clone(&tokens));
        tokens
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
