//! The job against the embedded simulator: some cases, then a flood.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::StatusCode;
use lab_connector::RxId;
use lab_connector::inbox::MemoryStore;
use lab_connector::simulator::Simulator;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::endpoint::{Endpoint, Key};
use crate::simulated;

const CASES: usize = 5;

/// So many of those who flood post at the same time.
const ATTACKERS: usize = 16;

pub async fn run(listen: SocketAddr, flood: usize) -> Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let key = Key::random()?;
    let url = format!("http://{}{}", listener.local_addr()?, key.path());

    let service = Simulator::start()
        .await
        .context("cannot start the simulator")?;
    let client = simulated::client(&service).build()?;
    let login = simulated::sign_in(&client, &service, "demo").await?;
    let lab = login.pair("L-1").notification_url(&url).await?;

    let (polled, mut polls) = watch::channel(0_u32);
    let inbox = lab.inbox(MemoryStore::new()).on_round(move |_| {
        polled.send_modify(|polls| *polls += 1);
    });
    let endpoint = Endpoint::default().lab(&key, &inbox);
    let serving = tokio::spawn(axum::serve(listener, endpoint.router()).into_future());
    // The safety net, every five minutes.
    let (stop, stopped) = oneshot::channel::<()>();
    let polling = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.run_until(stopped.map(drop)).await }
    });

    // The first poll finds nothing.
    polls.wait_for(|polls| *polls == 1).await?;
    let mut deliveries = inbox.deliveries();
    let mut known = Vec::new();
    for _ in 0..CASES {
        let scanned = Instant::now();
        service.scan("L-1")?;
        let delivery = deliveries.try_next().await?.context("no more deliveries")?;
        println!(
            "delivery {} #{}  {}, {} after the scan",
            delivery.order_id(),
            delivery.ordinal(),
            delivery.status(),
            millis(scanned.elapsed()),
        );
        delivery.acknowledge().await?;
        known.extend(delivery.order().rx_id().cloned());
    }
    let polls = *polls.borrow();
    println!("{CASES} deliveries; polls so far: {polls}\n");

    let http = reqwest::Client::new();
    let before = service.call_count();
    let Flooded { answers, mut times } = flooded(&http, &url, &known, flood).await?;
    // What still waits is done now, and the orders are listed once more.
    let _ = stop.send(());
    polling.await??;
    inbox.poll().await?;
    let cost = service.call_count() - before;
    println!("{flood} forged notifications, answered {answers:?}");
    times.sort_unstable();
    if let Some(slowest) = times.last() {
        let half = times[times.len() / 2];
        println!(
            "half of the answers within {}, all within {}",
            millis(half),
            millis(*slowest)
        );
    }
    println!("they cost {cost} requests to the service");

    let garbage = http.post(&url).body("{").send().await?.status();
    let elsewhere = http
        .post(format!("{url}x"))
        .body("{")
        .send()
        .await?
        .status();
    println!("no notification: {garbage}; another path: {elsewhere}");
    serving.abort();
    ensure!(cost < 100, "a flood must not be passed on");
    Ok(())
}

/// What came of a flood.
struct Flooded {
    answers: BTreeMap<u16, usize>,
    times: Vec<Duration>,
}

/// Posts notifications that are not true: some for orders that are known, most for none at all.
async fn flooded(
    http: &reqwest::Client,
    url: &str,
    known: &[RxId],
    count: usize,
) -> Result<Flooded> {
    let posts = (0..count).map(|number| {
        let rx_id = match known.get(number % 10) {
            Some(rx_id) => rx_id.to_string(),
            None => format!("forged-{number}"),
        };
        let body = format!("rxId={rx_id}&accountNumber=L-1");
        let post = http.post(url).body(body);
        async move {
            let begun = Instant::now();
            let status: StatusCode = post.send().await?.status();
            Ok::<_, reqwest::Error>((status.as_u16(), begun.elapsed()))
        }
    });
    let mut posts = stream::iter(posts).buffer_unordered(ATTACKERS);
    let mut flooded = Flooded {
        answers: BTreeMap::new(),
        times: Vec::with_capacity(count),
    };
    while let Some((status, time)) = posts.try_next().await? {
        *flooded.answers.entry(status).or_default() += 1;
        flooded.times.push(time);
    }
    Ok(flooded)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
