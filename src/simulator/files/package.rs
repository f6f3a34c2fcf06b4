//! What is in the zip of a simulated case: the shape of portal exports.
//!
//! It has what exports are known to have, oddities among them: top folders, `__MACOSX`, names in
//! capitals, four manifests. Software that reads a simulated package should be surprised by no real
//! one.

use std::fmt::Write as _;

use super::Files;
use crate::simulator::prescription::Procedure;

/// What is in an entry. Meshes are made when they are wanted: their length is known.
pub(super) enum Content {
    Bytes(Vec<u8>),
    Stl { seed: u64, side: f32 },
    Ply { seed: u64, side: f32 },
}

impl Content {
    pub(super) fn len(&self) -> usize {
        match self {
            Content::Bytes(bytes) => bytes.len(),
            // Binary STL: 80 bytes of header, 4 of count, 50 for each triangle.
            Content::Stl { .. } => 84 + 50 * FACES,
            Content::Ply { .. } => ply_header().len() + 12 * POINTS + 13 * FACES,
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Content::Bytes(bytes) => bytes,
            Content::Stl { seed, side } => Arch::new(seed, side).stl(),
            Content::Ply { seed, side } => Arch::new(seed, side).ply(),
        }
    }
}

/// The entries of a package, in order: a name, and the content. The same for the same case and
/// revision.
pub(super) fn entries(files: &Files) -> Vec<(String, Content)> {
    let (number, revision) = (files.number, files.revision);
    // Another revision has another mesh, so that files that were mixed up are found.
    let seed = number ^ (u64::from(revision) << 48);
    // Packages are flat, or have a top folder, or litter besides.
    let (folder, litter) = match number % 3 {
        0 => (String::new(), false),
        1 => (format!("iTero_Export_{number}/"), false),
        _ => (format!("iTero_Export_{number}/"), true),
    };
    let mut entries = Vec::new();
    if litter {
        let name = format!("__MACOSX/{folder}._{number}_UpperJaw.stl");
        entries.push((name, Content::Bytes(vec![0, 5, 22, 7])));
    }
    let mut add = |name: String, content| entries.push((format!("{folder}{name}"), content));
    for (jaw, side) in [("UpperJaw", 1.0), ("LowerJaw", -1.0)] {
        add(format!("{number}_{jaw}.stl"), Content::Stl { seed, side });
        add(format!("{number}_{jaw}.ply"), Content::Ply { seed, side });
    }
    // Four manifests side by side, as exports have them: software must take the highest.
    for (suffix, version) in [
        ("v10", "1.0"),
        ("v24", "2.4"),
        ("v30", "3.0"),
        ("v50", "5.0"),
    ] {
        // The case of the name varies.
        let prefix = if number.is_multiple_of(2) {
            "iTero_Export"
        } else {
            "ITERO_Export"
        };
        let name = format!("{prefix}_#{number}_{suffix}.xml");
        add(name, Content::Bytes(manifest(files, version).into_bytes()));
    }
    add(
        format!("iTero_Rx_{number}.pdf"),
        Content::Bytes(pdf(number)),
    );
    entries
}

/// A band of triangles along an arch, a little different for each seed.
struct Arch {
    points: Vec<[f32; 3]>,
    side: f32,
}

/// How many times the band is divided: a mesh of some 15 kB, large enough for several pieces of an
/// answer.
const STEPS: u32 = 150;
const FACES: usize = 2 * STEPS as usize;
const POINTS: usize = FACES + 2;

fn ply_header() -> String {
    format!(
        "ply\nformat binary_little_endian 1.0\ncomment lab-connector: a mesh\n\
         element vertex {POINTS}\nproperty float x\nproperty float y\nproperty float z\n\
         element face {FACES}\nproperty list uchar int vertex_indices\nend_header\n",
    )
}

