//! A world of doctors, labs and modelers, and the line to it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use futures_util::StreamExt;
use lab_connector::clock::Clock;
use lab_connector::simulator::{
    Action, AssetIds, Behaviour, ClockMode, Elsewhere, Fault, FaultRule, Faults, Ids, Lists,
    Paging, ResetAt, Simulator, StatusSpelling, Times,
};
use lab_connector::transport::{Body, Transport, TransportError};
use lab_connector::{Client, Lab, Notification, Operation, OrderId};
use serde_json::json;

/// What kind of a world it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Rounds are given up halfway.
    pub(super) interrupted: bool,
    /// Orders that have left the list are in it now and then.
    pub(super) stale: bool,
    /// Nothing goes wrong on the line.
    pub(super) faultless: bool,
    pub(super) labs: usize,
    pub(super) looks: usize,
}

pub(super) struct World {
    pub(super) service: Simulator,
    pub(super) kind: Kind,
    pub(super) rng: Mutex<Rng>,
    log: Mutex<Vec<String>>,
    /// Notifications on their way: when, for which lab and prescription.
    notices: Mutex<Vec<(SystemTime, usize, String)>>,
    orders: Mutex<Vec<(usize, OrderId)>>,
    /// People do something while requests are under way.
    pub(super) busy: Mutex<bool>,
}

pub(super) fn account(lab: usize) -> String {
    format!("L-{}", lab + 1)
}

impl World {
    pub(super) async fn new(seed: u64) -> Arc<Self> {
        let mut rng = Rng::with_seed(seed);
        let mut behaviour = Behaviour::default();
        // The size of a file is known only once it is made.
        behaviour.asset_sizes = false;
        behaviour.paging = pick(
            &mut rng,
            &[
                Paging::None,
                Paging::None,
                Paging::Link,
                Paging::Cursor,
                Paging::Offset,
                Paging::Page,
            ],
        );
        behaviour.page_size = rng.usize(1..4);
        behaviour.lists = pick(&mut rng, &[Lists::Wrapped, Lists::Bare, Lists::Nested]);
        behaviour.ids = pick(&mut rng, &[Ids::Text, Ids::Number]);
        behaviour.statuses = pick(
            &mut rng,
            &[
                StatusSpelling::Spaced,
                StatusSpelling::Camel,
                StatusSpelling::ScreamingSnake,
                StatusSpelling::Noted,
            ],
        );
        behaviour.times = pick(
            &mut rng,
            &[
                Times::Rfc3339,
                Times::Rfc3339,
                Times::UnixMillis,
                Times::Absent,
            ],
        );
        behaviour.elsewhere = pick(
            &mut rng,
            &[
                Elsewhere::Full,
                Elsewhere::Full,
                Elsewhere::WithoutFiles,
                Elsewhere::Missing,
            ],
        );
        behaviour.assets_in_listing = rng.u8(0..4) > 0;
        behaviour.asset_ids = pick(
            &mut rng,
            &[
                AssetIds::PerRevision,
                AssetIds::PerRevision,
                AssetIds::PerOrder,
            ],
        );
        behaviour.asset_times = rng.bool();
        behaviour.history = rng.u8(0..8) == 0;
        let mut kind = Kind {
            interrupted: rng.u8(0..6) == 0,
            stale: rng.u8(0..10) == 0,
            faultless: false,
            labs: 1 + usize::from(rng.u8(0..4) == 0),
            looks: pick(&mut rng, &[200, 200, 1, 2]),
        };
        let faults = faults(&mut rng, kind);
        kind.faultless = faults.rules.is_empty();
        let mut service = Simulator::builder()
            .seed(seed)
            .clock(ClockMode::Stepped)
            .behaviour(behaviour.clone());
        for lab in 0..kind.labs {
            service = service.account(account(lab), "A lab");
        }
        let service = service.start().await.unwrap();
        let world = Arc::new(World {
            service,
            kind,
            rng: Mutex::new(rng),
            log: Mutex::default(),
            notices: Mutex::default(),
            orders: Mutex::default(),
            busy: Mutex::new(false),
        });
        world.say(|| format!("{kind:?} {behaviour:?} {faults:?}"));
        world.service.set_faults(faults).unwrap();
        world
    }

