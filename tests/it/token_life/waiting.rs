//! How long a call waits for a refresh.

use std::sync::Arc;
use std::time::Duration;

use lab_connector::transport::{self, Body};
use lab_connector::{Client, Result};
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::support::{TestClock, builder, store};

/// No call waits longer than this for what it can do without: a sixth of an attempt.
const SHORT: Duration = Duration::from_secs(10);

/// A service whose refreshes hang until the test lets them out, and a client that has just started
/// with a token that is good for some seconds.
struct Hanging {
    clock: TestClock,
    client: Client,
    reached: Arc<Semaphore>,
    let_out: Arc<Semaphore>,
    shown: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Hanging {
    async fn start(good_for: i64) -> Self {
        let clock = TestClock::still();
        let semaphore = || Arc::new(Semaphore::new(0));
        let (reached, let_out) = (semaphore(), semaphore());
        let shown = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (arrived, passed, seen) = (reached.clone(), let_out.clone(), shown.clone());
        let transport = transport::from_fn(move |request| {
            let (arrived, passed, seen) = (arrived.clone(), passed.clone(), seen.clone());
            async move {
                let path = request.uri().path();
                let body = if path.contains("token") {
                    arrived.add_permits(1);
                    passed.acquire().await.unwrap().forget();
                    r#"{"access_token":"access-2","refresh_token":"refresh-2"}"#
                } else {
                    if let Some(token) = request.headers().get("authorization") {
                        seen.lock()
                            .unwrap()
                            .push(token.to_str().unwrap().to_owned());
                    }
                    "[]"
                };
                Ok(http::Response::new(Body::from(body)))
            }
        });
        let client = builder("https://api.example/", &clock)
            .attempt_timeout(SHORT * 6)
            .operation_timeout(SHORT * 30)
            .token_store(store(&clock, good_for).await)
            .transport(transport)
            .build()
            .unwrap();
        Hanging {
            clock,
            client,
            reached,
            let_out,
            shown,
        }
    }

    /// Begins a call, whose refresh hangs from then on.
    async fn call(&self) -> JoinHandle<Result<()>> {
        let lab = self.client.account("account-77");
        let call = tokio::spawn(async move { lab.orders().list().await.map(drop) });
        self.reached.acquire().await.unwrap().forget();
        settle().await;
        assert!(!call.is_finished());
        call
    }
}

/// All that can happen without the clock happens.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// After a restart nothing is known but what is stored: that is good, and the call goes on with it.
#[tokio::test]
async fn the_first_call_after_a_restart_waits_no_longer_than_any_other() {
    let service = Hanging::start(240).await;
    let call = service.call().await;
    service.clock.advance(SHORT);
    call.await.unwrap().unwrap();
    assert_eq!(*service.shown.lock().unwrap(), ["Bearer access-1"]);
    service.let_out.add_permits(1);
}

/// The token that it could have gone on with expires first.
#[tokio::test]
async fn a_call_whose_token_expires_meanwhile_waits_for_the_refresh() {
    for (good_for, steps) in [(5, [6, 5, 30, 30]), (9, [8, 2, 60, 100])] {
        let service = Hanging::start(good_for).await;
        let call = service.call().await;
        for seconds in steps {
            service.clock.advance(Duration::from_secs(seconds));
            settle().await;
            assert!(!call.is_finished(), "{good_for} {seconds}");
            // The attempt's own limit begins anew: this is not about it.
            if seconds >= 30 {
                break;
            }
        }
        service.let_out.add_permits(1);
        call.await.unwrap().unwrap();
        assert_eq!(*service.shown.lock().unwrap(), ["Bearer access-2"]);
    }
}

/// It has nothing to go on with, and gives up when an operation would.
#[tokio::test]
async fn a_call_without_a_token_waits_as_long_as_an_operation() {
    let service = Hanging::start(-1).await;
    let call = service.call().await;
    service.clock.advance(SHORT * 2);
    settle().await;
    assert!(!call.is_finished());
    service.clock.advance(SHORT * 29);
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    service.let_out.add_permits(1);
}

/// A service that answers calls one by one as it is told, and never a refresh.
async fn told(clock: &TestClock) -> (Client, Arc<Semaphore>, mpsc::UnboundedSender<u16>) {
    let (tell, told) = mpsc::unbounded_channel();
    let (told, asked) = (Arc::new(Mutex::new(told)), Arc::new(Semaphore::new(0)));
    let arrived = Arc::clone(&asked);
    let transport = transport::from_fn(move |request| {
        let (told, arrived) = (Arc::clone(&told), Arc::clone(&arrived));
        async move {
            arrived.add_permits(1);
            let status = match request.uri().path() {
                path if path.contains("orders") => told.lock().await.recv().await.unwrap(),
                path if path.contains("token") => std::future::pending().await,
                _ => 404,
            };
            let answer = http::Response::builder().status(status);
            Ok(answer.body(Body::from("[]")).unwrap())
        }
    });
    let client = builder("https://api.example/", clock)
        .operation_timeout(SHORT * 30)
        .token_store(store(clock, 3600).await)
        .transport(transport)
        .build()
        .unwrap();
    (client, asked, tell)
}

/// The refresh after a 401 takes from the operation's time, and gets none of its own.
#[tokio::test]
async fn a_call_that_is_refused_late_ends_in_its_time() {
    let clock = TestClock::still();
    let (client, asked, tell) = told(&clock).await;
    let call = tokio::spawn(async move { client.account("account-77").orders().list().await });
    asked.acquire().await.unwrap().forget();
    clock.advance(SHORT * 25);
    tell.send(401).unwrap();
    // Discovery, and the refresh.
    asked.acquire_many(2).await.unwrap().forget();
    settle().await;
    assert!(!call.is_finished());
    clock.advance(SHORT * 6);
    settle().await;
    assert!(call.is_finished());
    assert!(call.await.unwrap().unwrap_err().is_timeout());
}

/// A machine that was suspended while a call was under way: no time of the call has passed.
#[tokio::test]
async fn a_clock_that_is_set_does_not_end_a_call() {
    for ahead in [true, false] {
        let clock = TestClock::still();
        let (client, asked, tell) = told(&clock).await;
        let call = tokio::spawn(async move { client.account("account-77").orders().list().await });
        asked.acquire().await.unwrap().forget();
        // Not so far that the token expires.
        match ahead {
            true => clock.set_ahead(SHORT * 60),
            false => clock.set_back(SHORT * 60),
        }
        tell.send(503).unwrap();
        settle().await;
        // The wait before the repeat.
        clock.advance(Duration::from_secs(1));
        tell.send(200).unwrap();
        assert!(call.await.unwrap().unwrap().is_complete(), "{ahead}");
    }
}
