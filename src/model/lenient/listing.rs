//! Listings: records in whatever they are wrapped.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::fault::{Fault, Located, Path};
use super::parse::{Broken, Walk, parse};
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
    let text = text(body);
    let mut walk = Walk::new(&text);
    let mut records = Records::new(Path::new());
    records.read(&mut walk, 0)?;
    walk.end()?;
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
    // Checked first: in one piece, which is several times as fast.
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    }
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

    fn read(&mut self, walk: &mut Walk<'_>, depth: usize) -> Result<(), Fault> {
        match walk.peek() {
            Some(b'[') => self.read_list(walk).map_err(Fault::from),
            Some(b'{') => self.read_object(walk, depth),
            _ => Err(Fault::shape(walk.value()?, "a list of records")),
        }
    }

    fn read_list(&mut self, walk: &mut Walk<'_>) -> Result<(), Broken> {
        walk.list(|walk| {
            let read = match walk.peek() {
                Some(b'{') => Ok(Read::walk(walk)?),
                _ => Err(Fault::shape(walk.value()?, T::Fields::WHAT)),
            };
            self.add_listed(read);
            Ok(())
        })
    }

    /// Reads an object: a wrapping, or a record by itself.
    fn read_object(&mut self, walk: &mut Walk<'_>, depth: usize) -> Result<(), Fault> {
        let begin = walk.mark();
        let mut own = false;
        let mut members = Vec::new();
        let mut best: Option<Wrapped<T>> = None;
        walk.object(|walk, key| {
            let folded = Folded::new(&key);
            let name = folded.as_str();
            own |= T::OWN.contains(&name);
            let place = Place::of(name, walk.peek()).filter(|_| depth < DEPTH);
            let best_place = best.as_ref().map(|best| best.place);
            let begin = walk.mark();
            match place.filter(|place| best_place.is_none_or(|best| *place < best)) {
                Some(place) => {
                    let mut records = Records::new(self.within(WRAPPERS[place.rank]));
                    let read = match place.is_null {
                        true => walk.value().map(drop).map_err(Fault::from),
                        false => records.read(walk, depth + 1),
                    };
                    if read == Err(Fault::NotJson) {
                        return Err(Broken);
                    }
                    best = Some(Wrapped {
                        place,
                        member: members.len(),
                        records,
                        read,
                    });
                }
                None => drop(walk.value()?),
            }
            members.push((key, walk.since(begin)));
            Ok(())
        })?;
        let json = walk.since(begin);
        let Some(best) = best.filter(|_| !own) else {
            if depth > 0 || own {
                self.read_record(json);
                return Ok(());
            }
            // By itself an object may be anything: only one that can be read is a record.
            let record = T::read(json, Path::new).map_err(|_| Fault::NoList)?;
            self.add(Ok(record));
            return Ok(());
        };
        // An order has keys by which others wrap: what wraps no record may be one.
        if members[best.member].1.starts_with('{')
            && best.records.good.is_empty()
            && let Ok(record) = T::read(json, Path::new)
        {
            self.add(Ok(record));
            return Ok(());
        }
        best.read?;
        *self = best.records;
        for (at, (key, value)) in members.into_iter().enumerate() {
            if at != best.member
                && value.len() <= AROUND_LIMIT
                && let Ok(value) = parse(value)
            {
                self.around.insert(key.into_owned(), value);
            }
        }
        Ok(())
    }

    fn within(&self, wrapper: &str) -> Path {
        match self.path.as_str() {
            "" => wrapper.to_owned(),
            path => format!("{path}.{wrapper}"),
        }
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

/// How good a place is for a list: the least is the best.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Place {
    is_null: bool,
    /// Among [`WRAPPERS`].
    rank: usize,
}

impl Place {
    fn of(name: &str, first: Option<u8>) -> Option<Self> {
        let is_null = match first? {
            b'[' | b'{' => false,
            b'n' => true,
            _ => return None,
        };
        let rank = WRAPPERS.iter().position(|wrapper| *wrapper == name)?;
        Some(Place { is_null, rank })
    }
}

/// What a member of an object wraps.
struct Wrapped<T> {
    place: Place,
    member: usize,
    records: Records<T>,
    read: Result<(), Fault>,
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
