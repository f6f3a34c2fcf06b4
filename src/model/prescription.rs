//! What the doctor prescribed, for whom, and until when.
//!
//! *Problem.* Neither the order nor the manifest documents it, and both hold it in different forms.
//! *Approach.* One type for both, so that a lab matches a case in the same way before and after the
//! download. Everything about people is `Sensitive`; `Debug` must not show it.

use std::fmt;

use jiff::civil::Date;
use serde_json::{Map, Value};

use super::time::WireTime;
use super::tooth_number::{self, tooth_number};
use crate::key::same_key;
use crate::sensitive::Sensitive;

/// The prescription of a case: what a lab matches the case by, before the download
/// ([`Order::prescription`](super::Order::prescription)) and after it (`Manifest::prescription` of the
/// feature `export`). Both say the same in the same form.
///
/// Neither is documented. The names are those of public exports of the MyiTero portal (`patient`,
/// `chartNumber`, `doctor`, `doctorLicense`, `dueDate`, `procedure`, `teeth`, `bridges`, `notes`), and
/// that the JSON of the service has them too is a convention of ours: what it calls otherwise is in
/// [`Order::extra`](super::Order::extra). So every field is optional.
///
/// It is patient data. What names a person, and the notes, are [`Sensitive`]; due date, procedure and
/// teeth are plain, and print where you print them. `Debug` shows the numbers of teeth alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Prescription {
    pub(crate) patient: Option<String>,
    pub(crate) chart_number: Option<String>,
    pub(crate) doctor: Option<String>,
    pub(crate) doctor_license: Option<String>,
    pub(crate) due: Option<String>,
    pub(crate) procedure: Option<String>,
    pub(crate) teeth: Vec<Tooth>,
    pub(crate) bridges: Vec<Vec<u8>>,
    pub(crate) notes: Option<String>,
}

impl Prescription {
    /// The patient, as `Last, First`.
    #[must_use]
    pub fn patient(&self) -> Option<Sensitive<&str>> {
        self.patient.as_deref().map(Sensitive::new)
    }

    /// The patient's last and first name. What has no comma is a last name.
    #[must_use]
    pub fn patient_names(&self) -> Option<Sensitive<(&str, &str)>> {
        let patient = self.patient.as_deref()?;
        let (last, first) = patient.split_once(',').unwrap_or((patient, ""));
        Some(Sensitive::new((last.trim(), first.trim())))
    }

    /// The number of the patient's chart at the clinic.
    #[must_use]
    pub fn chart_number(&self) -> Option<Sensitive<&str>> {
        self.chart_number.as_deref().map(Sensitive::new)
    }

    /// The doctor's name.
    #[must_use]
    pub fn doctor(&self) -> Option<Sensitive<&str>> {
        self.doctor.as_deref().map(Sensitive::new)
    }

    /// The number of the doctor's licence: labs match a case to a customer by it.
    #[must_use]
    pub fn doctor_license(&self) -> Option<Sensitive<&str>> {
        self.doctor_license.as_deref().map(Sensitive::new)
    }

    /// The day when the doctor wants the work, as `2026-03-14`, in no particular time zone. A text that
    /// is no date is returned as it came.
    #[must_use]
    pub fn due(&self) -> Option<&str> {
        self.due.as_deref()
    }

    /// What is to be made, by its name; by its code where the service has no name for it.
    #[must_use]
    pub fn procedure(&self) -> Option<&str> {
        self.procedure.as_deref()
    }

    /// The teeth that the prescription is about.
    ///
    /// In an order a range such as `14-16` names all of them. A text with a range that would mean other
    /// teeth in the system of the FDI (`18-21`), or goes from jaw to jaw, names none; it is in
    /// [`Order::extra`](super::Order::extra). Convention.
    #[must_use]
    pub fn teeth(&self) -> &[Tooth] {
        &self.teeth
    }

    /// The bridges, each as the numbers of the teeth that it goes over.
    ///
    /// In a manifest: from `FromAdaId` to `ToAdaId`, and each `AdaId` in it; where there are none, the
    /// teeth whose `BridgeID` it is. Seen in exports, not documented.
    #[must_use]
    pub fn bridges(&self) -> &[Vec<u8>] {
        &self.bridges
    }

