//! Every switch, with the real client.

use std::collections::BTreeSet;
use std::time::Duration;

use lab_connector::flow::Phase;
use lab_connector::retry::RetryPolicy;
use lab_connector::simulator::{
    AssetIds, AssetUrls, Behaviour, ClockMode, DiscoveryForm, DownloadedBy, Elsewhere, EmptyList,
    ErrorBodies, Ids, KeyCase, Lists, NotificationBody, Paging, PairingRevokes, Simulator,
    StatusSpelling, Times,
};
use lab_connector::{Lab, Notification, OrderId, OrderStatus};
use serde_json::Value;

use super::{Result, builder, client, download, listed, rx_of, signed_in};
use crate::support::{RawServer, http};

/// The conventions, with some of them changed.
fn with(change: impl FnOnce(&mut Behaviour)) -> Behaviour {
    let mut behaviour = Behaviour::default();
    change(&mut behaviour);
    behaviour
}

async fn paired(behaviour: Behaviour) -> Result<(Simulator, Lab)> {
    let service = Simulator::builder()
        .seed(5)
        .clock(ClockMode::Stepped)
        .behaviour(behaviour)
        .start()
        .await?;
    let login = signed_in(&service, &client(&service)?).await?;
    let lab = login.pair("L-1").await?;
    Ok((service, lab))
}

/// What the service answers to a call by hand, with the token of a pairing by hand.
async fn raw(service: &Simulator, path: &str) -> Result<(u16, String)> {
    let token = token(service).await?;
    let head = format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {token}");
    Ok(http(service.address(), &head, "").await?)
}

async fn token(service: &Simulator) -> Result<String> {
    let page = format!(
        "http://{}/oauth/authorize?response_type=code&client_id={}&redirect_uri={}",
        service.address(),
        service.client_id(),
        service.redirect_url()
    );
    let redirected = service.consent(&page.parse()?)?;
    let code = redirected.query_pairs().next().unwrap().1.into_owned();
    let form = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={}&client_id={}&client_secret={}",
        service.redirect_url(),
        service.client_id(),
        service.client_secret()
    );
    let form_head = "POST /oauth/token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
    let (_, tokens) = http(service.address(), form_head, &form).await?;
    let tokens: Value = serde_json::from_str(&tokens)?;
    let head = format!(
        "POST /accounts/L-1/pair HTTP/1.1\r\nauthorization: Bearer {}",
        tokens["access_token"].as_str().unwrap()
    );
    let (_, tokens) = http(service.address(), &head, "").await?;
    let tokens: Value = serde_json::from_str(&tokens)?;
    Ok(tokens["access_token"].as_str().unwrap().to_owned())
}

/// The whole job, whatever the behaviour: a few orders listed, looked up, fetched, returned and
/// scanned again, with a token that ran out on the way.
async fn job(behaviour: Behaviour) -> Result {
    let what = format!("{behaviour:?}");
    let drops_out = behaviour.downloaded_by == DownloadedBy::ZipComplete;
    let (service, lab) = paired(behaviour).await?;
    assert!(listed(&lab).await?.is_empty(), "{what}");
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(service.scan("L-1")?);
    }
    assert_eq!(listed(&lab).await?, expected, "{what}");
    service.advance(Duration::from_secs(3600));
    for order in lab.orders().list().await?.orders() {
        assert_eq!(*order.status(), OrderStatus::ReadyForDownload, "{what}");
        let rx = order.rx_id().expect("an Rx id");
        download(&lab, rx, true).await?;
        let shown = lab.orders().by_rx(rx).await?;
        if drops_out {
            assert_eq!(*shown.status(), OrderStatus::Downloaded, "{what}");
        }
    }
    assert_eq!(listed(&lab).await?.is_empty(), drops_out, "{what}");
    lab.orders()
        .return_to_doctor(&expected[0])
        .reason("why")
        .await?;
    service.rescan(&expected[0])?;
    let rx = rx_of(&lab, &expected[0]).await?;
    let order = lab.orders().by_rx(&rx).await?;
    assert_eq!(*order.id(), expected[0], "{what}");
    download(&lab, &rx, true).await?;
    assert!(lab.orders().by_rx(&"1".into()).await.is_err(), "{what}");
    lab.unpair().await?;
    Ok(())
}

