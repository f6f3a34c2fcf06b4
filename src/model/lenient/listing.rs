//! Listings: records in whatever they are wrapped.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::Fault;
use super::key::{Key, WireKey};
use super::parse::{Members, handed_over, parse};
use super::path::{Located, Path};
use super::record::{Extra, Fields, Fill, Missing, Record};

/// Keys under which a list may be wrapped, the best first.
const WRAPPERS: [(&str, Key); 13] = [
    wrapper("orders"),
    wrapper("accounts"),
    wrapper("cases"),
    wrapper("scans"),
    wrapper("items"),
    wrapper("data"),
    wrapper("results"),
    wrapper("records"),
    wrapper("content"),
    wrapper("value"),
    wrapper("result"),
    wrapper("order"),
    wrapper("embedded"),
];

const fn wrapper(name: &str) -> (&str, Key) {
    (name, Key::name(name))
}

/// How deep a list may be wrapped, as in `{"data": {"orders": []}}`.
const DEPTH: usize = 4;

/// Of so many records that cannot be read it is kept where they stood and why. A hostile answer
/// of 32 MiB could hold eleven million.
pub(crate) const UNREADABLE_LIMIT: usize = 1000;

/// The records of a listing.
pub(crate) struct Records<T> {
    pub(crate) good: Vec<T>,
    /// Position of the first records that cannot be read, and what is wrong with them.
    pub(crate) unreadable: Vec<(usize, Located)>,
    /// How many records there were, good or not.
    pub(crate) count: usize,
    /// What stood around the list: totals, cursors, links.
    pub(crate) around: Extra,
    /// The way to the list.
    path: Path,
}

/// Reads a listing: a bare list, a list wrapped in an object, or one object by itself.
///
/// A list that decodes is decoded once; only one that fails is read again, record by record,
/// so that one bad record does not hide the good ones. Either way in linear time.
pub(crate) fn records<T: Record>(body: &[u8]) -> Result<Records<T>, Fault> {
    // Some services begin with a byte order mark, which is no JSON.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    // All of it at once is checked faster than piece by piece.
    let (text, repaired) = match std::str::from_utf8(body) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (String::from_utf8_lossy(body), true),
    };
    let begin = Wrapped::<T>(0, PhantomData);
    handed_over(&text);
    let mut reader = serde_json::Deserializer::from_str(&text);
    if !repaired
        && let Ok(wrapping) = begin.deserialize(&mut reader)
        && reader.end().is_ok()
        && let Some(list) = wrapping.list
    {
        return Ok(Records {
            count: list.len(),
            good: list,
            unreadable: Vec::new(),
            around: wrapping.around,
            path: Path::default(),
        });
    }
    let mut records = Records {
        good: Vec::new(),
        unreadable: Vec::new(),
        count: 0,
        around: Extra::new(),
        path: Path::default(),
    };
    records.read(&text, repaired, 0)?;
    Ok(records)
}

/// Reads the one record of an answer, which may be wrapped as a listing is.
pub(crate) fn one<T: Record>(body: &[u8]) -> Result<T, Located> {
    // What an object lacks as a record says more than that it wraps none.
    let lacking = match serde_json::from_slice::<T::Fields>(body).map(T::from_fields) {
        Ok(Ok(record)) => return Ok(record),
        Ok(Err(missing)) => Some(missing),
        Err(_) => None,
    };
    let mut records = records::<T>(body).map_err(|fault| match lacking {
        Some(missing) => {
            let json = std::str::from_utf8(body).unwrap_or_default();
            Located::missing::<T::Fields>(json, Path::default(), missing)
        }
        None => fault.into(),
    })?;
    match (records.good.pop(), records.unreadable.pop()) {
        (Some(record), None) if records.good.is_empty() => Ok(record),
        (None, Some((_, located))) if records.count == 1 => Err(located),
        _ => Err(Fault::NotOne.into()),
    }
}

impl<T: Record> Records<T> {
    /// Reads what did not decode as a whole, without losing what can be read.
    fn read(&mut self, json: &str, repaired: bool, depth: usize) -> Result<(), Fault> {
        match json.trim_ascii_start().bytes().next() {
            Some(b'[') => {
                handed_over(json);
                let mut reader = serde_json::Deserializer::from_str(json);
                let each = Each {
                    records: self,
                    repaired,
                };
                each.deserialize(&mut reader)
                    .and_then(|()| reader.end())
                    .map_err(|_| Fault::NotJson)
            }
            Some(b'{') => self.read_object(json, repaired, depth),
            _ => match parse::<&RawValue>(json) {
                Ok(_) if depth > 0 => {
                    self.read_record(json, repaired, false);
                    Ok(())
                }
                Ok(_) => Err(Fault::shape(json, "a list of records")),
                Err(_) => Err(Fault::NotJson),
            },
        }
    }

