//! *Discovery*: when it is asked, and what is in force then.

use std::sync::{Arc, Mutex};

use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::retry::RetryPolicy;
use lab_connector::transport::{self, Body, Request};
use lab_connector::{Client, Endpoints, MemoryTokenStore, Operation, TokenStore};
use serde_json::json;

use crate::time::MovableTime;

/// A service that notes what it is asked, and whose Discovery says what the test wants.
#[derive(Clone, Default)]
struct Service {
    asked: Arc<Mutex<Vec<String>>>,
    discovery: Arc<Mutex<String>>,
}

impl Service {
    fn says(&self, discovery: &str) {
        *self.discovery.lock().unwrap() = discovery.to_owned();
    }

    fn answer(&self, request: &Request) -> http::Response<Body> {
        let path = request.uri().path();
        self.asked.lock().unwrap().push(path.to_owned());
        let (status, body) = match path {
            "/discovery" => {
                let said = self.discovery.lock().unwrap().clone();
                (if said.is_empty() { 503 } else { 200 }, said)
            }
            path if path.contains("token") => (200, r#"{"access_token":"b"}"#.to_owned()),
            _ => (200, "[]".to_owned()),
        };
        let answer = http::Response::builder().status(status);
        answer.body(Body::from(body)).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn client(&self, endpoints: Endpoints, time: &MovableTime) -> Client {
        let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
        let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap();
        let tokens = json!({
            "access_token": "a", "refresh_token": "r", "generation": 1,
            "expires_at": soon.as_secs(),
        });
        let tokens = Tokens::from_json(&tokens.to_string()).unwrap();
        let store = MemoryTokenStore::new();
        let key = TokenKey::Login("me".into());
        assert!(store.swap(&key, None, &tokens).await.unwrap());
        let service = self.clone();
        Client::builder()
            .endpoints(endpoints)
            .credentials("id", "secret")
            .retry(RetryPolicy::never())
            .clock(time.clone())
            .token_store(store)
            .transport(transport::from_fn(move |request: Request| {
                let answer = service.answer(&request);
                async move { Ok(answer) }
            }))
            .build()
            .unwrap()
    }
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
