//! Listings: records in whatever they are wrapped.
//!
//! *Problem.* How a list is wrapped is not documented, an order has keys by which others wrap
//! lists, and one bad record must not hide the good ones.
//!
//! *Approach.* One pass: each member that could wrap the list is read as one, and the best of them
//! wins. What is around the list is kept, with limits, since it may say that there are more pages.
//! An answer that says that it failed must never count as an empty list: the inbox would take every
//! order for gone.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::fault::{Fault, LocatedFault, Path};
use super::limits::{ExceededLimit, Limits, StopReason};
use super::parse::{SyntaxError, Walk, members, parse};
use super::record::{Fields as _, ParsedRecord, Record};
use super::shapes::Shapes;
use crate::key::FoldedKey;

/// Keys under which a list may be wrapped, the best first.
const WRAPPERS: [&str; 20] = [
    "orders", "accounts", "cases", "scans", "items", "data", "results", "records", "content",
    "value", "result", "order", "embedded", "payload", "d", "$values", "response", "list", "rows",
    "entries",
];

/// How deep a list may be wrapped, as in `{"data": {"orders": []}}`.
// Two levels, as in the example, are usual. The limit bounds the recursion.
pub(crate) const DEPTH: usize = 4;

/// For how many records that cannot be read their place and the reason are kept. A hostile answer
/// of 32 MiB could hold eleven million.
// A few hundred bytes each, so a megabyte at most.
pub(crate) const UNREADABLE_LIMIT: usize = 1000;

/// What is around a list is about pages, and short. A value of more bytes is not read.
const MEMBER_LIMIT: usize = 16 << 10;

/// An object around a list has few members. Values that are built from more would take many times
/// their length.
const MEMBERS_LIMIT: usize = 1000;

/// How many bytes the lists and objects around a list may have together.
const AROUND_LIMIT: usize = 256 << 10;

/// How good a key is for what wraps a list, the least being the best; none if it wraps none.
pub(crate) fn wrapper_rank(key: &str) -> Option<usize> {
    let folded = FoldedKey::new(key);
    WRAPPERS.iter().position(|name| *name == folded.as_str())
}

/// Lists that an order has too, and may be empty there. An empty list by another name belongs to an
/// envelope, which has an id and a status as an order has.
const OWN_LISTS: [&str; 2] = ["items", "scans"];

/// The records of a listing.
pub(crate) struct Records<T> {
    pub(crate) good: Vec<T>,
    /// Position of the first records that cannot be read, and what is wrong with them.
    pub(crate) unreadable: Vec<(usize, LocatedFault)>,
    /// How many records there were, good or not.
    pub(crate) count: usize,
    /// What stood around the list: totals, cursors, links.
    pub(crate) around: Map<String, Value>,
    /// Why there may be more, as far as the answer itself says it.
    pub(crate) problem: Option<Fault>,
    /// Why not all of it was read.
    pub(crate) stop: Option<StopReason>,
    /// How many records there were, and entries of the lists in them.
    pub(crate) size: usize,
    /// The way to the list.
    path: Path,
}

/// Reads a listing: a bare list, a list wrapped in an object, or one object by itself. One bad
/// record does not hide the good ones, and it is read in linear time. Of a text that is the beginning of
/// one, `is_cut`, the records that are whole.
pub(crate) fn records<T: Record>(
    text: &str,
    limits: Limits,
    shapes: Option<(&Shapes, &str)>,
    is_cut: bool,
) -> Result<Records<T>, Fault> {
    let own = shapes.map(|(shapes, _)| shapes);
    let mut walk = Walk::within(text, limits).shaped(own).cut(is_cut);
    let mut records = Records::new(Path::new());
    match shapes.and_then(|(shapes, operation)| shapes.list(operation)) {
        None => records.read(&mut walk, 0)?,
        Some(pointer) => records.read_at(&mut walk, pointer)?,
    }
    if walk.stop.is_none() {
        // What follows the answer's value would be a second answer: then none of it can be trusted.
        walk.end()?;
    }
    records.stop = walk.stop;
    records.size = walk.count;
    Ok(records)
}

