//! Several files at once.
//!
//! *Problem.* One file that fails must not cost the others, files of two orders may have one name, and
//! fetching a zip may take its order off the list while its thumbnails are still to be had.
//!
//! *Approach.* `plan` settles names and sequence before the first request, without I/O. The files of an
//! order come one after the other, orders side by side. Two files must not go to one name: the second
//! would replace the first.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use futures_util::{StreamExt, stream};

use super::super::Lab;
use crate::download::{DownloadedFile, Progress, file_name};
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
pub struct FetchedFile<'a> {
    /// Whose file it is.
    pub order: &'a Order,
    /// Which file.
    pub asset: &'a Asset,
    /// Where it is now, or why it is not.
    pub result: Result<DownloadedFile>,
}

impl<'a> DownloadAll<'a> {
    pub(super) fn new(lab: &'a Lab, orders: &'a [Order]) -> Self {
        DownloadAll {
            lab,
            orders,
            // Half of an account's eight operations by default: calls find a place beside the files.
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

    /// Reports how far each file has come. `begin` is called when a file is asked for, and returns
    /// the function that is called with its progress.
    pub fn progress<R: FnMut(Progress) + Send + 'static>(
        mut self,
        begin: impl Fn(&Order, &Asset) -> R + Send + Sync + 'a,
    ) -> Self {
        self.report = Some(Box::new(move |order, asset| Box::new(begin(order, asset))));
        self
    }

    /// Downloads to a directory that exists, under the names of [`file_name`];
    /// where several files of the call have the same, the second begins with `2-`, and so on.
    ///
    /// One that fails does not stop the rest. Of each order the zip comes last: what marks an
    /// order as *Downloaded* is not documented, and after it the thumbnails might be out of reach.
    /// The results are in the order of the orders, and within each as they were fetched. A file
    /// that is there more than once, the same asset of the same order, is fetched once, and what
    /// came of it is reported for each.
    ///
    /// # Cancel safety
    ///
    /// As [`Download::to_file`](super::Download::to_file), for each of them; files that were
    /// whole by then stay.
    pub async fn to_directory(self, directory: impl AsRef<Path>) -> Vec<FetchedFile<'a>> {
        let directory = directory.as_ref().to_owned();
        let this = &self;
        let plan = plan(self.orders);
        let fetching = plan.iter().map(|files| this.files(files, &directory));
        // Built first: a closure that borrows would not be general enough for the stream.
        let fetching: Vec<_> = fetching.collect();
        // `buffered` returns results in the order of the orders, whichever ends first.
        let fetched = stream::iter(fetching).buffered(self.concurrency);
        let results: Vec<Vec<_>> = fetched.collect().await;
        // What is fetched once is planned before what only repeats it.
        let mut all: Vec<FetchedFile<'a>> = Vec::new();
        for (file, result) in plan.iter().flatten().zip(results.into_iter().flatten()) {
            let result = match (&file.to, result) {
                (Destination::Name(_), Some(result)) => result,
                // Its index is smaller: `plan` counts in this same order.
                (Destination::SameAs(first), _) => all[*first].result.clone(),
                // Does not happen: `files` returns a result for each name.
                (Destination::Name(_), None) => continue,
            };
            all.push(FetchedFile {
                order: file.order,
                asset: file.asset,
                result,
            });
        }
        all
    }

    /// Fetches an order's files, one after the other; nothing for those that repeat another.
    async fn files(
        &self,
        files: &[PlannedFile<'a>],
        directory: &Path,
    ) -> Vec<Option<Result<DownloadedFile>>> {
        let mut results = Vec::with_capacity(files.len());
        for PlannedFile { order, asset, to } in files {
            let Destination::Name(name) = to else {
                results.push(None);
                continue;
            };
            let mut download = self.lab.download(order, asset);
            download.sha256 = self.sha256;
            if let Some(report) = &self.report {
                download = download.progress(report(order, asset));
            }
            results.push(Some(download.to_file(directory.join(name)).await));
        }
        results
    }
}

/// A file, and where it goes.
struct PlannedFile<'a> {
    order: &'a Order,
    asset: &'a Asset,
    to: Destination,
}

