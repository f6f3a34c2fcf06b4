//! How many entries an archive claims, before memory is taken for so many.
//!
//! *Problem.* The zip crate reserves memory for the count that the end record claims, before it has
//! read one entry.
//!
//! *Approach.* This reads the counts of all records that could be taken, and refuses if one is over
//! the limit. It must not decide which record is the right one.

use std::io::{Read, Seek, SeekFrom};

use super::super::error::{Error, Reason, Result};

/// The end record, the longest comment behind it, and the locator of zip64 before it.
// PKZIP's format (APPNOTE.TXT, 4.3.16 and 4.3.15): the end record has 22 bytes, its comment has at
// most 65535, the locator of zip64 has 20.
const TAIL: u64 = 22 + 0xFFFF + 20;

/// Refuses an archive that claims too many entries.
///
/// The zip crate looks for the end record in the same place, and takes memory for what the
/// record claims, as long as the file could hold it. Which of several records it will take is
/// not for us to know: all must be modest. Nothing else is concluded from them.
pub(super) fn check_count(reader: &mut (impl Read + Seek), most: usize) -> Result<()> {
    let length = reader.seek(SeekFrom::End(0)).map_err(Error::io)?;
    // A file that is shorter than the longest tail is read as a whole.
    let start = length.saturating_sub(TAIL);
    reader.seek(SeekFrom::Start(start)).map_err(Error::io)?;
    let mut tail = Vec::new();
    let mut end = reader.by_ref().take(TAIL);
    end.read_to_end(&mut tail).map_err(Error::io)?;

    // Of each end record that could be one: the entries, in two bytes at 10.
    let many = |at: usize| number(&tail, at + 10, 2).is_some_and(|count| count > most as u64);
    if positions(&tail, b"PK\x05\x06").any(many) {
        // 0xFFFF means "see zip64": the true count is there.
        let zip64 = positions(&tail, b"PK\x06\x07").next().is_some();
        if !zip64 {
            return Err(Error::new(Reason::TooManyEntries));
        }
    }
    // Of each locator: where the zip64 record is, in eight bytes at 8; there, in eight bytes at
    // 32, the entries.
    for locator in positions(&tail, b"PK\x06\x07") {
        // A locator that is cut off is one that the zip crate cannot follow either.
        let Some(at) = number(&tail, locator + 8, 8) else {
            continue;
        };
        // A place beyond the file is foreign text: without this check the sum could overflow.
        let Some(at) = at.checked_add(32).filter(|at| *at < length) else {
            continue;
        };
        reader.seek(SeekFrom::Start(at)).map_err(Error::io)?;
        let mut count = Vec::with_capacity(8);
        let mut field = reader.by_ref().take(8);
        field.read_to_end(&mut count).map_err(Error::io)?;
        // Fewer than eight bytes are no count: the file ends there, and the zip crate fails on it.
        if number(&count, 0, 8).is_some_and(|count| count > most as u64) {
            return Err(Error::new(Reason::TooManyEntries));
        }
    }
    Ok(())
}

fn positions<'a>(bytes: &'a [u8], magic: &'a [u8; 4]) -> impl Iterator<Item = usize> + 'a {
    // Byte by byte, since a comment may hide a record at any place.
    let windows = bytes.windows(4).enumerate();
    windows
        .filter(move |(_, window)| *window == magic)
        .map(|(at, _)| at)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    let mut number = [0; 8];
    number[..length].copy_from_slice(field);
    Some(u64::from_le_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn check(bytes: &[u8]) -> Option<Reason> {
        let checked = check_count(&mut Cursor::new(bytes), 10);
        checked.err().map(|error| error.reason())
    }

    fn end(count: u16) -> Vec<u8> {
        let mut record = b"PK\x05\x06\0\0\0\0\0\0".to_vec();
        record.extend(count.to_le_bytes());
        record.extend([0; 10]);
        record
    }

    #[test]
    fn a_claim_is_refused_wherever_it_stands() {
        assert_eq!(check(b""), None);
        assert_eq!(check(&end(10)), None);
        assert_eq!(check(&end(11)), Some(Reason::TooManyEntries));
        let hidden = [end(11), end(1)].concat();
        assert_eq!(check(&hidden), Some(Reason::TooManyEntries));
        assert_eq!(check(&end(1)[..11]), None);
    }

    #[test]
    fn zip64_is_followed() {
        for (count, expected) in [(10_u64, None), (11, Some(Reason::TooManyEntries))] {
            let mut bytes = vec![0; 32];
            bytes.extend(count.to_le_bytes());
            bytes.extend(b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
            bytes.extend(end(0xFFFF));
            assert_eq!(check(&bytes), expected);
        }
    }
}
