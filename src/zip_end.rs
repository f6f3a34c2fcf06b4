//! The end of a zip: whether one is there, and whether it proves that nothing is missing.
//!
//! *Problem.* A zip is read from its end. A file that was cut has none; a file with another one
//! before or behind it has an end that other programs read differently.
//!
//! *Approach.* The last end record must reach the end of the file, and its directory must lie right
//! before it and begin where it says, counted from byte 0. Both the check of a download and that of
//! a package ask here, so that they cannot disagree.

/// What is known of a file's bytes without reading it again: how it begins and how it ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edges {
    first: Vec<u8>,
    last: Vec<u8>,
    bytes: u64,
}

/// The longest end: an end record with a comment, and before it what zip64 has. Zeros behind the
/// comment count as a part of it: `bsdtar` fills its last block with them.
pub(crate) const END: usize = 22 + 0xffff + 20 + 56;

/// What a zip's end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// There is none: this is no zip, or no whole one.
    Missing,
    /// There is one, and there are bytes before the first entry: those of a program, or another zip.
    LeadingBytes,
    /// There is one, and behind it the mark of another: programs would not agree which counts.
    Ambiguous,
    /// There is one, and it contradicts itself or the file.
    Contradicts,
    /// It says where everything is, counted from the file's beginning, and that adds up: no zip
    /// that is longer, and no zip within it, has such an end here.
    Proves {
        /// Where the central directory begins. Programs that search in other ways may find
        /// another one.
        directory: u64,
    },
}

impl Edges {
    pub(crate) fn of(first: Vec<u8>, last: Vec<u8>, bytes: u64) -> Self {
        Edges { first, last, bytes }
    }

    /// More of the file.
    pub(crate) fn extend(&mut self, chunk: &[u8]) {
        // Four bytes are the mark of an entry.
        let missing = 4usize.saturating_sub(self.first.len());
        self.first.extend(chunk.iter().take(missing));
        self.bytes += chunk.len() as u64;
        // The chunk alone holds the longest end: what came before is not needed.
        if chunk.len() >= END {
            self.last.clear();
        } else if self.last.len() + chunk.len() > 2 * END {
            // Cut only when it is twice as long as needed: each cut moves what is kept.
            let surplus = self.last.len() + chunk.len() - END;
            self.last.drain(..surplus.min(self.last.len()));
        }
        let chunk = &chunk[chunk.len().saturating_sub(END)..];
        self.last.extend_from_slice(chunk);
    }

    /// Whether it begins as a zip with files in it does.
    pub(crate) fn look_like_zip(&self) -> bool {
        self.first.starts_with(b"PK\x03\x04")
    }

    pub(crate) fn end(&self) -> End {
        let last = &self.last[self.last.len().saturating_sub(END)..];
        // Behind the comment there is nothing, or nothing but zeros.
        let filled = last
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        // From the end backwards: the last record is the one that most programs take.
        let Some(at) = (0..=last.len().saturating_sub(22)).rev().find(|&at| {
            let comment = last[at..]
                .starts_with(b"PK\x05\x06")
                .then(|| number(last, at + 20, 2));
            // The comment's length is part of the record, and must lead to the end of the file, or
            // of what is not zero.
            let end = comment.flatten().map(|comment| at as u64 + 22 + comment);
            end.is_some_and(|end| (filled as u64..=last.len() as u64).contains(&end))
        }) else {
            return End::Missing;
        };
        // Some programs take the last mark of an end, whether its comment reaches the file's end
        // or not: an archive that shows them something else is not for guessing.
        let mut later = last[at + 1..].windows(22);
        let has_another = later.any(|record| record.starts_with(b"PK\x05\x06"));
        // Where `last` begins within the file.
        let base = self.bytes - last.len() as u64;
        if has_another {
            return End::Ambiguous;
        }
        let end = base + at as u64;
        let directory = match (number(last, at + 16, 4), number(last, at + 12, 4)) {
            // The values are in the zip64 record: APPNOTE.TXT, 4.4.23 and 4.4.24.
            (Some(0xffff_ffff), _) | (_, Some(0xffff_ffff)) => zip64(last, at, base),
            (Some(offset), Some(size)) if offset + size == end => Some((offset, size, end)),
            // Both records, and both say it: `bsdtar` does so.
            (Some(offset), Some(size)) => match zip64(last, at, base) {
                Some(large) => Some(large).filter(|large| (large.0, large.1) == (offset, size)),
                None => Some((offset, size, end)),
            },
            _ => None,
        };
        let Some((offset, size, end)) = directory else {
            return End::Contradicts;
        };
        let Some(shift) = offset
            .checked_add(size)
            .and_then(|sum| end.checked_sub(sum))
        else {
            return End::Contradicts;
        };
        // With bytes before the zip, its offsets may count without them (then the sum falls short), or
        // with them (then the file does not begin with an entry).
        if shift > 0 || (offset > 0 && !self.look_like_zip()) {
            return End::LeadingBytes;
        }
        End::Proves { directory: offset }
    }
}