    /// The labs, paired.
    pub(super) async fn labs(self: &Arc<Self>) -> Vec<Lab> {
        let faults = self.service.faults();
        self.service.set_faults(Faults::default()).unwrap();
        let client = Client::builder()
            .endpoints(self.service.endpoints())
            .credentials(self.service.client_id(), self.service.client_secret())
            .redirect_url(self.service.redirect_url())
            .clock(WorldClock(Arc::clone(self)))
            .attempt_timeout(Duration::from_secs(3600))
            .idle_timeout(Duration::from_secs(3600))
            .operation_timeout(Duration::from_secs(7200))
            .transport(Line {
                inner: Arc::new(self.service.transport()),
                world: Arc::clone(self),
            })
            .build()
            .unwrap();
        let login = client.login("me");
        let request = login.authorize().unwrap();
        let redirected = self.service.consent(request.url()).unwrap();
        login.finish(&request, &redirected).await.unwrap();
        let mut labs = Vec::new();
        for lab in 0..self.kind.labs {
            labs.push(login.pair(account(lab)).await.unwrap());
        }
        self.service.set_faults(faults).unwrap();
        labs
    }

    pub(super) fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().unwrap()
    }

    pub(super) fn chance(&self, percent: u8) -> bool {
        self.rng().u8(0..100) < percent
    }

    pub(super) fn now(&self) -> SystemTime {
        self.service.now()
    }

    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        let text = what();
        self.log.lock().unwrap().push(text);
    }

    pub(super) fn story(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(super) fn orders(&self) -> Vec<(usize, OrderId)> {
        self.orders.lock().unwrap().clone()
    }

    /// Somebody does something.
    pub(super) fn act(&self) {
        let orders = self.orders();
        let new = orders.is_empty() || (orders.len() < 6 && self.chance(15));
        if new {
            let lab = self.rng().usize(0..self.kind.labs);
            let order = self.service.prescribe(account(lab)).unwrap();
            self.orders.lock().unwrap().push((lab, order.clone()));
            self.say(|| format!("  {} is prescribed for {lab}", order.as_str()));
            return;
        }
        let (lab, order) = pick(&mut self.rng(), &orders);
        let possible = self.service.possible(&order);
        if possible.is_empty() {
            return;
        }
        let mut action = pick(&mut self.rng(), &possible);
        // The beginning of a scan can be had without end.
        if action == Action::BeginScan && self.chance(80) {
            action = Action::FinishScan;
        }
        self.service.act(&order, action).unwrap();
        self.say(|| format!("  {}: {action}", order.as_str()));
        let truth = self.service.truth(&order).unwrap();
        if truth.shown.last().unwrap().status.is_listed() {
            self.announce(lab, truth.rx_id.as_str());
        }
    }

    /// A notification: lost, doubled, late, and so out of order.
    fn announce(&self, lab: usize, rx_id: &str) {
        let copies = pick(&mut self.rng(), &[0, 1, 1, 2]);
        for _ in 0..copies {
            let late = self.rng().u64(0..1_200);
            let at = self.now() + Duration::from_secs(late);
            let mut notices = self.notices.lock().unwrap();
            notices.push((at, lab, rx_id.to_owned()));
        }
    }

    /// The notifications that have come for a lab by now, and some that nobody sent.
    pub(super) fn notices(&self, lab: usize) -> Vec<Notification> {
        let now = self.now();
        let mut notices = self.notices.lock().unwrap();
        let (due, rest) = notices
            .drain(..)
            .partition(|(at, to, _)| *at <= now && *to == lab);
        *notices = rest;
        drop(notices);
        let due: Vec<(SystemTime, usize, String)> = due;
        let mut rx_ids: Vec<String> = due.into_iter().map(|(_, _, rx_id)| rx_id).collect();
        if self.chance(10) {
            rx_ids.push(format!("rx-{:x}", self.rng().u32(..)));
        }
        // That of any order, also of another lab. In the end there are none: a hint may show files
        // that no listing did, and is news then.
        let busy = *self.busy.lock().unwrap();
        if busy && self.chance(5) && !self.orders().is_empty() {
            let (_, order) = pick(&mut self.rng(), &self.orders());
            let truth = self.service.truth(&order).unwrap();
            rx_ids.push(truth.rx_id.as_str().to_owned());
        }
        let bodies = rx_ids.into_iter();
        bodies
            .map(|rx_id| {
                let body = json!({ "rxId": rx_id, "accountNumber": account(lab) });
                Notification::parse(body.to_string().as_bytes()).unwrap()
            })
            .collect()
    }

    /// Time passes on the line, and people may do something.
    async fn on_the_line(&self) {
        let wait = self.rng().u64(1..150);
        self.service.advance(Duration::from_millis(wait));
        if *self.busy.lock().unwrap() && self.chance(6) {
            self.act();
        }
        tokio::task::yield_now().await;
    }
}

