//! The attempts of one operation: the one place that decides whether there is another.
//!
//! *Problem.* Whether to try again depends on the error, the time that is left, what the account may
//! still spend on repeats, and whether a new token would help. Decided in two loops, it would be decided
//! in two ways.
//!
//! *Approach.* Calls and transfers each have a loop of their own, and go by this. `RetryPolicy::decide`
//! is pure; this module gathers what it needs and waits. All times are elapsed time: a clock that is
//! set while a call is under way neither ends it nor lets it run on
//! (`a_clock_that_is_set_does_not_end_a_call`). A request with an effect must not be sent again once it
//! may have arrived; only a 401 proves that it did nothing.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::SemaphorePermit;

use super::caller::Caller;
use super::limits::RequestLimits;
use super::trace::Trace;
use crate::auth::Tokens;
use crate::error::{Error, Kind, Result, SendState};
use crate::retry::{Budget, RetryEvent, RetryState, StopReason};

pub(super) struct Attempts<'a> {
    caller: &'a Caller,
    /// What repeats are taken from.
    budget: &'a Budget,
    trace: &'a Trace,
    title: &'static str,
    /// Whether the service may see the request more than once.
    repeatable: bool,
    tokens: Option<Arc<Tokens>>,
    /// When the operation began.
    began: Duration,
    /// When the time began that is left: later, where others were in the way, or where a transfer
    /// got further.
    since: Duration,
    made: u32,
    /// Attempts that do not count: the one that was answered with 401, and those before a transfer
    /// got further.
    forgiven: u32,
    /// Whether the tokens were renewed after a 401.
    renewed: bool,
}

impl<'a> Attempts<'a> {
    /// Begins with tokens, where the caller has any.
    pub(super) async fn begin(
        caller: &'a Caller,
        budget: &'a Budget,
        title: &'static str,
        repeatable: bool,
        trace: &'a Trace,
    ) -> Result<Self> {
        let wire = &caller.client.protocol().wire;
        let now = wire.clock.elapsed();
        let mut attempts = Attempts {
            caller,
            budget,
            trace,
            title,
            repeatable,
            tokens: None,
            began: now,
            since: now,
            made: 0,
            forgiven: 0,
            renewed: false,
        };
        if let Some(source) = caller.tokens() {
            // A refresh takes from the operation's time: the caller waits for it either way
            // (`a_call_without_a_token_waits_as_long_as_an_operation`).
            let tokens = wire.within(attempts.left(), source.tokens()).await;
            let tokens =
                tokens.unwrap_or_else(|| Err(attempts.timed_out().with_sent(SendState::No)));
            attempts.tokens = Some(tokens.map_err(|error| attempts.unauthorized(error))?);
        }
        Ok(attempts)
    }

