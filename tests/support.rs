//! What the tests stand on: a clock, tokens, small servers, and a client set up with them.
#![cfg(feature = "full")]
#![allow(clippy::new_without_default, reason = "a test says what it makes")]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lab_connector::auth::{AuthorizationRequest, TokenKey, Tokens};
use lab_connector::client::ClientBuilder;
use lab_connector::clock::Clock;
use lab_connector::{Client, Endpoints, MemoryTokenStore, Order, TokenStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A number from the environment, by which a test is told how much to do.
pub fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What no error may show. Ids are among it: they lead to patients.
pub const CANARIES: [&str; 8] = [
    "access-",
    "refresh-",
    "canary",
    "client-secret",
    "account-77",
    "order-88",
    "rx-99",
    "asset-66",
];

/// Waits for a retry are at most this long, limits of time are longer.
const QUICK: Duration = Duration::from_secs(60);

/// A clock that stands still. Short waits return at once and move it; long ones are limits of
/// time and never end.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Mutex<Times>>, Option<Arc<Notify>>);

#[derive(Debug)]
struct Times {
    now: SystemTime,
    elapsed: Duration,
    waits: Vec<Duration>,
}

impl Times {
    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.elapsed += time;
    }
}

impl TestClock {
    /// 2026-03-14T09:26:53Z.
    pub fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_480_413);
        let times = Times {
            now: start,
            elapsed: Duration::from_secs(1_000_000),
            waits: Vec::new(),
        };
        TestClock(Arc::new(Mutex::new(times)), None)
    }

    /// A clock whose waits end when it was advanced so far, also short ones.
    #[must_use]
    pub fn still() -> Self {
        TestClock(TestClock::new().0, Some(Arc::default()))
    }

    pub fn advance(&self, time: Duration) {
        self.0.lock().unwrap().advance(time);
        self.1.iter().for_each(|moved| moved.notify_waiters());
    }

    /// As somebody does who corrects it; no less time has passed by that.
    pub fn set_back(&self, time: Duration) {
        self.0.lock().unwrap().now -= time;
        self.1.iter().for_each(|moved| moved.notify_waiters());
    }

    /// As a machine's is that was suspended: no time has passed for its processes.
    pub fn set_ahead(&self, time: Duration) {
        self.0.lock().unwrap().now += time;
        self.1.iter().for_each(|moved| moved.notify_waiters());
    }

    /// The waits so far.
    pub fn waits(&self) -> Vec<Duration> {
        self.0.lock().unwrap().waits.clone()
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        self.0.lock().unwrap().now
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().elapsed
    }

    async fn sleep(&self, duration: Duration) {
        if let Some(moved) = &self.1 {
            let end = self.elapsed() + duration;
            loop {
                let moved = moved.notified();
                let mut moved = std::pin::pin!(moved);
                moved.as_mut().enable();
                if self.elapsed() >= end {
                    return;
                }
                moved.await;
            }
        }
        if duration > QUICK {
            std::future::pending::<()>().await;
        }
        let mut state = self.0.lock().unwrap();
        state.advance(duration);
        state.waits.push(duration);
    }
}

/// A client's settings: everything but where tokens are kept.
pub fn builder(base_url: &str, clock: &TestClock) -> ClientBuilder {
    Client::builder()
        .endpoints(Endpoints::from_base_url(base_url).unwrap())
        .credentials("client-id", "client-secret")
        .redirect_url("https://lab.example/callback")
        .attempt_timeout(Duration::from_secs(3600))
        .idle_timeout(Duration::from_secs(3600))
        .operation_timeout(Duration::from_secs(7200))
        .clock(clock.clone())
}

/// The `state` of a sign-in, which the browser brings back.
pub fn state_of(request: &AuthorizationRequest) -> String {
    let mut pairs = request.url().query_pairs();
    let state = pairs.find(|(name, _)| name == "state");
    state.unwrap().1.into_owned()
}

pub fn login() -> TokenKey {
    TokenKey::Login("me".to_owned())
}

