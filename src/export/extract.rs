//! From an archive to a directory: all of it or nothing.
//!
//! *Problem.* A killed program or a full disk must not leave half a case under a name that looks
//! whole.
//!
//! *Approach.* Files are written into a directory with a random name beside the target and flushed,
//! the directory is flushed, and then it is renamed. Nothing must be written under the final name
//! before.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};

use super::archive::{Decompressor, Package};
use super::error::{Error, Reason, Result};
use crate::access::{Access, is_at};
use crate::durable;

impl<R: Read + Seek> Package<R> {
    /// Extracts all files into a new directory; each is then at `target.join(file.name())`.
    ///
    /// They are written to a fresh directory beside it (`.NAME.part-…`), flushed to the disk,
    /// and only then does the directory get its name; so what is under that name is whole,
    /// after a power cut too. It is known by its device and inode (on Unix): if a neighbour puts
    /// another one in its place, this fails. Nothing is written anywhere else. When it fails, the fresh
    /// directory is removed; when the program is killed, it stays.
    ///
    /// Modes and times of the archive are not taken over: the files are plain files of today,
    /// for the user of this process alone unless they are [shared](Package::shared_files).
    ///
    /// # Errors
    ///
    /// [`Reason::TargetExists`] if there is something already; [`Reason::Damaged`],
    /// [`Reason::Ratio`] or [`Reason::TooLarge`] if a file is not what its header says;
    /// [`Reason::Clash`] if two names are one for this file system; [`Reason::Io`] if a file
    /// cannot be written.
    pub fn extract_to(&mut self, target: impl AsRef<Path>) -> Result<()> {
        let target = target.as_ref();
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        // A dangling link counts as something there, so the link itself is asked. Early, before
        // anything is decompressed; the rename decides.
        if fs::symlink_metadata(target).is_ok() {
            return Err(Error::new(Reason::TargetExists));
        }
        let mut fresh = StagingDirectory::beside(target, parent, self.access)?;
        self.fill(&mut fresh)?;
        // Contents before the name: after a power loss there is no final name with empty files.
        fresh.sync().map_err(Error::io)?;
        if !fresh.is_at(&fresh.path) {
            return Err(replaced());
        }
        fs::rename(&fresh.path, target).map_err(|error| match error.kind() {
            // Somebody made the target meanwhile. Which of these a system reports depends on what
            // is there.
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::NotADirectory => Error::new(Reason::TargetExists),
            _ => Error::io(error),
        })?;
        if !fresh.is_at(target) {
            return Err(replaced());
        }
        // From here on the directory has its name and must not be removed, even if the flush below
        // fails.
        fresh.done = true;
        // The new name is an entry of the parent.
        durable::sync_directory(parent).map_err(Error::io)
    }

    fn fill(&mut self, fresh: &mut StagingDirectory) -> Result<()> {
        for directory in &self.directories {
            fresh.directory(Path::new(directory)).map_err(Error::io)?;
        }
        let mut pour = Decompressor::new(self.limits());
        // A clone for the sake of the borrow: names are short and few.
        for file in self.files().to_vec() {
            let at = |error: Error| error.at(file.index(), file.name());
            let mut to = fresh.file(Path::new(file.name())).map_err(at)?;
            // Reserved in one piece on the disk. Not for large files: some file systems fill what is
            // reserved with zeros first.
            if file.size() <= 64 << 20 {
                to.set_len(file.size()).map_err(Error::io)?;
            }
            self.pour(&file, &mut to, &mut pour)?;
            // The file is closed on the flusher's thread: closing can wait for the disk too.
            fresh.flusher.flush(to);
        }
        Ok(())
    }
}

/// A directory that nobody knows yet.
struct StagingDirectory {
    path: PathBuf,
    /// Below it; in this order a directory comes before those in it.
    directories: BTreeSet<PathBuf>,
    flusher: Flusher,
    access: Access,
    /// What it is, by whatever name; none where directories cannot be opened.
    handle: Option<File>,
    done: bool,
}

fn replaced() -> Error {
    Error::io(io::Error::other("another directory was put in its place"))
}