/// Reads the one record of an answer, which may be wrapped as a listing is.
pub(crate) fn one<T: Record>(
    text: &str,
    limits: Limits,
    shapes: Option<(&Shapes, &str)>,
) -> Result<T, LocatedFault> {
    let own = shapes.map(|(shapes, _)| shapes);
    let mut records = match records::<T>(text, limits, shapes, false) {
        Ok(Records {
            stop: Some(StopReason::ExceededLimit(over)),
            ..
        }) => return Err(Fault::ExceededLimit(over).into()),
        Ok(Records {
            problem: Some(fault),
            ..
        }) => return Err(fault.into()),
        Ok(records) => records,
        // What an object lacks as a record says more than that it wraps none.
        Err(Fault::NoList) => {
            return Err(T::read(text, limits, own, Path::new)
                .err()
                .unwrap_or_else(|| Fault::NoList.into()));
        }
        Err(fault) => return Err(fault.into()),
    };
    match (records.good.pop(), records.unreadable.pop()) {
        (Some(record), None) if records.good.is_empty() => Ok(record),
        (None, Some((_, located))) if records.count == 1 => Err(located),
        // Of several orders none is taken: which was meant is not known, and the other is another
        // patient's.
        _ => Err(Fault::NotOne.into()),
    }
}

/// Whether an answer that is not read says that what was asked for was not done.
pub(crate) fn is_failure(text: &str) -> bool {
    let mut failed = false;
    // Anything but an object says nothing about success.
    let _ = members(text, |key, value| {
        failed |= says_failure(FoldedKey::new(&key).as_str(), value);
    });
    failed
}

/// Whether a member of an envelope says that something went wrong. The keys are a convention: those
/// that services of this kind use.
fn says_failure(name: &str, json: &str) -> bool {
    let bare = json.trim_matches('"').trim();
    // Envelopes have an `error` that is empty, null or 0 where all went well.
    let is_blank = matches!(bare, "" | "null" | "false" | "0" | "[]" | "{}");
    match name {
        "error" | "errors" => !is_blank,
        "success" | "issuccess" | "succeeded" | "ok" => bare.eq_ignore_ascii_case("false"),
        "haserror" | "haserrors" | "iserror" | "partial" => bare.eq_ignore_ascii_case("true"),
        "status" | "result" => ["error", "fail", "failed", "failure"]
            .iter()
            .any(|word| bare.eq_ignore_ascii_case(word)),
        _ => false,
    }
}

impl<T: Record> Records<T> {
    /// Of an answer that has no content.
    pub(crate) fn none() -> Self {
        Records::new(Path::new())
    }

