//! Keys, compared without regard to case, `_` and `-`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// Whether `key` is spelled like `name`, which is in lower case and without signs.
pub(crate) fn same_key(key: &str, name: &str) -> bool {
    letters(key).eq(name.bytes())
}

/// The bytes of a key that count, in lower case.
fn letters(key: &str) -> impl Iterator<Item = u8> + '_ {
    key.bytes()
        .filter(|byte| !matches!(byte, b'_' | b'-'))
        .map(|byte| byte.to_ascii_lowercase())
}

/// A key in the form in which names are compared: up to 32 letters as two numbers.
///
/// A record has up to fifty names and a listing thousands of records: see [`Names`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    first: u128,
    rest: u128,
}

impl Key {
    /// A name, which is in lower case and without signs. Meant for constants.
    pub(crate) const fn name(name: &str) -> Key {
        let bytes = name.as_bytes();
        assert!(bytes.len() <= 32, "a name is too long");
        let mut key = Key { first: 0, rest: 0 };
        let mut at = 0;
        while at < bytes.len() {
            key.put(at, bytes[at]);
            at += 1;
        }
        key
    }

    /// A key as it came. One that is longer than any name is none.
    #[inline]
    pub(crate) fn of(key: &str) -> Option<Key> {
        match plain(key.as_bytes()) {
            Some(first) => Some(Key { first, rest: 0 }),
            None => Key::of_any(key),
        }
    }

    fn of_any(key: &str) -> Option<Key> {
        let mut packed = Key { first: 0, rest: 0 };
        for (at, byte) in letters(key).enumerate() {
            if at == 32 {
                return None;
            }
            packed.put(at, byte);
        }
        Some(packed)
    }

    const fn put(&mut self, at: usize, byte: u8) {
        if at < 16 {
            self.first |= (byte as u128) << (8 * at);
        } else {
            self.rest |= (byte as u128) << (8 * (at - 16));
        }
    }

    /// One of 128 places for it in a table.
    #[inline]
    const fn place(self) -> usize {
        let folded = self.first ^ self.rest;
        let folded = (folded as u64) ^ ((folded >> 64) as u64).rotate_left(29);
        (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as usize
    }
}

/// A key of up to 16 letters without signs, as nearly all are: eight at a time.
#[inline]
fn plain(key: &[u8]) -> Option<u128> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let length = key.len();
    let (low, high) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        // The two overlap, and where they do they say the same.
        (Some(begin), Some(end)) if length <= 16 => {
            let high = u64::from_le_bytes(*end).checked_shr(8 * (16 - length) as u32);
            (u64::from_le_bytes(*begin), high.unwrap_or(0))
        }
        (Some(_), _) => return None,
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(begin), Some(end)) => {
                let end = u64::from(u32::from_le_bytes(*end)) << (8 * (length - 4));
                (u64::from(u32::from_le_bytes(*begin)) | end, 0)
            }
            _ => {
                let letters = key.iter().rev();
                (letters.fold(0, |low, byte| low << 8 | u64::from(*byte)), 0)
            }
        },
    };
    // A byte that is equal to `sign` becomes zero, and only below a zero byte borrows run on.
    let holds = |eight: u64, sign: u8| {
        let eight = eight ^ (EACH * u64::from(sign));
        eight.wrapping_sub(EACH) & !eight & (EACH << 7) != 0
    };
    if holds(low, b'_') || holds(low, b'-') || holds(high, b'_') || holds(high, b'-') {
        return None;
    }
    // The bit that makes a capital small, where the one is set that all letters have. It changes
    // other signs too, but into none that a name holds.
    let small = |eight: u64| eight | (eight & (EACH << 6)) >> 1;
    Some(u128::from(small(low)) | u128::from(small(high)) << 64)
}

/// The names of a record's fields, found in one or two looks. Made at compile time.
pub(crate) struct Names<const N: usize> {
    /// Name, field, and the name's rank among the field's, from 0.
    names: [(Key, u8, u8); N],
    /// 1 and the index into `names`, where the key's place, or one after it, is.
    table: [u8; 128],
}

impl<const N: usize> Names<N> {
    /// Names with their fields; those of a field stand best first.
    pub(crate) const fn new(list: [(&str, u8); N]) -> Self {
        assert!(N < 100, "the table is too small");
        let none = Key { first: 0, rest: 0 };
        let mut names = Names {
            names: [(none, 0, 0); N],
            table: [0; 128],
        };
        let mut at = 0;
        while at < N {
            let (name, field) = list[at];
            let key = Key::name(name);
            let mut rank = 0;
            let mut before = 0;
            while before < at {
                rank += (list[before].1 == field) as u8;
                before += 1;
            }
            names.names[at] = (key, field, rank);
            let mut place = key.place();
            while names.table[place] != 0 {
                place = (place + 1) % 128;
            }
            names.table[place] = at as u8 + 1;
            at += 1;
        }
        names
    }

    /// The field of this name, and the name's rank.
    #[inline]
    pub(crate) fn find(&self, key: Key) -> Option<(u8, u8)> {
        let mut place = key.place();
        loop {
            let at = self.table[place % 128].checked_sub(1)?;
            let (name, field, rank) = *self.names.get(usize::from(at))?;
            if name == key {
                return Some((field, rank));
            }
            place += 1;
        }
    }
}

/// A key as it came, without a copy where JSON allows that.
pub(crate) struct WireKey<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for WireKey<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = WireKey<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<WireKey<'de>, E> {
                Ok(WireKey(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<WireKey<'de>, E> {
                Ok(WireKey(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<WireKey<'de>, E> {
                Ok(WireKey(Cow::Owned(text)))
            }
        }

        deserializer.deserialize_str(Text)
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
            assert!(Key::of(key) == Some(Key::name("rxid")));
        }
        assert!(!same_key("rx id", "rxid"));
        assert!(Key::of(&"x".repeat(33)).is_none());
        assert!(Key::of(&"x".repeat(32)).is_some());
        assert!(Key::of("") == Some(Key::name("")));
    }

    #[test]
    fn names_are_found_with_their_field_and_rank() {
        const NAMES: Names<4> = Names::new([("id", 0), ("orderid", 0), ("status", 1), ("x", 2)]);
        let find = |key| Key::of(key).and_then(|key| NAMES.find(key));
        assert_eq!(find("ID"), Some((0, 0)));
        assert_eq!(find("order_id"), Some((0, 1)));
        assert_eq!(find("Status"), Some((1, 0)));
        assert_eq!(find("x"), Some((2, 0)));
        assert_eq!(find("y"), None);
        assert_eq!(find(""), None);
    }

    proptest! {
        #[test]
        fn numbers_compare_as_the_text_does(
            name in "[a-z]{0,32}",
            signs in prop::collection::vec("[_-]{0,2}", 33),
            other in "\\PC{0,20}",
        ) {
            let expected = Some(Key::name(&name));
            prop_assert!(Key::of(&name.to_ascii_uppercase()) == expected);
            let spelled = name.chars().zip(&signs).map(|(letter, signs)| format!("{signs}{letter}"));
            prop_assert!(Key::of(&spelled.collect::<String>()) == expected);
            prop_assert_eq!(Key::of(&other) == expected, same_key(&other, &name));
        }

        #[test]
        fn near_misses_are_misses(name in "[a-z]{1,20}", at in 0usize..20, byte in 0u8..128) {
            let mut near = name.clone().into_bytes();
            let at = at % near.len();
            near[at] = byte;
            let near = String::from_utf8_lossy(&near).into_owned();
            prop_assert_eq!(Key::of(&near) == Some(Key::name(&name)), same_key(&near, &name));
        }
    }
}
