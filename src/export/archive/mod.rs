//! Opening an archive without trusting it.
//!
//! *Problem.* Programs read a zip in different ways. An archive can show one content to a virus
//! scanner and another one here, claim more than memory holds, or name places outside of the
//! target.
//!
//! *Approach.* Everything that can be known without decompressing is checked when the archive is
//! opened: its end, the count, each name, each header. One bad entry refuses the whole.
//! Decompressing then counts what really comes, since sizes are only claims. Nothing must be
//! written or returned before these checks.

mod directory;
mod headers;
mod meter;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use self::meter::Meter;
use super::error::{Error, Reason, Result};
use super::file::PackedFile;
use super::limits::Limits;
use super::manifest::Manifest;
use super::name::{self, NameRegistry};
use crate::access::Access;
use crate::zip_end::{self, Edges, End};

/// A downloaded package, checked from end to end; nothing of it is decompressed yet.
///
/// Reading blocks. In async code use it inside `tokio::task::spawn_blocking`.
///
/// ```no_run
/// use lab_connector::export::Package;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut package = Package::open("case.zip")?;
/// for file in package.files() {
///     println!("{}", file.name());
/// }
/// package.extract_to("case")?; // all files or none
/// # Ok(())
/// # }
/// ```
pub struct Package<R> {
    archive: ZipArchive<Meter<R>>,
    limits: Limits,
    files: Vec<PackedFile>,
    /// The directories that have an entry of their own.
    pub(super) directories: Vec<String>,
    pub(super) access: Access,
}

impl Package<BufReader<File>> {
    /// Opens a file, with the default limits.
    ///
    /// # Errors
    ///
    /// [`Error::is_package`] if it is not a package that can be trusted, and
    /// [`Error::is_hostile`] if it looks like an attack; [`Reason::Io`] if the file cannot be
    /// read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Package::open_within(path, Limits::default())
    }

    /// Opens a file, with limits of your own.
    ///
    /// # Errors
    ///
    /// As [`Package::open`].
    pub fn open_within(path: impl AsRef<Path>, limits: Limits) -> Result<Self> {
        let file = File::open(path).map_err(Error::io)?;
        if !file.metadata().map_err(Error::io)?.is_file() {
            // A pipe would never end, and a directory has no bytes.
            return Err(Error::new(Reason::NotAnArchive).with_detail("it is no file"));
        }
        Package::read_within(BufReader::new(file), limits)
    }
}

impl<R: Read + Seek> Package<R> {
    /// Reads an archive from memory, say, with the default limits. It makes many small reads:
    /// put a [`BufReader`] around what is slow.
    ///
    /// # Errors
    ///
    /// As [`Package::open`].
    pub fn from_reader(reader: R) -> Result<Self> {
        Package::read_within(reader, Limits::default())
    }

    /// Reads an archive, with limits of your own.
    ///
    /// # Errors
    ///
    /// As [`Package::open`].
    pub fn read_within(mut reader: R, limits: Limits) -> Result<Self> {
        // Before the zip crate sees the archive: it reserves memory for the count that is claimed.
        directory::check_count(&mut reader, limits.entries)?;
        // Before it too: the zip crate falls back to earlier end records.
        let start_of_directory = prove_end(&mut reader)?;
        let (reader, budget) = Meter::new(reader, meter::budget(&limits));
        // Where the archive begins is not for guessing: readers would guess differently.
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let archive = ZipArchive::with_config(config, reader).map_err(|error| {
            // The zip crate reports the reader's error as a broken archive.
            if budget.is_spent() {
                return Error::new(Reason::TooManyEntries);
            }
            zip_error(error, Reason::NotAnArchive)
        })?;
        // The count that was checked before may have been of a record that the crate did not take.
        if archive.len() > limits.entries {
            return Err(Error::new(Reason::TooManyEntries));
        }
        if archive.central_directory_start() != start_of_directory {
            // It fell back to another end record than the last one.
            return Err(Error::new(Reason::SecondEnd));
        }
        // From here on entries are read, which have limits of their own.
        budget.lift();
        let mut package = Package {
            archive,
            limits,
            files: Vec::new(),
            directories: Vec::new(),
            access: Access::default(),
        };
        // All names before all headers: a name that is refused says more than a header that
        // differs.
        package.plan()?;
        let claims = package.claims()?;
        // The library does not lend the reader: it is taken back, and the directory is read a second
        // time.
        let mut reader = package.archive.into_inner();
        headers::compare(&mut reader, claims, start_of_directory)?;
        let archive = ZipArchive::with_config(config, reader);
        Ok(Package {
            archive: archive.map_err(|error| zip_error(error, Reason::NotAnArchive))?,
            ..package
        })
    }

