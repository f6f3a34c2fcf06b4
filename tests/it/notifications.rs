//! The endpoint of the example `receive_notifications`, over HTTP.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use lab_connector::clock::Clock;
use lab_connector::inbox::{Inbox, MemoryStore};
use lab_connector::simulator::{ClockMode, Fault, FaultRule, Faults, Simulator};
use lab_connector::{Client, OrderId, RxId};
use lab_connector::{Lab, Operation};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

#[path = "../../examples/receive_notifications/endpoint.rs"]
mod endpoint;

use endpoint::{Endpoint, Key};

/// Time stands still: nothing is polled again, and nothing is fetched twice for being late.
#[derive(Debug)]
struct Still(SystemTime);

#[async_trait::async_trait]
impl Clock for Still {
    fn now(&self) -> SystemTime {
        self.0
    }

    fn elapsed(&self) -> Duration {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

async fn service() -> Result<Simulator> {
    let set = Simulator::builder().clock(ClockMode::Stepped);
    Ok(set
        .account("L-1", "One")
        .account("L-2", "Two")
        .start()
        .await?)
}

/// The lab, paired with this URL for its notifications.
async fn lab(service: &Simulator, id: &str, url: &str) -> Result<Lab> {
    let client = Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
        .clock(Still(service.now()))
        .build()?;
    let login = client.login("me");
    let request = login.authorize()?;
    login
        .finish(&request, &service.consent(request.url())?)
        .await?;
    Ok(login.pair(id).notification_url(url).await?)
}

/// An inbox that runs, its first poll done, and the URL for its notifications.
struct Desk {
    inbox: Inbox,
    url: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<lab_connector::Result<()>>,
}

impl Desk {
    /// Two labs share an endpoint; this is the first.
    async fn open(service: &Simulator) -> Result<(Self, Inbox)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (key, other) = (Key::random()?, Key::random()?);
        let url = format!("http://{}{}", listener.local_addr()?, key.path());
        let (polled, mut polls) = watch::channel(0);
        let inbox = lab(service, "L-1", &url).await?.inbox(MemoryStore::new());
        let inbox = inbox.on_round(move |_| polled.send_modify(|polls| *polls += 1));
        let neighbour = lab(service, "L-2", &url).await?.inbox(MemoryStore::new());
        let endpoint = Endpoint::default()
            .lab(&key, &inbox)
            .lab(&other, &neighbour);
        tokio::spawn(axum::serve(listener, endpoint.router()).into_future());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.run_until(stopped.map(drop)).await }
        });
        polls.wait_for(|polls| *polls == 1).await?;
        let desk = Desk {
            inbox,
            url,
            stop,
            running,
        };
        Ok((desk, neighbour))
    }

    /// The round that is under way is finished, and what still waits is done.
    async fn close(self) -> Result<()> {
        let _ = self.stop.send(());
        self.running.await??;
        self.inbox.poll().await?;
        Ok(())
    }
}

async fn post(http: &reqwest::Client, url: &str, body: impl Into<reqwest::Body>) -> Result<u16> {
    let answer = http.post(url).body(body).send().await?;
    Ok(answer.status().as_u16())
}

/// How often each Rx id was asked for.
fn looks(service: &Simulator) -> BTreeMap<String, usize> {
    let calls = service.calls().into_iter();
    let calls = calls.filter(|call| call.operation == Operation::GetOrderByRxId);
    let mut looks = BTreeMap::new();
    for call in calls {
        let rx_id = call.path.rsplit('/').next().unwrap_or_default().to_owned();
        *looks.entry(rx_id).or_default() += 1;
    }
    looks
}

/// The Rx ids of cases that are in the inbox.
async fn rx_ids(inbox: &Inbox, orders: &[OrderId]) -> Result<Vec<RxId>> {
    let mut rx_ids = Vec::new();
    for order in orders {
        let case = inbox
            .history(order)
            .await?
            .context("the case is not known")?;
        rx_ids.extend(case.rx_id);
    }
    Ok(rx_ids)
}

#[tokio::test]
async fn a_case_is_in_hand_because_it_was_notified() -> Result<()> {
    let service = service().await?;
    let (desk, neighbour) = Desk::open(&service).await?;
    let mut deliveries = desk.inbox.deliveries();
    for _ in 0..3 {
        let order = service.scan("L-1")?;
        let delivery = deliveries.try_next().await?.context("it goes on")?;
        assert_eq!(*delivery.order_id(), order);
        delivery.acknowledge().await?;
    }
    // No poll has brought them, and nobody else was woken.
    assert_eq!(desk.inbox.stats().await?.polls, 1);
    assert_eq!(neighbour.stats().await?.hints, 0);
    Ok(())
}

