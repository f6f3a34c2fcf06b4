//! Files: where they are, for how long, and how they are told apart.

use std::time::Duration;

use lab_connector::simulator::{AssetIds, AssetUrls, Ids, Simulator};

use super::behaviour::{paired, token, with};
use super::{Result, download, listed, rx_of};
use crate::support::http;

#[tokio::test]
async fn signed_urls_expire_and_are_renewed() -> Result {
    let (service, lab) = paired(with(|b| {
        b.asset_urls = AssetUrls::Signed;
        b.asset_url_life = 60;
    }))
    .await?;
    service.scan("L-1")?;
    let listing = lab.orders().list().await?;
    let order = &listing.orders()[0];
    let url = order.assets()[0].url().unwrap().clone();
    assert_ne!(url.port(), Some(service.address().port()), "another origin");
    let at = url.socket_addrs(|| None)?[0];
    let target = format!("{}?{}", url.path(), url.query().unwrap());
    let get = async |target: &str, more: &str| -> Result<u16> {
        let head = format!("GET {target} HTTP/1.1{more}");
        Ok(http(at, &head, "").await?.0)
    };
    assert_eq!(get(&target, "").await?, 200);
    assert_eq!(get(&target, "\r\nauthorization: Bearer x").await?, 400);
    assert_eq!(
        get(&target.replace("signature=", "signature=0"), "").await?,
        403
    );
    let other = target.replace("thumbnails", "export");
    assert_eq!(get(&other, "").await?, 403, "signed for another file");
    let expires = target
        .split("expires=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let later = target.replace(expires, &(expires.parse::<u64>()? + 1000).to_string());
    assert_eq!(get(&later, "").await?, 403, "signed for another time");
    service.advance(Duration::from_secs(60));
    assert_eq!(get(&target, "").await?, 403);

    // The client renews it, by the order's Rx id.
    let directory = tempfile::tempdir()?;
    let export = order
        .assets()
        .iter()
        .find(|asset| asset.is_export())
        .unwrap();
    let path = directory.path().join("a.zip");
    lab.download(order, export).to_file(&path).await?;
    assert!(listed(&lab).await?.is_empty());
    // Nobody was given a token who should have none: the other origin refuses them.
    let refused = service
        .calls()
        .into_iter()
        .filter(|call| call.status == Some(400));
    assert_eq!(refused.count(), 1);
    Ok(())
}

#[tokio::test]
async fn the_other_origin_listens_where_it_is_told_to() -> Result {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let builder = Simulator::builder().listen_for_files(taken.local_addr()?);
    let error = builder.start().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    Ok(())
}

#[tokio::test]
async fn files_are_the_same_over_ranges_and_digests_fit() -> Result {
    for urls in [AssetUrls::SameHost, AssetUrls::Signed] {
        let behaviour = with(|b| (b.asset_urls, b.asset_digests) = (urls, true));
        let (service, lab) = paired(behaviour).await?;
        service.scan("L-1")?;
        let listing = lab.orders().list().await?;
        let order = &listing.orders()[0];
        let export = order
            .assets()
            .iter()
            .find(|asset| asset.is_export())
            .unwrap();
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("a.zip");
        let file = lab.download(order, export).to_file(&path).await?;
        let sha256 = export.sha256().unwrap();
        assert_eq!(file.sha256.as_deref(), Some(sha256));
    }
    Ok(())
}

#[tokio::test]
async fn a_file_without_ranges_and_validators_comes_whole() -> Result {
    let (service, _) = paired(with(|b| (b.ranges, b.etags) = (false, false))).await?;
    let order = service.scan("L-1")?;
    let token = token(&service).await?;
    let head = format!(
        "GET /accounts/L-1/orders/{order}/assets/t{order}-1 HTTP/1.1\r\n\
         authorization: Bearer {token}\r\nrange: bytes=1-2"
    );
    let (status, body) = http(service.address(), &head, "").await?;
    assert!(status == 200 && body.starts_with("PK"), "{status}");
    Ok(())
}

#[tokio::test]
async fn an_expired_url_is_renewed_whatever_its_status() -> Result {
    for code in [400, 401, 403, 404, 410] {
        let (service, lab) = paired(with(|b| {
            (b.asset_urls, b.expired_code) = (AssetUrls::Signed, code);
            // Nor does it matter whether anybody knows how long the file is.
            b.asset_sizes = code % 2 == 0;
        }))
        .await?;
        service.scan("L-1")?;
        let listing = lab.orders().list().await?;
        let order = &listing.orders()[0];
        let sized = order.assets().iter().all(|asset| asset.size().is_some());
        assert_eq!(sized, code % 2 == 0);
        service.advance(Duration::from_secs(15 * 60));
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("a.zip");
        let export = order.assets().iter().find(|asset| asset.is_export());
        let download = lab.download(order, export.unwrap());
        let file = download.to_file(&path).await?;
        assert_eq!(file.bytes, std::fs::metadata(&path)?.len());
        assert!(service.calls().iter().any(|call| call.status == Some(code)));
        assert!(listed(&lab).await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn ids_of_files_change_with_the_file_or_do_not() -> Result {
    for ids in [Ids::Text, Ids::Number] {
        for asset_ids in [AssetIds::PerRevision, AssetIds::PerOrder] {
            let behaviour = with(|b| (b.asset_ids, b.ids) = (asset_ids, ids));
            let (service, lab) = paired(behaviour).await?;
            let order = service.scan("L-1")?;
            let rx = rx_of(&lab, &order).await?;
            let id = async || -> Result<_> {
                let order = lab.orders().by_rx(&rx).await?;
                Ok((
                    order.assets()[0].id().map(str::to_owned),
                    order.assets()[0].size(),
                ))
            };
            let before = id().await?;
            service.advance(Duration::from_secs(5));
            service.send_to_modeling(&order)?;
            service.finish_modeling(&order)?;
            let after = id().await?;
            let stays = asset_ids == AssetIds::PerOrder;
            assert_eq!(before.0 == after.0, stays, "{ids:?} {asset_ids:?}");
            download(&lab, &rx, true).await?;
        }
    }
    Ok(())
}
