//! Every switch, with the real client.

use std::time::Duration;

use lab_connector::flow::Phase;
use lab_connector::retry::RetryPolicy;
use lab_connector::simulator::{
    AssetIds, AssetUrls, Behaviour, ClockMode, DiscoveryForm, DownloadedBy, Elsewhere, EmptyList,
    ErrorBodies, Ids, KeyCase, Lists, NotificationBody, Paging, PairingRevokes, Simulator,
    StatusSpelling, Times,
};
use lab_connector::{Lab, Notification, OrderStatus};
use serde_json::Value;

use super::{Result, builder, client, download, listed, rx_of, signed_in};
use crate::support::{RawServer, http};

/// The conventions, with some of them changed.
pub(crate) fn with(change: impl FnOnce(&mut Behaviour)) -> Behaviour {
    let mut behaviour = Behaviour::default();
    change(&mut behaviour);
    behaviour
}

pub(crate) async fn paired(behaviour: Behaviour) -> Result<(Simulator, Lab)> {
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
pub(super) async fn raw(service: &Simulator, path: &str) -> Result<(u16, String)> {
    let token = token(service).await?;
    let head = format!("GET {path} HTTP/1.1\r\nauthorization: Bearer {token}");
    Ok(http(service.address(), &head, "").await?)
}

pub(super) async fn token(service: &Simulator) -> Result<String> {
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
            // Only beside a list are there keys that lead on.
            let spellings: &[KeyCase] = match lists {
                Lists::Wrapped => &[KeyCase::Camel, KeyCase::Pascal, KeyCase::Snake],
                _ => &[KeyCase::Camel],
            };
            for &keys in spellings {
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
async fn a_history_is_the_one_that_was_played() -> Result {
    let (service, lab) = paired(with(|b| b.history = true)).await?;
    let order = service.scan("L-1")?;
    let rx = rx_of(&lab, &order).await?;
    service.send_to_modeling(&order)?;
    service.finish_modeling(&order)?;
    let shown = lab.orders().by_rx(&rx).await?;
    let history = shown.history().unwrap();
    let statuses: Vec<_> = history.iter().map(|entry| entry.status().clone()).collect();
    use OrderStatus::*;
    let expected = [RxCreated, ReadyForDownload, IteroModeling, LabReview];
    assert_eq!(statuses, expected);
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

#[tokio::test]
async fn every_status_of_success_is_one() -> Result {
    for code in [200, 201, 202, 204] {
        let (service, lab) = paired(with(|b| {
            b.pair_code = if code == 204 { 200 } else { code };
            (b.unpair_code, b.return_code, b.revoke_code) = (code, code, code);
        }))
        .await?;
        let order = service.scan("L-1")?;
        lab.orders().return_to_doctor(&order).await?;
        assert_eq!(service.path(&order).unwrap().last(), Some(&Phase::Rescan));
        let login = signed_in(&service, &client(&service)?).await?;
        login.pair("L-1").await?.unpair().await?;
        login.revoke().await?;
        let statuses = service.calls().into_iter().map(|call| call.status);
        let given = statuses.filter(|status| *status == Some(code)).count();
        assert!(given >= 3, "{code}: {given}");
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