    /// Whether other users may read what is extracted, as the umask allows. Default: no, the modes
    /// are 0600 and 0700. On Windows the directory's access list decides.
    #[must_use]
    pub fn shared_files(mut self, shared: bool) -> Self {
        self.access = Access::of(shared);
        self
    }

    /// What is to be extracted, if every entry is harmless.
    fn plan(&mut self) -> Result<()> {
        // The crate keeps only one of two equal names, so they cannot be seen below.
        if self.archive.has_duplicate_names() {
            return Err(Error::new(Reason::Duplicate));
        }
        let mut taken = NameRegistry::default();
        let mut bytes = 0_u64;
        for index in 0..self.archive.len() {
            let entry = self.archive.by_index_data(index);
            let entry = entry.map_err(|error| zip_error(error, Reason::NotAnArchive))?;
            let original = entry.name_raw();
            let raw = entry.name();
            let raw = raw.map_err(|error| zip_error(error, Reason::BadName))?;
            // The library then reads it in code page 437, as the format says. Japanese and Chinese
            // programs wrote theirs, and nothing says which
            // (`names_in_unknown_code_pages_are_kept_beside_safe_ones`).
            let is_guess = std::str::from_utf8(original).is_err();
            let refused = |reason| Error::new(reason).at(index, &raw);

            if entry.encrypted() {
                return Err(refused(Reason::Encrypted));
            }
            let deflate = entry.compression() == CompressionMethod::Deflated;
            // Only these two are in exports. Others would need more code that reads foreign bytes.
            if !deflate && entry.compression() != CompressionMethod::Stored {
                return Err(refused(Reason::Compression));
            }
            // Judged after the name, so that the error has the more telling reason.
            let kind = kind_of(entry.external_attributes());
            let name = name::read(&raw, is_guess, &self.limits).map_err(refused)?;
            let kind = kind.map_err(refused)?;
            let Some(mut name) = name else { continue };
            // A file that is a directory by its mode: programs would make different things of it.
            if kind.is_some_and(|directory| directory != name.directory) {
                return Err(refused(Reason::Special));
            }
            taken.take(&mut name).map_err(refused)?;

            // The sum is of claims; `Decompressor` counts again what really comes.
            bytes = bytes.saturating_add(entry.size());
            if bytes > self.limits.bytes {
                return Err(refused(Reason::TooLarge));
            }
            if grows_too_much(entry.size(), entry.compressed_size(), &self.limits) {
                return Err(refused(Reason::Ratio));
            }
            // A directory with content: some programs would write it as a file.
            if name.directory && entry.size() > 0 {
                return Err(refused(Reason::Special));
            }
            // After all checks, so that litter cannot hide an attack.
            if super::contents::is_litter(&name.path) {
                continue;
            }
            if name.directory {
                self.directories.push(name.path);
            } else {
                let file = PackedFile::new(index, name.path, entry.size());
                self.files.push(file.with_original_name(original));
            }
        }
        Ok(())
    }

