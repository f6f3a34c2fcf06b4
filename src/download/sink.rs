//! A file on its way to its name.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use crate::error::{Error, Kind, Result, Sent};

/// A file that arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// Where it is.
    pub path: PathBuf,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// Writes to `NAME.part`, and gives it its name when it is whole.
#[derive(Debug)]
pub(crate) struct Sink {
    target: PathBuf,
    part: PathBuf,
    file: File,
    written: u64,
}

impl Sink {
    pub(crate) async fn create(target: &Path) -> Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(Error::configuration(
                "the path to download to has no file name",
            ));
        };
        let mut part_name = name.to_owned();
        part_name.push(".part");
        let part = target.with_file_name(part_name);
        let unsent = |error| failed(error).with_sent(Sent::No);
        let file = File::create(&part).await.map_err(unsent)?;
        Ok(Sink {
            target: target.to_owned(),
            part,
            file,
            written: 0,
        })
    }

    pub(crate) async fn write(&mut self, chunk: &Bytes) -> Result<()> {
        self.file.write_all(chunk).await.map_err(failed)?;
        self.written += chunk.len() as u64;
        Ok(())
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Takes the file for whole if it is as long as it should be.
    pub(crate) async fn finish(mut self, expected: &[Option<u64>]) -> Result<Downloaded> {
        let wrong = expected
            .iter()
            .flatten()
            .find(|&&length| length != self.written);
        let incomplete = match wrong {
            Some(&length) => Some(self.incomplete(Some(length))),
            None if self.written == 0 => {
                Some(Error::new(Kind::Incomplete("it is empty".to_owned())))
            }
            None => None,
        };
        if let Some(error) = incomplete {
            self.abandon().await;
            return Err(error);
        }
        let mut settled = self.file.flush().await;
        if settled.is_ok() {
            settled = self.file.sync_all().await;
        }
        drop(self.file);
        if settled.is_ok() {
            settled = fs::rename(&self.part, &self.target).await;
        }
        if let Err(error) = settled {
            // The error that matters is the first one.
            let _ = fs::remove_file(&self.part).await;
            return Err(failed(error));
        }
        sync_directory(&self.target).await.map_err(failed)?;
        Ok(Downloaded {
            path: self.target,
            bytes: self.written,
        })
    }

    /// The error for a file that broke off here, or that is not as long as it should be.
    pub(crate) fn incomplete(&self, expected: Option<u64>) -> Error {
        let written = self.written;
        Error::new(Kind::Incomplete(match expected {
            Some(length) => format!("{written} of {length} bytes came"),
            None => format!("the connection broke after {written} bytes"),
        }))
    }

    /// Removes what came.
    pub(crate) async fn abandon(self) {
        drop(self.file);
        // Nothing is under the final name, which is what counts.
        let _ = fs::remove_file(&self.part).await;
    }
}

/// Makes the new name durable, where directories can be synced.
async fn sync_directory(target: &Path) -> io::Result<()> {
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if cfg!(unix) {
        File::open(parent).await?.sync_all().await
    } else {
        Ok(())
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(Kind::File(error.kind().to_string())).with_source(error)
}
