//! Chance, drawn from a seed.
//!
//! Most draws are made of the seed and of what they are for, not of how many were made before:
//! so calls that come in another order do not change each other's course.

/// A seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Randomness(u64);

/// What a draw is for, so that equal numbers do not make equal draws.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Tokens = 1,
    People,
    Faults,
    Workload,
    Signatures,
}

impl Randomness {
    pub(super) fn new(seed: u64) -> Self {
        Randomness(seed)
    }

    /// A generator for the n-th draw of a purpose.
    pub(super) fn nth(self, purpose: Stream, n: u64) -> fastrand::Rng {
        // Mixed one by one: without it, small purposes and numbers would cancel each other out.
        let seed = mix(self.0 ^ mix(purpose as u64) ^ mix(n).rotate_left(17));
        fastrand::Rng::with_seed(seed)
    }
}

/// Neighbouring numbers lead far apart (SplitMix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    // The constants are those of SplitMix64.
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_purpose_and_number_alone() {
        let draw = |seed, purpose, n| Randomness::new(seed).nth(purpose, n).u64(..);
        assert_eq!(draw(1, Stream::Workload, 2), draw(1, Stream::Workload, 2));
        let others = [
            draw(2, Stream::Workload, 2),
            draw(1, Stream::Faults, 2),
            draw(1, Stream::Workload, 3),
        ];
        assert!(
            others
                .iter()
                .all(|other| *other != draw(1, Stream::Workload, 2))
        );
    }
}
