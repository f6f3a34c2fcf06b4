//! Tokens in a directory of files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::{TokenKey, TokenStore, Tokens};
use crate::error::{Error, Kind, Result};

/// Keeps tokens in a directory, a file each, that only the user of the process can read.
///
/// A file is written beside its place, flushed to the disk and renamed: after a crash there are
/// the old tokens or the new ones. Whoever can read the directory can act for the lab.
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
        // Letters, digits and `-` stay; all else is escaped, so that no id leads out of the
        // directory. Capitals are escaped too: some file systems do not tell them apart.
        let mut name = format!("{kind}_");
        for byte in id.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(byte.into()),
                _ => name.push_str(&format!("={byte:02x}")),
            }
        }
        self.directory.join(name + ".json")
    }

    async fn blocking<T: Send + 'static>(
        &self,
        key: &TokenKey,
        work: impl FnOnce(&Path) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path(key);
        tokio::task::spawn_blocking(move || work(&path))
            .await
            .map_err(Error::store)?
    }
}

#[async_trait]
impl TokenStore for FileTokenStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        self.blocking(key, |path| {
            let text = match fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed("cannot read", path, error)),
            };
            refuse_if_shared(path)?;
            Tokens::from_json(&text).map(Some)
        })
        .await
    }

    async fn save(&self, key: &TokenKey, tokens: &Tokens) -> Result<()> {
        let json = tokens.expose_json();
        self.blocking(key, move |path| {
            replace(path, json.as_bytes()).map_err(|error| failed("cannot write", path, error))
        })
        .await
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        self.blocking(key, |path| match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("cannot remove", path, error))
            }
            _ => Ok(()),
        })
        .await
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!(
        "{}-{:x}.tmp",
        std::process::id(),
        fastrand::u64(..)
    ));
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    sync_directory(path)
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

/// Makes a rename durable, where directories can be synced.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if cfg!(unix) => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(unix)]
fn refuse_if_shared(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(|error| failed("cannot read", path, error))?;
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
fn refuse_if_shared(_: &Path) -> Result<()> {
    Ok(())
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(Kind::Store(format!("it {what} {}", path.display()))).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leads_out_of_the_directory_and_no_two_share_a_file() {
        let store = FileTokenStore {
            directory: PathBuf::from("d"),
        };
        let names = ["a", "A", "../a", "a/b", "a=2fb", "", "con", "é"].map(|id| {
            let path = store.path(&TokenKey::Account(id.into()));
            assert_eq!(path.parent(), Some(Path::new("d")));
            path
        });
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
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
        store.save(&key, &tokens).await.unwrap();
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
