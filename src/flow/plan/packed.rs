//! A record in few bytes, for a store that has many of them in memory.
//!
//! It never leaves the process, so it needs no version: what is to be kept elsewhere is
//! serialized.

use std::time::{SystemTime, UNIX_EPOCH};

use super::fingerprint::{File, Fingerprint};
use super::record::{Downloaded, Record, Returned, Shown, Watch};
use crate::flow::arrival::{Arrival, Origin};
use crate::flow::history::History;
use crate::flow::millis;
use crate::flow::set::Member;
use crate::status::OrderStatus;

impl Record {
    /// Appends the record to `packed`, with the files that it has or without them.
    pub(crate) fn pack(&self, with_files: bool, packed: &mut Vec<u8>) {
        let mut to = Writer { packed, last: 0 };
        to.flags([
            self.history.is_complete(),
            self.shown.is_some(),
            self.returned.is_some(),
            self.returned.is_some_and(|mark| mark.provisional),
            self.downloaded.is_some(),
            self.missing.is_some(),
            self.gone.is_some(),
            self.watch.is_some(),
        ]);
        if let Some(shown) = &self.shown {
            let times = [shown.begun, shown.completed, shown.until];
            let [begun, completed, until] = times.map(|time| time.is_some());
            to.flags([
                begun, completed, until, with_files, false, false, false, false,
            ]);
            to.status(&shown.status);
            times.into_iter().flatten().for_each(|time| to.time(time));
            if with_files {
                to.files(&shown.files);
            }
        }
        if let Some(mark) = self.returned {
            to.time(mark.at);
        }
        if let Some(mark) = self.downloaded {
            to.number(mark.ordinal.into());
            to.time(mark.at);
        }
        let times = [self.missing, self.gone];
        times.into_iter().flatten().for_each(|time| to.time(time));
        if let Some(watch) = self.watch {
            to.time(watch.since);
            to.time(watch.due);
        }
        for arrival in self.history.arrivals() {
            to.arrival(arrival);
        }
    }

    /// The record that these are the bytes of, to their end. `files` gives those that it was
    /// packed without. None for bytes that nobody packed.
    pub(crate) fn unpack(packed: &[u8], files: impl FnOnce() -> Fingerprint) -> Option<Self> {
        let mut from = Reader { packed, last: 0 };
        let [
            complete,
            is_shown,
            is_returned,
            provisional,
            is_downloaded,
            is_missing,
            is_gone,
            is_watched,
        ] = from.flags()?;
        let mut record = Record::new();
        if is_shown {
            let [begun, completed, until, with_files, ..] = from.flags()?;
            record.shown = Some(Shown {
                status: from.status()?,
                begun: from.time_if(begun)?,
                completed: from.time_if(completed)?,
                until: from.time_if(until)?,
                files: if with_files { from.files()? } else { files() },
            });
        }
        if is_returned {
            let at = from.time()?;
            record.returned = Some(Returned { at, provisional });
        }
        if is_downloaded {
            record.downloaded = Some(Downloaded {
                ordinal: from.number()?.try_into().ok()?,
                at: from.time()?,
            });
        }
        record.missing = from.time_if(is_missing)?;
        record.gone = from.time_if(is_gone)?;
        if is_watched {
            record.watch = Some(Watch {
                since: from.time()?,
                due: from.time()?,
            });
        }
        let mut arrivals = Vec::new();
        while !from.packed.is_empty() {
            arrivals.push(from.arrival()?);
        }
        record.history = History::new(complete, arrivals);
        Some(record)
    }
}

/// What says of most orders that nothing happened.
#[derive(Debug, PartialEq)]
pub(crate) struct Glance {
    pub(crate) shown: Option<OrderStatus>,
    pub(crate) is_missing: bool,
    pub(crate) is_gone: bool,
}

impl Glance {
    pub(crate) fn at(record: &Record) -> Self {
        Glance {
            shown: record.shown().cloned(),
            is_missing: record.missing.is_some(),
            is_gone: record.gone.is_some(),
        }
    }

    /// Of a packed record the beginning is enough.
    pub(crate) fn at_packed(packed: &[u8]) -> Option<Self> {
        let mut from = Reader { packed, last: 0 };
        let [_, is_shown, _, _, _, is_missing, is_gone, _] = from.flags()?;
        let shown = if is_shown {
            from.flags()?;
            Some(from.status()?)
        } else {
            None
        };
        Some(Glance {
            shown,
            is_missing,
            is_gone,
        })
    }
}

