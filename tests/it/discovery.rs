//! *Discovery*: when it is asked, and what is in force then.

use std::sync::{Arc, Mutex};

use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::retry::RetryPolicy;
use lab_connector::transport::{self, Body};
use lab_connector::{Client, Endpoints, FileTokenStore, MemoryTokenStore, Operation, TokenStore};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::time::MovableTime;

/// A service that notes what it is asked, and whose Discovery says what the test wants.
#[derive(Clone, Default)]
struct Service {
    asked: Arc<Mutex<Vec<String>>>,
    discovery: Arc<Mutex<String>>,
    /// Where the orders are; at other paths there are none.
    region: Arc<Mutex<Option<&'static str>>>,
    /// Discovery answers only when this is given.
    held: Option<Arc<Semaphore>>,
}

impl Service {
    fn says(&self, discovery: &str) {
        *self.discovery.lock().unwrap() = discovery.to_owned();
    }

    fn moves_to(&self, region: &'static str) {
        *self.region.lock().unwrap() = Some(region);
    }

    async fn answer(&self, request: &http::Request<bytes::Bytes>) -> http::Response<Body> {
        let path = request.uri().path();
        self.asked.lock().unwrap().push(path.to_owned());
        let region = *self.region.lock().unwrap();
        let (status, body) = match path {
            "/discovery" => {
                if let Some(held) = &self.held {
                    held.acquire().await.unwrap().forget();
                }
                let said = self.discovery.lock().unwrap().clone();
                (if said.is_empty() { 503 } else { 200 }, said)
            }
            path if path.contains("token") => (200, r#"{"access_token":"b"}"#.to_owned()),
            path if region.is_some_and(|region| !path.starts_with(region)) => (404, String::new()),
            path if path.contains("pair") => (
                200,
                r#"{"access_token":"c","refresh_token":"r"}"#.to_owned(),
            ),
            path if path.contains("/rx/") => (200, r#"{"orderId":1,"status":"Sent"}"#.to_owned()),
            _ => (200, "[]".to_owned()),
        };
        let answer = http::Response::builder()
            .status(status)
            .header("content-length", body.len());
        answer.body(Body::from(body)).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn client(&self, endpoints: Endpoints, time: &MovableTime) -> Client {
        self.process(endpoints, time, store().await)
    }

    /// A process that starts with what a store keeps.
    fn process(
        &self,
        endpoints: Endpoints,
        time: &MovableTime,
        store: impl TokenStore + 'static,
    ) -> Client {
        let service = self.clone();
        Client::builder()
            .endpoints(endpoints)
            .credentials("id", "secret")
            .retry(RetryPolicy::never())
            .clock(time.clone())
            .token_store(store)
            .transport(transport::from_fn(move |request| {
                let service = service.clone();
                async move { Ok(service.answer(&request).await) }
            }))
            .build()
            .unwrap()
    }
}

/// A login and two accounts with tokens that are good for an hour.
async fn store() -> Arc<MemoryTokenStore> {
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap();
    let tokens = json!({
        "access_token": "a", "refresh_token": "r", "generation": 1,
        "expires_at": soon.as_secs(),
    });
    let tokens = Tokens::from_json(&tokens.to_string()).unwrap();
    let store = MemoryTokenStore::new();
    for key in [
        TokenKey::Login("me".into()),
        TokenKey::Account("L-1".into()),
        TokenKey::Account("L-2".into()),
    ] {
        assert!(store.swap(&key, None, &tokens).await.unwrap());
    }
    Arc::new(store)
}

fn home() -> Endpoints {
    Endpoints::from_base_url("https://api.example/").unwrap()
}

#[tokio::test]
async fn it_is_asked_before_accounts_and_its_last_good_answer_is_kept() {
    let service = Service::default();
    let client = service.client(home(), &MovableTime::default()).await;
    let login = client.login("me");
    // It fails: the conventional path is good until it answers.
    login.accounts().await.unwrap();
    assert_eq!(service.asked(), ["/discovery", "/accounts"]);
    for (said, path) in [
        (r#"{"get_accounts": "/eu/accounts"}"#, "/eu/accounts"),
        ("", "/eu/accounts"),
        ("<html>", "/eu/accounts"),
        (r#"{"get_accounts": 7}"#, "/eu/accounts"),
        (r#"{"get_accounts": "/us/accounts"}"#, "/us/accounts"),
        (r#"{"pair": "/us/pair"}"#, "/accounts"),
    ] {
        service.says(said);
        login.accounts().await.unwrap();
        assert_eq!(service.asked(), ["/discovery", path], "{said}");
    }
}

#[tokio::test]
async fn it_is_asked_before_a_refresh_which_goes_where_it_says() {
    let (service, time) = (Service::default(), MovableTime::default());
    let client = service.client(home(), &time).await;
    service.says(r#"{"refresh_token": "/eu/token", "get_accounts": "/eu/accounts"}"#);
    time.advance(2 * 3600);
    client.login("me").accounts().await.unwrap();
    let asked = service.asked();
    // Once for the accounts, and once at most for the refresh that they need.
    let others: Vec<_> = asked.iter().filter(|path| *path != "/discovery").collect();
    assert_eq!(others, ["/eu/token", "/eu/accounts"], "{asked:?}");
    assert_eq!(asked[0], "/discovery");
}

#[tokio::test]
async fn without_it_what_is_configured_is_enough() {
    let (service, time) = (Service::default(), MovableTime::default());
    let endpoints = Endpoints::from_json(
        r#"{"endpoints": {
            "get_accounts": "https://api.example/a", "refresh_token": "https://api.example/token"
        }}"#,
    );
    let client = service.client(endpoints.unwrap(), &time).await;
    let login = client.login("me");
    time.advance(2 * 3600);
    login.accounts().await.unwrap();
    assert_eq!(service.asked(), ["/token", "/a"]);

    let error = login.pair("L-1").await.unwrap_err();
    assert!(
        error.is_configuration() && error.to_string().contains("`pair`"),
        "{error}"
    );
    assert_eq!(error.operation(), Some(Operation::Pair.title()));
    let error = client.discover().await.unwrap_err();
    assert!(error.to_string().contains("`discovery`"), "{error}");
    assert_eq!(service.asked(), [""; 0]);
}

/// The last answer, in force since the last refresh or pairing.
#[tokio::test]
async fn a_process_that_starts_with_a_good_token_goes_where_discovery_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let (service, time) = (Service::default(), MovableTime::default());
    service.says(r#"{"get_orders": "/eu/orders", "get_order_by_rx_id": "/eu/rx/{rx_id}"}"#);

    let files = || FileTokenStore::open(&path).unwrap();
    let tokens = store().await.load(&TokenKey::Login("me".into())).await;
    let tokens = tokens.unwrap().unwrap();
    let me = TokenKey::Login("me".into());
    assert!(files().swap(&me, None, &tokens).await.unwrap());
    let first = service.process(home(), &time, files());
    first.login("me").accounts().await.unwrap();
    first.login("me").pair("L-1").await.unwrap();
    drop(first);
    service.asked();
    for asked in [["/eu/orders", "/eu/rx/7"], ["/eu/rx/7", "/eu/orders"]] {
        let lab = service.process(home(), &time, files()).account("L-1");
        for path in asked {
            match path {
                "/eu/orders" => drop(lab.orders().list().await.unwrap()),
                _ => drop(lab.orders().by_rx(&"7".into()).await.unwrap()),
            }
        }
        assert_eq!(service.asked(), asked);
    }
    // It names a region: a process of another environment that shares the store is not sent there.
    let other = Endpoints::from_base_url("https://staging.example/").unwrap();
    let lab = service.process(other, &time, files()).account("L-1");
    lab.orders().list().await.unwrap();
    assert_eq!(service.asked(), ["/accounts/L-1/orders"]);
    // Nor does it stand in the way of what is configured.
    let mut configured = home();
    configured
        .set(Operation::GetOrders, http::Method::GET, "/mine")
        .unwrap();
    let lab = service.process(configured, &time, files()).account("L-1");
    lab.orders().list().await.unwrap();
    assert_eq!(service.asked(), ["/mine"]);

    // After an hour the token is refreshed, and Discovery is asked anew before.
    service.says(r#"{"get_orders": "/us/orders"}"#);
    time.advance(3600);
    let lab = service.process(home(), &time, files()).account("L-1");
    lab.orders().list().await.unwrap();
    assert_eq!(
        service.asked(),
        ["/discovery", "/oauth/token", "/us/orders"]
    );
    let lab = service.process(home(), &time, files()).account("L-1");
    lab.orders().list().await.unwrap();
    assert_eq!(service.asked(), ["/us/orders"]);
}

/// A raw request for an operation, and a file, go the same way.
#[tokio::test]
async fn whatever_is_called_first_goes_where_discovery_said() {
    let (service, time, store) = (Service::default(), MovableTime::default(), store().await);
    service.says(r#"{"get_orders": "/eu/orders", "download_asset": "/eu/asset/{asset_id}"}"#);
    let first = service.process(home(), &time, Arc::clone(&store));
    first.login("me").accounts().await.unwrap();
    first.login("me").pair("L-1").await.unwrap();
    service.asked();
    let process = || {
        service
            .process(home(), &time, Arc::clone(&store))
            .account("L-1")
    };
    process().call(Operation::GetOrders).send().await.unwrap();
    let order: lab_connector::Order = serde_json::from_value(json!({
        "orderId": 1, "status": "Sent", "assets": [{"id": "x", "type": "FILE"}],
    }))
    .unwrap();
    let (lab, mut file) = (process(), Vec::new());
    let download = lab.download(&order, &order.assets()[0]);
    download.to_writer(&mut file).await.unwrap();
    assert_eq!(service.asked(), ["/eu/orders", "/eu/asset/x"]);
}

/// Nothing is configured but where Discovery is.
#[tokio::test]
async fn discovery_alone_is_enough_to_begin() {
    let (service, time) = (Service::default(), MovableTime::default());
    let endpoints = r#"{"endpoints": {"discovery": "https://api.example/discovery"}}"#;
    let endpoints = Endpoints::from_json(endpoints).unwrap();
    let lab = service.client(endpoints, &time).await.account("L-1");
    // It is away for a moment: that is no mistake of the configuration, which nobody would repeat.
    let error = lab.orders().list().await.unwrap_err();
    assert!(error.is_server() && error.is_retryable(), "{error}");
    assert_eq!(error.operation(), Some("Discovery"));
    service.says(r#"{"get_orders": "https://api.example/eu/orders"}"#);
    // Not every call asks.
    assert!(lab.orders().list().await.unwrap_err().is_server());
    assert_eq!(service.asked(), ["/discovery"]);
    time.advance(5);
    lab.orders().list().await.unwrap();
    lab.orders().list().await.unwrap();
    assert_eq!(service.asked(), ["/discovery", "/eu/orders", "/eu/orders"]);
    // What it does not name is still to be configured.
    let error = lab.orders().by_rx(&"7".into()).await.unwrap_err();
    assert!(error.is_configuration(), "{error}");
}

/// The region moves, and the old paths answer 404 to all.
#[tokio::test]
async fn when_everything_is_gone_discovery_is_asked() {
    let (service, time) = (Service::default(), MovableTime::default());
    let client = service.client(home(), &time).await;
    let said = |region: &str| {
        format!(
            r#"{{"get_orders": "/{region}/orders", "get_order_by_rx_id": "/{region}/rx/{{rx_id}}"}}"#
        )
    };
    service.says(&said("eu"));
    client.discover().await.unwrap();
    let lab = client.account("L-1");
    service.moves_to("/us/");
    service.says(&said("us"));
    service.asked();

    // It was asked just now.
    assert!(lab.orders().list().await.unwrap_err().is_not_found());
    assert_eq!(service.asked(), ["/eu/orders"]);
    // No listing is ever missing.
    time.advance(60);
    lab.orders().list().await.unwrap();
    assert_eq!(service.asked(), ["/eu/orders", "/discovery", "/us/orders"]);

    // An order may be; three in a row, and nothing else for a while, are a sign.
    service.moves_to("/ap/");
    service.says(&said("ap"));
    let fetch = async || lab.orders().by_rx(&"7".into()).await;
    for _ in 0..20 {
        assert!(fetch().await.unwrap_err().is_not_found());
    }
    time.advance(600);
    for _ in 0..2 {
        assert!(fetch().await.unwrap_err().is_not_found());
    }
    assert_eq!(service.asked(), ["/us/rx/7"; 22]);
    fetch().await.unwrap();
    assert_eq!(service.asked(), ["/us/rx/7", "/discovery", "/ap/rx/7"]);
    // The raw form of an operation follows as the typed one does.
    service.moves_to("/sa/");
    service.says(&said("sa"));
    time.advance(60);
    let raw = lab.call(Operation::GetOrders).send().await.unwrap();
    assert!(raw.status().is_success());
    assert_eq!(service.asked(), ["/ap/orders", "/discovery", "/sa/orders"]);
    service.moves_to("/ap/");
    service.says(&said("ap"));
    time.advance(60);
    lab.orders().list().await.unwrap();
    service.asked();
    // Discovery says what was known, and it is not asked twice for that: also where it was a
    // convention before.
    service.moves_to("/nowhere/");
    time.advance(60);
    assert!(lab.orders().list().await.unwrap_err().is_not_found());
    assert_eq!(service.asked(), ["/ap/orders", "/discovery"]);
    let client = service.client(home(), &time).await;
    service.says(r#"{"get_orders": "/accounts/{account_id}/orders"}"#);
    let error = client.account("L-1").orders().list().await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(service.asked(), ["/accounts/L-1/orders", "/discovery"]);
}

#[tokio::test]
async fn a_second_refresh_waits_for_discovery_as_the_first_did() {
    let held = Arc::new(Semaphore::new(0));
    let service = Service {
        held: Some(Arc::clone(&held)),
        ..Service::default()
    };
    let time = MovableTime::default();
    let client = service.client(home(), &time).await;
    service.says(r#"{"refresh_token": "/eu/token"}"#);
    time.advance(2 * 3600);
    let refresh = |id: &'static str| {
        let lab = client.account(id);
        tokio::spawn(async move { lab.keep_access().await })
    };
    let one = refresh("L-1");
    while service.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let other = refresh("L-2");
    // All that can happen without the answer happens first.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    held.add_permits(1);
    one.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    assert_eq!(service.asked(), ["/discovery", "/eu/token", "/eu/token"]);
}

/// One entry that makes no sense costs that entry.
#[tokio::test]
async fn a_bad_entry_does_not_lose_the_others() {
    let (service, time) = (Service::default(), MovableTime::default());
    let client = service.client(home(), &time).await;
    service.says(
        r#"{"pair": 7, "unpair": "ftp://x/", "get_orders": "/eu/orders", "return_scan": {}}"#,
    );
    client.discover().await.unwrap();
    client.account("L-1").orders().list().await.unwrap();
    assert_eq!(service.asked(), ["/discovery", "/eu/orders"]);
}

/// Nor is it read as a tree that takes many times its length.
#[tokio::test]
async fn a_long_answer_is_none() {
    let (service, time) = (Service::default(), MovableTime::default());
    let client = service.client(home(), &time).await;
    let long = "{},".repeat(1 << 19);
    service.says(&format!(
        r#"{{"get_orders": "/eu/orders", "x": [{long}0]}}"#
    ));
    let error = client.discover().await.unwrap_err();
    assert!(error.is_decode(), "{error}");
    assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
    // Before a refresh as well.
    time.advance(2 * 3600);
    client.account("L-1").orders().list().await.unwrap();
    assert!(
        service
            .asked()
            .ends_with(&["/accounts/L-1/orders".to_owned()])
    );
}

/// A path without the variable that its operation needs would fetch another order: it is no endpoint,
/// and the one that there was stays.
#[tokio::test]
async fn an_endpoint_without_its_variable_is_none() {
    for path in ["/eu/rx/:rxId", "/eu/rx/<RxID>", "/eu/rx/"] {
        let (service, time) = (Service::default(), MovableTime::default());
        let client = service.client(home(), &time).await;
        let before = client.endpoints().to_json()["get_order_by_rx_id"].clone();
        service.says(&format!(
            r#"{{"get_order_by_rx_id": "{path}", "get_orders": "/eu/orders"}}"#
        ));
        let _ = client.discover().await;
        let after = client.endpoints().to_json()["get_order_by_rx_id"].clone();
        assert_eq!(after, before, "{path}");
        client.account("L-1").orders().list().await.unwrap();
        assert!(service.asked().contains(&"/eu/orders".to_owned()), "{path}");
    }
}
