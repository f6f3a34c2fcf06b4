//! Listings: records in whatever they are wrapped.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fault::{Fault, Located, Path};
use super::parse::{members, parse, seeded};
use super::record::{Fields as _, Read, Record};
use crate::key::Folded;

/// Keys under which a list may be wrapped, the best first.
const WRAPPERS: [&str; 13] = [
    "orders", "accounts", "cases", "scans", "items", "data", "results", "records", "content",
    "value", "result", "order", "embedded",
];

/// How deep a list may be wrapped, as in `{"data": {"orders": []}}`.
const DEPTH: usize = 4;

/// Of so many records that cannot be read it is kept where they stood and why. A hostile answer
/// of 32 MiB could hold eleven million.
pub(crate) const UNREADABLE_LIMIT: usize = 1000;

/// What stands around a list is about pages, and short. A value of more bytes is not read.
const AROUND_LIMIT: usize = 16 << 10;

/// The records of a listing.
pub(crate) struct Records<T> {
    pub(crate) good: Vec<T>,
    /// Position of the first records that cannot be read, and what is wrong with them.
    pub(crate) unreadable: Vec<(usize, Located)>,
    /// How many records there were, good or not.
    pub(crate) count: usize,
    /// What stood around the list: totals, cursors, links.
    pub(crate) around: Map<String, Value>,
    /// The way to the list.
    path: Path,
}

/// Reads a listing: a bare list, a list wrapped in an object, or one object by itself. One bad
/// record does not hide the good ones, and it is read in linear time.
pub(crate) fn records<T: Record>(body: &[u8]) -> Result<Records<T>, Fault> {
    let mut records = Records::new(Path::new());
    records.read(&text(body), 0)?;
    Ok(records)
}

/// Reads the one record of an answer, which may be wrapped as a listing is.
pub(crate) fn one<T: Record>(body: &[u8]) -> Result<T, Located> {
    let text = text(body);
    let mut records = match records::<T>(text.as_bytes()) {
        Ok(records) => records,
        // What an object lacks as a record says more than that it wraps none.
        Err(Fault::NoList) => return T::read(&text, Path::new),
        Err(fault) => return Err(fault.into()),
    };
    match (records.good.pop(), records.unreadable.pop()) {
        (Some(record), None) if records.good.is_empty() => Ok(record),
        (None, Some((_, located))) if records.count == 1 => Err(located),
        _ => Err(Fault::NotOne.into()),
    }
}

/// The text of an answer. Bytes that are none are replaced: they cost a sign, and not the order.
/// Some services begin with a byte order mark, which is no JSON.
fn text(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    String::from_utf8_lossy(body)
}

impl<T: Record> Records<T> {
    fn new(path: Path) -> Self {
        Records {
            good: Vec::new(),
            unreadable: Vec::new(),
            count: 0,
            around: Map::new(),
            path,
        }
    }

    fn read(&mut self, json: &str, depth: usize) -> Result<(), Fault> {
        match json.trim_ascii_start().bytes().next() {
            Some(b'[') => self.read_list(json),
            Some(b'{') => self.read_object(json, depth),
            _ => match parse::<serde::de::IgnoredAny>(json) {
                Ok(_) if depth > 0 => {
                    self.read_record(json);
                    Ok(())
                }
                Ok(_) => Err(Fault::shape(json, "a list of records")),
                Err(_) => Err(Fault::NotJson),
            },
        }
    }

    fn read_list(&mut self, json: &str) -> Result<(), Fault> {
        if seeded(json, List(self)).is_err() {
            // What no parser takes, such as a number out of range, must cost its own record only: each
            // is read by itself, if all of it is JSON.
            let elements: Vec<&RawValue> = parse(json).map_err(|_| Fault::NotJson)?;
            *self = Records::new(std::mem::take(&mut self.path));
            for element in elements {
                self.add_listed(Read::of(element.get()));
            }
        }
        Ok(())
    }

