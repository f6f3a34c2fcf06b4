//! The files of deliveries whose orders have gone on, or are shown without files.

use lab_connector::inbox::{Delivery, Inbox, MemoryStore};
use lab_connector::simulator::{Elsewhere, Simulator};
use lab_connector::{Order, OrderId, OrderStatus};
use serde_json::json;

use super::{HOUR, Service, names};
use crate::simulator::behaviour::{paired, with};

type Result<T = ()> = anyhow::Result<T>;

const KINDS: [&str; 2] = ["IMAGE_GALLERY", "IDE"];

async fn one(inbox: &Inbox) -> Result<Delivery> {
    let mut claimed = inbox.claim(1).await?;
    claimed.pop().ok_or_else(|| anyhow::anyhow!("no delivery"))
}

/// What `download_all` fetched is what the case's files of this revision were.
async fn downloads(
    delivery: &Delivery,
    service: &Simulator,
    order: &OrderId,
    revision: u32,
) -> Result {
    let directory = tempfile::tempdir()?;
    let mut files = Vec::new();
    for file in delivery.download_all(directory.path()).await?.iter() {
        files.push(std::fs::read(&file.path)?);
    }
    let true_files = KINDS.map(|kind| service.file(order, revision, kind).unwrap());
    assert!(files == true_files, "{} files", files.len());
    Ok(())
}

/// The portal sent the case to modeling before its files were fetched: nobody lists it any more,
/// and the service shows the files only of what is with the lab.
#[tokio::test]
async fn a_delivery_whose_order_went_on_and_is_shown_without_files_has_those_of_before() -> Result {
    let (service, lab) = paired(with(|b| b.elsewhere = Elsewhere::WithoutFiles)).await?;
    let inbox = lab.inbox(MemoryStore::new());
    let order = service.scan("L-1")?;
    inbox.poll().await?;
    service.send_to_modeling(&order)?;
    service.advance(HOUR);
    // An empty listing is believed when a second one agrees.
    inbox.poll().await?;
    inbox.poll().await?;
    let delivery = one(&inbox).await?;
    assert_eq!(*delivery.order().status(), OrderStatus::IteroModeling);
    downloads(&delivery, &service, &order, 1).await
}

