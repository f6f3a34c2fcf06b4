//! Why a package was not read.
//!
//! *Problem.* What a caller does depends on what is wrong: download again, look for an attack, or free
//! the disk. And names in a package may be those of patients.
//!
//! *Approach.* One table of reasons, with the text of each and whether an honest program makes such a
//! package. `Display` and `Debug` must not show anything of the archive's but numbers.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// The result of working on a package.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a package was not read, or not extracted.
///
/// A type of its own, apart from [`lab_connector::Error`](crate::Error): that one speaks about
/// calls (operation, attempts, whether a request was sent), and none of it means anything for
/// a file on a disk. What a caller does with a bad package depends on *what* is wrong with it,
/// and that is [`Error::reason`].
///
/// Neither `Display` nor `Debug` holds a name from the archive, since names may be those of
/// patients; they name the entry's number. [`Error::entry_name`] is the name.
pub struct Error {
    reason: Reason,
    entry: Option<usize>,
    name: Option<Box<str>>,
    /// Texts of ours or of the libraries', never of the archive's.
    // `'static`, so that the compiler keeps the archive's texts out of logs.
    detail: Option<&'static str>,
    source: Option<io::Error>,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident, $hostile:literal, $text:literal;)*) => {
        /// What is wrong with a package.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The name as the code spells it, for logs and tables.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => stringify!($name),)*
                }
            }

            /// Whether an honest program does not make such a package: keep it for a look, and
            /// do not try again.
            #[must_use]
            pub fn is_hostile(self) -> bool {
                match self {
                    $(Reason::$name => $hostile,)*
                }
            }

            fn text(self) -> &'static str {
                match self {
                    $(Reason::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// It is not a zip archive, or only a part of one; or it is split over several files.
    NotAnArchive, false, "this is not a whole zip archive";
    /// There are bytes before the first entry: a program that extracts itself, or another archive.
    /// Programs would not agree about what is in it.
    LeadingBytes, false, "something stands before its first entry";
    /// Behind its end is the end of another archive, in a comment for example: programs would
    /// not agree about which counts.
    SecondEnd, true, "it has two ends";
    /// An entry is encrypted.
    Encrypted, false, "it is encrypted";
    /// An entry is compressed in a way other than *stored* and *deflate*.
    Compression, false, "it is compressed in a way that is not supported";
    /// There are more entries than [`Limits::entries`](super::Limits::entries), or their
    /// headers are larger than so many headers are.
    TooManyEntries, true, "there are too many entries";
    /// The entries have more than [`Limits::bytes`](super::Limits::bytes) together, by their
    /// headers or in truth.
    TooLarge, true, "it is too large";
    /// An entry grows by more than [`Limits::ratio`](super::Limits::ratio): a bomb.
    Ratio, true, "it grows too much";
    /// A name is longer than [`Limits::name_bytes`](super::Limits::name_bytes).
    NameTooLong, true, "its name is too long";
    /// A path has more parts than [`Limits::depth`](super::Limits::depth).
    TooDeep, true, "its path is too deep";
    /// A name begins at a drive or a server. One slash before a name is left out.
    Absolute, true, "its name is absolute";
    /// A name has a part `..`.
    Traversal, true, "its name leads outside";
    /// A name is that of a device on Windows, such as `NUL`.
    ReservedName, true, "its name is reserved";
    /// A name has control characters or any of `<>:"|?*`, an empty part, or a part that ends
    /// with a dot or a space.
    BadName, true, "its name cannot be that of a file";
    /// Two entries have the same name.
    Duplicate, true, "two entries have the same name";
    /// Two names are one where capitals do not count, or a file is where a directory should be.
    Clash, true, "its name clashes with that of another entry";
    /// An entry is a symbolic link, wherever it leads.
    Symlink, true, "it is a symbolic link";
    /// An entry is a device, a pipe or a socket.
    Special, true, "it is not a file";
    /// The header of an entry and the central directory say different things, or an entry is
    /// missing there: programs would not agree about what is in the archive.
    HeaderMismatch, true, "headers contradict each other";
    /// Entries share bytes.
    Overlap, true, "entries overlap";
    /// What comes out has another length or checksum than the header says, or cannot be
    /// decompressed.
    Damaged, false, "it is damaged";
    /// The manifest is not XML.
    Xml, false, "the manifest is not well-formed";
    /// The manifest has a document type, which can define entities.
    Entities, true, "the manifest has a document type";
    /// The manifest is larger or deeper than the limits.
    XmlTooLarge, true, "the manifest is too large";
    /// The XML is of another kind.
    NotAManifest, false, "the XML is not an export manifest";
    /// The file belongs to another package.
    NoSuchFile, false, "there is no such file in this package";
    /// There is something at the place to extract to.
    TargetExists, false, "the directory to extract to is there already";
    /// Reading the archive or writing files failed; [`source`](std::error::Error::source) says
    /// why.
    Io, false, "reading or writing failed";
}

impl Error {
    pub(super) fn new(reason: Reason) -> Self {
        Error {
            reason,
            entry: None,
            name: None,
            detail: None,
            source: None,
        }
    }

    pub(super) fn io(source: io::Error) -> Self {
        Error {
            source: Some(source),
            ..Error::new(Reason::Io)
        }
    }

    pub(super) fn at(mut self, entry: usize, name: &str) -> Self {
        // The innermost place is the right one: an outer caller must not replace it.
        self.entry.get_or_insert(entry);
        self.name.get_or_insert_with(|| name.into());
        self
    }

    pub(super) fn with_detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Which entry of the archive is at fault, counted from 0 in the order of the central
    /// directory, if it is one.
    #[must_use]
    pub fn entry(&self) -> Option<usize> {
        self.entry
    }

    /// The name of the entry, as the archive has it. It may hold a patient's name, and any
    /// character: for a person who looks into the matter, not for a log, and never a path.
    #[must_use]
    pub fn entry_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether an honest program does not make such a package. Keep the file for a look; do
    /// not try again.
    #[must_use]
    pub fn is_hostile(&self) -> bool {
        self.reason.is_hostile()
    }

    /// Whether the package is not what it should be, hostile or not: downloading it anew may
    /// help where it is [`Reason::NotAnArchive`] or [`Reason::Damaged`]. Otherwise the fault is
    /// with the disk or the call.
    #[must_use]
    pub fn is_package(&self) -> bool {
        !matches!(
            self.reason,
            Reason::Io | Reason::TargetExists | Reason::NoSuchFile
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = self.entry {
            write!(f, "entry {entry}: ")?;
        }
        f.write_str(self.reason.text())?;
        if let Some(detail) = self.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

/// Without the name.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("reason", &self.reason)
            .field("entry", &self.entry)
            .field("detail", &self.detail)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_told_only_when_asked_for() {
        let error = Error::new(Reason::Traversal).at(3, "../Doe, Jane.stl");
        assert_eq!(error.to_string(), "entry 3: its name leads outside");
        assert!(!format!("{error:?}").contains("Doe"));
        assert_eq!(error.entry_name(), Some("../Doe, Jane.stl"));
        assert!(error.is_hostile() && error.is_package());
        let error = Error::io(io::ErrorKind::StorageFull.into());
        assert!(!error.is_hostile() && !error.is_package() && error.source().is_some());
    }
}
