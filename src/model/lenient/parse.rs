//! The one place that hands an answer's text to the parser.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::key::WireKey;

/// Reads a text in one go: in linear time.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    handed_over(json);
    serde_json::from_str(json)
}

/// Notes that the parser gets a text. What a whole answer costs is the sum of all of them.
pub(super) fn handed_over(_json: &str) {
    #[cfg(test)]
    HANDED_OVER.with(|bytes| bytes.set(bytes.get() + _json.len()));
}

#[cfg(test)]
thread_local! {
    /// The bytes that the parser got on this thread.
    pub(super) static HANDED_OVER: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// What an object holds, unread.
pub(super) struct Members<'de>(pub(super) Vec<(WireKey<'de>, &'de RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
