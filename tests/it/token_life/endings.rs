//! The end of a process, and the end of an access.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lab_connector::blocking::{ClosingClient, Wait};
use lab_connector::inbox::MemoryStore;
use lab_connector::transport::{self, Body};
use lab_connector::{Client, FileTokenStore, TokenStore};

use super::support::{Answer, HOUR, Script, account};
use crate::support::{TestClock, builder, keep, kept, login, store, tokens};

/// The service has rotated the refresh token, and the process ends in good order.
#[test]
fn a_process_that_ends_waits_for_its_refresh() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let process = runtime();
    let store = process.block_on(async {
        let (script, _, clock, store) = Script::start([Answer::Tokens("2")]).await;
        let client = script.client(&clock, Arc::clone(&store));
        let lab = client.account("L-1");
        clock.advance(HOUR);
        script.gate.close();
        let call = tokio::spawn(async move { lab.keep_access().await });
        script.gate.reached().await;
        call.abort();
        let mut closing = Box::pin(client.close());
        assert!(closing.as_mut().now_or_never().is_none());
        script.gate.open();
        closing.await;
        store
    });
    drop(process);
    let kept = runtime().block_on(kept(&store, &account()));
    assert_eq!(kept.as_deref(), Some("access-2"));
}

/// The same for a program without a runtime: its client waits when it is dropped.
#[test]
fn a_client_that_is_waited_for_ends_in_good_order() {
    let (script, _, clock, store) = Script::start([Answer::Tokens("2")]).wait();
    let client = ClosingClient::new(script.client(&clock, Arc::clone(&store)));
    clock.advance(HOUR);
    script.gate.close();
    let lab = client.account("L-1");
    let call = std::thread::spawn(move || lab.keep_access().wait());
    script.gate.reached().wait();
    let closing = std::thread::spawn(move || drop(client));
    script.gate.open();
    closing.join().unwrap();
    let kept = kept(&store, &account()).wait();
    assert_eq!(kept.as_deref(), Some("access-2"));
    call.join().unwrap().unwrap();
}

/// A sign-in or a pairing is as good for one use as a refresh.
#[tokio::test]
async fn the_end_waits_for_a_pairing_and_nothing_else() {
    let clock = TestClock::new();
    let store = store(&clock, 3600).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let client = service(&clock, Arc::clone(&store), {
        let gate = Arc::clone(&gate);
        move |_: &str| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                (200, r#"{"access_token":"access-9"}"#)
            }
            .boxed()
        }
    });
    client.close().await;
    let me = client.login("me");
    let pairing = std::future::IntoFuture::into_future(me.pair("account-77"));
    assert!(pairing.now_or_never().is_none(), "it goes on by itself");
    let mut closing = Box::pin(client.close());
    assert!(closing.as_mut().now_or_never().is_none());
    // What begins later is not waited for: an application that goes on calling would never end.
    let later = std::future::IntoFuture::into_future(me.pair("another"));
    assert!(later.now_or_never().is_none());
    gate.add_permits(1);
    closing.await;
    assert_eq!(
        kept(&store, &crate::support::account()).await.as_deref(),
        Some("access-9")
    );
    gate.add_permits(1);
    client.close().await;
}

