//! Whether to try again, decided by one pure function.
//!
//! *Problem.* Networks fail and services are overloaded; a repeat often helps. But a repeat can
//! do harm: a case returned to the doctor twice, a service pressed harder while it is down.
//!
//! *Default.* Three attempts. A request that certainly was not sent is repeated always; one that
//! may have been seen only if it may be seen twice without harm. Waits grow from 250 ms to 20 s
//! with full jitter, and are at least what the service asks for in `Retry-After`; a wait that
//! would outlast the operation's time fails at once, with [`Error::retry_after`] set. Each account
//! has a budget for its calls and another one for its files: while most of them fail, few are repeated,
//! and what one lab spends no other lacks.
//!
//! *When to change it.* [`RetryPolicy::never`] where the caller repeats by itself; an
//! [observer](crate::client::ClientBuilder::on_retry) to count what happens.
//!
//! | failure | repeated |
//! |---|---|
//! | no connection | always |
//! | timeout, broken connection or body, 408, 429, 500, 502, 503, 504, and 403 with `Retry-After` | where a repeat does no harm |
//! | 401 | once, after the token was renewed, always |
//! | any other answer | never |
//!
//! A download goes on where it broke off, and one that got further than before begins its attempts
//! anew: see [`download`](crate::download).
//!
//! No harm is done by repeating what only reads. *Return Scan*, *Pair*, *Un Pair* and *Get Token* have an
//! effect, and *Refresh Token* is repeated by its own task only. *Revoke Token* is sent once: to call
//! [`Lab::revoke`](crate::client::Lab::revoke) again does no harm (RFC 7009 section 2.2).

pub(crate) mod backoff;
mod budget;

use std::time::Duration;

use crate::clock::LONGEST_WAIT;
use crate::error::Error;

pub(crate) use budget::Budget;

/// How often, and after which waits, a request is tried.
///
/// ```
/// use lab_connector::retry::RetryPolicy;
/// use std::time::Duration;
///
/// // Patient: for a line that is down for a minute now and then.
/// let patient = RetryPolicy::default()
///     .attempts(6)
///     .backoff(Duration::from_secs(1), Duration::from_secs(60));
/// assert_ne!(patient, RetryPolicy::never());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    base: Duration,
    cap: Duration,
}

impl RetryPolicy {
    /// One attempt.
    #[must_use]
    pub fn never() -> Self {
        RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        }
    }

    /// How often a request is tried in all. Default: 3; at least 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The bounds of the wait before a repeat: `base` before the second attempt, doubled each
    /// time up to `cap`; neither is longer than a year. Default: 250 ms and 20 s.
    #[must_use]
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.base = base.min(LONGEST_WAIT);
        self.cap = cap.min(LONGEST_WAIT);
        self
    }

    /// What to do after an attempt failed. Pure: all it depends on is passed in. The budget is
    /// not: it is asked last, when this says to repeat.
    pub(crate) fn decide(&self, state: RetryState, error: &Error) -> Result<Duration, StopReason> {
        if !error.is_transient() {
            return Err(StopReason::WouldNotHelp);
        }
        // `None` counts as seen: nobody knows.
        if !state.repeatable && error.was_sent() != Some(false) {
            return Err(StopReason::MayHaveBeenSeen);
        }
        if state.attempts >= self.attempts {
            return Err(StopReason::Attempts);
        }
        // The attempts count from 1, so that the first wait is within `base`.
        let drawn = backoff::full_jitter(self.base, self.cap, state.attempts, state.chance);
        let wait = drawn.max(error.retry_after().unwrap_or_default());
        // Fails now and not after the wait, which the caller can use better.
        if wait >= state.left {
            return Err(StopReason::Time);
        }
        Ok(wait)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            // Three attempts and waits of at most 20 s are those of the AWS SDKs, as is the budget.
            attempts: 3,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(20),
        }
    }
}

/// The state of an operation when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryState {
    /// Attempts made, the failed one with them.
    pub(crate) attempts: u32,
    /// Whether the service may see the request more than once.
    pub(crate) repeatable: bool,
    /// What is left of the operation's time.
    pub(crate) left: Duration,
    /// From 0 to 1, drawn by the caller.
    pub(crate) chance: f64,
}

/// Why a request is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The same request would fail in the same way.
    WouldNotHelp,
    /// The service may have seen the request, and a repeat could do harm.
    MayHaveBeenSeen,
    /// It was tried as often as the policy says.
    Attempts,
    /// The wait would outlast the operation's time.
    Time,
    /// Too many requests fail: the budget is spent.
    Budget,
}

impl StopReason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            // Labels of counters: they must not change without need.
            StopReason::WouldNotHelp => "a repeat would not help",
            StopReason::MayHaveBeenSeen => "the service may have seen it",
            StopReason::Attempts => "it was tried often enough",
            StopReason::Time => "the wait would outlast the operation's time",
            StopReason::Budget => "too many requests fail",
        }
    }
}

