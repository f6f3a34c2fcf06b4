//! The files of an order: what distinguishes them from others, and which they are for an order that has
//! gone on since it was delivered.
//!
//! *Problem.* The service shows files of what is with the lab, and maybe of nothing else, while a
//! delivery of what has gone on is still open.
//!
//! *Approach.* An order that is shown without files keeps those that it was seen with last, as long as
//! nothing has arrived since. A delivery must never get the files of an earlier scan (test
//! `an_order_that_has_come_again_keeps_no_files_of_before`).

use super::Inbox;
use super::plan::identity::present;
use super::plan::{File, Files};
use super::store::Save;
use crate::error::Result;
use crate::model::Order;

/// What distinguishes this delivery's files from another's.
pub(super) fn fingerprint(order: &Order) -> Files {
    Files::new(described(order))
}

/// The files as the order describes them. Signed URLs are no part of it.
///
/// A file goes by its id; one without is left out, since a kind is no evidence. Its size, its time and its digest count
/// where the service sends them.
pub(super) fn described(order: &Order) -> impl Iterator<Item = File<'_>> {
    order.assets().iter().filter_map(|asset| {
        // With the default of its type for an id, all files of an order would be one.
        let mut file = File::new(asset.id().and_then(present)?);
        if let Some(size) = asset.size() {
            file = file.size(size);
        }
        if let Some(time) = asset.modified() {
            file = file.modified(time);
        }
        // The best one: a service that sends two in one answer may send one in the next.
        if let Some((algorithm, digest)) = asset.digests().max() {
            file = file.digest(format!("{algorithm}:{digest}"));
        }
        Some(file)
    })
}

/// Whether an order says which files it has. In the statuses that *Get Orders* lists an empty list
/// says that there are none; in any other it may only say that they are not shown to the lab.
pub(super) fn are_given(order: &Order) -> bool {
    !order.assets().is_empty() || (order.has_asset_list() && order.status().is_listed())
}

/// Gives an order that is elsewhere and shown without files those that it was seen with last: a
/// delivery that is still open would have nothing to download, and look as if it were done.
///
/// An order that has arrived at the lab keeps none of those that it had before, also where only the
/// service's history mentions it: they may be another scan's. What is read here is not older than
/// the version that the save replaces; if it is newer, the commit fails and all is made again.
pub(super) async fn keep(inbox: &Inbox, save: &mut Save) -> Result<()> {
    let Some(order) = &save.order else {
        return Ok(());
    };
    let mut arrivals = save.arrivals.iter();
    // A new delivery: what was kept belongs to the one before.
    let has_arrived = arrivals.any(|arrival| arrival.ordinal.is_some());
    if save.case.version() == 0 || has_arrived || order.status().is_listed() || are_given(order) {
        return Ok(());
    }
    let stored = inbox.store().find(inbox.account(), order.id()).await?;
    if let Some(before) = stored.and_then(|stored| stored.order)
        && !before.assets().is_empty()
    {
        save.order = Some(order.with_files_of(&before).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn another_digest_is_another_file() {
        let with = |digests: Value| {
            let mut asset = json!({ "id": "1" });
            asset
                .as_object_mut()
                .unwrap()
                .extend(digests.as_object().unwrap().clone());
            let order = json!({ "orderId": 1, "status": "Lab Review", "assets": [asset] });
            fingerprint(&serde_json::from_value(order).unwrap())
        };
        let (a, b, md5) = ("a".repeat(64), "b".repeat(64), "0".repeat(32));
        let one = with(json!({ "sha256": a, "md5": md5 }));
        assert!(one.contradict(&with(json!({ "SHA-256": b, "md5": md5 }))));
        for same in [json!({ "sha256": a }), json!({})] {
            assert!(!one.contradict(&with(same)));
        }
    }
}
