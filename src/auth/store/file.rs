//! Tokens in a directory of files.
//!
//! *Problem.* A process may die between any two writes, several processes share the directory, and
//! a program that can read a file can act for the lab.
//!
//! *Approach.* An entry is renamed into its place, under the lock of a second file that is never
//! removed. The store must not leave half an entry, follow a path that an id chooses, or use files
//! that others can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{TokenKey, TokenStore, Tokens};
use crate::durable;
use crate::error::{Error, Kind, Result};

/// Keeps tokens in a directory, a file each, that only the user of the process can read.
///
/// A file is written beside its place, flushed to the disk and renamed: after a crash there are
/// the old tokens or the new ones. A program that can read the directory can act for the lab; a file
/// or directory that other users can read is refused. A file is named by a digest: neither its path nor
/// an error shows the name of a login.
///
/// The processes of one machine can share a directory: beside each entry lies a file with the
/// lease, which is locked while an entry changes. Use a local disk: network file systems lock
/// in their own ways. Leases are judged by the machine's clock.
#[derive(Clone, Debug)]
pub struct FileTokenStore {
    directory: PathBuf,
}

impl FileTokenStore {
    /// Opens a directory, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if it cannot be made, or if others can read it (on Unix).
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        make_directory(&directory).map_err(|error| failed("cannot make", &directory, error))?;
        refuse_if_shared(&directory)?;
        Ok(FileTokenStore { directory })
    }

    fn path(&self, key: &TokenKey) -> PathBuf {
        let (kind, id) = match key {
            TokenKey::Login(name) => ("login", name.as_str()),
            TokenKey::Account(id) => ("account", id.as_str()),
        };
        // A digest stays in the directory, has a length and characters that all file systems accept, and
        // does not show the login: errors and logs hold the path.
        let mut name = format!("{kind}_");
        for byte in Sha256::digest(id.as_bytes()) {
            name.push_str(&format!("{byte:02x}"));
        }
        self.directory.join(name + ".json")
    }

    async fn blocking<T: Send + 'static>(
        &self,
        key: &TokenKey,
        work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path(key);
        // Locks and flushes may take long, and must not block the runtime. A caller that goes away
        // does not stop the work, which ends as a whole.
        tokio::task::spawn_blocking(move || work(&path))
            .await
            .map_err(Error::store)?
    }
}

#[async_trait]
impl TokenStore for FileTokenStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        self.blocking(key, read).await
    }

    async fn claim(
        &self,
        key: &TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> Result<bool> {
        let lease = Lease {
            holder: holder.to_owned(),
            // The time of the call, and not that at which the lock was free: a lease must not
            // outlast what its holder reckons with.
            since: SystemTime::now(),
            time: lease,
        };
        self.blocking(key, move |path| {
            let mut locked = EntryLock::new(path)?;
            let current = read(path)?.map(|tokens| tokens.generation);
            if current != Some(generation)
                || locked.lease()?.is_some_and(|other| other.bars(&lease))
            {
                return Ok(false);
            }
            locked.keep(Some(&lease))?;
            Ok(true)
        })
        .await
    }

    async fn probe(&self, key: &TokenKey) -> Result<()> {
        self.blocking(key, |path| {
            let _locked = EntryLock::new(path)?;
            // As much as tokens take, to the disk; where there is room for it there is for them. A
            // probe that is there was left by a process that died.
            let probed = path.with_extension("probe");
            let written = remove(&probed).and_then(|()| write_new(&probed, &[0; 16 * 1024]));
            let removed = remove(&probed);
            written
                .and(removed)
                .map_err(|error| failed("cannot write", path, error))
        })
        .await
    }

    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool> {
        let json = tokens.expose_json();
        self.blocking(key, move |path| {
            let mut locked = EntryLock::new(path)?;
            if read(path)?.map(|tokens| tokens.generation) != expected {
                return Ok(false);
            }
            replace(path, json.as_bytes()).map_err(|error| failed("cannot write", path, error))?;
            // After the tokens: a process that dies in between leaves a lease, which ends by
            // itself.
            locked.keep(None)?;
            Ok(true)
        })
        .await
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        self.blocking(key, |path| {
            let mut locked = EntryLock::new(path)?;
            remove(path).map_err(|error| failed("cannot remove", path, error))?;
            // The removal is flushed: a power loss must not bring back the tokens of an access that was
            // given up.
            durable::sync_name(path).map_err(|error| failed("cannot remove", path, error))?;
            locked.keep(None)
        })
        .await
    }
}