    /// Reads an object: a wrapping, or a record by itself.
    fn read_object(&mut self, json: &str, repaired: bool, depth: usize) -> Result<(), Fault> {
        let Members(members) = parse(json).map_err(|_| Fault::NotJson)?;
        let own = members
            .iter()
            .any(|(key, _)| Key::of(&key.0).is_some_and(|key| is_own::<T>(key)));
        let wrapped = members
            .iter()
            .enumerate()
            .filter(|(_, (_, value))| value.get().starts_with(['[', '{']) || value.get() == "null")
            .filter_map(|(at, (key, value))| {
                let key = Key::of(&key.0)?;
                let rank = WRAPPERS.iter().position(|(_, name)| *name == key)?;
                Some((value.get() == "null", rank, at))
            })
            .min();
        let Some((_, rank, at)) = wrapped.filter(|_| !own && depth < DEPTH) else {
            if depth > 0 || own {
                self.read_record(json, repaired, false);
                return Ok(());
            }
            // By itself an object may be anything: only one that can be read is a record.
            let record = parse::<T::Fields>(json)
                .ok()
                .filter(|_| !repaired)
                .and_then(|fields| T::from_fields(fields).ok());
            let record = record.ok_or(Fault::NoList)?;
            self.good.push(record);
            self.count += 1;
            return Ok(());
        };
        for (other, (key, value)) in members.iter().enumerate() {
            if other != at
                && let Ok(value) = parse(value.get())
            {
                self.around.insert(key.0.clone().into_owned(), value);
            }
        }
        match members[at].1.get() {
            "null" => Ok(()),
            inner => {
                self.path.name(WRAPPERS[rank].0);
                self.read(inner, repaired, depth + 1)
            }
        }
    }

    /// Reads a record that stands in a list, or by itself where a list may be.
    fn read_record(&mut self, json: &str, repaired: bool, in_list: bool) {
        let position = self.count;
        self.count += 1;
        let path = || {
            let mut path = self.path.clone();
            if in_list {
                path.at(position);
            }
            path
        };
        let read = record::<T>(json, repaired).map_err(|wrong| match wrong {
            _ if self.unreadable.len() >= UNREADABLE_LIMIT => None,
            Wrong::Lacks(missing) => Some(Located::missing::<T::Fields>(json, path(), missing)),
            Wrong::Is(fault) => Some(Located::within::<T::Fields>(json, path(), fault)),
        });
        match read {
            Ok(record) => self.good.push(record),
            Err(located) => self
                .unreadable
                .extend(located.map(|located| (position, located))),
        }
    }
}

/// Why a record cannot be read.
enum Wrong {
    Lacks(Missing),
    Is(Fault),
}

fn record<T: Record>(json: &str, repaired: bool) -> Result<T, Wrong> {
    match parse::<T::Fields>(json) {
        // What was repaired somewhere may have been repaired here.
        Ok(_) if repaired && json.contains(char::REPLACEMENT_CHARACTER) => {
            Err(Wrong::Is(Fault::NotUtf8))
        }
        Ok(fields) => T::from_fields(fields).map_err(Wrong::Lacks),
        Err(error) if error.is_data() => Err(Wrong::Is(Fault::shape(json, T::Fields::WHAT))),
        Err(_) => Err(Wrong::Is(Fault::Syntax)),
    }
}

fn is_own<T: Record>(key: Key) -> bool {
    T::OWN.contains(&key)
}

/// Reads each element of a list by itself.
struct Each<'a, T> {
    records: &'a mut Records<T>,
    repaired: bool,
}

impl<'de, T: Record> DeserializeSeed<'de> for Each<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Record> Visitor<'de> for Each<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(record) = seq.next_element::<&RawValue>()? {
            self.records.read_record(record.get(), self.repaired, true);
        }
        Ok(())
    }
}

/// The list, and what stood around it.
struct Wrapping<T> {
    list: Option<Vec<T>>,
    around: Extra,
}

/// Reads a listing in one go, at this depth. Whatever is not plain is an error, and then read
/// the patient way.
struct Wrapped<T>(usize, PhantomData<T>);

impl<'de, T: Record> DeserializeSeed<'de> for Wrapped<T> {
    type Value = Wrapping<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Wrapping<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Record> Visitor<'de> for Wrapped<T> {
    type Value = Wrapping<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or an object that wraps one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Wrapping<T>, A::Error> {
        let mut list = Vec::new();
        loop {
            let mut fields = T::Fields::default();
            if seq.next_element_seed(Fill(&mut fields))?.is_none() {
                break;
            }
            list.push(T::from_fields(fields).map_err(|missing| A::Error::custom(missing.what))?);
        }
        Ok(Wrapping {
            list: Some(list),
            around: Extra::new(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wrapping<T>, A::Error> {
        let Wrapped(depth, _) = self;
        let mut wrapping = Wrapping {
            list: None,
            around: Extra::new(),
        };
        while let Some(WireKey(key)) = map.next_key()? {
            let name = Key::of(&key);
            if name.is_some_and(is_own::<T>) {
                return Err(A::Error::custom("a record by itself"));
            }
            let wraps = name.is_some_and(|key| WRAPPERS.iter().any(|(_, name)| *name == key));
            if !wraps || depth == DEPTH {
                wrapping.around.insert(key.into_owned(), map.next_value()?);
                continue;
            }
            if wrapping.list.is_some() {
                return Err(A::Error::custom("more than one wrapping"));
            }
            let inner = map.next_value_seed(Wrapped::<T>(depth + 1, PhantomData))?;
            if inner.list.is_none() {
                return Err(A::Error::custom("no list"));
            }
            wrapping.list = inner.list;
            wrapping.around.extend(inner.around);
        }
        Ok(wrapping)
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
