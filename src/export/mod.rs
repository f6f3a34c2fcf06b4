//! The package of a case: whose it is, which teeth, due when, and its files.
//!
//! *Problem.* A case arrives as a zip of meshes, images, a prescription and manifests. The lab wants to
//! know whose it is and what to make of it. And the zip comes over the internet, is opened by a program
//! with rights on the lab's network, and its names become files: it can name files outside, hide a link,
//! grow to fill the disk, or show one content to a virus scanner and another one to you.
//!
//! *Default.* [`Package::manifest`] reads the prescription, and [`Contents`] sorts the files.
//! [`Package::open`] checks every entry before anything is decompressed, and refuses the archive as a
//! whole with a [`Reason`]: an export has no business with links, absolute names or headers that
//! contradict each other. [`Package::extract_to`] writes all files or none. *When to change it.* A case
//! that is larger than an honest one ever was: [`Limits`].
//!
//! ```
//! use lab_connector::export::{Contents, Jaw, Package};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("case.zip");
//! # let mut zip = zip::ZipWriter::new(std::fs::File::create(&path)?);
//! # zip.start_file("123_UpperJaw.stl", zip::write::SimpleFileOptions::default())?;
//! # zip.finish()?;
//! # let target = directory.path().join("case");
//! let mut package = Package::open(&path)?;
//! let manifest = package.manifest()?;
//! if let Some(manifest) = &manifest {
//!     let rx = manifest.prescription();
//!     // A name prints as `(not shown)`; `reveal` is the text.
//!     let (patient, due) = (rx.patient().map(|name| name.reveal().to_owned()), rx.due());
//!     let teeth: Vec<_> = rx.teeth().iter().map(|tooth| tooth.number()).collect();
//! }
//!
//! let contents = Contents::of(package.files(), manifest.as_ref());
//! let upper: Vec<_> = contents.surfaces_of(Jaw::Upper).collect();
//! assert_eq!(upper.len(), 1);
//!
//! package.extract_to(&target)?;
//! assert!(target.join(package.files()[0].name()).is_file());
//! # Ok(())
//! # }
//! ```
//!
//! # What is in a package
//!
//! Seen in exports of the MyiTero portal, documented nowhere; that the zip of the API is the same
//! is likely, not proved. `iTero_Export_<order id>.zip`, or `OrthoCAD_Export_<order id>.zip` for
//! orthodontic cases ([`package_order_id`]). Flat, or with one top folder, sometimes with `__MACOSX`
//! litter. Meshes as STL and PLY; images; `iTero_Rx_<order id>.pdf`; and manifests side by side,
//! `iTero_Export_#<order id>_v10.xml` to `_v50.xml`; [`Package::manifest`] reads the
//! highest. [`Manifest`] says what is in it.
//!
//! # What it does not do
//!
//! It does not look into meshes, images and PDFs. Whoever can write into the directory beside
//! the target while a package is extracted can do harm there anyway.
//!
//! # Archives that are not what they seem
//!
//! The tests make each of these, and look that nothing was written outside of the target and
//! that nothing is left after a refusal. A refusal is a [`Reason`]. What is refused for its end
//! (`NotAnArchive`, `LeadingBytes`, `SecondEnd`) is not downloaded either.
//!
#![doc = include_str!("hostile.md")]
//!
//! Composed and decomposed accents are not compared beforehand: files are created only where
//! there is none, so where a file system takes two names for one, that is a
//! [`Reason::Clash`] when extracting.

mod archive;
mod contents;
mod error;
mod extract;
mod file;
mod jaw;
mod limits;
mod manifest;
mod name;
mod xml;

pub use archive::Package;
pub use contents::{Contents, Surface, package_order_id};
pub use error::{Error, Reason, Result};
pub use file::PackedFile;
pub use jaw::Jaw;
pub use limits::Limits;
pub use manifest::Manifest;