#[tokio::test]
async fn the_whole_job_is_done_under_each_switch() -> Result {
    let each: Vec<Behaviour> = vec![
        with(|b| b.downloaded_by = DownloadedBy::ZipRequested),
        with(|b| b.downloaded_by = DownloadedBy::AnyAsset),
        with(|b| b.downloaded_by = DownloadedBy::ThumbnailsComplete),
        with(|b| b.downloaded_by = DownloadedBy::Nothing),
        with(|b| b.return_needs_reason = true),
        with(|b| b.refresh_rotation = false),
        with(|b| b.refresh_grace = 30),
        with(|b| b.family_revocation = false),
        with(|b| b.refresh_life = Some(86_400)),
        with(|b| b.pairing_revokes = PairingRevokes::Account),
        with(|b| b.pairing_revokes = PairingRevokes::AccountAndLogin),
        with(|b| b.pkce_required = true),
        with(|b| b.keys = KeyCase::Pascal),
        with(|b| b.keys = KeyCase::Snake),
        with(|b| b.lists = Lists::Bare),
        with(|b| b.lists = Lists::Nested),
        with(|b| b.empty_list = EmptyList::Null),
        with(|b| b.ids = Ids::Number),
        with(|b| b.statuses = StatusSpelling::Camel),
        with(|b| b.statuses = StatusSpelling::ScreamingSnake),
        with(|b| b.statuses = StatusSpelling::Noted),
        with(|b| b.times = Times::Civil),
        with(|b| b.times = Times::UnixMillis),
        with(|b| b.times = Times::Absent),
        with(|b| b.history = true),
        with(|b| b.unknown_fields = true),
        with(|b| b.elsewhere = Elsewhere::WithoutFiles),
        with(|b| b.elsewhere = Elsewhere::Missing),
        with(|b| b.errors = ErrorBodies::Nested),
        with(|b| b.errors = ErrorBodies::Text),
        with(|b| b.errors = ErrorBodies::Empty),
        with(|b| b.discovery = DiscoveryForm::List),
        with(|b| b.discovery = DiscoveryForm::Domain),
        with(|b| b.assets_in_listing = false),
        with(|b| b.asset_ids = AssetIds::PerOrder),
        with(|b| b.asset_ids = AssetIds::Absent),
        with(|b| b.asset_urls = AssetUrls::Signed),
        with(|b| b.asset_urls = AssetUrls::Absent),
        with(|b| b.asset_times = false),
        with(|b| b.asset_digests = true),
        with(|b| b.ranges = false),
        with(|b| b.etags = false),
        with(|b| {
            (b.pair_code, b.unpair_code) = (201, 200);
            (b.return_code, b.revoke_code) = (202, 204);
        }),
        with(|b| (b.conflict_code, b.missing_code, b.expired_code) = (412, 410, 401)),
    ];
    for behaviour in each {
        let refuses = behaviour.downloaded_by;
        // Where nothing, or something else, drops orders out, they stay.
        if refuses == DownloadedBy::ZipComplete {
            job(behaviour).await?;
        } else {
            downloads(behaviour).await?;
        }
    }
    Ok(())
}

/// What drops an order out of the list.
async fn downloads(behaviour: Behaviour) -> Result {
    let by = behaviour.downloaded_by;
    let (service, lab) = paired(behaviour).await?;
    let order = service.scan("L-1")?;
    let rx = rx_of(&lab, &order).await?;
    let after_thumbnails = matches!(
        by,
        DownloadedBy::ThumbnailsComplete | DownloadedBy::AnyAsset
    );
    download(&lab, &rx, false).await?;
    assert_eq!(listed(&lab).await?.is_empty(), after_thumbnails, "{by:?}");
    download(&lab, &rx, true).await?;
    let after_all = by != DownloadedBy::Nothing;
    assert_eq!(listed(&lab).await?.is_empty(), after_all, "{by:?}");

    // Asked for, and given up at once.
    let half = service.scan("L-1")?;
    let path = format!("/accounts/L-1/orders/{half}/assets/e{half}-1");
    let token = token(&service).await?;
    let head = format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {token}\r\nrange: bytes=0-3");
    assert_eq!(http(service.address(), &head, "").await?.0, 206);
    let asked = matches!(by, DownloadedBy::ZipRequested | DownloadedBy::AnyAsset);
    let kept = service.path(&half).unwrap().last() == Some(&Phase::Kept);
    assert_eq!(kept, asked, "{by:?}");
    Ok(())
}

