//! Archives byte by byte, so that they can be wrong.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;
const OF_UNIX: u16 = 3 << 8 | 20;

/// An entry as its two headers describe it.
#[derive(Clone)]
pub struct Entry {
    pub local: Header,
    pub central: Header,
    pub data: Vec<u8>,
    pub attributes: u32,
    pub comment: Vec<u8>,
    /// Where the central directory says that the entry begins, if that is a lie.
    pub offset: Option<u32>,
    /// Left out of the central directory.
    pub hidden: bool,
}

#[derive(Clone)]
pub struct Header {
    pub name: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub crc: u32,
    pub compressed: u64,
    pub size: u64,
    pub extra: Vec<u8>,
}

impl Entry {
    /// An honest file.
    pub fn stored(name: &str, content: &[u8]) -> Self {
        let crc = zipped(content).by_index(0).unwrap().crc32();
        Entry::of(name, STORED, content.to_vec(), content.len(), crc)
    }

    /// An honest file, deflated.
    pub fn deflated(name: &str, content: &[u8]) -> Self {
        let mut archive = zipped(content);
        let mut file = archive.by_index_raw(0).unwrap();
        let mut data = Vec::new();
        file.read_to_end(&mut data).unwrap();
        Entry::of(name, DEFLATED, data, content.len(), file.crc32())
    }

    fn of(name: &str, method: u16, data: Vec<u8>, size: usize, crc: u32) -> Self {
        let header = Header {
            name: name.as_bytes().to_vec(),
            method,
            // Names are UTF-8.
            flags: 1 << 11,
            crc,
            compressed: data.len() as u64,
            size: size as u64,
            extra: Vec::new(),
        };
        Entry {
            local: header.clone(),
            central: header,
            data,
            attributes: 0,
            comment: Vec::new(),
            offset: None,
            hidden: false,
        }
    }

    /// With a mode of Unix.
    pub fn mode(mut self, mode: u32) -> Self {
        self.attributes = mode << 16;
        self
    }

    pub fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    pub fn local(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        self
    }

    pub fn central(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.central);
        self
    }

    /// As a program writes it that does not know the sizes beforehand.
    pub fn streamed(self) -> Self {
        let mut entry = self.both(|header| header.flags |= 1 << 3);
        let sizes = [
            entry.local.crc,
            entry.local.compressed as u32,
            entry.local.size as u32,
        ];
        entry.data.extend(b"PK\x07\x08");
        entry
            .data
            .extend(sizes.iter().flat_map(|field| field.to_le_bytes()));
        entry.local(|header| (header.crc, header.compressed, header.size) = (0, 0, 0))
    }

    /// With the sizes in 64 bits.
    pub fn zip64(self, size: u64, compressed: u64) -> Self {
        self.both(|header| {
            header.extra = [1_u16.to_le_bytes(), 16_u16.to_le_bytes()].concat();
            header.extra.extend(size.to_le_bytes());
            header.extra.extend(compressed.to_le_bytes());
            (header.size, header.compressed) = (u64::from(u32::MAX), u64::from(u32::MAX));
        })
    }
}

/// The local header and the data.
pub fn local(entry: &Entry) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x14\0".to_vec();
    header(&entry.local, &mut bytes);
    bytes.extend(&entry.local.name);
    bytes.extend(&entry.local.extra);
    bytes.extend(&entry.data);
    bytes
}

/// An archive of these entries.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, start, count) = body(entries);
    let size = (bytes.len() - start) as u32;
    end(
        &mut bytes,
        u16::try_from(count).unwrap(),
        size,
        start as u32,
    );
    bytes
}

/// The same with the end record of zip64.
pub fn archive64(entries: &[Entry], claimed: Option<u64>) -> Vec<u8> {
    let (mut bytes, start, count) = body(entries);
    let at = bytes.len() as u64;
    let count = claimed.unwrap_or(count as u64);
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for field in [count, count, at - start as u64, start as u64] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(at.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    end(&mut bytes, u16::MAX, u32::MAX, u32::MAX);
    bytes
}

/// Entries and central directory, where it begins, and how many are in it.
fn body(entries: &[Entry]) -> (Vec<u8>, usize, usize) {
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for entry in entries {
        offsets.push(bytes.len() as u32);
        // An entry that lies inside of another one has its bytes there.
        if entry.offset.is_none() {
            bytes.extend(local(entry));
        }
    }
    let start = bytes.len();
    let listed = entries
        .iter()
        .zip(offsets)
        .filter(|(entry, _)| !entry.hidden);
    let mut count = 0;
    for (entry, offset) in listed {
        count += 1;
        bytes.extend(b"PK\x01\x02");
        bytes.extend(OF_UNIX.to_le_bytes());
        bytes.extend([20, 0]);
        header(&entry.central, &mut bytes);
        bytes.extend((entry.comment.len() as u16).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(entry.attributes.to_le_bytes());
        bytes.extend(entry.offset.unwrap_or(offset).to_le_bytes());
        bytes.extend(&entry.central.name);
        bytes.extend(&entry.central.extra);
        bytes.extend(&entry.comment);
    }
    (bytes, start, count)
}

/// What both headers have, from the flags to the lengths.
fn header(header: &Header, bytes: &mut Vec<u8>) {
    bytes.extend(header.flags.to_le_bytes());
    bytes.extend(header.method.to_le_bytes());
    // Midnight of 1 January 1980.
    bytes.extend([0, 0, 0x21, 0]);
    bytes.extend(header.crc.to_le_bytes());
    bytes.extend((header.compressed as u32).to_le_bytes());
    bytes.extend((header.size as u32).to_le_bytes());
    bytes.extend((header.name.len() as u16).to_le_bytes());
    bytes.extend((header.extra.len() as u16).to_le_bytes());
}

fn end(bytes: &mut Vec<u8>, count: u16, size: u32, start: u32) {
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
}

fn zipped(content: &[u8]) -> ZipArchive<Cursor<Vec<u8>>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("x", SimpleFileOptions::default()).unwrap();
    zip.write_all(content).unwrap();
    zip.finish_into_readable().unwrap()
}
