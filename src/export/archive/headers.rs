//! Programs that read local headers and programs that read the central directory must find the same
//! files.
//!
//! *Problem.* A virus scanner that reads from the front and a program that reads from the end can be
//! shown two archives in one file. The zip crate has a comparison, and it is too strict for honest
//! programs: it refuses times that differ by two seconds, sizes in 64 bits on one side only, and a
//! second name for programs that know Unicode (`honest_differences_between_headers_are_put_up_with`).
//!
//! *Approach.* What changes the files is compared, and nothing else: names, sizes, checksums, methods,
//! and entries that only one side has. In doubt the archive must be refused as a whole.

use std::io::{self, Read, Seek, SeekFrom};

use super::super::error::{Error, Reason, Result};

// Bits of the general purpose flag: APPNOTE.TXT, 4.4.4.
const ENCRYPTED: u64 = 1;
const SIZES_BEHIND_DATA: u64 = 1 << 3;
// A size of this value is in the extra field of zip64: APPNOTE.TXT, 4.5.3.
const IN_64_BITS: u64 = 0xffff_ffff;

/// What is compared for one entry.
pub(super) struct CentralEntry {
    pub(super) index: usize,
    pub(super) name: String,
    /// Where the central directory describes it.
    pub(super) central: u64,
    /// Where the entry begins.
    pub(super) start: u64,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) size: u64,
}

/// Compares all entries with their local headers, and looks at what lies between them.
///
/// `directory` is where the central directory begins.
pub(super) fn compare(
    reader: &mut (impl Read + Seek),
    mut claims: Vec<CentralEntry>,
    directory: u64,
) -> Result<()> {
    // The directory may name entries in any order; overlaps show only in the order of the file.
    claims.sort_by_key(|claim| claim.start);
    // The file begins with an entry: before the first one of the directory is none.
    let mut end = 0;
    for claim in &claims {
        let at = |error: Error| error.at(claim.index, &claim.name);
        if claim.start < end {
            return Err(at(Error::new(Reason::Overlap)));
        }
        check_gap(reader, end, claim.start).map_err(at)?;
        end = compare_one(reader, claim).map_err(at)?;
        // Data that reach into the directory would be read as both.
        if end > directory {
            return Err(at(Error::new(Reason::Overlap)));
        }
    }
    check_gap(reader, end, directory)
}

/// Returns where the entry's data end.
fn compare_one(reader: &mut (impl Read + Seek), claim: &CentralEntry) -> Result<u64> {
    let central = Header::read(reader, claim.central, &CENTRAL)?;
    let local = Header::read(reader, claim.start, &LOCAL)?;
    // A scanner that reads from the front would see another name than the one that is extracted.
    if plain(&local.name) != plain(&central.name) {
        return Err(mismatch("the name differs"));
    }
    if local.method != central.method || (local.flags ^ central.flags) & ENCRYPTED != 0 {
        return Err(mismatch("the compression differs"));
    }
    // A program that knows the second name shows it instead of the first.
    match (local.unicode_name(), central.unicode_name()) {
        (Some(local), Some(central)) if plain(local) != plain(central) => {
            return Err(mismatch("the name differs"));
        }
        (Some(local), None) if plain(local) != plain(claim.name.as_bytes()) => {
            return Err(mismatch("the name differs"));
        }
        _ => {}
    }
    let (compressed, size) = local.sizes();
    // Behind the data it says what the header then leaves empty.
    let later = local.flags & SIZES_BEHIND_DATA != 0;
    let agrees = |local: u64, central: u64| local == central || (later && local == 0);
    // What the central directory says is what the zip crate extracts by.
    if !agrees(local.crc, claim.crc.into())
        || !agrees(compressed, claim.compressed)
        || !(agrees(size, claim.size) || (later && size == IN_64_BITS))
    {
        return Err(mismatch("checksum or size differs"));
    }
    // A foreign length: the sum may not fit.
    let end = local.end.checked_add(claim.compressed);
    end.ok_or_else(|| Error::new(Reason::Overlap))
}

/// Between entries may be what belongs to the entry before (its sizes), and what programs leave
/// that delete entries; but no entry, which programs would find that read from the front.
fn check_gap(reader: &mut (impl Read + Seek), from: u64, to: u64) -> Result<()> {
    // Honest gaps have some dozen bytes, or the entry that a program has deleted. The gap is read into
    // memory, so it needs a limit; a mebibyte is a choice of ours.
    const MOST: u64 = 1 << 20;
    let length = to.saturating_sub(from);
    if length > MOST {
        return Err(mismatch("there is much between two entries"));
    }
    let gap = bytes(reader, from, length)?;
    if gap.windows(4).any(|window| window == LOCAL.magic) {
        return Err(mismatch("an entry is not in the central directory"));
    }
    Ok(())
}

