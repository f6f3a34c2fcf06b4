//! The protocol of the spool: one folder for each delivery, shown whole, and its answer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use lab_connector::OrderStatus;
use lab_connector::inbox::{Delivery, DeliveryFiles, HandlerResult};
use serde_json::{Value, json};

/// The version of `delivery.json`. It grows when a field changes its meaning or goes.
const SCHEMA: u32 = 1;

/// An answer is read up to so many bytes.
const LONGEST_ANSWER: usize = 2_000;

pub struct Spool {
    root: PathBuf,
    shared: bool,
    account: String,
}

/// What the other side says of a folder.
enum Answer {
    Done,
    Failed(String),
    Returned(String),
    /// The folder was deleted.
    Gone,
}

impl Spool {
    pub fn open(root: &Path, shared: bool) -> io::Result<Self> {
        let spool = Spool {
            root: root.to_owned(),
            shared,
            account: String::new(),
        };
        make_directory(root, shared)?;
        make_directory(&root.join("done"), shared)?;
        // Its own state, and what is not complete, is nobody else's.
        make_directory(&root.join(".spool"), false)?;
        make_directory(&spool.incoming(), false)?;
        Ok(spool)
    }

    /// Names of folders are unique within one account.
    pub fn claim_for(&mut self, account: &str) -> anyhow::Result<()> {
        self.account = account.to_owned();
        let owner = self.root.join(".spool/account");
        match fs::read_to_string(&owner) {
            Ok(known) if known == account => Ok(()),
            Ok(known) => anyhow::bail!(
                "{} is the spool of account {known}: give account {account} another --to",
                self.root.display()
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let new = self.root.join(".spool/account.new");
                self.write(&new, account.as_bytes(), false)?;
                Ok(fs::rename(new, owner)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The file in which cases are kept.
    pub fn cases(&self) -> PathBuf {
        self.root.join(".spool/cases.db")
    }

    /// Shows a delivery as a folder, unless it is shown already, and waits for the answer.
    pub async fn hand_over(&self, delivery: &Delivery, look: Duration) -> HandlerResult {
        let name = delivery.directory_name();
        let (shown, done) = (self.root.join(&name), self.root.join("done").join(&name));
        // Read before anything is shown: it was told while no spool was running, or told before and
        // written down as the reason why it comes again.
        match answer(&shown, &done)? {
            Some(Answer::Failed(text)) if delivery.last_failure() == Some(&text) => {
                self.remove(&name)?;
                self.show(delivery, &shown).await?;
            }
            Some(Answer::Gone) if delivery.is_superseded() => {
                remove_directory(&self.incoming().join(&name))?;
                return Ok(());
            }
            Some(Answer::Gone) => self.show(delivery, &shown).await?,
            Some(_) | None => {}
        }
        let answer = loop {
            match answer(&shown, &done)? {
                Some(answer) => break answer,
                None => tokio::time::sleep(look).await,
            }
        };
        match answer {
            Answer::Done => {}
            Answer::Failed(text) => return Err(text.into()),
            Answer::Gone => return Err("the folder was removed and not moved to done/".into()),
            Answer::Returned(reason) => {
                // Where the case has gone on, an earlier process has returned it. That its files were
                // downloaded is our own doing.
                let later = delivery.full_history().arrivals().iter();
                let mut later = later.skip(delivery.history().len());
                if later.all(|arrival| *arrival.status() == OrderStatus::Downloaded) {
                    delivery.return_to_doctor(&reason).await?;
                }
                fs::rename(&shown, &done)?;
                sync_directory(&self.root)?;
            }
        }
        delivery.acknowledge().await?;
        // Says that the folder may be deleted. It may be gone.
        let _ = self.write(&done.join("acknowledged"), b"", self.shared);
        Ok(())
    }

    /// Puts the last folder of an order in `done` aside, so that it can be shown again.
    pub fn set_aside(&self, order: &str) -> io::Result<()> {
        let mut last: Option<(u64, PathBuf)> = None;
        for entry in fs::read_dir(self.root.join("done"))? {
            let path = entry?.path();
            // Those that were put aside have a name of their own.
            let name = path.file_name().unwrap_or_default();
            if name.to_string_lossy().contains('~') {
                continue;
            }
            let Ok(bytes) = fs::read(path.join("delivery.json")) else {
                continue;
            };
            let delivery: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let ordinal = delivery["ordinal"].as_u64().unwrap_or_default();
            if delivery["orderId"] == order && last.as_ref().is_none_or(|last| last.0 < ordinal) {
                last = Some((ordinal, path));
            }
        }
        let Some((_, path)) = last else { return Ok(()) };
        let mut number = 1;
        let aside = loop {
            let aside = PathBuf::from(format!("{}~{number}", path.display()));
            if !aside.exists() {
                break aside;
            }
            number += 1;
        };
        fs::rename(path, aside)
    }

    /// Downloads and describes the delivery out of sight, and then shows it whole.
    async fn show(
        &self,
        delivery: &Delivery,
        shown: &Path,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let files = delivery.download_all(self.incoming()).await?;
        let hidden = self.incoming().join(delivery.directory_name());
        let text = serde_json::to_vec_pretty(&describe(&self.account, delivery, &files))?;
        self.write(&hidden.join("delivery.json"), &text, self.shared)?;
        if !self.shared {
            restrict(&hidden)?;
        }
        sync_directory(&hidden)?;
        fs::rename(&hidden, shown)?;
        Ok(sync_directory(&self.root)?)
    }

    /// Takes a folder away at once, and then deletes it.
    fn remove(&self, name: &Path) -> io::Result<()> {
        let old = self.removed().join(name);
        remove_directory(&old)?;
        make_directory(&self.removed(), false)?;
        fs::rename(self.root.join(name), &old)?;
        remove_directory(&old)
    }

    /// Deletes what a killed process had taken away and not deleted yet: files of patients that nobody
    /// would look for. For the process that serves, before it does.
    pub fn tidy(&self) -> io::Result<()> {
        remove_directory(&self.removed())
    }

    fn removed(&self) -> PathBuf {
        self.incoming().join("removed")
    }

    fn incoming(&self) -> PathBuf {
        self.root.join(".spool/incoming")
    }

    fn write(&self, path: &Path, bytes: &[u8], shared: bool) -> io::Result<()> {
        // A killed process may have left one.
        if let Err(error) = fs::remove_file(path)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if !shared {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let mut file = options.open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

/// The content of `delivery.json`.
fn describe(account: &str, delivery: &Delivery, files: &DeliveryFiles) -> Value {
    let order = delivery.order();
    let arrived = delivery.arrived_at().duration_since(UNIX_EPOCH);
    let arrivals = delivery.history().arrivals().iter();
    let files = files.iter().map(|file| {
        let name = file.path.file_name().unwrap_or_default();
        json!({
            "name": name.to_string_lossy(),
            "bytes": file.bytes,
            "kind": file.asset.kind(),
            "isExport": file.asset.is_export(),
            "isThumbnails": file.asset.is_thumbnails(),
            "originalName": file.asset.original_name(),
        })
    });
    json!({
        "schema": SCHEMA,
        "accountId": account,
        "orderId": delivery.order_id().as_str(),
        "ordinal": delivery.ordinal(),
        "rxId": order.rx_id().map(|id| id.as_str()),
        "status": delivery.status().to_string(),
        "arrivedAt": arrived.unwrap_or_default().as_secs(),
        "history": arrivals.map(|arrival| arrival.status().to_string()).collect::<Vec<_>>(),
        "historyIsComplete": delivery.history().is_complete(),
        "advice": delivery.reading().action().advice(),
        "isDoubtful": delivery.is_doubtful(),
        "isRepeated": delivery.is_repeated(),
        "lastFailure": delivery.last_failure(),
        "files": files.collect::<Vec<_>>(),
    })
}

/// The answer, if there is one. The folder is looked for before `done`: it moves at once.
fn answer(shown: &Path, done: &Path) -> io::Result<Option<Answer>> {
    if !shown.try_exists()? {
        return Ok(Some(if done.try_exists()? {
            Answer::Done
        } else {
            Answer::Gone
        }));
    }
    if let Some(text) = read(&shown.join("failed"))? {
        return Ok(Some(Answer::Failed(text)));
    }
    Ok(read(&shown.join("returned"))?.map(Answer::Returned))
}

/// The text of an answer file: complete when a line break ends it. Links are not followed.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.len() <= LONGEST_ANSWER as u64 => {}
        Ok(_) => {
            let what = "the answer is longer than 2000 bytes, or is not a file";
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let text = String::from_utf8_lossy(&bytes);
    // The inbox keeps as many characters of a failure.
    let kept = || text.trim().chars().take(500).collect();
    Ok(text.ends_with('\n').then(kept))
}

fn make_directory(path: &Path, shared: bool) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    if !shared {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    match builder.create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// On Windows the directory's own list decides.
fn restrict(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let _ = path;
    Ok(())
}

/// Makes a rename durable. Windows opens no directories as files.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}
