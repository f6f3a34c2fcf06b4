//! Many callers of one process.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use lab_connector::simulator::Simulator;
use lab_connector::{MemoryTokenStore, TokenStore};
use tokio::task::JoinSet;

use super::support::{
    Answer, HOUR, Process, Script, Seen, Shifted, account, builder, pair, tokens,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_at_expiry_make_one_token_request() {
    let (script, lab, clock, store) = Script::start([Answer::Tokens("2")]).await;
    lab.keep_access().await.unwrap();
    assert_eq!(script.seen().len(), 0, "a fresh token needs nothing");

    clock.advance(HOUR);
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let lab = lab.clone();
        calls.spawn(async move { lab.orders().list().await.map(drop) });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    assert_eq!(script.seen(), ["refresh-1"]);
    assert_eq!(script.calls.load(Ordering::SeqCst), 1000);
    assert_eq!(
        store.load(&account()).await.unwrap().unwrap().generation(),
        2
    );
}

/// They share a failure as well: until it is to be tried again. That is later than the last of them
/// can come on a busy machine, whose time this clock's is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_share_one_failure() {
    let (script, lab, clock, _) = Script::start([Answer::Busy("300".to_owned())]).await;
    clock.advance(HOUR);
    let mut calls = JoinSet::new();
    for _ in 0..1000 {
        let lab = lab.clone();
        calls.spawn(async move { lab.orders().list().await.map(drop) });
    }
    while let Some(call) = calls.join_next().await {
        let error = call.unwrap().unwrap_err();
        assert!(error.is_refresh_failed() && error.is_server(), "{error}");
        assert_eq!(error.operation(), Some("Refresh Token"));
        assert!(error.retry_after().is_some(), "{error}");
    }
    assert_eq!(script.seen().len(), 1);
    assert_eq!(script.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_lose_nothing() {
    let (clock, service) = (Shifted::default(), Simulator::start().await.unwrap());
    let store = Arc::new(MemoryTokenStore::new());
    let client = builder(&clock, service.endpoints())
        .token_store(Arc::clone(&store))
        .build()
        .unwrap();
    let lab = pair(&client, &service).await.unwrap();
    for round in 1..=20 {
        clock.advance(HOUR);
        let mut calls = JoinSet::new();
        for number in 0..50 {
            let lab = lab.clone();
            let call = calls.spawn(async move { lab.keep_access().await });
            // In every other round nobody stays.
            if number % 2 == 0 || round % 2 == 0 {
                for _ in 0..number % 7 {
                    tokio::task::yield_now().await;
                }
                call.abort();
            }
        }
        while let Some(call) = calls.join_next().await {
            if let Ok(result) = call {
                result.unwrap();
            }
        }
        lab.orders().list().await.unwrap();
        assert_eq!(service.refreshes(), round);
    }
    assert_eq!(service.revoked_families(), 0);
}

/// Codes and pairings are good for one use: what they bring is stored, also where nobody waits.
#[tokio::test]
async fn a_sign_in_that_is_dropped_is_finished() {
    let (clock, service) = (Shifted::default(), Simulator::start().await.unwrap());
    let client = builder(&clock, service.endpoints()).build().unwrap();
    let login = client.login("me");
    let request = login.authorize().unwrap();
    let redirected = service.consent(request.url()).unwrap();
    // Polled once, and dropped.
    assert!(login.finish(&request, &redirected).now_or_never().is_none());
    while !login.is_signed_in().await.unwrap() {
        tokio::task::yield_now().await;
    }
    let pairing = login.pair("L-1").into_future();
    assert!(pairing.now_or_never().is_none());
    let lab = client.account("L-1");
    while !lab.is_paired().await.unwrap() {
        tokio::task::yield_now().await;
    }
    lab.orders().list().await.unwrap();
    assert!(lab.unpair().now_or_never().is_none());
    while lab.is_paired().await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert!(login.is_signed_in().await.unwrap(), "the login's own stay");
    assert_eq!(service.refreshes(), 0);
}

#[tokio::test]
async fn a_task_outlives_the_callers_and_its_runtime_may_not() {
    let (script, lab, clock, store) =
        Script::start([Answer::Tokens("2"), Answer::Tokens("3")]).await;
    clock.advance(HOUR);
    script.gate.close();
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.keep_access().await }
    });
    script.gate.reached().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    script.gate.open();
    lab.keep_access().await.unwrap();
    assert_eq!(script.seen(), ["refresh-1"]);

    // A runtime that is shut down stops the task; the next call begins another one.
    clock.advance(HOUR);
    script.gate.close();
    let other = lab.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let call = tokio::spawn(async move { other.keep_access().await });
            script.gate.reached().await;
            call.abort();
            script.gate.open();
        });
    })
    .join()
    .unwrap();
    // The lease is its own: it does not wait for it.
    lab.keep_access().await.unwrap();
    assert_eq!(
        store.load(&account()).await.unwrap().unwrap().generation(),
        3
    );
}

