//! What the simulator can bear: `cargo bench --bench simulator`, or `scripts/figures simulator`
//! for the figures that the project holds itself to.
//!
//! Lists are asked for by hand, over connections that stay: so what is measured is the server, not
//! a client. Beside it axum serves the same bytes from memory, with nothing to check and nothing
//! to decide.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::serve::ListenerExt;
use criterion::Criterion;
use lab_connector::simulator::{Action, ClockMode, Simulator};
use lab_connector::{Client, Lab};
use lab_connector_benches::{Figures, best_of_three, figures_wanted, median};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    if figures_wanted() {
        return figures();
    }
    let runtime = runtime();
    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("start", |b| {
        b.iter(|| runtime.block_on(Simulator::start()).unwrap());
    });
    let world = runtime.block_on(World::with(1000));
    let mut group = criterion.benchmark_group("list_100");
    for (name, address, request) in [
        ("simulator", world.service.address(), &world.request),
        ("axum", world.plain, &world.request),
    ] {
        let mut one = runtime.block_on(Caller::connect(address, request));
        group.bench_function(name, |b| b.iter(|| runtime.block_on(one.call())));
    }
    group.finish();
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// What the project holds itself to.
fn figures() -> ExitCode {
    let mut figures = Figures::default();
    let runtime = runtime();

    let start = || {
        let begun = Instant::now();
        let _service = runtime.block_on(Simulator::start()).unwrap();
        begun.elapsed().as_secs_f64() * 1e3
    };
    // It finds nothing warm.
    figures.at_most("simulator_first_start_ms", start(), 50.0);
    figures.at_most("simulator_start_ms", median(21, start), 50.0);

    let (answering, seconds) = runtime.block_on(many(100));
    figures.at_least("simulator_100_at_once_answering", answering as f64, 100.0);
    figures.at_most("simulator_100_at_once_seconds", seconds, f64::INFINITY);

    let few = runtime.block_on(World::with(1000));
    let rate = |address, request: &str| runtime.block_on(rate(address, request));
    let per_axum = best_of_three(7, f64::max, || {
        let ours = rate(few.service.address(), &few.request);
        ours / rate(few.plain, &few.request)
    });
    figures.at_least("simulator_list_100_per_axum", per_axum, 0.3);
    let a_second = rate(few.service.address(), &few.request);
    figures.at_least("simulator_list_100_a_second", a_second, 0.0);

    let begun = Instant::now();
    let before = memory("VmRSS");
    let million = runtime.block_on(World::with(1_000_000));
    let seconds = begun.elapsed().as_secs_f64();
    figures.at_most("simulator_1000000_cases_seconds", seconds, f64::INFINITY);
    let own = (memory("VmRSS") - before) / 1024.0;
    figures.at_most("simulator_1000000_cases_own_mib", own, f64::INFINITY);
    let peak = memory("VmHWM") / 1024.0;
    figures.at_most("simulator_1000000_cases_peak_mib", peak, 4096.0);
    let ratio = best_of_three(7, f64::min, || {
        let with_few = rate(few.service.address(), &few.request);
        with_few / rate(million.service.address(), &million.request)
    });
    figures.at_most("simulator_list_1000000_per_1000", ratio, 1.1);

    let begun = Instant::now();
    let deeds = runtime.block_on(async {
        let builder = Simulator::builder().seed(1).clock(ClockMode::Stepped);
        let service = builder.start().await.unwrap();
        service.live(Duration::from_secs(24 * 3600))
    });
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    assert!(deeds > 50, "{deeds}");
    figures.at_most("simulator_day_of_a_lab_ms", milliseconds, 1000.0);

    figures.end()
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// A simulator with so many cases, of which a hundred are listed, and axum with the same list.
struct World {
    service: Simulator,
    plain: SocketAddr,
    request: String,
}

impl World {
    async fn with(cases: usize) -> Self {
        let service = Simulator::builder().seed(1).start().await.unwrap();
        for number in 0..cases {
            let order = service.scan("L-1").unwrap();
            // The listed ones lie among all others.
            if number % (cases / 100) != 0 {
                service.act(&order, Action::Download).unwrap();
            }
        }
        let lab = paired(&service).await;
        assert_eq!(lab.orders().list().await.unwrap().orders().len(), 100);
        let token = token(&service).await;
        let request = format!(
            "GET /accounts/L-1/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let body = Caller::connect(service.address(), &request)
            .await
            .call()
            .await;
        let body = bytes::Bytes::from(body);
        let app = axum::Router::new().route(
            "/accounts/L-1/orders",
            axum::routing::get(move || {
                let body = body.clone();
                async move { ([(http::header::CONTENT_TYPE, "application/json")], body) }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = listener.local_addr().unwrap();
        // As the simulator does it: otherwise the last piece of an answer waits.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        World {
            service,
            plain,
            request,
        }
    }
}

async fn paired(service: &Simulator) -> Lab {
    let client = Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
        .build()
        .unwrap();
    let login = client.login("me");
    let request = login.authorize().unwrap();
    let redirected = service.consent(request.url()).unwrap();
    login.finish(&request, &redirected).await.unwrap();
    login.pair("L-1").await.unwrap()
}

/// An access token, by hand.
async fn token(service: &Simulator) -> String {
    let store = std::sync::Arc::new(lab_connector::MemoryTokenStore::new());
    let client = Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
        .token_store(store.clone())
        .build()
        .unwrap();
    let login = client.login("me");
    let request = login.authorize().unwrap();
    let redirected = service.consent(request.url()).unwrap();
    login.finish(&request, &redirected).await.unwrap();
    login.pair("L-1").await.unwrap();
    let key = lab_connector::auth::TokenKey::Account("L-1".into());
    let tokens = lab_connector::TokenStore::load(&store, &key).await.unwrap();
    let json = tokens.unwrap().expose_json().to_string();
    let tokens: serde_json::Value = serde_json::from_str(&json).unwrap();
    tokens["access_token"].as_str().unwrap().to_owned()
}

/// How many of so many simulators, all alive at once, list the one order that each has; and how
/// long it took.
async fn many(count: usize) -> (usize, f64) {
    let begun = Instant::now();
    let starts = (0..count).map(|_| {
        tokio::spawn(async {
            let service = Simulator::start().await.unwrap();
            let order = service.scan("L-1").unwrap();
            (service, order)
        })
    });
    let mut running = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        running.push(start.await.unwrap());
    }
    let mut answering = 0;
    for (service, order) in &running {
        let listing = paired(service).await.orders().list().await.unwrap();
        answering += usize::from(listing.orders().len() == 1 && listing.orders()[0].id() == order);
    }
    (answering, begun.elapsed().as_secs_f64())
}

/// Calls a second, over eight connections for a while.
async fn rate(address: SocketAddr, request: &str) -> f64 {
    const CALLS: usize = 250;
    let mut callers = Vec::new();
    for _ in 0..8 {
        callers.push(Caller::connect(address, request).await);
    }
    let begun = Instant::now();
    let tasks = callers.into_iter().map(|mut caller| {
        tokio::spawn(async move {
            for _ in 0..CALLS {
                caller.call().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    (8 * CALLS) as f64 / begun.elapsed().as_secs_f64()
}

/// A connection over which the same is asked for again and again.
struct Caller {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

impl Caller {
    async fn connect(address: SocketAddr, request: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Caller {
            stream,
            request: request.to_owned(),
            buffer: Vec::new(),
        }
    }

    /// The body of the answer.
    async fn call(&mut self) -> Vec<u8> {
        self.stream
            .write_all(self.request.as_bytes())
            .await
            .unwrap();
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the connection ended");
            if whole.is_none() {
                whole = length(&self.buffer);
            }
        }
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"));
        let end = head_end(&self.buffer).unwrap();
        self.buffer[end..].to_vec()
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

/// Of head and body together.
fn length(bytes: &[u8]) -> Option<usize> {
    let end = head_end(bytes)?;
    let head = std::str::from_utf8(&bytes[..end])
        .ok()?
        .to_ascii_lowercase();
    let length = head.split("content-length:").nth(1)?.lines().next()?;
    Some(end + length.trim().parse::<usize>().ok()?)
}

/// In KiB.
fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(f64::NAN)
}
