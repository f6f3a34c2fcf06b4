//! A reading as one number, for a database column.
//!
//! *Problem.* Vendors keep readings in columns, and ask their databases by them.
//!
//! *Approach.* The state's number and the count of deviations, a byte each. A code must mean the
//! same for ever: a change of the phase table needs a table between states and codes, and must not
//! renumber.

use super::automaton::Reading;

impl Reading {
    /// The reading as one number. Stable: a later release reads it back as the same reading.
    ///
    /// A history that is explained to its end has a code below 256; each deviation adds 256, up
    /// to 255 of them. Beyond that the number says nothing; what the reading says is only in
    /// the reading.
    ///
    /// ```
    /// use lab_connector::flow::{History, Reading};
    ///
    /// let reading = History::complete(["Lab Review", "iTero Milling"]).read();
    /// let stored: u16 = reading.code();
    /// assert_eq!(Reading::from_code(stored), Some(reading));
    /// ```
    #[must_use]
    pub const fn code(self) -> u16 {
        // State numbers follow from the phase table. A test fixes them, since stored codes must
        // stay readable.
        u16::from_le_bytes([self.state_number(), self.deviations()])
    }

    /// The reading with this code.
    ///
    /// None if no reading of this release has it: it was written by a later release, or is no code at
    /// all. The history itself is the way back: read it again.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Reading> {
        let [state, deviations] = code.to_le_bytes();
        Reading::from_parts(state, deviations)
    }
}

/// As its [code](Reading::code).
#[cfg(feature = "serde")]
impl serde::Serialize for Reading {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.code())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Reading {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = u16::deserialize(deserializer)?;
        Reading::from_code(code).ok_or_else(|| {
            serde::de::Error::custom(format_args!("{code} is not the code of a reading"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Symbol;
    use std::collections::HashSet;

    /// Every state by a shortest history that leaves it, `?` before a partial one. The place in
    /// this list is the code (without deviations), and databases are full of them.
    ///
    /// If a change of the phase table breaks this test: what still means the same must keep its
    /// number, and what is new must get a new one. Put a table between the states and their
    /// codes; do not edit this list but to append to it.
    #[rustfmt::skip]
    const CODES: [&str; 31] = [
        "", "?",
        "S", "F", "M", "R", "I", "T", "D", "?S", "?F", "?R",
        "FS", "FF", "FD", "MD", "RR", "RD", "IR", "II", "ID", "?FD", "?RD",
        "FFD", "RRI", "RRT", "RRD", "IRT", "IRD", "IID",
        "RRID",
    ];

    fn read(history: &str) -> Reading {
        let (beginning, letters) = match history.strip_prefix('?') {
            Some(letters) => (Reading::partial(), letters),
            None => (Reading::complete(), history),
        };
        letters.chars().fold(beginning, |reading, c| {
            reading.observe(Symbol::from_letter(c))
        })
    }

    #[test]
    fn codes_are_what_they_were() {
        let mut states = HashSet::new();
        for (code, history) in (0..).zip(CODES) {
            let reading = read(history);
            assert_eq!(reading.code() % 256, code, "{history}");
            assert_eq!(reading.code() / 256, u16::from(reading.deviations()));
            assert_eq!(Reading::from_code(reading.code()), Some(reading));
            let state = reading.deviations_forgotten();
            assert!(states.insert(state));
            // No symbol leads out of the list, and no shorter history to the same state.
            for symbol in Symbol::ALL {
                let next = reading.observe(symbol).code() % 256;
                let listed = CODES[usize::from(next)];
                assert!(listed.trim_matches('?').len() <= history.trim_matches('?').len() + 1);
            }
        }
    }

    #[test]
    fn every_code_leads_back_or_is_refused() {
        let known = (0..=u16::MAX).filter(|code| {
            let reading = Reading::from_code(*code);
            assert!(reading.is_none_or(|reading| reading.code() == *code));
            reading.is_some()
        });
        assert_eq!(known.count(), CODES.len() * 256);
        assert_eq!(Reading::from_code(4711), None);
    }

    #[test]
    fn a_full_count_of_deviations_stays_full() {
        let many = "M".repeat(300) + "F";
        let reading = read(&many);
        assert_eq!(reading.deviations(), 255);
        assert_eq!(Reading::from_code(reading.code()), Some(reading));
    }

    #[test]
    fn a_reading_is_small_and_plain() {
        const fn plain<T: Copy + Eq + std::hash::Hash + Send + Sync + 'static>() {}
        const { plain::<Reading>() };
        assert!(size_of::<Reading>() <= 4);
        assert!(size_of::<Option<Reading>>() <= 4);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_reading_is_stored_as_its_code() -> Result<(), serde_json::Error> {
        let reading = read("FI");
        assert_eq!(serde_json::to_string(&reading)?, reading.code().to_string());
        assert_eq!(serde_json::from_str::<Reading>("262")?, reading);
        for stored in ["31", "65536", "-1", "\"262\""] {
            assert!(serde_json::from_str::<Reading>(stored).is_err(), "{stored}");
        }
        Ok(())
    }
}