/// The same, and no answer ever named the files: that is no delivery without files.
#[tokio::test]
async fn a_delivery_whose_files_were_never_named_waits_for_them() -> Result {
    let (service, lab) = paired(with(|b| {
        b.elsewhere = Elsewhere::WithoutFiles;
        b.assets_in_listing = false;
    }))
    .await?;
    let inbox = lab.inbox(MemoryStore::new());
    let order = service.scan("L-1")?;
    inbox.poll().await?;
    service.send_to_modeling(&order)?;
    service.advance(HOUR);
    inbox.poll().await?;
    let delivery = one(&inbox).await?;
    let directory = tempfile::tempdir()?;
    let error = delivery.download_all(directory.path()).await.unwrap_err();
    assert!(error.is_without_files(), "{error}");
    assert!(!error.is_retryable() && !error.to_string().contains(order.as_str()));
    delivery.defer(std::time::SystemTime::UNIX_EPOCH).await?;

    service.finish_modeling(&order)?;
    service.advance(HOUR / 2);
    inbox.poll().await?;
    for ordinal in [1, 2] {
        let delivery = one(&inbox).await?;
        assert_eq!(delivery.ordinal(), ordinal);
        downloads(&delivery, &service, &order, 2).await?;
        delivery.acknowledge().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_order_at_the_lab_that_says_it_has_no_files_has_none() -> Result {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show_more(1, "Ready for Download", json!({ "assets": [] }));
    inbox.poll().await?;
    let directory = tempfile::tempdir()?;
    let delivery = one(&inbox).await?;
    let files = delivery.download_all(directory.path()).await?;
    assert_eq!(files.iter().len(), 0);
    delivery.acknowledge().await?;
    Ok(())
}

#[tokio::test]
async fn an_order_of_which_no_answer_says_whether_it_has_files_is_not_done() -> Result {
    let service = Service::new();
    let inbox = service.inbox().await;
    // The one can be asked for, the other cannot.
    service.show(1, "Ready for Download");
    let nameless = json!({ "orderId": 2, "status": "Lab Review" });
    service.state().orders.insert(2, nameless);
    inbox.poll().await?;
    let directory = tempfile::tempdir()?;
    let claimed = inbox.claim(2).await?;
    assert_eq!(names(&claimed), [("1", 1), ("2", 1)]);
    for delivery in claimed {
        let error = delivery.download_all(directory.path()).await.unwrap_err();
        assert!(error.is_without_files(), "{error}");
    }
    assert_eq!(service.state().looks, ["rx-1"]);
    Ok(())
}

/// A service that gives another order for an Rx id: its files are another patient's.
#[tokio::test]
async fn the_files_of_another_order_are_not_taken() -> Result {
    let service = Service::new();
    let inbox = service.inbox().await;
    service.show(1, "Ready for Download");
    inbox.poll().await?;
    let other = json!({
        "orderId": 9, "rxId": "rx-1", "status": "Sent",
        "assets": [{ "assetId": "a", "type": "FILE", "url": "https://service.example/a" }],
    });
    service.state().orders.insert(0, other);
    let directory = tempfile::tempdir()?;
    let delivery = one(&inbox).await?;
    let error = delivery.download_all(directory.path()).await.unwrap_err();
    assert!(error.is_without_files(), "{error}");
    assert_eq!(service.state().looks, ["rx-1"]);
    Ok(())
}

/// The model was reviewed and sent on between two looks: the history tells of it, and its files are
/// not shown. Those of the scan before are others, also where they are still to be had.
#[tokio::test]
async fn an_arrival_that_only_the_history_tells_keeps_no_files_of_before() -> Result {
    let service = Service::new();
    let inbox = service.inbox().await;
    let statuses = ["Ready for Download", "Lab Review", "iTero Milling"];
    let entry = |hour: usize| json!({ "status": statuses[hour], "at": format!("2026-03-01T0{hour}:00:00Z") });
    let told = json!({ "assets": [{ "assetId": "first" }], "history": [entry(0)] });
    service.show_more(1, "Ready for Download", told);
    inbox.poll().await?;
    one(&inbox).await?.acknowledge().await?;
    let told = json!({ "assets": [], "history": [entry(0), entry(1), entry(2)] });
    service.show_more(1, "iTero Milling", told);
    inbox.poll().await?;
    inbox.poll().await?;
    let delivery = one(&inbox).await?;
    assert_eq!(*delivery.status(), OrderStatus::LabReview);
    assert!(delivery.order().assets().is_empty());
    let directory = tempfile::tempdir()?;
    let error = delivery.download_all(directory.path()).await.unwrap_err();
    assert!(error.is_without_files(), "{error}");
    Ok(())
}

/// What was scanned again must not be delivered with the files of the scan before.
#[tokio::test]
async fn an_order_that_has_come_again_keeps_no_files_of_before() -> Result {
    let service = Service::new();
    let inbox = service.inbox().await;
    let assets = json!({ "assets": [{ "assetId": "first" }] });
    service.show_more(1, "Ready for Download", assets);
    inbox.poll().await?;
    let kept = |delivery: &Delivery| delivery.order().assets().len();
    for status in ["iTero Modeling", "Scanning"] {
        service.show_more(1, status, json!({ "assets": [] }));
        service.pass(HOUR * 2);
        inbox.poll().await?;
        inbox.poll().await?;
        let delivery = one(&inbox).await?;
        assert_eq!(delivery.order().status().as_str(), status);
        assert_eq!(kept(&delivery), 1);
        delivery.defer(std::time::SystemTime::UNIX_EPOCH).await?;
    }
    service.show(1, "Ready for Download");
    inbox.poll().await?;
    let delivery = one(&inbox).await?;
    assert!(!Order::has_asset_list(delivery.order()));
    Ok(())
}

/// The name of a delivery's directory has the order's id, and those of its files may have more.
#[cfg(unix)]
#[tokio::test]
async fn the_directories_of_a_delivery_are_for_its_user_alone_unless_the_lab_shares_them() -> Result
{
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use lab_connector::{MemoryTokenStore, TokenStore};

    use crate::support::{account, tokens};

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = tempfile::tempdir()?;
    let plain = directory.path().join("plain");
    fs::create_dir(&plain)?;
    for (shared, expected) in [(false, 0o700), (true, mode(&plain))] {
        let service = Service::new();
        let kept = MemoryTokenStore::new();
        let good = tokens(&service.clock, 86_400);
        assert!(kept.swap(&account(), None, &good).await?);
        let lab = service.lab_set_up(kept, |builder| builder.shared_files(shared));
        let inbox = lab.inbox(MemoryStore::new());
        service.show_more(1, "Ready for Download", json!({ "assets": [] }));
        inbox.poll().await?;
        let cases = directory.path().join(format!("shared {shared}/cases"));
        one(&inbox).await?.download_all(&cases).await?;
        let made = fs::read_dir(&cases)?.next().unwrap()?.path();
        for path in [cases.parent().unwrap(), &cases, &made] {
            assert_eq!(mode(path), expected, "{}", path.display());
        }
    }
    Ok(())
}
