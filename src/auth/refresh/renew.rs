//! What the detached task does: the one place that sends a refresh token.
//!
//! *Problem.* A refresh token may be good for one use. Sent by two processes, or sent with its
//! answer lost, it costs the access; a process can die between any two lines.
//!
//! *Approach.* Claim, send, store, publish, in this order. It must not send a refresh token without
//! the lease, nor publish new tokens before they are stored.

use std::sync::Arc;
use std::time::Duration;

use super::{CurrentTokens, TokenSource};
use crate::auth::Tokens;
use crate::error::{Error, Kind, Result, SendState};

/// The waits between two reads of an entry that another process refreshes: the first, doubled up to the
/// second. The first is short for a refresh that is nearly done; the second spares the store while a
/// holder that died is waited for.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How often a store is asked in all to keep new tokens, with waits in between.
const SAVES: u32 = 3;

/// New tokens that are not stored yet, and the generation that they replace.
#[derive(Clone)]
pub(super) struct PendingTokens {
    expected: u64,
    tokens: Tokens,
}

/// How far an attempt came.
enum RefreshOutcome {
    New(Tokens),
    /// The store has something else meanwhile.
    Changed,
    /// Somebody else refreshes.
    Held,
}

impl TokenSource {
    /// What is stored, if it is good; otherwise it is refreshed, stored and only then returned.
    pub(super) async fn renew(&self, refused: Option<u64>) -> Result<Arc<Tokens>> {
        let result = self.look_and_refresh(refused).await;
        match &result {
            // Failures of the service are noted where they happen, once.
            Err(error) if error.is_store() || matches!(error.kind(), Kind::RefreshLocked) => {
                self.note(error);
            }
            _ => {}
        }
        result
    }

