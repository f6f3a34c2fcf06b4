//! Time, passed in.
//!
//! *Problem.* Tokens expire by the time of day, which people set; waits must not go by it. And no
//! test can wait for an hour.
//!
//! *Approach.* Each client has a clock, and takes from each side of it what that side is for.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;

/// Where the client takes the time from, and how it waits.
///
/// A clock has two sides. [`now`](Clock::now) is the time of day: people and other processes set
/// it forward and back. [`elapsed`](Clock::elapsed) only goes forward: every wait, limit and
/// deadline of this crate goes by it. The time of day decides when a token expires, and what is
/// written down.
///
/// *Default.* The clock of the machine. *When to change it.* In tests: a clock of your own lets an hour
/// pass at once, also over real sockets, where the paused clock of a runtime does not work. Let
/// both sides pass, or nothing that waits for an hour will notice.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day.
    fn now(&self) -> SystemTime;

    /// How much time has passed since a moment that stays the same as long as the process lives.
    /// Must never go back.
    fn elapsed(&self) -> Duration;

    /// Waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait.
    async fn sleep(&self, duration: Duration);
}

/// The longest wait that can be set: a year. What is longer would be more than some clocks can add to
/// the time of day, which panics (`every_setter_takes_any_value`).
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        // One moment for all clocks of the process: a `SystemClock` is made anew wherever one is
        // needed.
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        BEGINNING.get_or_init(Instant::now).elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