    /// The doctor's notes: free text, so what is in it is not known.
    #[must_use]
    pub fn notes(&self) -> Option<Sensitive<&str>> {
        self.notes.as_deref().map(Sensitive::new)
    }

    /// From the fields of an order that have no accessor of their own.
    pub(super) fn of_order(extra: &Map<String, Value>) -> Self {
        // An order may carry it in an object of its own.
        let inner = find(extra, &["prescription", "rxinfo"]).and_then(Value::as_object);
        let field = |names: &[&str]| {
            // The order's own field first.
            find(extra, names).or_else(|| inner.and_then(|inner| find(inner, names)))
        };
        let list = |names: &[&str]| match field(names) {
            Some(Value::Array(entries)) => entries.as_slice(),
            // A service that has one entry may leave out the list.
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        let patient = field(&["patient", "patientname"]);
        let doctor = field(&["doctor", "doctorname"]);
        let of = |object: Option<&Value>, names: &[&str]| {
            find(object?.as_object()?, names).and_then(text)
        };
        Prescription {
            // An object or a text: `name` reads both.
            patient: patient.and_then(name),
            chart_number: of(patient, &["chartnumber"])
                // Inside of the patient first: there it is certainly the patient's.
                .or_else(|| field(&["chartnumber"]).and_then(text)),
            doctor: doctor.and_then(name),
            doctor_license: of(doctor, LICENSE).or_else(|| field(LICENSE).and_then(text)),
            due: field(&["duedate", "due"]).and_then(text).map(day),
            procedure: field(&["procedure", "casetypename"]).and_then(name),
            teeth: list(&["teeth"]).iter().flat_map(Tooth::of_json).collect(),
            bridges: list(&["bridges"]).iter().map(bridge).collect(),
            notes: field(&["notes"]).and_then(text),
        }
    }
}

/// The numbers of its teeth, and nothing else.
impl fmt::Debug for Prescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prescription")
            .field("teeth", &self.teeth)
            .field("bridges", &self.bridges)
            .finish_non_exhaustive()
    }
}

/// A tooth that a prescription is about.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tooth {
    pub(crate) number: Option<u8>,
    pub(crate) fields: Vec<(String, String)>,
}

impl Tooth {
    /// Its number, 1 to 32 in the American way.
    #[must_use]
    pub fn number(&self) -> Option<u8> {
        self.number
    }

    /// What is said of it by names, such as what is made of which material. Which names there are
    /// depends on the version and on the procedure. A code is returned as the name that the manifest's
    /// own tables have for it.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.fields.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One of them; capitals, `_` and `-` in the name do not matter.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let plain = name.chars().filter(|c| !matches!(c, '_' | '-'));
        let name: String = plain.map(|c| c.to_ascii_lowercase()).collect();
        let found = self.fields().find(|(key, _)| same_key(key, &name));
        found.map(|(_, value)| value)
    }

    /// A number, a text with numbers, or an object.
    fn of_json(value: &Value) -> Vec<Tooth> {
        let Some(object) = value.as_object() else {
            return numbers(value).into_iter().map(Tooth::with_number).collect();
        };
        let is_number = |key: &str| NUMBER.iter().any(|name| same_key(key, name));
        let number = find(object, NUMBER).and_then(text);
        let number = number.and_then(|text| tooth_number(&text));
        let fields = object.iter().filter_map(|(key, value)| {
            // The number has an accessor. Where it cannot be read it stays among the fields.
            let shown = number.is_none() || !is_number(key);
            Some((key.clone(), name(value).filter(|_| shown)?))
        });
        vec![Tooth {
            number,
            fields: fields.collect(),
        }]
    }

    fn with_number(number: u8) -> Self {
        Tooth {
            number: Some(number),
            fields: Vec::new(),
        }
    }
}

/// Its number and the names of its fields, and no values: some are free text.
impl fmt::Debug for Tooth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("Tooth")
            .field("number", &self.number)
            .field("fields", &fields)
            .finish()
    }
}

/// What goes by the number of a tooth.
const NUMBER: &[&str] = &["adaid", "number", "tooth", "toothnumber"];