impl Arch {
    fn new(seed: u64, side: f32) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let points = (0..=STEPS).flat_map(|step| {
            let angle = std::f32::consts::PI * step as f32 / STEPS as f32;
            let radius = 30.0 + random.f32();
            let (x, y) = (radius * angle.cos(), radius * angle.sin());
            [[x, y, 0.0], [x, y, side * 8.0]]
        });
        Arch {
            points: points.collect(),
            side,
        }
    }

    /// Neighbours share points, and all faces look outwards.
    fn triangles(&self) -> impl Iterator<Item = [u32; 3]> + '_ {
        (0..STEPS).flat_map(|step| {
            let at = 2 * step;
            let faces = [[at, at + 2, at + 1], [at + 1, at + 2, at + 3]];
            let outwards = |[a, b, c]: [u32; 3]| {
                if self.side > 0.0 {
                    [a, b, c]
                } else {
                    [a, c, b]
                }
            };
            faces.map(outwards)
        })
    }

    /// Binary STL: a header, a count, and for each triangle a normal, three corners and two
    /// bytes.
    fn stl(&self) -> Vec<u8> {
        let mut stl = vec![0; 80];
        stl[..21].copy_from_slice(b"lab-connector: a mesh");
        stl.extend_from_slice(&(2 * STEPS).to_le_bytes());
        for triangle in self.triangles() {
            let corners = triangle.map(|at| self.points[at as usize]);
            let [a, b, c] = corners;
            for value in [normal(corners), a, b, c].as_flattened() {
                stl.extend_from_slice(&value.to_le_bytes());
            }
            stl.extend_from_slice(&[0, 0]);
        }
        stl
    }

    /// Binary PLY: a header in text, then points and faces.
    fn ply(&self) -> Vec<u8> {
        let mut ply = ply_header().into_bytes();
        for value in self.points.iter().flatten() {
            ply.extend_from_slice(&value.to_le_bytes());
        }
        for triangle in self.triangles() {
            // Each face is a list with its own length.
            ply.push(3);
            for at in triangle {
                ply.extend_from_slice(&at.to_le_bytes());
            }
        }
        ply
    }
}

/// Of length one.
fn normal([a, b, c]: [[f32; 3]; 3]) -> [f32; 3] {
    let along = |to: [f32; 3]| [to[0] - a[0], to[1] - a[1], to[2] - a[2]];
    let (u, v) = (along(b), along(c));
    let cross = [
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    ];
    // Not zero: no triangle of the arch is flat.
    let length = cross.iter().map(|value| value * value).sum::<f32>().sqrt();
    cross.map(|value| value / length)
}

/// The manifest of a case: its own patient, order, doctor, due date and teeth.
fn manifest(files: &Files, version: &str) -> String {
    let Files {
        number,
        revision,
        about,
    } = files;
    let rx = &about.prescription;
    // The first versions called it otherwise.
    let id = if version < "3.0" { "CaseId" } else { "OrderID" };
    let modeled = about.modeled;
    let text = escaped;
    let mut teeth = String::new();
    for tooth in &rx.teeth {
        let kind = match (rx.procedure, tooth.pontic) {
            (Procedure::Abutment, _) => 3,
            (_, true) => 2,
            _ => 1,
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            teeth,
            r#"      <Tooth AdaId="{}" ToothType="{kind}" Shade="{}"/>"#,
            tooth.ada, tooth.shade
        );
    }
    let bridges = if rx.procedure == Procedure::Bridge {
        let teeth = rx.teeth.iter();
        let teeth = teeth.map(|tooth| format!(r#"<Tooth AdaId="{}"/>"#, tooth.ada));
        let teeth: String = teeth.collect();
        format!("<Bridges><Bridge>{teeth}</Bridge></Bridges>")
    } else {
        "<Bridges/>".to_owned()
    };
    let mut procedures = String::new();
    for procedure in Procedure::ALL {
        let (id, name) = (procedure.id(), procedure.name());
        // Writing to a String does not fail.
        let _ = write!(procedures, r#"<Procedure Id="{id}" Name="{name}"/>"#);
    }
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?>
<iTeroExport Version="{version}">
  <RxInfo>
    <{id}>{number}</{id}>
    <OrderCode>SIM-{number}-{revision}</OrderCode>
    <Modeled>{modeled}</Modeled>
    <Patient>{last}, {first}</Patient>
    <ChartNumber>{chart}</ChartNumber>
    <Doctor>{doctor}</Doctor>
    <DoctorLicense>{licence}</DoctorLicense>
    <LabName>{lab}</LabName>
    <LabID>{account}</LabID>
    <DueDate>{due}</DueDate>
    <ExportTime>{exported}</ExportTime>
    <UtcOffset>+00:00</UtcOffset>
    <Procedure>{procedure}</Procedure>
    <Teeth>
{teeth}    </Teeth>
    {bridges}
    <Notes>{notes}</Notes>
  </RxInfo>
  <RxDefines>
    <Procedures>{procedures}</Procedures>
    <ToothTypes><ToothType Id="1" Name="Crown"/><ToothType Id="2" Name="Pontic"/><ToothType Id="3" Name="Abutment"/></ToothTypes>
    <Jaws><Jaw Id="1" Name="Upper"/><Jaw Id="2" Name="Lower"/></Jaws>
    <ObjectTypes><ObjectType Id="1" Name="Jaw"/></ObjectTypes>
  </RxDefines>
  <ExportedObjects>
    <Object ObjectType="1" JawId="1" FileName="{number}_UpperJaw.stl"/>
    <Object ObjectType="1" JawId="1" FileName="{number}_UpperJaw.ply"/>
    <Object ObjectType="1" JawId="2" FileName="{number}_LowerJaw.stl"/>
    <Object ObjectType="1" JawId="2" FileName="{number}_LowerJaw.ply"/>
  </ExportedObjects>
</iTeroExport>
"#,
        last = text(&rx.patient.last_name),
        first = text(&rx.patient.first_name),
        chart = rx.chart,
        doctor = rx.doctor.name,
        licence = rx.doctor.licence,
        lab = text(&about.lab),
        account = text(&about.account),
        due = date(rx.due(about.created), "%m/%d/%Y"),
        exported = date(about.modified, "%m/%d/%Y %H:%M:%S"),
        procedure = rx.procedure.id(),
        notes = rx.notes,
    )
}

/// Names from outside may hold anything.
fn escaped(text: &str) -> String {
    // XML 1.0 has hardly any control characters, not even as references.
    let legal = |c: &char| !c.is_control();
    let mut safe = String::with_capacity(text.len());
    for c in text.chars().filter(legal) {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            c => safe.push(c),
        }
    }
    safe
}

fn date(time: std::time::SystemTime, format: &str) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| time.strftime(format).to_string())
        .unwrap_or_default()
}

