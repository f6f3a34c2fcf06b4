//! When a refresh that failed is tried again, and which error callers get until then.
//!
//! *Problem.* Many callers ask for a token at once. If each of them tried a refresh that has just
//! failed, an outage would become a flood.
//!
//! *Approach.* A failure belongs to one generation of tokens, and holds back all callers of that
//! generation until its time. Elapsed time decides, so a clock that is set must not prolong the
//! wait.

use std::time::Duration;

use super::TokenSource;
use crate::error::Error;
use crate::retry::backoff;

/// The bounds of the wait after a failure: the first, doubled with each failure up to the
/// second. Convention.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5 * 60));

/// A wait that the service asks for is kept up to this. A lab without tokens cannot work, and a service
/// that asked for a day was seen to be well again after a minute. Convention.
const LONGEST_ASKED: Duration = Duration::from_secs(5 * 60);

/// A refresh that failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) generation: u64,
    error: Error,
    times: u32,
    /// When it may be tried again, in elapsed time: a clock that is set back must not hold it back.
    /// `None` if it is of no use.
    pub(super) next: Option<Duration>,
}

impl TokenSource {
    /// Notes that the refresh of a generation failed, and sets the time of the next one.
    pub(super) fn failed(&self, generation: u64, error: &Error) {
        let now = self.elapsed();
        let mut state = self.state();
        // The count starts anew with a generation: tokens that another process stored may well be
        // refreshed.
        let before = state
            .failure
            .as_ref()
            .filter(|failure| failure.generation == generation);
        let times = before.map_or(1, |failure| failure.times.saturating_add(1));
        // A wait does not help where a person has to act.
        let next = (!error.is_reauthorization_needed())
            .then(|| now.saturating_add(wait(times, error.retry_after(), fastrand::f64())));
        state.failure = Some(Failure {
            generation,
            error: error.clone(),
            times,
            next,
        });
        // `note` takes the same lock, which is not reentrant.
        drop(state);
        self.note(error);
    }

    /// Why a generation is not to be refreshed now, if so.
    pub(super) fn held_back(&self, generation: u64) -> Option<Error> {
        let now = self.elapsed();
        let state = self.state();
        let failure = state.failure.as_ref()?;
        // Without a next time the refresh is of no use until other tokens are stored.
        let held = failure.generation == generation && failure.next.is_none_or(|next| now < next);
        held.then(|| failure.error.clone())
    }

    /// Any failure, for the dashboard.
    pub(super) fn note(&self, error: &Error) {
        // The time of day, unlike elsewhere here: a person reads it.
        let now = self.now();
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "lab_connector", %error, "the token cannot be renewed");
        self.state().last_failure = Some((now, error.clone()));
    }

    /// The error that a caller gets: a person must act, the store fails, or the caller may try
    /// later, and when.
    pub(super) fn caller_error(&self, error: Error) -> Error {
        if error.is_reauthorization_needed() || error.is_store() {
            return error;
        }
        let now = self.elapsed();
        let state = self.state();
        let next = state.failure.as_ref().and_then(|failure| failure.next);
        let after = next.map(|next| next.saturating_sub(now));
        Error::refresh(error, after)
    }
}

/// Between half of the bound and the bound, and at least what the service asks for, up to
/// [`LONGEST_ASKED`].
fn wait(times: u32, asked: Option<Duration>, chance: f64) -> Duration {
    // At least half of the bound: a draw close to zero would make it no wait at all.
    let drawn = backoff::full_jitter(WAITS.0, WAITS.1, times, 0.5 + chance.clamp(0.0, 1.0) / 2.0);
    drawn.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_at_least_what_was_asked_for() {
        let seconds = Duration::from_secs;
        assert_eq!(wait(1, None, 1.0), seconds(5));
        assert_eq!(wait(1, None, 0.0), seconds(5) / 2);
        assert_eq!(wait(2, None, 1.0), seconds(10));
        assert_eq!(wait(20, None, 1.0), seconds(300));
        assert_eq!(wait(1, Some(seconds(200)), 1.0), seconds(200));
        assert_eq!(wait(1, Some(seconds(86_400)), 1.0), seconds(300));
        assert_eq!(wait(20, Some(seconds(1)), 1.0), seconds(300));
    }
}