    /// Reads an object: a wrapping, or a record by itself.
    fn read_object(&mut self, json: &str, depth: usize) -> Result<(), Fault> {
        let mut all = Vec::new();
        members(json, |key, value| all.push((key, value))).map_err(|_| Fault::NotJson)?;
        let is_own = |key: &str| T::OWN.contains(&Folded::new(key).as_str());
        let own = all.iter().any(|(key, _)| is_own(key));
        let wrapped = all.iter().enumerate().filter_map(|(at, (key, value))| {
            let is_null = *value == "null";
            let holds = is_null || value.starts_with(['[', '{']);
            let folded = Folded::new(key);
            let rank = WRAPPERS.iter().position(|name| *name == folded.as_str())?;
            holds.then_some((is_null, rank, at))
        });
        let wrapped = wrapped.min().filter(|_| !own && depth < DEPTH);
        let Some((is_null, rank, at)) = wrapped else {
            if depth > 0 || own {
                self.read_record(json);
                return Ok(());
            }
            // By itself an object may be anything: only one that can be read is a record.
            let record = T::read(json, Path::new).map_err(|_| Fault::NoList)?;
            self.good.push(record);
            self.count += 1;
            return Ok(());
        };
        let mut inner = Records::new(match self.path.as_str() {
            "" => WRAPPERS[rank].to_owned(),
            path => format!("{path}.{}", WRAPPERS[rank]),
        });
        let read = if is_null {
            Ok(())
        } else {
            inner.read(all[at].1, depth + 1)
        };
        // An order has keys by which others wrap: what wraps no record may be one.
        if all[at].1.starts_with('{')
            && inner.good.is_empty()
            && let Ok(record) = T::read(json, Path::new)
        {
            self.good.push(record);
            self.count += 1;
            return Ok(());
        }
        read?;
        for (other, (key, value)) in all.iter().enumerate() {
            if other != at
                && value.len() <= AROUND_LIMIT
                && let Ok(value) = parse(value)
            {
                self.around.insert(key.clone().into_owned(), value);
            }
        }
        inner.around.append(&mut self.around);
        *self = inner;
        Ok(())
    }

    /// Reads a record that stands by itself where a list may be.
    fn read_record(&mut self, json: &str) {
        let path = self.path.clone();
        self.add(T::read(json, || path));
    }

    /// Reads a record of a list.
    fn add_listed(&mut self, read: Result<Read<T::Fields>, Fault>) {
        let position = self.count;
        let wrapped = &self.path;
        let path = || format!("{wrapped}[{position}]");
        let record = match read {
            Ok(read) => T::judge(read, path),
            Err(fault) => Err(Located {
                path: path(),
                fault,
            }),
        };
        self.add(record);
    }

    fn add(&mut self, record: Result<T, Located>) {
        let position = self.count;
        self.count += 1;
        match record {
            Ok(record) => self.good.push(record),
            Err(located) if self.unreadable.len() < UNREADABLE_LIMIT => {
                self.unreadable.push((position, located));
            }
            Err(_) => {}
        }
    }
}

/// Reads each element of a list as a record.
struct List<'a, T>(&'a mut Records<T>);

impl<'de, T: Record> DeserializeSeed<'de> for List<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Record> Visitor<'de> for List<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(()) = seq.next_element_seed(Element(self.0))? {}
        Ok(())
    }
}

/// Reads one element as a record, whatever it is.
struct Element<'a, T>(&'a mut Records<T>);

impl<'de, T: Record> DeserializeSeed<'de> for Element<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: Record> Element<'_, T> {
    fn unfit<E>(self, found: &'static str) -> Result<(), E> {
        let due = T::Fields::WHAT;
        self.0.add_listed(Err(Fault::Shape { found, due }));
        Ok(())
    }
}

impl<'de, T: Record> Visitor<'de> for Element<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let read = Read::of_map(map)?;
        self.0.add_listed(Ok(read));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<&RawValue>()?.is_some() {}
        self.unfit("a list")
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.unfit("text")
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.unfit("a number")
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.unfit("a number")
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.unfit("a number")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.unfit("true or false")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.unfit("null")
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
