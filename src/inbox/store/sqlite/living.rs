//! Whether another process of the machine lives: by locks that the system gives up when it dies.
//!
//! A process that polls has a file beside the database, and the lock on it for as long as it
//! lives. Where the file system has no locks there is no file, and others wait until what the
//! process has said of itself in the database is too old.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The locks of this process: each until it ends, by whichever store it was taken first.
static HELD: Mutex<Vec<(PathBuf, File)>> = Mutex::new(Vec::new());

/// Takes the lock of a process of this name, if it is not taken yet. Returns those that have
/// died and left their files here.
pub(super) fn announce(database: &Path, process: &str) -> Vec<String> {
    let Some(path) = path(database, process) else {
        return Vec::new();
    };
    // Held to the end: of two stores of this process the second would not get the lock that the first
    // has taken, and would remove its file.
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    // A file that somebody removed shows its lock to nobody, and is made anew.
    if held.iter().any(|(known, _)| *known == path) && path.exists() {
        return Vec::new();
    }
    // Once for a process and not for each question: it reads a directory.
    let dead = dead(database);
    held.retain(|(known, _)| *known != path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let Ok(file) = options.open(&path) else {
        // Without a file it is believed by what it says of itself in the database.
        return dead;
    };
    if file.try_lock().is_ok() {
        held.push((path, file));
    } else {
        // Nobody may take it for dead by a lock that it does not have.
        let _ = std::fs::remove_file(path);
    }
    dead
}

/// Whether a process has certainly died.
pub(super) fn is_dead(database: &Path, process: &str) -> bool {
    let file = path(database, process).and_then(|path| {
        // A file that cannot be opened proves nothing: the process counts as alive until its row is
        // too old.
        let file = OpenOptions::new().write(true).open(&path).ok()?;
        Some((path, file))
    });
    match file.map(|(path, file)| (file.try_lock(), path)) {
        Some((Ok(()), path)) => {
            // Where it stays, its lock stays free, and the next question finds the process dead
            // again.
            let _ = std::fs::remove_file(path);
            true
        }
        Some((Err(TryLockError::WouldBlock | TryLockError::Error(_)), _)) | None => false,
    }
}

fn dead(database: &Path) -> Vec<String> {
    let prefix = prefix(database);
    let directory = database.parent().map(std::fs::read_dir);
    let entries = directory.into_iter().flatten().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix(prefix.as_deref()?).map(str::to_owned)
    });
    names.filter(|process| is_dead(database, process)).collect()
}

/// None for a name that is none for files.
fn path(database: &Path, process: &str) -> Option<PathBuf> {
    // The name comes from a row of the database: nothing in it must lead to another directory.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if process.is_empty() || !process.bytes().all(is_plain) {
        return None;
    }
    Some(database.with_file_name(format!("{}{process}", prefix(database)?)))
}

fn prefix(database: &Path) -> Option<String> {
    Some(format!("{}-process-", database.file_name()?.to_str()?))
}
