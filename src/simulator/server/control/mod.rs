//! The control API: what people and the world do, for tests in any language.
//!
//! A convention of this crate; it is not a part of the Lab Connector API and has a prefix of its own.
//! It has no authentication, as the simulator protects nothing: it is meant for loopback.

mod cases;
mod input;
mod world;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use serde_json::{Value, json};

use super::guard::check_origin;
use crate::simulator::problem::Problem;
use crate::simulator::{App, SimulatorState};
pub(in crate::simulator) use world::move_on;

/// Under which everything is that is not the Lab Connector API.
pub(in crate::simulator) const PREFIX: &str = "/_simulator";

type Answer<T = axum::Json<Value>> = Result<T, Problem>;

pub(super) fn router(shared: &Arc<SimulatorState>) -> Router<Arc<SimulatorState>> {
    let routes: [(&str, MethodRouter<Arc<SimulatorState>>); 16] = [
        ("", get(index)),
        ("/", get(index)),
        ("/labs", get(cases::labs).post(cases::add_lab)),
        ("/labs/{account}/scan", post(cases::scan)),
        ("/labs/{account}/prescribe", post(cases::prescribe)),
        ("/cases", get(cases::list)),
        ("/cases/{order}", get(cases::one)),
        ("/cases/{order}/{action}", post(cases::act)),
        ("/clock", get(world::clock)),
        ("/clock/advance", post(world::advance)),
        (
            "/behaviour",
            get(world::behaviour).put(world::set_behaviour),
        ),
        ("/faults", get(world::faults).put(world::set_faults)),
        ("/calls", get(world::calls).delete(world::forget_calls)),
        ("/consent", post(world::consent)),
        ("/reset", post(world::reset)),
        // Otherwise an unknown path would get the error of the Lab Connector API.
        ("/{*rest}", any(nothing)),
    ];
    routes
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(&format!("{PREFIX}{path}"), methods)
        })
        .method_not_allowed_fallback(wrong_method)
        // A layer and not a check in each handler: none can be forgotten.
        .layer(from_fn_with_state(Arc::clone(shared), guarded))
}

async fn guarded(State(shared): App, request: Request, next: Next) -> Response {
    if let Err(problem) = check_origin(&shared, request.headers()) {
        return problem.into_response();
    }
    let response = next.run(request).await;
    let status = response.status();
    // The router refuses a path that is not UTF-8 by itself, in plain text.
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain")) {
        return Problem::new(status, "the request cannot be read").into_response();
    }
    response
}

async fn nothing() -> Problem {
    Problem::not_found("resource")
}

async fn wrong_method() -> Problem {
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "the resource has no such method",
    )
}

/// Where everything is.
async fn index(State(shared): App) -> axum::Json<Value> {
    let base = format!("http://{}", shared.address);
    let at = |path: &str| format!("{base}{PREFIX}{path}");
    axum::Json(json!({
        "board": format!("{base}/"),
        "contract": format!("{base}/openapi.yaml"),
        "discovery": format!("{base}/discovery"),
        "labs": at("/labs"),
        "cases": at("/cases"),
        "clock": at("/clock"),
        "behaviour": at("/behaviour"),
        "faults": at("/faults"),
        "calls": at("/calls"),
        "consent": at("/consent"),
        "reset": at("/reset"),
        "actions": crate::simulator::Action::ALL
            .iter()
            .map(|action| action.name())
            .collect::<Vec<_>>(),
    }))
}
