//! The limits of the plan, all of them conventions of ours: Align documents none.
//!
//! *Problem.* An order may be with the doctor for months, and the service must not be asked each minute.
//!
//! *Approach.* Intervals grow with what was asked in vain. That is counted, and not the time that it
//! took: no clock can be trusted for sixty days. Each has a longest: nothing must wait for ever.

use std::time::Duration;

use crate::flow::{Set, Stage};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The limits of the plan. Align documents none of them; each default is a convention of ours.
///
/// ```
/// use lab_connector::inbox::Policy;
///
/// // A lab whose orders stay with the doctor for months.
/// let mut policy = Policy::default();
/// policy.watch_fetches = 200;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The interval between two polls, as the inbox has it.
    pub(in crate::inbox) poll_interval: Duration,
    /// For how long after the account's first complete listing an order of unknown creation time
    /// may still be older than the integration, and is partial. Default: 90 days.
    pub doubt_after_start: Duration,
    /// The longest time between two complete listings in which nothing is thought to be missed;
    /// orders first seen after a longer one are partial. Default: 1 day.
    pub longest_gap: Duration,
    /// How long a return may stay without a confirmation, an order that cannot be fetched without
    /// being recorded, and an account without a complete listing. Default: 1 day.
    pub patience: Duration,
    /// The stages in which an order is neither listed nor notified, so that it is fetched again
    /// and again. Default: in modeling, in interpretation, in milling, ready to ship, with the
    /// doctor.
    pub watched: Set<Stage>,
    /// Whether a model that was downloaded for review is watched too: *Proceed* can still be
    /// clicked, and the milling that follows is not listed. Default: yes.
    pub watch_reviewed: bool,
    /// The first slow interval. Default: 1 hour.
    pub slow_at_first: Duration,
    /// The longest slow interval, and the longest delay after failures. Default: 1 day.
    pub slow_at_last: Duration,
    /// How many answered fetches may show nothing new before a watched order is given up.
    /// Default: 75, about 60 days.
    pub watch_fetches: u32,
    /// The shortest time between two fetches of one order, whatever asks for them; it doubles
    /// with each that brings nothing new, up to the first slow interval. Default: 30 seconds.
    pub fetch_spacing: Duration,
    /// By how much an interval is lengthened at most, in percent of it. Default: 20.
    pub spread: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            // The inbox puts its own interval in its place.
            poll_interval: MINUTE * 5,
            doubt_after_start: DAY * 90,
            longest_gap: DAY,
            patience: DAY,
            watched: Set::from([
                Stage::InModeling,
                Stage::InInterpretation,
                Stage::InMilling,
                Stage::ReadyToShip,
                Stage::WithDoctor,
            ]),
            watch_reviewed: true,
            slow_at_first: HOUR,
            slow_at_last: DAY,
            // About 60 days: some 19 in the first five, see `slow_interval`, and then one a day.
            watch_fetches: 75,
            fetch_spacing: Duration::from_secs(30),
            spread: 20,
        }
    }
}

impl Policy {
    /// The slow interval after `answered` fetches: a quarter of the time that they took,
    /// so hourly for the first four hours and daily from the fifth day. It is counted in answers,
    /// since no clock can be trusted for sixty days.
    pub(super) fn slow_interval(&self, answered: u32) -> Duration {
        let mut taken = Duration::ZERO;
        let mut interval = self.slow_at_first;
        // Bounded for a policy with limits of its own; by default the longest interval comes long
        // before.
        for _ in 0..answered.min(1_000) {
            taken = taken.saturating_add(interval);
            interval = (taken / 4).max(self.slow_at_first);
            if interval >= self.slow_at_last {
                return self.slow_at_last;
            }
        }
        interval
    }

    /// The interval between tries that ought to settle something: from one poll to the slow
    /// interval, then as that.
    pub(super) fn growing_interval(&self, tries: u32) -> Duration {
        let mut interval = self.poll_interval;
        for _ in 0..tries {
            interval = interval.saturating_mul(2);
            if interval >= self.slow_at_first {
                return self.slow_at_first;
            }
        }
        interval
    }

    /// The delay after `failures` in a row.
    pub(super) fn failure_delay(&self, failures: u32) -> Duration {
        doubled(self.poll_interval, failures.saturating_sub(1)).min(self.slow_at_last)
    }

    /// The time that has to lie between two fetches of one order.
    pub(super) fn spacing(&self, fruitless: u32) -> Duration {
        doubled(self.fetch_spacing, fruitless).min(self.slow_at_first)
    }

    /// Lengthened by up to the spread. `jitter` is uniform over all numbers.
    pub(super) fn jittered(&self, interval: Duration, jitter: u32) -> Duration {
        // In `u128`: milliseconds times a `u32` can overflow 64 bits.
        let spread = interval.as_millis() * u128::from(self.spread) / 100;
        let added = spread.saturating_mul(u128::from(jitter)) / u128::from(u32::MAX);
        interval.saturating_add(Duration::from_millis(
            u64::try_from(added).unwrap_or(u64::MAX),
        ))
    }
}

fn doubled(interval: Duration, times: u32) -> Duration {
    // 31 at most: a shift by 32 or more is none. Callers cut the product to a day or an hour.
    interval.saturating_mul(1_u32.checked_shl(times.min(31)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_hourly_at_first_daily_from_the_fifth_day_and_75_are_60_days() {
        let policy = Policy::default();
        let mut taken = Duration::ZERO;
        for answered in 0..policy.watch_fetches {
            let interval = policy.slow_interval(answered);
            if taken < HOUR * 4 {
                assert_eq!(interval, HOUR);
            }
            if taken > DAY * 5 {
                assert_eq!(interval, DAY);
            }
            taken += interval;
        }
        assert!((DAY * 58..DAY * 62).contains(&taken), "{taken:?}");
    }

    #[test]
    fn delays_double_and_end() {
        let policy = Policy::default();
        assert_eq!(policy.failure_delay(1), MINUTE * 5);
        assert_eq!(policy.failure_delay(2), MINUTE * 10);
        assert_eq!(policy.failure_delay(u32::MAX), DAY);
        assert_eq!(policy.growing_interval(0), MINUTE * 5);
        assert_eq!(policy.growing_interval(50), HOUR);
        assert_eq!(policy.spacing(50), HOUR);
        assert_eq!(policy.jittered(HOUR, u32::MAX), HOUR + HOUR / 5);
    }
}
