//! The steps that need no tokens: connections, Discovery, the sign-in page.
//!
//! They send no token, so that the first mistakes to be found are those that cost nothing. None of them is
//! tried again: a check is to show what happens.

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use url::Url;

use super::super::pipeline::Call;
use super::advice::advice;
use super::report::Outcome;
use super::run::Run;
use crate::auth::set_uri;
use crate::endpoints::{Operation, discovery, origin};
use crate::error::answer;
use crate::transport::Request;
use crate::transport::proxy::SystemProxies;

impl Run {
    /// Whether each host of the configuration can be reached, and through what.
    pub(super) async fn connections(&mut self) {
        let mut roots: Vec<Url> = Vec::new();
        for mut url in self
            .client()
            .inner
            .protocol
            .directory
            .current()
            .configured_urls()
        {
            // One request for each origin, however many endpoints are there.
            url.set_path("/");
            url.set_query(None);
            if !roots.contains(&url) {
                roots.push(url);
            }
        }
        let system = SystemProxies::read();
        for root in roots {
            let mut request = Request::new(Bytes::new());
            // HEAD: whoever answers, there is no body to wait for.
            *request.method_mut() = Method::HEAD;
            // Not by the pipeline: no token goes along, and a failure is not tried again.
            let wire = &self.client().protocol().wire;
            let answered = match set_uri(&mut request, &root) {
                Ok(()) => wire
                    .head(&root, request)
                    .await
                    .map(|response| response.status()),
                Err(error) => Err(error),
            };
            let route = self.client().inner.route.describe(&root, &system);
            let asked = Some("HEAD /".to_owned());
            let step = match answered {
                Ok(status) => {
                    let step = self.step("connection", asked, Outcome::Good);
                    // Whatever it says of the path: somebody speaks HTTP there.
                    step.came = format!("an answer of class {}xx", status.as_u16() / 100);
                    step
                }
                Err(error) => {
                    let step = self.step("connection", asked, Outcome::Failed);
                    step.came = error.report();
                    step.advice = Some(advice(&error, Operation::Discovery));
                    step
                }
            };
            step.facts
                .push(format!("{}, {route}", origin::display(&root)));
            step.facts.push(match root.scheme() {
                "https" => "TLS; certificates are verified".to_owned(),
                _ => "plain http, which only this machine may have".to_owned(),
            });
        }
    }

    pub(super) async fn discovery(&mut self) {
        let operation = Operation::Discovery;
        if !self.client().endpoints().has(operation) {
            self.skipped(
                operation.title(),
                "the configuration has no endpoint for it",
                "",
            );
            return;
        }
        let protocol = self.client().protocol().clone();
        let answer = match self.client().anonymous().send(Call::new(operation)).await {
            Ok(answer) => answer,
            Err(error) => {
                let step = self.failed(operation, &error);
                if error.is_not_found() {
                    step.facts.push(
                        "older integrations have none: then all endpoints are configured"
                            .to_owned(),
                    );
                }
                return;
            }
        };
        // Put in force: the steps after this one go where Discovery says.
        let updated = protocol
            .directory
            .update(&answer.body, protocol.wire.clock.now());
        if let Err(error) = updated {
            self.failed(operation, &error);
            return;
        }
        self.seen.discovery = answer
            .decode("")
            .ok()
            .and_then(|value| discovery::form(&value));
        let current = protocol.directory.current();
        let found = discovery::read(&answer.body, &current).ok();
        let unnamed = Operation::ALL.iter().filter(|operation| {
            let named = found.as_ref().is_some_and(|found| found.has(**operation));
            // Its word on itself does not count.
            **operation != Operation::Discovery && !named
        });
        let unnamed: Vec<_> = unnamed.map(|operation| operation.name()).collect();
        let mut elsewhere: Vec<_> = Operation::ALL
            .iter()
            .filter_map(|operation| current.resolve(*operation).ok()?.template.example())
            .filter(|url| !protocol.allowed.permits(url))
            .map(|url| origin::display(&url))
            .collect();
        elsewhere.sort();
        elsewhere.dedup();
        let step = self.good(operation, answer.status);
        step.facts.push(match unnamed.is_empty() {
            true => "names every operation".to_owned(),
            false => format!("does not name {}", unnamed.join(", ")),
        });
        if !elsewhere.is_empty() {
            step.facts.push(format!(
                "names hosts that must not get credentials: {}",
                elsewhere.join(", ")
            ));
            step.advice = Some("if they are the service's, name them in `allow_hosts`".to_owned());
        }
    }

    /// The page on which users sign in, as a browser asks for it. Nobody signs in.
    pub(super) async fn sign_in_page(&mut self) {
        let operation = Operation::Authorization;
        let protocol = self.client().protocol().clone();
        let request = match protocol.authorization() {
            Ok(request) => request,
            Err(error) => {
                let step = self.failed(operation, &error);
                if protocol.credentials.redirect_url.is_none() {
                    step.advice = Some("set `redirect_url`, as registered with Align".to_owned());
                }
                return;
            }
        };
        // As a browser asks: a service may answer programs in another way.
        let mut asked = Request::new(Bytes::new());
        asked
            .headers_mut()
            .insert(header::ACCEPT, HeaderValue::from_static("text/html"));
        let answered = match set_uri(&mut asked, request.url()) {
            Ok(()) => protocol.wire.exchange(request.url(), asked).await,
            Err(error) => Err(error),
        };
        let (head, body) = match answered {
            Ok(answered) => answered,
            Err(error) => {
                self.failed(operation, &error);
                return;
            }
        };
        let location = head
            .headers
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.and_then(|text| request.url().join(text).ok());
        let back = protocol.credentials.redirect_url.as_deref();
        let back = back.and_then(|url| Url::parse(url).ok());
        let refused = match (&location, &back) {
            (Some(location), Some(back)) if same_place(location, back) => location
                .query_pairs()
                .find(|(name, _)| name == "error")
                // The page may write anything there.
                .map(|(_, code)| answer::code(&code).unwrap_or("an error").to_owned()),
            _ => None,
        };
        let is_good = head.status.is_success() || head.status.is_redirection();
        // An error in the redirect has a good status: RFC 6749 section 4.1.2.1 sends it to the browser.
        if !is_good || refused.is_some() {
            let error = answer::error(head.status, &head.headers, &body, protocol.wire.clock.now());
            let step = self.failed(operation, &error);
            if let Some(code) = refused {
                step.came = format!("it sends the browser back with the error `{code}`");
                step.advice = Some(
                    "check `client_id`, `scopes`, `pkce` and `authorization_parameters`".to_owned(),
                );
            }
            return;
        }
        let step = self.good(operation, head.status);
        step.facts.push(match location {
            Some(location) => format!("sends the browser on to {}", origin::display(&location)),
            None if answer::is_page(&body) => "a page".to_owned(),
            None => "an answer that is no HTML page".to_owned(),
        });
    }
}

fn same_place(one: &Url, other: &Url) -> bool {
    // Without the query, which has the code or the error.
    one.origin() == other.origin() && one.path() == other.path()
}
