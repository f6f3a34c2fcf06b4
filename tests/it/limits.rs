//! What all accounts of a client may take together.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use futures_util::poll;
use http::{Response, StatusCode};
use lab_connector::auth::{TokenKey, Tokens};
use lab_connector::client::ClientBuilder;
use lab_connector::clock::Clock;
use lab_connector::transport::{self, Body};
use lab_connector::{Client, Endpoints, Lab, MemoryTokenStore, TokenStore};
use tokio::sync::Semaphore;

use crate::support::order_with_file;

/// A service whose answers come when they are let out.
#[derive(Clone)]
struct Gated {
    /// An answer for each permit.
    gate: Arc<Semaphore>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    status: StatusCode,
}

impl Gated {
    fn new() -> Self {
        Gated {
            gate: Arc::new(Semaphore::new(0)),
            under_way: Arc::default(),
            most: Arc::default(),
            status: StatusCode::OK,
        }
    }

    /// Waits until so many requests are under way.
    async fn reach(&self, count: usize) {
        while self.under_way.load(Ordering::SeqCst) != count {
            tokio::task::yield_now().await;
        }
    }

    async fn client(&self, set: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let store = MemoryTokenStore::new();
        for number in 0..20 {
            let tokens = r#"{"access_token": "a", "refresh_token": null, "expires_at": 4000000000, "generation": 1}"#;
            let tokens = Tokens::from_json(tokens).unwrap();
            let key = TokenKey::Account(format!("L-{number}").into());
            assert!(store.swap(&key, None, &tokens).await.unwrap());
        }
        let service = self.clone();
        let transport = transport::from_fn(move |request| {
            let service = service.clone();
            async move {
                let now = service.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                service.most.fetch_max(now, Ordering::SeqCst);
                let gone = Gone(Arc::clone(&service.under_way));
                service.gate.acquire().await.unwrap().forget();
                drop(gone);
                let fails = request.uri().path().contains("/L-0/");
                let mut answer = Response::new(Body::from(r#"{"orders": []}"#));
                if fails {
                    *answer.status_mut() = service.status;
                }
                Ok(answer)
            }
        });
        let builder = Client::builder()
            .endpoints(Endpoints::from_base_url("https://service.example/").unwrap())
            .credentials("client-id", "client-secret")
            .token_store(store)
            .transport(transport)
            .clock(NoWaiting);
        set(builder).build().unwrap()
    }
}

/// Also when the request is dropped.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits never end.
#[derive(Debug)]
struct NoWaiting;

#[async_trait::async_trait]
impl Clock for NoWaiting {
    fn now(&self) -> SystemTime {
        SystemTime::now()
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

fn lab(client: &Client, number: usize) -> Lab {
    client.account(format!("L-{number}"))
}

async fn list(lab: Lab) -> lab_connector::Result<usize> {
    Ok(lab.orders().list().await?.orders().len())
}

/// Drives an operation to where it can only wait.
async fn waits(operation: &mut (impl Future + Unpin)) {
    for _ in 0..100 {
        assert!(poll!(&mut *operation).is_pending());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_more_requests_of_all_accounts_are_under_way_than_allowed() {
    let service = Gated::new();
    let client = service.client(|builder| builder.total_concurrency(3)).await;
    let all = tokio::spawn(join_all((0..20).map(|number| list(lab(&client, number)))));
    service.reach(3).await;
    service.gate.add_permits(20);
    let all = all.await.unwrap();
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(service.most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn who_asked_first_goes_first_and_who_stops_waiting_leaves_the_turn_to_the_next() {
    let service = Gated::new();
    let client = service.client(|builder| builder.total_concurrency(1)).await;
    let first = tokio::spawn(list(lab(&client, 1)));
    service.reach(1).await;
    let mut second = Box::pin(list(lab(&client, 2)));
    let mut third = Box::pin(list(lab(&client, 3)));
    let mut fourth = Box::pin(list(lab(&client, 4)));
    waits(&mut second).await;
    waits(&mut third).await;
    waits(&mut fourth).await;
    drop(second);
    service.gate.add_permits(1);
    first.await.unwrap().unwrap();
    // The fourth asks first, and still it is the third whose request goes out.
    waits(&mut fourth).await;
    assert_eq!(service.under_way.load(Ordering::SeqCst), 0);
    waits(&mut third).await;
    assert_eq!(service.under_way.load(Ordering::SeqCst), 1);
    drop(third);
    waits(&mut fourth).await;
    assert_eq!(service.under_way.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_operation_that_waits_to_be_tried_again_takes_no_place() {
    let mut service = Gated::new();
    service.status = StatusCode::SERVICE_UNAVAILABLE;
    service.gate.add_permits(2);
    let client = service.client(|builder| builder.total_concurrency(1)).await;
    let mut broken = Box::pin(list(lab(&client, 0)));
    while service.gate.available_permits() == 2 {
        assert!(poll!(&mut broken).is_pending());
        tokio::task::yield_now().await;
    }
    waits(&mut broken).await;
    list(lab(&client, 1)).await.unwrap();
}

#[tokio::test]
async fn a_download_holds_up_no_call_and_has_its_own_limit() {
    let service = Gated::new();
    let set = |builder: ClientBuilder| builder.total_concurrency(1).total_downloads(2);
    let client = service.client(set).await;
    let order = order_with_file(Some("https://service.example/file"));
    let mut downloads: Vec<_> = (0..3)
        .map(|number| {
            let (lab, order) = (lab(&client, number), &order);
            Box::pin(async move {
                let asset = &order.assets()[0];
                let mut bytes = Vec::new();
                lab.download(order, asset).to_writer(&mut bytes).await
            })
        })
        .collect();
    for download in &mut downloads {
        waits(download).await;
    }
    service.reach(2).await;
    let listed = tokio::spawn(list(lab(&client, 5)));
    service.reach(3).await;
    drop(downloads);
    service.gate.add_permits(1);
    listed.await.unwrap().unwrap();
    assert_eq!(service.most.load(Ordering::SeqCst), 3);
}
