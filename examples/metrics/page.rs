//! The page, for the inboxes of any number of labs.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lab_connector::inbox::{Inbox, Stats};

/// Inboxes, and what each is called: it becomes the label `account`.
type Labs = Arc<Vec<(String, Inbox)>>;

/// It has neither TLS nor authentication: listen where only the monitoring system reaches.
pub fn router(labs: Vec<(String, Inbox)>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::new(labs))
}

async fn metrics(State(labs): State<Labs>) -> Response {
    let mut all = Vec::new();
    for (account, inbox) in labs.iter() {
        match inbox.stats().await {
            Ok(stats) => all.push((account.as_str(), stats)),
            // No page is an alarm too. What the store says is for the log.
            Err(error) => {
                eprintln!("metrics: {error}");
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
        }
    }
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], text(&all)).into_response()
}

/// A name, what it means, and where its value is.
type Metric<T> = (&'static str, &'static str, fn(&Stats) -> T);

#[rustfmt::skip]
const COUNTERS: [Metric<u64>; 8] = [
    ("polls_total", "Polls that listed the orders.", |stats| stats.polls),
    ("failed_polls_total", "Polls that could not.", |stats| stats.failed_polls),
    ("fetched_total", "Orders fetched one by one.", |stats| stats.fetched),
    ("hints_total", "Notifications taken in.", |stats| stats.hints),
    ("deliveries_total", "New deliveries.", |stats| stats.deliveries),
    ("changes_total", "Other new arrivals.", |stats| stats.changes),
    ("deviations_total", "Arrivals that were not to be expected.", |stats| stats.deviations),
    ("store_failures_total", "Failures of the store that may pass.", |stats| stats.store_failures),
];

#[rustfmt::skip]
const GAUGES: [Metric<u64>; 5] = [
    ("cases", "Cases in the store.", |stats| stats.store.cases),
    ("cases_given_up", "Cases that are not followed any more.", |stats| stats.store.given_up),
    ("open_deliveries", "Deliveries that are not acknowledged.", |stats| stats.store.open),
    ("failed_deliveries", "Those of them that failed.", |stats| stats.store.failed),
    ("due_fetches", "Cases that are due to be fetched.", |stats| stats.store.due),
];

#[rustfmt::skip]
const AGES: [Metric<Option<Duration>>; 4] = [
    ("good_poll_age_seconds", "Since the orders were listed.", |stats| stats.since_good_poll),
    ("complete_poll_age_seconds", "Since they were listed in full.", |stats| stats.since_complete_poll),
    ("oldest_delivery_age_seconds", "Since the oldest open delivery came.", |stats| stats.oldest),
    ("oldest_fetch_age_seconds", "Since the first due fetch was due.", |stats| stats.oldest_fetch),
];

/// The text exposition format of Prometheus. What is not known yet has no line.
fn text(labs: &[(&str, Stats)]) -> String {
    let mut page = Page::default();
    let counters = COUNTERS.map(|metric| ("counter", metric));
    let gauges = GAUGES.map(|metric| ("gauge", metric));
    for (kind, (name, help, value)) in counters.into_iter().chain(gauges) {
        page.metric(kind, name, help);
        for (account, stats) in labs {
            page.sample(name, &[("account", account)], value(stats));
        }
    }
    for (name, help, age) in AGES {
        page.metric("gauge", name, help);
        for (account, stats) in labs {
            if let Some(age) = age(stats) {
                page.sample(name, &[("account", account)], age.as_secs_f64());
            }
        }
    }
    page.metric("gauge", "poll_state", "1 for the state of the last poll.");
    for (account, stats) in labs {
        let labels = [("account", *account), ("state", &name(&stats.poll_state))];
        page.sample("poll_state", &labels, 1);
    }
    page.metric("gauge", "problems", "Problems of the last poll, by kind.");
    for (account, stats) in labs {
        for (kind, count) in &stats.problems {
            let labels = [("account", *account), ("kind", &name(kind))];
            page.sample("problems", &labels, count);
        }
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn metric(&mut self, kind: &str, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP lab_connector_{name} {help}");
        let _ = writeln!(self.0, "# TYPE lab_connector_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels.iter().map(|(label, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{label}=\"{}\"", value.replace('\n', "\\n"))
        });
        let labels: Vec<_> = labels.collect();
        let labels = labels.join(",");
        let _ = writeln!(self.0, "lab_connector_{name}{{{labels}}} {value}");
    }
}

/// The name that JSON has for a state or a kind.
fn name(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}
