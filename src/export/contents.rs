//! What a package contains, by kind and jaw.

use std::fmt;

use super::manifest::{Coded, Manifest, Object};
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
    #[must_use]
    pub fn kind(&self) -> FileKind {
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
        let (_, version) = self.manifest_stem()?.rsplit_once(['v', 'V'])?;
        // What browsers and desktops put behind a name, such as ` (1)`, is no part of it.
        let version = version.split([' ', '(']).next()?;
        let plain = version.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| version.parse().ok())?
    }

    /// The order id in the name of a manifest or of an Rx.
    #[must_use]
    pub fn order_id(&self) -> Option<OrderId> {
        match self.kind() {
            FileKind::Rx => {
                let name = self.file_name().get("iTero_Rx_".len()..)?;
                order_id(name.rsplit_once('.')?.0)
            }
            _ => order_id(self.manifest_stem()?),
        }
    }

    /// What stands behind `iTero_Export_`, such as `#123_v50`.
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
#[non_exhaustive]
pub enum FileKind {
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

/// Upper or lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Jaw {
    /// The maxilla.
    Upper,
    /// The mandible.
    Lower,
}

impl Jaw {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Jaw::Upper => "upper",
            Jaw::Lower => "lower",
        }
    }

    /// The jaw that a text names, if it names one.
    pub(super) fn of(text: &str) -> Option<Jaw> {
        let (mut upper, mut lower) = (false, false);
        for word in words(text) {
            match word.to_ascii_lowercase().as_str() {
                "u" | "upper" | "upperjaw" | "maxilla" | "maxillary" => upper = true,
                "l" | "lower" | "lowerjaw" | "mandible" | "mandibular" => lower = true,
                _ => {}
            }
        }
        match (upper, lower) {
            (true, false) => Some(Jaw::Upper),
            (false, true) => Some(Jaw::Lower),
            // Neither, or a bite of both.
            _ => None,
        }
    }
}

impl fmt::Display for Jaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `UpperJaw_2` has the words `Upper`, `Jaw` and `2`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let signs = text.split(|c: char| !c.is_ascii_alphanumeric());
    signs.flat_map(|run| {
        let mut before = '0';
        let mut starts: Vec<usize> = vec![0];
        for (at, c) in run.char_indices() {
            if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
                starts.push(at);
            }
            before = c;
        }
        let ends: Vec<usize> = starts[1..].iter().copied().chain([run.len()]).collect();
        let ranges = starts.into_iter().zip(ends);
        ranges.map(move |(start, end)| &run[start..end])
    })
}

/// The order id that a name begins with, behind `iTero_Export_` or the like.
///
/// What may follow it: a version, or what browsers and desktops put behind the name of a copy,
/// ` 1`, ` (1)`, ` - Copy`. With anything else there is none: a part of an id is another id.
fn order_id(stem: &str) -> Option<OrderId> {
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

/// What systems leave in archives, for nobody.
pub(super) fn is_litter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    path.split('/').any(|part| part == "__MACOSX")
        || name.starts_with("._")
        || [".ds_store", "thumbs.db", "desktop.ini"]
            .iter()
            .any(|litter| name.eq_ignore_ascii_case(litter))
}

/// The files of a package by what they are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Contents<'a> {
    /// The meshes.
    pub surfaces: Vec<Surface<'a>>,
    /// The images.
    pub textures: Vec<&'a PackedFile>,
    /// The prescription.
    pub rx: Vec<&'a PackedFile>,
    /// The manifests, the one with the highest version first.
    pub manifests: Vec<&'a PackedFile>,
    /// All other files.
    pub others: Vec<&'a PackedFile>,
    /// What the manifest names, and the package does not have.
    pub missing: Vec<&'a Object>,
}

/// A mesh, with what the manifest says about it.
#[derive(Clone, Debug)]
pub struct Surface<'a> {
    file: &'a PackedFile,
    object: Option<&'a Object>,
}

impl<'a> Surface<'a> {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &'a PackedFile {
        self.file
    }

    /// What the manifest says about it.
    #[must_use]
    pub fn object(&self) -> Option<&'a Object> {
        self.object
    }

    /// The jaw that the manifest says, or else that its name speaks of.
    #[must_use]
    pub fn jaw(&self) -> Option<Jaw> {
        let said = self.object.and_then(Object::jaw);
        said.or_else(|| self.file.jaw())
    }

    /// What kind of mesh it is, if the manifest says so: the jaw, a die, a scan body, ….
    #[must_use]
    pub fn kind(&self) -> Option<&'a Coded> {
        self.object.and_then(Object::object_type)
    }
}

impl<'a> Contents<'a> {
    /// Sorts the files of a package. The manifest helps where there is one: it knows kind and
    /// jaw of meshes better than their names do.
    #[must_use]
    pub fn of(files: &'a [PackedFile], manifest: Option<&'a Manifest>) -> Self {
        let mut contents = Contents::default();
        for file in files {
            match file.kind() {
                FileKind::Surface => {
                    let object = manifest.and_then(|manifest| manifest.object_of(file));
                    contents.surfaces.push(Surface { file, object });
                }
                FileKind::Texture => contents.textures.push(file),
                FileKind::Rx => contents.rx.push(file),
                FileKind::Manifest => contents.manifests.push(file),
                FileKind::Other => contents.others.push(file),
            }
        }
        let version = |file: &&PackedFile| std::cmp::Reverse(file.version());
        contents.manifests.sort_by_key(version);
        let named = manifest.map(Manifest::objects).unwrap_or_default();
        let missing = named.iter().filter(|object| {
            object.file_name().is_some() && !files.iter().any(|file| object.names(file))
        });
        contents.missing.extend(missing);
        contents
    }

