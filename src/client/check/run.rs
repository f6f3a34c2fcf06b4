//! A check: its steps in their order, and what they share.
//!
//! A step that fails is a line of the report, and the next step is made wherever it can do without it:
//! one run should show all that is wrong.

use std::sync::Arc;

use serde_json::Value;

use super::super::Client;
use super::advice::advice;
use super::form::is_plain;
use super::observations::Observations;
use super::place::Place;
use super::report::{CheckReport, Outcome, Step};
use super::{Check, place, twin};
use crate::endpoints::Operation;
use crate::error::Error;
use crate::model::lenient::Shapes;

pub(super) struct Run {
    pub(super) check: Check,
    pub(super) steps: Vec<Step>,
    pub(super) seen: Observations,
    /// The places of lists that the crate does not find by itself.
    pub(super) lists: Vec<(&'static str, String)>,
    /// The key of the status, where no key that the crate knows is one.
    pub(super) status_key: Option<String>,
}

pub(super) async fn run(check: Check) -> CheckReport {
    let mut run = Run {
        check,
        steps: Vec::new(),
        seen: Observations::default(),
        lists: Vec::new(),
        status_key: None,
    };
    // In the order in which software needs them: each step builds on the one before.
    run.connections().await;
    run.discovery().await;
    run.sign_in_page().await;
    run.account().await;
    let settings = twin::settings(&run.lists, run.status_key.as_deref());
    CheckReport::new(run.steps, run.seen, settings)
}

impl Run {
    pub(super) fn client(&self) -> &Client {
        &self.check.client
    }

    pub(super) fn shapes(&self) -> Arc<Shapes> {
        let endpoints = self.client().protocol().directory.current();
        Arc::clone(endpoints.shapes())
    }

    /// The method and the path of an operation.
    pub(super) fn asked(&self, operation: Operation) -> Option<String> {
        let endpoint = self.client().protocol().directory.resolve(operation).ok()?;
        Some(format!(
            "{} {}",
            endpoint.method,
            path_of(endpoint.template.as_str())
        ))
    }

    pub(super) fn step(
        &mut self,
        name: &'static str,
        asked: Option<String>,
        outcome: Outcome,
    ) -> &mut Step {
        let at = self.steps.len();
        self.steps.push(Step {
            name,
            asked,
            outcome,
            came: String::new(),
            facts: Vec::new(),
            advice: None,
        });
        &mut self.steps[at]
    }

    pub(super) fn good(&mut self, operation: Operation, came: impl ToString) -> &mut Step {
        let asked = self.asked(operation);
        let step = self.step(operation.title(), asked, Outcome::Good);
        step.came = came.to_string();
        step
    }

    pub(super) fn failed(&mut self, operation: Operation, error: &Error) -> &mut Step {
        let asked = self.asked(operation);
        let step = self.step(operation.title(), asked, Outcome::Failed);
        step.came = error.to_string();
        step.advice = Some(advice(error, operation));
        step
    }

    pub(super) fn skipped(&mut self, name: &'static str, why: &str, advice: &str) {
        let step = self.step(name, None, Outcome::Skipped);
        why.clone_into(&mut step.came);
        step.advice = (!advice.is_empty()).then(|| advice.to_owned());
    }

    /// What needs tokens.
    pub(super) async fn account(&mut self) {
        let accounts = self.accounts().await;
        // Whatever follows needs the tokens of an account.
        let Some(lab) = self.choose(accounts).await else {
            return;
        };
        // The access token that is there may be good though its refresh failed
        // (`a_token_that_cannot_be_refreshed_may_be_good_still`).
        if !self.refresh(&lab.tokens).await && lab.tokens.tokens().await.is_err() {
            return;
        }
        let listed = self.listing(&lab).await;
        let order = self.order(&lab, listed.as_deref()).await;
        // After the order that exists: a wrong path would otherwise pass for a good answer to a wrong id.
        self.missing(&lab).await;
        if self.check.thumbnails
            && let Some(order) = order
        {
            self.files(&lab, &order, listed.as_deref()).await;
        }
    }

    /// The list of an answer: where the configuration says, or where the crate finds it. Notes the
    /// place of a list that the crate does not find.
    pub(super) fn list<'v>(
        &mut self,
        operation: Operation,
        answer: &'v Value,
    ) -> Option<Place<'v>> {
        if let Some(pointer) = self.shapes().lists.get(operation.name()) {
            return place::list_at(answer, pointer);
        }
        let place = place::list(answer)?;
        if place.is_guess
            && let Some(pointer) = &place.pointer
        {
            self.lists.push((operation.name(), pointer.clone()));
        }
        Some(place)
    }
}

/// The path of a template. What has a digit may be an id, but for versions.
fn path_of(template: &str) -> String {
    // By hand: a URL parser would encode the braces.
    let after = template
        .find("://")
        .map_or(template, |at| &template[at + 3..]);
    let path = after.find(['/', '?']).map_or("/", |at| &after[at..]);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let shown = path.split('/').map(|segment| {
        // `v2` or `v10`, and no number that could be an id.
        let is_version = |rest: &str| rest.len() < 4 && rest.bytes().all(|it| it.is_ascii_digit());
        let version = segment.strip_prefix('v').is_some_and(is_version);
        let variable = segment.starts_with('{') && segment.ends_with('}');
        let plain = segment.is_empty() || version || variable;
        let plain = plain || (is_plain(segment) && !segment.bytes().any(|it| it.is_ascii_digit()));
        if plain { segment } else { "…" }
    });
    shown.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_what_may_be_an_id() {
        for (template, shown) in [
            (
                "https://a.example/v2/labs/{account_id}/orders?x=1",
                "/v2/labs/{account_id}/orders",
            ),
            (
                "https://a.example/labs/4711/orders/{a}b7",
                "/labs/…/orders/…",
            ),
            ("https://a.example/Jane%20Doe/vJD1", "/…/…"),
            ("https://a.example", "/"),
        ] {
            assert_eq!(path_of(template), shown);
        }
    }
}
