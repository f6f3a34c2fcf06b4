//! How far a download has come.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, SystemTime};

/// How far a download has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are there, those of an earlier attempt among them. Falls back where a file had
    /// to be begun anew.
    pub bytes: u64,
    /// Bytes in all, if the service says.
    pub total: Option<u64>,
    /// Bytes a second over the last five seconds; none for the first quarter of a second.
    pub rate: Option<u64>,
}

/// What is told of it.
pub(crate) struct Report(pub(crate) Box<dyn FnMut(Progress) + Send>);

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

/// Measures the rate.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// When so many bytes had come in all, oldest first.
    samples: VecDeque<(SystemTime, u64)>,
    came: u64,
}

const BETWEEN: Duration = Duration::from_millis(250);
const OVER: Duration = Duration::from_secs(5);

impl Meter {
    /// Notes bytes that came, and gives the rate.
    pub(crate) fn note(&mut self, bytes: u64, now: SystemTime) -> Option<u64> {
        let age = |then| now.duration_since(then).unwrap_or_default();
        if self
            .samples
            .back()
            .is_none_or(|last| age(last.0) >= BETWEEN)
        {
            self.samples.push_back((now, self.came));
        }
        self.came += bytes;
        while self.samples.len() > 1 && age(self.samples[0].0) > OVER {
            self.samples.pop_front();
        }
        let (then, had) = *self.samples.front()?;
        let age = age(then);
        let rate = (self.came - had) as f64 / age.as_secs_f64();
        (age >= BETWEEN).then_some(rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = SystemTime::UNIX_EPOCH;
        let mut meter = Meter::default();
        let mut at = |millis, bytes| meter.note(bytes, start + Duration::from_millis(millis));
        assert_eq!(at(0, 1000), None);
        assert_eq!(at(249, 1000), None);
        assert_eq!(at(500, 1000), Some(6000));
        // A pause, and slower after it.
        for second in 100..=120 {
            at(second * 1000, 10);
        }
        assert_eq!(at(121_000, 10), Some(12));
        // A clock that is set back does no harm.
        assert_eq!(at(0, 10), None);
    }
}
