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

/// The most letters that a name has.
const LONGEST: usize = 16;

/// A key in the form in which names are compared: up to 16 letters as one number.
///
/// A record has up to fifty names and a listing thousands of records: see [`Names`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u128);

impl Key {
    /// A name, which is in lower case and without signs. Meant for constants.
    pub(crate) const fn name(name: &str) -> Key {
        let bytes = name.as_bytes();
        assert!(bytes.len() <= LONGEST, "a name is too long");
        let mut key = Key(0);
        let mut at = 0;
        while at < bytes.len() {
            key.put(at, bytes[at]);
            at += 1;
        }
        key
    }

    /// A key as it came. One that is longer than any name is none.
    pub(crate) fn of(key: &str) -> Option<Key> {
        let mut packed = Key(0);
        for (at, byte) in letters(key).enumerate() {
            // A zero would count as the end.
            if at == LONGEST || byte == 0 {
                return None;
            }
            packed.put(at, byte);
        }
        Some(packed)
    }

    const fn put(&mut self, at: usize, byte: u8) {
        self.0 |= (byte as u128) << (8 * at);
    }

    /// A place for it in a table.
    #[inline]
    const fn place(self) -> usize {
        let folded = (self.0 as u64) ^ ((self.0 >> 64) as u64).rotate_left(29);
        (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - PLACES.ilog2())) as usize
    }
}

/// A key of up to 16 bytes with its letters small, eight at a time. Signs stay in it.
///
/// What has a sign is then no name: a `-` is none of the letters that names are made of, nor is
/// what becomes of a `_` here.
#[inline]
fn short(key: &[u8]) -> Option<Key> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let length = key.len();
    let (low, high) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        // The two overlap, and where they do they say the same.
        (Some(begin), Some(end)) if length <= LONGEST => {
            let high = u64::from_le_bytes(*end).checked_shr(8 * (LONGEST - length) as u32);
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
    // The bit that makes a capital small, where the one is set that all letters have. It changes
    // other signs too, but into none that a name holds.
    let small = |eight: u64| eight | (eight & (EACH << 6)) >> 1;
    // A zero at the end would count for nothing.
    (key.last() != Some(&0)).then(|| Key(u128::from(small(low)) | u128::from(small(high)) << 64))
}

/// The names of a record's fields, found in one or two looks. Made at compile time.
pub(crate) struct Names {
    list: &'static [(&'static str, u8)],
    /// Each name stands at its place, or in the first free one after it.
    table: [Name; PLACES],
}

#[derive(Clone, Copy)]
struct Name {
    key: Key,
    field: u8,
    /// Its rank among the names of the field, from 0.
    rank: u8,
}

const PLACES: usize = 128;

/// In place of a field, where there is no name.
const FREE: u8 = u8::MAX;

impl Names {
    /// Names with their fields; those of a field stand best first.
    pub(crate) const fn new(list: &'static [(&'static str, u8)]) -> Self {
        assert!(list.len() < 100, "the table is too small");
        let none = Name {
            key: Key(0),
            field: FREE,
            rank: 0,
        };
        let mut table = [none; PLACES];
        let mut at = 0;
        while at < list.len() {
            let (name, field) = list[at];
            let key = Key::name(name);
            let mut rank = 0;
            let mut before = 0;
            while before < at {
                rank += (list[before].1 == field) as u8;
                before += 1;
            }
            let mut place = key.place();
            while table[place].field != FREE {
                place = (place + 1) % PLACES;
            }
            table[place] = Name { key, field, rank };
            at += 1;
        }
        Names { list, table }
    }

    /// The field that goes by this key, and the name's rank.
    #[inline]
    pub(crate) fn find(&self, key: &str) -> Option<(u8, u8)> {
        // Nearly every key is a name without signs in it. Where it is not, the look costs little
        // beside what is kept of a field that nobody knows.
        let short = short(key.as_bytes()).and_then(|key| self.look(key));
        short.or_else(|| self.find_any(key))
    }

    /// The name of this rank among the field's.
    pub(crate) fn name(&self, field: u8, rank: u8) -> Option<&'static str> {
        let names = self.list.iter().filter(|(_, of)| *of == field);
        names.map(|(name, _)| *name).nth(usize::from(rank))
    }

    #[cold]
    fn find_any(&self, key: &str) -> Option<(u8, u8)> {
        self.look(Key::of(key)?)
    }

    #[inline]
    fn look(&self, key: Key) -> Option<(u8, u8)> {
        let mut place = key.place();
        loop {
            let name = &self.table[place % PLACES];
            if name.key == key {
                // The empty key looks like a free place.
                return (name.field != FREE).then_some((name.field, name.rank));
            }
            if name.field == FREE {
                return None;
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
        assert!(Key::of(&"x".repeat(17)).is_none());
        assert!(Key::of(&"x".repeat(16)).is_some());
        assert!(Key::of("") == Some(Key::name("")));
    }

    const NAMES: Names = Names::new(&[("id", 0), ("orderid", 0), ("status", 1), ("x", 2)]);

    #[test]
    fn names_are_found_with_their_field_and_rank() {
        for (key, found) in [
            ("ID", Some((0, 0))),
            ("order_id", Some((0, 1))),
            ("-Order-Id_", Some((0, 1))),
            ("Status", Some((1, 0))),
            ("x", Some((2, 0))),
            ("y", None),
            ("", None),
            ("id\0", None),
            ("\0", None),
            ("s_t_a_t_u_s_______", Some((1, 0))),
        ] {
            assert_eq!(NAMES.find(key), found, "{key}");
            let name = found.and_then(|(field, rank)| NAMES.name(field, rank));
            assert!(name.is_none_or(|name| same_key(key, name)), "{key}");
        }
    }

    proptest! {
        #[test]
        fn numbers_compare_as_the_text_does(
            name in "[a-z]{0,16}",
            signs in prop::collection::vec("[_-]{0,2}", 17),
            other in "\\PC{0,20}",
        ) {
            let expected = Some(Key::name(&name));
            prop_assert!(Key::of(&name.to_ascii_uppercase()) == expected);
            let spelled = name.chars().zip(&signs).map(|(letter, signs)| format!("{signs}{letter}"));
            prop_assert!(Key::of(&spelled.collect::<String>()) == expected);
            prop_assert_eq!(Key::of(&other) == expected, same_key(&other, &name));
        }

        #[test]
        fn near_misses_are_misses(name in "[a-z]{1,16}", at in 0usize..16, byte in 0u8..128) {
            let mut near = name.clone().into_bytes();
            let at = at % near.len();
            near[at] = byte;
            let near = String::from_utf8_lossy(&near).into_owned();
            let same = same_key(&near, &name);
            prop_assert_eq!(Key::of(&near) == Some(Key::name(&name)), same);
            let longer = [near.as_str(), "\0"].concat();
            prop_assert!(Key::of(&longer) != Some(Key::name(&name)));
        }

        #[test]
        fn a_look_finds_what_is_spelled_alike(key in "[iIdDsStTaAuUoOrReExX_-]{0,9}|[^a-z]{0,9}|(?i-u:order_?id|status|id|x)") {
            let names = [("id", (0, 0)), ("orderid", (0, 1)), ("status", (1, 0)), ("x", (2, 0))];
            let expected = names.iter().find(|(name, _)| same_key(&key, name)).map(|(_, found)| *found);
            prop_assert_eq!(NAMES.find(&key), expected);
        }
    }
}