/// An entry; whole, as it is only ever renamed into its place.
fn read(path: &Path) -> Result<Option<Tokens>> {
    let cannot = |error| failed("cannot read", path, error);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    // Of the open file, not of the path, which may lead to another one by now.
    refuse_if_readable(path, &file.metadata().map_err(cannot)?)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(cannot)?;
    Tokens::from_json(&text).map(Some).map_err(|error| {
        let name = path.display();
        Error::new(Kind::Store(format!(
            "{name} is damaged; remove it and sign in again"
        )))
        .with_source(error)
    })
}

/// The lease as its file holds it.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    holder: String,
    since: SystemTime,
    time: Duration,
}

impl Lease {
    /// Whether this lease keeps another one out. Its time counts in both directions, so that a
    /// clock that is set back does not prolong it for long.
    fn bars(&self, other: &Lease) -> bool {
        let apart = match other.since.duration_since(self.since) {
            Ok(after) => after,
            Err(before) => before.duration(),
        };
        self.holder != other.holder && apart < self.time
    }
}

/// The right to change an entry, among all processes, until it is dropped. The file is never removed: a
/// process that waits for its lock would wait for one that nobody else sees.
struct EntryLock {
    file: File,
    path: PathBuf,
}

impl EntryLock {
    fn new(entry: &Path) -> Result<Self> {
        let path = entry.with_extension("lease");
        let mut options = OpenOptions::new();
        // Not truncated: it may hold the lease of another process.
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let locked = options.open(&path).and_then(|file| {
            // Waits for other processes. The system frees the lock when the file is closed, also if
            // the process dies.
            file.lock()?;
            Ok(file)
        });
        match locked {
            Ok(file) => Ok(EntryLock { file, path }),
            Err(error) => Err(failed("cannot lock", &path, error)),
        }
    }

    /// A lease that cannot be read was being written when its process died: it never held.
    fn lease(&mut self) -> Result<Option<Lease>> {
        let mut text = Vec::new();
        self.file
            .read_to_end(&mut text)
            .map_err(|error| failed("cannot read", &self.path, error))?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// Not flushed to the disk: a machine that goes down takes the holder with it.
    fn keep(&mut self, lease: Option<&Lease>) -> Result<()> {
        let text = lease.map(serde_json::to_vec).transpose();
        let text = text.map_err(Error::store)?.unwrap_or_default();
        let EntryLock { file, path } = self;
        // Written in place, and not renamed as tokens are: the lock belongs to this very file.
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&text))
            .map_err(|error| failed("cannot write", path, error))
    }
}

/// Called under the lock: nobody else writes the temporary file, and one that is there was left
/// by a process that died.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    remove(&temporary)?;
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    durable::sync_name(path)
}

/// No error if it is not there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn refuse_if_shared(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|error| failed("cannot read", path, error))?;
    refuse_if_readable(path, &metadata)
}

#[cfg(unix)]
fn refuse_if_readable(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // Any right of the group or of others: whoever can write there could plant tokens.
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let (name, right) = (
        path.display(),
        if metadata.is_dir() { "700" } else { "600" },
    );
    Err(Error::new(Kind::Store(format!(
        "others can read {name}; run `chmod {right} {name}`"
    ))))
}