/// Where the directory is by what a large zip says, how long it is, and where it ends in truth:
/// where its own record begins.
fn zip64(last: &[u8], at: usize, base: u64) -> Option<(u64, u64, u64)> {
    // Without its extensible data, which hardly any program writes.
    const RECORD: u64 = 56;
    // The locator lies right before the end record: APPNOTE.TXT, 4.3.15.
    let locator = at.checked_sub(20)?;
    if !last[locator..].starts_with(b"PK\x06\x07") {
        return None;
    }
    let within = |record: u64| usize::try_from(record.checked_sub(base)?).ok();
    let is_record = |record: &u64| {
        let bytes = within(*record).and_then(|within| last.get(within..));
        bytes.is_some_and(|bytes| bytes.starts_with(b"PK\x06\x06"))
    };
    let claimed = number(last, locator + 8, 8)?;
    // With bytes before the zip it is not where it says.
    let shifted = (base + locator as u64).checked_sub(RECORD);
    let mut records = [Some(claimed), shifted].into_iter().flatten();
    let record = records.find(is_record)?;
    let offset = number(last, within(record)? + 48, 8)?;
    let size = number(last, within(record)? + 40, 8)?;
    let is_one_shift = offset.checked_add(size) == Some(claimed);
    is_one_shift.then_some((offset, size, record))
}

