//! A file that is still to get its name: `NAME.part`, and beside it `NAME.part.json`, which says
//! what its bytes are.
//!
//! *Problem.* Writing and hashing block, the process may be killed and the machine may lose power
//! at any line, and the future may be dropped at any await.
//!
//! *Approach.* A thread of its own writes: a chunk handed to it costs less than one handed to a
//! pool, and hashing and writing go on while the network is waited for. The thread ends in order
//! when the future is dropped. The state beside the part must never describe bytes that are not in
//! it.

mod claim;
mod place;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use self::claim::{CancelFlag, Claim};
use self::place::PartPaths;
use super::digest::{Digest, Hashers};
use super::resume::{PartialFile, Validator};
use super::verify::{Check, verify};
use crate::access::Access;
use crate::durable;
use crate::error::{Error, Kind, Result, SendState};
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
struct StateRecord {
    version: u32,
    #[serde(flatten)]
    state: State,
    synced: u64,
    /// Which run of the machine wrote the others, where the system tells.
    boot: Option<String>,
}

// A part of another version is not resumed: its state may mean something else.
const VERSION: u32 = 1;

/// Chunks that wait for the thread; each has at most some hundred KiB.
// Bounded, so that a slow disk holds up the network and memory does not fill.
const QUEUE: usize = 16;

/// The handle of a part. Dropped, it leaves what can be resumed and removes what cannot.
#[derive(Debug)]
pub(crate) struct Part {
    jobs: Option<mpsc::Sender<Job>>,
    // Why the thread ended. Guarded for a read or a write only, never across an await.
    failure: Arc<Mutex<Option<Error>>>,
    dropped: CancelFlag,
}

enum Job {
    Begin(u64, Option<State>, Box<Hashers>),
    Write(Bytes),
    Finish(Check, oneshot::Sender<Result<Option<String>>>),
    Leave(oneshot::Sender<()>),
}

impl Part {
    /// Opens the part of a target, and says how many bytes of the asset are there already.
    pub(crate) async fn open(
        target: &Path,
        asset: String,
        access: Access,
    ) -> Result<(Self, Option<(u64, State)>)> {
        let place = PartPaths::of(target, access)?;
        let (sender, mut jobs) = mpsc::channel(QUEUE);
        // The result of opening goes back once; after that only jobs and their replies pass.
        let (opened, opening) = oneshot::channel();
        let failure = Arc::new(Mutex::new(None));
        let part = Part {
            jobs: Some(sender),
            failure: Arc::clone(&failure),
            dropped: CancelFlag::default(),
        };
        let dropped = part.dropped.clone();
        let thread = thread::Builder::new().name("download".to_owned());
        thread
            .spawn(move || {
                let file = match PartFile::open(place, &asset, &dropped) {
                    Ok(file) => file,
                    Err(error) => {
                        // Nobody to tell: they have gone.
                        let _ = opened.send(Err(error));
                        return;
                    }
                };
                // Before `work` consumes the file.
                let kept = file.state.clone().map(|state| (file.written, state));
                if opened.send(Ok(kept)).is_ok() {
                    file.work(&mut jobs, &failure);
                } else {
                    file.settle();
                }
            })
            .map_err(failed)?;
        let kept = opening.await.unwrap_or_else(|_| Err(part.gone()));
        // What cannot be kept is not asked for.
        let kept = kept.map_err(|error| error.with_sent(SendState::No))?;
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

    /// Renames the file to its final name if it is whole.
    pub(crate) async fn finish(&self, check: Check) -> Result<Option<String>> {
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
        // Before the sender goes with the other fields: the thread then sees the flag as soon as
        // the channel is closed, and a second download of this process waits instead of failing.
        self.dropped.set();
    }
}

/// The part, in its thread.
struct PartFile {
    place: PartPaths,
    file: File,
    /// The bytes that count.
    written: u64,
    /// Of these, those that are on the disk for certain.
    synced: u64,
    state: Option<State>,
    hashers: Hashers,
    boot: Option<String>,
    /// Given back last, when the lock is.
    _claim: Claim,
}

impl PartFile {
    fn open(place: PartPaths, asset: &str, dropped: &CancelFlag) -> Result<Self> {
        let (claim, file) = place.open(dropped)?;
        // Before anything is written: a neighbour must not read along.
        place.restrict(&file).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let boot = boot();
        // A state that cannot be read, of another version or of another asset is none: the download
        // begins anew.
        let stored = place
            .read_state(&file)
            .and_then(|text| serde_json::from_slice::<StateRecord>(&text).ok())
            .filter(|stored| stored.version == VERSION && stored.state.asset == asset);
        let mut part = PartFile {
            place,
            file,
            written: 0,
            synced: 0,
            state: None,
            hashers: Hashers::default(),
            boot,
            _claim: claim,
        };
        if let Some(stored) = stored {
            // In the same run of the machine the page cache has what a killed process wrote. After
            // a power loss a file can have its length and not its bytes, so only flushed bytes
            // count.
            let lasting = stored.boot.is_some() && stored.boot == part.boot;
            let bytes = if lasting {
                length
            } else {
                length.min(stored.synced)
            };
            let total = stored.state.total;
            // A part that cannot be resumed counts as empty; `begin` cuts it off.
            if PartialFile::new(bytes, stored.state.validator.clone(), total).is_some() {
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
                        // The lock is released before the caller can see the result.
                        drop(self);
                        // The receiver is gone if the future was dropped; the file has its name all the
                        // same. So for the replies below.
                        let _ = reply.send(Ok(sha256));
                        return;
                    }
                    Err(error) => {
                        // After these the connection can be asked again with the same part. Every
                        // other error is one of the disk, and ends the thread.
                        let goes_on =
                            matches!(error.kind(), Kind::Truncated(_) | Kind::Incomplete(_));
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
                // First the reason, then the end: a sender that finds the channel closed reads the
                // reason.
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                // Before the other side can see that the thread has ended.
                self.settle();
                return;
            }
        }
        self.settle();
    }

