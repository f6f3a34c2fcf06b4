//! The lab's board: `GET /` in a browser.
//!
//! One page made on the server, without anything from elsewhere; it works without its script, which
//! only keeps it up to date. Buttons are forms, so a page of another site could send them: each
//! handler must check the origin first.

mod case;
mod page;
mod parts;
mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::problem::Problem;
use super::server::control;
use super::server::guard::{check_host, check_origin};
use super::{Action, App, SimulatorState, html};
use crate::model::OrderId;
use view::View;

/// What the address of the board says: which lab, and which case is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    lab: String,
    case: String,
}

pub(super) fn router() -> Router<Arc<SimulatorState>> {
    let text = |kind: &'static str, text: &'static str| {
        get(async move || ([(header::CONTENT_TYPE, kind)], text))
    };
    Router::new()
        .route("/", get(index))
        .route("/_simulator/board", post(press))
        .route(
            "/_simulator/board.css",
            text("text/css; charset=utf-8", include_str!("board.css")),
        )
        .route(
            "/_simulator/board.js",
            text("text/javascript; charset=utf-8", include_str!("board.js")),
        )
        .route(
            "/_simulator/icon.svg",
            text("image/svg+xml", include_str!("icon.svg")),
        )
}

async fn index(State(shared): App, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    if !html::is_wanted(&headers) {
        return "The lab-connector simulator. GET /discovery names its endpoints, \
                GET /_simulator/ the ways to drive it, GET /openapi.yaml what it speaks.\n"
            .into_response();
    }
    // Before anything of the world is shown (DNS rebinding).
    if let Err(problem) = check_host(&shared, &headers) {
        return problem.into_response();
    }
    let address = fields(query.unwrap_or_default().as_bytes());
    let page = page::of(&View::of(&shared, &address), None);
    html::answer(StatusCode::OK, page, "")
}

/// What a button sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BoardCommand {
    action: String,
    order: String,
    seconds: String,
}

/// Does what a button says, and leads back to the board.
async fn press(State(shared): App, headers: HeaderMap, form: Bytes) -> Response {
    if let Err(problem) = check_origin(&shared, &headers) {
        return problem.into_response();
    }
    let mut address: Address = fields(&form);
    match act(&shared, &fields(&form), &mut address) {
        // A redirect after the post: a reload must not repeat the action.
        Ok(()) => Redirect::to(&address.url()).into_response(),
        Err(problem) => {
            let view = View::of(&shared, &address);
            let page = page::of(&view, Some(problem.detail()));
            html::answer(problem.status(), page, "")
        }
    }
}

fn act(
    shared: &SimulatorState,
    press: &BoardCommand,
    address: &mut Address,
) -> Result<(), Problem> {
    let order = OrderId::new(press.order.clone());
    match press.action.as_str() {
        "scan" => {
            shared.scan(&address.lab.as_str().into())?;
        }
        "prescribe" => {
            shared.prescribe(&address.lab.as_str().into())?;
        }
        "advance" => {
            let seconds = press.seconds.parse();
            let seconds = seconds.map_err(|_| Problem::bad_request("`seconds` is no number"))?;
            control::move_on(shared, Duration::from_secs(seconds))?;
        }
        "close" => address.case.clear(),
        action => {
            let action: Action = action
                .parse()
                .map_err(|_| Problem::bad_request("there is no such action"))?;
            shared.act(&order, action)?;
        }
    }
    Ok(())
}

impl Address {
    fn url(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("lab", &self.lab), ("case", &self.case)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        match query.finish() {
            query if query.is_empty() => "/".to_owned(),
            query => format!("/?{query}"),
        }
    }
}

/// Reads a query or a form; what is not known is left out, and what is missing is empty.
fn fields<T: for<'de> Deserialize<'de> + Default>(text: &[u8]) -> T {
    let pairs = form_urlencoded::parse(text)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    // All fields are texts with a default, so this fails for no query that a browser sends.
    serde_json::from_value(Value::Object(pairs)).unwrap_or_default()
}
