//! The inbox: what becomes of what a service shows.

mod deliveries;
pub(crate) mod extremes;
mod files;
mod for_each;
mod hints;
mod hooked_store;
mod identity;
mod killed;
mod model;
mod odd;
mod rounds;
mod rude;
mod running;
mod told;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::{Response, StatusCode, header};
use lab_connector::client::ClientBuilder;
use lab_connector::inbox::{CaseStore, Delivery, Inbox, MemoryStore, PollReport, ProblemKind};
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{Lab, MemoryTokenStore, Notification, OrderId, TokenStore};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{TestClock, account, builder, tokens};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Plays so many worlds, two at a time; each has a seed, from `first` on.
fn play_worlds(first: u64, worlds: u64, play: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        break;
                    }
                    play(seed);
                }
            });
        }
    });
}

/// A service of one lab, in memory, that shows what it is told to show.
#[derive(Clone)]
struct Service {
    state: Arc<Mutex<State>>,
    clock: TestClock,
}

#[derive(Default)]
struct State {
    /// Orders by their numbers: what *Get Order by Rx Id* shows.
    orders: BTreeMap<u64, Value>,
    /// Not listed although their status says so.
    hidden: Vec<u64>,
    /// A record of the listing that cannot be read.
    unreadable: bool,
    /// The listing speaks of an error beside its list.
    speaks_of_errors: bool,
    /// Further records of the listing.
    extra: Vec<Value>,
    /// What every request is answered with.
    outage: Option<StatusCode>,
    /// Rx ids of orders that cannot be fetched.
    broken: Vec<String>,
    /// What *Get Order by Rx Id* answers, whatever the order is.
    fetched: BTreeMap<String, Value>,
    /// The next answer of a path with this end is made up when it is asked for, and arrives when this
    /// is notified.
    slow: Option<(&'static str, Arc<Notify>)>,
    lists: usize,
    /// The Rx ids that were asked for.
    looks: Vec<String>,
    returns: usize,
}

impl Service {
    fn new() -> Self {
        Service {
            state: Arc::default(),
            clock: TestClock::still(),
        }
    }

