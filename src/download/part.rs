//! A file on its way to its name: `NAME.part`, and beside it `NAME.part.json`, which says what
//! its bytes are.
//!
//! A thread of its own writes: a chunk handed to it costs less than one handed to a pool, and
//! hashing and writing go on while the network is waited for.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::digest::{Digest, Hashers, Sha256};
use super::resume::{Held, Validator};
use super::verify::{Check, verify};
use crate::durable;
use crate::error::{Error, Kind, Result, Sent};
use crate::zip_end::{END, Edges};

/// What the bytes of a part are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Which asset of which order, as a fingerprint.
    pub(crate) asset: String,
    pub(crate) validator: Validator,
    pub(crate) total: Option<u64>,
    /// What the service said that the whole file hashes to.
    pub(crate) digests: Vec<Digest>,
}

/// The state with what it takes to trust the bytes after the machine lost power: then only those
/// count that were flushed to the disk.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(flatten)]
    state: State,
    synced: u64,
    /// Which run of the machine wrote the others, where the system tells.
    boot: Option<String>,
}

const VERSION: u32 = 1;

/// Chunks on their way to the thread; each has at most some hundred KiB.
const QUEUE: usize = 16;

/// The handle of a part. Dropped, it leaves what can be resumed and removes what cannot.
#[derive(Debug)]
pub(crate) struct Part {
    jobs: Option<mpsc::Sender<Job>>,
    failure: Arc<Mutex<Option<Error>>>,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Begin(u64, Option<State>, Box<Hashers>),
    Write(Bytes),
    Finish(Check, oneshot::Sender<Result<Option<Sha256>>>),
    Leave(oneshot::Sender<()>),
}

/// Threads that were left alone and may still hold a part: whoever wants it waits for them.
static LEAVING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());
/// Held while somebody waits for them. Not the same lock: a handle is dropped without waiting.
static WAITING: Mutex<()> = Mutex::new(());

impl Part {
    /// Opens the part of a target, and says how many bytes of the asset are there already.
    pub(crate) async fn open(target: &Path, asset: String) -> Result<(Self, Option<(u64, State)>)> {
        let paths = Paths::of(target)?;
        let (sender, mut jobs) = mpsc::channel(QUEUE);
        let (opened, opening) = oneshot::channel();
        let failure = Arc::new(Mutex::new(None));
        let failed_with = Arc::clone(&failure);
        let thread = thread::Builder::new().name("download".to_owned());
        let thread = thread
            .spawn(move || {
                let file = match PartFile::open(paths, &asset) {
                    Ok(file) => file,
                    Err(error) => {
                        // Nobody to tell: they have gone.
                        let _ = opened.send(Err(error));
                        return;
                    }
                };
                let kept = file.state.clone().map(|state| (file.written, state));
                if opened.send(Ok(kept)).is_ok() {
                    file.work(&mut jobs, &failed_with);
                } else {
                    file.settle();
                }
            })
            .map_err(failed)?;
        let part = Part {
            jobs: Some(sender),
            failure,
            thread: Some(thread),
        };
        let kept = opening.await.unwrap_or_else(|_| Err(part.gone()));
        // What cannot be kept is not asked for.
        let kept = kept.map_err(|error| error.with_sent(Sent::No))?;
        Ok((part, kept))
    }

    /// The next byte is the one at `at`; what is there beyond it goes. With a state it can be
    /// resumed.
    pub(crate) async fn begin(&self, at: u64, state: Option<State>, wanted: Hashers) -> Result<()> {
        self.send(Job::Begin(at, state, Box::new(wanted))).await
    }

    pub(crate) async fn write(&self, chunk: Bytes) -> Result<()> {
        self.send(Job::Write(chunk)).await
    }

    /// Gives the file its name if it is whole.
    pub(crate) async fn finish(&self, check: Check) -> Result<Option<Sha256>> {
        let (sender, done) = oneshot::channel();
        self.send(Job::Finish(check, sender)).await?;
        done.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// As dropping it, and waits until the files are as they are to be.
    pub(crate) async fn leave(self) {
        let (sender, done) = oneshot::channel();
        if self.send(Job::Leave(sender)).await.is_ok() {
            // An error means that the thread has ended by itself.
            let _ = done.await;
        }
    }

    async fn send(&self, job: Job) -> Result<()> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).await.map_err(|_| self.gone()),
            None => Err(self.gone()),
        }
    }

    /// Why the thread has ended.
    fn gone(&self) -> Error {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Error::new(Kind::File("the thread that writes it has ended".to_owned()));
        failure.clone().unwrap_or_else(unknown)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.jobs = None;
        let mut leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|thread| !thread.is_finished());
        leaving.extend(self.thread.take());
    }
}