struct Writer<'a> {
    packed: &'a mut Vec<u8>,
    /// Times are written as what lies between them.
    last: i64,
}

impl Writer<'_> {
    fn flags(&mut self, flags: [bool; 8]) {
        let bits = flags.into_iter().rev();
        self.packed
            .push(bits.fold(0, |byte, flag| byte << 1 | u8::from(flag)));
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.packed.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.packed.push(number as u8);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.packed.extend_from_slice(text.as_bytes());
    }

    fn time(&mut self, time: SystemTime) {
        let time = millis::since_epoch(time);
        let since = time.wrapping_sub(self.last);
        self.last = time;
        // The sign goes to the end, so that what is near is small on both sides.
        self.number((since << 1 ^ since >> 63).cast_unsigned());
    }

    fn status(&mut self, status: &OrderStatus) {
        match OrderStatus::KNOWN.iter().position(|known| known == status) {
            Some(at) => self.number(at as u64 + 1),
            None => {
                self.number(0);
                self.text(status.as_str());
            }
        }
    }

    fn arrival(&mut self, arrival: &Arrival) {
        self.status(arrival.status());
        let origin = arrival.origin().map_or(0, |origin| origin.index() + 1);
        self.number(u64::from(origin) << 1 | u64::from(arrival.time().is_some()));
        if let Some(time) = arrival.time() {
            self.time(time);
        }
    }

    fn files(&mut self, files: &Fingerprint) {
        self.number(files.files().len() as u64);
        for file in files.files() {
            let (size, modified, digest) = file.parts();
            self.text(file.id());
            let [sized, dated, digested] = [size.is_some(), modified.is_some(), digest.is_some()];
            self.flags([sized, dated, digested, false, false, false, false, false]);
            if let Some(bytes) = size {
                self.number(bytes);
            }
            if let Some(time) = modified {
                self.time(time);
            }
            if let Some(digest) = digest {
                self.text(digest);
            }
        }
    }
}