    /// One whose time passes by itself while somebody waits for a little.
    fn hasty() -> Self {
        Service {
            state: Arc::default(),
            clock: TestClock::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// An order with this number, Rx id `rx-<number>`, is in this status from now on.
    fn show(&self, number: u64, status: &str) {
        self.show_more(number, status, json!({}));
    }

    fn show_more(&self, number: u64, status: &str, more: Value) {
        let mut order = json!({
            "orderId": number, "rxId": format!("rx-{number}"), "status": status,
            "patient": "canary",
        });
        order
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        self.state().orders.insert(number, order);
        self.pass(Duration::from_secs(60));
    }

    fn remove(&self, number: u64) {
        self.state().orders.remove(&number);
        self.pass(Duration::from_secs(60));
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// A client of the account, whose token outlasts every test.
    async fn lab(&self) -> Lab {
        let store = MemoryTokenStore::new();
        let kept = tokens(&self.clock, 10 * 365 * 86_400);
        assert!(store.swap(&account(), None, &kept).await.unwrap());
        self.lab_with(store)
    }

    fn lab_with(&self, store: impl TokenStore + 'static) -> Lab {
        self.lab_set_up(store, |builder| builder)
    }

    fn lab_set_up(
        &self,
        store: impl TokenStore + 'static,
        set: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Lab {
        let state = Arc::clone(&self.state);
        let clock = self.clock.clone();
        let client = set(builder("https://service.example/", &clock))
            .token_store(store)
            .transport(transport::from_fn(move |request| {
                let answer = state.lock().unwrap().answer(&request);
                let path = request.uri().path();
                let slow = state
                    .lock()
                    .unwrap()
                    .slow
                    .take_if(|(end, _)| path.ends_with(*end));
                // As much time as passes on a wire.
                clock.advance(Duration::from_millis(20));
                async move {
                    if let Some((_, slow)) = slow {
                        slow.notified().await;
                    }
                    answer
                }
            }))
            .build()
            .unwrap();
        client.account("account-77")
    }

    async fn inbox(&self) -> Inbox {
        self.inbox_on(MemoryStore::new()).await
    }

    async fn inbox_on(&self, store: impl CaseStore + 'static) -> Inbox {
        self.lab().await.inbox(store)
    }

    /// Shows an order that is listed to the end, so that no listing is suddenly empty. Its delivery is
    /// done.
    async fn with_another(&self, inbox: &Inbox) {
        self.show(900, "Lab Review");
        inbox.poll().await.unwrap();
        inbox.claim(1).await.unwrap()[0]
            .acknowledge()
            .await
            .unwrap();
    }

    /// An inbox whose account was listed before, when it was empty: new orders are complete.
    async fn settled(&self) -> Inbox {
        let inbox = self.inbox().await;
        inbox.poll().await.unwrap();
        // Orders without a creation time are in doubt for 90 days.
        for _ in 0..91 * 2 {
            self.pass(HOUR * 12);
            inbox.poll().await.unwrap();
        }
        self.state().lists = 0;
        inbox
    }
}

impl State {
    fn answer(
        &mut self,
        request: &http::Request<bytes::Bytes>,
    ) -> Result<Response<Body>, TransportError> {
        let path = request.uri().path().to_owned();
        let (status, body) = match (&self.outage, path.rsplit_once('/')) {
            (Some(outage), _) => (*outage, json!({ "error": "outage" })),
            (None, Some((_, "orders"))) => {
                self.lists += 1;
                let listed = self.orders.iter().filter(|(number, order)| {
                    let status = order["status"].as_str().unwrap();
                    ["Ready for Download", "Lab Review"].contains(&status)
                        && !self.hidden.contains(number)
                });
                let mut listed: Vec<_> = listed.map(|(_, order)| order.clone()).collect();
                if self.unreadable {
                    listed.push(json!({ "status": "Lab Review" }));
                }
                listed.extend(self.extra.clone());
                let mut body = json!({ "orders": listed });
                if self.speaks_of_errors {
                    body["errors"] = json!([{ "message": "a part is missing" }]);
                }
                (StatusCode::OK, body)
            }
            // Nobody is signed in any more.
            (None, Some((_, "token"))) => {
                (StatusCode::BAD_REQUEST, json!({ "error": "invalid_grant" }))
            }
            (None, Some((_, "return"))) => {
                self.returns += 1;
                (StatusCode::OK, json!({}))
            }
            (None, Some((_, rx))) if self.broken.iter().any(|broken| broken == rx) => {
                (StatusCode::BAD_REQUEST, json!({ "error": "broken" }))
            }
            (None, Some((_, rx))) => {
                let rx = &*percent_decode(rx);
                self.looks.push(rx.to_owned());
                let mut orders = self.orders.values();
                let other = self.fetched.get(rx);
                match other.or_else(|| orders.find(|order| order["rxId"] == rx)) {
                    Some(order) => (StatusCode::OK, order.clone()),
                    None => (StatusCode::NOT_FOUND, json!({ "error": "not_found" })),
                }
            }
            (None, None) => (StatusCode::NOT_FOUND, json!({})),
        };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .map_err(TransportError::broken)
    }
}

fn percent_decode(text: &str) -> String {
    // A form's text reads the same, but for a plus.
    let form = format!("x={}", text.replace('+', "%2B"));
    let mut pairs = url::form_urlencoded::parse(form.as_bytes());
    pairs.next().unwrap().1.into_owned()
}

fn notification(rx: &str) -> Notification {
    let body = json!({ "rxId": rx, "accountNumber": "account-77" });
    Notification::parse(body.to_string().as_bytes()).unwrap()
}

/// What was wrong in a round.
fn kinds(round: &PollReport) -> Vec<ProblemKind> {
    round.problems().iter().map(|one| one.kind()).collect()
}

/// The names of deliveries, without the account.
fn names(deliveries: &[Delivery]) -> Vec<(&str, u32)> {
    let names = deliveries.iter();
    names
        .map(|delivery| (delivery.order_id().as_str(), delivery.ordinal()))
        .collect()
}

/// The symbols of an order's history.
async fn symbols(inbox: &Inbox, order: &str) -> String {
    let case = inbox.history(&OrderId::from(order)).await.unwrap().unwrap();
    let arrivals = case.history.arrivals().iter();
    arrivals
        .map(|arrival| {
            arrival
                .status()
                .symbol()
                .map_or("-", |symbol| symbol.as_str())
        })
        .collect()
}
