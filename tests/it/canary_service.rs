//! A service that says what it must not: names, tokens and signed URLs in bodies, headers, reason
//! phrases, problem documents and pages. None of it is in a text that this crate makes.

use std::sync::{Arc, Mutex};

use http::Method;
use lab_connector::inbox::MemoryStore;
use lab_connector::retry::RetryPolicy;
use lab_connector::{Error, Notification};
use serde_json::json;

use crate::downloads_server::Server;
use crate::support::{TestClock, builder, order, state_of, store};
use crate::watch::canary;

/// All that is said of an error, and what only its accessor tells.
#[derive(Default)]
struct Said {
    texts: Vec<String>,
    messages: usize,
}

impl Said {
    fn error(&mut self, error: &Error) {
        let mut text = format!("{error} | {error:?} | {error:#?} | {}", error.report());
        for part in [error.excerpt(), error.path(), error.request_id()] {
            text += &format!(" | {part:?}");
        }
        let message = error.service_message();
        text += &format!(" | {message:?}");
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            text += &format!(" | {error} {error:?}");
            source = error.source();
        }
        self.texts.push(text);
        self.messages += usize::from(message.is_some_and(|text| canary(text.reveal()).is_some()));
    }

    fn result<T>(&mut self, result: Result<T, Error>) {
        if let Err(error) = result {
            self.error(&error);
        }
    }
}