#[tokio::test]
async fn every_paging_style_leads_to_every_order() -> Result {
    for lists in [Lists::Wrapped, Lists::Bare, Lists::Nested] {
        for paging in [
            Paging::None,
            Paging::Link,
            Paging::Cursor,
            Paging::Page,
            Paging::Offset,
        ] {
            for keys in [KeyCase::Camel, KeyCase::Pascal, KeyCase::Snake] {
                let (service, lab) = paired(with(|b| {
                    (b.lists, b.paging, b.page_size, b.keys) = (lists, paging, 3, keys);
                }))
                .await?;
                let mut expected = Vec::new();
                for count in 0..8 {
                    assert_eq!(
                        listed(&lab).await?,
                        expected,
                        "{lists:?} {paging:?} {keys:?}"
                    );
                    if count > 0 && paging != Paging::None {
                        let pages = (count as u64).div_ceil(3);
                        let before = service.call_count();
                        listed(&lab).await?;
                        assert_eq!(service.call_count() - before, pages);
                    }
                    expected.push(service.scan("L-1")?);
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn answers_look_as_they_are_told_to() -> Result {
    let cases: [(Behaviour, &[&str]); 12] = [
        (
            with(|b| b.keys = KeyCase::Pascal),
            &["\"OrderId\":\"1", "\"Orders\":[", "\"ModifiedAt\""],
        ),
        (
            with(|b| b.keys = KeyCase::Snake),
            &["\"order_id\":\"1", "\"account_number\":\"L-1\""],
        ),
        (with(|b| b.lists = Lists::Bare), &["[{"]),
        (
            with(|b| b.lists = Lists::Nested),
            &["{\"data\":{\"orders\":["],
        ),
        (
            with(|b| b.ids = Ids::Number),
            &[
                "\"orderId\":1",
                "\"rxId\":5",
                "\"assetId\":1",
                "\"accountNumber\":\"L-1\"",
            ],
        ),
        (
            with(|b| b.statuses = StatusSpelling::Camel),
            &["\"readyForDownload\""],
        ),
        (
            with(|b| b.statuses = StatusSpelling::ScreamingSnake),
            &["\"READY_FOR_DOWNLOAD\""],
        ),
        (
            with(|b| b.statuses = StatusSpelling::Noted),
            &["\"Ready for Download (For the Lab)\""],
        ),
        (
            with(|b| b.times = Times::Civil),
            &["\"createdAt\":\"2026-03-14T09:26:53\""],
        ),
        (
            with(|b| b.times = Times::UnixMillis),
            &["\"createdAt\":1773480413000"],
        ),
        (with(|b| b.unknown_fields = true), &["\"x-unheard-of\""]),
        (
            Behaviour::default(),
            &[
                "{\"orders\":[{",
                "\"createdAt\":\"2026-03-14T09:26:53.000Z\"",
            ],
        ),
    ];
    for (behaviour, parts) in cases {
        let (service, _) = paired(behaviour).await?;
        service.scan("L-1")?;
        let (status, body) = raw(&service, "/accounts/L-1/orders").await?;
        assert_eq!(status, 200);
        for part in parts {
            assert!(body.contains(part), "{part} in {body}");
        }
    }
    for (behaviour, absent) in [
        (with(|b| b.times = Times::Absent), "createdAt"),
        (with(|b| b.assets_in_listing = false), "assets"),
        (with(|b| b.asset_ids = AssetIds::Absent), "assetId"),
        (with(|b| b.asset_urls = AssetUrls::Absent), "\"url\""),
        (with(|b| b.asset_sizes = false), "\"size\""),
        (
            with(|b| b.asset_times = false),
            "type\":\"IDE\",\"modifiedAt",
        ),
    ] {
        let (service, _) = paired(behaviour).await?;
        service.scan("L-1")?;
        let (_, body) = raw(&service, "/accounts/L-1/orders").await?;
        assert!(!body.contains(absent), "{absent} in {body}");
    }
    let (service, _) = paired(with(|b| b.empty_list = EmptyList::Null)).await?;
    let (_, body) = raw(&service, "/accounts/L-1/orders").await?;
    assert_eq!(body, "{\"orders\":null}");
    Ok(())
}

#[tokio::test]
async fn errors_come_in_each_form() -> Result {
    for (errors, body) in [
        (
            ErrorBodies::Flat,
            r#"{"error":"not_found","error_description":"no such order"}"#,
        ),
        (
            ErrorBodies::Nested,
            r#"{"error":{"code":"not_found","message":"no such order"}}"#,
        ),
        (ErrorBodies::Text, "no such order"),
        (ErrorBodies::Empty, ""),
    ] {
        let (service, lab) = paired(with(|b| b.errors = errors)).await?;
        assert_eq!(
            raw(&service, "/accounts/L-1/rx/none").await?,
            (404, body.to_owned())
        );
        let error = lab.orders().by_rx(&"none".into()).await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
        // OAuth's own are as they are.
        let (status, said) = http(
            service.address(),
            "POST /oauth/token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded",
            "grant_type=x",
        )
        .await?;
        assert!(
            status == 401 && said.contains("\"error\":\"invalid_client\""),
            "{said}"
        );
    }
    let codes = with(|b| (b.conflict_code, b.missing_code) = (412, 410));
    let (service, lab) = paired(codes).await?;
    let error = lab.orders().by_rx(&"none".into()).await.unwrap_err();
    assert_eq!(error.status().unwrap().as_u16(), 410);
    let order = service.scan("L-1")?;
    service.send_to_modeling(&order)?;
    let error = lab.orders().return_to_doctor(&order).await.unwrap_err();
    assert!(
        error.is_conflict() && error.status().unwrap() == 412,
        "{error}"
    );
    let (_, lab) = paired(with(|b| b.return_needs_reason = true)).await?;
    assert!(lab.orders().return_to_doctor("1").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_reason_can_be_due() -> Result {
    let (service, lab) = paired(with(|b| b.return_needs_reason = true)).await?;
    let order = service.scan("L-1")?;
    let error = lab.orders().return_to_doctor(&order).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 400);
    lab.orders().return_to_doctor(&order).reason("why").await?;
    assert_eq!(service.path(&order).unwrap().last(), Some(&Phase::Rescan));
    Ok(())
}

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
    lab.assets().download(order, export).to_file(&path).await?;
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
        let file = lab.assets().download(order, export).to_file(&path).await?;
        let sha256 = export.extra()["sha256"].as_str().unwrap();
        assert_eq!(
            file.sha256.map(|digest| digest.to_string()).as_deref(),
            Some(sha256)
        );
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
async fn what_is_elsewhere_shows_what_it_is_told_to() -> Result {
    for (elsewhere, files) in [
        (Elsewhere::Full, Some(2)),
        (Elsewhere::WithoutFiles, Some(0)),
        (Elsewhere::Missing, None),
    ] {
        let (service, lab) = paired(with(|b| b.elsewhere = elsewhere)).await?;
        let order = service.scan("L-1")?;
        let rx = rx_of(&lab, &order).await?;
        service.send_to_modeling(&order)?;
        match lab.orders().by_rx(&rx).await {
            Ok(order) => assert_eq!(Some(order.assets().len()), files, "{elsewhere:?}"),
            Err(error) => assert!(error.is_not_found() && files.is_none(), "{error}"),
        }
        service.finish_modeling(&order)?;
        assert_eq!(lab.orders().by_rx(&rx).await?.assets().len(), 2);
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
                Ok((order.assets()[0].id().cloned(), order.fingerprint()))
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

#[tokio::test]
async fn a_history_is_the_one_that_was_played() -> Result {
    let (service, lab) = paired(with(|b| b.history = true)).await?;
    let order = service.scan("L-1")?;
    let rx = rx_of(&lab, &order).await?;
    service.send_to_modeling(&order)?;
    service.finish_modeling(&order)?;
    let shown = lab.orders().by_rx(&rx).await?;
    let history = shown.history().unwrap().iter();
    let statuses: Vec<_> = history.map(|entry| entry.status().clone()).collect();
    use OrderStatus::*;
    let expected = [RxCreated, ReadyForDownload, IteroModeling, LabReview];
    assert_eq!(statuses, expected);
    Ok(())
}

#[tokio::test]
async fn refresh_tokens_end_as_they_are_told_to() -> Result {
    let refresh = async |service: &Simulator, token: &str| -> Result<Value> {
        let form = format!(
            "grant_type=refresh_token&refresh_token={token}&client_id={}&client_secret={}",
            service.client_id(),
            service.client_secret()
        );
        let head = "POST /oauth/token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
        let (status, body) = http(service.address(), head, &form).await?;
        let mut answer: Value = serde_json::from_str(&body)?;
        answer["status"] = status.into();
        Ok(answer)
    };
    let first = async |service: &Simulator| -> Result<String> {
        let store = std::sync::Arc::new(lab_connector::MemoryTokenStore::new());
        let client = builder(service).token_store(store.clone()).build()?;
        signed_in(service, &client).await?;
        let key = lab_connector::auth::TokenKey::Login("me".into());
        let tokens = lab_connector::TokenStore::load(&store, &key)
            .await?
            .unwrap();
        let tokens: Value = serde_json::from_str(&tokens.expose_json())?;
        Ok(tokens["refresh_token"].as_str().unwrap().to_owned())
    };
    let text = |answer: &Value| answer["refresh_token"].as_str().map(str::to_owned);

    // Without rotation it goes on, and no other is given.
    let (service, _) = paired(with(|b| b.refresh_rotation = false)).await?;
    let token = first(&service).await?;
    for _ in 0..2 {
        let answer = refresh(&service, &token).await?;
        assert_eq!(
            (answer["status"].as_u64(), text(&answer)),
            (Some(200), None)
        );
    }
    // With rotation and grace a used one goes on for a while.
    let (service, _) = paired(with(|b| b.refresh_grace = 30)).await?;
    let token = first(&service).await?;
    let second = text(&refresh(&service, &token).await?).unwrap();
    service.advance(Duration::from_secs(30));
    assert!(text(&refresh(&service, &token).await?).is_some());
    service.advance(Duration::from_secs(1));
    assert_eq!(refresh(&service, &token).await?["error"], "invalid_grant");
    // That was a theft: the family is gone.
    assert_eq!(refresh(&service, &second).await?["error"], "invalid_grant");
    // Unless nothing is to be revoked.
    let (service, _) = paired(with(|b| b.family_revocation = false)).await?;
    let token = first(&service).await?;
    let second = text(&refresh(&service, &token).await?).unwrap();
    assert_eq!(refresh(&service, &token).await?["status"], 400);
    assert_eq!(refresh(&service, &second).await?["status"], 200);
    // A life of its own.
    let (service, _) = paired(with(|b| b.refresh_life = Some(100))).await?;
    let token = first(&service).await?;
    service.advance(Duration::from_secs(100));
    assert_eq!(refresh(&service, &token).await?["status"], 400);
    Ok(())
}

#[tokio::test]
async fn a_pairing_ends_what_it_is_told_to() -> Result {
    for (revokes, account_lives, login_lives) in [
        (PairingRevokes::Nothing, true, true),
        (PairingRevokes::Account, false, true),
        (PairingRevokes::AccountAndLogin, false, false),
    ] {
        let (service, lab) = paired(with(|b| b.pairing_revokes = revokes)).await?;
        let other = signed_in(&service, &client(&service)?).await?;
        other.accounts().await?;
        other.pair("L-1").await?;
        let error = lab.orders().list().await.err();
        assert_eq!(error.is_none(), account_lives, "{revokes:?}: {error:?}");
        let error = other.accounts().await.err();
        assert_eq!(error.is_none(), login_lives, "{revokes:?}: {error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_challenge_can_be_due() -> Result {
    let service = Simulator::builder()
        .behaviour(with(|b| b.pkce_required = true))
        .start()
        .await?;
    signed_in(&service, &client(&service)?).await?;
    let plain = format!(
        "http://{}/oauth/authorize?response_type=code&client_id={}&redirect_uri={}",
        service.address(),
        service.client_id(),
        service.redirect_url()
    );
    let refused = service.consent(&plain.parse()?).unwrap_err();
    assert_eq!(refused.to_string(), "code_challenge is missing");
    Ok(())
}

#[tokio::test]
async fn notifications_come_in_each_form_and_again() -> Result {
    for (body, keys, ids) in [
        (NotificationBody::Json, KeyCase::Camel, Ids::Text),
        (NotificationBody::Json, KeyCase::Pascal, Ids::Number),
        (NotificationBody::Form, KeyCase::Snake, Ids::Text),
    ] {
        let hook = RawServer::start("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await;
        let behaviour = with(|b| {
            (b.notifications, b.keys, b.ids) = (body, keys, ids);
            b.notification_retries = 1;
        });
        let service = Simulator::builder().behaviour(behaviour).start().await?;
        let login = signed_in(&service, &client(&service)?).await?;
        let lab = login.pair("L-1").notification_url(hook.url("/")).await?;
        let order = service.scan("L-1")?;
        hook.requested(2).await;
        for request in hook.requests() {
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            let notification = Notification::parse(body.as_bytes())?;
            let shown = lab.orders().by_rx(notification.rx_id()).await?;
            assert_eq!(*shown.id(), order, "{body}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn calls_are_counted_by_the_minute() -> Result {
    let service = Simulator::builder()
        .clock(ClockMode::Stepped)
        .start()
        .await?;
    let client = builder(&service).retry(RetryPolicy::never()).build()?;
    let login = signed_in(&service, &client).await?;
    let (lab, other) = (login.pair("L-1").await?, {
        service.add_account("L-2", "Second Lab");
        login.pair("L-2").await?
    });
    service.set_behaviour(with(|b| b.rate_limit = Some(3)))?;
    for _ in 0..2 {
        for _ in 0..3 {
            listed(&lab).await?;
        }
        service.advance(Duration::from_secs(20));
        let error = lab.orders().list().await.unwrap_err();
        assert!(error.is_rate_limited(), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(40)));
        // Each account by itself.
        listed(&other).await?;
        service.advance(Duration::from_secs(40));
    }
    Ok(())
}

/// From one call to the next.
#[tokio::test]
async fn it_can_change_its_mind() -> Result {
    let (service, lab) = paired(Behaviour::default()).await?;
    let order = service.scan("L-1")?;
    let text = async || raw(&service, "/accounts/L-1/orders").await;
    assert!(text().await?.1.contains("\"orderId\""));
    service.set_behaviour(with(|b| b.keys = KeyCase::Snake))?;
    assert!(text().await?.1.contains("\"order_id\""));
    assert_eq!(service.behaviour().keys, KeyCase::Snake);
    assert_eq!(listed(&lab).await?, [order]);
    let refused = service
        .set_behaviour(with(|b| b.page_size = 0))
        .unwrap_err();
    assert!(refused.to_string().contains("page_size"), "{refused}");
    let error = Simulator::builder()
        .behaviour(with(|b| b.page_size = 0))
        .start()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("page_size"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_login_acts_for_its_own_labs_only() -> Result {
    let service = Simulator::builder()
        .account("1001", "First Lab")
        .account("1002", "Second Lab")
        .account("1003", "Third Lab")
        .login("alva", ["1001", "1003"])
        .start()
        .await?;
    let client = client(&service)?;
    let login = client.login("me");
    let request = login.authorize()?;
    assert!(service.consent_as("nobody", request.url()).is_err());
    let redirected = service.consent_as("alva", request.url())?;
    login.finish(&request, &redirected).await?;
    let accounts = login.accounts().await?;
    let ids: Vec<_> = accounts
        .iter()
        .map(|account| account.id().as_str())
        .collect();
    assert_eq!(ids, ["1001", "1003"]);
    assert!(login.pair("1002").await.unwrap_err().is_not_found());
    login.pair("1003").await?;
    service.add_login("alva", ["1002"]);
    login.pair("1002").await?;
    // As numbers too.
    service.set_behaviour(with(|b| b.ids = Ids::Number))?;
    assert_eq!(login.accounts().await?[0].id().as_str(), "1002");
    Ok(())
}

/// Two runs with one seed are the same, byte for byte; with another one they are not.
#[tokio::test]
async fn a_seed_makes_the_world() -> Result {
    let run = async |seed| -> Result<Vec<String>> {
        let service = Simulator::builder()
            .seed(seed)
            .clock(ClockMode::Stepped)
            .start()
            .await?;
        let token = token(&service).await?;
        for _ in 0..3 {
            service.scan("L-1")?;
            service.advance(Duration::from_secs(60));
        }
        let port = service.address().port().to_string();
        let (_, listing) = raw(&service, "/accounts/L-1/orders").await?;
        Ok(vec![token, listing.replace(&port, "PORT")])
    };
    assert_eq!(run(7).await?, run(7).await?);
    let (seven, eight) = (run(7).await?, run(8).await?);
    assert!(seven[0] != eight[0] && seven[1] != eight[1]);
    Ok(())
}

/// The package names the case's own patient, doctor, teeth and due date.
#[cfg(feature = "export")]
#[tokio::test]
async fn a_manifest_says_what_the_order_says() -> Result {
    use lab_connector::export::Package;
    let (service, lab) = paired(Behaviour::default()).await?;
    let mut patients = BTreeSet::new();
    for _ in 0..12 {
        service.scan("L-1")?;
    }
    let directory = tempfile::tempdir()?;
    for order in lab.orders().list().await?.orders() {
        let export = order
            .assets()
            .iter()
            .find(|asset| asset.is_export())
            .unwrap();
        let path = directory.path().join(order.id().as_str());
        lab.assets().download(order, export).to_file(&path).await?;
        let manifest = Package::open(&path)?.manifest()?.unwrap();
        let said = order.extra();
        let patient = &said["patient"];
        let name = format!(
            "{}, {}",
            patient["lastName"].as_str().unwrap(),
            patient["firstName"].as_str().unwrap()
        );
        assert_eq!(manifest.patient().unwrap().reveal(), &name);
        assert_eq!(manifest.order_id(), Some(order.id()));
        let chart = manifest.chart_number().unwrap().reveal();
        assert_eq!(patient["chartNumber"], chart.as_str());
        let doctor = &said["doctor"];
        assert_eq!(doctor["name"], manifest.doctor().unwrap().reveal().as_str());
        assert_eq!(
            doctor["licenseNumber"],
            manifest.doctor_license().unwrap().reveal().as_str()
        );
        let teeth = manifest
            .teeth()
            .iter()
            .map(|tooth| tooth.ada_id().unwrap().to_string());
        let listed = said["teeth"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string);
        assert_eq!(teeth.collect::<Vec<_>>(), listed.collect::<Vec<_>>());
        let due = manifest.due_date().unwrap().to_string();
        assert_eq!(said["dueDate"], due);
        assert_eq!(said["procedure"], manifest.procedure().unwrap().text());
        let bridged = manifest.bridges().iter().flat_map(|bridge| bridge.teeth());
        let bridged = bridged.count();
        let is_bridge = said["procedure"] == "Bridge";
        assert_eq!(bridged, if is_bridge { manifest.teeth().len() } else { 0 });
        patients.insert(name);
    }
    assert!(patients.len() > 5, "{patients:?}");
    Ok(())
}

#[tokio::test]
async fn the_truth_says_what_was_shown_and_seen() -> Result {
    let (service, lab) = paired(Behaviour::default()).await?;
    let began = service.now();
    let order = service.prescribe("L-1")?;
    service.begin_scan(&order)?;
    service.advance(Duration::from_secs(60));
    service.finish_scan(&order)?;
    let rx = rx_of(&lab, &order).await?;
    // Nobody looks while it is in modeling, nor at the first review.
    service.request_milling(&order)?;
    service.finish_modeling(&order)?;
    service.begin_interpretation(&order)?;
    service.interpretation_to_review(&order)?;
    lab.orders().by_rx(&rx).await?;
    let truth = service.truth(&order).unwrap();
    assert_eq!((truth.rx_id.clone(), truth.phase()), (rx, Phase::Review2));
    let shown: Vec<_> = truth
        .shown
        .iter()
        .map(|shown| {
            (
                shown.phase,
                shown.status.as_str(),
                shown.revision,
                shown.seen,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (Phase::Scan, "Rx Created", 0, false),
            (Phase::Scan, "Scanning", 0, false),
            (Phase::AtLab, "Ready for Download", 1, true),
            // Only later it turned out where they led to.
            (Phase::ModelingG, "iTero Modeling", 1, false),
            (Phase::ReviewG, "Lab Review", 2, false),
            (Phase::Interp2, "iTero Milling", 2, false),
            (Phase::Review2, "Lab Review", 3, true),
        ]
    );
    assert_eq!(truth.shown[0].at, began);
    assert_eq!(truth.shown[2].at, began + Duration::from_secs(60));
    let seen: Vec<_> = truth.deliveries().map(|shown| shown.seen).collect();
    assert_eq!(seen, [true, false, true]);
    let other = service.scan("L-1")?;
    let orders: Vec<OrderId> = service.orders(&"L-1".into()).collect();
    assert_eq!((orders, service.case_count()), (vec![order, other], 2));
    assert!(service.truth(&"none".into()).is_none());
    assert_eq!(service.orders(&"none".into()).count(), 0);
    Ok(())
}