    /// Begins an attempt: waits for a place in a lane that all accounts share. The wait is not the
    /// service's, and takes nothing from the operation's time.
    pub(super) async fn enter<'l>(
        &mut self,
        lane: &'l RequestLimits,
    ) -> Option<SemaphorePermit<'l>> {
        let clock = &self.caller.client.protocol().wire.clock;
        let asked = clock.elapsed();
        let place = lane.enter(&**clock).await;
        self.since += clock.elapsed().saturating_sub(asked);
        // After the wait: one that is dropped in the queue has made no attempt.
        self.made += 1;
        place
    }

    pub(super) fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.clone()
    }

    /// What is left of the operation's time.
    pub(super) fn left(&self) -> Duration {
        let wire = &self.caller.client.protocol().wire;
        let spent = wire.clock.elapsed().saturating_sub(self.since);
        wire.timeouts.operation.saturating_sub(spent)
    }

    pub(super) fn timed_out(&self) -> Error {
        let limit = self.caller.client.protocol().wire.timeouts.operation;
        Error::new(Kind::Timeout(limit))
    }

    /// A transfer got further than in all attempts before this one, which then counts as the first:
    /// a long download that progresses is healthy.
    pub(super) fn got_further(&mut self) {
        self.since = self.caller.client.protocol().wire.clock.elapsed();
        // This attempt becomes the first one. A long file may outlast several tokens.
        self.forgiven = self.made.saturating_sub(1);
        self.renewed = false;
    }

    /// An attempt succeeded; returns how many were made.
    pub(super) fn succeeded(self) -> u32 {
        self.budget.succeeded();
        self.made
    }

    /// An attempt failed: returns when it is time for the next one. A 401 is answered by renewing the
    /// tokens once, also for what must not be repeated: a request that was refused had no effect. Not if
    /// it came from a host that was not `shown` the token: another one would be no better.
    ///
    /// # Errors
    ///
    /// There is no next one.
    pub(super) async fn failed(&mut self, error: Error, shown: bool) -> Result<()> {
        let inner = &self.caller.client.inner;
        let wire = &inner.protocol.wire;
        let error = error
            .with_operation(self.title)
            .with_attempts(self.made)
            .with_elapsed(self.spent())
            .with_repeatable(self.repeatable);
        if let (Some(source), Some(refused)) = (self.caller.tokens(), &self.tokens)
            && shown
            && !self.renewed
            && error.is_unauthorized()
        {
            // Before the wait: one renewal for each operation, however it ends. Otherwise an endpoint
            // that always answers 401 would cost a refresh for each attempt.
            self.renewed = true;
            // The 401 is the token's failure, not the service's: it costs no attempt and no repeat.
            self.forgiven += 1;
            self.trace.renewing(self.made);
            let other = source.tokens_after(refused.generation());
            // Within the operation's time, as all of it (`a_call_that_is_refused_late_ends_in_its_time`).
            let other = wire.within(self.left(), other).await;
            let other = other.unwrap_or_else(|| Err(self.timed_out()));
            return match other.map_err(|error| self.unauthorized(error))? {
                Some(other) => {
                    self.tokens = Some(other);
                    Ok(())
                }
                // These tokens are fresh from a refresh after a 401: the endpoint refuses, not they.
                None => Err(error),
            };
        }
        // Nothing has failed: the file is being prepared, and time is the limit.
        if error.status() == Some(StatusCode::ACCEPTED) {
            self.forgiven = self.made.saturating_sub(1);
        }
        let state = RetryState {
            // Not below 0: only attempts that were made are forgiven.
            attempts: self.made - self.forgiven,
            repeatable: self.repeatable,
            left: self.left(),
            // Drawn here, so that the decision stays pure.
            chance: fastrand::f64(),
        };
        // A raw request may have a policy of its own.
        let policy = self.caller.retry.as_ref().unwrap_or(&inner.retry);
        let decision = match policy.decide(state, &error) {
            // Asked last: a repeat that the policy refuses costs nothing. The budget keeps a thousand
            // callers from tripling an outage (`an_outage_is_not_made_worse`).
            Ok(_) if !self.budget.take(&error, wire.clock.elapsed()) => Err(StopReason::Budget),
            decision => decision,
        };
        let event = RetryEvent {
            error: &error,
            attempts: self.made,
            decision: decision.map_err(StopReason::as_str),
        };
        // Told before the wait, so that a log shows what the program is waiting for.
        self.trace.failed(&event);
        if let Some(observer) = &inner.on_retry {
            observer(&event);
        }
        match decision {
            Err(_) => Err(error),
            Ok(wait) => {
                // Without a place in a lane: the caller has freed it before.
                wire.clock.sleep(wait).await;
                Ok(())
            }
        }
    }

    fn spent(&self) -> Duration {
        let clock = &self.caller.client.protocol().wire.clock;
        clock.elapsed().saturating_sub(self.began)
    }

    /// There are no tokens to go on with. How often their renewal was tried is its own affair.
    fn unauthorized(&self, error: Error) -> Error {
        error.with_operation(self.title).with_elapsed(self.spent())
    }
}
