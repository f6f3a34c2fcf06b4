//! Where a part and its state lie, and what is trusted of what lies there.
//!
//! *Problem.* Other processes know both names, since they resume what this one leaves. In a directory
//! that others can write to, what is under them may be theirs: a link, a pipe, a second name of their
//! file.
//!
//! *Approach.* What is there is used only if it is a plain file of our own user with one name, and
//! otherwise set aside. A file is known by its device and inode, not by its path. Nothing of a
//! neighbour's must be read, written or removed
//! (`a_part_that_is_no_plain_file_of_one_name_is_set_aside`).

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::claim::{CancelFlag, Claim};
use super::failed;
use crate::access::{Access, is_at};
use crate::error::{Error, Kind, Result};

/// A state has some hundred bytes; an `ETag` may have thousands.
const LONGEST_STATE: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct PartPaths {
    pub(super) target: PathBuf,
    part: PathBuf,
    state: PathBuf,
    new_state: PathBuf,
    access: Access,
}

impl PartPaths {
    pub(super) fn of(target: &Path, access: Access) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::configuration("the path to download to has no file name"))?;
        // Appended, not `with_extension`: `case.zip` and `case.stl` must not share a part.
        let with = |ending| {
            let mut name = name.to_owned();
            name.push(ending);
            target.with_file_name(name)
        };
        Ok(PartPaths {
            part: with(".part"),
            state: with(".part.json"),
            new_state: with(".part.json.new"),
            target: target.to_owned(),
            access,
        })
    }

    /// Opens the part for this download alone. The lock is the file's own, so it ends with the
    /// process, however that ends.
    pub(super) fn open(&self, dropped: &CancelFlag) -> Result<(Claim, File)> {
        // Found out now, not by the rename after the last byte.
        if self.target.is_dir() {
            return Err(failed(ErrorKind::IsADirectory.into()));
        }
        // The claim before the lock: to the lock, a dropped download of this process that is still
        // tidying up looks like another process.
        let claim = Claim::of(self.canonical()?, dropped).ok_or_else(under_way)?;
        // A neighbour may put something there again and again: a hundred times is more than any race,
        // and not for ever.
        for _ in 0..100 {
            let Some((file, is_new)) = self.open_or_make().map_err(failed)? else {
                continue;
            };
            match file.try_lock() {
                Ok(()) => {}
                // A file system without locks: then nobody else can have one either.
                Err(TryLockError::Error(error)) if has_no_locks(&error) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                // Another process. Waiting for it could take hours.
                Err(TryLockError::WouldBlock) => return Err(under_way()),
            }
            // Whoever held it before may have renamed or removed it meanwhile.
            if !is_at(&file, &self.part) {
                continue;
            }
            // Only what was there before needs a look: a new file was made with `create_new`, which
            // follows no link.
            if is_new || self.is_ours(&file).map_err(failed)? {
                self.check_state(&file).map_err(failed)?;
                return Ok((claim, file));
            }
            set_aside(&self.part).map_err(failed)?;
        }
        Err(Error::new(Kind::File(
            "others put files of their own in its place".to_owned(),
        )))
    }

    /// The same for every path that leads there.
    fn canonical(&self) -> Result<PathBuf> {
        let parent = self.part.parent().filter(|path| *path != Path::new(""));
        // Of the directory only: the part itself may not be there yet, and a link in its place must
        // not be followed.
        let parent = fs::canonicalize(parent.unwrap_or(Path::new("."))).map_err(failed)?;
        Ok(parent.join(self.part.file_name().unwrap_or_default()))
    }

    /// The part, and whether it was made just now. None: something else was there.
    fn open_or_make(&self) -> io::Result<Option<(File, bool)>> {
        // Asked first, since opening a device or a pipe may have effects. It may change between the
        // look and the opening; the opened handle is asked again.
        match fs::symlink_metadata(&self.part) {
            Ok(there) if !there.is_file() => {
                set_aside(&self.part)?;
                return Ok(None);
            }
            Ok(_) => match no_follow(OpenOptions::new().read(true).write(true)).open(&self.part) {
                // By the handle: this is the file that will be written.
                Ok(file) if file.metadata()?.is_file() => return Ok(Some((file, false))),
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = self.access.file();
        match options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&self.part)
        {
            Ok(file) => Ok(Some((file, true))),
            // Somebody was faster between the look and this: the caller looks again.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether what was there can be used. Its owner is compared with that of a file made here and
    /// now: a network file system may map users.
    fn is_ours(&self, part: &File) -> io::Result<bool> {
        // Windows has no owner in the metadata; the rights of the directory decide there.
        if !cfg!(unix) {
            return Ok(true);
        }
        let part = part.metadata()?;
        let probe = self.make_new_state()?;
        let ours = has_one_name(&part) && same_owner(&probe.metadata()?, &part);
        fs::remove_file(&self.new_state)?;
        Ok(ours)
    }

    /// Sets aside what lies in the place of the state and is not that of this part.
    fn check_state(&self, part: &File) -> io::Result<()> {
        let part = part.metadata()?;
        match fs::symlink_metadata(&self.state) {
            Ok(state) if state.is_file() && has_one_name(&state) && same_owner(&state, &part) => {
                Ok(())
            }
            Ok(_) => set_aside(&self.state),
            // Most often there is none. One that cannot be looked at cannot be read either, and is
            // then no state.
            Err(_) => Ok(()),
        }
    }

    /// What an earlier version or a shared client left gets the mode that is asked for now.
    pub(super) fn restrict(&self, part: &File) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = part.metadata()?.permissions().mode();
            // Only narrowed, never widened: a shared client leaves a mode that the umask chose.
            if self.access == Access::Owner && mode & 0o077 != 0 {
                part.set_permissions(fs::Permissions::from_mode(0o600))?;
            }
        }
        #[cfg(not(unix))]
        let _ = part;
        Ok(())
    }

    /// The state that lies beside a part that is ours, as it was written.
    pub(super) fn read_state(&self, part: &File) -> Option<Vec<u8>> {
        let file = no_follow(OpenOptions::new().read(true)).open(&self.state);
        let file = file.ok()?;
        let state = file.metadata().ok()?;
        let trusted =
            state.is_file() && has_one_name(&state) && same_owner(&state, &part.metadata().ok()?);
        let mut text = Vec::new();
        // One byte more than is allowed shows that it is too long.
        let bounded = file.take(LONGEST_STATE + 1).read_to_end(&mut text);
        let fits = bounded.is_ok_and(|bytes| bytes as u64 <= LONGEST_STATE);
        (trusted && fits).then_some(text)
    }

    /// In one step: a process killed in between would leave one that cannot be read, and bytes that
    /// nobody can use.
    pub(super) fn write_state(&self, text: &[u8]) -> io::Result<()> {
        // Not flushed: a state that a power loss makes unreadable only means that the download
        // begins anew.
        self.make_new_state()?.write_all(text)?;
        fs::rename(&self.new_state, &self.state)
    }

    fn make_new_state(&self) -> io::Result<File> {
        // A killed process may have left one.
        match fs::remove_file(&self.new_state) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = self.access.file();
        options.write(true).create_new(true).open(&self.new_state)
    }

    /// Removes the state. There may be none.
    pub(super) fn forget(&self) {
        // A state that stays does no harm: it counts only with a part of the same asset, and
        // `begin` stores a new one or removes it again.
        let _ = fs::remove_file(&self.state);
        let _ = fs::remove_file(&self.new_state);
    }

    /// Removes the part, if that is still ours.
    pub(super) fn remove(&self, part: &File) {
        if is_at(part, &self.part) {
            // Nothing is under the final name, which is what counts.
            let _ = fs::remove_file(&self.part);
        }
    }

    pub(super) fn is_still(&self, part: &File) -> bool {
        is_at(part, &self.part)
    }

    /// Renames the part to its final name: the file that was written, and no other one.
    pub(super) fn give_name(&self, part: &File) -> Result<()> {
        let replaced = || Error::new(Kind::File("another file was put in its place".to_owned()));
        // Between this check and the rename a neighbour can still exchange the file; the check
        // after the rename finds that.
        if !self.is_still(part) {
            return Err(replaced());
        }
        fs::rename(&self.part, &self.target).map_err(failed)?;
        // Only now is another process let to the name of the part. What is being written for its
        // state stays, which may be that process's own.
        let _ = fs::remove_file(&self.state);
        // What is under the name now may be a neighbour's, and must not be reported as the download
        // (`a_part_that_is_replaced_on_the_way_is_no_download`).
        if is_at(part, &self.target) {
            Ok(())
        } else {
            Err(replaced())
        }
    }
}