/// What goes by a licence; both spellings are English.
const LICENSE: &[&str] = &[
    "doctorlicense",
    "doctorlicensenumber",
    "licensenumber",
    "license",
    "licencenumber",
    "licence",
];

/// A day as `2026-03-14`, if the text is one: American (`03/14/2026`), or a time as the service writes
/// times. Of a time with an offset it is the day that is written there.
pub(crate) fn day(text: String) -> String {
    // The first part is the date, also of a time with a zone: that is the day that the doctor
    // wrote.
    let written = text.split([' ', 'T']).find(|part| !part.is_empty());
    let written = written.and_then(|part| american(part).or_else(|| part.parse().ok()));
    let date = written.or_else(|| {
        let time: jiff::Timestamp = WireTime::parse(text.as_str()).time()?.try_into().ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).date())
    });
    date.map_or(text, |date: Date| date.to_string())
}

/// Reads `MM/dd/yyyy`.
pub(crate) fn american(text: &str) -> Option<Date> {
    let mut parts = text.split('/');
    let mut number = || {
        parts
            .next()
            // `parse` would take a sign.
            .filter(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let (month, day, year) = (number()?, number()?, number()?);
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    // A fourth part makes it something else.
    date.ok().filter(|_| parts.next().is_none())
}

/// The value with the best of these names that is not null.
fn find<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| {
        let mut members = object.iter();
        // A null says nothing: another name may have the value.
        let found = members.find(|(key, value)| same_key(key, name) && !value.is_null());
        found.map(|(_, value)| value)
    })
}

/// A text that says something, or a number.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    (!text.is_empty()).then_some(text)
}

/// A name: as a text, or as an object that has it whole or in parts.
fn name(value: &Value) -> Option<String> {
    let Some(object) = value.as_object() else {
        return text(value);
    };
    let part = |names: &[&str]| find(object, names).and_then(text);
    let whole = || part(&["name", "fullname", "displayname", "text", "code", "id"]);
    match (
        part(&["lastname", "familyname"]),
        part(&["firstname", "givenname"]),
    ) {
        (Some(last), Some(first)) => Some(format!("{last}, {first}")),
        // With one part only, a field that has the whole name is better.
        (last, first) => whole().or(last).or(first),
    }
}

/// The teeth of a bridge: a list, or an object that has one.
fn bridge(value: &Value) -> Vec<u8> {
    let teeth = value
        .as_object()
        .and_then(|bridge| find(bridge, &["teeth"]));
    let teeth = match teeth.unwrap_or(value) {
        Value::Array(teeth) => teeth.as_slice(),
        one => std::slice::from_ref(one),
    };
    let teeth = teeth.iter().flat_map(Tooth::of_json);
    teeth.filter_map(|tooth| tooth.number).collect()
}

