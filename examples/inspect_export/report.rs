//! A line for each thing that is there.

use std::io::{Result, Write};

use lab_connector::Sensitive;
use lab_connector::export::{Contents, Manifest, PackedFile};

pub fn manifest(out: &mut impl Write, manifest: &Manifest, patient_data: bool) -> Result<()> {
    let shown = |value: Option<Sensitive<&str>>| match value {
        None => "-".to_owned(),
        Some(value) if patient_data => format!("{:?}", value.reveal()),
        Some(value) => value.to_string(),
    };
    writeln!(
        out,
        "manifest version: {}",
        manifest.version().unwrap_or("-")
    )?;
    let order = manifest.order_id().map_or("-", |id| id.as_str());
    writeln!(out, "order id: {order:?}")?;
    let rx = manifest.prescription();
    writeln!(out, "patient: {}", shown(rx.patient()))?;
    writeln!(out, "doctor: {}", shown(rx.doctor()))?;
    writeln!(out, "doctor's licence: {}", shown(rx.doctor_license()))?;
    writeln!(out, "notes: {}", shown(rx.notes()))?;
    writeln!(out, "due: {:?}", rx.due().unwrap_or("-"))?;
    writeln!(out, "procedure: {:?}", rx.procedure().unwrap_or("-"))?;
    for tooth in rx.teeth() {
        let number = tooth
            .number()
            .map_or("?".to_owned(), |number| number.to_string());
        write!(out, "tooth {number}:")?;
        for (name, value) in tooth.fields() {
            write!(out, " {name}={value:?}")?;
        }
        writeln!(out)?;
    }
    for bridge in rx.bridges() {
        writeln!(out, "bridge: {bridge:?}")?;
    }
    Ok(())
}

pub fn contents(out: &mut impl Write, contents: &Contents<'_>, patient_data: bool) -> Result<()> {
    // Foreign text: quoted, so that it cannot move the cursor of a terminal.
    let line = |out: &mut dyn Write, what: &str, file: &PackedFile| {
        let name = match patient_data {
            true => format!("{:?}", file.name()),
            false => format!("entry {}", file.index()),
        };
        writeln!(out, "{what}: {name}, {} bytes", file.size())
    };
    for surface in &contents.surfaces {
        let jaw = surface.jaw().map_or("no jaw", |jaw| jaw.as_str());
        let kind = surface.kind().unwrap_or("unknown");
        line(out, &format!("surface ({jaw}, {kind:?})"), surface.file())?;
    }
    for file in &contents.textures {
        line(out, "texture", file)?;
    }
    for file in &contents.rx {
        line(out, "prescription", file)?;
    }
    for file in &contents.manifests {
        let version = file
            .version()
            .map_or("?".to_owned(), |version| version.to_string());
        line(out, &format!("manifest (v{version})"), file)?;
    }
    for file in &contents.others {
        line(out, "other", file)?;
    }
    if !contents.missing.is_empty() {
        writeln!(
            out,
            "missing: {} files that the manifest names",
            contents.missing.len()
        )?;
    }
    Ok(())
}
