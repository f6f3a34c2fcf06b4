//! Intervals and limits of an inbox: its setters, with their defaults.
//!
//! Setters take any value and clamp it: a program must not fail to start, or poll without a pause,
//! for a number in a file.

use std::sync::Arc;
use std::time::Duration;

use super::report::PollReport;
use super::{Inbox, Policy};
use crate::error::Result;

/// What the setters set.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) policy: Policy,
    pub(super) interval: Duration,
    pub(super) initial_jitter: Duration,
    pub(super) claim_lease: Duration,
    pub(super) failure_delays: (Duration, Duration),
    pub(super) max_fetches_per_poll: usize,
    pub(super) concurrency: usize,
    pub(super) grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            policy: Policy::default(),
            interval: Duration::from_secs(5 * 60),
            initial_jitter: Duration::ZERO,
            // `for_each` and `download_all` renew it at each third: it must outlast the work only where
            // neither is used.
            claim_lease: Duration::from_secs(15 * 60),
            failure_delays: (Duration::from_secs(60), Duration::from_secs(60 * 60)),
            // A minute, at four at a time and a second each: well within the interval.
            max_fetches_per_poll: 200,
            concurrency: 1,
            // Well below the 90 seconds after which systemd kills a service that is to stop.
            grace: Duration::from_secs(30),
        }
    }
}

/// No setting is longer.
// A year: sums with any time then stay within what clocks and databases have. Test
// `every_setter_takes_any_value`.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl Inbox {
    /// Other limits of the plan than those of [`Policy::default`].
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        let settings = self.settings_mut();
        settings.policy = policy;
        // In both setters, so that their order does not matter.
        settings.policy.poll_interval = settings.interval;
        self
    }

    /// The time between two polls; up to a tenth is added by chance. Default: 5 minutes, a
    /// convention. At least a second.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        let settings = self.settings_mut();
        settings.interval = interval.clamp(Duration::from_secs(1), LONGEST);
        settings.policy.poll_interval = settings.interval;
        self
    }

    /// The first poll of [`Inbox::run`] and of the streams comes at a random time within this span from
    /// the start. Default: at once. Software that starts with many labs passes the interval here, so
    /// that their polls are spread over it and stay so; deliveries that are in the store
    /// already are delivered meanwhile, and notified orders are fetched.
    #[must_use]
    pub fn initial_jitter(mut self, time: Duration) -> Self {
        self.settings_mut().initial_jitter = time.min(LONGEST);
        self
    }

    /// For how long a claimed delivery is held: after that it comes again.
    /// Default: 15 minutes. At least a second.
    #[must_use]
    pub fn claim_lease(mut self, claim_lease: Duration) -> Self {
        self.settings_mut().claim_lease = claim_lease.clamp(Duration::from_secs(1), LONGEST);
        self
    }

    /// How many deliveries [`Inbox::for_each`] works on at a time, of different orders. Default: 1,
    /// which is the least.
    #[must_use]
    pub fn concurrency(mut self, deliveries: usize) -> Self {
        self.settings_mut().concurrency = deliveries.max(1);
        self
    }

    /// How long the handlers that are at work are waited for when [`Inbox::for_each_until`] ends.
    /// Those that take longer are dropped, and their deliveries come again at once. Default: 30
    /// seconds.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.settings_mut().grace = time.min(LONGEST);
        self
    }

    /// How long a delivery that failed waits for its next try: the first time, then twice as long each
    /// time, up to the longest. Default: a minute, and an hour.
    #[must_use]
    pub fn failure_delays(mut self, first: Duration, longest: Duration) -> Self {
        let first = first.min(LONGEST);
        self.settings_mut().failure_delays = (first, longest.clamp(first, LONGEST));
        self
    }

    /// How many orders a poll fetches one by one; others wait for the next. Default: 200. At
    /// least 1.
    #[must_use]
    pub fn max_fetches_per_poll(mut self, orders: usize) -> Self {
        self.settings_mut().max_fetches_per_poll = orders.max(1);
        self
    }

    /// Is called with the result of each round: a poll that was made, or the reason why one that was
    /// due did not come about. To print or count them. This inbox and all its clones have one
    /// observer. It is called between rounds: what takes long delays them.
    #[must_use]
    pub fn on_round(self, observer: impl Fn(&Result<PollReport>) + Send + Sync + 'static) -> Self {
        *self.lock_observer() = Some(Arc::new(observer));
        self
    }

    fn settings_mut(&mut self) -> &mut Settings {
        // Clones that were made before keep their settings.
        Arc::make_mut(&mut self.settings)
    }
}
