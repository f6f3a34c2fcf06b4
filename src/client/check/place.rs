//! Where the records of an answer are. Pure.
//!
//! A listing finds its records in one pass over the text and keeps no tree; a report needs the place of the
//! list and what is around it. So the rule stands here a second time, by the same table of keys
//! (`lists_are_found_as_the_crate_finds_them_or_as_the_only_ones`).

use serde_json::{Map, Value};

use super::form::is_plain;
// Of the depth too: the check must not promise what a listing would not find.
use crate::model::lenient::{self, DEPTH};

/// The records of an answer, and what is around them.
#[derive(Debug, PartialEq)]
pub(super) struct Place<'v> {
    /// A JSON pointer; none where a key on the way must not be shown.
    pub(super) pointer: Option<String>,
    /// How many objects are around the list.
    pub(super) depth: usize,
    pub(super) records: &'v [Value],
    /// What is due as a list is null.
    pub(super) is_null: bool,
    /// The crate does not find it by itself: it is the only list of objects there.
    pub(super) is_guess: bool,
    /// The objects around the list, without the way to it.
    pub(super) around: Map<String, Value>,
}

/// The list of an answer: as the crate finds it, or the only one there is.
pub(super) fn list(answer: &Value) -> Option<Place<'_>> {
    let mut place = Place::new();
    let mut value = answer;
    loop {
        match value {
            Value::Array(records) => {
                place.records = records;
                return Some(place);
            }
            // Some services write null for an empty list. A bare null is no listing.
            Value::Null if place.depth > 0 => {
                place.is_null = true;
                return Some(place);
            }
            Value::Object(fields) if place.depth < DEPTH => {
                let wraps =
                    |value: &Value| value.is_array() || value.is_object() || value.is_null();
                let ranked = fields.iter().filter(|(_, value)| wraps(value));
                let ranked = ranked.filter_map(|(key, value)| {
                    let rank = lenient::wrapper_rank(key)?;
                    Some(((value.is_null(), rank), key, value))
                });
                let Some((_, key, inner)) = ranked.min_by_key(|(rank, ..)| *rank) else {
                    return guess(answer);
                };
                place.enter(key, fields);
                value = inner;
            }
            // A number, a text, or too many wrappings: what a listing would not find is at best a guess.
            _ => return guess(answer),
        }
    }
}

/// The list at the JSON pointer of a configuration.
pub(super) fn list_at<'v>(answer: &'v Value, pointer: &str) -> Option<Place<'v>> {
    let mut place = Place::new();
    let mut value = answer;
    for token in pointer.split('/').skip(1) {
        // RFC 6901 section 4: in this order, or `~01` would become a slash.
        let key = token.replace("~1", "/").replace("~0", "~");
        let fields = value.as_object()?;
        value = fields.get(&key)?;
        place.enter(&key, fields);
    }
    place.records = value.as_array()?;
    Some(place)
}

/// The one record of an answer: an object, as far as nothing wraps it by a key that the crate knows.
pub(super) fn record(
    answer: &Value,
    is_record: impl Fn(&Map<String, Value>) -> bool,
) -> Option<&Map<String, Value>> {
    let mut value = answer;
    for _ in 0..DEPTH {
        value = match value {
            Value::Object(fields) if is_record(fields) => return Some(fields),
            Value::Object(fields) => {
                let inner = fields
                    .iter()
                    .filter(|(_, value)| value.is_object() || value.is_array());
                let ranked =
                    inner.filter_map(|(key, value)| Some((lenient::wrapper_rank(key)?, value)));
                ranked.min_by_key(|(rank, _)| *rank)?.1
            }
            Value::Array(only) if only.len() == 1 => &only[0],
            _ => return None,
        };
    }
    None
}

impl Place<'_> {
    fn new() -> Self {
        Place {
            pointer: Some(String::new()),
            depth: 0,
            records: &[],
            is_null: false,
            is_guess: false,
            around: Map::new(),
        }
    }

    fn enter(&mut self, key: &str, fields: &Map<String, Value>) {
        self.depth += 1;
        self.pointer = self.pointer.take().filter(|_| is_plain(key));
        if let Some(pointer) = &mut self.pointer {
            pointer.push('/');
            // The other way round from reading: the `~` first.
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        }
        let others = fields.iter().filter(|(other, _)| *other != key);
        self.around
            .extend(others.map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// The only list of objects, wherever it is.
fn guess(answer: &Value) -> Option<Place<'_>> {
    let mut found = Vec::new();
    look(answer, &mut Vec::new(), &mut found);
    // With two lists it would be a guess which one is meant.
    let [(path, records)] = found.as_slice() else {
        return None;
    };
    let mut place = Place::new();
    place.records = records;
    place.is_guess = true;
    let mut value = answer;
    for key in path {
        let fields = value.as_object()?;
        place.enter(key, fields);
        value = fields.get(*key)?;
    }
    Some(place)
}

fn look<'v>(
    value: &'v Value,
    path: &mut Vec<&'v str>,
    found: &mut Vec<(Vec<&'v str>, &'v [Value])>,
) {
    match value {
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_object) => {
            found.push((path.clone(), list));
        }
        Value::Object(fields) if path.len() < DEPTH => {
            for (key, value) in fields {
                path.push(key);
                look(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_found_as_the_crate_finds_them_or_as_the_only_ones() {
        for (answer, pointer, count, guess) in [
            (json!([{}, {}]), "", 2, false),
            (json!({"orders": [{}], "total": 1}), "/orders", 1, false),
            (
                json!({"Data": {"Orders": [{}]}, "x": []}),
                "/Data/Orders",
                1,
                false,
            ),
            (
                json!({"reply": {"queue": [{}], "n": 1}}),
                "/reply/queue",
                1,
                true,
            ),
        ] {
            let place = list(&answer).unwrap();
            assert_eq!(place.pointer.as_deref(), Some(pointer), "{answer}");
            assert_eq!(
                (place.records.len(), place.is_guess),
                (count, guess),
                "{answer}"
            );
        }
        assert!(list(&json!({"orders": null})).unwrap().is_null);
        let around = json!({"meta": {"page": 1}, "data": {"orders": [], "total": 0}});
        let around = list(&around).unwrap().around;
        assert_eq!(around.keys().collect::<Vec<_>>(), ["meta", "total"]);
        for none in [
            json!(7),
            json!({}),
            json!({"a": [{}], "b": [{}]}),
            json!(null),
        ] {
            assert_eq!(list(&none), None, "{none}");
        }
        let deep = json!({"reply": {"a/b": [{}], "n": 1}, "total": 2});
        let place = list_at(&deep, "/reply/a~1b").unwrap();
        assert_eq!((place.records.len(), place.depth), (1, 2));
        assert_eq!(place.around.keys().collect::<Vec<_>>(), ["n", "total"]);
        assert_eq!(list_at(&deep, "/reply/n"), None);
        let hidden = json!({"Doe, Jane": [{}]});
        assert_eq!(list(&hidden).unwrap().pointer, None);
    }
}
