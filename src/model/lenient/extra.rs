//! Fields that no other field took, as the service sent them.
//!
//! *Problem.* Nobody knows today what a lab will want to read tomorrow, and each order has more
//! fields than accessors.
//!
//! *Approach.* Their JSON is kept as text. Nothing must be changed in it: numbers keep their
//! digits, and what a store has kept must be readable again, or the order is lost.

use serde::Serialize;
use serde::ser::{Error as _, SerializeMap};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::parse::{members, parse};

/// Fields by their own keys, as the text of a JSON object; empty where there are none.
///
/// A tree of maps for each order would cost more than all of its own fields, and of most orders
/// nobody asks what else they have.
#[derive(Clone, Default)]
pub(crate) struct ExtraFields(String);

impl ExtraFields {
    /// Adds a field; `value` is its JSON.
    ///
    /// What the parser would not take later (half of a pair of surrogates, a number out of range,
    /// more than a hundred levels) becomes a text: a store that keeps the order can read it again.
    pub(crate) fn push(&mut self, key: &str, value: &str) {
        // Parsing every value would cost what this type is there to save, so only suspicious ones
        // are tried.
        if may_not_parse(value) && parse::<Value>(value).is_err() {
            let text = serde_json::to_string(value).unwrap_or_default();
            return self.put(key, &text);
        }
        self.put(key, value);
    }

    /// The same for a value under a name that a field has. Here what the parser would not take is
    /// dropped: as a text, the field might take it the next time.
    pub(crate) fn push_known(&mut self, key: &str, value: &str) {
        if !may_not_parse(value) || parse::<Value>(value).is_ok() {
            self.put(key, value);
        }
    }

    fn put(&mut self, key: &str, value: &str) {
        let opening = if self.0.pop().is_some() { ',' } else { '{' };
        self.0.push(opening);
        // A text can always be written.
        self.0
            .push_str(&serde_json::to_string(key).unwrap_or_default());
        self.0.push(':');
        self.0.push_str(value);
        self.0.push('}');
    }

    /// Releases the memory that was reserved for more.
    pub(crate) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls with each key and its JSON.
    pub(crate) fn each<'a>(&'a self, mut each: impl FnMut(&str, &'a str)) {
        if !self.is_empty() {
            // What was pushed together can be taken apart.
            let _ = members(&self.0, |key, value| each(&key, value));
        }
    }

    /// The fields, read.
    pub(crate) fn to_map(&self) -> Map<String, Value> {
        let mut map = Map::new();
        self.each(|key, value| {
            // `push` has let in only what can be parsed, or text.
            if let Ok(value) = parse(value) {
                map.insert(key.to_owned(), value);
            }
        });
        map
    }

    /// Writes the fields into a map that is being written.
    pub(crate) fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let mut result = Ok(());
        self.each(|key, value| {
            // After the first error the serializer must not be called again.
            if result.is_ok() {
                // As raw text: a tree would lose the digits of large numbers.
                result = serde_json::from_str::<&RawValue>(value)
                    .map_err(M::Error::custom)
                    .and_then(|value| map.serialize_entry(key, value));
            }
        });
        result
    }
}

/// Whether a value is one of the few that are valid to the eye and not to the parser. Most are not, and
/// are kept unread.
fn may_not_parse(json: &str) -> bool {
    let (mut levels, mut digits, mut before) = (0, 0, 0);
    for byte in json.bytes() {
        levels += u32::from(matches!(byte, b'[' | b'{'));
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        let exponent = matches!(byte, b'e' | b'E') && u8::is_ascii_digit(&before);
        let escape = byte == b'u' && before == b'\\';
        // The parser's own limit is 128 levels, counted from the outermost value, of which this one
        // is a part. A double has at most 309 digits before the point.
        if levels > 100 || digits > 300 || exponent || escape {
            return true;
        }
        before = byte;
    }
    false
}

/// Writes a field, if it has a value.
pub(crate) fn entry<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    value: Option<&(impl Serialize + ?Sized)>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, value))
}

/// By what they say: a database may keep JSON with its keys in another order.
impl PartialEq for ExtraFields {
    fn eq(&self, other: &Self) -> bool {
        // The text first: mostly it decides, and no tree is built.
        self.0 == other.0 || self.to_map() == other.to_map()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_kept_as_they_came_and_read_on_demand() {
        let mut extra = ExtraFields::default();
        assert!(extra.is_empty() && extra.to_map().is_empty());
        extra.push("a\"\u{1}", r#"{ "b" : [1, 2] }"#);
        extra.push("n", "1e999");
        extra.push("c", "null");
        assert_eq!(extra.to_map()["a\"\u{1}"]["b"][1], 2);
        assert_eq!(
            extra.to_map()["n"],
            "1e999",
            "a number out of range is a text"
        );
        let mut other = ExtraFields::default();
        other.push("c", "null");
        other.push("a\"\u{1}", r#"{"b":[1,2]}"#);
        assert!(extra != other, "a number out of range is not nothing");
        other.push("n", "1e999");
        assert!(extra == other);
        other.push("c", "0");
        assert!(extra != other);
    }
}