    async fn look_and_refresh(&self, refused: Option<u64>) -> Result<Arc<Tokens>> {
        // Read once: a task that slept while its runtime was taken for stopped goes on under its
        // old name, so that the lease keeps it apart from its successor.
        let holder = self.state().holder.clone();
        let mut waits = Waits::new(self.lease());
        let issued = |tokens| CurrentTokens {
            after_refusal: refused.map(|_| self.elapsed()),
            ..self.fresh(tokens)
        };
        loop {
            if let Some(saved) = self.save_pending().await? {
                return self.publish(issued(saved));
            }
            let Some(stored) = self.load().await? else {
                return Err(self.key.has_none());
            };
            let generation = stored.generation;
            let current = self.fresh(stored);
            // Also where it is due: if the refresh fails it may still be valid.
            let newest = self.publish(current.clone())?;
            let is_newest = newest.generation == generation;
            if Some(newest.generation) != refused && (!is_newest || self.now() < current.due) {
                return Ok(newest);
            }
            if let Some(error) = self.held_back(generation) {
                return Err(error);
            }
            // Before the claim: the lease is for the refresh alone, and a Discovery that hangs must not
            // use it up.
            self.protocol.discover_before_refresh().await;
            match self.claim_and_refresh(&holder, &current.tokens).await {
                Ok(RefreshOutcome::New(tokens)) => {
                    #[cfg(feature = "tracing")]
                    tracing::debug!(target: "lab_connector", "the token is renewed");
                    return self.publish(issued(tokens));
                }
                Ok(RefreshOutcome::Changed) => {}
                Ok(RefreshOutcome::Held) => self.wait(waits.next()?).await,
                Err(error) => {
                    // A courtesy to the others, as the lease ends by itself; also where the
                    // claim itself failed, which may have been granted. Not while new tokens
                    // wait for the store: nobody may send the old ones.
                    if self.state().pending.is_none() {
                        let _ = self.claim(&holder, generation, Duration::ZERO).await;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Under a lease: sends the refresh token and stores what comes.
    async fn claim_and_refresh(&self, holder: &str, stored: &Tokens) -> Result<RefreshOutcome> {
        let claim = || self.claim(holder, stored.generation, self.lease());
        // While the lease holds nobody else sends this token. A holder that dies costs the others
        // the rest of the lease.
        if !claim().await? {
            return Ok(RefreshOutcome::Held);
        }
        // Before the token is spent: a store without room could not keep the new one
        // (`nothing_is_spent_whose_tokens_could_not_be_kept`).
        self.probe().await?;
        let mut answer = self.protocol.refresh(&self.key, stored).await;
        let is_worth = |error| deserves_another(error) && self.budget.take(error, self.elapsed());
        if answer.as_ref().is_err_and(is_worth) {
            // The entry is read first: another process may have replaced it. The first attempt may
            // have used up the lease, so it is claimed anew.
            if !self.is_kept(stored).await? || !claim().await? {
                return Ok(RefreshOutcome::Changed);
            }
            let again = self.protocol.refresh(&self.key, stored).await;
            answer = again.map_err(|error| error.with_attempts(2));
        }
        match answer {
            Ok(mut tokens) => {
                self.budget.succeeded();
                tokens.discovered = self.protocol.directory.answer();
                // Kept in memory before the store is asked: if it fails, the next task stores them
                // first, and nobody sends the old token again. A process that dies here loses them,
                // in whatever order.
                self.state().pending = Some(PendingTokens {
                    expected: stored.generation,
                    tokens,
                });
                Ok(match self.save_pending().await? {
                    Some(tokens) => RefreshOutcome::New(tokens),
                    None => RefreshOutcome::Changed,
                })
            }
            Err(error) => {
                // A refusal of a token that another process has replaced meanwhile is that process's
                // success (`before_a_person_is_asked_the_store_is`).
                if error.is_reauthorization_needed() && !self.is_kept(stored).await? {
                    return Ok(RefreshOutcome::Changed);
                }
                self.failed(stored.generation, &error);
                Err(error)
            }
        }
    }

    /// Stores the tokens that wait for it; returns what is in force after that.
    async fn save_pending(&self) -> Result<Option<Tokens>> {
        let Some(PendingTokens { expected, tokens }) = self.state().pending.clone() else {
            return Ok(None);
        };
        let mut tries = 1;
        let swapped = loop {
            match self.store.swap(&self.key, Some(expected), &tokens).await {
                Ok(swapped) => break swapped,
                // The tokens stay pending, so the next task tries again.
                Err(error) if tries == SAVES => return Err(error),
                // 100 ms, then 200 ms: enough for a lock that another process holds.
                Err(_) => self.wait(LOOK.0 * 2u32.pow(tries)).await,
            }
            tries += 1;
        };
        let in_force = if swapped {
            tokens
        } else {
            // A user signed in or paired meanwhile, or a swap that failed was made after all.
            match self.store.load(&self.key).await? {
                Some(kept) => kept,
                // The access was given up meanwhile, and so are the new tokens.
                None => {
                    self.state().pending = None;
                    return Err(self.key.has_none());
                }
            }
        };
        self.state().pending = None;
        Ok(Some(in_force))
    }

    async fn is_kept(&self, tokens: &Tokens) -> Result<bool> {
        let kept = self.store.load(&self.key).await?;
        Ok(kept.is_some_and(|kept| kept.generation == tokens.generation))
    }

    async fn claim(&self, holder: &str, generation: u64, lease: Duration) -> Result<bool> {
        self.store.claim(&self.key, generation, holder, lease).await
    }

    /// An attempt may take its time twice, for the head and for the body; the rest is reserve.
    fn lease(&self) -> Duration {
        self.protocol.wire.timeouts.attempt * 3
    }

    async fn wait(&self, time: Duration) {
        self.protocol.wire.clock.sleep(time).await;
    }
}

/// Whether a refresh deserves one repeat at once: it was not sent, or its answer was lost, and
/// with it perhaps tokens that a service with a period of grace gives out once more. A
/// refresh that is answered in any other way is not repeated.
fn deserves_another(error: &Error) -> bool {
    match error.kind() {
        Kind::Connect(_) | Kind::Timeout(_) | Kind::Interrupted => true,
        // Tokens may have been in an answer that broke or cannot be read.
        Kind::Decode(_) => error.status().is_some_and(|status| status.is_success()),
        Kind::Status(_) => matches!(
            error.status().map(|status| status.as_u16()),
            // Not 429 and 503: they ask for time, which a repeat at once does not grant.
            Some(500 | 502 | 504)
        ),
        _ => false,
    }
}

/// The waits of a process that did not get the lease. Their sum is bounded, also where the
/// clock of a test does not move: after the time of two leases the caller gets an error.
struct Waits {
    next: Duration,
    left: Duration,
}

impl Waits {
    fn new(lease: Duration) -> Self {
        Waits {
            next: LOOK.0,
            left: lease * 2,
        }
    }

    fn next(&mut self) -> Result<Duration> {
        // A quarter more or less, so that processes which wait for one lease do not read together.
        let wait = self.next.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.left = self
            .left
            .checked_sub(wait)
            .ok_or_else(|| Error::new(Kind::RefreshLocked).with_sent(SendState::No))?;
        self.next = (self.next * 2).min(LOOK.1);
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn only_a_lost_answer_is_asked_for_again() {
        let answered = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            Error::new(Kind::Status(status.to_string())).with_answer(status, None, None)
        };
        let garbled = Error::decode("x").with_answer(StatusCode::OK, None, None);
        for (error, again) in [
            (Error::new(Kind::Connect("a".into())), true),
            (Error::new(Kind::Timeout(Duration::ZERO)), true),
            (Error::new(Kind::Interrupted), true),
            (garbled, true),
            (answered(502), true),
            (answered(503), false),
            (answered(429), false),
            (answered(400), false),
            (answered(401), false),
            (Error::new(Kind::SignIn("x")), false),
            (Error::new(Kind::Origin("x".into())), false),
        ] {
            assert_eq!(deserves_another(&error), again, "{error}");
        }
    }

    #[test]
    fn waiting_for_another_process_ends() {
        let mut waits = Waits::new(Duration::from_secs(90));
        let mut sum = Duration::ZERO;
        while let Ok(wait) = waits.next() {
            assert!(wait <= LOOK.1.mul_f64(1.25));
            sum += wait;
        }
        assert!(sum > Duration::from_secs(170) && sum <= Duration::from_secs(180));
    }
}
