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

/// Gives out the tokens of one login or account.
pub(crate) struct TokenSource {
    key: TokenKey,
    store: Arc<dyn TokenStore>,
    protocol: Protocol,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Tokens>>,
    /// The task under way, with its number, and the last number given.
    renewing: Option<(u64, Renewal)>,
    tasks: u64,
}

type Renewal = Shared<BoxFuture<'static, Result<Arc<Tokens>>>>;

impl TokenSource {
    pub(crate) fn new(key: TokenKey, store: Arc<dyn TokenStore>, protocol: Protocol) -> Self {
        TokenSource {
            key,
            store,
            protocol,
            state: Mutex::default(),
        }
    }

    /// Tokens that are good now.
    pub(crate) async fn tokens(self: &Arc<Self>) -> Result<Arc<Tokens>> {
        let now = self.protocol.wire.clock.now();
        let (known, renewal) = {
            let mut state = self.state();
            match &state.current {
                Some(tokens) if now + EARLY < tokens.expires_at => return Ok(Arc::clone(tokens)),
                current => (current.clone(), self.renewal(&mut state, None)),
            }
        };
        match (renewal.await, known) {
            // An early renewal that fails does not take away what is still good.
            (Err(_), Some(tokens)) if now < tokens.expires_at => Ok(tokens),
            (renewed, _) => renewed,
        }
    }

    /// Tokens other than those of `refused`, which the service answered with 401. If newer ones
    /// are there already, nothing is renewed.
    pub(crate) async fn tokens_after(self: &Arc<Self>, refused: u64) -> Result<Arc<Tokens>> {
        let renewal = {
            let mut state = self.state();
            match &state.current {
                Some(tokens) if tokens.generation > refused => return Ok(Arc::clone(tokens)),
                _ => self.renewal(&mut state, Some(refused)),
            }
        };
        renewal.await
    }

    /// Stores tokens that were issued anew, and uses them from now on.
    pub(crate) async fn replace(&self, mut tokens: Tokens) -> Result<()> {
        if let Some(before) = self.store.load(&self.key).await? {
            tokens.generation = before.generation + 1;
        }
        self.store.save(&self.key, &tokens).await?;
        self.state().current = Some(Arc::new(tokens));
        Ok(())
    }

    /// What is kept, good or not.
    pub(crate) async fn stored(&self) -> Result<Option<Tokens>> {
        self.store.load(&self.key).await
    }

    /// Forgets the tokens.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.store.clear(&self.key).await?;
        self.state().current = None;
        Ok(())
    }

    /// The task that is under way, or a new one.
    fn renewal(self: &Arc<Self>, state: &mut State, refused: Option<u64>) -> Renewal {
        if let Some((_, renewal)) = &state.renewing {
            return renewal.clone();
        }
        state.tasks += 1;
        let number = state.tasks;
        let this = Arc::clone(self);
        // Detached: it goes on when every caller is gone.
        let task = tokio::spawn(async move {
            let renewed = this.renew(refused).await.map(Arc::new);
            let mut state = this.state();
            if let Ok(tokens) = &renewed {
                state.current = Some(Arc::clone(tokens));
            }
            if state
                .renewing
                .as_ref()
                .is_some_and(|(under_way, _)| *under_way == number)
            {
                state.renewing = None;
            }
            drop(state);
            renewed
        });
        let renewal: Renewal = async move {
            task.await.unwrap_or_else(|error| {
                Err(Error::new(Kind::Store("the renewal was stopped".into())).with_source(error))
            })
        }
        .boxed()
        .shared();
        state.renewing = Some((number, renewal.clone()));
        renewal
    }

    /// What is stored, if it is good; else it is refreshed, stored and only then given out.
    async fn renew(&self, refused: Option<u64>) -> Result<Tokens> {
        let Some(stored) = self.store.load(&self.key).await? else {
            return Err(Error::new(Kind::Reauthorization("no tokens are stored")));
        };
        let now: SystemTime = self.protocol.wire.clock.now();
        let was_refused = refused.is_some_and(|generation| stored.generation <= generation);
        if !was_refused && now + EARLY < stored.expires_at {
            return Ok(stored);
        }
        let renewed = self.protocol.refresh(&stored).await?;
        self.store.save(&self.key, &renewed).await?;
        Ok(renewed)
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
