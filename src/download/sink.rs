//! Where a download goes: to a file, a writer or a channel.
//!
//! *Problem.* A file can be cut and begun anew. What went to a writer or a channel cannot be taken
//! back.
//!
//! *Approach.* One type with both outputs. For the second kind a restart is allowed only if the
//! service confirms the same version of the file; the bytes that were handed on are then skipped.
//! Bytes of two versions must never be joined.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::digest::{Digest, Hashers};
use super::part::{Part, State, failed};
use super::resume::{PartialFile, Validator};
use super::verify::{Check, ZipRule, verify};
use crate::access::Access;
use crate::error::{Error, Kind, Result};
use crate::model::Asset;
use crate::zip_end::Edges;

/// A file that arrived whole.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DownloadedFile {
    /// What the service says of it.
    pub asset: Asset,
    /// Where it is.
    pub path: PathBuf,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Its SHA-256, if it was asked for or the service gave one to compare with: 64 hexadecimal digits
    /// in lower case.
    pub sha256: Option<String>,
}

/// What is known of bytes that arrived whole.
#[derive(Clone, Debug)]
pub(crate) struct VerifiedFile {
    pub(crate) bytes: u64,
    pub(crate) sha256: Option<String>,
}

/// What is to hold for a file, whatever way it comes.
#[derive(Clone, Debug)]
pub(crate) struct FileRequirements {
    /// What asset it is, as a fingerprint.
    pub(crate) asset: String,
    pub(crate) digests: Vec<Digest>,
    pub(crate) sha256: bool,
    pub(crate) zip: ZipRule,
    pub(crate) access: Access,
    /// How long it is by the order.
    pub(crate) size: Option<u64>,
}

/// Takes a file's bytes, in the order that they have in it.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    out: Output<'a>,
    wanted: FileRequirements,
    /// The bytes that are there and count.
    bytes: u64,
    /// What they are, if they can be continued.
    validator: Option<Validator>,
    total: Option<u64>,
    /// What the whole file hashes to, by the asset and by the answers.
    digests: Vec<Digest>,
}

enum Output<'a> {
    File(Part),
    Stream(Box<StreamState>, Destination<'a>),
}

/// What is handed on cannot be taken back.
#[derive(Debug)]
struct StreamState {
    hashers: Option<Hashers>,
    edges: Edges,
    /// Bytes to come that were handed on already.
    skip: u64,
}

enum Destination<'a> {
    Writer(&'a mut (dyn AsyncWrite + Unpin + Send)),
    Channel(mpsc::Sender<Bytes>),
}

impl<'a> Sink<'a> {
    /// A file; some of its bytes may be there already.
    pub(crate) async fn file(target: &Path, wanted: FileRequirements) -> Result<Self> {
        let (part, kept) = Part::open(target, wanted.asset.clone(), wanted.access).await?;
        let mut sink = Sink::new(Output::File(part), wanted);
        if let Some((bytes, state)) = kept {
            sink.bytes = bytes;
            sink.total = state.total;
            sink.validator = Some(state.validator);
            sink.know(state.digests);
        }
        Ok(sink)
    }

    pub(crate) fn writer(
        writer: &'a mut (dyn AsyncWrite + Unpin + Send),
        wanted: FileRequirements,
    ) -> Self {
        Sink::new(
            Output::Stream(Box::new(StreamState::new()), Destination::Writer(writer)),
            wanted,
        )
    }

    pub(crate) fn channel(sender: mpsc::Sender<Bytes>, wanted: FileRequirements) -> Self {
        Sink::new(
            Output::Stream(Box::new(StreamState::new()), Destination::Channel(sender)),
            wanted,
        )
    }

