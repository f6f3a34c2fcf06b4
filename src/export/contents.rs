//! What a package contains, by kind and jaw.

use super::file::{FileKind, PackedFile, order_id};
use super::jaw::Jaw;
use super::manifest::{Coded, Manifest, Object};
use crate::model::OrderId;

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
