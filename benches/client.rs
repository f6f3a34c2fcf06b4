//! What the client costs: `cargo bench --bench client`, or `scripts/figures client` for the
//! figures that the project holds itself to.
//!
//! All over HTTP on loopback, beside bare reqwest that does the same work by hand: the same
//! headers and time limits, serde's derive with the exact keys, the same fields kept. A second
//! fixture is as real orders are, with a patient, a doctor and notes, which the client keeps as text:
//! beside a struct that keeps them by `flatten`, and beside one that declares every field. Last,
//! answers that are meant to hurt: how their time grows with their length.

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use criterion::Criterion;
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::client::Listing;
use lab_connector::transport::{self, Body};
use lab_connector::{Client, Endpoints, Lab, MemoryTokenStore, Order, RxId, TokenStore};
use lab_connector_benches::{Figures, best_of_three, figures_wanted, time};
use serde::Deserialize;
use tokio::runtime::Runtime;

#[path = "../src/model/lenient/listing/hostile.rs"]
mod hostile;

fn main() -> ExitCode {
    if figures_wanted() {
        return figures();
    }
    let runtime = runtime(1);
    let mut criterion = Criterion::default().configure_from_args();
    for (name, count, unknown) in [("known", 1000, false), ("unknown", 1000, true)] {
        let pair = Pair::new(&runtime, count, unknown);
        let mut group = criterion.benchmark_group(format!("list_1000_{name}"));
        group.bench_function("client", |b| b.iter(|| runtime.block_on(pair.list())));
        group.bench_function("bare", |b| b.iter(|| runtime.block_on(pair.bare_list())));
        if unknown {
            group.bench_function("declared", |b| {
                b.iter(|| runtime.block_on(pair.declared_list()));
            });
        }
        group.finish();
    }
    let pair = Pair::new(&runtime, 1, false);
    let mut group = criterion.benchmark_group("small_call");
    group.bench_function("client", |b| b.iter(|| runtime.block_on(pair.fetch())));
    group.bench_function("bare", |b| b.iter(|| runtime.block_on(pair.bare_fetch())));
    group.finish();
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// What the project holds itself to.
///
/// What is compared takes turns, and the median of the turns' ratios counts. A figure is the
/// best of three such medians: a neighbour on the machine can spoil one, none can improve it.
fn figures() -> ExitCode {
    let mut figures = Figures::default();

    let one = runtime(1);
    for (count, limit, turns) in [(1000, 1.15, 101), (10_000, 1.2, 21)] {
        for unknown in [false, true] {
            let pair = Pair::new(&one, count, unknown);
            pair.verify(&one);
            let fields = if unknown { "unknown" } else { "known" };
            let ratio = best_of_three(turns, f64::min, || {
                let ours = time(|| one.block_on(pair.list()));
                let bare = time(|| one.block_on(pair.bare_list()));
                ours / bare
            });
            figures.at_most(
                &format!("client_list_{count}_{fields}_per_bare"),
                ratio,
                limit,
            );
            if unknown {
                let ratio = best_of_three(turns, f64::min, || {
                    let ours = time(|| one.block_on(pair.list()));
                    let declared = time(|| one.block_on(pair.declared_list()));
                    ours / declared
                });
                figures.at_most(
                    &format!("client_list_{count}_real_per_declared"),
                    ratio,
                    1.5,
                );
            }
            let memory = pair.memory(&one);
            let name = format!("client_list_{count}_{fields}_peak_per_decoded_and_body");
            figures.at_most(&name, memory, 1.5);
        }
    }

    let pair = Pair::new(&one, 1, false);
    let ratio = best_of_three(1001, f64::min, || {
        let ours = time(|| one.block_on(pair.fetch()));
        let bare = time(|| one.block_on(pair.bare_fetch()));
        ours / bare
    });
    figures.at_most("client_small_call_per_bare", ratio, 1.1);

    let many = runtime(2);
    let pair = Arc::new(Pair::new(&many, 1, false));
    let throughput = best_of_three(11, f64::max, || {
        let ours = {
            let pair = Arc::clone(&pair);
            callers(&many, move || {
                let pair = Arc::clone(&pair);
                async move { pair.fetch().await }
            })
        };
        let bare = {
            let pair = Arc::clone(&pair);
            callers(&many, move || {
                let pair = Arc::clone(&pair);
                async move { pair.bare_fetch().await }
            })
        };
        bare / ours
    });
    figures.at_least("client_64_callers_throughput_per_bare", throughput, 0.9);

    for (name, ratio) in hostile_growth(&one) {
        let name = format!("client_hostile_32mib_{name}_per_4_times_8mib");
        figures.at_most(&name, ratio, 1.5);
    }

    figures.end()
}

/// For each hostile answer, how much longer one of 32 MiB takes than four of 8 MiB.
fn hostile_growth(runtime: &Runtime) -> Vec<(String, f64)> {
    // The client takes no more than 32 MiB, and the last piece may be long.
    const LONG: usize = (32 << 20) - (16 << 10);
    let growth = hostile::HOSTILE.iter().map(|(name, body)| {
        let short = answering(runtime, body(LONG / 4).into());
        let long = answering(runtime, body(LONG).into());
        let ratio = best_of_three(1, f64::min, || {
            let short = (0..4).map(|_| time(|| runtime.block_on(short.orders().list())));
            time(|| runtime.block_on(long.orders().list())) / short.sum::<f64>()
        });
        (name.replace(' ', "_"), ratio)
    });
    growth.collect()
}

/// A lab whose service has one answer, in memory.
fn answering(runtime: &Runtime, body: bytes::Bytes) -> Lab {
    assert!(body.len() <= 32 << 20, "it would be refused unread");
    let answer = transport::from_fn(move |_| {
        let body = body.clone();
        async move { Ok(http::Response::new(Body::from(body))) }
    });
    let endpoints = Endpoints::from_base_url("https://a.example/").expect("a URL");
    let client = Client::builder()
        .endpoints(endpoints)
        .credentials("id", "secret")
        .token_store(store(runtime))
        .transport(answer)
        .build();
    client.expect("a client").account("1")
}

/// A store with a token for account 1.
fn store(runtime: &Runtime) -> MemoryTokenStore {
    let tokens = r#"{"access_token": "token", "refresh_token": null, "expires_at": 4000000000, "generation": 1}"#;
    let tokens = Tokens::from_json(tokens).expect("tokens");
    let store = MemoryTokenStore::new();
    runtime
        .block_on(store.swap(&TokenKey::Account("1".into()), None, &tokens))
        .expect("a store");
    store
}

/// Seconds until 64 callers have made 32 calls each.
fn callers<F, R>(runtime: &Runtime, call: F) -> f64
where
    F: Fn() -> R + Clone + Send + 'static,
    R: Future + Send,
{
    let begin = Instant::now();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let call = call.clone();
            tasks.spawn(async move {
                for _ in 0..32 {
                    call().await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a caller that ends");
        }
    });
    begin.elapsed().as_secs_f64()
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads);
    builder.enable_all().build().expect("a runtime")
}