/// One page with one line.
fn pdf(number: u64) -> Vec<u8> {
    let line = format!("BT /F1 18 Tf 72 720 Td (Simulated Rx of order {number}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{line}\nendstream", line.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut pdf = "%PDF-1.4\n".to_owned();
    // Twenty bytes for each object, and the one that no file has.
    let mut table = "0000000000 65535 f \n".to_owned();
    for (at, object) in objects.iter().enumerate() {
        // Writing to a String does not fail.
        let _ = writeln!(table, "{:010} 00000 n ", pdf.len());
        let _ = write!(pdf, "{} 0 obj\n{object}\nendobj\n", at + 1);
    }
    let (start, count) = (pdf.len(), objects.len() + 1);
    let _ = write!(
        pdf,
        "xref\n0 {count}\n{table}trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    );
    pdf.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meshes_are_what_their_headers_say() {
        let arch = Arch::new(7, 1.0);
        let stl = arch.stl();
        assert_eq!(stl.len(), 80 + 4 + 300 * 50);
        let float = |at: usize| f32::from_le_bytes(stl[at..at + 4].try_into().unwrap());
        for triangle in 0..300 {
            let at = 84 + triangle * 50;
            let length: f32 = (0..3).map(|n| float(at + 4 * n).powi(2)).sum();
            assert!((length - 1.0).abs() < 1e-3, "{triangle}: {length}");
        }
        let ply = arch.ply();
        let end = b"end_header\n";
        let header = ply.windows(end.len()).position(|w| w == end).unwrap() + end.len();
        let text = std::str::from_utf8(&ply[..header]).unwrap();
        assert!(text.contains("element vertex 302\n") && text.contains("element face 300\n"));
        assert_eq!(ply.len() - header, 302 * 12 + 300 * 13);
        assert!(arch.triangles().flatten().all(|at| at < 302));
    }

    #[test]
    fn the_pdf_finds_its_objects() {
        let pdf = String::from_utf8(pdf(7)).unwrap();
        let tail = pdf.split("startxref\n").nth(1).unwrap();
        let start: usize = tail.lines().next().unwrap().parse().unwrap();
        let mut lines = pdf[start..].lines();
        assert_eq!((lines.next(), lines.next()), (Some("xref"), Some("0 6")));
        for (at, line) in lines.take(6).enumerate().skip(1) {
            let offset: usize = line[..10].parse().unwrap();
            assert!(pdf[offset..].starts_with(&format!("{at} 0 obj\n")));
            assert_eq!(line.len(), 19, "with its newline twenty");
        }
        let stream = pdf.split("stream\n").nth(1).unwrap();
        let length = stream.split("\nend").next().unwrap().len();
        assert!(pdf.contains(&format!("/Length {length} ")));
    }
}
