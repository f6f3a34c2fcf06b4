//! The manifest of a package: `iTero_Export_#<order id>_vNN.xml`.
//!
//! *Problem.* The form is not documented and differs by version: a field is an attribute here and
//! an element there, at the root or within the prescription.
//!
//! *Approach.* Each field is taken out of the tree wherever it is. What is left over is kept as it
//! is, so that no statement of the manifest is lost.

mod date;
mod defines;
mod object;
#[cfg(test)]
mod tests;
mod tooth;

use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};

pub(super) use self::object::Object;

use self::defines::CodeTables;
use super::error::{Error, Reason, Result};
use super::limits::Limits;
use super::xml::{self, Element};
use crate::model::{self, OrderId, Prescription};

/// What a manifest says about the case.
///
/// The form was seen in exports of the MyiTero portal and is documented nowhere; that the zip
/// of the API has the same is likely, not proved. So every field is optional, a field may be an
/// attribute or an element, the spelling of its name does not matter, and what no field took is
/// kept in [`Manifest::extra`].
///
/// What it says about people is in its [`Prescription`], as before the download in that of the order,
/// and in what it says besides. `Debug` shows none of it. What it says about files is in
/// [`Contents`](super::Contents).
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    version: Option<String>,
    order_id: Option<OrderId>,
    order_code: Option<String>,
    modeled: Option<bool>,
    lab_name: Option<String>,
    lab_id: Option<String>,
    export_time: Option<String>,
    utc_offset: Option<String>,
    prescription: Prescription,
    objects: Vec<Object>,
    extra: Element,
}

impl Manifest {
    /// Reads a manifest, with the default limits, in the encoding that it declares. Signs that
    /// XML does not have become U+FFFD; `&` stays as it is written where it begins no reference of
    /// XML's own.
    ///
    /// # Errors
    ///
    /// [`Reason::Xml`] if it is not XML, [`Reason::Entities`] if it has a
    /// document type, [`Reason::XmlTooLarge`] beyond the limits,
    /// [`Reason::NotAManifest`] if its root is not `iTeroExport`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Manifest::parse_within(bytes, &Limits::default())
    }

    /// Reads a manifest, with limits of your own.
    ///
    /// # Errors
    ///
    /// As [`Manifest::parse`].
    pub fn parse_within(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let mut root = xml::parse(bytes, limits)?;
        if !root.is("iteroexport") {
            return Err(Error::new(Reason::NotAManifest));
        }
        let mut rx = root.take_child("rxinfo").unwrap_or_default();
        // Where they stand, at the root or with the prescription, may differ by version.
        let mut section = |name| root.take_child(name).or_else(|| rx.take_child(name));
        // Before the fields that need them.
        let defines = CodeTables::read(section("rxdefines"));
        // Taken out of the tree: what stays in it at the end is `extra`.
        let sections = [
            section("teeth"),
            section("bridges"),
            section("exportedobjects"),
        ];
        let [mut teeth, mut bridges, mut objects] = sections.map(Option::unwrap_or_default);
        let read_teeth = tooth::teeth(&mut teeth, &defines);
        let read_bridges = tooth::bridges(&mut bridges, &defines, &read_teeth);
        let read_objects = objects.children.iter_mut();
        let read_objects = read_objects
            .map(|object| Object::read(object, &defines))
            .collect();

        // Like a section, a field may be in either place.
        let mut field = |names: &[&str]| rx.take(names).or_else(|| root.take(names));
        let procedure = field(&["procedure"]).map(|text| ("procedure", text));
        let procedure =
            // The code is then one of another table, so the field's own name goes along.
            procedure.or_else(|| field(&["casetypename"]).map(|text| ("casetype", text)));
        let modeled_text = field(&["modeled"]);
        let modeled = modeled_text.as_deref().and_then(yes_or_no);
        let manifest = Manifest {
            version: field(&["version"]),
            order_id: field(&["orderid", "caseid"]).map(OrderId::from),
            order_code: field(&["ordercode"]),
            modeled,
            lab_name: field(&["labname"]),
            lab_id: field(&["labid"]),
            export_time: field(&["exporttime"]),
            utc_offset: field(&["utcoffset"]),
            prescription: Prescription {
                patient: field(&["patient"]),
                chart_number: field(&["chartnumber"]),
                doctor: field(&["doctor"]),
                doctor_license: field(&["doctorlicense"]),
                due: field(&["duedate"]).map(model::day),
                procedure: procedure.map(|(name, code)| defines.resolve(name, code)),
                teeth: read_teeth.into_iter().map(|(tooth, _)| tooth).collect(),
                bridges: read_bridges,
                notes: field(&["notes"]),
            },
            objects: read_objects,
            extra: Element::default(),
        };
        // A text that says neither must not be lost.
        root.put_back("Modeled", modeled_text.filter(|_| modeled.is_none()));
        // What is left of each section.
        let rest = [rx, teeth, bridges, objects].map(|mut section| {
            // What was taken out leaves empty elements behind.
            section.children.retain(|child| !child.is_empty());
            section
        });
        let rest = rest.into_iter().filter(|section| !section.is_empty());
        root.children.extend(rest);
        Ok(Manifest {
            extra: root,
            ..manifest
        })
    }

    /// The version that the root names, such as `5.0`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The order id: `OrderID`, or `CaseId`.
    #[must_use]
    pub fn order_id(&self) -> Option<&OrderId> {
        self.order_id.as_ref()
    }

    /// The order's code.
    #[must_use]
    pub fn order_code(&self) -> Option<&str> {
        self.order_code.as_deref()
    }

    /// Whether the case went through modeling.
    #[must_use]
    pub fn is_modeled(&self) -> Option<bool> {
        self.modeled
    }

    /// What the doctor prescribed.
    #[must_use]
    pub fn prescription(&self) -> &Prescription {
        &self.prescription
    }

    /// The lab's name.
    #[must_use]
    pub fn lab_name(&self) -> Option<&str> {
        self.lab_name.as_deref()
    }

    /// The lab's id.
    #[must_use]
    pub fn lab_id(&self) -> Option<&str> {
        self.lab_id.as_deref()
    }

    /// When the package was made, if the time and its `UtcOffset` (in hours) can be read.
    #[must_use]
    pub fn export_time(&self) -> Option<SystemTime> {
        date::instant(self.export_time.as_deref()?, self.utc_offset.as_deref()?)
    }

    /// The files that were exported.
    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// What no field took, by names: attributes, and elements with what is in them; of several with one
    /// name a list, and a text beside others by the name `text`. It may hold patient data.
    #[must_use]
    pub fn extra(&self) -> Map<String, Value> {
        self.extra.to_map()
    }
}

/// Without anything about people.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("version", &self.version)
            .field("order_id", &self.order_id)
            .field("modeled", &self.modeled)
            .field("prescription", &self.prescription)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "1", "yes"]) {
        Some(true)
    } else if is(["false", "0", "no"]) {
        Some(false)
    } else {
        None
    }
}