/// A failed attempt and what was decided: for an observer, see
/// [`ClientBuilder::on_retry`](crate::client::ClientBuilder::on_retry).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RetryEvent<'a> {
    /// Why the attempt failed.
    pub error: &'a Error,
    /// Attempts made so far.
    pub attempts: u32,
    /// What follows: it is tried again after this wait, or the error is the result, and this is why.
    /// The text is one of a few, and fit to be a label.
    pub decision: Result<Duration, &'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use StopReason::*;
    use http::StatusCode;

    use crate::error::SendState;

    fn answered(status: u16) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        Error::new(Kind::Status(status.to_string())).with_answer(status, None, None)
    }

    fn state(attempts: u32, repeatable: bool) -> RetryState {
        RetryState {
            attempts,
            repeatable,
            left: Duration::from_secs(60),
            chance: 1.0,
        }
    }

    #[test]
    fn the_table_of_failures() {
        let policy = RetryPolicy::default();
        let first = Ok(Duration::from_millis(250));
        let connect = || Error::new(Kind::Connect("a".into()));
        let timeout = || Error::new(Kind::Timeout(Duration::ZERO));
        let broken = || Error::new(Kind::Interrupted);
        let broken_body = || broken().with_sent(SendState::Yes);
        let mut table = vec![
            (connect(), first, first),
            (timeout(), first, Err(MayHaveBeenSeen)),
            (timeout().with_sent(SendState::No), first, first),
            (broken(), first, Err(MayHaveBeenSeen)),
            (broken_body(), first, Err(MayHaveBeenSeen)),
            (
                Error::new(Kind::Truncated("x".into())),
                first,
                Err(MayHaveBeenSeen),
            ),
        ];
        for status in [408, 429, 500, 502, 503, 504] {
            table.push((answered(status), first, Err(MayHaveBeenSeen)));
        }
        let hopeless = Err(WouldNotHelp);
        for status in [301, 400, 401, 403, 404, 409, 410, 412, 422, 501, 505] {
            table.push((answered(status), hopeless, hopeless));
        }
        for kind in [
            Kind::Configuration("x".into()),
            Kind::Decode("x".into()),
            Kind::Redirect("a".into(), "b".into()),
            Kind::SignIn("x"),
            Kind::Pairing("x"),
            Kind::Unconnectable("x".into()),
            Kind::Protocol("x".into()),
            Kind::Refused("x".into()),
            Kind::Origin("x".into()),
            Kind::Store("x".into()),
            Kind::File("x".into()),
            Kind::Incomplete("x".into()),
        ] {
            table.push((Error::new(kind), hopeless, hopeless));
        }
        for (error, repeatable, with_effect) in table {
            assert_eq!(policy.decide(state(1, true), &error), repeatable, "{error}");
            assert_eq!(
                policy.decide(state(1, false), &error),
                with_effect,
                "{error}"
            );
        }
    }

    #[test]
    fn attempts_and_time_end_it() {
        let policy = RetryPolicy::default();
        let error = answered(503);
        assert_eq!(policy.decide(state(3, true), &error), Err(Attempts));
        let late = RetryState {
            left: Duration::from_millis(250),
            ..state(1, true)
        };
        assert_eq!(policy.decide(late, &error), Err(Time));
        let never = RetryPolicy::never();
        assert_eq!(never.decide(state(1, true), &error), Err(Attempts));
    }

    #[test]
    fn the_service_is_given_the_time_it_asks_for() {
        let policy = RetryPolicy::default();
        let asked = |seconds| {
            let wait = Some(Duration::from_secs(seconds));
            answered(429).with_answer(StatusCode::TOO_MANY_REQUESTS, None, wait)
        };
        let wait = Ok(Duration::from_secs(7));
        // As GitHub does for its second limit: who asks to come again refuses nothing for good.
        let status = StatusCode::FORBIDDEN;
        let forbidden = answered(403).with_answer(status, None, Some(Duration::from_secs(7)));
        assert_eq!(policy.decide(state(1, true), &forbidden), wait);
        assert_eq!(
            policy.decide(state(1, false), &forbidden),
            Err(MayHaveBeenSeen)
        );
        assert_eq!(policy.decide(state(1, true), &asked(7)), wait);
        // Longer than the operation may take: fail now, and say when to come back.
        assert_eq!(policy.decide(state(1, true), &asked(61)), Err(Time));
        assert_eq!(asked(61).retry_after(), Some(Duration::from_secs(61)));
        // Our own wait where it is the larger one.
        let drawn = Ok(Duration::from_millis(250));
        assert_eq!(policy.decide(state(1, true), &asked(0)), drawn);
    }

    #[test]
    fn defaults_are_those_of_the_docs() {
        assert_eq!(
            RetryPolicy::default(),
            RetryPolicy::default()
                .attempts(3)
                .backoff(Duration::from_millis(250), Duration::from_secs(20))
        );
    }
}