/// The numbers of teeth in a number or in a text such as `14, 15` or `14-16`.
fn numbers(value: &Value) -> Vec<u8> {
    // Another shape has no numbers in it.
    let text = text(value).unwrap_or_default();
    tooth_number::listed(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Prescription {
        Prescription::of_order(value.as_object().unwrap())
    }

    #[test]
    fn one_prescription_in_several_shapes() {
        for value in [
            json!({
                "patient": {"firstName": "Erika", "lastName": "Muster", "chartNumber": 77},
                "doctor": {"name": "Dr. Canary", "licenseNumber": "LIC-1"},
                "dueDate": "2026-03-14T00:00:00+02:00",
                "procedure": {"id": 2, "name": "Bridge"},
                "teeth": [3, "4", {"AdaId": 5}], "bridges": [[3, 4, 5]], "notes": " Call. ",
            }),
            json!({
                "Patient": "Muster, Erika", "chart_number": "77",
                "doctor": "Dr. Canary", "doctor_license": "LIC-1", "due": "03/14/2026 00:00:00",
                "caseTypeName": "Bridge", "teeth": "3, 4, 5", "bridges": {"teeth": [3, 4, 5]},
                "notes": "Call.", "procedure": null,
            }),
            json!({"prescription": {
                "patientName": "Muster, Erika", "chartNumber": "77", "doctorName": "Dr. Canary",
                "doctorLicenseNumber": "LIC-1", "dueDate": 1_773_480_413, "procedure": "Bridge",
                "teeth": [{"tooth": 3}, {"number": "4"}, 5], "bridges": ["3,4,5"], "notes": "Call.",
            }}),
        ] {
            let read = read(value);
            assert_eq!(read.patient().map(|p| *p.reveal()), Some("Muster, Erika"));
            assert_eq!(
                read.patient_names().map(|p| *p.reveal()),
                Some(("Muster", "Erika"))
            );
            assert_eq!(read.chart_number().map(|c| *c.reveal()), Some("77"));
            assert_eq!(read.doctor().map(|d| *d.reveal()), Some("Dr. Canary"));
            assert_eq!(read.doctor_license().map(|l| *l.reveal()), Some("LIC-1"));
            assert_eq!(read.due(), Some("2026-03-14"));
            assert_eq!(read.procedure(), Some("Bridge"));
            let teeth: Vec<_> = read.teeth().iter().map(Tooth::number).collect();
            assert_eq!(teeth, [Some(3), Some(4), Some(5)]);
            assert_eq!(read.bridges(), [[3, 4, 5]]);
            assert_eq!(read.notes().map(|n| *n.reveal()), Some("Call."));
        }
    }

    #[test]
    fn what_is_not_there_or_of_another_shape_is_none() {
        let odd = json!({
            "patient": [1], "doctor": true, "teeth": [99, null, {}], "bridges": [null],
            "notes": "  ", "procedure": {}, "dueDate": "tomorrow",
        });
        let read = read(odd);
        assert!(read.patient().is_none() && read.patient_names().is_none());
        assert!(read.doctor().is_none() && read.notes().is_none() && read.procedure().is_none());
        assert_eq!(read.due(), Some("tomorrow"), "as it came");
        assert_eq!(
            read.teeth(),
            [Tooth::default()],
            "an object that says nothing"
        );
        assert_eq!(read.bridges(), [[0_u8; 0]]);
        assert_eq!(
            super::Prescription::of_order(&Map::new()),
            Prescription::default()
        );
    }

    #[test]
    fn a_range_is_of_teeth_and_of_a_bridge() {
        let range = read(json!({ "teeth": "14-16", "bridges": ["14-16"] }));
        let teeth: Vec<_> = range.teeth().iter().map(Tooth::number).collect();
        assert_eq!(teeth, [Some(14), Some(15), Some(16)]);
        assert_eq!(range.bridges(), [[14, 15, 16]]);
        // What means other teeth in another system is left to a person, who finds it in `Order::extra`.
        let other = read(json!({ "teeth": "18-21" }));
        assert!(other.teeth().is_empty());
    }

    #[test]
    fn a_tooth_keeps_its_fields() {
        let read = read(
            json!({"teeth": [{"toothNumber": 14, "shade": "A2", "material": {"name": "Zirconia"}, "x": null}]}),
        );
        let tooth = &read.teeth()[0];
        assert_eq!(tooth.number(), Some(14));
        assert_eq!(tooth.field("Shade"), Some("A2"));
        assert_eq!(tooth.field("mate-rial"), Some("Zirconia"));
        assert_eq!(tooth.fields().count(), 2);
    }

    #[test]
    fn days_are_read() {
        for (text, expected) in [
            ("03/14/2026", "2026-03-14"),
            (" 3/4/2026 00:00:00", "2026-03-04"),
            ("2026-03-14", "2026-03-14"),
            ("2026-03-14T23:30:00-05:00", "2026-03-14"),
            ("1773480413000", "2026-03-14"),
            ("Sat, 14 Mar 2026 09:26:53 GMT", "2026-03-14"),
            ("14/03/2026", "14/03/2026"),
            ("02/30/2026", "02/30/2026"),
            ("1/2/3/4", "1/2/3/4"),
            ("+1/2/3", "+1/2/3"),
            ("", ""),
        ] {
            assert_eq!(day(text.to_owned()), expected, "{text}");
        }
    }

    #[test]
    fn nothing_about_people_is_printed() {
        let read = read(json!({
            "patient": "canary", "doctor": "canary", "notes": "canary", "procedure": "canary",
            "dueDate": "canary", "teeth": [{"number": 1, "remark": "canary"}],
        }));
        assert!(!format!("{read:?} {read:#?}").contains("canary"));
    }
}