#[derive(Debug)]
struct Paths {
    target: PathBuf,
    part: PathBuf,
    state: PathBuf,
    new_state: PathBuf,
}

impl Paths {
    fn of(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::configuration("the path to download to has no file name"))?;
        let with = |ending| {
            let mut name = name.to_owned();
            name.push(ending);
            target.with_file_name(name)
        };
        Ok(Paths {
            part: with(".part"),
            state: with(".part.json"),
            new_state: with(".part.json.new"),
            target: target.to_owned(),
        })
    }

    /// Opens the part for this download alone. The lock is the file's own, so it ends with the
    /// process, however that ends.
    fn lock(&self) -> Result<File> {
        let mut waited = false;
        loop {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false);
            let file = options.open(&self.part).map_err(failed)?;
            match file.try_lock() {
                // Whoever held it before may have renamed or removed it meanwhile.
                Ok(()) if self.is_still(&file) => return Ok(file),
                Ok(()) => {}
                // A file system without locks: then nobody else can have one either.
                Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if !waited => {
                    waited = true;
                    wait_for_leaving();
                }
                Err(TryLockError::WouldBlock) => {
                    let what = "another download to the same name is under way";
                    return Err(Error::new(Kind::File(what.to_owned())));
                }
            }
        }
    }

    #[cfg(unix)]
    fn is_still(&self, file: &File) -> bool {
        use std::os::unix::fs::MetadataExt;
        let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (file.metadata(), fs::metadata(&self.part)) {
            (Ok(ours), Ok(there)) => id(ours) == id(there),
            _ => false,
        }
    }

    /// Files have no number to ask for here: that there is one of this name must do.
    #[cfg(not(unix))]
    fn is_still(&self, _: &File) -> bool {
        fs::metadata(&self.part).is_ok()
    }

    fn stored(&self) -> Option<Stored> {
        let text = fs::read(&self.state).ok()?;
        let stored: Stored = serde_json::from_slice(&text).ok()?;
        (stored.version == VERSION).then_some(stored)
    }
}

fn wait_for_leaving() {
    let _waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
    let threads = std::mem::take(&mut *leaving);
    drop(leaving);
    for thread in threads {
        // It has ended, which is all that matters.
        let _ = thread.join();
    }
}

/// The part, in its thread.
struct PartFile {
    paths: Paths,
    file: File,
    /// The bytes that count.
    written: u64,
    /// Of these, those that are on the disk for certain.
    synced: u64,
    state: Option<State>,
    hashers: Hashers,
    boot: Option<String>,
}

impl PartFile {
    fn open(paths: Paths, asset: &str) -> Result<Self> {
        if paths.target.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let file = paths.lock()?;
        let length = file.metadata().map_err(failed)?.len();
        let boot = boot();
        let stored = paths.stored().filter(|stored| stored.state.asset == asset);
        let mut part = PartFile {
            paths,
            file,
            written: 0,
            synced: 0,
            state: None,
            hashers: Hashers::default(),
            boot,
        };
        if let Some(stored) = stored {
            let lasting = stored.boot.is_some() && stored.boot == part.boot;
            let bytes = if lasting {
                length
            } else {
                length.min(stored.synced)
            };
            let total = stored.state.total;
            if Held::new(bytes, stored.state.validator.clone(), total).is_some() {
                part.written = bytes;
                part.synced = bytes.min(stored.synced);
                part.state = Some(stored.state);
            }
        }
        Ok(part)
    }

    fn work(mut self, jobs: &mut mpsc::Receiver<Job>, failure: &Mutex<Option<Error>>) {
        while let Some(job) = jobs.blocking_recv() {
            let done = match job {
                Job::Begin(at, state, wanted) => self.begin(at, state, *wanted),
                Job::Write(chunk) => self.write(&chunk),
                Job::Finish(check, reply) => match self.finish(&check) {
                    Ok(sha256) => {
                        // The lock is given back before anybody is told.
                        drop(self);
                        let _ = reply.send(Ok(sha256));
                        return;
                    }
                    Err(error) => {
                        let goes_on = matches!(error.kind(), Kind::Cut(_) | Kind::Incomplete(_));
                        let _ = reply.send(Err(error.clone()));
                        if goes_on { Ok(()) } else { Err(error) }
                    }
                },
                Job::Leave(reply) => {
                    self.settle();
                    let _ = reply.send(());
                    return;
                }
            };
            if let Err(error) = done {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                // Before the other side can see that the thread has ended.
                self.settle();
                return;
            }
        }
        self.settle();
    }