    fn new(path: Path) -> Self {
        Records {
            good: Vec::new(),
            unreadable: Vec::new(),
            count: 0,
            around: Map::new(),
            problem: None,
            stop: None,
            size: 0,
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

    fn read_list(&mut self, walk: &mut Walk<'_>) -> Result<(), SyntaxError> {
        let begin = walk.mark();
        walk.list(|walk| {
            // Only after the first record is the length of one known.
            if let [_] = self.good[..] {
                // Room for as many as there may be, once: growing would take it twice.
                let each = walk.length(begin);
                let more = walk.ahead() / each.max(1) + 1;
                self.good.reserve_exact(more.min(walk.limits.records));
            }
            // Before the record is read: what is over the limit must cost nothing.
            if walk.count >= walk.limits.records {
                walk.stop = Some(StopReason::ExceededLimit(ExceededLimit::Records));
                return Ok(());
            }
            // Counted over all lists of the answer, so that many short lists are bounded as one
            // long list is.
            walk.count += 1;
            let read = match walk.peek() {
                Some(b'{') => Ok(ParsedRecord::whole(walk)?),
                _ => Err(Fault::shape(walk.value()?, T::Fields::WHAT)),
            };
            if walk.stop.is_none() {
                self.add_listed(read);
            }
            Ok(())
        })
    }

    /// Reads an object: a wrapping, or a record by itself.
    fn read_object(&mut self, walk: &mut Walk<'_>, depth: usize) -> Result<(), Fault> {
        // Most records begin with the key that only they have. Nothing else needs to be known of one, and
        // it is read once instead of twice.
        if walk.shapes.is_none()
            && let Some(key) = walk.first_key()
            && T::OWN.contains(&FoldedKey::new(&key).as_str())
        {
            let read = ParsedRecord::whole(walk)?;
            // Of a record that was cut not even the beginning counts.
            if walk.stop.is_some() {
                return Err(Fault::NoList);
            }
            let path = self.path.clone();
            self.add(T::judge(read, || path));
            return Ok(());
        }
        let begin = walk.mark();
        let (mut own, mut failed) = (false, false);
        let mut around = Surroundings::default();
        let mut best: Option<WrapperMember<T>> = None;
        walk.object(|walk, key| {
            let folded = FoldedKey::new(&key);
            let name = folded.as_str();
            let configured = walk.shapes.and_then(|it| it.field(T::Fields::WHAT, &key));
            // A key that is configured means what it is configured to, also where ours would be
            // another.
            own |= match configured {
                Some(field) => T::OWN.contains(&FoldedKey::new(field).as_str()),
                None => T::OWN.contains(&name),
            };
            // A null may stand where the list would be: an empty one, unless something better
            // comes.
            let place = ListCandidate::of(name, walk.peek()).filter(|_| depth < DEPTH);
            let best_place = best.as_ref().map(|best| best.place);
            let begin = walk.mark();
            match place.filter(|place| best_place.is_none_or(|best| *place < best)) {
                Some(place) => {
                    let mut records = Records::new(self.within(WRAPPERS[place.rank]));
                    let read = match place.is_null {
                        true => walk.value().map(drop).map_err(Fault::from),
                        false => records.read(walk, depth + 1),
                    };
                    // Not a matter of shape: the walk cannot go on in such a text.
                    if read == Err(Fault::NotJson) {
                        return Err(SyntaxError);
                    }
                    best = Some(WrapperMember {
                        place,
                        member: around.members.len(),
                        records,
                        read,
                    });
                }
                // Stepped over, unread.
                None => drop(walk.value()?),
            }
            let value = walk.since(begin);
            failed |= says_failure(name, value);
            around.push(key, value);
            Ok(())
        })?;
        let json = walk.since(begin);
        if walk.stop.is_some() {
            // What else it would have been is not known.
            *self = best.ok_or(Fault::NoList)?.records;
            return Ok(());
        }
        // An object with a key that only the record has is the record, however well its other keys
        // wrap.
        let Some(best) = best.filter(|_| !own) else {
            if own || (depth > 0 && !failed) {
                self.read_record(json, walk);
                return Ok(());
            }
            // By itself an object may be anything: only one that can be read is a record.
            return match T::read(json, walk.limits, walk.shapes, Path::new) {
                Ok(record) if record.is_certain() || !failed => {
                    self.add(Ok(record));
                    Ok(())
                }
                _ if failed => Err(Fault::Failed),
                _ => Err(Fault::NoList),
            };
        };
        // An order has keys by which others wrap: what wraps no record may be one. So may an
        // envelope, which has an id and a status too.
        if best.records.good.is_empty()
            && !best.is_empty_envelope()
            && let Ok(record) = T::read(json, walk.limits, walk.shapes, Path::new)
            && record.is_certain()
        {
            self.add(Ok(record));
            return Ok(());
        }
        match best.read {
            Err(Fault::NoList) if failed => return Err(Fault::Failed),
            read => read?,
        }
        *self = best.records;
        self.surround(around, Some(best.member), failed);
        Ok(())
    }

    /// Keeps what stands around the list, and what it says of the list.
    fn surround(&mut self, around: Surroundings<'_>, list: Option<usize>, failed: bool) {
        let is_crowded = around.read(list, &mut self.around);
        if failed {
            self.problem = Some(Fault::Failed);
        } else if is_crowded {
            self.problem.get_or_insert(Fault::Around);
        }
    }

    /// Reads the list at a JSON pointer, RFC 6901; or the record, where one is due.
    fn read_at(&mut self, walk: &mut Walk<'_>, pointer: &str) -> Result<(), Fault> {
        let Some(rest) = pointer.strip_prefix('/') else {
            // At the greatest depth, so that no further wrapping is looked for: the pointer has said
            // where the list is.
            return self.read(walk, DEPTH);
        };
        let (token, rest) = match rest.split_once('/') {
            Some((token, _)) => (token, &rest[token.len()..]),
            None => (rest, ""),
        };
        // In this order, RFC 6901, section 4: otherwise `~01` would become `/`.
        let token = token.replace("~1", "/").replace("~0", "~");
        if walk.peek() != Some(b'{') {
            walk.value()?;
            return Err(Fault::NoList);
        }
        let (mut found, mut failed, mut around) = (None, false, Surroundings::default());
        walk.object(|walk, key| {
            // Exactly: a pointer names a key, and does not fold it. Of two that are the same the
            // first counts.
            if key == token && found.is_none() {
                let read = self.read_at(walk, rest);
                let broken = read == Err(Fault::NotJson);
                found = Some(read);
                return if broken { Err(SyntaxError) } else { Ok(()) };
            }
            let value = walk.value()?;
            failed |= says_failure(FoldedKey::new(&key).as_str(), value);
            around.push(key, value);
            Ok(())
        })?;
        self.surround(around, None, failed);
        match found {
            Some(read) => read,
            None if failed => Err(Fault::Failed),
            None => Err(Fault::NoList),
        }
    }

    fn within(&self, wrapper: &str) -> Path {
        match self.path.as_str() {
            "" => wrapper.to_owned(),
            path => format!("{path}.{wrapper}"),
        }
    }

    /// Reads a single record where a list may be.
    fn read_record(&mut self, json: &str, walk: &Walk<'_>) {
        let path = self.path.clone();
        self.add(T::read(json, walk.limits, walk.shapes, || path));
    }

    /// Reads a record of a list.
    fn add_listed(&mut self, read: Result<ParsedRecord<T::Fields>, Fault>) {
        let position = self.count;
        let wrapped = &self.path;
        let path = || format!("{wrapped}[{position}]");
        let record = match read {
            Ok(read) => T::judge(read, path),
            Err(fault) => Err(LocatedFault::new(path(), fault)),
        };
        self.add(record);
    }

    fn add(&mut self, record: Result<T, LocatedFault>) {
        let position = self.count;
        self.count += 1;
        match record {
            Ok(record) => self.good.push(record),
            Err(located) if self.unreadable.len() < UNREADABLE_LIMIT => {
                self.unreadable.push((position, located));
            }
            // Counted, and not kept.
            Err(_) => {}
        }
    }
}

/// The members of an object around a list, unread.
#[derive(Default)]
struct Surroundings<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
    /// Whether there are more than are kept: one that is not read could have said that the listing
    /// has more pages.
    is_crowded: bool,
}

impl<'a> Surroundings<'a> {
    fn push(&mut self, key: Cow<'a, str>, value: &'a str) {
        match self.members.len() < MEMBERS_LIMIT {
            true => self.members.push((key, value)),
            false => self.is_crowded = true,
        }
    }

