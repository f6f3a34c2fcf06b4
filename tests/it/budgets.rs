//! What repeats may cost: each lab for itself, calls apart from files, and not for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab_connector::auth::TokenKey;
use lab_connector::retry::RetryEvent;
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{Client, Error, Lab};

use crate::support::{TestClock, builder, keep, order_with_file, store, tokens};

/// A service that fails each path so many times.
#[derive(Clone, Default)]
struct Failing {
    left: Arc<Mutex<HashMap<&'static str, (u16, u32)>>>,
    asked: Arc<Mutex<Vec<String>>>,
    gave_up: Arc<Mutex<Vec<&'static str>>>,
}

const FOR_EVER: u32 = u32::MAX;

impl Failing {
    fn fails(&self, path: &'static str, times: u32) {
        self.fails_with(path, 503, times);
    }

    fn fails_with(&self, path: &'static str, status: u16, times: u32) {
        self.left.lock().unwrap().insert(path, (status, times));
    }

    fn asked(&self, part: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|path| path.contains(part)).count()
    }

    fn is_spent(&self) -> bool {
        self.gave_up
            .lock()
            .unwrap()
            .contains(&"too many requests fail")
    }

    async fn client(&self, clock: &TestClock) -> Client {
        let store = store(clock, 100_000).await;
        for id in ["L-1", "L-2"] {
            let key = TokenKey::Account(id.into());
            keep(&store, &key, &tokens(clock, 100_000)).await;
        }
        let (service, told) = (self.clone(), Arc::clone(&self.gave_up));
        builder("https://api.example/", clock)
            .token_store(store)
            .on_retry(move |event: &RetryEvent<'_>| {
                if let Err(why) = event.decision {
                    told.lock().unwrap().push(why);
                }
            })
            .transport(transport::from_fn(move |request| {
                let answer = service.answer(request.uri().path());
                async move { answer }
            }))
            .build()
            .unwrap()
    }

    fn answer(&self, path: &str) -> Result<http::Response<Body>, TransportError> {
        self.asked.lock().unwrap().push(path.to_owned());
        let mut left = self.left.lock().unwrap();
        let fails = left
            .iter_mut()
            .find(|(part, (_, left))| path.contains(**part) && *left > 0);
        if let Some((_, (status, left))) = fails {
            *left -= u32::from(*left != FOR_EVER);
            let answer = http::Response::builder().status(*status);
            return Ok(answer.body(Body::from("")).unwrap());
        }
        let body = match path {
            "/oauth/token" => r#"{"access_token":"access-2"}"#,
            _ => "[]",
        };
        let answer = http::Response::builder().header("content-length", body.len());
        Ok(answer.body(Body::from(body)).unwrap())
    }
}

async fn list(lab: &Lab) -> Result<(), Error> {
    lab.orders().list().await.map(drop)
}

async fn file(lab: &Lab) -> Result<(), Error> {
    let order = order_with_file(None);
    let mut bytes = Vec::new();
    let download = lab.download(&order, &order.assets()[0]);
    download.to_writer(&mut bytes).await.map(drop)
}

#[tokio::test]
async fn what_one_lab_spends_no_other_lacks_and_time_brings_it_back() {
    let (service, clock) = (Failing::default(), TestClock::new());
    let client = service.client(&clock).await;
    let (one, other) = (client.account("L-1"), client.account("L-2"));
    service.fails("/L-1/", FOR_EVER);
    for _ in 0..100 {
        list(&one).await.unwrap_err();
    }
    assert!(service.is_spent());
    service.fails("/L-2/", 1);
    list(&other).await.unwrap();
    assert_eq!(service.asked("/L-2/"), 2);

    // Its own calls are repeated again after a while, though none of them has succeeded.
    let before = service.asked("/L-1/");
    clock.advance(Duration::from_secs(3600));
    list(&one).await.unwrap_err();
    assert_eq!(service.asked("/L-1/") - before, 3);
}

#[tokio::test]
async fn files_and_calls_do_not_hold_each_other_up() {
    for (spends, path, works) in [
        (true, "/assets/", "/orders"),
        (false, "/orders", "/assets/"),
    ] {
        let (service, clock) = (Failing::default(), TestClock::new());
        let client = service.client(&clock).await;
        let lab = client.account("L-1");
        service.fails(path, FOR_EVER);
        for _ in 0..100 {
            let spent = if spends {
                file(&lab).await
            } else {
                list(&lab).await
            };
            spent.unwrap_err();
        }
        assert!(service.is_spent());
        service.fails(path, 0);
        // The path of a file is below that of the orders.
        service.fails(if spends { "L-1/orders" } else { works }, 1);
        let before = service.asked(works);
        let worked = if spends {
            list(&lab).await
        } else {
            file(&lab).await
        };
        worked.unwrap();
        assert_eq!(service.asked(works) - before, 2);
    }
}

/// A lab whose calls have failed is not to lose its access as well.
#[tokio::test]
async fn what_calls_spend_no_refresh_lacks() {
    let (service, clock) = (Failing::default(), TestClock::new());
    let client = service.client(&clock).await;
    let lab = client.account("L-1");
    service.fails("/L-1/", FOR_EVER);
    for _ in 0..100 {
        list(&lab).await.unwrap_err();
    }
    assert!(service.is_spent());
    // The answer to the refresh is lost at a gateway, and asked for once more.
    service.fails_with("/L-1/", 401, 1);
    service.fails_with("/oauth/token", 502, 1);
    list(&lab).await.unwrap();
    assert_eq!(service.asked("/oauth/token"), 2);
}
