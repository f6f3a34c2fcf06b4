//! Whether to try again, decided by one pure function.
//!
//! *Problem.* Networks fail and services are overloaded; a repeat often helps. But a repeat can
//! do harm: a case returned to the doctor twice, a service pressed harder while it is down.
//!
//! *Default.* Three attempts. A request that certainly was not sent is repeated always; one that
//! may have been seen only if it may be repeated without effect. Waits grow from 250 ms to 20 s
//! with full jitter, and are at least what the service asks for in `Retry-After`. *When to
//! change it.* [`RetryPolicy::never`] where the caller repeats by itself.

pub(crate) mod after;
pub(crate) mod backoff;

use std::time::Duration;

use crate::error::{Error, Kind, Sent};

/// How often, and after which waits, a request is tried.
#[derive(Clone, Debug, PartialEq)]
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
    /// time up to `cap`. Default: 250 ms and 20 s.
    #[must_use]
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.base = base;
        self.cap = cap;
        self
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 3,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(20),
        }
    }
}

/// Where an operation stands when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    /// Attempts made, the failed one with them.
    pub(crate) attempts: u32,
    /// Whether the service may see the request more than once.
    pub(crate) repeatable: bool,
    /// What is left of the operation's time.
    pub(crate) left: Duration,
    /// From 0 to 1, drawn by the caller.
    pub(crate) chance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decision {
    RepeatAfter(Duration),
    GiveUp,
}

/// Whether a repeat is safe, useful, and in time.
pub(crate) fn decide(policy: &RetryPolicy, state: State, error: &Error) -> Decision {
    let safe = state.repeatable || error.was_sent() == Sent::No;
    if state.attempts >= policy.attempts || !safe || !is_transient(error) {
        return Decision::GiveUp;
    }
    let drawn = backoff::full_jitter(policy.base, policy.cap, state.attempts, state.chance);
    let wait = drawn.max(error.retry_after().unwrap_or_default());
    if wait >= state.left {
        return Decision::GiveUp;
    }
    Decision::RepeatAfter(wait)
}

/// Whether the same request may well succeed later.
pub(crate) fn is_transient(error: &Error) -> bool {
    match error.kind() {
        Kind::Connect(_) | Kind::Timeout(_) | Kind::Broken => true,
        Kind::Status(_) => matches!(
            error.status().map(|status| status.as_u16()),
            Some(408 | 429 | 500 | 502 | 503 | 504)
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn answered(status: u16) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        Error::new(Kind::Status(status.to_string())).with_answer(status, None, None)
    }

    fn state(attempts: u32, repeatable: bool) -> State {
        State {
            attempts,
            repeatable,
            left: Duration::from_secs(60),
            chance: 1.0,
        }
    }

    #[test]
    fn what_is_repeated() {
        let policy = RetryPolicy::default();
        let connect = || Error::new(Kind::Connect("a".into()));
        let broken = || Error::new(Kind::Broken);
        for (error, repeatable, repeats) in [
            (connect(), true, true),
            (connect(), false, true),
            (broken(), true, true),
            (broken(), false, false),
            (answered(503), true, true),
            (answered(503), false, false),
            (answered(429), true, true),
            (answered(501), true, false),
            (answered(400), true, false),
            (answered(401), true, false),
            (answered(404), true, false),
            (Error::decode("x"), true, false),
        ] {
            let decision = decide(&policy, state(1, repeatable), &error);
            assert_eq!(
                decision != Decision::GiveUp,
                repeats,
                "{error}, {repeatable}"
            );
        }
    }

    #[test]
    fn attempts_and_time_end_it() {
        let policy = RetryPolicy::default();
        assert_eq!(
            decide(&policy, state(3, true), &answered(503)),
            Decision::GiveUp
        );
        let late = State {
            left: Duration::from_millis(100),
            ..state(1, true)
        };
        assert_eq!(decide(&policy, late, &answered(503)), Decision::GiveUp);
        assert_eq!(
            decide(&RetryPolicy::never(), state(1, true), &answered(503)),
            Decision::GiveUp
        );
    }

    #[test]
    fn the_service_is_given_the_time_it_asks_for() {
        let asked = Duration::from_secs(7);
        let error = Error::new(Kind::Status("429".into())).with_answer(
            StatusCode::TOO_MANY_REQUESTS,
            None,
            Some(asked),
        );
        let decision = decide(&RetryPolicy::default(), state(1, true), &error);
        assert_eq!(decision, Decision::RepeatAfter(asked));
    }
}
