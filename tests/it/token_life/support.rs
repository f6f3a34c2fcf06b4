//! A clock that can be set forward, a token endpoint that follows a script, and processes that
//! die at a chosen step.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::client::ClientBuilder;
use lab_connector::clock::Clock;
use lab_connector::simulator::Simulator;
use lab_connector::transport::{self, Body, Transport, TransportError};
use lab_connector::{Client, Endpoints, Lab, MemoryTokenStore, Result, TokenStore};
use tokio::sync::Notify;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// The machine's time and a shift. Waits take a thousandth of their time.
#[derive(Clone, Debug, Default)]
pub(super) struct Shifted(Arc<AtomicU64>);

impl Shifted {
    pub(super) fn advance(&self, time: Duration) {
        let seconds = time.as_secs();
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for Shifted {
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration / 1000).await;
    }
}

/// Settings for that clock: limits that are seconds in truth.
pub(super) fn builder(clock: &Shifted, endpoints: Endpoints) -> ClientBuilder {
    Client::builder()
        .endpoints(endpoints)
        .credentials("simulator", "simulator-secret")
        .redirect_url("https://lab.example/callback")
        .attempt_timeout(HOUR * 4)
        .operation_timeout(HOUR * 12)
        .clock(clock.clone())
}

/// Signs in and pairs.
pub(super) async fn pair(client: &Client, service: &Simulator) -> Result<Lab> {
    let login = client.login("me");
    let request = login.authorize()?;
    let redirected = service.consent(request.url()).unwrap();
    login.finish(&request, &redirected).await?;
    login.pair("L-1").await
}

pub(super) fn account() -> TokenKey {
    TokenKey::Account("L-1".into())
}

/// `access-N` and `refresh-N` as generation N, good for an hour from now.
pub(super) fn tokens(clock: &Shifted, generation: u64) -> Tokens {
    let now = clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let json = serde_json::json!({
        "access_token": format!("access-{generation}"),
        "refresh_token": format!("refresh-{generation}"),
        "issued_at": now.as_secs(),
        "expires_at": (now + HOUR).as_secs(),
        "generation": generation,
    });
    Tokens::from_json(&json.to_string()).unwrap()
}

/// What a scripted token endpoint does next.
#[derive(Clone)]
pub(super) enum Answer {
    /// Tokens: `access-NAME` and `refresh-NAME`.
    Tokens(&'static str),
    Status(u16, &'static str),
    /// Too busy, with this `Retry-After`.
    Busy(String),
    NoConnection,
    Lost,
}

/// A service whose token endpoint follows a script. Other requests are answered with an empty
/// list, or with 401 if their token is not among the good ones.
#[derive(Default)]
pub(super) struct Script {
    answers: Mutex<VecDeque<Answer>>,
    good: Mutex<Vec<&'static str>>,
    /// Refresh tokens as they came.
    seen: Mutex<Vec<String>>,
    pub(super) discoveries: AtomicUsize,
    pub(super) calls: AtomicUsize,
    /// The token endpoint answers only when this is open.
    pub(super) gate: Gate,
}

#[derive(Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    opened: Notify,
    reached: Notify,
}

impl Gate {
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.opened.notify_one();
    }

    pub(super) async fn reached(&self) {
        self.reached.notified().await;
    }

    async fn pass(&self) {
        if self.closed.load(Ordering::SeqCst) {
            self.reached.notify_one();
            self.opened.notified().await;
        }
    }
}

