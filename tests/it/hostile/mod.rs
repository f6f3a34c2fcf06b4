//! What a hostile or mistaken service can make the client do: nothing that shows a secret.
//!
//! Names that do not resolve here go through a transport that records every request; ports and
//! schemes meet real sockets on loopback.

mod traps;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use lab_connector::auth::{AuthorizationRequest, TokenKey, Tokens};
use lab_connector::client::ClientBuilder;
use lab_connector::retry::RetryPolicy;
use lab_connector::simulator::Simulator;
use lab_connector::transport::{self, Body, Transport};
use lab_connector::{
    Client, Endpoints, Error, MemoryTokenStore, Operation, Order, Result, TokenStore,
};
use serde_json::{Value, json};
use url::Url;

use crate::time::MovableTime;

const HOME: &str = "https://api.lab.example";

/// Elsewhere, by every difference there is.
const ELSEWHERE: &[&str] = &[
    // Another host.
    "https://evil.example",
    "https://api.lab.example.evil.example",
    "https://evilapi.lab.example",
    "https://api.lab.example@evil.example",
    "https://api.lab.example%2eevil.example",
    // Another port.
    "https://api.lab.example:8443",
    "https://api.lab.example:80",
    // Another scheme.
    "http://api.lab.example",
    "http://api.lab.example:443",
    // Above and below.
    "https://lab.example",
    "https://sub.api.lab.example",
    // A dot at the end.
    "https://api.lab.example.",
    // What looks the same.
    "https://аpi.lab.example",
    "https://xn--pi-7kc.lab.example",
    "https://api.Ɩab.example",
    // User info.
    "https://user:password@evil.example",
    "https://user@api.lab.example:8443",
    // Addresses.
    "https://203.0.113.9",
    "https://0xcb007109",
    "https://[2001:db8::1]",
    "http://127.0.0.1:9",
    "https://127.0.0.1",
    "http://localhost:9",
    "http://x.localhost:9",
    "https://localhost.",
    "https://0.0.0.0",
    // In the lab's own network.
    "https://169.254.169.254",
    "https://10.0.0.1",
];

const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// Every secret that the client holds in these tests.
const SECRETS: &[&str] = &[
    "secret-client-1",
    // `client:secret-client-1`
    "Y2xpZW50OnNlY3JldC1jbGllbnQtMQ",
    "secret-access-1",
    "secret-refresh-1",
    "secret-code-1",
    "secret-state-1",
    "secret-verifier-1",
    "secret-gateway-1",
];

fn has_secret(text: &str) -> bool {
    SECRETS.iter().any(|secret| text.contains(secret))
}

/// A request with all its bytes.
#[derive(Clone, Debug)]
struct Seen {
    origin: String,
    text: String,
    authorized: bool,
}

impl Seen {
    fn of(request: &http::Request<bytes::Bytes>) -> Self {
        let url = Url::parse(&request.uri().to_string()).unwrap();
        let mut text = format!("{} {url}\n", request.method());
        for (name, value) in request.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            text += &format!("{name}: {value}\n");
        }
        text += &String::from_utf8_lossy(request.body());
        Seen {
            origin: url.origin().ascii_serialization(),
            text,
            authorized: request.headers().contains_key("authorization"),
        }
    }
}

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Seen>>>);

