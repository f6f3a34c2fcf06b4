//! Who may read the files that are written, and whether they are still in their place.
//!
//! *Problem.* Scans and prescriptions are about patients, and lab machines have several users.
//!
//! *Approach.* The mode is given when a file is made and not set afterwards: in between, others
//! could open it, and what is open stays open.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

/// A patient's data is for the user of the process, unless the lab says otherwise. On Windows the
/// directory decides, by the rights that it passes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// Modes 0600 and 0700.
    #[default]
    Owner,
    /// What the umask, or the directory's own list, leaves of 0666 and 0777.
    Umask,
}

impl Access {
    pub(crate) fn of(shared: bool) -> Self {
        if shared { Access::Umask } else { Access::Owner }
    }

    /// Options that make a file.
    pub(crate) fn file(self) -> OpenOptions {
        #[cfg_attr(not(unix), expect(unused_mut))]
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        if self == Access::Owner {
            // With the file itself: a `chmod` after it would come too late.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        options
    }

    /// What makes a directory.
    pub(crate) fn directory(self) -> std::fs::DirBuilder {
        #[cfg_attr(not(unix), expect(unused_mut))]
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        if self == Access::Owner {
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        }
        builder
    }
}

/// Whether a file or a directory is what a path leads to, without following a link: a neighbour in
/// the same directory may have put something else there.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // The number alone is not enough: each file system counts for itself.
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => id(ours) == id(there),
        // What cannot be looked at cannot be relied on.
        _ => false,
    }
}

/// Files have no number to ask for here: that there is one of this name must do.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_file())
}