impl Script {
    /// A service, and a client of it whose store holds generation 1 for the account.
    pub(super) async fn start(
        answers: impl IntoIterator<Item = Answer>,
    ) -> (Arc<Self>, Lab, Shifted, Arc<MemoryTokenStore>) {
        let clock = Shifted::default();
        let store = Arc::new(MemoryTokenStore::new());
        let script = Script::new(answers);
        let first = tokens(&clock, 1);
        assert!(store.swap(&account(), None, &first).await.unwrap());
        let lab = script.lab(&clock, Arc::clone(&store));
        (script, lab, clock, store)
    }

    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        let script = Script::default();
        script.answers.lock().unwrap().extend(answers);
        *script.good.lock().unwrap() = vec!["access-1", "access-2", "access-3"];
        Arc::new(script)
    }

    pub(super) fn lab(self: &Arc<Self>, clock: &Shifted, store: impl TokenStore + 'static) -> Lab {
        self.client(clock, store).account("L-1")
    }

    pub(super) fn client(
        self: &Arc<Self>,
        clock: &Shifted,
        store: impl TokenStore + 'static,
    ) -> Client {
        let this = Arc::clone(self);
        let transport = transport::from_fn(move |request| {
            let this = Arc::clone(&this);
            async move { this.answer(&request).await }
        });
        let endpoints = Endpoints::from_base_url("https://service.example/").unwrap();
        builder(clock, endpoints)
            .token_store(store)
            .transport(transport)
            .build()
            .unwrap()
    }

    pub(super) fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(super) fn accept_only(&self, tokens: &[&'static str]) {
        *self.good.lock().unwrap() = tokens.to_vec();
    }

    /// The refresh tokens that were sent so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    async fn answer(
        &self,
        request: &http::Request<bytes::Bytes>,
    ) -> Result<http::Response<Body>, TransportError> {
        let path = request.uri().path();
        if path.ends_with("discovery") {
            self.discoveries.fetch_add(1, Ordering::SeqCst);
            return Ok(response(500, ""));
        }
        if !path.contains("token") {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let shown = request.headers()["authorization"].to_str().unwrap();
            let good = self.good.lock().unwrap();
            let accepted = good.iter().any(|good| shown.ends_with(good));
            return Ok(response(if accepted { 200 } else { 401 }, "[]"));
        }
        let form = String::from_utf8_lossy(request.body()).into_owned();
        let sent = form
            .split('&')
            .find_map(|pair| pair.strip_prefix("refresh_token="));
        self.seen.lock().unwrap().push(sent.unwrap().to_owned());
        self.gate.pass().await;
        let next = self.answers.lock().unwrap().pop_front();
        match next.expect("no more token requests than the script knows") {
            Answer::Tokens(name) => Ok(response(
                200,
                &format!(r#"{{"access_token":"access-{name}","refresh_token":"refresh-{name}"}}"#),
            )),
            Answer::Status(status, body) => Ok(response(status, body)),
            Answer::Busy(seconds) => {
                let mut response = response(503, "");
                response
                    .headers_mut()
                    .insert("retry-after", seconds.try_into().unwrap());
                Ok(response)
            }
            Answer::NoConnection => Err(TransportError::connect("scripted")),
            Answer::Lost => Err(TransportError::broken("scripted")),
        }
    }
}

fn response(status: u16, body: &str) -> http::Response<Body> {
    let mut response = http::Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status.try_into().unwrap();
    response
}

/// The points between which a process may die: around everything that its refresh task does to
/// the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    BeforeLoad,
    AfterLoad,
    BeforeClaim,
    AfterClaim,
    BeforeSend,
    AfterSend,
    BeforeSwap,
    AfterSwap,
}

impl Step {
    pub(super) const ALL: [Step; 8] = [
        Step::BeforeLoad,
        Step::AfterLoad,
        Step::BeforeClaim,
        Step::AfterClaim,
        Step::BeforeSend,
        Step::AfterSend,
        Step::BeforeSwap,
        Step::AfterSwap,
    ];
}

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The process is gone: nothing that it waits for comes.
    Crash(Step),
    /// The step fails once: with no effect before it, with its effect after it.
    Fail(Step),
}

impl Fault {
    /// Whether it can take an answer away that the service has given.
    pub(super) fn may_lose_an_answer(self) -> bool {
        matches!(
            self,
            Fault::Crash(Step::AfterSend | Step::BeforeSwap) | Fault::Fail(Step::AfterSend)
        )
    }
}

