//! The files that a manifest names.

use std::fmt;

use super::super::file::PackedFile;
use super::super::jaw::Jaw;
use super::super::xml::Element;
use super::defines::{Coded, Defines};

/// A file that was exported.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    object_type: Option<Coded>,
    sub_type: Option<Coded>,
    jaw: Option<Coded>,
    ada_id: Option<String>,
    file_name: Option<String>,
    extra: Element,
}

impl Object {
    pub(super) fn read(mut element: Element, defines: &Defines) -> Self {
        let mut coded = |name: &str, key: &str| {
            let code = element.take(&[key]);
            code.map(|code| defines.resolve(name, code))
        };
        Object {
            object_type: coded("ObjectType", "objecttype"),
            sub_type: coded("SubType", "subtype"),
            jaw: coded("JawId", "jawid"),
            ada_id: element.take(&["adaid"]),
            file_name: element.take(&["filename"]),
            extra: element,
        }
    }

    /// What kind of object it is.
    #[must_use]
    pub fn object_type(&self) -> Option<&Coded> {
        self.object_type.as_ref()
    }

    /// What kind of its kind.
    #[must_use]
    pub fn sub_type(&self) -> Option<&Coded> {
        self.sub_type.as_ref()
    }

    /// The jaw, where its name or its code is one.
    #[must_use]
    pub fn jaw(&self) -> Option<Jaw> {
        Jaw::of(self.jaw.as_ref()?.text())
    }

    /// The jaw as the manifest has it.
    #[must_use]
    pub fn jaw_id(&self) -> Option<&Coded> {
        self.jaw.as_ref()
    }

    /// The number of the tooth, 1 to 32 in the American way, if it is of one tooth.
    #[must_use]
    pub fn tooth(&self) -> Option<u8> {
        super::tooth::number(self.ada_id.as_deref()?)
    }

    /// The file's name as the manifest has it. It is foreign text, and no path: compare with
    /// it, by [`Manifest::object_of`](super::Manifest::object_of), and open the package's file.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.file_name.as_deref()
    }

    /// What no field took.
    #[must_use]
    pub fn extra(&self) -> &Element {
        &self.extra
    }

    /// Whether it is this file. Directories do not count, since a package may have a top
    /// folder that the manifest does not know, and capitals neither.
    pub(in super::super) fn names(&self, file: &PackedFile) -> bool {
        let named = self.file_name.as_deref();
        named.is_some_and(|named| {
            let last = named.rsplit(['/', '\\']).next().unwrap_or_default();
            last.eq_ignore_ascii_case(file.file_name())
        })
    }
}

/// Without the file's name, which may be a patient's.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("object_type", &self.object_type)
            .field("sub_type", &self.sub_type)
            .field("jaw", &self.jaw)
            .field("ada_id", &self.ada_id)
            .finish_non_exhaustive()
    }
}