/// A number of `width` bytes, the least one first.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stored file and its directory.
    fn zip(name: &str, content: &[u8], comment: &str) -> Vec<u8> {
        let mut zip = b"PK\x03\x04".to_vec();
        zip.extend([0; 14]);
        for _ in 0..2 {
            zip.extend((content.len() as u32).to_le_bytes());
        }
        zip.extend((name.len() as u16).to_le_bytes());
        zip.extend([0; 2]);
        zip.extend(name.bytes());
        zip.extend(content);
        let directory = zip.len();
        zip.extend(b"PK\x01\x02");
        zip.extend([0; 42]);
        zip.extend(name.bytes());
        let size = zip.len() - directory;
        zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        zip.extend((size as u32).to_le_bytes());
        zip.extend((directory as u32).to_le_bytes());
        zip.extend((comment.len() as u16).to_le_bytes());
        zip.extend(comment.bytes());
        zip
    }

    fn end(bytes: &[u8], step: usize) -> End {
        let mut edges = Edges::default();
        for chunk in bytes.chunks(step) {
            edges.extend(chunk);
        }
        edges.end()
    }

    fn proves(bytes: &[u8], step: usize) -> bool {
        matches!(end(bytes, step), End::Proves { .. })
    }

    #[test]
    fn zeros_behind_it_are_no_part_of_it() {
        let filled = [&zip("a", b"content", "comment")[..], &[0; 5000]].concat();
        assert!(proves(&filled, 64));
        let other = [&zip("a", b"content", "")[..], &[0; 50], b"x"].concat();
        assert_eq!(end(&other, 64), End::Missing);
        assert_eq!(end(&[0; 5000], 64), End::Missing);
    }

    #[test]
    fn of_two_zips_in_a_row_no_end_proves_anything() {
        let one = zip("a", b"content", "");
        let two = [&one[..], &zip("b", b"content", "")].concat();
        assert_eq!(end(&two, 64), End::LeadingBytes);
    }

    #[test]
    fn a_whole_zip_proves_it_and_no_part_of_one_does() {
        let inner = zip("inner", b"content", "");
        let large = vec![7; 200_000];
        for whole in [
            zip("a", b"content", ""),
            zip("a", b"content", "a comment PK\x05\x06 of length"),
            // Stored within another, it ends before that one does.
            zip("a.zip", &inner, ""),
            zip("a.zip", &[&inner[..], &inner].concat(), &"c".repeat(1000)),
        ] {
            assert!(proves(&whole, 1));
            for cut in 0..whole.len() {
                assert!(!proves(&whole[..cut], 64), "{cut}");
            }
        }
        let large = zip("large", &large, &"c".repeat(0xffff));
        for step in [1000, 40_000, 70_000, 1 << 20] {
            assert!(proves(&large, step), "{step}");
        }
    }

    #[test]
    fn a_second_mark_of_an_end_takes_the_proof_away() {
        let mut empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
        for (comment, expected) in [
            // It reaches the file's end: it is the one that counts, and the first zip stands before it.
            (0, End::LeadingBytes),
            (1, End::Ambiguous),
            (0xff, End::Ambiguous),
        ] {
            empty[20] = comment;
            let mut zip = zip("a", b"content", "");
            let at = zip.len() - 2;
            zip[at] = empty.len() as u8;
            zip.extend(&empty);
            assert_eq!(end(&zip, 7), expected, "{comment}");
        }
    }

    #[test]
    fn what_stands_before_a_zip_takes_the_proof_away() {
        let shifted = [b"#!/bin/sh\n", &zip("a", b"b", "")[..]].concat();
        assert_eq!(end(&shifted, 7), End::LeadingBytes);
        // It counts from the file's beginning, as a program that extracts itself does.
        let mut counted = shifted;
        let offset = counted.len() - 6;
        counted[offset] += 10;
        assert_eq!(end(&counted, 7), End::LeadingBytes);
        // Less is there than it says.
        counted[offset] += 1;
        assert_eq!(end(&counted, 7), End::Contradicts);
        for none in [&b""[..], b"PK\x03\x04", b"PK\x05\x06", &[0; 30]] {
            assert_eq!(end(none, 7), End::Missing);
        }
        // Nothing in it.
        let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
        assert!(proves(&empty, 7));
    }

    #[test]
    fn large_zips_say_it_in_another_record() {
        let mut zip = zip("a", b"content", "");
        let at = zip.len() - 22;
        let end_record = zip.split_off(at);
        let (size, offset) = (number(&end_record, 12, 4), number(&end_record, 16, 4));
        let record = zip.len() as u64;
        zip.extend(b"PK\x06\x06");
        zip.extend([0; 36]);
        zip.extend(size.unwrap().to_le_bytes());
        zip.extend(offset.unwrap().to_le_bytes());
        zip.extend(b"PK\x06\x07\0\0\0\0");
        zip.extend(record.to_le_bytes());
        zip.extend([1, 0, 0, 0]);
        zip.extend(&end_record[..12]);
        zip.extend([0xff; 8]);
        zip.extend([0, 0]);
        assert!(proves(&zip, 9));
        // Both say it, or they contradict each other.
        let at = zip.len() - 10;
        zip[at..at + 4].copy_from_slice(&(size.unwrap() as u32).to_le_bytes());
        zip[at + 4..at + 8].copy_from_slice(&(offset.unwrap() as u32).to_le_bytes());
        assert!(proves(&zip, 9));
        zip[at + 4] ^= 1;
        assert_ne!(end(&zip, 9), End::Missing);
        assert!(!proves(&zip, 9));
        zip[at + 4] ^= 1;
        let shifted = [b"#!/bin/sh\n", &zip[..]].concat();
        assert_eq!(end(&shifted, 9), End::LeadingBytes);
        zip[0] = b'Q';
        assert_eq!(end(&zip, 9), End::LeadingBytes);
    }
}