    /// What the central directory says of each entry.
    fn claims(&self) -> Result<Vec<headers::CentralEntry>> {
        let claim = |index| {
            let entry = self.archive.by_index_data(index);
            let entry = entry.map_err(|error| zip_error(error, Reason::NotAnArchive))?;
            Ok(headers::CentralEntry {
                index,
                // `plan` has read all names before; one that fails now would only lack in the
                // error.
                name: entry.name().unwrap_or_default().into_owned(),
                central: entry.central_header_start(),
                start: entry.header_start(),
                crc: entry.crc32(),
                compressed: entry.compressed_size(),
                size: entry.size(),
            })
        };
        (0..self.archive.len()).map(claim).collect()
    }

    /// The files, in the order of the archive. Litter (`__MACOSX`, `._…`, `.DS_Store`,
    /// `Thumbs.db`, `desktop.ini`) is checked like all else and then left out.
    #[must_use]
    pub fn files(&self) -> &[PackedFile] {
        &self.files
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Decompresses a file into memory. Meshes may have hundreds of megabytes.
    ///
    /// # Errors
    ///
    /// [`Reason::Damaged`], [`Reason::Ratio`] or [`Reason::TooLarge`] if it is not what its
    /// header says; [`Reason::NoSuchFile`] for another package's file.
    pub fn read(&mut self, file: &PackedFile) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.copy(file, &mut bytes)?;
        Ok(bytes)
    }

    /// Decompresses a file into a writer, and returns how many bytes it has. What was written
    /// before an error is worth nothing.
    ///
    /// # Errors
    ///
    /// As [`Package::read`], and [`Reason::Io`] if the writer fails.
    pub fn copy(&mut self, file: &PackedFile, to: &mut impl Write) -> Result<u64> {
        // The index of another package's file would be that of some other entry here.
        if !self.files.contains(file) {
            return Err(Error::new(Reason::NoSuchFile));
        }
        let mut pour = Decompressor::new(&self.limits);
        self.pour(file, to, &mut pour)
    }

    pub(super) fn pour(
        &mut self,
        file: &PackedFile,
        to: &mut impl Write,
        pour: &mut Decompressor,
    ) -> Result<u64> {
        let entry = self.archive.by_index(file.index());
        let poured = match entry {
            Ok(entry) => pour.pour(entry, to),
            Err(error) => Err(zip_error(error, Reason::Damaged)),
        };
        poured.map_err(|error| error.at(file.index(), file.name()))
    }

    /// Reads the manifest with the highest version, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Package::read`]; [`Reason::Xml`], [`Reason::Entities`], [`Reason::XmlTooLarge`] or
    /// [`Reason::NotAManifest`] if it cannot be read. The files can be extracted all the same.
    pub fn manifest(&mut self) -> Result<Option<Manifest>> {
        let newest = self.files.iter().filter(|file| file.version().is_some());
        // Of equals the first one: `max_by_key` would take the last.
        let Some(newest) = newest.rev().max_by_key(|file| file.version()).cloned() else {
            return Ok(None);
        };
        // Before it is decompressed into memory.
        if newest.size() > self.limits.manifest_bytes {
            return Err(Error::new(Reason::XmlTooLarge).at(newest.index(), newest.name()));
        }
        let bytes = self.read(&newest)?;
        let manifest = Manifest::parse_within(&bytes, &self.limits);
        manifest
            .map(Some)
            .map_err(|error| error.at(newest.index(), newest.name()))
    }
}

