//! What a doctor wrote: made of a case's number when somebody asks, from small lists of our own.
//!
//! Names of people must be our own and of nobody. One generator draws all of it in a fixed order: a
//! draw more in the middle changes every prescription after it.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::randomness::{Randomness, Stream};

/// A prescription. The same for the same seed and number.
#[derive(Clone)]
pub(super) struct Prescription {
    pub(super) patient: Patient,
    pub(super) chart: String,
    pub(super) doctor: Doctor,
    pub(super) procedure: Procedure,
    /// ADA numbers, 1 to 32, in order; neighbours that are bridged are next to each other.
    pub(super) teeth: Vec<Tooth>,
    /// Days between prescription and due date.
    pub(super) days: u64,
    pub(super) notes: String,
}

/// Names of our own; no patient bears them on purpose.
#[derive(Clone)]
pub(super) struct Patient {
    pub(super) first_name: String,
    pub(super) last_name: String,
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patient")
    }
}

#[derive(Clone)]
pub(super) struct Doctor {
    pub(super) name: &'static str,
    pub(super) licence: String,
    pub(super) clinic: &'static str,
}

#[derive(Clone, Copy)]
pub(super) struct Tooth {
    pub(super) ada: u32,
    pub(super) shade: &'static str,
    /// A tooth of a bridge without a tooth below it.
    pub(super) pontic: bool,
}

/// What is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Procedure {
    Crown,
    Bridge,
    Abutment,
}

impl Procedure {
    pub(super) const ALL: [Procedure; 3] =
        [Procedure::Crown, Procedure::Bridge, Procedure::Abutment];

    /// The id in the scanning tool and in manifests.
    pub(super) fn id(self) -> u32 {
        self as u32 + 1
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Procedure::Crown => "Crown",
            Procedure::Bridge => "Bridge",
            Procedure::Abutment => "Implant abutment",
        }
    }
}

const FIRST: [&str; 12] = [
    "Alva", "Bruno", "Celia", "Dario", "Edith", "Fabio", "Greta", "Hugo", "Ines", "Jonas", "Klara",
    "Levin",
];
const LAST: [&str; 7] = [
    "Ashgrove",
    "Birkwood",
    "Calloway",
    "Dunmore",
    "Eastlake",
    "Fernhill",
    "Greystone",
];
const DOCTORS: [(&str, &str); 6] = [
    ("Dr. Ada Hollybrook", "Hollybrook Dental"),
    ("Dr. Piet Juniperson", "Dental Practice at the Mill"),
    ("Dr. Rosa Kestrelman", "Kestrelman and Partners"),
    ("Dr. Tomas Larkfield", "Riverside Smiles"),
    ("Dr. Uma Mossbridge", "Mossbridge Family Dentistry"),
    ("Dr. Viktor Nettlecombe", "Harbour Dental Clinic"),
];
const SHADES: [&str; 6] = ["A1", "A2", "A3", "B1", "B2", "C2"];
const NOTES: [&str; 5] = [
    "",
    "Please call before starting.",
    "Light contact to the neighbours.",
    "Shade as in the photographs.",
    "The margin is slightly below the gum.",
];

impl Prescription {
    /// The procedure may have been asked for.
    pub(super) fn of(randomness: Randomness, number: u64, asked: Option<Procedure>) -> Self {
        let mut rng = randomness.nth(Stream::People, number);
        let (name, clinic) = DOCTORS[rng.usize(..DOCTORS.len())];
        let patient = Patient {
            first_name: FIRST[rng.usize(..FIRST.len())].to_owned(),
            last_name: LAST[rng.usize(..LAST.len())].to_owned(),
        };
        let doctor = Doctor {
            name,
            licence: licence(name),
            clinic,
        };
        // Drawn even if one was asked for: otherwise all that follows would be another draw.
        let drawn = Procedure::ALL[rng.usize(..Procedure::ALL.len())];
        let procedure = asked.unwrap_or(drawn);
        let count = match procedure {
            Procedure::Crown => rng.u32(1..=2),
            Procedure::Bridge => rng.u32(3..=4),
            Procedure::Abutment => 1,
        };
        // Within one jaw, and no wisdom tooth.
        let first = if rng.bool() { 2 } else { 18 } + rng.u32(..=14 - count);
        let shade = SHADES[rng.usize(..SHADES.len())];
        let teeth = (0..count).map(|at| Tooth {
            ada: first + at,
            shade,
            pontic: procedure == Procedure::Bridge && at > 0 && at + 1 < count,
        });
        Prescription {
            teeth: teeth.collect(),
            chart: format!("CH-{:05}", rng.u32(..100_000)),
            days: rng.u64(5..=15),
            notes: NOTES[rng.usize(..NOTES.len())].to_owned(),
            patient,
            doctor,
            procedure,
        }
    }
}

impl Prescription {
    /// When it is due, if it was prescribed then.
    pub(super) fn due(&self, prescribed: SystemTime) -> SystemTime {
        prescribed + Duration::from_secs(self.days * 24 * 60 * 60)
    }
}

/// A doctor has the same licence in every case.
fn licence(doctor: &str) -> String {
    // Not `DefaultHasher`, which may change between releases of Rust.
    let sum = doctor.bytes().fold(7u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    format!("DDS-{:06}", sum % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prescription_is_that_of_its_number_and_makes_sense() {
        let randomness = Randomness::new(3);
        for number in 0..500 {
            let one = Prescription::of(randomness, number, None);
            let same = Prescription::of(randomness, number, None);
            assert_eq!(one.chart, same.chart);
            assert_eq!(one.patient.last_name, same.patient.last_name);
            let teeth: Vec<_> = one.teeth.iter().map(|tooth| tooth.ada).collect();
            assert!(teeth.windows(2).all(|two| two[1] == two[0] + 1));
            let jaw = |ada| match ada {
                2..=15 => 1,
                18..=31 => 2,
                _ => panic!("{ada}"),
            };
            assert!(teeth.iter().all(|ada| jaw(*ada) == jaw(teeth[0])));
            let pontics = one.teeth.iter().filter(|tooth| tooth.pontic).count();
            let bridged = one.procedure == Procedure::Bridge;
            assert_eq!(pontics, if bridged { teeth.len() - 2 } else { 0 });
        }
        let licences: std::collections::BTreeSet<_> =
            DOCTORS.iter().map(|(name, _)| licence(name)).collect();
        assert_eq!(licences.len(), DOCTORS.len());
    }
}
