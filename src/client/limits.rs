//! How much of the service one account takes at a time, and how much all of them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) concurrency: usize,
    /// The time between two operations, if they are to be spread.
    pub(super) spacing: Option<Duration>,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance {
            concurrency: 8,
            spacing: None,
        }
    }
}

/// What all accounts and logins of a client may take together. Files have a lane of their own: no
/// call waits for a download.
#[derive(Debug)]
pub(super) struct Total {
    pub(super) calls: Limits,
    pub(super) files: Limits,
}

/// What is allowed to all together.
#[derive(Clone, Copy, Debug)]
pub(super) struct TotalAllowance {
    pub(super) calls: Allowance,
    pub(super) files: Allowance,
}

impl Default for TotalAllowance {
    fn default() -> Self {
        let unlimited = Allowance {
            concurrency: Semaphore::MAX_PERMITS,
            spacing: None,
        };
        TotalAllowance {
            calls: unlimited,
            files: unlimited,
        }
    }
}

impl Total {
    pub(super) fn new(allowance: TotalAllowance) -> Self {
        Total {
            calls: Limits::new(allowance.calls),
            files: Limits::new(allowance.files),
        }
    }
}

/// The operations of one account that are under way. Whoever waits is served in turn, and stops
/// waiting when its future is dropped.
#[derive(Debug)]
pub(super) struct Limits {
    slots: Semaphore,
    spacing: Option<Duration>,
    /// When the next operation may begin.
    next: Mutex<SystemTime>,
}

impl Limits {
    pub(super) fn new(allowance: Allowance) -> Self {
        let slots = allowance.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Limits {
            slots: Semaphore::new(slots),
            spacing: allowance.spacing,
            next: Mutex::new(SystemTime::UNIX_EPOCH),
        }
    }

    /// Waits for a place, which is free again when the permit is dropped.
    pub(super) async fn enter(&self, clock: &dyn Clock) -> Option<SemaphorePermit<'_>> {
        // An error would mean that the semaphore is closed, which nobody does.
        let permit = self.slots.acquire().await.ok();
        if let Some(spacing) = self.spacing {
            let wait = self.reserve(clock.now(), spacing);
            if !wait.is_zero() {
                clock.sleep(wait).await;
            }
        }
        permit
    }

    /// How long to wait for the next free moment, which is then taken.
    fn reserve(&self, now: SystemTime, spacing: Duration) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = now.max(*next);
        *next = begin + spacing;
        begin.duration_since(now).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn no_more_than_allowed_are_under_way_and_the_first_come_is_first_served() {
        let limits = Limits::new(Allowance {
            concurrency: 2,
            spacing: None,
        });
        let (one, _two) = (
            limits.enter(&SystemClock).await,
            limits.enter(&SystemClock).await,
        );
        let mut third = Box::pin(limits.enter(&SystemClock));
        let mut fourth = Box::pin(limits.enter(&SystemClock));
        assert!(futures_util::poll!(&mut third).is_pending());
        assert!(futures_util::poll!(&mut fourth).is_pending());
        drop(one);
        // The fourth asks first, and still the third is served.
        assert!(futures_util::poll!(&mut fourth).is_pending());
        // Dropped while it waits, it leaves its turn to the next.
        drop(third);
        assert!(futures_util::poll!(&mut fourth).is_ready());
    }

    #[test]
    fn operations_are_spread() {
        let second = Duration::from_secs(1);
        let limits = Limits::new(Allowance {
            concurrency: 1,
            spacing: Some(second),
        });
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let waits = [0, 0, 0, 10].map(|at| limits.reserve(start + second * at, second).as_secs());
        assert_eq!(waits, [0, 1, 2, 0]);
    }

    #[test]
    fn eight_at_a_time_unless_it_is_configured() {
        assert_eq!(
            Limits::new(Allowance::default()).slots.available_permits(),
            8
        );
    }
}