/// So does the end of a run: its last poll may have gone on with a token that was still good.
#[tokio::test]
async fn a_run_that_ends_waits_for_its_refresh() {
    for for_each in [false, true] {
        let clock = TestClock::still();
        // It expires soon, and is refreshed early.
        let store = store(&clock, 120).await;
        let semaphore = || Arc::new(tokio::sync::Semaphore::new(0));
        let (reached, gate, listed) = (semaphore(), semaphore(), semaphore());
        let (arrived, passed, seen) = (reached.clone(), gate.clone(), listed.clone());
        let client = builder("https://api.example/", &clock)
            .attempt_timeout(Duration::from_secs(60))
            .token_store(Arc::clone(&store))
            .transport(transport::from_fn(move |request| {
                let (arrived, passed, seen) = (arrived.clone(), passed.clone(), seen.clone());
                async move {
                    let path = request.uri().path();
                    let body = if path.contains("token") {
                        arrived.add_permits(1);
                        passed.acquire().await.unwrap().forget();
                        r#"{"access_token":"access-2"}"#
                    } else {
                        seen.add_permits(usize::from(path.ends_with("/orders")));
                        "[]"
                    };
                    Ok(http::Response::new(Body::from(body)))
                }
            }))
            .build()
            .unwrap();
        let inbox = client.account("account-77").inbox(MemoryStore::new());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            match for_each {
                true => inbox.for_each_until(stop, async |_| Ok(())).await,
                false => inbox.run_until(stop).await,
            }
        });
        reached.acquire().await.unwrap().forget();
        // A sixth of an attempt is as long as a call waits for what it can do without.
        clock.advance(Duration::from_secs(10));
        listed.acquire().await.unwrap().forget();
        stop.send(()).unwrap();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(!running.is_finished(), "{for_each}");
        gate.add_permits(1);
        running.await.unwrap().unwrap();
        let kept = kept(&store, &crate::support::account()).await;
        assert_eq!(kept.as_deref(), Some("access-2"), "{for_each}");
    }
}

/// What never ends does not keep the process.
#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let clock = TestClock::still();
    let store = store(&clock, 3600).await;
    let client = service(&clock, store, |_| std::future::pending().boxed());
    let me = client.login("me");
    let pairing = std::future::IntoFuture::into_future(me.pair("account-77"));
    assert!(pairing.now_or_never().is_none());
    let mut closing = Box::pin(client.close());
    assert!(closing.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(7200));
    closing.await;
}

type Answered = futures_util::future::BoxFuture<'static, (u16, &'static str)>;

