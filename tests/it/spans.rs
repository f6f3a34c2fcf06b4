//! What the feature `tracing` tells of a call: OpenTelemetry's names, and no values.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use lab_connector::{Client, RxId};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{CANARIES, TestClock, builder, store};

pub(crate) type Fields = BTreeMap<String, String>;

/// Keeps the fields of our spans and events.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<(Vec<Fields>, Vec<Fields>)>>);

impl Seen {
    /// The events so far, which are then forgotten.
    pub(crate) fn take_events(&self) -> Vec<Fields> {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.0.insert(field.name().to_owned(), text);
    }
}

impl Subscriber for Seen {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "lab_connector"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        span.record(&mut Into(&mut fields));
        let spans = &mut self.0.lock().unwrap().0;
        spans.push(fields);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let spans = &mut self.0.lock().unwrap().0;
        values.record(&mut Into(&mut spans[span.into_u64() as usize - 1]));
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Into(&mut fields));
        self.0.lock().unwrap().1.push(fields);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

async fn client(server: &MockServer) -> Client {
    let clock = TestClock::new();
    let tokens = store(&clock, 3600).await;
    builder(&server.uri(), &clock)
        .token_store(tokens)
        .build()
        .unwrap()
}

#[tokio::test]
async fn one_span_for_each_operation_with_the_usual_names() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(503).set_body_string("canary"))
        .up_to_n_times(2)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(404).set_body_string("canary"))
        .mount(&server)
        .await;
    let client = client(&server).await;
    let seen = Seen::default();
    let guard = tracing::subscriber::set_default(seen.clone());
    let lab = client.account("account-77");
    let error = lab.orders().by_rx(&RxId::new("rx-99")).await.unwrap_err();
    drop(guard);
    assert!(error.is_not_found());

    let (spans, events) = &*seen.0.lock().unwrap();
    let port = server.address().port().to_string();
    let template = format!("{}/accounts/{{account_id}}/rx/{{rx_id}}", server.uri());
    let expected = [
        ("error.type", "status"),
        ("http.request.method", "GET"),
        ("http.request.resend_count", "2"),
        ("http.response.status_code", "404"),
        ("otel.kind", "client"),
        ("otel.name", "Get Order by Rx Id"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("url.template", &template),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(*spans, [Fields::from(expected)]);
    let messages: Vec<_> = events
        .iter()
        .map(|event| event["message"].as_str())
        .collect();
    assert_eq!(messages, ["trying again", "trying again", "giving up"]);
    let all = format!("{spans:?} {events:?}");
    for canary in CANARIES {
        assert!(!all.contains(canary), "`{canary}` in {all}");
    }
}

#[tokio::test]
async fn a_success_tells_its_status_and_a_renewed_token_is_a_repeat() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string(r#"{"access_token":"access-2"}"#))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(401))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("[]"))
        .mount(&server)
        .await;
    let client = client(&server).await;
    let seen = Seen::default();
    let guard = tracing::subscriber::set_default(seen.clone());
    client.account("account-77").orders().list().await.unwrap();
    drop(guard);
    let (spans, events) = &*seen.0.lock().unwrap();
    let said = |text: &str| events.iter().any(|event| event["message"] == text);
    assert!(said("the token was refused, renewing it") && said("the token is renewed"));
    let of = |name: &str| spans.iter().find(|span| span["otel.name"] == name);
    let listed = of("Get Orders").unwrap();
    assert_eq!(listed["http.response.status_code"], "200");
    assert_eq!(listed["http.request.resend_count"], "2");
    assert!(!listed.contains_key("error.type"));
}
