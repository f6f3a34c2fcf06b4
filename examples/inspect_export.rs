//! What is in this zip? Opens the package of a case without trusting it.
//!
//! ```text
//! cargo run --features export,simulator --example inspect_export -- iTero_Export_123456789.zip
//! ```
//!
//! Without a path it takes a package from the simulator. `--extract DIR` writes the files into a
//! new directory. What concerns people is shown with `--patient-data` only: names of files may
//! be names of patients, too.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use lab_connector::export::{Contents, Package, PackedFile, package_order_id};
use lab_connector::simulator::Simulator;

#[path = "common/mod.rs"]
mod common;
#[path = "inspect_export/report.rs"]
mod report;
#[path = "common/simulated.rs"]
mod simulated;

/// Says what is in the zip of a case.
#[derive(Parser)]
#[command(name = "inspect_export")]
struct Arguments {
    /// The zip [default: one from the simulator].
    zip: Option<PathBuf>,
    /// Extract the files into this directory, which must not be there yet.
    #[arg(long, value_name = "DIR")]
    extract: Option<PathBuf>,
    /// Show names of files, patient and doctor, and notes.
    #[arg(long)]
    patient_data: bool,
}

fn main() -> ExitCode {
    common::run(|arguments: Arguments| async move { run(&arguments).await })
}

async fn run(arguments: &Arguments) -> Result<()> {
    let Some(zip) = &arguments.zip else {
        let directory = tempfile::tempdir()?;
        let zip = simulated(directory.path()).await?;
        return inspect(&zip, arguments);
    };
    inspect(zip, arguments)
}

fn inspect(zip: &Path, arguments: &Arguments) -> Result<()> {
    let mut package = Package::open(zip).with_context(|| format!("{}", zip.display()))?;
    let mut out = Vec::new();
    let name = zip.file_name().and_then(|name| name.to_str());
    if let Some(id) = name.and_then(package_order_id) {
        writeln!(out, "export of order {id}")?;
    }
    // The files are worth something without it.
    let manifest = match package.manifest() {
        Ok(manifest) => manifest,
        Err(error) => {
            writeln!(out, "manifest: {error}")?;
            None
        }
    };
    if let Some(manifest) = &manifest {
        report::manifest(&mut out, manifest, arguments.patient_data)?;
    }
    let files: Vec<PackedFile> = package.files().to_vec();
    let contents = Contents::of(&files, manifest.as_ref());
    report::contents(&mut out, &contents, arguments.patient_data)?;
    if let Some(directory) = &arguments.extract {
        package
            .extract_to(directory)
            .with_context(|| format!("cannot extract to {}", directory.display()))?;
        let bytes: u64 = files.iter().map(PackedFile::size).sum();
        writeln!(out, "extracted: {} files, {bytes} bytes", files.len())?;
    }
    match io::stdout().write_all(&out) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot write the report"),
    }
}

/// A doctor scans, and the lab downloads: in the simulator.
async fn simulated(directory: &Path) -> Result<PathBuf> {
    let service = Simulator::start().await?;
    let client = simulated::client(&service).build()?;
    let login = simulated::sign_in(&client, &service, "inspect_export").await?;
    let lab = login.pair("L-1").await?;
    service.scan("L-1")?;
    let listing = lab.orders().list().await?;
    let order = listing.orders().first().context("nothing is listed")?;
    let asset = order.assets().iter().find(|asset| asset.is_export());
    let asset = asset.context("the order has no package")?;
    let zip = directory.join(format!("iTero_Export_{}.zip", order.id()));
    lab.download(order, asset).to_file(&zip).await?;
    Ok(zip)
}