/// The client and bare reqwest, before the same server.
struct Pair {
    lab: Lab,
    rx_id: RxId,
    bare: reqwest::Client,
    list_url: String,
    rx_url: String,
    unknown: bool,
    body: usize,
}

impl Pair {
    fn new(runtime: &Runtime, count: usize, unknown: bool) -> Self {
        let listing = Arc::<[u8]>::from(listing(count, unknown).into_bytes());
        let body = listing.len();
        let address = serve(listing, order(7, unknown).into_bytes().into());
        let base = format!("http://{address}/");
        let client = Client::builder()
            .endpoints(Endpoints::from_base_url(&base).expect("a URL"))
            .credentials("id", "secret")
            .token_store(store(runtime))
            .no_proxy()
            .build()
            .expect("a client");
        Pair {
            lab: client.account("1"),
            rx_id: RxId::from("rx-7"),
            bare: reqwest::Client::builder()
                .no_proxy()
                .connect_timeout(Duration::from_secs(10))
                .timeout(Duration::from_secs(30))
                .read_timeout(Duration::from_secs(30))
                .user_agent("bare")
                .build()
                .expect("a client"),
            list_url: format!("{base}accounts/1/orders"),
            rx_url: format!("{base}accounts/1/rx/rx-7"),
            unknown,
            body,
        }
    }

    async fn list(&self) -> Listing {
        let listing = self.lab.orders().list().await.expect("a listing");
        assert!(listing.is_complete());
        listing
    }

    async fn fetch(&self) -> Order {
        self.lab
            .orders()
            .by_rx(&self.rx_id)
            .await
            .expect("an order")
    }

    async fn bare_list(&self) -> (usize, Box<dyn std::any::Any>) {
        if self.unknown {
            let wrapped: Wrapped<BareUnknown> = self.bare(&self.list_url).await;
            (wrapped.orders.len(), Box::new(wrapped))
        } else {
            let wrapped: Wrapped<Bare> = self.bare(&self.list_url).await;
            (wrapped.orders.len(), Box::new(wrapped))
        }
    }

    async fn declared_list(&self) -> Wrapped<BareDeclared> {
        self.bare(&self.list_url).await
    }

    async fn bare_fetch(&self) -> Bare {
        self.bare(&self.rx_url).await
    }

    async fn bare<T: serde::de::DeserializeOwned>(&self, url: &str) -> T {
        let request = self.bare.get(url).bearer_auth("token");
        let request = request.header("accept", "application/json");
        let response = request.send().await.expect("an answer");
        let response = response.error_for_status().expect("a success");
        response.json().await.expect("JSON")
    }

    /// Both read the same, or the comparison is worth nothing.
    fn verify(&self, runtime: &Runtime) {
        let ours = runtime.block_on(self.list());
        let (count, bare) = runtime.block_on(self.bare_list());
        assert_eq!(ours.orders().len(), count);
        let order = &ours.orders()[count - 1];
        assert_eq!(order.assets().len(), 2);
        if let Some(bare) = bare.downcast_ref::<Wrapped<BareUnknown>>() {
            let bare = &bare.orders[count - 1];
            assert_eq!(order.id().as_str(), bare.order_id);
            assert_eq!(order.extra(), bare.extra);
            assert_eq!(bare.extra.len(), 5);
        } else {
            assert!(order.extra().is_empty());
        }
    }

