//! The files of orders: what a user asks for, and where the bytes go.
//!
//! A file, a writer and a stream are three sinks of one `Transfer`. Nothing here may send a request
//! before it is known that the result can be kept: the request alone may mark the order as *Downloaded*.

mod many;
pub(super) mod source;
mod stream;
mod transfer;

use std::path::Path;

use futures_core::Stream;
use futures_util::FutureExt;
use tokio::io::AsyncWrite;

use super::Lab;
use crate::download::{
    Digest, DownloadedFile, FileRequirements, Progress, Report, Sink, ZipRule, fingerprint,
};
use crate::endpoints::Operation;
use crate::error::{Error, Result};
use crate::model::{Asset, Order};
use source::AssetSource;
use transfer::Transfer;

pub use many::{DownloadAll, FetchedFile};

impl Lab {
    /// *Download Asset*: a file of an order. Say where to with [`Download::to_file`].
    ///
    /// What marks an order as *Downloaded* is not documented. Record the order before its first
    /// file is fetched, and fetch thumbnails before the zip.
    pub fn download<'a>(&'a self, order: &'a Order, asset: &'a Asset) -> Download<'a> {
        Download {
            lab: self,
            order,
            asset,
            report: None,
            sha256: false,
            // Only the zip of an export is known to be one: other kinds are judged by their first bytes.
            zip: if asset.is_export() {
                ZipRule::Always
            } else {
                ZipRule::IfBegun
            },
        }
    }

    /// All files of some orders. Say where to with [`DownloadAll::to_directory`].
    pub fn download_all<'a>(&'a self, orders: &'a [Order]) -> DownloadAll<'a> {
        DownloadAll::new(self, orders)
    }
}

/// A download about to begin. [How files become whole](crate::download).
#[must_use = "nothing is downloaded until it is said where to"]
#[derive(Debug)]
pub struct Download<'a> {
    lab: &'a Lab,
    order: &'a Order,
    asset: &'a Asset,
    report: Option<Report>,
    sha256: bool,
    zip: ZipRule,
}

impl<'a> Download<'a> {
    /// Reports how far it has come, whenever bytes have arrived. It is called between two pieces:
    /// what takes long holds the download up. [`Progress::stream`] makes a stream of it.
    pub fn progress(mut self, report: impl FnMut(Progress) + Send + 'static) -> Self {
        self.report = Some(Report(Box::new(report)));
        self
    }

    /// Computes the file's SHA-256 on the way. Default: only if the service gives one to compare
    /// with.
    pub fn sha256(mut self) -> Self {
        self.sha256 = true;
        self
    }

    /// Whether the file must end as a zip does. Default: if its kind is `IDE` or its first bytes
    /// are those of a zip. That an order's files are zips is a convention.
    ///
    /// It must begin with its first entry, and have one end: a file that `export::Package::open` would
    /// refuse for its end is not delivered. The entries are not read.
    pub fn zip(mut self, is_zip: bool) -> Self {
        self.zip = if is_zip {
            ZipRule::Always
        } else {
            ZipRule::Never
        };
        self
    }

    /// Downloads to a file, in a directory that exists. A file of that name is replaced; what
    /// an earlier attempt left is continued.
    ///
    /// The token goes along only to hosts that it may be sent to: an asset's URL on another
    /// host is fetched without it. There is no limit on the whole time, only on the time
    /// between two pieces, the [rate](crate::client::ClientBuilder::minimum_rate), and attempts that
    /// bring nothing.
    ///
    /// # Errors
    ///
    /// [`Error::is_incomplete`] if it is not [whole](crate::download); [`Error::is_file`] if it
    /// cannot be written, which is found out before anything is asked for where it can be, with
    /// [`Error::is_disk_full`] and [`Error::is_permission_denied`]; also while another download
    /// writes to the same name. Nothing new is under the file's name then.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped, a `.part` file is left from which the next download goes on, if the service
    /// allows that, and nothing is under the file's name. Once the file is whole and being given
    /// its name, dropping it does not stop that.
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<DownloadedFile> {
        let path = path.as_ref();
        let asset = self.asset.clone();
        let source = AssetSource::new(self.lab, self.order, self.asset).await?;
        // Before anything is asked for: what cannot be kept should not count as downloaded
        // (`where_nothing_can_be_written_nothing_is_asked_for`).
        let sink = Sink::file(path, self.wanted()).await.map_err(named)?;
        let whole = Transfer::new(source, sink, self.report).run().await?;
        Ok(DownloadedFile {
            asset,
            path: path.to_owned(),
            bytes: whole.bytes,
            sha256: whole.sha256,
        })
    }

    /// Downloads to a writer, which gets the bytes as they come and is flushed at the end, not
    /// shut down. Returns the file's SHA-256, as 64 hexadecimal digits in lower case, if it was asked
    /// for or the service gave one to compare with.
    ///
    /// # Errors
    ///
    /// [`Error::is_incomplete`] if it is not [whole](crate::download), [`Error::is_file`] if the
    /// writer fails. The writer may have got bytes then: they are not the file. A download that
    /// breaks off goes on only if the service can give the rest of the same file.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the writer may have got a part of the file.
    pub async fn to_writer(
        self,
        writer: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<Option<String>> {
        let source = AssetSource::new(self.lab, self.order, self.asset).await?;
        let sink = Sink::writer(writer, self.wanted());
        let whole = Transfer::new(source, sink, self.report).run().await?;
        Ok(whole.sha256)
    }

    /// Downloads as a stream. It begins when it is first polled.
    ///
    /// The bytes are the file only if the stream ends without an error: the last item of one that
    /// is not [whole](crate::download) is an error, as those of [`Download::to_writer`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped, the download ends.
    pub fn stream(self) -> impl Stream<Item = Result<bytes::Bytes>> + Send + Unpin + use<'a> {
        stream::Pieces::new(|sender| {
            async move {
                let source = AssetSource::new(self.lab, self.order, self.asset).await?;
                let sink = Sink::channel(sender, self.wanted());
                let transfer = Transfer::new(source, sink, self.report);
                transfer.run().await.map(drop)
            }
            .boxed()
        })
    }

    fn wanted(&self) -> FileRequirements {
        let asset = self.asset;
        let size = asset.size().map(|size| size.to_string());
        let place = asset.url().filter(|_| asset.id().is_none());
        FileRequirements {
            // Everything that tells one version of a file from the next: else a `.part` of the old one
            // would be continued with the new (`what_does_not_continue_the_same_file_is_not_joined_to_it`).
            asset: fingerprint([
                Some(self.lab.id.as_str()),
                Some(self.order.id().as_str()),
                asset.id().map(AsRef::as_ref),
                asset.kind(),
                size.as_deref(),
                asset.modified_text(),
                // What has no id is known by where it is; a signature is no part of that.
                place.map(url::Url::path),
            ]),
            digests: Digest::of_asset(asset),
            sha256: self.sha256,
            zip: self.zip,
            size: asset.size(),
            access: self.lab.access(),
        }
    }
}

fn named(error: Error) -> Error {
    error.with_operation(Operation::DownloadAsset.title())
}
