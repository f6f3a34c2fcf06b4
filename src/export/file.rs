//! One file of a package, and what its name says.
//!
//! Names follow the conventions of portal exports. They must not decide where a file is written, only
//! what it is taken for.

use std::fmt;

use super::jaw::Jaw;
use crate::model::OrderId;

/// One file of a package.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedFile {
    index: usize,
    name: String,
    original: Option<Vec<u8>>,
    size: u64,
}

impl PackedFile {
    pub(super) fn new(index: usize, name: String, size: u64) -> Self {
        PackedFile {
            index,
            name,
            original: None,
            size,
        }
    }

    pub(super) fn with_original_name(mut self, original: &[u8]) -> Self {
        // Most names are plain: those take no memory twice.
        self.original = (self.name.as_bytes() != original).then(|| original.to_owned());
        self
    }

    /// The name as the archive has it, byte by byte, where [`name`](Self::name) is another one:
    /// the code page is not known, invisible signs were replaced, or it was too long. Never a
    /// path, and it may hold a patient's name.
    #[must_use]
    pub fn original_name(&self) -> Option<&[u8]> {
        self.original.as_deref()
    }

    /// Which entry of the archive it is, counted from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its path in the package, with `/` between the parts: safe to join to a directory, on
    /// every system. It may hold a patient's name, so `Debug` leaves it out.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last part of its path.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// How long it is when decompressed, in bytes, as its header says; that is proved when it
    /// is read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it is, by its name. Convention of portal exports, not documented.
    pub(super) fn kind(&self) -> FileKind {
        let name = self.file_name().to_ascii_lowercase();
        let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
        match extension {
            "stl" | "ply" | "obj" => FileKind::Surface,
            "png" | "jpg" | "jpeg" | "bmp" | "tif" | "tiff" => FileKind::Texture,
            "pdf" if stem.starts_with("itero_rx_") => FileKind::Rx,
            "xml" if stem.starts_with("itero_export_") => FileKind::Manifest,
            _ => FileKind::Other,
        }
    }

    /// The version of a manifest, by its name: 50 for `iTero_Export_#123_v50.xml`.
    #[must_use]
    pub fn version(&self) -> Option<u32> {
        // The last `v`: an order id has digits, and may have letters.
        let (_, version) = self.manifest_stem()?.rsplit_once(['v', 'V'])?;
        // What browsers and desktops put behind a name, such as ` (1)`, is no part of it.
        let version = version.split([' ', '(']).next()?;
        let plain = version.bytes().all(|b| b.is_ascii_digit());
        // Digits only: `parse` would take a leading `+`.
        plain.then(|| version.parse().ok())?
    }

    /// The order id in the name of a manifest or of an Rx.
    #[must_use]
    pub fn order_id(&self) -> Option<OrderId> {
        match self.kind() {
            FileKind::Rx => {
                // By its length: `kind` has compared the prefix without regard to capitals.
                let name = self.file_name().get("iTero_Rx_".len()..)?;
                order_id(name.rsplit_once('.')?.0)
            }
            _ => order_id(self.manifest_stem()?),
        }
    }

    /// What follows `iTero_Export_`, such as `#123_v50`.
    fn manifest_stem(&self) -> Option<&str> {
        if self.kind() != FileKind::Manifest {
            return None;
        }
        let stem = self.file_name().rsplit_once('.')?.0;
        stem.get("iTero_Export_".len()..)
    }

    /// Which jaw the name speaks of. Convention of ours: a part of the name that is `u`,
    /// `upper`, `maxilla` or the like, and none of the other jaw.
    #[must_use]
    pub fn jaw(&self) -> Option<Jaw> {
        let name = self.file_name();
        Jaw::of(name.rsplit_once('.').map_or(name, |(stem, _)| stem))
    }
}

/// Without the name.
impl fmt::Debug for PackedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedFile")
            .field("index", &self.index)
            .field("kind", &self.kind())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FileKind {
    /// A mesh: STL, PLY or OBJ.
    Surface,
    /// An image: of the patient's teeth, or the colour of a mesh.
    Texture,
    /// The prescription, `iTero_Rx_<order id>.pdf`.
    Rx,
    /// `iTero_Export_#<order id>_vNN.xml`.
    Manifest,
    /// Anything else.
    Other,
}

/// The order id that a name begins with, behind `iTero_Export_` or the like.
///
/// What may follow it: a version, or what browsers and desktops put behind the name of a copy,
/// ` 1`, ` (1)`, ` - Copy`. With anything else there is none: a part of an id is another id.
pub(super) fn order_id(stem: &str) -> Option<OrderId> {
    let stem = stem.strip_prefix('#').unwrap_or(stem);
    let id = stem.split([' ', '(', '_']).next()?;
    let rest = &stem[id.len()..];
    let version = rest.strip_prefix('_').map(|version| {
        let digits = version.strip_prefix(['v', 'V']);
        digits.is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))
    });
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric());
    let fits = !id.is_empty() && plain && version != Some(false);
    fits.then(|| OrderId::from(id))
}
