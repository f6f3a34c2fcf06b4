//! How long to wait before a repeat.

use std::time::Duration;

/// A wait between nothing and a bound that doubles with each attempt: *full jitter*, so that
/// many callers that failed together do not come back together. See
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
///
/// `chance` is from 0 to 1, drawn by the caller.
pub(crate) fn full_jitter(base: Duration, cap: Duration, attempts: u32, chance: f64) -> Duration {
    // 2^31 is the largest power of two in a `u32`.
    let doubled = 2u32.saturating_pow(attempts.saturating_sub(1).min(31));
    let bound = base.saturating_mul(doubled).min(cap);
    // `mul_f64` panics on a negative factor.
    bound.mul_f64(chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let (base, cap) = (Duration::from_millis(250), Duration::from_secs(20));
        for (attempts, bound) in [
            (1, 250),
            (2, 500),
            (3, 1000),
            (8, 20_000),
            (u32::MAX, 20_000),
        ] {
            let bound = Duration::from_millis(bound);
            assert_eq!(full_jitter(base, cap, attempts, 1.0), bound);
            assert_eq!(full_jitter(base, cap, attempts, 0.0), Duration::ZERO);
            assert_eq!(full_jitter(base, cap, attempts, 0.5), bound / 2);
        }
    }
}