    fn new(out: Output<'a>, wanted: FileRequirements) -> Self {
        Sink {
            out,
            bytes: 0,
            validator: None,
            total: None,
            digests: wanted.digests.clone(),
            wanted,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is there and can be continued.
    pub(crate) fn held(&self) -> Option<PartialFile> {
        PartialFile::new(self.bytes, self.validator.clone()?, self.total)
    }

    fn know(&mut self, digests: Vec<Digest>) {
        for digest in digests {
            if !self.digests.contains(&digest) {
                self.digests.push(digest);
            }
        }
    }

    /// The file from its beginning comes next.
    pub(crate) async fn restart(
        &mut self,
        validator: Option<Validator>,
        total: Option<u64>,
        digests: Vec<Digest>,
    ) -> Result<()> {
        // Without a validator two answers cannot be known to be of one file.
        let same = validator.is_some() && validator == self.validator;
        if let (Output::Stream(..), false) = (&self.out, same || self.bytes == 0) {
            return Err(self.broken_off());
        }
        self.validator = validator;
        self.total = total;
        // Digests of earlier answers may be of an earlier version of the file.
        self.digests = self.wanted.digests.clone();
        self.know(digests);
        self.begin(0).await
    }

    /// What is there is continued from `from`.
    pub(crate) async fn resume(
        &mut self,
        from: u64,
        total: u64,
        digests: Vec<Digest>,
    ) -> Result<()> {
        self.total = Some(total);
        self.know(digests);
        self.begin(from).await
    }

    async fn begin(&mut self, from: u64) -> Result<()> {
        let hashers = Hashers::new(&self.digests, self.wanted.sha256);
        match &mut self.out {
            Output::File(part) => {
                let state = self.validator.clone().map(|validator| State {
                    asset: self.wanted.asset.clone(),
                    validator,
                    total: self.total,
                    digests: self.digests.clone(),
                });
                part.begin(from, state, hashers).await?;
                self.bytes = from;
            }
            Output::Stream(stream, _) => {
                let hashing = stream.hashers.get_or_insert(hashers.clone());
                if !hashing.serve(&hashers, self.bytes) {
                    // A digest that was announced after its bytes went by cannot be checked any more.
                    return Err(self.broken_off());
                }
                // Not below zero: a restart begins at 0, and a resume at or one byte before what is
                // there.
                stream.skip = self.bytes - from;
            }
        }
        Ok(())
    }

    fn broken_off(&self) -> Error {
        let bytes = self.bytes;
        Error::new(Kind::Incomplete(format!(
            "the connection broke after {bytes} bytes were handed on, and the service does not \
             give the rest of the same file"
        )))
    }

    pub(crate) async fn write(&mut self, mut chunk: Bytes) -> Result<()> {
        match &mut self.out {
            Output::File(part) => {
                // Counted before it is written: after an error nothing is resumed from this count,
                // since the thread has ended.
                self.bytes += chunk.len() as u64;
                part.write(chunk).await
            }
            Output::Stream(stream, destination) => {
                // A number too large for `usize` is larger than any chunk.
                let known = usize::try_from(stream.skip).unwrap_or(usize::MAX);
                let known = known.min(chunk.len());
                chunk.advance(known);
                stream.skip -= known as u64;
                if chunk.is_empty() {
                    return Ok(());
                }
                // Skipped bytes were hashed when they came the first time.
                if let Some(hashers) = &mut stream.hashers {
                    hashers.update(&chunk);
                }
                stream.edges.extend(&chunk);
                self.bytes += chunk.len() as u64;
                match destination {
                    // A caller that drops the future here can have written a part of the chunk;
                    // such a download is not continued.
                    Destination::Writer(writer) => writer.write_all(&chunk).await.map_err(failed),
                    // An error says that the stream was dropped: then nobody waits for what is returned
                    // either.
                    Destination::Channel(sender) => {
                        let gone = || Error::new(Kind::File("nobody takes it".to_owned()));
                        sender.send(chunk).await.map_err(|_| gone())?;
                        // Until it is taken: what its taker needs is not time that the service
                        // takes for the next piece.
                        sender.reserve().await.map(drop).map_err(|_| gone())
                    }
                }
            }
        }
    }

    /// How many bytes of what comes are there already.
    pub(crate) fn skips(&self) -> u64 {
        match &self.out {
            Output::File(_) => 0,
            Output::Stream(stream, _) => stream.skip,
        }
    }

    /// Takes the file for whole, if it is.
    pub(crate) async fn finish(&mut self, needs_proof: bool) -> Result<VerifiedFile> {
        let check = Check {
            zip: self.wanted.zip,
            digests: self.digests.clone(),
            needs_proof,
            size: self.wanted.size,
        };
        let finished = match &mut self.out {
            Output::File(part) => part.finish(check).await,
            Output::Stream(stream, destination) => {
                let hashers = stream.hashers.get_or_insert_default();
                // Before the flush: the caller learns that the bytes are wrong, even if its writer
                // fails.
                verify(self.bytes, &check, &stream.edges, hashers)?;
                if let Destination::Writer(writer) = destination {
                    writer.flush().await.map_err(failed)?;
                }
                Ok(hashers.sha256())
            }
        };
        if let Err(error) = &finished
            && matches!(error.kind(), Kind::Incomplete(_))
        {
            // `Part::finish` has emptied the part: the next attempt begins anew.
            self.bytes = 0;
            self.validator = None;
        }
        Ok(VerifiedFile {
            bytes: self.bytes,
            sha256: finished?,
        })
    }

    /// Leaves it as it is: what can be resumed stays.
    pub(crate) async fn leave(self) {
        if let Output::File(part) = self.out {
            part.leave().await;
        }
    }
}

impl StreamState {
    fn new() -> Self {
        StreamState {
            hashers: None,
            edges: Edges::default(),
            skip: 0,
        }
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Output::File(_) => "File",
            Output::Stream(_, Destination::Writer(_)) => "Writer",
            Output::Stream(_, Destination::Channel(_)) => "Channel",
        })
    }
}
