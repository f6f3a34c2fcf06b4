//! The simulated time.
//!
//! *Problem.* Tokens live an hour and cases take weeks; a test takes a second.
//!
//! *Approach.* One clock for the whole world, which a test can set on. It must not go back: what the
//! world has noted would lie in the future.

use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// How the simulated time passes. [`Simulator::advance`](super::Simulator::advance) moves it on in
/// every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClockMode {
    /// As the machine's: the default.
    #[default]
    Real,
    /// So many times as fast as the machine's.
    Scaled(f64),
    /// Not by itself. Begins at 2026-03-14 09:26:53 UTC, so that runs are the same whenever they
    /// take place.
    Stepped,
}

/// When a stepped clock begins: seconds since 1970.
const BEGINNING: u64 = 1_773_480_413;

/// A clock of the simulated world.
#[derive(Debug)]
pub(super) struct WorldClock {
    mode: ClockMode,
    began: SystemTime,
    // Monotonic: a step of the machine's clock must not move the simulated time back.
    started: Instant,
    /// How far it was moved by hand.
    ahead: Duration,
    /// Whether it was said when it begins.
    set: bool,
}

impl WorldClock {
    pub(super) fn new(mode: ClockMode, began: Option<SystemTime>) -> Self {
        let set = began.is_some();
        let began = began.unwrap_or_else(|| match mode {
            ClockMode::Stepped => SystemTime::UNIX_EPOCH + Duration::from_secs(BEGINNING),
            _ => SystemTime::now(),
        });
        WorldClock {
            mode,
            began,
            started: Instant::now(),
            ahead: Duration::ZERO,
            set,
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        let passed = match self.mode {
            ClockMode::Real => self.started.elapsed(),
            ClockMode::Scaled(speed) => {
                // A speed that no duration can bear lets no time pass.
                let seconds = self.started.elapsed().as_secs_f64() * speed;
                Duration::try_from_secs_f64(seconds).unwrap_or_default()
            }
            ClockMode::Stepped => Duration::ZERO,
        };
        self.began + passed + self.ahead
    }

    /// Whether it may show another time than the machine's.
    pub(super) fn is_own(&self) -> bool {
        self.mode != ClockMode::Real || !self.ahead.is_zero() || self.set
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.ahead += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stepped_clock_moves_by_hand_only() {
        let mut clock = WorldClock::new(ClockMode::Stepped, None);
        let before = clock.now();
        assert_eq!(clock.now(), before);
        clock.advance(Duration::from_secs(7));
        assert_eq!(clock.now(), before + Duration::from_secs(7));
    }

    #[test]
    fn a_scaled_clock_runs_ahead() {
        let (began, speed) = (SystemTime::UNIX_EPOCH, 1e6);
        let clock = WorldClock::new(ClockMode::Scaled(speed), Some(began));
        let wall = Instant::now();
        while wall.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        assert!(clock.now() >= began + Duration::from_secs(2000));
        let none = WorldClock::new(ClockMode::Scaled(-1.0), Some(began));
        assert_eq!(none.now(), began);
    }
}
