//! The one place that hands an answer's text to the parser.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Notes that the parser gets a text. What a whole answer costs is the sum of all of them.
fn handed_over(_json: &str) {
    #[cfg(test)]
    HANDED_OVER.with(|bytes| bytes.set(bytes.get() + _json.len()));
}

#[cfg(test)]
thread_local! {
    /// The bytes that the parser got on this thread.
    pub(super) static HANDED_OVER: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Reads a text in one go: in linear time.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    handed_over(json);
    serde_json::from_str(json)
}

/// Goes through the members of an object, unread.
///
/// # Errors
///
/// It is no object.
pub(crate) fn members<'a>(
    json: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a str),
) -> serde_json::Result<()> {
    struct Object<F>(F);

    impl<'de, F: FnMut(Cow<'de, str>, &'de str)> Visitor<'de> for Object<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
            members_of(map, self.0)
        }
    }

    handed_over(json);
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(Object(each))?;
    reader.end()
}

/// The same of an object that is being read.
pub(super) fn members_of<'de, A: MapAccess<'de>>(
    mut map: A,
    mut each: impl FnMut(Cow<'de, str>, &'de str),
) -> Result<(), A::Error> {
    while let Some(Key(key)) = map.next_key()? {
        let value: &RawValue = map.next_value()?;
        each(key, value.get());
    }
    Ok(())
}

/// Hands a text to the parser, and all of it.
pub(super) fn seeded<'a, S: DeserializeSeed<'a>>(
    json: &'a str,
    seed: S,
) -> serde_json::Result<S::Value> {
    handed_over(json);
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The text that a JSON string stands for. Half of a pair of surrogates, which JavaScript and Java
/// write without a second thought, becomes U+FFFD.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    parse(json).ok().map(|Key(text)| text)
}

fn without_surrogates(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        match rest {
            // ED A0 80 to ED BF BF.
            [0xED, 0xA0..=0xBF, _, after @ ..] => {
                text.extend_from_slice("\u{FFFD}".as_bytes());
                rest = after;
            }
            _ => {
                text.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A text, without a copy where JSON allows that.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Key<'de>, E> {
                Ok(Key(match std::str::from_utf8(bytes) {
                    Ok(text) => Cow::Borrowed(text),
                    Err(_) => Cow::Owned(without_surrogates(bytes)),
                }))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(match std::str::from_utf8(bytes) {
                    Ok(text) => text.to_owned(),
                    Err(_) => without_surrogates(bytes),
                })))
            }
        }

        // As bytes: a lone surrogate comes as the three bytes that UTF-8 would have for it if it had
        // any, where a string would be an error.
        deserializer.deserialize_bytes(Bytes)
    }
}