/// Without names, which may be those of patients.
impl<R> fmt::Debug for Package<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Package")
            .field("files", &self.files.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Where the central directory begins, by the last end record that reaches the end of the file.
/// The check of a download asks the same question.
fn prove_end(reader: &mut (impl Read + Seek)) -> Result<u64> {
    let length = reader.seek(SeekFrom::End(0)).map_err(Error::io)?;
    // `take` yields less at the end of a short file, which `Edges` copes with.
    let mut read = |at: u64, most: usize| {
        let mut bytes = Vec::new();
        reader.seek(SeekFrom::Start(at))?;
        reader.by_ref().take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let first = read(0, 4).map_err(Error::io)?;
    let last = length.saturating_sub(zip_end::END as u64);
    let last = read(last, zip_end::END).map_err(Error::io)?;
    match Edges::of(first, last, length).end() {
        End::Proves { directory } => Ok(directory),
        End::Missing => Err(Error::new(Reason::NotAnArchive)),
        End::LeadingBytes => Err(Error::new(Reason::LeadingBytes)),
        End::Ambiguous => Err(Error::new(Reason::SecondEnd)),
        End::Contradicts => {
            Err(Error::new(Reason::NotAnArchive).with_detail("its end contradicts the file"))
        }
    }
}

/// Whether the attributes say that it is a directory or a file; none if they say nothing.
fn kind_of(attributes: u32) -> Result<Option<bool>, Reason> {
    // `FILE_ATTRIBUTE_REPARSE_POINT`.
    const LINK_OF_WINDOWS: u32 = 0x400;
    // The mode of Unix is believed whatever system the entry claims to come from: so would
    // another program, perhaps.
    match (attributes >> 16) & 0o170_000 {
        // The file types of `st_mode`: a link, a directory, a regular file.
        0o120_000 => Err(Reason::Symlink),
        _ if attributes & LINK_OF_WINDOWS != 0 => Err(Reason::Symlink),
        0o040_000 => Ok(Some(true)),
        0o100_000 => Ok(Some(false)),
        0 => Ok(None),
        _ => Err(Reason::Special),
    }
}

fn grows_too_much(bytes: u64, compressed: u64, limits: &Limits) -> bool {
    // A scanned page that is white is a bomb by its ratio, and an honest file of some megabytes. The docs of
    // `Limits::ratio` state this number.
    const FREE: u64 = 64 << 20;
    bytes > FREE && bytes > compressed.saturating_mul(u64::from(limits.ratio))
}

/// Decompresses, and counts what really comes.
pub(super) struct Decompressor {
    limits: Limits,
    left: u64,
    buffer: Vec<u8>,
}

impl Decompressor {
    pub(super) fn new(limits: &Limits) -> Self {
        Decompressor {
            limits: *limits,
            left: limits.bytes,
            // One buffer for all files of a package: a new one for each would be zeroed each time.
            buffer: vec![0; 256 << 10],
        }
    }

    fn pour<R: Read>(&mut self, mut entry: ZipFile<'_, R>, to: &mut impl Write) -> Result<u64> {
        let mut written = 0_u64;
        loop {
            let count = match entry.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(read_error(error)),
            };
            written += count as u64;
            // Across all files of the package: many small bombs are one large one.
            self.left = self
                .left
                .checked_sub(count as u64)
                .ok_or_else(|| Error::new(Reason::TooLarge))?;
            if grows_too_much(written, entry.compressed_size(), &self.limits) {
                return Err(Error::new(Reason::Ratio));
            }
            // After the counts: no byte beyond a limit reaches the writer.
            to.write_all(&self.buffer[..count]).map_err(Error::io)?;
        }
        // A second proof beside the checksum, which the crate compares.
        if written != entry.size() {
            return Err(Error::new(Reason::Damaged).with_detail("its length is another"));
        }
        Ok(written)
    }
}

/// A checksum or a length that is wrong, or bytes that mean nothing, come as these kinds.
fn read_error(error: io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => Error::new(Reason::Damaged),
        _ => Error::io(error),
    }
}

/// What the library says only if it is a fixed text: others have names in them.
fn zip_error(error: ZipError, otherwise: Reason) -> Error {
    use std::borrow::Cow::Borrowed;
    match error {
        ZipError::Io(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => Error::new(otherwise),
            _ => Error::io(error),
        },
        ZipError::InvalidArchive(Borrowed(text)) | ZipError::UnsupportedArchive(text) => {
            let text = text.trim_start_matches("header inconsistency detected: ");
            Error::new(otherwise).with_detail(text)
        }
        _ => Error::new(otherwise),
    }
}