/// Each of them holds the word that the watch knows.
const BODIES: &[(&str, &str)] = &[
    ("text/plain", "no such case of canary, jane"),
    (
        "text/html",
        "<!DOCTYPE html><title>canary, jane</title><a href=\"https://a.example/f?sig=canary\">the \
         file</a><!-- access-0123456789abcdef0123456789abcdef -->",
    ),
    ("application/json", r#""the case of canary, jane""#),
    ("application/json", r#"["canary, jane"]"#),
    (
        "application/json",
        r#"{"canary": "canary, jane", "canary, jane": 1}"#,
    ),
    (
        "application/json",
        r#"{"error": "the case of canary, jane", "error_description": "canary, jane"}"#,
    ),
    (
        "application/json",
        r#"{"error": "invalid_client", "error_description": "the secret of canary"}"#,
    ),
    (
        "application/json",
        r#"{"error": "invalid_grant", "error_description": "canary, jane"}"#,
    ),
    (
        "application/json",
        r#"{"error": "canary_error_with_a_token_0123456789abcdef0123456789abcdef", "error_uri": "https://a.example/?sig=canary"}"#,
    ),
    (
        "application/json",
        r#"{"error": {"code": "canary, jane", "message": "canary, jane", "canary": {"a": 1}}}"#,
    ),
    (
        "application/json",
        r#"{"errorCode": "https://a.example/file?sig=canary", "message": "see https://a.example/file?sig=canary"}"#,
    ),
    (
        "application/problem+json",
        r#"{"type": "https://a.example/canary", "title": "canary, jane", "detail": "canary, jane", "instance": "/orders/canary"}"#,
    ),
    // A token, and a URL that is signed with one.
    (
        "application/json",
        r#"{"error": "expired", "error_description": "access-0123456789abcdef0123456789abcdef is over", "url": "https://a.example/f?sig=refresh-0123456789abcdef0123456789abcdef", "case": "canary"}"#,
    ),
    (
        "application/json",
        r#"{"access_token": {"canary": 1}, "token_type": "canary"}"#,
    ),
    (
        "application/json",
        r#"{"orders": [{"orderId": {"canary": 1}, "status": "canary, jane"}], "next": "canary://canary"}"#,
    ),
    (
        "application/json",
        r#"[{"orderId": "1", "rxId": "2", "status": {"canary": "canary"}, "patient": "canary"}]"#,
    ),
    (
        "application/json",
        r#"{"get_orders": "https://u:canary@evil.example/canary", "pair": "https://evil.example/{canary, jane}"}"#,
    ),
    (
        "application/json",
        r#"{"get_orders": "https://evil.example/{canary, jane}?sig=canary", "revoke_token": "canary:canary"}"#,
    ),
    ("application/json", r#"{"domain": "canary, jane"}"#),
    ("application/json", r#"{"canary, jane""#),
    ("application/json", ""),
];

const HEADS: &[&str] = &[
    "200 canary, jane\r\nx-request-id: canary, jane 7",
    "200 OK\r\netag: \"canary\"\r\nrepr-digest: canary=:canary:\r\nlink: <https://evil.example/?sig=canary>; rel=next",
    "202 canary\r\nretry-after: canary",
    "206 canary\r\ncontent-range: bytes canary/canary",
    "302 canary\r\nlocation: https://a.example/canary?sig=canary",
    "302 canary\r\nlocation: canary:canary",
    "302 canary\r\nlocation: https://canary:canary@a.example/",
    "307 canary\r\nlocation: //[canary",
    "400 canary, jane\r\nx-correlation-id: https://a.example/1?sig=canary",
    "401 canary, jane\r\nwww-authenticate: Bearer realm=\"canary\", error_description=\"canary\"",
    "403 canary\r\nset-cookie: session=canary",
    "404 canary\r\ntraceparent: canary-jane",
    "409 canary\r\nwarning: 199 - \"canary, jane\"",
    "410 canary\r\ncontent-encoding: canary",
    "412 canary\r\ncontent-type: canary/canary",
    "429 canary\r\nretry-after: canary, jane",
    "422 access-0123456789abcdef0123456789abcdef of canary\r\nx-request-id: canary?access-0123456789abcdef0123456789abcdef",
    "500 canary, jane\r\nx-amzn-requestid: canary 9",
    "503 canary\r\ncontent-encoding: gzip",
];

/// What is no HTTP at all.
const BROKEN: &[&str] = &[
    "canary, jane",
    "HTTP/1.1 canary canary\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncanary, jane\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: canary\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ncanary\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\ncanary",
];

fn answers() -> Vec<String> {
    let mut answers: Vec<String> = BROKEN.iter().map(|text| (*text).to_owned()).collect();
    // Each head with every fourth body, and with a page and a problem document.
    for (row, head) in HEADS.iter().enumerate() {
        for (at, (kind, body)) in BODIES.iter().enumerate() {
            let is_for_all = matches!(*kind, "text/html" | "application/problem+json");
            if !is_for_all && at % 4 != row % 4 {
                continue;
            }
            let length = body.len();
            answers.push(format!(
                "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-type: {kind}\r\n\
                 content-length: {length}\r\n\r\n{body}"
            ));
        }
    }
    answers
}

fn names_somebody_by_a_key(answer: &str) -> bool {
    answer.contains("\"canary\":")
}

#[tokio::test]
async fn what_a_service_says_of_people_is_in_no_text() {
    let server = Server::start().await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let mut said = Said::default();
    let directory = tempfile::tempdir().unwrap();
    let file = order(json!({
        "orderId": "order-88", "rxId": "rx-99", "status": "Ready for Download",
        "assets": [{ "assetId": "asset-66", "type": "IDE" }],
    }));
    for (number, answer) in answers().into_iter().enumerate() {
        let answer_text = answer.clone();
        server.play(move |_, _| answer.clone().into_bytes());
        let clock = TestClock::new();
        let client = |seconds| {
            let (clock, events, url) =
                (clock.clone(), Arc::clone(&events), server.url().to_owned());
            async move {
                let observer = move |event: &lab_connector::retry::RetryEvent<'_>| {
                    events.lock().unwrap().push(format!("{event:?}"));
                };
                builder(&url, &clock)
                    .token_store(store(&clock, seconds).await)
                    .retry(RetryPolicy::default().attempts(2))
                    .on_retry(observer)
                    .build()
                    .unwrap()
            }
        };
        let good = client(3600).await;
        let lab = good.account("account-77");
        match lab.orders().list().await {
            Ok(listing) => {
                for unreadable in listing.unreadable() {
                    said.texts.push(format!("{unreadable:?}"));
                    said.error(unreadable.error());
                }
                said.texts.push(format!("{:?}", listing.problem()));
            }
            Err(error) => said.error(&error),
        }
        said.result(lab.orders().by_rx(&"rx-99".into()).await);
        said.result(lab.orders().return_to_doctor("order-88").await);
        said.result(lab.request(Method::GET, "anything").send().await);
        let download = lab.download(&file, &file.assets()[0]);
        said.result(download.to_file(directory.path().join("case.zip")).await);
        said.result(good.discover().await);
        said.texts.push(format!("{:?}", good.endpoints()));
        let login = good.login("me");
        said.result(login.accounts().await);
        said.result(login.pair("account-77").await);
        let request = login.authorize();
        if let Ok(request) = request {
            let state = state_of(&request);
            for end in ["code=c", "error=canary,+jane&error_description=canary"] {
                let back = format!("https://lab.example/callback?state={state}&{end}");
                said.result(login.finish(&request, &back.parse().unwrap()).await);
            }
        }
        said.result(login.revoke().await);

        // A refresh that fails, as the call, the dashboard and the inbox tell it.
        let expired = client(-10).await;
        let lab = expired.account("account-77");
        said.result(lab.orders().list().await);
        said.texts
            .push(format!("{:?}", lab.health().await.unwrap()));
        if let Some((_, error)) = lab.health().await.unwrap().last_failure() {
            said.error(error);
        }
        // Plain keys are shown on purpose: a vendor must know how the service spells them.
        if number % 5 == 1 && !names_somebody_by_a_key(&answer_text) {
            let report = good.check().login("me").account("account-77").await;
            let json = serde_json::to_string(&report).unwrap();
            said.texts.push(format!("{report} | {report:?} | {json}"));
        }
        // Each way of an inbox costs polls: one answer in five is enough of them.
        if number % 5 == 0 {
            let lab = client(3600).await.account("account-77");
            let rounds = Arc::clone(&events);
            let inbox = lab.inbox(MemoryStore::new()).on_round(move |round| {
                rounds.lock().unwrap().push(format!("{round:?}"));
            });
            let body = json!({ "rxId": "rx-99", "accountNumber": "account-77" }).to_string();
            inbox.notify(&Notification::parse(body.as_bytes()).unwrap());
            match inbox.poll().await {
                Ok(report) => {
                    said.texts.push(format!("{:?}", report.problems()));
                    said.texts.push(serde_json::to_string(&report).unwrap());
                }
                Err(error) => said.error(&error),
            }
            let stats = inbox.stats().await.unwrap();
            said.texts.push(format!("{stats:?} {:?}", stats.last_error));
            said.texts.push(serde_json::to_string(&stats).unwrap());
        }
    }
    for (body, error) in [
        ("canary, jane", Notification::parse(b"canary, jane").err()),
        ("list", Notification::parse(br#"["canary, jane"]"#).err()),
        (
            "object",
            Notification::parse(br#"{"canary": "canary, jane"}"#).err(),
        ),
    ] {
        assert!(error.is_some(), "{body}");
        said.error(&error.unwrap());
    }
    for text in said.texts.iter().chain(&*events.lock().unwrap()) {
        assert!(canary(text).is_none(), "{text}");
    }
    // The service did speak, and the ones who ask for it get it.
    assert!(said.messages > 50, "{}", said.messages);
    assert!(said.texts.len() > 500 && events.lock().unwrap().len() > 100);
}
