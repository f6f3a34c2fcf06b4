//! What a package contains, by kind and jaw.
//!
//! By conventions of exports, which nobody documents. So a file that fits none of them must not be lost
//! (`no_file_is_left_out`): it is among the others.

use super::file::{FileKind, PackedFile, order_id};
use super::jaw::Jaw;
use super::manifest::{Manifest, Object};
use crate::model::OrderId;
use crate::sensitive::Sensitive;

/// What systems leave in archives, and nobody asked for.
pub(super) fn is_litter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    // macOS puts resource forks there, and into `._` files.
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
    /// The files that the manifest names, and the package does not have: foreign text, and no path.
    /// They may hold a patient's name.
    pub missing: Vec<Sensitive<&'a str>>,
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

    /// The jaw that the manifest says, or else that its name speaks of.
    #[must_use]
    pub fn jaw(&self) -> Option<Jaw> {
        // The manifest first: names of files follow no rule.
        let said = self.object.and_then(|object| object.jaw);
        said.or_else(|| self.file.jaw())
    }

    /// What kind of mesh it is, if the manifest says so: the jaw, a die, a scan body, …; a code, where
    /// the manifest has no name for it.
    #[must_use]
    pub fn kind(&self) -> Option<&'a str> {
        self.object?.kind.as_deref()
    }

    /// What kind of its kind.
    #[must_use]
    pub fn sub_kind(&self) -> Option<&'a str> {
        self.object?.sub_kind.as_deref()
    }

    /// The number of the tooth, 1 to 32 in the American way, if it is of one tooth.
    #[must_use]
    pub fn tooth(&self) -> Option<u8> {
        self.object?.tooth
    }
}

impl<'a> Contents<'a> {
    /// Sorts the files of a package. The manifest helps where there is one: it knows kind and
    /// jaw of meshes better than their names do.
    #[must_use]
    pub fn of(files: &'a [PackedFile], manifest: Option<&'a Manifest>) -> Self {
        let named = manifest.map(Manifest::objects).unwrap_or_default();
        let mut contents = Contents::default();
        for file in files {
            match file.kind() {
                FileKind::Surface => {
                    // Linear for each file: a package has tens of files.
                    let object = named.iter().find(|object| object.names(file));
                    contents.surfaces.push(Surface { file, object });
                }
                FileKind::Texture => contents.textures.push(file),
                FileKind::Rx => contents.rx.push(file),
                FileKind::Manifest => contents.manifests.push(file),
                FileKind::Other => contents.others.push(file),
            }
        }
        let version = |file: &&PackedFile| std::cmp::Reverse(file.version());
        // Stable: of equal versions the archive's order stays, as `Package::manifest` takes the
        // first.
        contents.manifests.sort_by_key(version);
        let missing = named
            .iter()
            .filter(|object| !files.iter().any(|file| object.names(file)));
        let missing = missing.filter_map(|object| object.file_name.as_deref());
        contents.missing.extend(missing.map(Sensitive::new));
        contents
    }

    /// The meshes of one jaw.
    pub fn surfaces_of(&self, jaw: Jaw) -> impl Iterator<Item = &Surface<'a>> {
        let surfaces = self.surfaces.iter();
        surfaces.filter(move |surface| surface.jaw() == Some(jaw))
    }
}

/// The order id in the name of a package as a whole: `iTero_Export_<order id>.zip`, or
/// `OrthoCAD_Export_<order id>.zip` of an orthodontic case. Convention of portal exports, not
/// documented.
///
/// `file_name` has no directory before it. What the system puts behind the name of a copy, such as
/// ` (1)`, is no part of the id.
///
/// ```
/// use lab_connector::export::package_order_id;
///
/// let id = package_order_id("iTero_Export_123456789.zip");
/// assert_eq!(id.as_ref().map(|id| id.as_str()), Some("123456789"));
/// assert_eq!(package_order_id("holiday.zip"), None);
/// ```
#[must_use]
pub fn package_order_id(file_name: &str) -> Option<OrderId> {
    let (stem, extension) = file_name.rsplit_once('.')?;
    if !extension.eq_ignore_ascii_case("zip") {
        return None;
    }
    ["iTero_Export_", "OrthoCAD_Export_"]
        .iter()
        .find_map(|prefix| {
            // `get`, since the name may have a character across this boundary.
            let start = stem.get(..prefix.len())?;
            let fits = start.eq_ignore_ascii_case(prefix);
            fits.then(|| order_id(&stem[prefix.len()..])).flatten()
        })
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
                assert_eq!(package_order_id(&name), Some("125915304".into()), "{name}");
            }
        }
        for name in [
            "iTero_Export_.zip",
            "iTero_Export_ 1.zip",
            "iTero_Export_1_2.zip",
            "iTero_Export_1~2.zip",
            "iTero_Export_1-2.zip",
        ] {
            assert_eq!(package_order_id(name), None, "{name}");
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
