//! A clock that the tests move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use lab_connector::clock::Clock;

/// The machine's time and what was added to it. Waits never end: they are the limits of time
/// of calls that end by themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct MovableTime(Arc<AtomicU64>);

impl MovableTime {
    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl Clock for MovableTime {
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}
