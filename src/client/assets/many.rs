//! Several files at once.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};

use super::super::Lab;
use super::Assets;
use crate::download::{Downloaded, Progress, file_name};
use crate::error::Result;
use crate::model::{Asset, Order};

/// All files of some orders, about to be downloaded.
#[must_use = "nothing is downloaded until it is said where to"]
pub struct DownloadAll<'a> {
    lab: &'a Lab,
    orders: &'a [Order],
    concurrency: usize,
    sha256: bool,
    report: Option<ReportAll<'a>>,
}

type ReportAll<'a> =
    Box<dyn Fn(&Order, &Asset) -> Box<dyn FnMut(Progress) + Send> + Send + Sync + 'a>;

/// What came of one file.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched<'a> {
    /// Whose file it is.
    pub order: &'a Order,
    /// Which file.
    pub asset: &'a Asset,
    /// Where it is now, or why it is not.
    pub result: Result<Downloaded>,
}

impl<'a> DownloadAll<'a> {
    pub(super) fn new(lab: &'a Lab, orders: &'a [Order]) -> Self {
        DownloadAll {
            lab,
            orders,
            concurrency: 4,
            sha256: false,
            report: None,
        }
    }

    /// How many orders are downloaded at a time, each one file after the other. Default: 4; at
    /// least 1. The account's limit on [operations](crate::client::ClientBuilder::concurrency)
    /// holds too.
    pub fn concurrency(mut self, orders: usize) -> Self {
        self.concurrency = orders.max(1);
        self
    }

    /// Computes every file's SHA-256 on the way.
    pub fn sha256(mut self) -> Self {
        self.sha256 = true;
        self
    }

    /// Tells how far each file has come. `begin` is called when a file is asked for, and gives
    /// what is told of it.
    pub fn progress<R: FnMut(Progress) + Send + 'static>(
        mut self,
        begin: impl Fn(&Order, &Asset) -> R + Send + Sync + 'a,
    ) -> Self {
        self.report = Some(Box::new(move |order, asset| Box::new(begin(order, asset))));
        self
    }

    /// Downloads to a directory that exists, under the names of [`file_name`];
    /// where several of an order's files have the same, the second begins with `2-`, and so on.
    ///
    /// One that fails does not stop the rest. Of each order the zip comes last: what marks an
    /// order as *Downloaded* is not documented, and after it the thumbnails might be out of reach.
    /// The results are in the order of the orders, and within each as they were fetched.
    ///
    /// # Cancel safety
    ///
    /// As [`Download::to_file`](super::Download::to_file), for each of them; files that were
    /// whole by then stay.
    pub async fn to_directory(self, directory: impl AsRef<Path>) -> Vec<Fetched<'a>> {
        let directory = directory.as_ref().to_owned();
        let this = &self;
        let fetching = self.orders.iter().map(|order| {
            let directory = directory.clone();
            this.order(order, directory)
        });
        // Built first: a closure that borrows would not be general enough for the stream.
        let fetching: Vec<_> = fetching.collect();
        let fetched = stream::iter(fetching).buffered(self.concurrency);
        fetched
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn order(&self, order: &'a Order, directory: PathBuf) -> Vec<Fetched<'a>> {
        let mut assets: Vec<_> = order.assets().iter().collect();
        assets.sort_by_key(|asset| (asset.is_export(), !asset.is_thumbnails()));
        let mut fetched = Vec::with_capacity(assets.len());
        let mut names: Vec<String> = Vec::new();
        for asset in assets {
            let mut download = Assets::new(self.lab).download(order, asset);
            download.sha256 = self.sha256;
            if let Some(report) = &self.report {
                download = download.progress(report(order, asset));
            }
            // Assets without ids may share a kind.
            let name = file_name(order, asset);
            let earlier = names.iter().filter(|earlier| **earlier == name).count();
            let target = directory.join(match earlier {
                0 => name.clone(),
                _ => format!("{}-{name}", earlier + 1),
            });
            names.push(name);
            fetched.push(Fetched {
                order,
                asset,
                result: download.to_file(target).await,
            });
        }
        fetched
    }
}

impl std::fmt::Debug for DownloadAll<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DownloadAll")
            .field("orders", &self.orders.len())
            .field("concurrency", &self.concurrency)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}