#[cfg(not(unix))]
fn refuse_if_readable(_: &Path, _: &fs::Metadata) -> Result<()> {
    Ok(())
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let text = format!("it {what} {}", path.display());
    // Only these pass by themselves, so that another try is of use: a full disk is emptied, a
    // permission that is missing is not granted by waiting.
    let passes = matches!(
        error.kind(),
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::ResourceBusy
    );
    let kind = if passes {
        Kind::StoreUnavailable(text)
    } else {
        Kind::Store(text)
    };
    Error::new(kind).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leads_out_of_the_directory_and_no_two_share_a_file() {
        let store = FileTokenStore {
            directory: PathBuf::from("d"),
        };
        let long = "歯科医院の名前はとても長い".repeat(9);
        let ids = ["a", "A", "../a", "a/b", "a=2fb", "", "con", "é", &long];
        let names = ids.map(|id| {
            let path = store.path(&TokenKey::Login(id.into()));
            assert_eq!(path.parent(), Some(Path::new("d")));
            // Encrypted file systems take 143.
            assert!(path.file_name().unwrap().len() < 143);
            path
        });
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[tokio::test]
    async fn a_probe_leaves_nothing_and_says_what_a_swap_would() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let store = FileTokenStore::open(&path).unwrap();
        let key = TokenKey::Login("me".into());
        store.probe(&key).await.unwrap();
        assert!(!store.path(&key).with_extension("probe").exists());
        assert!(store.load(&key).await.unwrap().is_none());
        fs::remove_dir_all(&path).unwrap();
        let error = store.probe(&key).await.unwrap_err();
        assert!(error.is_store() && !error.is_retryable(), "{error}");
    }

    fn entry(generation: u64) -> Tokens {
        Tokens::from_json(&format!(
            r#"{{"access_token":"canary","expires_at":1,"generation":{generation}}}"#
        ))
        .unwrap()
    }

    #[tokio::test]
    async fn what_a_process_that_died_leaves_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let store = FileTokenStore::open(directory.path().join("tokens")).unwrap();
        let key = TokenKey::Login("jane@lab.example".into());
        let hour = Duration::from_secs(3600);
        assert!(store.swap(&key, None, &entry(1)).await.unwrap());
        assert!(store.claim(&key, 1, "a", hour).await.unwrap());
        assert!(!store.claim(&key, 1, "b", hour).await.unwrap());

        // Half a lease, and half a file of tokens.
        fs::write(store.path(&key).with_extension("lease"), r#"{"holder":"#).unwrap();
        fs::write(store.path(&key).with_extension("tmp"), r#"{"access_"#).unwrap();
        assert!(store.claim(&key, 1, "b", hour).await.unwrap());
        assert!(store.swap(&key, Some(1), &entry(2)).await.unwrap());
        assert_eq!(store.load(&key).await.unwrap().unwrap().generation(), 2);
        assert!(!store.path(&key).with_extension("tmp").exists());

        // An entry is never half; one that somebody has edited is named, and not shown.
        fs::write(store.path(&key), r#"{"access_token":"canary""#).unwrap();
        let error = store.load(&key).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        let path = store.path(&key).display().to_string();
        assert!(error.is_store() && shown.contains(&path), "{shown}");
        assert!(
            !shown.contains("canary") && !shown.contains("jane"),
            "{shown}"
        );
    }

    #[test]
    fn a_lease_holds_for_its_time_whatever_the_clock_does() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let lease = |holder: &str, since| Lease {
            holder: holder.to_owned(),
            since,
            time: Duration::from_secs(90),
        };
        let held = lease("a", at(1000));
        for (holder, now, bars) in [
            ("b", 1000, true),
            ("b", 1089, true),
            ("b", 1090, false),
            ("a", 1001, false),
            // The clock was set back: a little, and a lot.
            ("b", 990, true),
            ("b", 100, false),
        ] {
            assert_eq!(held.bars(&lease(holder, at(now))), bars, "{holder} {now}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let store = FileTokenStore::open(&path).unwrap();
        let key = TokenKey::Login("me".into());
        assert!(store.load(&key).await.unwrap().is_none());

        let tokens = Tokens::from_json(
            r#"{"access_token":"a","refresh_token":null,"expires_at":1,"generation":4}"#,
        )
        .unwrap();
        assert!(store.swap(&key, None, &tokens).await.unwrap());
        assert_eq!(store.load(&key).await.unwrap().unwrap().generation(), 4);

        fs::set_permissions(store.path(&key), fs::Permissions::from_mode(0o640)).unwrap();
        let error = store.load(&key).await.unwrap_err();
        assert!(
            error.is_store() && error.to_string().contains("chmod 600"),
            "{error}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(FileTokenStore::open(&path).unwrap_err().is_store());

        store.clear(&key).await.unwrap();
        store.clear(&key).await.unwrap();
    }
}
