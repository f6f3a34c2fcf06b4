//! The file: who may read it, and whether it is still the one that was opened.
//!
//! *Problem.* The file holds patient data and secrets, and SQLite neither minds who can read it nor
//! notices that somebody replaced it.
//!
//! *Approach.* It is made for its user alone, refused where others can read it, and its identity is
//! compared before each transaction. A file that SQLite has open must not be opened here.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Kind, Result};

/// Makes the file if there is none; SQLite makes those beside it as readable as it is.
pub(super) fn make(path: &Path) -> Result<()> {
    // Closing a file gives up all locks that the process has on it, also those that SQLite took
    // by another handle (<https://sqlite.org/howtocorrupt.html>, section 2.2). So it is opened only
    // to make it, and by one thread at a time: until it is closed no other of this process comes to
    // open it with SQLite.
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => {
            let synced = crate::durable::sync_name(path);
            return synced.map_err(|error| cannot("make", path, &error));
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot("make", path, &error)),
    }
    refuse_if_readable(path)
}

#[cfg(unix)]
fn refuse_if_readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let about = std::fs::metadata(path).map_err(|error| cannot("open", path, &error))?;
    let mode = about.permissions().mode() & 0o777;
    // Neither the group nor others: test `nobody_else_can_read_the_file`.
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let name = path.display();
    Err(Error::new(Kind::Store(format!(
        "{name} is open to other users (mode {mode:o}); make it 600"
    ))))
}

#[cfg(not(unix))]
fn refuse_if_readable(_: &Path) -> Result<()> {
    Ok(())
}

pub(super) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    let name = path.display();
    Error::new(Kind::Store(format!("cannot {what} {name}: {error}")))
}

/// The file that was opened. SQLite goes on with one that was deleted or replaced, and what it
/// writes is seen by nobody.
#[derive(Clone, Debug)]
pub(super) struct SameFile {
    path: PathBuf,
    identity: Identity,
}

/// Device and inode. Elsewhere a file that is open cannot be deleted.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

impl SameFile {
    pub(super) fn of(path: &Path) -> Result<Self> {
        Ok(SameFile {
            identity: identity(path).map_err(|error| cannot("open", path, &error))?,
            path: path.to_owned(),
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            return Ok(());
        }
        let name = self.path.display();
        Err(Error::new(Kind::Store(format!(
            "{name} was deleted or replaced while it was open: stop everything that uses it, put \
             the right file in place, and open it again"
        ))))
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> std::io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path)?;
    Ok((about.dev(), about.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> std::io::Result<Identity> {
    Ok(())
}
