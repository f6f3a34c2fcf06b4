//! Refreshes that fail: who is told what, and when the next one is tried.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use lab_connector::clock::Clock as _;
use lab_connector::{Error, TokenStore};

use super::support::{Answer, Fault, HOUR, Process, Script, Seen, Shifted, Step, account, tokens};

const INVALID_GRANT: Answer = Answer::Status(400, r#"{"error":"invalid_grant"}"#);

/// Four minutes before the end: due, and still valid.
const DUE: Duration = Duration::from_secs(3600 - 240);

#[tokio::test]
async fn an_early_refresh_that_fails_takes_nothing_away_and_is_not_hammered() {
    let (script, lab, clock, _) = Script::start([Answer::Status(503, "")]).await;
    clock.advance(DUE);
    for _ in 0..20 {
        lab.orders().list().await.unwrap();
    }
    assert_eq!(script.seen().len(), 1);
    let health = lab.health().await.unwrap();
    assert!(health.next_refresh().is_some() && !health.is_reauthorization_needed());
    let (_, error) = health.last_failure().unwrap();
    assert!(error.is_server(), "{error}");

    script.then([Answer::Tokens("2")]);
    clock.advance(Duration::from_secs(5));
    lab.orders().list().await.unwrap();
    assert_eq!(script.seen().len(), 2);
    let health = lab.health().await.unwrap();
    assert!(health.next_refresh().is_none() && health.last_failure().is_some());
    assert!(health.last_success() > Some(health.last_failure().unwrap().0 - HOUR));
}

/// After a restart nothing is in memory: what is stored and valid counts as well.
#[tokio::test]
async fn a_stored_token_that_is_valid_is_used_when_its_refresh_fails() {
    let (script, lab, clock, store) = Script::start([Answer::Status(503, ""), INVALID_GRANT]).await;
    drop(lab);
    clock.advance(DUE);
    for asked in 1..=2 {
        let lab = script.lab(&clock, Arc::clone(&store));
        lab.orders().list().await.unwrap();
        lab.orders().list().await.unwrap();
        assert_eq!(script.seen().len(), asked);
        // The dashboard knows before the calls do.
        let health = lab.health().await.unwrap();
        assert_eq!(health.is_reauthorization_needed(), asked == 2);
    }
}

#[tokio::test]
async fn later_is_not_never() {
    let (script, lab, clock, _) = Script::start([Answer::Status(503, "")]).await;
    clock.advance(HOUR);
    for expected in 1..=5 {
        // The first of these asks the service, the others are told what it said.
        let mut wait = Duration::ZERO;
        for _ in 0..3 {
            let error = lab.orders().list().await.unwrap_err();
            assert!(error.is_refresh_failed() && error.is_server(), "{error}");
            assert!(!error.is_reauthorization_needed(), "{error}");
            wait = error.retry_after().expect("when the next one is tried");
        }
        assert_eq!(script.seen().len(), expected);
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(300));
        script.then([Answer::Status(503, "")]);
        clock.advance(wait + Duration::from_secs(1));
    }
    script.then([Answer::Tokens("2")]);
    lab.orders().list().await.unwrap_err();
    clock.advance(Duration::from_secs(301));
    lab.orders().list().await.unwrap();
}

