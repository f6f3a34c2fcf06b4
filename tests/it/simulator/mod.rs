//! The simulator as a client, a webhook and a scanning tool see it.

pub(crate) mod behaviour;
mod faults;
mod files;
mod life;
mod people;
mod tokens;
mod tool;
mod truth;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lab_connector::auth::TokenKey;
use lab_connector::client::ClientBuilder;
use lab_connector::flow::Phase;
use lab_connector::retry::RetryPolicy;
use lab_connector::simulator::{Fault, FaultRule, Faults, ResetAt, Simulator};
use lab_connector::transport::Transport as _;
use lab_connector::{
    AccountId, Client, Endpoints, Lab, Login, MemoryTokenStore, Notification, Operation, Order,
    OrderId, OrderStatus, RxId,
};
use serde_json::Value;

use crate::support::{RawServer, http, kept};

type Result<T = ()> = anyhow::Result<T>;

fn builder(service: &Simulator) -> ClientBuilder {
    Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
}

fn client(service: &Simulator) -> Result<Client> {
    Ok(builder(service).build()?)
}

async fn signed_in(service: &Simulator, client: &Client) -> Result<Login> {
    let login = client.login("me");
    let request = login.authorize()?;
    let redirected = service.consent(request.url())?;
    login.finish(&request, &redirected).await?;
    Ok(login)
}

/// A simulator, and its one lab, paired.
async fn paired() -> Result<(Simulator, Lab)> {
    let service = Simulator::start().await?;
    let login = signed_in(&service, &client(&service)?).await?;
    let lab = login.pair("L-1").await?;
    Ok((service, lab))
}

/// The ids that are listed, in order.
async fn listed(lab: &Lab) -> Result<Vec<OrderId>> {
    let listing = lab.orders().list().await?;
    assert!(listing.is_complete());
    let orders = listing.orders().iter();
    Ok(orders.map(|order| order.id().clone()).collect())
}

/// The Rx id of an order that is listed now.
async fn rx_of(lab: &Lab, order: &OrderId) -> Result<RxId> {
    let listing = lab.orders().list().await?;
    let found = listing.orders().iter().find(|listed| listed.id() == order);
    Ok(found
        .and_then(Order::rx_id)
        .expect("the order is not listed")
        .clone())
}

/// Downloads one kind of file, and gives how long it is.
async fn download(lab: &Lab, rx: &RxId, export: bool) -> Result<u64> {
    let order = lab.orders().by_rx(rx).await?;
    let asset = order
        .assets()
        .iter()
        .find(|asset| asset.is_export() == export);
    let asset = asset.expect("there is no such file");
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("file.zip");
    let file = lab.download(&order, asset).to_file(&path).await?;
    assert_eq!(Some(file.bytes), asset.size());
    assert!(std::fs::read(path)?.starts_with(b"PK"));
    Ok(file.bytes)
}

#[tokio::test]
async fn an_order_drops_out_when_its_zip_was_fetched() -> Result {
    let (service, lab) = paired().await?;
    let order = service.scan("L-1")?;
    let rx = rx_of(&lab, &order).await?;
    download(&lab, &rx, false).await?;
    assert_eq!(
        listed(&lab).await?,
        std::slice::from_ref(&order),
        "after the thumbnails"
    );
    download(&lab, &rx, true).await?;
    assert!(listed(&lab).await?.is_empty(), "after the zip");
    assert_eq!(
        *lab.orders().by_rx(&rx).await?.status(),
        OrderStatus::Downloaded
    );
    // Fetching it again changes nothing.
    download(&lab, &rx, true).await?;
    assert_eq!(
        service.path(&order),
        Some(vec![Phase::Scan, Phase::AtLab, Phase::Kept])
    );
    Ok(())
}

