//! A service that gives out tokens, without a network, and that can be held up.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use lab_connector::transport::{self, Body, Transport};
use lab_connector::{Client, TokenStore};
use tokio::sync::Semaphore;

use crate::support::{TestClock, builder};

/// A service with one account. It gives out `access-2` with `refresh-2` for `refresh-1`, and so
/// on: each refresh token is good for one use, the newest access token is the only good one.
#[derive(Clone, Debug)]
pub(super) struct Service(pub(super) Arc<State>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) newest: AtomicUsize,
    /// Whether `access-1` is good, as long as it is the newest.
    first_is_good: AtomicBool,
    token_requests: AtomicUsize,
    /// The access tokens that calls showed.
    shown: Mutex<Vec<String>>,
    /// Answers given in place of the usual ones by the token endpoint.
    pub(super) refusal: Mutex<Option<(u16, &'static str)>>,
    /// What token requests and calls wait for before they are answered; open at first.
    pub(super) token_gate: Gate,
    pub(super) call_gate: Gate,
}

#[derive(Debug)]
pub(super) struct Gate {
    pub(super) closed: AtomicBool,
    arrived: Semaphore,
    let_through: Semaphore,
}

impl Gate {
    pub(super) fn new() -> Self {
        Gate {
            closed: AtomicBool::new(false),
            arrived: Semaphore::new(0),
            let_through: Semaphore::new(0),
        }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// One that stands before the gate goes through; those that come later do not wait.
    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.let_through.add_permits(1);
    }

    /// Waits until somebody stands before the gate.
    pub(super) async fn reached(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    async fn pass(&self) {
        if self.closed.load(Ordering::SeqCst) {
            self.arrived.add_permits(1);
            self.let_through.acquire().await.unwrap().forget();
        }
    }
}

impl Service {
    pub(super) fn new() -> Self {
        Service(Arc::new(State {
            newest: AtomicUsize::new(1),
            first_is_good: AtomicBool::new(true),
            token_requests: AtomicUsize::new(0),
            shown: Mutex::default(),
            refusal: Mutex::default(),
            token_gate: Gate::new(),
            call_gate: Gate::new(),
        }))
    }

    pub(super) fn token_requests(&self) -> usize {
        self.0.token_requests.load(Ordering::SeqCst)
    }

    pub(super) fn shown(&self) -> Vec<String> {
        self.0.shown.lock().unwrap().clone()
    }

    /// The refresh token stays good.
    pub(super) fn forget_first_access_token(&self) {
        self.0.first_is_good.store(false, Ordering::SeqCst);
    }

    pub(super) fn refuse(&self, status: u16, body: &'static str) {
        *self.0.refusal.lock().unwrap() = Some((status, body));
    }

    pub(super) fn transport(&self) -> impl Transport + use<> {
        let service = self.clone();
        transport::from_fn(move |request| {
            let service = service.clone();
            async move { Ok(service.answer(&request).await) }
        })
    }

    async fn answer(&self, request: &http::Request<bytes::Bytes>) -> http::Response<Body> {
        let respond = |status: u16, body: String| {
            let answer = http::Response::builder()
                .status(status)
                .header("content-length", body.len())
                .body(Body::from(body));
            answer.unwrap()
        };
        let state = &self.0;
        match request.uri().path() {
            "/oauth/token" => {
                state.token_requests.fetch_add(1, Ordering::SeqCst);
                state.token_gate.pass().await;
                if let Some((status, body)) = *state.refusal.lock().unwrap() {
                    return respond(status, body.to_owned());
                }
                let form = String::from_utf8(request.body().to_vec()).unwrap();
                let used = format!("refresh-{}", state.newest.load(Ordering::SeqCst));
                if !form
                    .split('&')
                    .any(|pair| pair == format!("refresh_token={used}"))
                {
                    return respond(400, r#"{"error":"invalid_grant"}"#.to_owned());
                }
                respond(200, self.issue())
            }
            // Asked before a refresh; there is none, as with older integrations.
            "/discovery" => respond(404, String::new()),
            "/oauth/revoke" => respond(200, String::new()),
            "/accounts/account-77/pair" => respond(200, self.issue()),
            path => {
                let token = request.headers()["authorization"]
                    .to_str()
                    .unwrap()
                    .to_owned();
                let token = token.trim_start_matches("Bearer ").to_owned();
                state.shown.lock().unwrap().push(token.clone());
                state.call_gate.pass().await;
                let newest = format!("access-{}", state.newest.load(Ordering::SeqCst));
                let forgotten = token == "access-1" && !state.first_is_good.load(Ordering::SeqCst);
                let good = token == newest && !forgotten;
                match (good, path.ends_with("/orders")) {
                    (false, _) => respond(401, String::new()),
                    (true, true) => respond(200, "[]".to_owned()),
                    (true, false) => respond(200, "a file".to_owned()),
                }
            }
        }
    }

    fn issue(&self) -> String {
        let number = self.0.newest.fetch_add(1, Ordering::SeqCst) + 1;
        format!(
            r#"{{"access_token":"access-{number}","refresh_token":"refresh-{number}","expires_in":3600}}"#
        )
    }

    pub(super) fn client(&self, clock: &TestClock, store: impl TokenStore + 'static) -> Client {
        builder("https://api.example/", clock)
            .transport(self.transport())
            .token_store(store)
            .build()
            .unwrap()
    }
}