struct Reader<'a> {
    packed: &'a [u8],
    last: i64,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.packed.split_first()?;
        self.packed = rest;
        Some(*first)
    }

    fn flags(&mut self) -> Option<[bool; 8]> {
        let byte = self.byte()?;
        Some(std::array::from_fn(|bit| byte >> bit & 1 == 1))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.packed.split_at_checked(length)?;
        self.packed = rest;
        std::str::from_utf8(text).ok()
    }

    fn time(&mut self) -> Option<SystemTime> {
        let since = self.number()?;
        let since = (since >> 1).cast_signed() ^ -(since & 1).cast_signed();
        self.last = self.last.wrapping_add(since);
        // It came from a time of this machine.
        Some(millis::from(self.last).unwrap_or(UNIX_EPOCH))
    }

    /// The outer option is the bytes', the inner one the record's.
    #[allow(clippy::option_option, reason = "two questions with two answers")]
    fn time_if(&mut self, is_there: bool) -> Option<Option<SystemTime>> {
        if is_there {
            self.time().map(Some)
        } else {
            Some(None)
        }
    }

    fn status(&mut self) -> Option<OrderStatus> {
        match usize::try_from(self.number()?).ok()?.checked_sub(1) {
            Some(at) => OrderStatus::KNOWN.get(at).cloned(),
            None => self.text().map(OrderStatus::from),
        }
    }

    fn arrival(&mut self) -> Option<Arrival> {
        let mut arrival = Arrival::new(self.status()?);
        let about = self.number()?;
        if let Some(index) = (about >> 1).checked_sub(1) {
            let origin = *Origin::ALL.get(usize::try_from(index).ok()?)?;
            arrival = arrival.from_origin(origin);
        }
        if about & 1 == 1 {
            arrival = arrival.at(self.time()?);
        }
        Some(arrival)
    }

    fn files(&mut self) -> Option<Fingerprint> {
        let mut files = Vec::new();
        for _ in 0..self.number()? {
            let mut file = File::new(self.text()?);
            let [sized, dated, digested, ..] = self.flags()?;
            if sized {
                file = file.size(self.number()?);
            }
            if dated {
                file = file.modified(self.time()?);
            }
            if digested {
                file = file.digest(self.text()?);
            }
            files.push(file);
        }
        Some(Fingerprint::new(files))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn time() -> impl Strategy<Value = SystemTime> {
        // A century around 1970.
        let millis = -1_600_000_000_000_i64..1_800_000_000_000;
        millis.prop_map(|millis| millis::from(millis).unwrap())
    }

    fn status() -> impl Strategy<Value = OrderStatus> {
        let known = prop::sample::select(OrderStatus::KNOWN);
        prop_oneof![9 => known, 1 => ".{0,200}".prop_map(OrderStatus::from)]
    }

    fn files() -> impl Strategy<Value = Fingerprint> {
        let part = (
            ".{0,9}",
            any::<Option<u64>>(),
            prop::option::of(time()),
            prop::option::of(".{0,9}"),
        );
        let file = part.prop_map(|(id, size, modified, digest)| {
            let mut file = File::new(id);
            file = size.map_or(file.clone(), |bytes| file.size(bytes));
            file = modified.map_or(file.clone(), |time| file.modified(time));
            digest.map_or(file.clone(), |digest| file.digest(digest))
        });
        prop::collection::vec(file, 0..4).prop_map(Fingerprint::new)
    }

    fn arrival() -> impl Strategy<Value = Arrival> {
        let origin = prop::option::of(prop::sample::select(Origin::ALL.to_vec()));
        let parts = (status(), prop::option::of(time()), origin);
        parts.prop_map(|(status, at, origin)| {
            let mut arrival = Arrival::new(status);
            arrival = at.map_or(arrival.clone(), |time| arrival.at(time));
            origin.map_or(arrival.clone(), |origin| arrival.from_origin(origin))
        })
    }

    fn shown() -> impl Strategy<Value = Shown> {
        let times = || prop::option::of(time());
        let parts = (status(), files(), times(), times(), times());
        parts.prop_map(|(status, files, begun, completed, until)| Shown {
            status,
            files,
            begun,
            completed,
            until,
        })
    }

    prop_compose! {
        fn record()(
            complete in any::<bool>(),
            arrivals in prop::collection::vec(arrival(), 0..9),
            shown in prop::option::of(shown()),
            returned in prop::option::of((time(), any::<bool>())),
            downloaded in prop::option::of((any::<u32>(), time())),
            missing in prop::option::of(time()),
            gone in prop::option::of(time()),
            watch in prop::option::of((time(), time())),
        ) -> Record {
            Record {
                history: History::new(complete, arrivals),
                shown,
                returned: returned.map(|(at, provisional)| Returned { at, provisional }),
                downloaded: downloaded.map(|(ordinal, at)| Downloaded { ordinal, at }),
                missing,
                gone,
                watch: watch.map(|(since, due)| Watch { since, due }),
            }
        }
    }

    fn packed(record: &Record, with_files: bool) -> Vec<u8> {
        let mut packed = Vec::new();
        record.pack(with_files, &mut packed);
        packed
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(record in record()) {
            let all = packed(&record, true);
            prop_assert_eq!(Record::unpack(&all, Fingerprint::none), Some(record.clone()));
            let without = packed(&record, false);
            let files = || record.files().cloned().unwrap_or_default();
            let unpacked = Record::unpack(&without, files);
            prop_assert_eq!(unpacked, Some(record.clone()));
            prop_assert_eq!(Glance::at_packed(&all), Some(Glance::at(&record)));
        }

        #[test]
        fn no_bytes_are_too_strange(record in record(), cut in any::<prop::sample::Index>(),
                                    noise in prop::collection::vec(any::<u8>(), 0..99)) {
            let mut bytes = packed(&record, true);
            let at = cut.index(bytes.len());
            bytes[at] ^= 1 << (noise.len() % 8);
            let _ = Record::unpack(&bytes, Fingerprint::none);
            bytes.truncate(at);
            let _ = Record::unpack(&bytes, Fingerprint::none);
            let _ = Record::unpack(&noise, Fingerprint::none);
        }
    }

    #[test]
    fn what_is_usual_is_small() {
        let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let arrival = Arrival::new("Lab Review")
            .at(at)
            .from_origin(Origin::Listing);
        let shown = Shown {
            status: OrderStatus::LabReview,
            files: Fingerprint::none(),
            begun: Some(at),
            completed: Some(at + Duration::from_millis(90)),
            until: Some(at + Duration::from_millis(90)),
        };
        let record = Record {
            history: History::new(true, [arrival]),
            shown: Some(shown),
            ..Record::new()
        };
        assert!(packed(&record, false).len() < 24);
    }
}