/// A runtime that nobody drives keeps its task, and never ends it.
#[tokio::test]
async fn a_runtime_that_stands_still_holds_nobody_up_for_ever() {
    let (script, _, clock, store) = Script::start([Answer::Tokens("2")]).await;
    let process = Arc::new(Process::default());
    let seen = Seen {
        store: Arc::clone(&store),
        process: Arc::clone(&process),
    };
    let lab = script.lab(&clock, seen);
    clock.advance(HOUR);
    script.gate.close();
    let other = lab.clone();
    let reached = Arc::clone(&script);
    let still = std::thread::spawn(move || {
        let still = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        still.block_on(async {
            let call = tokio::spawn(async move { other.keep_access().await });
            reached.gate.reached().await;
            call.abort();
        });
        still
    });
    let still = still.join().unwrap();
    script.gate.open();
    // Its lease is another's, as that of a process that died; here it ends at once.
    process.let_its_lease_end(&store).await;
    lab.keep_access().await.unwrap();
    assert_eq!(script.seen(), ["refresh-1", "refresh-1"]);
    let kept = store.load(&account()).await.unwrap().unwrap();
    assert_eq!(kept.generation(), 2);
    still.shutdown_background();
}

#[tokio::test]
async fn a_401_refreshes_once_by_generation() {
    let (script, lab, clock, _) = Script::start([Answer::Tokens("2"), Answer::Tokens("3")]).await;
    script.accept_only(&["access-2"]);
    let list = || async { lab.orders().list().await.map(drop) };
    let (a, b, c) = tokio::join!(list(), list(), list());
    a.and(b).and(c).unwrap();
    assert_eq!(
        script.seen(),
        ["refresh-1"],
        "late refusals refresh nothing"
    );

    // It was issued moments ago and is refused as well: another one would be too.
    script.accept_only(&[]);
    for _ in 0..20 {
        let error = list().await.unwrap_err();
        assert!(
            error.is_unauthorized() && !error.is_refresh_failed(),
            "{error}"
        );
    }
    assert_eq!(script.seen(), ["refresh-1"]);
    // After some minutes it may help.
    script.accept_only(&["access-3"]);
    clock.advance(Duration::from_secs(301));
    list().await.unwrap();
    assert_eq!(script.seen(), ["refresh-1", "refresh-2"]);
    list().await.unwrap();
    assert_eq!(script.seen().len(), 2);
}

#[tokio::test]
async fn a_new_pairing_wins_over_the_refresh_under_way() {
    let (script, lab, clock, store) = Script::start([Answer::Tokens("old")]).await;
    clock.advance(HOUR);
    script.gate.close();
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.orders().list().await.map(drop) }
    });
    script.gate.reached().await;
    // Another process pairs.
    assert!(
        store
            .swap(&account(), Some(1), &tokens(&clock, 3))
            .await
            .unwrap()
    );
    script.gate.open();
    call.await.unwrap().unwrap();
    let kept = store.load(&account()).await.unwrap().unwrap();
    assert_eq!(kept.generation(), 3);
    script.accept_only(&["access-3"]);
    lab.orders().list().await.unwrap();
    assert_eq!(script.seen(), ["refresh-1"]);
}

#[tokio::test]
async fn what_was_given_up_stays_given_up() {
    let (script, lab, clock, store) = Script::start([Answer::Tokens("2")]).await;
    clock.advance(HOUR);
    script.gate.close();
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.keep_access().await }
    });
    script.gate.reached().await;
    store.clear(&account()).await.unwrap();
    script.gate.open();
    assert!(call.await.unwrap().unwrap_err().is_reauthorization_needed());
    assert!(store.load(&account()).await.unwrap().is_none());
    let health = lab.health().await.unwrap();
    assert!(!health.has_tokens() && health.is_reauthorization_needed());
}
