//! Keys, compared without regard to case, `_` and `-`.
//!
//! *Problem.* How the service spells its keys is not documented: `orderId`, `OrderId`, `order_id`.
//! *Approach.* Both sides are reduced to their letters. This runs for each key of each answer, so
//! it must not allocate.

/// Whether `key` is spelled like `name`, which is in lower case and without signs.
pub(crate) fn same_key(key: &str, name: &str) -> bool {
    letters(key).eq(name.bytes())
}

/// Whether two spellings are of one name.
pub(crate) fn same_spelling(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

/// The bytes of a key that count, in lower case.
fn letters(key: &str) -> impl Iterator<Item = u8> + '_ {
    // Bytes and not characters: names are ASCII, and no byte of another character is equal to one
    // of theirs.
    key.bytes()
        .filter(|byte| !matches!(byte, b'_' | b'-'))
        .map(|byte| byte.to_ascii_lowercase())
}

/// A key in the spelling of names, without an allocation: a listing has ten thousands of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoldedKey {
    // First, and so compared first: most names are of another length.
    length: usize,
    bytes: [u8; LONGEST],
}

/// The most letters that a name has: on the stack, for each key of a listing. A longer key is nobody's.
pub(crate) const LONGEST: usize = 24;

impl FoldedKey {
    /// As [`letters`], and `const`: names are folded when they are compiled.
    pub(crate) const fn new(key: &str) -> Self {
        let key = key.as_bytes();
        let mut folded = FoldedKey {
            bytes: [0; LONGEST],
            length: 0,
        };
        let mut at = 0;
        while at < key.len() {
            if !matches!(key[at], b'_' | b'-') {
                if folded.length == LONGEST {
                    // A cut key could be equal to a name; an empty one is equal to none.
                    return FoldedKey {
                        bytes: [0; LONGEST],
                        length: 0,
                    };
                }
                folded.bytes[folded.length] = key[at].to_ascii_lowercase();
                folded.length += 1;
            }
            at += 1;
        }
        folded
    }

    /// Of a name that is in the code.
    pub(crate) const fn of_name(name: &str) -> Self {
        let folded = FoldedKey::new(name);
        assert!(folded.length == name.len(), "no key would be found by it");
        folded
    }

    /// Empty for a key that is longer than any name.
    pub(crate) fn as_str(&self) -> &str {
        // Bytes that are no ASCII are left as they are, so that only a key cut in the middle of a
        // character could fail, and those are emptied above.
        self.bytes
            .get(..self.length)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_compared_without_case_and_signs() {
        for key in ["rxId", "RxID", "rx_id", "RX-ID", "rxid", "__rx--id_"] {
            assert!(same_key(key, "rxid"), "{key}");
            assert_eq!(FoldedKey::new(key).as_str(), "rxid");
            assert!(same_spelling(key, "Rx_Id"), "{key}");
        }
        assert!(!same_key("rx id", "rxid"));
        assert_eq!(FoldedKey::new(&"x".repeat(25)).as_str(), "");
        assert_eq!(FoldedKey::new(&"_x".repeat(24)).as_str(), "x".repeat(24));
    }

    proptest! {
        #[test]
        fn folding_agrees_with_comparing(key in "\\PC{0,30}|[a-zA-Z_-]{0,30}", name in "[a-z]{1,24}") {
            prop_assert_eq!(FoldedKey::new(&key).as_str() == name, same_key(&key, &name));
            let folded = FoldedKey::new(&name.to_ascii_uppercase());
            prop_assert_eq!(folded.as_str(), name);
        }
    }
}
