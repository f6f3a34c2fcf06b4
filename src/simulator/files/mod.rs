//! The files of a simulated case: a package of the shape that portal exports have, and
//! thumbnails.
//!
//! *Problem.* A million cases of some ten kilobytes each, and a list that states sizes and digests of
//! all.
//!
//! *Approach.* Nothing is kept. The bytes follow from number and revision, and sizes are computed
//! without the bytes (`sizes_are_those_of_what_is_made`). The same case and revision must make the same
//! bytes in every run.

mod package;

use std::io::{Cursor, Write};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;

use super::behaviour::Ids;
use super::prescription::Prescription;
use package::Content;

/// The files of a case, at one of their revisions; they are made when they are asked for.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) number: u64,
    /// How often the files changed; none before the first scan.
    pub(super) revision: u16,
    pub(super) about: Arc<CaseDetails>,
}

/// What the files say of the case.
pub(super) struct CaseDetails {
    pub(super) prescription: Prescription,
    pub(super) account: String,
    pub(super) lab: String,
    pub(super) created: SystemTime,
    pub(super) modified: SystemTime,
    pub(super) modeled: bool,
}

/// What lists say of the files, found when somebody asks: to make all of them for each list would
/// be slow.
#[derive(Debug, Default)]
pub(super) struct FileFacts {
    // Set once for each revision: `Case::enter` replaces them when the files change.
    sizes: [OnceLock<u32>; 2],
    digests: OnceLock<Box<[String; 2]>>,
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

    /// In a URL.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Kind::Export => "export.zip",
            Kind::Thumbnails => "thumbnails.zip",
        }
    }

    /// The id of a file in one of the ways that ids may be.
    pub(super) fn id(self, number: u64, revision: u16, ids: Ids, per_order: bool) -> String {
        match ids {
            Ids::Text => {
                let letter = match self {
                    Kind::Export => 'e',
                    Kind::Thumbnails => 't',
                };
                if per_order {
                    format!("{letter}{number}")
                } else {
                    format!("{letter}{number}-{revision}")
                }
            }
            Ids::Number => {
                let revision = if per_order { 0 } else { u64::from(revision) };
                // File and revision in digits of their own, so that ids of different files are
                // never equal.
                (number * 1_000_000 + revision * 10 + self as u64 + 1).to_string()
            }
        }
    }
}

impl FileFacts {
    pub(super) fn size(&self, kind: Kind, files: impl FnOnce() -> Files) -> u64 {
        // A simulated file has some ten kilobytes.
        let find = || u32::try_from(files().size(kind)).unwrap_or(u32::MAX);
        (*self.sizes[kind as usize].get_or_init(find)).into()
    }

    pub(super) fn digest(&self, kind: Kind, files: impl FnOnce() -> Files) -> String {
        let find = || {
            let files = files();
            Box::new([Kind::Export, Kind::Thumbnails].map(|kind| files.digest(kind)))
        };
        self.digests.get_or_init(find)[kind as usize].clone()
    }
}

impl Files {
    /// Which file has this id, in whatever way.
    pub(super) fn by_id(number: u64, revision: u16, id: &str) -> Option<Kind> {
        // The behaviour may have changed since the id was given out: software may still ask by the
        // old one.
        let ways = [
            (Ids::Text, false),
            (Ids::Text, true),
            (Ids::Number, false),
            (Ids::Number, true),
        ];
        Kind::ALL.into_iter().find(|kind| {
            let mut ways = ways.iter();
            revision > 0
                && ways.any(|(ids, per_order)| kind.id(number, revision, *ids, *per_order) == id)
        })
    }

    /// How long [`Files::make`] is; nothing is made for it.
    pub(super) fn size(&self, kind: Kind) -> u64 {
        let entries = self.entries(kind);
        // Of each entry the zip holds a local and a central header with its name, then its end.
        let entry = |(name, content): &(String, Content)| 30 + 46 + 2 * name.len() + content.len();
        (entries.iter().map(entry).sum::<usize>() + 22) as u64
    }

    /// The bytes: the same ones for the same case and revision.
    pub(super) fn make(&self, kind: Kind) -> Bytes {
        zipped(self.entries(kind)).unwrap_or_default().into()
    }

    /// The SHA-256 of [`Files::make`], hexadecimal.
    pub(super) fn digest(&self, kind: Kind) -> String {
        let digest = Sha256::digest(self.make(kind));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn entries(&self, kind: Kind) -> Vec<(String, Content)> {
        match kind {
            Kind::Export => package::entries(self),
            Kind::Thumbnails => {
                vec![("thumbnail.gif".to_owned(), Content::Bytes(PIXEL.to_vec()))]
            }
        }
    }
}

/// Writing to memory does not fail.
fn zipped(entries: Vec<(String, Content)>) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    // No time of day: the bytes are to be the same each time. Not compressed: then the size is
    // known beforehand, and lists are cheap.
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default());
    for (name, content) in entries {
        zip.start_file(name, options)?;
        zip.write_all(&content.into_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

/// One grey pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x80\x80\x80\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

#[cfg(test)]
mod tests {
    use super::super::randomness::Randomness;
    use super::*;

    fn files(number: u64, revision: u16) -> Files {
        let about = CaseDetails {
            prescription: Prescription::of(Randomness::new(0), number, None),
            account: "L-1".to_owned(),
            lab: "A Lab".to_owned(),
            created: SystemTime::UNIX_EPOCH,
            modified: SystemTime::UNIX_EPOCH,
            modeled: false,
        };
        Files {
            number,
            revision,
            about: Arc::new(about),
        }
    }

    #[test]
    fn files_are_zips_that_change_with_each_revision_only() {
        let first = files(7, 1).make(Kind::Export);
        assert_eq!(first, files(7, 1).make(Kind::Export));
        let zip = zip::ZipArchive::new(Cursor::new(first.clone())).unwrap();
        // Two meshes in two formats, four manifests and the prescription.
        assert_eq!(zip.len(), 9);
        assert_ne!(first, files(7, 2).make(Kind::Export));
    }

    #[test]
    fn sizes_are_those_of_what_is_made() {
        for number in 1..40 {
            let files = files(number, 1 + (number % 3) as u16);
            for kind in Kind::ALL {
                assert_eq!(files.size(kind), files.make(kind).len() as u64);
            }
        }
    }

    #[test]
    fn facts_are_those_of_their_file_and_found_once() {
        let (facts, files) = (FileFacts::default(), files(7, 1));
        for kind in Kind::ALL {
            assert_eq!(facts.size(kind, || files.clone()), files.size(kind));
            assert_eq!(facts.digest(kind, || files.clone()), files.digest(kind));
        }
        let again = || -> Files { panic!("they were found before") };
        for kind in Kind::ALL {
            assert_eq!(facts.size(kind, again), files.size(kind));
            assert_eq!(facts.digest(kind, again), files.digest(kind));
        }
        assert_ne!(files.digest(Kind::Export), files.digest(Kind::Thumbnails));
    }

    #[test]
    fn every_way_of_an_id_leads_to_its_file() {
        for kind in Kind::ALL {
            for ids in [Ids::Text, Ids::Number] {
                for per_order in [true, false] {
                    let id = kind.id(7, 2, ids, per_order);
                    assert_eq!(Files::by_id(7, 2, &id), Some(kind), "{id}");
                    assert_eq!(Files::by_id(7, 0, &id), None, "{id}");
                    assert_eq!(Files::by_id(7, 3, &id).is_some(), per_order, "{id}");
                }
            }
        }
    }
}