#[tokio::test]
async fn by_rx_shows_every_status_and_the_listing_two() -> Result {
    let (service, lab) = paired().await?;
    // Its Rx id is known only from a listing: a probe shows how it follows from the order id.
    let probe = service.scan("L-1")?;
    let rx_of_probe = rx_of(&lab, &probe).await?;
    assert_ne!(rx_of_probe.as_str(), probe.as_str());
    service.send_to_modeling(&probe)?;
    let next = service.prescribe("L-1")?;
    let rx = RxId::new(format!("rx-{:x}", next.as_str().parse::<u64>()?));
    let shown =
        async || -> Result<OrderStatus> { Ok(lab.orders().by_rx(&rx).await?.status().clone()) };
    assert_eq!(shown().await?, OrderStatus::RxCreated);
    assert!(lab.orders().by_rx(&rx).await?.assets().is_empty());
    service.begin_scan(&next)?;
    assert_eq!(shown().await?, OrderStatus::Scanning);
    assert!(listed(&lab).await?.is_empty());
    service.finish_scan(&next)?;
    assert_eq!(shown().await?, OrderStatus::ReadyForDownload);
    assert_eq!(listed(&lab).await?, [next]);
    assert!(
        lab.orders()
            .by_rx(&"rx-none".into())
            .await
            .unwrap_err()
            .is_not_found()
    );
    Ok(())
}

