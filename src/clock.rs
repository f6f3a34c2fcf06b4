//! Time, passed in.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

/// Where the client takes the time from, and how it waits.
///
/// *Default.* [`SystemClock`]. *When to change it.* In tests: a clock of your own lets an hour
/// pass at once, also over real sockets, where the paused clock of a runtime does not work.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> SystemTime;

    /// Waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the wait.
    async fn sleep(&self, duration: Duration);
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
