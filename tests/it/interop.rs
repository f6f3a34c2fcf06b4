//! Signing in, refreshing with rotation and revoking, against servers that we did not write.
//!
//! `scripts/oauth-interop` starts them in turn and says where one is in `LAB_CONNECTOR_OAUTH`; without that
//! these tests say that they are skipped.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use lab_connector::auth::{AuthorizationRequest, TokenKey};
use lab_connector::client::ClientBuilder;
use lab_connector::retry::RetryPolicy;
use lab_connector::{Client, Endpoints, Login, MemoryTokenStore, Operation, TokenStore};
use serde_json::Value;
use url::Url;

use crate::time::MovableTime;

/// The server: its endpoints, and a user with a browser.
struct Server(Value);

impl Server {
    fn given() -> Option<Self> {
        let Ok(text) = std::env::var("LAB_CONNECTOR_OAUTH") else {
            // Not `eprintln!`, which the test harness keeps to itself.
            let skipped =
                "interop: skipped, LAB_CONNECTOR_OAUTH is not set (scripts/oauth-interop)";
            let _ = writeln!(std::io::stderr(), "{skipped}");
            return None;
        };
        Some(Server(serde_json::from_str(&text).unwrap()))
    }

    fn endpoints(&self) -> Endpoints {
        serde_json::from_value(self.0.clone()).unwrap()
    }

    /// What not every server does. Unless it says otherwise, it does.
    fn does(&self, what: &str) -> bool {
        self.0[what].as_bool().unwrap_or(true)
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .endpoints(self.endpoints())
            .credentials("interop", "interop-secret")
            .redirect_url(self.0["redirect_url"].as_str().unwrap())
            .scope("openid")
            .scope("offline_access")
            .authorization_parameter("prompt", "consent")
            .retry(RetryPolicy::never())
    }

    /// The user opens a page, signs in and agrees. Gives where the browser is sent.
    fn browse(&self, page: &Url) -> Url {
        let browser = self.0["browser"].as_str().unwrap();
        let url = Url::parse_with_params(browser, [("page", page.as_str())]).unwrap();
        let address = (url.host_str().unwrap(), url.port().unwrap());
        let mut stream = TcpStream::connect(address).unwrap();
        let target = &url[url::Position::BeforePath..];
        write!(stream, "GET {target} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{answer}");
        Url::parse(body).unwrap()
    }

    async fn sign_in(&self, login: &Login) {
        let request = login.authorize().unwrap();
        // The software restarts while the user is away.
        let request = AuthorizationRequest::from_json(&request.expose_json()).unwrap();
        let redirected = self.browse(request.url());
        login.finish(&request, &redirected).await.unwrap();
    }
}

fn key() -> TokenKey {
    TokenKey::Login("reception".into())
}

async fn kept(store: &MemoryTokenStore) -> (String, String) {
    let tokens = store.load(&key()).await.unwrap().unwrap();
    let exposed: Value = serde_json::from_str(&tokens.expose_json()).unwrap();
    let text = |name: &str| exposed[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

async fn copy(store: &MemoryTokenStore) -> Arc<MemoryTokenStore> {
    let tokens = store.load(&key()).await.unwrap().unwrap();
    let copy = MemoryTokenStore::new();
    assert!(copy.swap(&key(), None, &tokens).await.unwrap());
    Arc::new(copy)
}

#[tokio::test]
async fn the_whole_life_of_a_login() {
    let Some(server) = Server::given() else {
        return;
    };
    for (client_id, in_body) in [("interop", false), ("interop-body", true)] {
        let store = Arc::new(MemoryTokenStore::new());
        let time = MovableTime::default();
        let builder = |store: &Arc<MemoryTokenStore>| {
            server
                .builder()
                .credentials(client_id, "interop-secret")
                .client_secret_in_body(in_body)
                .token_store(Arc::clone(store))
                .clock(time.clone())
        };
        let login = builder(&store).build().unwrap().login("reception");
        server.sign_in(&login).await;
        let accounts = login.accounts().await.unwrap();
        assert_eq!(accounts[0].id().as_str(), "reception");

        // The refresh token is good for one use, and each use brings another.
        let first = kept(&store).await;
        let stolen = copy(&store).await;
        let mut before = first.clone();
        for _ in 0..2 {
            time.advance(2 * 3600);
            assert_eq!(login.accounts().await.unwrap().len(), 1);
            let now = kept(&store).await;
            assert!(now.0 != before.0 && now.1 != before.1, "no rotation");
            before = now;
        }

        // Somebody uses the first one again: the server ends everything that came of it.
        let thief = builder(&stolen).build().unwrap().login("reception");
        let error = thief.accounts().await.unwrap_err();
        assert!(error.is_reauthorization_needed(), "{error}");
        if server.does("ends_all_that_came_of_a_stolen_token") {
            let error = login.accounts().await.unwrap_err();
            assert!(error.is_reauthorization_needed(), "{error}");
        }

        // A person signs in again, and then for good off.
        server.sign_in(&login).await;
        assert_eq!(login.accounts().await.unwrap().len(), 1);
        if !server.endpoints().has(Operation::RevokeToken) {
            login.forget_tokens().await.unwrap();
            assert!(!login.is_signed_in().await.unwrap());
            continue;
        }
        let copied = copy(&store).await;
        login.revoke().await.unwrap();
        assert!(!login.is_signed_in().await.unwrap());
        login.revoke().await.unwrap();
        let other = builder(&copied).build().unwrap().login("reception");
        let error = other.accounts().await.unwrap_err();
        assert!(error.is_reauthorization_needed(), "{error}");
        // What is revoked already is no error.
        other.revoke().await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_refuses() {
    let Some(server) = Server::given() else {
        return;
    };
    let login = server.builder().build().unwrap().login("reception");

    // Another's answer is refused before anything is sent; its own is still good then.
    let (request, other) = (login.authorize().unwrap(), login.authorize().unwrap());
    let redirected = server.browse(request.url());
    let error = login.finish(&other, &redirected).await.unwrap_err();
    assert!(error.is_refused() && error.status().is_none(), "{error}");
    login.finish(&request, &redirected).await.unwrap();

    // A code is good for one use, and only with its verifier.
    let error = login.finish(&request, &redirected).await.unwrap_err();
    assert_eq!(
        error.status().map(|status| status.as_u16()),
        Some(400),
        "{error}"
    );
    let request = login.authorize().unwrap();
    let mut altered: Value = serde_json::from_str(&request.expose_json()).unwrap();
    altered["code_verifier"] = "0123456789-0123456789-0123456789-0123456789".into();
    let altered = AuthorizationRequest::from_json(&altered.to_string()).unwrap();
    let redirected = server.browse(request.url());
    let error = login.finish(&altered, &redirected).await.unwrap_err();
    assert!(error.to_string().contains("invalid_grant"), "{error}");

    let wrong = server.builder().credentials("interop", "interop-secret-2");
    let login = wrong.build().unwrap().login("reception");
    let request = login.authorize().unwrap();
    let redirected = server.browse(request.url());
    let error = login.finish(&request, &redirected).await.unwrap_err();
    assert!(error.is_unauthorized(), "{error}");

    if !server.does("asks_for_pkce") {
        return;
    }
    // The server asks for PKCE: without it, its page sends the browser back with an error.
    let login = server
        .builder()
        .pkce(false)
        .build()
        .unwrap()
        .login("reception");
    let request = login.authorize().unwrap();
    let redirected = server.browse(request.url());
    let error = login.finish(&request, &redirected).await.unwrap_err();
    assert!(
        error.is_refused() && error.to_string().contains("invalid_request"),
        "{error}"
    );
}
