//! The files of a simulated case: a package of the shape that portal exports have, and
//! thumbnails.

mod package;

use std::io::{Cursor, Write};
use std::sync::OnceLock;
use std::time::SystemTime;

use bytes::Bytes;
use zip::write::SimpleFileOptions;

/// The files as they are now; they are made when they are asked for.
#[derive(Debug)]
pub(super) struct Files {
    number: u64,
    /// How often the files changed; none before the first scan.
    revision: u32,
    pub(super) modified: SystemTime,
    /// Found when somebody asks: to know one, the file is made.
    sizes: [OnceLock<u64>; 2],
}

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Export,
    Thumbnails,
}

impl Kind {
    pub(super) const ALL: [Kind; 2] = [Kind::Thumbnails, Kind::Export];

    pub(super) fn wire_name(self) -> &'static str {
        match self {
            Kind::Export => "IDE",
            Kind::Thumbnails => "IMAGE_GALLERY",
        }
    }
}

impl Files {
    pub(super) fn none(number: u64) -> Self {
        Files {
            number,
            revision: 0,
            modified: SystemTime::UNIX_EPOCH,
            sizes: [const { OnceLock::new() }; 2],
        }
    }

    /// The case was scanned or modeled anew.
    pub(super) fn renew(&mut self, now: SystemTime) {
        self.revision += 1;
        self.modified = now;
        self.sizes = [const { OnceLock::new() }; 2];
    }

    pub(super) fn exist(&self) -> bool {
        self.revision > 0
    }

    /// The id stays while the content does.
    pub(super) fn id(&self, kind: Kind) -> String {
        let letter = match kind {
            Kind::Export => 'e',
            Kind::Thumbnails => 't',
        };
        format!("{letter}{}-{}", self.number, self.revision)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<Kind> {
        Kind::ALL
            .into_iter()
            .find(|kind| self.exist() && self.id(*kind) == id)
    }

    pub(super) fn size(&self, kind: Kind) -> u64 {
        *self.sizes[kind as usize].get_or_init(|| self.make(kind).len() as u64)
    }

    /// The bytes: the same ones for the same case and revision.
    pub(super) fn make(&self, kind: Kind) -> Bytes {
        let entries = match kind {
            Kind::Export => package::entries(self.number, self.revision),
            Kind::Thumbnails => vec![("thumbnail.gif".to_owned(), PIXEL.to_vec())],
        };
        zipped(&entries).unwrap_or_default().into()
    }
}

/// Writing to memory does not fail.
fn zipped(entries: &[(String, Vec<u8>)]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    // No time of day: the bytes are to be the same each time.
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    for (name, content) in entries {
        zip.start_file(name.as_str(), options)?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// One grey pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x80\x80\x80\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_zips_that_change_with_each_revision_only() {
        let mut files = Files::none(7);
        assert!(!files.exist() && files.by_id("e7-0").is_none());
        files.renew(SystemTime::UNIX_EPOCH);
        let first = files.make(Kind::Export);
        assert_eq!(first, files.make(Kind::Export));
        for kind in Kind::ALL {
            assert_eq!(files.size(kind), files.make(kind).len() as u64);
            assert_eq!(files.by_id(&files.id(kind)), Some(kind));
        }
        let zip = zip::ZipArchive::new(Cursor::new(first.clone())).unwrap();
        // Two meshes in two formats, four manifests and the prescription.
        assert_eq!(zip.len(), 9);
        files.renew(SystemTime::UNIX_EPOCH);
        assert_ne!(first, files.make(Kind::Export));
    }
}
