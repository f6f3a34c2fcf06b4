//! The files that a manifest names.
//!
//! They are matched to the files of the package by name alone. A name of the manifest must never become
//! a path.

use std::fmt;

use super::super::file::PackedFile;
use super::super::jaw::Jaw;
use super::super::xml::Element;
use super::defines::CodeTables;
use crate::model;

/// A file that was exported.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Object {
    pub(in super::super) kind: Option<String>,
    pub(in super::super) sub_kind: Option<String>,
    pub(in super::super) jaw: Option<Jaw>,
    pub(in super::super) tooth: Option<u8>,
    /// As the manifest has it: foreign text, and no path.
    pub(in super::super) file_name: Option<String>,
}

impl Object {
    /// Takes out what it reads; what cannot be read stays.
    pub(super) fn read(element: &mut Element, defines: &CodeTables) -> Self {
        let mut coded = |name: &str, key: &str| {
            let code = element.take(&[key])?;
            Some(defines.resolve(name, code))
        };
        let kind = coded("ObjectType", "objecttype");
        let sub_kind = coded("SubType", "subtype");
        let jaw_id = coded("JawId", "jawid");
        let ada_id = element.take(&["adaid"]);
        let jaw = jaw_id.as_deref().and_then(Jaw::of);
        let tooth = ada_id.as_deref().and_then(model::tooth_number);
        // A text that is no jaw or no tooth must not be lost: it goes to `extra`.
        element.put_back("JawId", jaw_id.filter(|_| jaw.is_none()));
        element.put_back("AdaId", ada_id.filter(|_| tooth.is_none()));
        Object {
            kind,
            sub_kind,
            jaw,
            tooth,
            file_name: element.take(&["filename"]),
        }
    }

    /// Whether it is this file. Directories do not count, since a package may have a top
    /// folder that the manifest does not know, and capitals neither.
    pub(in super::super) fn names(&self, file: &PackedFile) -> bool {
        let named = self.file_name.as_deref();
        named.is_some_and(|named| {
            // With either separator: the name may be a path on Windows.
            let last = named.rsplit(['/', '\\']).next().unwrap_or_default();
            last.eq_ignore_ascii_case(file.file_name())
        })
    }
}

/// Without the file's name, which may be a patient's.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("kind", &self.kind)
            .field("sub_kind", &self.sub_kind)
            .field("jaw", &self.jaw)
            .field("tooth", &self.tooth)
            .finish_non_exhaustive()
    }
}