impl Record {
    /// A transport that answers as `answer` says.
    fn transport<F>(&self, answer: F) -> impl Transport + use<F>
    where
        F: Fn(&http::Request<bytes::Bytes>) -> http::Response<Body> + Send + Sync + 'static,
    {
        let record = self.clone();
        let answer = Arc::new(answer);
        transport::from_fn(move |request| {
            record.0.lock().unwrap().push(Seen::of(&request));
            let answer = answer(&request);
            async move { Ok(answer) }
        })
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn answer(status: u16, body: impl Into<String>) -> http::Response<Body> {
    let body: String = body.into();
    let length = body.len();
    let mut answer = http::Response::new(Body::from(body));
    let headers = answer.headers_mut();
    headers.insert(http::header::CONTENT_LENGTH, length.into());
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    answer
}

fn builder(endpoints: Endpoints, time: &MovableTime) -> ClientBuilder {
    Client::builder()
        .endpoints(endpoints)
        .credentials("client", "secret-client-1")
        .redirect_url("https://software.example/callback")
        .header("X-Gateway-Key", "secret-gateway-1")
        .user_agent("LabSoft/3.1")
        .retry(RetryPolicy::never())
        .clock(time.clone())
}

fn home() -> Endpoints {
    Endpoints::from_base_url(HOME).unwrap()
}

/// Tokens that are good until the time is moved.
async fn store() -> Arc<MemoryTokenStore> {
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap();
    let tokens = json!({
        "access_token": "secret-access-1",
        "refresh_token": "secret-refresh-1",
        "expires_at": soon.as_secs(),
        "generation": 1,
    });
    let tokens = Tokens::from_json(&tokens.to_string()).unwrap();
    let store = MemoryTokenStore::new();
    for key in [
        TokenKey::Login("me".into()),
        TokenKey::Account("L-1".into()),
    ] {
        assert!(store.swap(&key, None, &tokens).await.unwrap());
    }
    Arc::new(store)
}

fn order(url: Option<&str>) -> Order {
    let order = json!({
        "orderId": "1", "rxId": "2", "status": "Ready for Download",
        "assets": [{ "assetId": "3", "type": "FILE", "url": url }],
    });
    serde_json::from_value(order).unwrap()
}

async fn download(client: &Client, url: Option<&str>) -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let order = order(url);
    let lab = client.account("L-1");
    let download = lab.download(&order, &order.assets()[0]);
    download
        .to_file(directory.path().join("f"))
        .await
        .map(|_| ())
}

/// What came of every call that carries a credential, one after the other.
async fn every_call(client: &Client, time: &MovableTime) -> Vec<(Operation, Result<()>)> {
    let (login, lab) = (client.login("me"), client.account("L-1"));
    let request = json!({
        "url": HOME, "state": "secret-state-1", "code_verifier": "secret-verifier-1",
    });
    let request = AuthorizationRequest::from_json(&request.to_string()).unwrap();
    let redirected = "https://software.example/callback?code=secret-code-1&state=secret-state-1";
    let redirected = Url::parse(redirected).unwrap();
    let mut results = vec![
        (
            Operation::GetToken,
            login.finish(&request, &redirected).await,
        ),
        (Operation::GetAccounts, login.accounts().await.map(|_| ())),
        (Operation::Pair, login.pair("L-1").await.map(|_| ())),
        (Operation::GetOrders, lab.orders().list().await.map(|_| ())),
        (
            Operation::GetOrderByRxId,
            lab.orders().by_rx(&"2".into()).await.map(|_| ()),
        ),
        (
            Operation::ReturnScan,
            lab.orders().return_to_doctor("1").await.map(|_| ()),
        ),
        (Operation::Unpair, lab.unpair().await),
        (Operation::RevokeToken, login.revoke().await),
    ];
    time.advance(2 * 3600);
    results.push((
        Operation::RefreshToken,
        lab.orders().list().await.map(|_| ()),
    ));
    results
}

fn assert_names_the_host_only(error: &Error, host: &str) {
    let text = error.to_string();
    assert!(error.is_origin(), "{text}");
    assert!(text.contains(host), "{text} does not name {host}");
    assert!(
        !text.contains("where=") && !text.contains("password"),
        "{text}"
    );
    assert!(!has_secret(&format!("{text} {error:?}")), "{error:?}");
}

/// A refresh fails inside of the call that needed it.
fn assert_names_the_operation(error: &Error, operation: Operation) {
    if operation == Operation::RefreshToken {
        assert!(
            error.is_refresh_failed() && error.to_string().contains("Refresh Token"),
            "{error}"
        );
    } else {
        assert_eq!(error.operation(), Some(operation.title()), "{error}");
    }
}

/// Scheme, host and port as an error shows them.
fn shown(url: &str) -> String {
    let url = Url::parse(url).unwrap();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap())
}

