//! Names by chance: of this process among those that share a store, and of its claims.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// A name that no other process has, for as long as this one lives: all inboxes of a process share
/// it, so that a store has one row for it and not one for each account.
pub(super) fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    // Not the process's number, which systems use again, and which containers share.
    NAME.get_or_init(unique)
}

/// A text that nobody else has. The system draws it: a generator that the program has seeded would
/// give two processes the same ones, and each would pass for the holder of the other's deliveries.
pub(super) fn unique() -> String {
    // The standard library's way to the system's chance. 128 bits.
    let drawn = RandomState::new();
    format!("{:016x}{:016x}", drawn.hash_one(0), drawn.hash_one(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_seeds_its_generator_has_names_of_its_own() {
        let names = [7, 7].map(|seed| {
            fastrand::seed(seed);
            unique()
        });
        assert_ne!(names[0], names[1]);
        assert_eq!(names[0].len(), 32);
    }
}