pub(super) fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())].clone()
}

fn faults(rng: &mut Rng, kind: Kind) -> Faults {
    let mut faults = Faults::default();
    let orders = |fault| {
        FaultRule::new(fault)
            .on(Operation::GetOrders)
            .on(Operation::GetOrderByRxId)
    };
    let mut add = |rule: FaultRule, rng: &mut Rng| {
        let probability = f64::from(rng.u8(1..25)) / 100.0;
        faults.rules.push(rule.probability(probability));
    };
    let places = [
        ResetAt::Request,
        ResetAt::Answer,
        ResetAt::InsideHead,
        ResetAt::AfterHead,
        ResetAt::InsideBody,
        ResetAt::AfterBody,
    ];
    for _ in 0..rng.u8(0..4) {
        let rule = match rng.u8(0..9) {
            0 => orders(Fault::Status {
                code: pick(rng, &[400, 403, 404, 429, 500, 503]),
                retry_after: None,
            }),
            1 => orders(Fault::Reset {
                at: pick(rng, &places),
            }),
            2 => orders(Fault::Truncate),
            3 => orders(Fault::Html),
            4 => orders(Fault::MalformedJson),
            5 => FaultRule::new(Fault::UnreadableRecord).on(Operation::GetOrders),
            6 => FaultRule::new(Fault::MissingOrder).on(Operation::GetOrders),
            7 => orders(Fault::WrongLength {
                by: pick(rng, &[-7, 9]),
            }),
            _ => FaultRule::new(Fault::Reset {
                at: pick(rng, &places),
            })
            .on(Operation::ReturnScan),
        };
        add(rule, rng);
    }
    if kind.stale {
        let rule = FaultRule::new(Fault::StaleOrder).on(Operation::GetOrders);
        add(rule, rng);
    }
    faults
}

/// The simulated time. Short waits are over at once; long ones are limits and never end.
struct WorldClock(Arc<World>);

impl fmt::Debug for WorldClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorldClock")
    }
}

#[async_trait]
impl Clock for WorldClock {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        if duration > Duration::from_secs(180) {
            std::future::pending::<()>().await;
        }
        self.0.service.advance(duration);
        tokio::task::yield_now().await;
    }
}

/// The line to the service.
struct Line {
    inner: Arc<dyn Transport>,
    world: Arc<World>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

#[async_trait]
impl Transport for Line {
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
    ) -> Result<http::Response<Body>, TransportError> {
        let path = request.uri().path().to_owned();
        self.world.on_the_line().await;
        let answer = self.inner.send(request).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.world.say(|| format!("  {path}: no answer"));
                self.world.on_the_line().await;
                return Err(error);
            }
        };
        let (parts, mut body) = answer.into_parts();
        let mut bytes = Vec::new();
        let mut broken = None;
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) => broken = Some(error),
            }
        }
        let cut = if broken.is_some() { ", broken" } else { "" };
        self.world
            .say(|| format!("  {path}: {}{cut}", parts.status));
        self.world.on_the_line().await;
        let whole = futures_util::stream::iter([Ok(Bytes::from(bytes))]);
        let end = futures_util::stream::iter(broken.map(Err));
        let body = Body::from_stream(whole.chain(end));
        Ok(http::Response::from_parts(parts, body))
    }
}