    fn begin(&mut self, at: u64, state: Option<State>, wanted: Hashers) -> Result<()> {
        // The state first loses its bytes and then changes: at no time does it speak of others.
        self.file.set_len(at).map_err(failed)?;
        self.written = at;
        self.synced = self.synced.min(at);
        self.state = state;
        match &self.state {
            Some(_) => self.store().map_err(failed)?,
            None => self.forget(),
        }
        if !self.hashers.serve(&wanted, at) {
            self.hashers = wanted;
            if !self.hashers.is_idle() {
                self.hash_what_is_there().map_err(failed)?;
            }
        }
        self.file.seek(SeekFrom::Start(at)).map_err(failed)?;
        Ok(())
    }

    fn hash_what_is_there(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; 256 * 1024];
        let mut left = self.written;
        while left > 0 {
            let part = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            self.file.read_exact(&mut buffer[..part])?;
            self.hashers.update(&buffer[..part]);
            left -= part as u64;
        }
        Ok(())
    }

    fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.file.write_all(chunk).map_err(failed)?;
        self.written += chunk.len() as u64;
        if !self.hashers.is_idle() {
            self.hashers.update(chunk);
        }
        Ok(())
    }

    fn finish(&mut self, check: &Check) -> Result<Option<Sha256>> {
        let edges = self.edges().map_err(failed)?;
        if let Err(error) = verify(self.written, check, &edges, &self.hashers) {
            if matches!(error.kind(), Kind::Incomplete(_)) {
                // What is wrong is not continued.
                self.begin(0, None, Hashers::default())?;
            }
            return Err(error);
        }
        self.file.sync_all().map_err(failed)?;
        self.synced = self.written;
        fs::rename(&self.paths.part, &self.paths.target).map_err(failed)?;
        self.forget();
        durable::sync_name(&self.paths.target).map_err(failed)?;
        Ok(self.hashers.sha256())
    }

    fn edges(&mut self) -> io::Result<Edges> {
        let read = |file: &mut File, from, length| {
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes)?;
            io::Result::Ok(bytes)
        };
        let at_most = |bytes: u64, limit: usize| usize::try_from(bytes).unwrap_or(limit).min(limit);
        let last = at_most(self.written, END);
        let first = read(&mut self.file, 0, at_most(self.written, 4))?;
        let last = read(&mut self.file, self.written - last as u64, last)?;
        Ok(Edges::of(first, last, self.written))
    }

    /// Leaves what can be resumed, and nothing else.
    fn settle(mut self) {
        let held = self.state.as_ref().and_then(|state| {
            let validator = state.validator.clone();
            Held::new(self.written, validator, state.total)
        });
        let kept = held.is_some() && {
            let cut = self.file.set_len(self.written);
            if self.synced < self.written && cut.is_ok() && self.file.sync_data().is_ok() {
                self.synced = self.written;
            }
            cut.and_then(|()| self.store()).is_ok()
        };
        if !kept {
            // Nothing is under the final name, which is what counts.
            let _ = fs::remove_file(&self.paths.part);
            self.forget();
        }
    }

    fn store(&self) -> io::Result<()> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        let stored = Stored {
            version: VERSION,
            state: state.clone(),
            synced: self.synced,
            boot: self.boot.clone(),
        };
        // In one step: a process killed in between would leave one that cannot be read, and bytes
        // that nobody can use.
        fs::write(&self.paths.new_state, serde_json::to_vec(&stored)?)?;
        fs::rename(&self.paths.new_state, &self.paths.state)
    }

    fn forget(&self) {
        // There may be none.
        let _ = fs::remove_file(&self.paths.state);
        let _ = fs::remove_file(&self.paths.new_state);
    }
}

/// Which run of the machine this is.
fn boot() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned())
}

pub(super) fn failed(error: io::Error) -> Error {
    Error::new(Kind::File(error.kind().to_string())).with_source(error)
}

/// Whether it is the file system that has no locks: ENOLCK comes from NFS without its lock
/// service, and has no kind of its own.
fn has_no_locks(error: &io::Error) -> bool {
    const ENOLCK: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
        37
    } else {
        // Of macOS and the BSDs.
        77
    };
    let no_service = cfg!(unix) && error.raw_os_error() == Some(ENOLCK);
    no_service || error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_system_without_locks_is_told_from_a_failure() {
        const ENOLCK: i32 = 37;
        const EIO: i32 = 5;
        assert!(has_no_locks(&io::Error::from_raw_os_error(ENOLCK)));
        assert!(has_no_locks(&io::ErrorKind::Unsupported.into()));
        assert!(!has_no_locks(&io::Error::from_raw_os_error(EIO)));
    }
}