    /// Reads all but the member with the list. Returns whether some were left out.
    fn read(self, list: Option<usize>, into: &mut Map<String, Value>) -> bool {
        let mut is_crowded = self.is_crowded;
        let mut room = AROUND_LIMIT;
        for (at, (key, value)) in self.members.into_iter().enumerate() {
            if Some(at) == list || value.len() > MEMBER_LIMIT {
                continue;
            }
            // Texts and numbers are bounded by `MEMBER_LIMIT` each; only lists and objects take
            // many times their length.
            if value.starts_with(['{', '[']) {
                is_crowded |= value.len() > room;
                room = room.saturating_sub(value.len());
            }
            if !is_crowded && let Ok(value) = parse(value) {
                into.insert(key.into_owned(), value);
            }
        }
        is_crowded
    }
}

/// How good a place is for a list: the least is the best.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct ListCandidate {
    // First, as the order is derived: any list is better than a null under a better key.
    is_null: bool,
    /// Among [`WRAPPERS`].
    rank: usize,
}

impl ListCandidate {
    fn of(name: &str, first: Option<u8>) -> Option<Self> {
        let is_null = match first? {
            b'[' | b'{' => false,
            b'n' => true,
            _ => return None,
        };
        let rank = WRAPPERS.iter().position(|wrapper| *wrapper == name)?;
        Some(ListCandidate { is_null, rank })
    }
}

/// What a member of an object wraps.
struct WrapperMember<T> {
    place: ListCandidate,
    member: usize,
    records: Records<T>,
    read: Result<(), Fault>,
}

impl<T> WrapperMember<T> {
    /// Whether it is there, and has nothing in it: so says an envelope around no records.
    fn is_empty_envelope(&self) -> bool {
        let is_empty = self.read.is_ok() && self.records.count == 0;
        is_empty && !OWN_LISTS.contains(&WRAPPERS[self.place.rank])
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