fn under_way() -> Error {
    let what = "another download to the same name is under way";
    Error::new(Kind::File(what.to_owned()))
}

/// Under a name that nobody looks for.
fn set_aside(path: &Path) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // A random name, so that a neighbour cannot prepare it. It need not be secret.
    name.push(format!(".aside-{:016x}", fastrand::u64(..)));
    match fs::rename(path, path.with_file_name(name)) {
        // It is gone already: a neighbour who put it there took it away.
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens what is there itself, no link's target, and waits for nobody at the other end of a pipe.
fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

#[cfg(unix)]
fn has_one_name(file: &Metadata) -> bool {
    // A second hard link would let whoever made it read, and change, what is downloaded.
    std::os::unix::fs::MetadataExt::nlink(file) <= 1
}

#[cfg(not(unix))]
fn has_one_name(_: &Metadata) -> bool {
    true
}

#[cfg(unix)]
fn same_owner(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    one.uid() == other.uid()
}

#[cfg(not(unix))]
fn same_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Whether it is the file system that has no locks: ENOLCK comes from NFS without its lock
/// service, and has no kind of its own.
fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    let no_service = error.raw_os_error() == Some(libc::ENOLCK);
    #[cfg(not(unix))]
    let no_service = false;
    no_service || error.kind() == ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_told_from_a_failure() {
        assert!(has_no_locks(&io::Error::from_raw_os_error(libc::ENOLCK)));
        assert!(has_no_locks(&ErrorKind::Unsupported.into()));
        assert!(!has_no_locks(&io::Error::from_raw_os_error(libc::EIO)));
    }
}
