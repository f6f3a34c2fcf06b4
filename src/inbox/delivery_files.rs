//! The files of a delivery, once they are here.
//!
//! All of them, or an error: a delivery with a file missing must not look as if it were whole.

use crate::client::FetchedFile;
use crate::download::DownloadedFile;
use crate::error::Result;
#[cfg(doc)]
use crate::model::Asset;

/// The files of a delivery: what [`Delivery::download_all`](super::Delivery::download_all) returns.
#[derive(Clone, Debug)]
pub struct DeliveryFiles(Vec<DownloadedFile>);

impl DeliveryFiles {
    pub(super) fn of(fetched: Vec<FetchedFile<'_>>) -> Result<Self> {
        let files = fetched.into_iter().map(|fetched| fetched.result);
        files.collect::<Result<_>>().map(DeliveryFiles)
    }

    /// The zip of exported scans, see [`Asset::is_export`]; of several the first.
    #[must_use]
    pub fn export(&self) -> Option<&DownloadedFile> {
        self.iter().find(|file| file.asset.is_export())
    }

    /// The thumbnails, see [`Asset::is_thumbnails`]. Their format is not documented, and their names
    /// may lack an extension, see [`file_name`](crate::download::file_name).
    pub fn thumbnails(&self) -> impl Iterator<Item = &DownloadedFile> {
        self.iter().filter(|file| file.asset.is_thumbnails())
    }

    /// Files of other kinds, and further exports.
    pub fn others(&self) -> impl Iterator<Item = &DownloadedFile> {
        // By place and not by value: a second export may be equal to the first, and is one of the
        // others.
        let export = self.export().map(std::ptr::from_ref);
        let others = self.iter().filter(|file| !file.asset.is_thumbnails());
        others.filter(move |file| Some(std::ptr::from_ref(*file)) != export)
    }

    /// All of them, in the order in which they were fetched.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &DownloadedFile> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Asset, Order};

    fn file(asset: &Asset) -> DownloadedFile {
        DownloadedFile {
            asset: asset.clone(),
            path: "x".into(),
            bytes: 1,
            sha256: None,
        }
    }

    #[test]
    fn files_are_told_by_their_kinds() {
        let order: Order = serde_json::from_value(json!({
            "orderId": 1, "status": "Lab Review", "assets": [
                {"type": "IMAGE_GALLERY", "name": ""}, {"type": "IDE", "File_Name": "scan.zip"},
                {"type": "IDE", "id": "2"}, {"type": "PDF", "name": 7}, {},
            ],
        }))
        .unwrap();
        let files = DeliveryFiles(order.assets().iter().map(file).collect());
        let export = files.export().unwrap();
        assert_eq!(export.asset.original_name().as_deref(), Some("scan.zip"));
        assert!(
            files
                .iter()
                .filter(|one| one.asset.original_name().is_some())
                .count()
                == 1
        );
        assert_eq!(files.thumbnails().count(), 1);
        let others: Vec<_> = files.others().map(|file| file.asset.kind()).collect();
        assert_eq!(others, [Some("IDE"), Some("PDF"), None]);
    }
}