#[tokio::test]
async fn a_change_is_posted_and_holds_two_ids_only() -> Result {
    let hook = RawServer::start("HTTP/1.1 204 No Content\r\n\r\n").await;
    let service = Simulator::start().await?;
    let login = signed_in(&service, &client(&service)?).await?;
    // Nothing is posted before the pairing says where to.
    let early = service.scan("L-1")?;
    let lab = login
        .pair("L-1")
        .notification_url(hook.url("/hook?key=1"))
        .await?;
    let order = service.scan("L-1")?;
    let rx = rx_of(&lab, &order).await?;
    service.send_to_modeling(&order)?;
    service.finish_modeling(&order)?;
    service.return_to_doctor(&early)?;
    service.rescan(&early)?;
    hook.requested(3).await;
    let requests = hook.requests();
    let mut ids = Vec::new();
    for request in &requests {
        assert!(
            request.starts_with("POST /hook?key=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            !request.to_lowercase().contains("authorization"),
            "{request}"
        );
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let notification = Notification::parse(body.as_bytes())?;
        assert_eq!(notification.account_id(), Some(&AccountId::from("L-1")));
        assert_eq!(
            serde_json::from_str::<Value>(body)?
                .as_object()
                .unwrap()
                .len(),
            2
        );
        ids.push(lab.orders().by_rx(notification.rx_id()).await?.id().clone());
    }
    assert_eq!(ids, [order.clone(), order, early]);
    assert_ne!(rx.as_str(), ids[0].as_str());

    // No longer once the pairing has ended.
    lab.unpair().await?;
    let before = hook.requests().len();
    service.scan("L-1")?;
    let again = login
        .pair("L-1")
        .notification_url(hook.url("/again"))
        .await?;
    service.scan("L-1")?;
    hook.requested(before + 1).await;
    assert!(hook.requests()[before].starts_with("POST /again "));
    assert_eq!(hook.requests().len(), before + 1);
    assert!(again.is_paired().await?);
    Ok(())
}

#[tokio::test]
async fn tokens_expire_and_the_client_recovers() -> Result {
    let service = Simulator::start().await?;
    let store = Arc::new(MemoryTokenStore::new());
    let client = builder(&service).token_store(Arc::clone(&store)).build()?;
    let lab = signed_in(&service, &client).await?.pair("L-1").await?;
    service.scan("L-1")?;
    let key = TokenKey::Account("L-1".into());
    let old = kept(&store, &key).await.unwrap();
    service.advance(Duration::from_secs(3600));
    let head = format!("GET /accounts/L-1/orders HTTP/1.1\r\nauthorization: Bearer {old}");
    assert_eq!(http(service.address(), &head, "").await?.0, 401);
    // The client's own clock says that the token is still good: the refusal decides.
    assert_eq!(listed(&lab).await?.len(), 1);
    assert_ne!(kept(&store, &key).await.unwrap(), old);
    Ok(())
}

#[tokio::test]
async fn a_scan_can_be_returned_where_the_lab_has_it() -> Result {
    let (service, lab) = paired().await?;
    let order = service.scan("L-1")?;
    lab.orders()
        .return_to_doctor(&order)
        .reason("margin not visible on 14")
        .await?;
    assert!(listed(&lab).await?.is_empty());
    assert_eq!(service.path(&order).unwrap().last(), Some(&Phase::Rescan));
    let error = lab.orders().return_to_doctor(&order).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    assert_eq!(
        (error.status().unwrap().as_u16(), error.attempts()),
        (409, 1)
    );
    service.rescan(&order)?;
    service.send_to_modeling(&order)?;
    assert!(
        lab.orders()
            .return_to_doctor(&order)
            .await
            .unwrap_err()
            .is_conflict()
    );
    assert!(
        lab.orders()
            .return_to_doctor("none")
            .await
            .unwrap_err()
            .is_not_found()
    );
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_are_refused() -> Result {
    let service = Simulator::start().await?;
    let wrong = builder(&service)
        .credentials(service.client_id(), "wrong")
        .build()?;
    let login = wrong.login("me");
    let request = login.authorize()?;
    let redirected = service.consent(request.url())?;
    let error = login.finish(&request, &redirected).await.unwrap_err();
    assert!(
        error.is_unauthorized() && !error.is_reauthorization_needed(),
        "{error}"
    );

    let stranger = builder(&service)
        .credentials("stranger", "secret")
        .build()?;
    assert!(
        service
            .consent(stranger.login("me").authorize()?.url())
            .is_err()
    );

    // A code is good for one use.
    let client = client(&service)?;
    let login = client.login("me");
    let request = login.authorize()?;
    let redirected = service.consent(request.url())?;
    login.finish(&request, &redirected).await?;
    let error = login.finish(&request, &redirected).await.unwrap_err();
    assert!(error.to_string().contains("invalid_grant"), "{error}");
    // And the login is still what it was.
    login.accounts().await?;
    Ok(())
}

#[tokio::test]
async fn each_account_has_what_is_its_own() -> Result {
    let service = Simulator::start().await?;
    service.add_account("L-2", "Second Lab");
    let client = client(&service)?;
    let login = signed_in(&service, &client).await?;
    let accounts = login.accounts().await?;
    let ids: Vec<_> = accounts
        .iter()
        .map(|account| account.id().as_str())
        .collect();
    assert_eq!(ids, ["L-1", "L-2"]);
    let first = login.pair("L-1").await?;
    let second = login.pair("L-2").await?;
    let order = service.scan("L-2")?;
    assert_eq!(listed(&second).await?, std::slice::from_ref(&order));
    assert!(listed(&first).await?.is_empty());
    let rx = rx_of(&second, &order).await?;
    assert!(first.orders().by_rx(&rx).await.unwrap_err().is_not_found());
    assert!(
        first
            .orders()
            .return_to_doctor(&order)
            .await
            .unwrap_err()
            .is_not_found()
    );

    // The token of one account at the endpoints of another.
    let mut crossed = service.endpoints();
    let template = format!("http://{}/accounts/L-2/orders", service.address());
    crossed.set(Operation::GetOrders, http::Method::GET, &template)?;
    let crossed = builder(&service).endpoints(crossed).build()?;
    let lab = signed_in(&service, &crossed).await?.pair("L-1").await?;
    let error = lab.orders().list().await.unwrap_err();
    assert!(error.is_forbidden(), "{error}");
    assert!(login.pair("L-3").await.unwrap_err().is_not_found());

    // What was unpaired is refused, and a login's own token too.
    first.unpair().await?;
    assert!(
        first
            .orders()
            .list()
            .await
            .unwrap_err()
            .is_reauthorization_needed()
    );
    assert_eq!(listed(&second).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_run_side_by_side() -> Result {
    let mut running = Vec::new();
    for _ in 0..20 {
        running.push(tokio::spawn(async {
            let (service, lab) = paired().await?;
            let order = service.scan("L-1")?;
            assert_eq!(listed(&lab).await?, [order]);
            anyhow::Ok(service)
        }));
    }
    let mut ports = BTreeSet::new();
    let mut services = Vec::new();
    for one in running {
        let service = one.await??;
        ports.insert(service.address().port());
        services.push(service);
    }
    assert_eq!(ports.len(), 20);
    Ok(())
}

/// Also a connection that stands is closed: nobody is answered by a simulator that is gone.
#[tokio::test]
async fn the_port_is_closed_when_it_is_dropped() -> Result {
    let (service, lab) = paired().await?;
    service.scan("L-1")?;
    assert_eq!(listed(&lab).await?.len(), 1);
    let address = service.address();
    drop(service);
    let mut open = true;
    for _ in 0..1000 {
        // The server's task ends when it is next run.
        tokio::task::yield_now().await;
        open = tokio::net::TcpStream::connect(address).await.is_ok();
        if !open {
            break;
        }
    }
    assert!(!open, "the port is still open");
    let error = lab.orders().list().await.unwrap_err();
    assert!(error.is_connect() || error.is_interrupted(), "{error}");
    Ok(())
}

#[tokio::test]
async fn its_configuration_is_one_of_a_client() -> Result {
    let service = Simulator::start().await?;
    let configuration = service.configuration();
    let text = serde_json::to_string_pretty(&configuration)?;
    assert!(!text.contains(service.client_secret()), "{text}");
    let endpoints = Endpoints::from_json(&text)?;
    assert_eq!(endpoints, service.endpoints());
    let client = Client::builder()
        .endpoints(endpoints)
        .credentials(
            configuration["client_id"].as_str().unwrap(),
            service.client_secret(),
        )
        .redirect_url(configuration["redirect_url"].as_str().unwrap())
        .build()?;
    let login = signed_in(&service, &client).await?;
    // Discovery says the same.
    assert_eq!(login.accounts().await?.len(), 1);
    assert_eq!(client.endpoints(), service.endpoints());
    Ok(())
}

/// The sign-in page in a browser.
#[tokio::test]
async fn the_page_leads_back_with_a_code() -> Result {
    let service = Simulator::start().await?;
    let client = client(&service)?;
    let login = client.login("me");
    let request = login.authorize()?;
    let page = request.url();
    let target = format!("{}?{}", page.path(), page.query().unwrap());
    let get =
        async |target: &str| http(service.address(), &format!("GET {target} HTTP/1.1"), "").await;
    let (status, html) = get(&target).await?;
    assert_eq!(status, 200);
    assert!(html.contains("Sign in and agree"), "{html}");
    // What its button does, without the page.
    let (status, _) = get(&format!("{target}&consent=yes")).await?;
    assert_eq!(status, 303);
    let (status, _) = get("/oauth/authorize?response_type=token").await?;
    assert_eq!(status, 400);
    let (status, _) = get("/nowhere").await?;
    assert_eq!(status, 404);
    Ok(())
}

#[tokio::test]
async fn it_answers_without_a_connection_as_over_one() -> Result {
    let service = Simulator::start().await?;
    for _ in 0..3 {
        service.scan("L-1")?;
    }
    let mut answers = Vec::new();
    for in_process in [false, true] {
        let mut builder = builder(&service).retry(RetryPolicy::never());
        if in_process {
            builder = builder.transport(service.transport());
        }
        let lab = signed_in(&service, &builder.build()?)
            .await?
            .pair("L-1")
            .await?;
        let listing = lab.orders().list().await?;
        assert!(listing.is_complete());
        let rx_id = listing.orders()[0].rx_id().unwrap().clone();
        let order = lab.orders().by_rx(&rx_id).await?;
        let file = download(&lab, &rx_id, false).await?;
        answers.push((listing.orders().to_vec(), order, file));
        for at in [ResetAt::Answer, ResetAt::InsideBody, ResetAt::AfterBody] {
            let mut faults = Faults::default();
            let reset = FaultRule::new(Fault::Reset { at });
            faults.rules.push(reset.on(Operation::GetOrderByRxId));
            service.set_faults(faults)?;
            let answer = lab.orders().by_rx(&rx_id).await;
            assert_eq!(
                answer.is_ok(),
                at == ResetAt::AfterBody,
                "{at:?} {in_process}"
            );
        }
        service.set_faults(Faults::default())?;
    }
    assert_eq!(answers[0], answers[1]);

    let transport = service.transport();
    let request = |url: &str| http::Request::get(url).body(bytes::Bytes::new());
    let elsewhere = transport.send(request("http://127.0.0.1:1/")?).await;
    assert!(elsewhere.is_err());
    let url = format!("http://{}/", service.address());
    assert!(transport.send(request(&url)?).await?.status().is_success());
    drop(service);
    assert!(transport.send(request(&url)?).await.is_err());
    Ok(())
}
