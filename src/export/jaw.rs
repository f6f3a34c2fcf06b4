//! The two jaws, and the words that name them.
//!
//! Whole words count, and a word of the other jaw takes the answer away: a mesh that is milled for the
//! wrong jaw is worse than one without a jaw.

use std::fmt;

/// Upper or lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Jaw {
    /// The maxilla.
    Upper,
    /// The mandible.
    Lower,
}

impl Jaw {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Jaw::Upper => "upper",
            Jaw::Lower => "lower",
        }
    }

    /// The jaw that a text names, if it names one.
    pub(super) fn of(text: &str) -> Option<Jaw> {
        let (mut upper, mut lower) = (false, false);
        for word in words(text) {
            match word.to_ascii_lowercase().as_str() {
                "u" | "upper" | "upperjaw" | "maxilla" | "maxillary" => upper = true,
                "l" | "lower" | "lowerjaw" | "mandible" | "mandibular" => lower = true,
                _ => {}
            }
        }
        match (upper, lower) {
            (true, false) => Some(Jaw::Upper),
            (false, true) => Some(Jaw::Lower),
            // Neither, or a bite of both.
            _ => None,
        }
    }
}

impl fmt::Display for Jaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `UpperJaw_2` has the words `Upper`, `Jaw` and `2`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let signs = text.split(|c: char| !c.is_ascii_alphanumeric());
    signs.flat_map(|run| {
        let mut before = '0';
        let mut starts: Vec<usize> = vec![0];
        for (at, c) in run.char_indices() {
            if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
                starts.push(at);
            }
            before = c;
        }
        let ends: Vec<usize> = starts[1..].iter().copied().chain([run.len()]).collect();
        let ranges = starts.into_iter().zip(ends);
        ranges.map(move |(start, end)| &run[start..end])
    })
}