#[tokio::test]
async fn a_flood_costs_a_fetch_for_each_known_order_and_a_few_for_others() -> Result<()> {
    const FLOOD: usize = 2_000;
    let service = service().await?;
    let orders: Vec<_> = (0..3)
        .map(|_| service.scan("L-1"))
        .collect::<Result<_, _>>()?;
    let (desk, _) = Desk::open(&service).await?;
    let known = rx_ids(&desk.inbox, &orders).await?;
    assert_eq!(known.len(), 3);

    let http = reqwest::Client::new();
    let posts = (0..FLOOD).map(|number| {
        let body = match known.get(number % 10) {
            Some(rx_id) => format!(r#"{{"rxId": "{rx_id}", "accountNumber": "L-1"}}"#),
            None => format!("rxId=forged-{number}&accountNumber=L-1"),
        };
        post(&http, &desk.url, body)
    });
    let posts: Vec<_> = posts.collect();
    let answers: Vec<u16> = stream::iter(posts)
        .buffer_unordered(16)
        .try_collect()
        .await?;
    assert_eq!(answers, [204; FLOOD]);
    let inbox = desk.inbox.clone();
    desk.close().await?;

    let mut looks = looks(&service);
    for rx_id in known {
        assert_eq!(looks.remove(rx_id.as_str()), Some(1));
    }
    assert!((1..=20).contains(&looks.len()), "{}", looks.len());
    assert!(looks.values().all(|count| *count == 1));
    let stats = inbox.stats().await?;
    assert_eq!((stats.hints, stats.store.cases), (FLOOD as u64, 3));
    // The poll of the beginning, and the one that closes.
    assert_eq!(stats.polls, 2);
    Ok(())
}

#[tokio::test]
async fn an_answer_waits_for_nothing_that_the_notification_leads_to() -> Result<()> {
    let service = service().await?;
    let (desk, _) = Desk::open(&service).await?;
    let mut faults = Faults::default();
    let hang = FaultRule::new(Fault::Hang).on(Operation::GetOrderByRxId);
    faults.rules.push(hang);
    service.set_faults(faults)?;
    let http = reqwest::Client::new();
    assert_eq!(post(&http, &desk.url, "rxId=hangs").await?, 204);
    while looks(&service).is_empty() {
        tokio::task::yield_now().await;
    }
    // The fetch is under way, and will be for ever.
    for number in 0..100 {
        let body = format!("rxId={number}");
        assert_eq!(post(&http, &desk.url, body).await?, 204);
    }
    assert_eq!(looks(&service), BTreeMap::from([("hangs".to_owned(), 1)]));
    assert!(!desk.running.is_finished());
    assert_eq!(desk.inbox.stats().await?.hints, 101);
    Ok(())
}

#[tokio::test]
async fn who_has_no_key_learns_nothing() -> Result<()> {
    let service = service().await?;
    let (desk, _) = Desk::open(&service).await?;
    let http = reqwest::Client::new();
    let (base, key) = desk.url.rsplit_once('/').context("a path")?;
    let flipped = match key.strip_suffix('0') {
        Some(rest) => format!("{rest}1"),
        None => format!("{}0", &key[..key.len() - 1]),
    };
    let long = " ".repeat(lab_connector::Notification::MAX_LENGTH + 1);
    let bodies = ["rxId=1", "{", "", &long];
    let mut shapes = Vec::new();
    for wrong in [&flipped, &key[1..], "x", &"x".repeat(4_000)] {
        for body in bodies {
            let answer = http.post(format!("{base}/{wrong}"));
            let answer = answer.body(body.to_owned()).send().await?;
            assert_eq!(answer.status(), 404);
            let names: Vec<_> = answer.headers().keys().cloned().collect();
            shapes.push((names, answer.bytes().await?));
        }
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]));
    for (body, status) in bodies.into_iter().zip([204, 400, 400, 400]) {
        assert_eq!(post(&http, &desk.url, body.to_owned()).await?, status);
    }
    assert_eq!(desk.inbox.stats().await?.hints, 1);
    Ok(())
}

#[test]
fn keys_are_long_and_no_two_are_alike() -> Result<()> {
    let key = Key::random()?;
    assert_eq!(key.expose().len(), 64);
    assert_ne!(key.expose(), Key::random()?.expose());
    let kept = format!("{}\n", key.expose());
    let given = Key::given(&kept).context("a key that was made before")?;
    assert_eq!(given.path(), key.path());
    assert!(Key::given("").is_none() && Key::given("guessable").is_none());
    assert!(Key::given(&"../".repeat(30)).is_none());
    Ok(())
}