/// One process: everything that it does to the world goes through here.
#[derive(Debug, Default)]
pub(super) struct Process {
    fault: Mutex<Option<Fault>>,
    dead: AtomicBool,
    died: Notify,
    /// What it claimed last.
    lease: Mutex<Option<(TokenKey, u64, String)>>,
}

impl Process {
    pub(super) fn fail_at(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Waits until it dies.
    pub(super) async fn died(&self) {
        if !self.is_dead() {
            self.died.notified().await;
        }
    }

    /// What happens to the lease of a dead process with time.
    pub(super) async fn let_its_lease_end(&self, store: &MemoryTokenStore) {
        let lease = self.lease.lock().unwrap().take();
        if let Some((key, generation, holder)) = lease {
            let _ = store
                .claim(&key, generation, &holder, Duration::ZERO)
                .await
                .unwrap();
        }
    }

    /// Whether the step is to fail; does not return where the process dies.
    async fn fails_at(&self, step: Step) -> bool {
        let fails = {
            let mut fault = self.fault.lock().unwrap();
            match *fault {
                Some(Fault::Crash(at)) if at == step => {
                    self.dead.store(true, Ordering::SeqCst);
                    self.died.notify_one();
                    false
                }
                Some(Fault::Fail(at)) if at == step => {
                    *fault = None;
                    true
                }
                _ => false,
            }
        };
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        fails
    }

    async fn pass(&self, step: Step) -> Result<()> {
        match self.fails_at(step).await {
            true => Err(lab_connector::Error::store("scripted")),
            false => Ok(()),
        }
    }
}

/// The store as a process sees it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) store: Arc<MemoryTokenStore>,
    pub(super) process: Arc<Process>,
}

#[async_trait]
impl TokenStore for Seen {
    async fn load(&self, key: &TokenKey) -> Result<Option<Tokens>> {
        self.process.pass(Step::BeforeLoad).await?;
        let tokens = self.store.load(key).await?;
        self.process.pass(Step::AfterLoad).await?;
        Ok(tokens)
    }

    async fn claim(
        &self,
        key: &TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> Result<bool> {
        self.process.pass(Step::BeforeClaim).await?;
        let granted = self.store.claim(key, generation, holder, lease).await?;
        if granted {
            let claimed = (key.clone(), generation, holder.to_owned());
            *self.process.lease.lock().unwrap() = Some(claimed);
        }
        self.process.pass(Step::AfterClaim).await?;
        Ok(granted)
    }

    async fn swap(&self, key: &TokenKey, expected: Option<u64>, tokens: &Tokens) -> Result<bool> {
        self.process.pass(Step::BeforeSwap).await?;
        let swapped = self.store.swap(key, expected, tokens).await?;
        self.process.pass(Step::AfterSwap).await?;
        Ok(swapped)
    }

    async fn clear(&self, key: &TokenKey) -> Result<()> {
        self.store.clear(key).await
    }
}

/// The network as a process sees it. Only what goes to the token endpoint can fail.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) http: reqwest::Client,
    pub(super) process: Arc<Process>,
}

#[async_trait]
impl Transport for Wire {
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
    ) -> Result<http::Response<Body>, TransportError> {
        let refreshes = request
            .body()
            .windows(19)
            .any(|w| w == b"grant_type=refresh_");
        if refreshes && self.process.fails_at(Step::BeforeSend).await {
            return Err(TransportError::connect("scripted"));
        }
        let request = request.map(reqwest::Body::from).try_into();
        let request: reqwest::Request = request.map_err(TransportError::connect)?;
        let answer = self.http.execute(request).await;
        let answer: http::Response<reqwest::Body> = answer.map_err(TransportError::broken)?.into();
        let (head, body) = answer.into_parts();
        let body = http_body_util::BodyExt::collect(body).await;
        let body = body.map_err(TransportError::broken)?.to_bytes();
        if refreshes && self.process.fails_at(Step::AfterSend).await {
            return Err(TransportError::broken("scripted"));
        }
        Ok(http::Response::from_parts(head, Body::from(body)))
    }
}