#[derive(Debug, PartialEq, Eq)]
enum Destination {
    Name(String),
    /// Nowhere: it is the same as that one, counted over all orders.
    SameAs(usize),
}

/// The files of each order as they are fetched, no two of them to one name.
fn plan(orders: &[Order]) -> Vec<Vec<PlannedFile<'_>>> {
    let mut names = HashSet::new();
    let mut first: HashMap<(&str, String), Vec<(usize, &Asset)>> = HashMap::new();
    // The index of a file over all orders, as `to_directory` counts its results.
    let mut count = 0;
    let planned = orders.iter().map(|order| {
        let mut assets: Vec<_> = order.assets().iter().collect();
        // The zip last: fetching it may take the order off the list, and the thumbnails out of
        // reach.
        assets.sort_by_key(|asset| (asset.is_export(), !asset.is_thumbnails()));
        let planned = assets.into_iter().map(|asset| {
            let name = file_name(order, asset);
            // Keyed by the order too: two orders may hold assets that are equal, and they are two files.
            // A list is enough under one key: few assets share a name.
            let alike = first
                .entry((order.id().as_str(), name.clone()))
                .or_default();
            let same = alike.iter().find(|(_, other)| *other == asset);
            let to = match same {
                Some((first, _)) => Destination::SameAs(*first),
                None => {
                    alike.push((count, asset));
                    let others = (2..).map(|number| format!("{number}-{name}"));
                    let mut candidates = std::iter::once(name.clone()).chain(others);
                    // File names of several orders may be alike. The range has no end, so that one
                    // is always free.
                    let free = candidates.find(|candidate| names.insert(candidate.clone()));
                    Destination::Name(free.unwrap_or(name))
                }
            };
            count += 1;
            PlannedFile { order, asset, to }
        });
        planned.collect()
    });
    planned.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_a_name_of_its_own_and_the_same_file_is_fetched_once() {
        let order = |id: &str, assets: &str| -> Order {
            let json = format!(r#"{{"orderId":"{id}","status":"Sent","assets":[{assets}]}}"#);
            serde_json::from_str(&json).unwrap()
        };
        let both = r#"{"id":"z","type":"IDE"},{"id":"i","type":"IMAGE_GALLERY"}"#;
        let orders = [
            order("1", both),
            order(
                "2",
                r#"{"type":"x","url":"https://a.example/1"},{"type":"x","url":"https://a.example/2"}"#,
            ),
            order("1", both),
            // The same order with another version of a file, and a file twice.
            order(
                "1",
                r#"{"id":"i","type":"IMAGE_GALLERY","size":7},{"id":"q"},{"id":"q"}"#,
            ),
            // What the second one above is named like.
            order("2-2", r#"{"type":"x"}"#),
        ];
        let planned = plan(&orders);
        let to: Vec<Vec<String>> = planned
            .iter()
            .map(|files| {
                let to = files.iter().map(|file| match &file.to {
                    Destination::Name(name) => name.clone(),
                    Destination::SameAs(first) => format!("= {first}"),
                });
                to.collect()
            })
            .collect();
        let images = file_name(&orders[0], &orders[0].assets()[1]);
        let zip = file_name(&orders[0], &orders[0].assets()[0]);
        assert_eq!(to[0], [images.clone(), zip]);
        assert_eq!(to[1], ["2-x", "2-2-x"]);
        assert_eq!(to[2], ["= 0", "= 1"]);
        assert_eq!(
            to[3],
            [format!("2-{images}"), "1-q".to_owned(), "= 7".to_owned()]
        );
        assert_eq!(to[4], ["2-2-2-x"]);
        let mut names: Vec<&String> = to
            .iter()
            .flatten()
            .filter(|to| !to.starts_with('='))
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 7);
    }
}