    fn begin(&mut self, at: u64, state: Option<State>, wanted: Hashers) -> Result<()> {
        // The bytes go first, then the state changes: at no time does a state describe bytes of another
        // file.
        self.file.set_len(at).map_err(failed)?;
        self.written = at;
        self.synced = self.synced.min(at);
        self.state = state;
        match &self.state {
            Some(_) => self.store().map_err(failed)?,
            None => self.place.forget(),
        }
        // Hashing again reads the whole part from the disk, so hashers that are at the right byte
        // are kept.
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
        // Large enough that reading is not the slow part, small for a thread.
        let mut buffer = vec![0; 256 * 1024];
        let mut left = self.written;
        while left > 0 {
            let part = buffer
                .len()
                // On 32 bits a length may not fit: then the buffer is the limit anyway.
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

    fn finish(&mut self, check: &Check) -> Result<Option<String>> {
        let edges = self.edges().map_err(failed)?;
        if let Err(error) = verify(self.written, check, &edges, &self.hashers) {
            if matches!(error.kind(), Kind::Incomplete(_)) {
                // What is wrong is not continued.
                self.begin(0, None, Hashers::default())?;
            }
            return Err(error);
        }
        // First the bytes, then the name, then the directory: after a power loss at any point there
        // is no final name without its bytes.
        self.file.sync_all().map_err(failed)?;
        self.synced = self.written;
        self.place.give_name(&self.file)?;
        durable::sync_name(&self.place.target).map_err(failed)?;
        Ok(self.hashers.sha256())
    }

    fn edges(&mut self) -> io::Result<Edges> {
        let read = |file: &mut File, from, length| {
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes)?;
            io::Result::Ok(bytes)
        };
        // The same for lengths that do not fit into `usize`: the limit is smaller than any of them.
        let at_most = |bytes: u64, limit: usize| usize::try_from(bytes).unwrap_or(limit).min(limit);
        let last = at_most(self.written, END);
        // Four bytes are the mark that a zip begins with.
        let first = read(&mut self.file, 0, at_most(self.written, 4))?;
        let last = read(&mut self.file, self.written - last as u64, last)?;
        Ok(Edges::of(first, last, self.written))
    }

    /// Leaves what can be resumed, and nothing else.
    fn settle(mut self) {
        let held = self.state.as_ref().and_then(|state| {
            let validator = state.validator.clone();
            PartialFile::new(self.written, validator, state.total)
        });
        // What lies under the part's path now may be another's file, which must not be described or
        // removed.
        let kept = held.is_some() && self.place.is_still(&self.file) && {
            // A write that failed halfway may have left bytes that are not counted.
            let cut = self.file.set_len(self.written);
            // A flush that fails is not reported, since the download has failed or was dropped
            // already: `synced` stays lower, and a power loss costs those bytes.
            if self.synced < self.written && cut.is_ok() && self.file.sync_data().is_ok() {
                self.synced = self.written;
            }
            cut.and_then(|()| self.store()).is_ok()
        };
        // The part first: a state without a part is harmless, a part without a state only wastes
        // its bytes.
        if !kept {
            self.place.remove(&self.file);
            self.place.forget();
        }
    }

    fn store(&self) -> io::Result<()> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        let stored = StateRecord {
            version: VERSION,
            state: state.clone(),
            synced: self.synced,
            boot: self.boot.clone(),
        };
        self.place.write_state(&serde_json::to_vec(&stored)?)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // Closed is not enough: a process that was started in this moment has the file open too, until
        // it runs its own program, and would keep the lock (`a_part_that_was_left_is_free_at_once`). An
        // error means that there are no locks here, and so none is held.
        let _ = self.file.unlock();
    }
}

/// Which run of the machine this is.
fn boot() -> Option<String> {
    // Other systems have no such id that every user can read; there every restart counts as a power
    // loss.
    if !cfg!(target_os = "linux") {
        return None;
    }
    // A container may hide `/proc`. Then too a restart counts as a power loss.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned())
}

pub(super) fn failed(error: io::Error) -> Error {
    Error::new(Kind::File(error.kind().to_string())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            asset: "a".to_owned(),
            validator: Validator::Etag("\"v\"".to_owned()),
            total: Some(1000),
            digests: Vec::new(),
        }
    }