pub fn account() -> TokenKey {
    TokenKey::Account("account-77".into())
}

/// `access-1` and `refresh-1`, good for `seconds` from the beginning of the test.
pub fn tokens(clock: &TestClock, seconds: i64) -> Tokens {
    let now = clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let json = json!({
        "access_token": "access-1",
        "refresh_token": "refresh-1",
        "expires_at": now.as_secs().saturating_add_signed(seconds),
        "generation": 1,
    });
    Tokens::from_json(&json.to_string()).unwrap()
}

/// A store in which a login and an account have tokens that are good for `seconds`.
pub async fn store(clock: &TestClock, seconds: i64) -> Arc<MemoryTokenStore> {
    let store = MemoryTokenStore::new();
    for key in [login(), account()] {
        keep(&store, &key, &tokens(clock, seconds)).await;
    }
    Arc::new(store)
}

/// Puts tokens into a store, in place of those that it has.
pub async fn keep(store: &impl TokenStore, key: &TokenKey, tokens: &Tokens) {
    let kept = store.load(key).await.unwrap();
    let kept = kept.map(|tokens| tokens.generation());
    assert!(store.swap(key, kept, tokens).await.unwrap());
}

/// The access token that a store keeps.
pub async fn kept(store: &impl TokenStore, key: &TokenKey) -> Option<String> {
    let tokens = store.load(key).await.unwrap()?;
    let value: Value = serde_json::from_str(&tokens.expose_json()).unwrap();
    Some(value["access_token"].as_str().unwrap().to_owned())
}

pub fn order(value: Value) -> Order {
    serde_json::from_value(value).unwrap()
}

/// An order with one file, of a kind that need not be a zip, at `url` or at the endpoint.
pub fn order_with_file(url: Option<&str>) -> Order {
    order(json!({
        "orderId": "order-88", "rxId": "rx-99", "status": "Ready for Download",
        "assets": [{ "assetId": "asset-66", "type": "FILE", "url": url }],
    }))
}

/// A port on which nobody listens, and that nobody else gets.
pub struct ClosedPort(tokio::net::TcpSocket);

impl ClosedPort {
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        ClosedPort(socket)
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr().unwrap())
    }
}

/// A server that answers with bytes as they are, one request to a connection.
pub struct RawServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    arrived: tokio::sync::watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl RawServer {
    pub async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (count, arrived) = tokio::sync::watch::channel(0);
        let (seen, count) = (Arc::clone(&requests), Arc::new(count));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, seen, count) = (answer.clone(), seen.clone(), count.clone());
                tokio::spawn(async move {
                    // A connection alone counts: a trap must not even be knocked at.
                    let request = read_message(&mut stream).await.unwrap_or_default();
                    seen.lock().unwrap().push(request);
                    count.send_modify(|count| *count += 1);
                    // The client may have gone by now.
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        RawServer {
            address,
            requests,
            arrived,
            task,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub async fn requested(&self, count: usize) {
        let mut arrived = self.arrived.clone();
        arrived.wait_for(|arrived| *arrived >= count).await.unwrap();
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request or an answer whose length is given, or that ends with the connection.
async fn read_message(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let named = name.eq_ignore_ascii_case("content-length");
                named.then(|| value.trim().parse::<usize>().ok())?
            });
            let is_request = !head.starts_with("HTTP/");
            if length.map_or(is_request, |length| body.len() >= length) {
                break;
            }
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One request by hand: status and body.
pub async fn http(address: SocketAddr, head: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "{head}\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let answer = read_message(&mut stream).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    Ok((status.unwrap_or_default(), body.to_owned()))
}

/// No secret, no id and no payload in what an error says, on one line.
pub fn assert_discreet(error: &lab_connector::Error) {
    let shown = error.to_string();
    assert!(!shown.contains('\n'), "{shown}");
    let mut all = format!("{shown} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        all.push_str(&error.to_string());
        source = error.source();
    }
    for canary in CANARIES {
        assert!(!all.contains(canary), "`{canary}` in {all}");
    }
}