    /// The most memory in use while a listing is read, per what it and the body take.
    fn memory(&self, runtime: &Runtime) -> f64 {
        let before = USED.load(Relaxed);
        PEAK.store(before, Relaxed);
        COUNTING.store(true, Relaxed);
        let listing = runtime.block_on(self.list());
        COUNTING.store(false, Relaxed);
        let decoded = USED.load(Relaxed).wrapping_sub(before);
        let peak = PEAK.load(Relaxed).wrapping_sub(before);
        drop(listing);
        peak as f64 / (decoded + self.body) as f64
    }
}

#[derive(Deserialize)]
struct Wrapped<T> {
    orders: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "kept, as the client keeps it")]
struct Bare {
    order_id: String,
    rx_id: Option<String>,
    account_number: Option<String>,
    status: String,
    created_at: Option<String>,
    modified_at: Option<String>,
    assets: Option<Vec<BareAsset>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "kept, as the client keeps it")]
struct BareAsset {
    asset_id: Option<String>,
    r#type: Option<String>,
    size: Option<u64>,
    modified_at: Option<String>,
    url: Option<url::Url>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "kept, as the client keeps it")]
struct BareUnknown {
    order_id: String,
    rx_id: Option<String>,
    account_number: Option<String>,
    status: String,
    created_at: Option<String>,
    modified_at: Option<String>,
    assets: Option<Vec<BareAsset>>,
    #[serde(flatten)]
    extra: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "kept, as the client keeps it")]
struct BareDeclared {
    order_id: String,
    rx_id: Option<String>,
    account_number: Option<String>,
    status: String,
    created_at: Option<String>,
    modified_at: Option<String>,
    assets: Option<Vec<BareAsset>>,
    patient: BarePatient,
    doctor: String,
    procedure: String,
    due_date: String,
    notes: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "kept, as the client keeps it")]
struct BarePatient {
    first_name: String,
    last_name: String,
}

fn listing(count: usize, unknown: bool) -> String {
    let orders = (0..count).map(|number| order(number, unknown));
    format!(r#"{{"orders":[{}]}}"#, orders.collect::<Vec<_>>().join(","))
}

fn order(number: usize, unknown: bool) -> String {
    let status = ["Ready for Download", "Lab Review"][number % 2];
    let asset = |kind: &str, size: usize| {
        format!(
            r#"{{"assetId":"{number}-{kind}","type":"{kind}","size":{size},"modifiedAt":"2026-03-14T09:26:53.000Z","url":"https://files.example/{number}/{kind}?signature=0123456789abcdef"}}"#
        )
    };
    let unknown = if unknown {
        r#","patient":{"firstName":"Ann","lastName":"Doe"},"doctor":"Dr. Roe","procedure":"Fixed Restorative","dueDate":"2026-03-21","notes":"Shade A3, margin 14 is deep; call before milling.""#
    } else {
        ""
    };
    format!(
        r#"{{"orderId":"{}","rxId":"rx-{number}","accountNumber":"1","status":"{status}","createdAt":"2026-03-14T09:26:53.000Z","modifiedAt":"2026-03-14T10:26:53.000Z","assets":[{},{}]{unknown}}}"#,
        100_000_000 + number,
        asset("IDE", 48_123_456 + number),
        asset("IMAGE_GALLERY", 234_567),
    )
}

/// A server with a thread a connection and two answers, so plain that it costs both the same
/// and next to nothing.
fn serve(listing: Arc<[u8]>, order: Arc<[u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let _ = connection.set_nodelay(true);
            let (listing, order) = (Arc::clone(&listing), Arc::clone(&order));
            std::thread::spawn(move || {
                let answers = [&order, &listing].map(|body| answer(body));
                let mut asked = [0; 4096];
                let mut length = 0;
                while let Ok(more @ 1..) = connection.read(&mut asked[length..]) {
                    length += more;
                    if !asked[..length].ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let list = asked.starts_with(b"GET /accounts/1/orders ");
                    length = 0;
                    let answer = &answers[usize::from(list)];
                    if connection.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Knows how much memory is in use, while asked to.
struct Measuring;

static COUNTING: AtomicBool = AtomicBool::new(false);
static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn used(more: usize, less: usize) {
    if COUNTING.load(Relaxed) {
        let before = USED.fetch_add(more.wrapping_sub(less), Relaxed);
        PEAK.fetch_max(before.wrapping_add(more).wrapping_sub(less), Relaxed);
    }
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Measuring {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        used(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        used(0, layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // As if it were copied: for a while there are both.
        used(size, 0);
        let moved = unsafe { System.realloc(pointer, layout, size) };
        used(0, layout.size());
        moved
    }
}

#[global_allocator]
static ALLOCATOR: Measuring = Measuring;
