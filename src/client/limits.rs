//! How much of the service one account takes at a time, and how much all of them.
//!
//! *Problem.* One process may work for many labs. A lab that polls fast, or whose requests hang,
//! must not use up what the others need, nor the service's patience.
//!
//! *Approach.* A semaphore for each account, one for all, and a moment at which the next operation
//! may begin. All of them serve in turn. A future that is dropped returns its turn.

use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

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
pub(super) struct TotalLimits {
    pub(super) calls: RequestLimits,
    pub(super) files: RequestLimits,
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

impl TotalLimits {
    pub(super) fn new(allowance: TotalAllowance) -> Self {
        TotalLimits {
            calls: RequestLimits::new(allowance.calls),
            files: RequestLimits::new(allowance.files),
        }
    }
}

/// The operations of one account that are under way. Others are served in turn, and stop waiting
/// when their future is dropped.
#[derive(Debug)]
pub(super) struct RequestLimits {
    slots: Semaphore,
    spacing: Option<Duration>,
    /// When the next operation may begin, in elapsed time. The next operation holds it while it waits:
    /// a future that is dropped returns its turn, and takes no moment from the others.
    next: Mutex<Duration>,
}

impl RequestLimits {
    pub(super) fn new(allowance: Allowance) -> Self {
        // None would never let an operation in, and tokio panics on more than its own limit.
        let slots = allowance.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        RequestLimits {
            slots: Semaphore::new(slots),
            spacing: allowance.spacing,
            next: Mutex::default(),
        }
    }

    /// Whether a limit that was made anew would be the same.
    pub(super) fn is_at_rest(&self, now: Duration) -> bool {
        // If it is locked, an operation waits for its turn.
        self.next.try_lock().is_ok_and(|next| *next <= now)
    }

    /// Waits for a place, which is free again when the permit is dropped.
    pub(super) async fn enter(&self, clock: &dyn Clock) -> Option<SemaphorePermit<'_>> {
        // An error would mean that the semaphore is closed, which nobody does. The slot comes before
        // the turn: an operation that waited for a slot with its turn taken would waste the turn.
        let permit = self.slots.acquire().await.ok();
        if let Some(spacing) = self.spacing {
            // Held across the wait on purpose: tokio's lock is fair, so that turns go in the order
            // of asking. A future that is dropped frees it.
            let mut next = self.next.lock().await;
            let wait = next.saturating_sub(clock.elapsed());
            if !wait.is_zero() {
                clock.sleep(wait).await;
            }
            // From now on, not from when it was due: turns that nobody took are not saved up.
            *next = next.max(clock.elapsed()).saturating_add(spacing);
        }
        permit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn no_more_than_allowed_are_under_way_and_the_first_come_is_first_served() {
        let limits = RequestLimits::new(Allowance {
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

    /// Waits return at once, and are kept; the time of day is set back at each.
    #[derive(Debug, Default)]
    struct Waits(std::sync::Mutex<(Duration, Vec<u64>)>);

    #[async_trait::async_trait]
    impl Clock for Waits {
        fn now(&self) -> std::time::SystemTime {
            std::time::SystemTime::UNIX_EPOCH
        }

        fn elapsed(&self) -> Duration {
            self.0.lock().unwrap().0
        }

        async fn sleep(&self, duration: Duration) {
            if duration > Duration::from_secs(60) {
                std::future::pending().await
            }
            let mut state = self.0.lock().unwrap();
            state.0 += duration;
            state.1.push(duration.as_secs());
        }
    }

    fn spread(seconds: u64) -> RequestLimits {
        RequestLimits::new(Allowance {
            concurrency: 100,
            spacing: Some(Duration::from_secs(seconds)),
        })
    }

    #[tokio::test]
    async fn operations_are_spread() {
        let (limits, clock) = (spread(1), Waits::default());
        for _ in 0..3 {
            limits.enter(&clock).await;
        }
        clock.0.lock().unwrap().0 += Duration::from_secs(10);
        limits.enter(&clock).await;
        limits.enter(&clock).await;
        assert_eq!(clock.0.lock().unwrap().1, [1, 1, 1]);
    }

    #[tokio::test]
    async fn whoever_goes_away_takes_no_moment_from_the_others() {
        let (limits, clock) = (spread(3600), Waits::default());
        limits.enter(&clock).await;
        for _ in 0..20 {
            let mut gone = Box::pin(limits.enter(&clock));
            assert!(futures_util::poll!(&mut gone).is_pending());
        }
        clock.0.lock().unwrap().0 += Duration::from_secs(3600);
        let mut next = Box::pin(limits.enter(&clock));
        assert!(futures_util::poll!(&mut next).is_ready());
    }

    #[test]
    fn eight_at_a_time_unless_it_is_configured() {
        assert_eq!(
            RequestLimits::new(Allowance::default())
                .slots
                .available_permits(),
            8
        );
    }
}