/// A service that answers each path as it is told. Refreshes are refused.
fn service(
    clock: &TestClock,
    store: impl TokenStore + 'static,
    answer: impl Fn(&str) -> Answered + Send + Sync + 'static,
) -> Client {
    builder("https://api.example/", clock)
        .token_store(store)
        .transport(transport::from_fn(move |request| {
            let path = request.uri().path();
            let answer = match path {
                "/oauth/token" => std::future::ready((400, r#"{"error":"invalid_grant"}"#)).boxed(),
                path => answer(path),
            };
            async move {
                let (status, body) = answer.await;
                let answer = http::Response::builder().status(status);
                Ok(answer.body(Body::from(body)).unwrap())
            }
        }))
        .build()
        .unwrap()
}

/// The service has forgotten the lab: it refuses the tokens, and to refresh them.
#[tokio::test]
async fn a_lab_that_the_service_has_forgotten_is_taken_off() {
    let clock = TestClock::new();
    let store = store(&clock, 3600).await;
    let client = service(&clock, Arc::clone(&store), |_| {
        std::future::ready((401, "")).boxed()
    });
    let lab = client.account("account-77");
    assert!(lab.orders().list().await.is_err());
    // The service has said that nobody gets in with these; they are still stored.
    assert!(!lab.is_paired().await.unwrap());
    assert!(lab.health().await.unwrap().has_tokens());
    // Nothing is left to unpair: that is no failure, and least of all one of a refresh.
    lab.unpair().await.unwrap();
    assert_eq!(kept(&store, &crate::support::account()).await, None);

    // Without a word to the service, which may be away.
    let me = client.login("me");
    me.forget_tokens().await.unwrap();
    me.forget_tokens().await.unwrap();
    assert!(!me.is_signed_in().await.unwrap());
    assert_eq!(kept(&store, &login()).await, None);
    let error = me.accounts().await.unwrap_err();
    assert!(error.is_reauthorization_needed(), "{error}");

    keep(&store, &crate::support::account(), &tokens(&clock, 3600)).await;
    lab.forget_tokens().await.unwrap();
    assert!(!lab.is_paired().await.unwrap());
}

/// A person may have to sign in for other reasons, and the pairing stands.
#[tokio::test]
async fn a_pairing_that_nobody_can_end_is_not_taken_for_ended() {
    let clock = TestClock::new();
    let store = store(&clock, 3600).await;
    let without_refresh = lab_connector::auth::Tokens::from_json(
        r#"{"access_token":"access-1","refresh_token":null,"expires_at":1,"generation":1}"#,
    );
    keep(
        &store,
        &crate::support::account(),
        &without_refresh.unwrap(),
    )
    .await;
    let client = service(&clock, Arc::clone(&store), |_| {
        std::future::ready((401, "")).boxed()
    });
    let lab = client.account("account-77");
    let error = lab.unpair().await.unwrap_err();
    assert!(error.is_reauthorization_needed(), "{error}");
    assert!(lab.health().await.unwrap().has_tokens());
    lab.forget_tokens().await.unwrap();
    assert!(!lab.health().await.unwrap().has_tokens());
}

#[tokio::test]
async fn a_token_that_is_revoked_already_is_revoked() {
    for (status, body) in [
        (400, r#"{"error":"invalid_token"}"#),
        (401, r#"{"error":"invalid_token","error_description":"x"}"#),
        (400, "error=invalid_token&error_description=x"),
        (400, "invalid_token"),
        (200, r#"{"error":"invalid_token"}"#),
        (200, ""),
        (204, ""),
        (200, "OK"),
        (200, r#"{"success":true,"error":null}"#),
    ] {
        let clock = TestClock::new();
        let store = store(&clock, 3600).await;
        let client = service(&clock, Arc::clone(&store), move |_| {
            std::future::ready((status, body)).boxed()
        });
        client.account("account-77").revoke().await.unwrap();
        assert_eq!(kept(&store, &crate::support::account()).await, None);
    }
    for (status, body) in [
        (400, r#"{"error":"invalid_request"}"#),
        (401, r#"{"error":"invalid_client"}"#),
        (404, ""),
        (503, "invalid_token"),
        (200, r#"{"error":"unsupported_token_type"}"#),
        (200, r#"{"success":false}"#),
        (200, "error=invalid_client"),
    ] {
        let clock = TestClock::new();
        let store = store(&clock, 3600).await;
        let client = service(&clock, Arc::clone(&store), move |_| {
            std::future::ready((status, body)).boxed()
        });
        client.account("account-77").revoke().await.unwrap_err();
        assert!(kept(&store, &crate::support::account()).await.is_some());
    }
}

/// Somebody has edited the file: it can neither be read nor used, and must not stay for ever.
#[tokio::test]
async fn a_damaged_entry_can_be_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let files = FileTokenStore::open(&path).unwrap();
    let clock = TestClock::new();
    keep(&files, &login(), &tokens(&clock, 3600)).await;
    for entry in std::fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|it| it == "json") {
            std::fs::write(file, "{").unwrap();
        }
    }
    let client = service(&clock, files, |_| std::future::ready((200, "[]")).boxed());
    let me = client.login("me");
    assert!(me.is_signed_in().await.unwrap_err().is_store());
    me.forget_tokens().await.unwrap();
    assert!(!me.is_signed_in().await.unwrap());
}

/// The refresh that is under way brings nothing back.
#[tokio::test]
async fn what_is_forgotten_stays_forgotten() {
    let (script, lab, clock, store) = Script::start([Answer::Tokens("2")]).await;
    clock.advance(HOUR);
    script.gate.close();
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.keep_access().await }
    });
    script.gate.reached().await;
    lab.forget_tokens().await.unwrap();
    script.gate.open();
    assert!(call.await.unwrap().unwrap_err().is_reauthorization_needed());
    assert!(store.load(&account()).await.unwrap().is_none());
    assert!(!lab.is_paired().await.unwrap());
}

/// Handles that nobody holds are forgotten, what they have learnt is not: the service has refused the
/// refresh token, and is not asked again.
#[tokio::test]
async fn a_refusal_outlives_the_handles() {
    let refused = Answer::Status(400, r#"{"error":"invalid_grant"}"#);
    let (script, _, clock, store) = Script::start([refused]).await;
    let client = script.client(&clock, store);
    clock.advance(HOUR);
    for round in 0..3 {
        let error = client.account("L-1").keep_access().await.unwrap_err();
        assert!(error.is_reauthorization_needed(), "{error}");
        for number in 0..5000 {
            drop(client.login(format!("{round} {number}")));
        }
    }
    assert_eq!(script.seen(), ["refresh-1"]);
}