#[tokio::test]
async fn only_invalid_grant_asks_for_a_person_and_only_once() {
    for (answer, person) in [
        (INVALID_GRANT, true),
        // Forms that services have been seen to say it in.
        (Answer::Status(200, r#"{"error":"invalid_grant"}"#), true),
        (
            Answer::Status(
                200,
                r#"{"error":"bad_refresh_token","error_description":"x"}"#,
            ),
            true,
        ),
        (Answer::Status(400, "invalid_grant"), true),
        (
            Answer::Status(400, "error=invalid_grant&error_description=x"),
            true,
        ),
        (
            Answer::Status(400, "\u{FEFF}{\"error\":\"invalid_grant\"}"),
            true,
        ),
        (Answer::Status(200, r#"{"error":"server_error"}"#), false),
        (Answer::Status(400, "<p>invalid_grant</p>"), false),
        (Answer::Status(401, r#"{"error":"invalid_client"}"#), false),
        (Answer::Status(400, r#"{"error":"invalid_request"}"#), false),
        (Answer::Status(400, ""), false),
        (Answer::Status(403, "<html>"), false),
        (Answer::Status(429, ""), false),
    ] {
        let (script, lab, clock, store) = Script::start([answer]).await;
        clock.advance(HOUR);
        for _ in 0..3 {
            let error = lab.orders().list().await.unwrap_err();
            assert_eq!(error.is_reauthorization_needed(), person, "{error}");
            assert_eq!(error.needs_pairing(), person, "{error}");
            let advised = error.to_string().ends_with("; pair the account again");
            assert_eq!(advised, person, "{error}");
            assert_eq!(error.is_refresh_failed(), !person, "{error}");
            assert_eq!(error.retry_after().is_none(), person, "{error}");
        }
        assert_eq!(script.seen().len(), 1);
        let health = lab.health().await.unwrap();
        assert_eq!(health.is_reauthorization_needed(), person);
        assert!(health.has_tokens());

        // Somebody signs in elsewhere: nothing has to be restarted.
        assert!(
            store
                .swap(&account(), Some(1), &tokens(&clock, 3))
                .await
                .unwrap()
        );
        lab.orders().list().await.unwrap();
        assert_eq!(script.seen().len(), 1);
        assert!(!lab.health().await.unwrap().is_reauthorization_needed());
    }
}

/// The point in time may be given in seconds since 1970. What is asked for is obeyed for minutes at most.
#[tokio::test]
async fn a_refresh_waits_until_the_time_that_the_service_names() {
    for (ahead, waits) in [(120, 120), (86_400, 300)] {
        let named = since_1970(SystemTime::now()) + HOUR.as_secs() + ahead;
        let (script, lab, clock, _) = Script::start([Answer::Busy(named.to_string())]).await;
        clock.advance(HOUR);
        let error = lab.orders().list().await.unwrap_err();
        assert!(error.is_refresh_failed() && error.is_server(), "{error}");
        assert_eq!(script.seen().len(), 1);
        let next = lab.health().await.unwrap().next_refresh().unwrap();
        let wait = since_1970(next) - since_1970(clock.now());
        assert!((waits - 30..=waits + 30).contains(&wait), "{wait}");
    }
}

fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Another process was faster with the same refresh token, and its lease had ended: what it
/// stored wins over the refusal.
#[tokio::test]
async fn before_a_person_is_asked_the_store_is() {
    let (script, lab, clock, store) = Script::start([INVALID_GRANT]).await;
    clock.advance(HOUR);
    script.gate.close();
    let call = tokio::spawn({
        let lab = lab.clone();
        async move { lab.orders().list().await.map(drop) }
    });
    script.gate.reached().await;
    assert!(
        store
            .swap(&account(), Some(1), &tokens(&clock, 2))
            .await
            .unwrap()
    );
    script.gate.open();
    call.await.unwrap().unwrap();
    assert!(!lab.health().await.unwrap().is_reauthorization_needed());
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_once_more_with_the_same_token() {
    for lost in [
        Answer::Lost,
        Answer::NoConnection,
        Answer::Status(502, ""),
        Answer::Status(200, "{"),
    ] {
        let (script, lab, clock, _) = Script::start([lost.clone(), Answer::Tokens("2")]).await;
        clock.advance(HOUR);
        lab.orders().list().await.unwrap();
        assert_eq!(script.seen(), ["refresh-1", "refresh-1"]);

        let (script, lab, clock, _) = Script::start([lost.clone(), lost]).await;
        clock.advance(HOUR);
        let error = lab.orders().list().await.unwrap_err();
        assert!(error.is_refresh_failed() && error.retry_after().is_some());
        assert_eq!(script.seen().len(), 2);
    }
}

/// The refresh token is used up: what it brought waits for the store, unused, and nothing is
/// sent again.
#[tokio::test]
async fn tokens_that_cannot_be_stored_are_kept_and_not_used() {
    for step in [Step::BeforeSwap, Step::AfterSwap] {
        let clock = Shifted::default();
        let (script, lab, _, store) = Script::start([Answer::Tokens("2")]).await;
        drop(lab);
        let process = Arc::new(Process::default());
        let lab = script.lab(
            &clock,
            Failing(Seen {
                store: Arc::clone(&store),
                process: Arc::clone(&process),
            }),
        );
        clock.advance(HOUR);
        // Each of the three tries fails.
        for _ in 0..3 {
            process.fail_at(Some(Fault::Fail(step)));
            let error: Error = lab.orders().list().await.unwrap_err();
            assert!(
                error.is_store() && !error.is_reauthorization_needed(),
                "{error}"
            );
        }
        assert_eq!(script.calls.load(Ordering::SeqCst), 0);
        process.fail_at(None);
        lab.orders().list().await.unwrap();
        assert_eq!(script.seen(), ["refresh-1"]);
        assert_eq!(
            store.load(&account()).await.unwrap().unwrap().generation(),
            2
        );
    }
}

/// Nor are they lost when the process ends before anybody calls again.
#[tokio::test]
async fn tokens_that_could_not_be_stored_are_stored_at_the_end() {
    let (script, _, clock, store) = Script::start([Answer::Tokens("2")]).await;
    let process = Arc::new(Process::default());
    let client = script.client(
        &clock,
        Failing(Seen {
            store: Arc::clone(&store),
            process: Arc::clone(&process),
        }),
    );
    clock.advance(HOUR);
    process.fail_at(Some(Fault::Fail(Step::BeforeSwap)));
    let lab = client.account("L-1");
    assert!(lab.orders().list().await.unwrap_err().is_store());
    drop(lab);
    process.fail_at(None);
    client.close().await;
    let kept = store.load(&account()).await.unwrap().unwrap();
    assert_eq!(kept.generation(), 2);
    assert_eq!(script.seen(), ["refresh-1"]);
}

/// Fails every swap while a fault is set, not only the next one.
#[derive(Debug)]
struct Failing(Seen);

#[async_trait::async_trait]
impl TokenStore for Failing {
    async fn load(
        &self,
        key: &lab_connector::auth::TokenKey,
    ) -> lab_connector::Result<Option<lab_connector::auth::Tokens>> {
        self.0.store.load(key).await
    }

    async fn claim(
        &self,
        key: &lab_connector::auth::TokenKey,
        generation: u64,
        holder: &str,
        lease: Duration,
    ) -> lab_connector::Result<bool> {
        self.0.store.claim(key, generation, holder, lease).await
    }

    async fn swap(
        &self,
        key: &lab_connector::auth::TokenKey,
        expected: Option<u64>,
        tokens: &lab_connector::auth::Tokens,
    ) -> lab_connector::Result<bool> {
        let fault = self.0.process.fault();
        let result = self.0.swap(key, expected, tokens).await;
        self.0.process.fail_at(fault);
        result
    }

    async fn clear(&self, key: &lab_connector::auth::TokenKey) -> lab_connector::Result<()> {
        self.0.store.clear(key).await
    }
}

#[tokio::test]
async fn discovery_is_asked_first_seldom_and_its_failure_is_none() {
    let (script, lab, clock, _) = Script::start([Answer::Tokens("2"), Answer::Tokens("3")]).await;
    clock.advance(HOUR);
    lab.keep_access().await.unwrap();
    assert_eq!(script.discoveries.load(Ordering::SeqCst), 1);
    // Refused five minutes later: too soon to ask again.
    clock.advance(Duration::from_secs(300));
    script.accept_only(&["access-3"]);
    lab.orders().list().await.unwrap();
    assert_eq!(script.discoveries.load(Ordering::SeqCst), 1);
    script.then([Answer::Tokens("2")]);
    clock.advance(HOUR);
    lab.keep_access().await.unwrap();
    assert_eq!(script.discoveries.load(Ordering::SeqCst), 2);
}

/// A form, as older services answer, a byte order mark, and an end that is a point in time.
#[tokio::test]
async fn tokens_are_read_in_whatever_form_they_come() {
    for (answer, minutes) in [
        (
            "access_token=access-2&refresh_token=r&token_type=bearer&expires_in=1800",
            30,
        ),
        (
            "\u{FEFF}{\"access_token\":\"access-2\",\"expires_in\":1800}",
            30,
        ),
        (
            r#"{"access_token":"access-2","expires_at":"2020-01-01T00:00:00Z"}"#,
            60,
        ),
    ] {
        let (script, lab, clock, _) = Script::start([Answer::Status(200, answer)]).await;
        clock.advance(HOUR);
        lab.orders().list().await.unwrap();
        assert_eq!(script.seen(), ["refresh-1"], "{answer}");
        let health = lab.health().await.unwrap();
        let life = health
            .expires_at()
            .unwrap()
            .duration_since(health.last_success().unwrap());
        assert_eq!(life.unwrap(), Duration::from_secs(minutes * 60), "{answer}");
    }
}

/// Whoever reads it learns what there is to try.
#[tokio::test]
async fn a_refused_client_is_told_of_the_other_way() {
    let refused = Answer::Status(401, r#"{"error":"invalid_client"}"#);
    let (_, lab, clock, _) = Script::start([refused]).await;
    clock.advance(HOUR);
    let error = lab.orders().list().await.unwrap_err();
    assert!(
        error.to_string().contains("`client_secret_in_body`"),
        "{error}"
    );
    assert!(error.is_unauthorized(), "{error}");
}

/// Read as a tree, a long one would take many times its length.
#[tokio::test]
async fn an_answer_of_tokens_is_short() {
    let long = format!(
        r#"{{"access_token":"access-2","x":[{}0]}}"#,
        "{},".repeat(1 << 19)
    );
    // Twice: the tokens may have been in what was not read.
    let answer = || Answer::Status(200, String::leak(long.clone()));
    let (script, lab, clock, _) = Script::start([answer(), answer()]).await;
    clock.advance(HOUR);
    let error = lab.orders().list().await.unwrap_err();
    assert!(error.is_refresh_failed(), "{error}");
    assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
    assert_eq!(script.seen().len(), 2);
}