    fn whole() -> Check {
        Check {
            zip: super::super::verify::ZipRule::Never,
            digests: Vec::new(),
            needs_proof: false,
            size: None,
        }
    }

    async fn opened(target: &Path) -> Part {
        let (part, _) = Part::open(target, "a".to_owned(), Access::Owner)
            .await
            .unwrap();
        let begun = part.begin(0, Some(state()), Hashers::default()).await;
        begun.unwrap();
        part.write(Bytes::from(vec![1; 500])).await.unwrap();
        part
    }

    /// Processes that are started meanwhile inherit the lock until they run their own program.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_part_that_was_left_is_free_at_once() {
        use futures_util::FutureExt;
        use std::sync::atomic::{AtomicBool, Ordering};

        let ended = Arc::new(AtomicBool::new(false));
        let spawning = thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                while !ended.load(Ordering::Relaxed) {
                    let child = std::process::Command::new("true").spawn();
                    child.unwrap().wait().unwrap();
                }
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("case.zip");
        for round in 0..300 {
            let part = opened(&target).await;
            match round % 4 {
                0 => drop(part),
                1 => {
                    // It is given its name while the next one opens it.
                    assert!(part.finish(whole()).now_or_never().is_none());
                    drop(part);
                }
                2 => {
                    // Left while they still wait for it, or for each other.
                    drop(part);
                    for _ in 0..3 {
                        let opening = Part::open(&target, "a".to_owned(), Access::Owner);
                        drop(opening.now_or_never());
                    }
                }
                _ => {
                    part.finish(whole()).await.unwrap();
                    let there = fs::read_dir(directory.path()).unwrap();
                    assert_eq!(there.count(), 1, "what was left is back");
                }
            }
        }
        drop(opened(&target).await);
        ended.store(true, Ordering::Relaxed);
        spawning.join().unwrap();
    }
}