#[tokio::test]
async fn discovery_elsewhere_gets_nothing() {
    for elsewhere in ELSEWHERE {
        let record = Record::default();
        let names: serde_json::Map<_, _> = Operation::ALL
            .iter()
            .map(|operation| {
                let url = format!("{elsewhere}/{}?where={elsewhere}", operation.path());
                (operation.name().to_owned(), Value::from(url))
            })
            .collect();
        let discovered = Value::Object(names).to_string();
        let transport = record.transport(move |request| match request.uri().path() {
            "/discovery" => answer(200, discovered.clone()),
            _ => answer(200, "{}"),
        });
        let time = MovableTime::default();
        let client = builder(home(), &time)
            .transport(transport)
            .token_store(store().await)
            .build()
            .unwrap();
        let discovered = client.discover().await;
        if let Err(error) = &discovered {
            // User info is refused at once, and nothing of the answer is taken over.
            assert!(
                error.is_decode() && elsewhere.contains('@'),
                "{elsewhere}: {error}"
            );
        } else {
            for (operation, result) in every_call(&client, &time).await {
                let error = result.unwrap_err();
                assert_names_the_host_only(&error, &shown(elsewhere));
                assert_names_the_operation(&error, operation);
            }
            let error = client.login("me").authorize().unwrap_err();
            assert_names_the_host_only(&error, &shown(elsewhere));
            // A file may come from elsewhere, but without the token.
            let _ = download(&client, None).await;
        }
        let all = record.take();
        assert!(
            all.iter().any(|seen| seen.origin == HOME),
            "Discovery was not asked"
        );
        for seen in &all {
            assert!(seen.text.contains("user-agent: LabSoft/3.1 lab-connector/"));
            let key = seen.text.contains("x-gateway-key: secret-gateway-1\n");
            assert_eq!(key, seen.origin == HOME, "{elsewhere}: {seen:?}");
        }
        for seen in all.iter().filter(|seen| seen.origin != HOME) {
            assert!(seen.text.starts_with("GET "), "{elsewhere}: {seen:?}");
            assert!(
                !seen.authorized && !has_secret(&seen.text),
                "{elsewhere}: {seen:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_is_an_error_that_names_both_hosts() {
    let mut targets: Vec<_> = ELSEWHERE
        .iter()
        .map(|url| format!("{url}/x?where=1"))
        .collect();
    targets.extend(["//evil.example/x?where=1", "\\\\evil.example\\x"].map(str::to_owned));
    for status in REDIRECTS {
        for target in &targets {
            let record = Record::default();
            let location = http::HeaderValue::from_bytes(target.as_bytes()).unwrap();
            let transport = record.transport(move |_| {
                let mut answer = answer(status, "");
                answer.headers_mut().insert("location", location.clone());
                answer
            });
            let time = MovableTime::default();
            let client = builder(home(), &time)
                .transport(transport)
                .token_store(store().await)
                .build()
                .unwrap();
            assert!(client.discover().await.unwrap_err().is_origin());
            for (operation, result) in every_call(&client, &time).await {
                let error = result.unwrap_err();
                assert_names_the_operation(&error, operation);
                assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
                assert_names_the_host_only(&error, HOME);
                // Letters beyond ASCII cannot be read from a header.
                if target.is_ascii() {
                    let base = Url::parse(HOME).unwrap();
                    let host = shown(base.join(target).unwrap().as_str());
                    assert_names_the_host_only(&error, &host);
                }
            }
            let origins: BTreeSet<_> = record.take().into_iter().map(|seen| seen.origin).collect();
            assert_eq!(
                origins,
                BTreeSet::from([HOME.to_owned()]),
                "{status} {target}"
            );
        }
    }
}

#[tokio::test]
async fn files_elsewhere_arrive_without_the_token() {
    for elsewhere in ELSEWHERE {
        let file = format!("{elsewhere}/file?where=1");
        for status in [200].into_iter().chain(REDIRECTS) {
            // By its own URL, or by a redirect from home; the second leads back home.
            let (start, back) = match status {
                200 => (file.clone(), None),
                _ => (format!("{HOME}/file"), Some(format!("{HOME}/back"))),
            };
            let record = Record::default();
            let to = file.clone();
            let transport = record.transport(move |request| {
                let host = request.uri().authority().map(|host| host.as_str());
                let target = match (host, request.uri().path()) {
                    (_, "/discovery") => return answer(404, ""),
                    _ if status == 200 => None,
                    (Some("api.lab.example"), "/file") => Some(to.clone()),
                    (_, "/file") => back.clone(),
                    _ => None,
                };
                let Some(target) = target else {
                    return answer(200, "a file");
                };
                let location = http::HeaderValue::from_bytes(target.as_bytes()).unwrap();
                let mut answer = answer(status, "");
                answer.headers_mut().insert("location", location);
                answer
            });
            let time = MovableTime::default();
            let client = builder(home(), &time)
                .transport(transport)
                .token_store(store().await)
                .build()
                .unwrap();
            let result = download(&client, Some(&start)).await;
            let readable = status == 200 || elsewhere.is_ascii();
            let url = Url::parse(&file).unwrap();
            let local = [
                "127.0.0.1",
                "localhost",
                "x.localhost",
                "localhost.",
                "0.0.0.0",
                "169.254.169.254",
                "10.0.0.1",
            ];
            let local = url.host_str().is_some_and(|host| local.contains(&host));
            let clean = url.username().is_empty() && url.scheme() == "https" && !local;
            assert_eq!(
                result.is_ok(),
                readable && clean,
                "{status} {elsewhere}: {result:?}"
            );
            if let (Err(error), true) = (&result, readable) {
                assert_names_the_host_only(error, &shown(elsewhere));
            }
            let all = record.take();
            for (number, seen) in all.iter().enumerate() {
                // Home gets it once, in the beginning, and not when elsewhere sends it back.
                let first = status != 200 && number == 0;
                assert_eq!(seen.authorized, first, "{status} {elsewhere}: {all:?}");
                assert_eq!(
                    has_secret(&seen.text),
                    first,
                    "{status} {elsewhere}: {all:?}"
                );
            }
            if readable && clean {
                assert_eq!(all.len(), if status == 200 { 1 } else { 3 }, "{all:?}");
            }
        }
    }
}

#[tokio::test]
async fn other_spellings_of_home_are_home() {
    for spelling in [
        "https://api.lab.example/v2",
        "https://api.lab.example:443/v2",
        "HTTPS://API.Lab.Example/v2",
        "https://ａpi.lab.example/v2",
    ] {
        let record = Record::default();
        let discovered = json!({ "get_orders": spelling }).to_string();
        let transport = record.transport(move |request| match request.uri().path() {
            "/discovery" => answer(200, discovered.clone()),
            _ => answer(200, "[]"),
        });
        let client = builder(home(), &MovableTime::default())
            .transport(transport)
            .token_store(store().await)
            .build()
            .unwrap();
        client.discover().await.unwrap();
        client.account("L-1").orders().list().await.unwrap();
        let last = record.take().pop().unwrap();
        assert!(
            last.authorized && last.origin == HOME,
            "{spelling}: {last:?}"
        );
        assert!(
            last.text.starts_with("GET https://api.lab.example/v2\n"),
            "{spelling}: {last:?}"
        );
    }
}