impl StagingDirectory {
    fn beside(target: &Path, parent: &Path, access: Access) -> Result<Self> {
        let Some(name) = target.file_name() else {
            let nameless = io::Error::new(io::ErrorKind::InvalidInput, "a directory needs a name");
            return Err(Error::io(nameless));
        };
        // Before there is a directory: this can fail.
        let flusher = Flusher::new().map_err(Error::io)?;
        loop {
            let mut part = std::ffi::OsString::from(".");
            part.push(name);
            // A random name: a neighbour cannot put something there beforehand.
            part.push(format!(".part-{:016x}", fastrand::u64(..)));
            let path = parent.join(part);
            match access.directory().create(&path) {
                Ok(()) => {
                    let open = || File::open(&path).map_err(Error::io);
                    // Windows opens no directory with `File::open`.
                    let handle = cfg!(unix).then(open).transpose()?;
                    return Ok(StagingDirectory {
                        path,
                        handle,
                        directories: BTreeSet::new(),
                        flusher,
                        access,
                        done: false,
                    });
                }
                // Another draw has another name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::io(error)),
            }
        }
    }

    fn is_at(&self, path: &Path) -> bool {
        // True without a handle: where files cannot be told apart there is nothing to check. Elsewhere
        // it finds a neighbour's directory (`a_directory_that_is_replaced_on_the_way_is_no_package`).
        let mut handle = self.handle.iter();
        handle.all(|handle| is_at(handle, path))
    }

    /// Makes a directory, and those above it.
    fn directory(&mut self, relative: &Path) -> io::Result<()> {
        let path = self.path.join(relative);
        if relative.as_os_str().is_empty() || self.directories.contains(&path) {
            return Ok(());
        }
        if let Some(above) = relative.parent() {
            self.directory(above)?;
        }
        match self.access.directory().create(&path) {
            Ok(()) => {}
            // Another spelling that the file system does not tell apart.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        self.directories.insert(path);
        Ok(())
    }

    /// Makes a file. Only where there is none: a name that the file system takes for another
    /// one, by a rule that we do not know, cannot overwrite it.
    fn file(&mut self, relative: &Path) -> Result<File> {
        if let Some(above) = relative.parent() {
            self.directory(above).map_err(Error::io)?;
        }
        let path = self.path.join(relative);
        let mut options = self.access.file();
        let created = options.write(true).create_new(true).open(path);
        created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::new(Reason::Clash),
            _ => Error::io(error),
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.flusher.finish()?;
        // Inner directories first, so that no entry is durable before what it names.
        for directory in self.directories.iter().rev() {
            durable::sync_directory(directory)?;
        }
        durable::sync_directory(&self.path)
    }
}

impl Drop for StagingDirectory {
    fn drop(&mut self) {
        // If another directory lies there, that is a neighbour's, and must not be removed.
        if !self.done && self.is_at(&self.path) {
            // Windows removes no file that is open.
            let _ = self.flusher.finish();
            // The caller has the error that matters; what stays has a name that nobody takes for a
            // case.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Flushes files on a thread of its own: the disk works while we decompress.
struct Flusher {
    files: Option<SyncSender<File>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Flusher {
    fn new() -> io::Result<Self> {
        // So many files are open at most: a process may have some hundreds. A full queue holds up the
        // decompressing, not memory.
        let (files, written) = mpsc::sync_channel::<File>(64);
        let flush = move || written.into_iter().try_for_each(|file| file.sync_all());
        Ok(Flusher {
            files: Some(files),
            thread: Some(thread::Builder::new().spawn(flush)?),
        })
    }

    fn flush(&self, file: File) {
        // After an error nobody takes it any more; `finish` returns that error.
        let _ = self.files.as_ref().map(|files| files.send(file));
    }

    /// Waits until all is on the disk.
    fn finish(&mut self) -> io::Result<()> {
        // Closes the channel, so that the thread ends when it has flushed what is queued.
        self.files = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(flushed)) => flushed,
            // It panicked: nothing is known of what was flushed.
            Some(Err(_)) => Err(io::Error::other("the flushing thread stopped")),
            // Called twice: the first call has returned the result.
            None => Ok(()),
        }
    }
}
