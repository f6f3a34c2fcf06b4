//! The manifest of a package: `iTero_Export_#<order id>_vNN.xml`.

mod date;
mod defines;
mod object;
#[cfg(test)]
mod tests;
mod tooth;

use std::fmt;
use std::time::SystemTime;

pub use self::date::Day;
pub use self::defines::Coded;
pub use self::object::Object;
pub use self::tooth::{Bridge, Tooth};

use self::defines::Defines;
use super::error::{Error, Reason, Result};
use super::file::PackedFile;
use super::jaw::Jaw;
use super::limits::Limits;
use super::xml::{self, Element};
use crate::model::OrderId;
use crate::sensitive::Sensitive;

/// What a manifest says about the case.
///
/// The form was seen in exports of the MyiTero portal and is documented nowhere; that the zip
/// of the API has the same is likely, not proved. So every field is optional, a field may be an
/// attribute or an element, the spelling of its name does not matter, and what no field took is
/// kept in [`Manifest::extra`].
///
/// What concerns people is [`Sensitive`]: the patient, the doctor and the licence, the chart
/// number, the notes. `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    version: Option<String>,
    order_id: Option<OrderId>,
    order_code: Option<String>,
    modeled: Option<bool>,
    patient: Option<Sensitive<String>>,
    chart_number: Option<Sensitive<String>>,
    doctor: Option<Sensitive<String>>,
    doctor_license: Option<Sensitive<String>>,
    lab_name: Option<String>,
    lab_id: Option<String>,
    due_date: Option<String>,
    export_time: Option<String>,
    utc_offset: Option<String>,
    procedure: Option<Coded>,
    teeth: Vec<Tooth>,
    bridges: Vec<Bridge>,
    notes: Option<Sensitive<String>>,
    objects: Vec<Object>,
    extra: Element,
}

impl Manifest {
    /// Reads a manifest, with the default limits, in the encoding that it declares. Signs that
    /// XML does not have become U+FFFD.
    ///
    /// # Errors
    ///
    /// [`Reason::Xml`] if it is not XML, [`Reason::Entities`] if it has a
    /// document type or entities, [`Reason::XmlTooLarge`] beyond the limits,
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
        let defines = Defines::read(section("rxdefines"));
        let objects = section("exportedobjects");
        let teeth = section("teeth");
        let bridges = section("bridges");

        let teeth = children(teeth, |tooth| Tooth::read(tooth, &defines));
        let bridges = children(bridges, |bridge| Bridge::read(bridge, &defines, &teeth));

        let mut field = |names: &[&str]| rx.take(names).or_else(|| root.take(names));
        let procedure = field(&["procedure"]).map(|text| ("procedure", text));
        let procedure =
            procedure.or_else(|| field(&["casetypename"]).map(|text| ("casetype", text)));
        let manifest = Manifest {
            version: field(&["version"]),
            order_id: field(&["orderid", "caseid"]).map(OrderId::from),
            order_code: field(&["ordercode"]),
            modeled: field(&["modeled"]).as_deref().and_then(yes_or_no),
            patient: field(&["patient"]).map(Sensitive::new),
            chart_number: field(&["chartnumber"]).map(Sensitive::new),
            doctor: field(&["doctor"]).map(Sensitive::new),
            doctor_license: field(&["doctorlicense"]).map(Sensitive::new),
            lab_name: field(&["labname"]),
            lab_id: field(&["labid"]),
            due_date: field(&["duedate"]),
            export_time: field(&["exporttime"]),
            utc_offset: field(&["utcoffset"]),
            notes: field(&["notes"]).map(Sensitive::new),
            procedure: procedure.map(|(name, code)| defines.resolve(name, code)),
            teeth,
            bridges,
            objects: children(objects, |object| Object::read(object, &defines)),
            extra: Element::default(),
        };
        if !rx.is_empty() {
            root.children.insert(0, rx);
        }
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

    /// The patient, as `Last, First`.
    #[must_use]
    pub fn patient(&self) -> Option<&Sensitive<String>> {
        self.patient.as_ref()
    }

    /// The patient's last and first name. What has no comma is a last name.
    #[must_use]
    pub fn patient_names(&self) -> Option<Sensitive<(&str, &str)>> {
        let patient = self.patient.as_ref()?.reveal();
        let (last, first) = patient.split_once(',').unwrap_or((patient, ""));
        Some(Sensitive::new((last.trim(), first.trim())))
    }

    /// The number of the patient's chart at the clinic.
    #[must_use]
    pub fn chart_number(&self) -> Option<&Sensitive<String>> {
        self.chart_number.as_ref()
    }

    /// The doctor.
    #[must_use]
    pub fn doctor(&self) -> Option<&Sensitive<String>> {
        self.doctor.as_ref()
    }

    /// The number of the doctor's licence: labs match a case to a customer by it.
    #[must_use]
    pub fn doctor_license(&self) -> Option<&Sensitive<String>> {
        self.doctor_license.as_ref()
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

    /// When the doctor wants the work, where the text can be read.
    #[must_use]
    pub fn due_date(&self) -> Option<Day> {
        self.due_date.as_deref().and_then(Day::parse)
    }

    /// The due date as it stands there, `MM/dd/yyyy`.
    #[must_use]
    pub fn due_date_text(&self) -> Option<&str> {
        self.due_date.as_deref()
    }

    /// When the package was made, if the time and its `UtcOffset` (in hours) can be read.
    #[must_use]
    pub fn export_time(&self) -> Option<SystemTime> {
        date::instant(self.export_time.as_deref()?, self.utc_offset.as_deref()?)
    }

    /// What is to be made: `Procedure`, or `CaseTypeName`.
    #[must_use]
    pub fn procedure(&self) -> Option<&Coded> {
        self.procedure.as_ref()
    }

    /// The teeth that the prescription is about.
    #[must_use]
    pub fn teeth(&self) -> &[Tooth] {
        &self.teeth
    }

    /// The bridges.
    #[must_use]
    pub fn bridges(&self) -> &[Bridge] {
        &self.bridges
    }

    /// The doctor's notes: free text, so what is in it is not known.
    #[must_use]
    pub fn notes(&self) -> Option<&Sensitive<String>> {
        self.notes.as_ref()
    }

    /// The files that were exported.
    #[must_use]
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The files of one jaw.
    pub fn objects_of(&self, jaw: Jaw) -> impl Iterator<Item = &Object> {
        let objects = self.objects.iter();
        objects.filter(move |object| object.jaw() == Some(jaw))
    }

    /// What the manifest says about a file of the package.
    #[must_use]
    pub fn object_of(&self, file: &PackedFile) -> Option<&Object> {
        self.objects.iter().find(|object| object.names(file))
    }

    /// The root with all that no field took.
    #[must_use]
    pub fn extra(&self) -> &Element {
        &self.extra
    }
}

/// Without anything about people.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("version", &self.version)
            .field("order_id", &self.order_id)
            .field("modeled", &self.modeled)
            .field("due_date", &self.due_date)
            .field("procedure", &self.procedure)
            .field("teeth", &self.teeth)
            .field("bridges", &self.bridges)
            .field("objects", &self.objects)
            .field("extra", &self.extra)
            .finish_non_exhaustive()
    }
}

fn children<T>(section: Option<Element>, read: impl Fn(Element) -> T) -> Vec<T> {
    let children = section.map(|section| section.children).unwrap_or_default();
    children.into_iter().map(read).collect()
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