/// Where the two kinds of header have their fields.
struct Layout {
    magic: &'static [u8; 4],
    length: u64,
    flags: usize,
    name_length: usize,
}

const LOCAL: Layout = Layout {
    magic: b"PK\x03\x04",
    length: 30,
    flags: 6,
    name_length: 26,
};

const CENTRAL: Layout = Layout {
    magic: b"PK\x01\x02",
    length: 46,
    flags: 8,
    name_length: 28,
};

struct Header {
    flags: u64,
    method: u64,
    crc: u64,
    compressed: u64,
    size: u64,
    name: Vec<u8>,
    extra: Vec<u8>,
    /// Where the header ends and, after a local one, the data begin.
    end: u64,
}

impl Header {
    fn read(reader: &mut (impl Read + Seek), at: u64, layout: &Layout) -> Result<Self> {
        let fixed = bytes(reader, at, layout.length)?;
        if !fixed.starts_with(layout.magic) {
            return Err(mismatch("there is no header"));
        }
        // From the flags on both kinds have the same fields.
        let field = |offset: usize, width| number(&fixed, layout.flags + offset, width);
        let name_length = number(&fixed, layout.name_length, 2);
        let extra_length = number(&fixed, layout.name_length + 2, 2);
        // Both lengths have two bytes, so at most 128 KiB are read.
        let mut name = bytes(reader, at + layout.length, name_length + extra_length)?;
        // At most 65535; the cut keeps `split_off` from panicking whatever was read.
        let length = usize::try_from(name_length).unwrap_or(usize::MAX);
        let extra = name.split_off(length.min(name.len()));
        Ok(Header {
            flags: field(0, 2),
            method: field(2, 2),
            crc: field(8, 4),
            compressed: field(12, 4),
            size: field(16, 4),
            name,
            extra,
            end: at + layout.length + name_length + extra_length,
        })
    }

    /// The sizes, compressed first, where those in 64 bits are followed.
    fn sizes(&self) -> (u64, u64) {
        // Field 1 is that of zip64. It has only those sizes whose own field is full, the
        // uncompressed one first.
        let large = self.extra_field(1).unwrap_or_default();
        let (mut compressed, mut size) = (self.compressed, self.size);
        let mut at = 0;
        for field in [&mut size, &mut compressed] {
            if *field == IN_64_BITS && large.len() >= at + 8 {
                *field = number(large, at, 8);
                at += 8;
            }
        }
        (compressed, size)
    }

    /// The name in UTF-8 that Info-ZIP writes beside the first one.
    fn unicode_name(&self) -> Option<&[u8]> {
        const VERSION_AND_CHECKSUM: usize = 5;
        // APPNOTE.TXT, 4.6.9: a version byte and the checksum of the first name come before the
        // name.
        self.extra_field(0x7075)?.get(VERSION_AND_CHECKSUM..)
    }

    fn extra_field(&self, wanted: u64) -> Option<&[u8]> {
        let mut rest = &self.extra[..];
        while rest.len() >= 4 {
            let (id, length) = (number(rest, 0, 2), number(rest, 2, 2));
            let length = usize::try_from(length).ok()?;
            // A length beyond the extra fields: what follows cannot be told apart, so nothing of it
            // is believed.
            let field = rest.get(4..4 + length)?;
            if id == wanted {
                return Some(field);
            }
            rest = &rest[4 + length..];
        }
        None
    }
}

/// The name with one kind of slash, and none before it.
fn plain(name: &[u8]) -> Vec<u8> {
    let name = name.iter().map(|b| if *b == b'\\' { b'/' } else { *b });
    let name: Vec<u8> = name.collect();
    name.strip_prefix(b"/").map(<[u8]>::to_vec).unwrap_or(name)
}

fn bytes(reader: &mut (impl Read + Seek), at: u64, length: u64) -> Result<Vec<u8>> {
    reader.seek(SeekFrom::Start(at)).map_err(Error::io)?;
    let mut bytes = Vec::new();
    // `take` and not a buffer of the length: a foreign length must not take memory for bytes that
    // are not there.
    match reader.by_ref().take(length).read_to_end(&mut bytes) {
        Ok(count) if count as u64 == length => Ok(bytes),
        Ok(_) => Err(mismatch("it breaks off")),
        // A reader of the caller may report the end in this way.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(mismatch("it breaks off"))
        }
        Err(error) => Err(Error::io(error)),
    }
}

/// A number, the least byte first; what is not there is zero.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let bytes = bytes.get(at..at + width).unwrap_or_default();
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn mismatch(detail: &'static str) -> Error {
    Error::new(Reason::HeaderMismatch).with_detail(detail)
}
