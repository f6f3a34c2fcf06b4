//! The one place that hands an answer's text to the parser.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
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
/// It is no object, or a key in it is no text.
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

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some(Key(key)) = map.next_key()? {
                let value: &RawValue = map.next_value()?;
                (self.0)(key, value.get());
            }
            Ok(())
        }
    }

    handed_over(json);
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_map(Object(each))?;
    reader.end()
}

/// Goes through the elements of a list, unread.
///
/// # Errors
///
/// It is no list.
pub(super) fn elements<'a>(json: &'a str, each: impl FnMut(&'a str)) -> serde_json::Result<()> {
    struct List<F>(F);

    impl<'de, F: FnMut(&'de str)> Visitor<'de> for List<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(element) = seq.next_element::<&RawValue>()? {
                (self.0)(element.get());
            }
            Ok(())
        }
    }

    handed_over(json);
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_seq(List(each))?;
    reader.end()
}

/// The text that a JSON string stands for. Half of a pair of surrogates, which JavaScript and Java
/// write without a second thought, becomes U+FFFD.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    if let Ok(Key(text)) = parse(json) {
        return Some(text);
    }
    let Lossy(bytes) = parse(json).ok()?;
    Some(Cow::Owned(without_surrogates(&bytes)))
}

/// serde_json reads lone surrogates where bytes are due: each as the three bytes that UTF-8 would
/// have for it if it had any.
struct Lossy(Vec<u8>);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Lossy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
                Ok(Lossy(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
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
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}
