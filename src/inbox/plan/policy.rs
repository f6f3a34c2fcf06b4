//! The limits of the plan, all of them conventions of ours.

use std::time::{Duration, SystemTime};

use crate::flow::{Set, Stage};

/// The limits of the plan. Align documents none of them; each default is a convention of ours.
///
/// ```
/// use std::time::Duration;
/// use lab_connector::inbox::Policy;
///
/// // A lab whose orders stand with the doctor for months.
/// let mut policy = Policy::default();
/// policy.watch_for = Duration::from_secs(180 * 24 * 60 * 60);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// For how long after the account's first good listing an order of unknown creation time
    /// may still be older than the integration, and is partial. Default: 90 days.
    pub doubt_after_start: Duration,
    /// The longest time between two good listings in which nothing is thought to be missed;
    /// orders first seen after a longer one are partial. Default: 1 day.
    pub longest_gap: Duration,
    /// The stages in which an order is fetched again and again, since the service lists and
    /// notifies nothing while they last. Default: in modeling, in interpretation, in milling,
    /// ready to ship, with the doctor.
    pub watched: Set<Stage>,
    /// Whether a model that was downloaded for review is watched too. *Proceed* can still be
    /// clicked, and the milling that follows is neither listed nor notified. Default: yes; it
    /// costs looks at every model that the lab keeps.
    pub watch_reviewed: bool,
    /// The first interval between two looks at a watched order. Default: 1 hour.
    pub watch_at_first: Duration,
    /// The longest interval. Default: 1 day.
    ///
    /// In between it is a quarter of the time that the order has been watched: hourly for the
    /// first four hours, daily from the fifth day.
    pub watch_at_last: Duration,
    /// For how long an order is watched after its last arrival. Default: 60 days.
    pub watch_for: Duration,
    /// By how much an interval is lengthened at most, in percent of it, as the observation's
    /// jitter says. Default: 20.
    pub watch_spread: u32,
    /// How long an answer may take. An answer begun before the one that counted last, but by no
    /// more than this, came out of order and says nothing. One that is older still shows that
    /// the clock was set back, and counts. Default: 1 hour.
    pub longest_answer: Duration,
    /// By how much the service's clock and ours may differ, where a history that the service
    /// gives is laid against what was seen. Default: 5 minutes.
    pub clock_difference: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Policy {
            doubt_after_start: DAY.saturating_mul(90),
            longest_gap: DAY,
            watched: Set::from([
                Stage::InModeling,
                Stage::InInterpretation,
                Stage::InMilling,
                Stage::ReadyToShip,
                Stage::WithDoctor,
            ]),
            watch_reviewed: true,
            watch_at_first: HOUR,
            watch_at_last: DAY,
            watch_for: DAY.saturating_mul(60),
            watch_spread: 20,
            longest_answer: HOUR,
            clock_difference: Duration::from_secs(5 * 60),
        }
    }
}

impl Policy {
    /// The interval after a look at an order that has been watched for so long. `jitter` is
    /// uniform over all numbers: 0 adds nothing, the greatest adds the whole spread.
    pub(super) fn interval(&self, watched: Duration, jitter: u32) -> Duration {
        let interval = (watched / 4)
            .min(self.watch_at_last)
            .max(self.watch_at_first)
            .as_millis();
        let spread = interval * u128::from(self.watch_spread) / 100;
        let added = spread.saturating_mul(u128::from(jitter)) / u128::from(u32::MAX);
        // In whole milliseconds, as times are kept.
        let interval = interval.saturating_add(added);
        Duration::from_millis(u64::try_from(interval).unwrap_or(u64::MAX))
    }
}

/// How long after, nothing for a time that is not after.
pub(super) fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

/// The time so much later; where the clock does not reach that far, the time itself.
pub(super) fn after(time: SystemTime, distance: Duration) -> SystemTime {
    time.checked_add(distance).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn watching_is_hourly_at_first_and_backs_off_to_daily() {
        let policy = Policy::default();
        assert_eq!(policy.interval(Duration::ZERO, 0), HOUR);
        assert_eq!(policy.interval(HOUR * 4, 0), HOUR);
        assert_eq!(policy.interval(HOUR * 8, 0), HOUR * 2);
        assert_eq!(policy.interval(HOUR * 24 * 4, 0), HOUR * 24);
        assert_eq!(policy.interval(HOUR * 24 * 59, 0), HOUR * 24);
        let mut watched = Duration::ZERO;
        let mut looks = 0;
        while watched < policy.watch_for {
            watched += policy.interval(watched, 0);
            looks += 1;
        }
        assert_eq!(looks, 75);
    }

    #[test]
    fn jitter_lengthens_by_no_more_than_the_spread() {
        let policy = Policy::default();
        assert_eq!(policy.interval(HOUR, u32::MAX), HOUR + HOUR / 5);
        assert_eq!(
            policy.interval(HOUR, u32::MAX / 2).as_secs(),
            (HOUR + HOUR / 10).as_secs() - 1
        );
        let endless = Policy {
            watch_at_last: Duration::MAX,
            watch_spread: u32::MAX,
            ..Policy::default()
        };
        assert!(endless.interval(Duration::MAX, u32::MAX) > endless.watch_for);
    }
}