    /// The meshes of one jaw.
    pub fn surfaces_of(&self, jaw: Jaw) -> impl Iterator<Item = &Surface<'a>> {
        let surfaces = self.surfaces.iter();
        surfaces.filter(move |surface| surface.jaw() == Some(jaw))
    }
}

/// The name of a package as a whole. Convention of portal exports, not documented.
///
/// ```
/// use lab_connector::export::PackageName;
///
/// let name = PackageName::parse("iTero_Export_123456789.zip");
/// assert!(matches!(name, Some(PackageName::Restorative(id)) if id.as_str() == "123456789"));
/// assert_eq!(PackageName::parse("holiday.zip"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackageName {
    /// `iTero_Export_<order id>.zip`.
    Restorative(OrderId),
    /// `OrthoCAD_Export_<order id>.zip`: an orthodontic case.
    Orthodontic(OrderId),
}

impl PackageName {
    /// Reads the name of a file, without a directory before it. What the system puts behind the
    /// name of a copy, such as ` (1)`, is no part of the id.
    #[must_use]
    pub fn parse(file_name: &str) -> Option<Self> {
        let (stem, extension) = file_name.rsplit_once('.')?;
        let id = |prefix: &str| {
            let start = stem.get(..prefix.len())?;
            let rest = &stem[prefix.len()..];
            let fits = start.eq_ignore_ascii_case(prefix);
            fits.then(|| order_id(rest)).flatten()
        };
        if !extension.eq_ignore_ascii_case("zip") {
            return None;
        }
        id("iTero_Export_")
            .map(PackageName::Restorative)
            .or_else(|| id("OrthoCAD_Export_").map(PackageName::Orthodontic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> PackedFile {
        PackedFile::new(0, name.to_owned(), 0)
    }

    #[test]
    fn names_tell_kinds() {
        for (name, kind) in [
            ("top/123_UpperJaw.STL", FileKind::Surface),
            ("a.ply", FileKind::Surface),
            ("a.PNG", FileKind::Texture),
            ("iTero_Rx_123.pdf", FileKind::Rx),
            ("letter.pdf", FileKind::Other),
            ("ITERO_EXPORT_#1_V50.XML", FileKind::Manifest),
            ("other.xml", FileKind::Other),
            ("stl", FileKind::Other),
        ] {
            assert_eq!(file(name).kind(), kind, "{name}");
        }
    }

    #[test]
    fn manifests_have_orders_and_versions() {
        for (name, order, version) in [
            ("x/iTero_Export_#123_v50.xml", Some("123"), Some(50)),
            ("itero_export_12_V10.XML", Some("12"), Some(10)),
            ("iTero_Export_#123.xml", Some("123"), None),
            ("iTero_Export_#123_v50 (1).xml", Some("123"), Some(50)),
            ("iTero_Export_#1_v.xml", None, None),
            ("iTero_Export_#1_v99999999999.xml", Some("1"), None),
            ("iTero_Rx_123 - Copy.pdf", Some("123"), None),
            ("iTero_Rx_123.pdf", Some("123"), None),
            ("123.stl", None, None),
        ] {
            let file = file(name);
            let found = file.order_id();
            assert_eq!(found.as_ref().map(OrderId::as_str), order, "{name}");
            assert_eq!(file.version(), version, "{name}");
        }
    }

    #[test]
    fn a_copy_is_of_the_same_order() {
        for suffix in [
            "",
            " 1",
            " (1)",
            "(1)",
            " - Copy",
            " - Copy (2)",
            " - Kopie",
            "_v2",
        ] {
            for hash in ["", "#"] {
                let name = format!("iTero_Export_{hash}125915304{suffix}.zip");
                let expected = PackageName::Restorative("125915304".into());
                assert_eq!(PackageName::parse(&name), Some(expected), "{name}");
            }
        }
        for name in [
            "iTero_Export_.zip",
            "iTero_Export_ 1.zip",
            "iTero_Export_1_2.zip",
            "iTero_Export_1~2.zip",
            "iTero_Export_1-2.zip",
        ] {
            assert_eq!(PackageName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn names_tell_jaws() {
        for (name, jaw) in [
            ("1_UpperJaw.stl", Some(Jaw::Upper)),
            ("1_shell_occlusion_l.stl", Some(Jaw::Lower)),
            ("MAXILLARY.ply", Some(Jaw::Upper)),
            ("lowerjaw.ply", Some(Jaw::Lower)),
            ("1_upper_lower_bite.stl", None),
            ("lunar.stl", None),
            ("a.u", None),
        ] {
            assert_eq!(file(name).jaw(), jaw, "{name}");
        }
    }

    #[test]
    fn litter_is_known() {
        for path in [
            "__MACOSX/a",
            "a/__MACOSX",
            "x/._a.stl",
            ".DS_Store",
            "x/thumbs.DB",
        ] {
            assert!(is_litter(path), "{path}");
        }
        assert!(!is_litter("a_MACOSX/b.stl"));
    }

    #[test]
    fn debug_has_no_name() {
        assert!(!format!("{:?}", file("Doe, Jane.stl")).contains("Doe"));
    }
}
