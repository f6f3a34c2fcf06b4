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
/// A record has up to fifty names and a listing thousands of records; comparing numbers takes
/// a third of the time that comparing text takes.
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
        let mut packed = Key { first: 0, rest: 0 };
        for (at, byte) in letters(key).enumerate() {
            if at == 32 {
                return None;
            }
            packed.put(at, byte);
        }
        Some(packed)
    }

    #[inline]
    const fn put(&mut self, at: usize, byte: u8) {
        if at < 16 {
            self.first |= (byte as u128) << (8 * at);
        } else {
            self.rest |= (byte as u128) << (8 * (at - 16));
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

    proptest! {
        #[test]
        fn numbers_compare_as_the_text_does(key in "[a-cA-C_-]{0,36}", name in "[a-c]{0,32}") {
            prop_assert_eq!(Key::of(&key) == Some(Key::name(&name)), same_key(&key, &name));
        }
    }
}
