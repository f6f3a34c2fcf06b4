//! The service as software sees it: one handler for each operation.
//!
//! Every handler locks the world for a moment and must not await while it does. What goes wrong is
//! no matter of the handlers: see `fault_injection`.

mod auth;
mod contract;
pub(super) mod control;
mod effects;
mod fault_injection;
pub(super) mod guard;
mod input;
mod listing;
mod login;
mod orders;
mod shape;
mod tool;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodFilter, get, on, post};
use axum::{Extension, Router};
use serde_json::{Value, json};

use super::behaviour::{Behaviour, DiscoveryForm};
use super::grants::Owner;
use super::{App, SimulatorState};
use crate::endpoints::Operation;
use crate::model::AccountId;
use effects::Effects;

pub(super) use login::consent;
pub(super) use shape::{id_in, key_in, sha256};

/// Each operation at its conventional method and path: the table of [`Operation`] is the only
/// place that knows them.
pub(super) fn router(shared: Arc<SimulatorState>, pages: Router<Arc<SimulatorState>>) -> Router {
    // Get Token and Refresh Token share one path.
    let served = Operation::ALL
        .iter()
        .filter(|operation| **operation != Operation::RefreshToken);
    let mut router = Router::new();
    for operation in served {
        // The table has only methods that a filter knows.
        let methods = MethodFilter::try_from(operation.method()).unwrap_or(MethodFilter::GET);
        let handler = match operation {
            Operation::Authorization => on(methods, login::authorize),
            Operation::GetToken | Operation::RefreshToken => on(methods, auth::token),
            Operation::RevokeToken => on(methods, auth::revoke),
            Operation::Discovery => on(methods, discovery),
            Operation::GetAccounts => on(methods, auth::accounts),
            Operation::Pair => on(methods, auth::pair),
            Operation::Unpair => on(methods, auth::unpair),
            Operation::GetOrders => on(methods, listing::list),
            Operation::GetOrderByRxId => on(methods, orders::by_rx),
            Operation::DownloadAsset => on(methods, orders::asset),
            Operation::ReturnScan => on(methods, orders::return_scan),
            Operation::CreateNewOrder => on(methods, tool::create),
            Operation::CreateNewOrderByRx => on(methods, tool::create_by_rx),
            Operation::AvailableProcedureMaps => on(methods, tool::procedures),
        };
        let state = (Arc::clone(&shared), *operation);
        let handler = handler
            // Inside of the faults: what they put in place of an answer is not put into other words.
            .layer(map_response(input::in_our_words))
            .layer(from_fn_with_state(state, fault_injection::call));
        router = router.route(&SimulatorState::path(*operation), handler);
    }
    router
        .route("/openapi.yaml", get(contract::openapi))
        .route("/_simulator/sign-in", post(login::sign_in))
        .merge(pages)
        .merge(control::router(&shared))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not_found", "no such endpoint"))
        .with_state(shared)
}

/// The origin of signed URLs.
pub(super) fn files_router(shared: Arc<SimulatorState>) -> Router {
    let state = (Arc::clone(&shared), Operation::DownloadAsset);
    let handler = get(orders::signed).layer(from_fn_with_state(state, fault_injection::call));
    Router::new()
        .route("/files/{number}/{revision}/{name}", handler)
        .with_state(shared)
}

async fn discovery(State(shared): App, Extension(effects): Extension<Effects>) -> Response {
    let behaviour = shared.world().behaviour.clone();
    let endpoints = match effects.other_region {
        true => &shared.other_region,
        false => &shared.endpoints,
    };
    let json = endpoints.to_json();
    let domain = json.get("base_url").cloned();
    let body = match behaviour.discovery {
        DiscoveryForm::Endpoints => json,
        DiscoveryForm::List => Operation::ALL
            .iter()
            .map(|operation| {
                json!({
                    "name": operation.title(),
                    "method": operation.method().as_str(),
                    "domain": domain,
                    "path": operation.path(),
                })
            })
            .collect(),
        DiscoveryForm::Domain => {
            let paths = Operation::ALL.iter();
            let paths =
                paths.map(|operation| (operation.name().to_owned(), operation.path().into()));
            json!({ "domain": domain, "endpoints": Value::Object(paths.collect()) })
        }
    };
    // Names of operations are not keys that are spelled in some way.
    Json(body).into_response()
}

/// An error answer.
#[derive(Clone)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Problem {
            status,
            code,
            message: message.into(),
        }
    }

    fn unauthorized() -> Self {
        let message = "there is no access token, or it is expired or revoked";
        Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", message)
    }

    fn not_found(what: &str) -> Self {
        Problem::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("no such {what}"),
        )
    }

    /// There is no such thing, with the status that says so.
    fn missing(behaviour: &Behaviour, what: &str) -> Self {
        let status = StatusCode::from_u16(behaviour.missing_code);
        Problem {
            status: status.unwrap_or(StatusCode::NOT_FOUND),
            ..Problem::not_found(what)
        }
    }

    fn expired(behaviour: &Behaviour) -> Self {
        let status = StatusCode::from_u16(behaviour.expired_code);
        let status = status.unwrap_or(StatusCode::FORBIDDEN);
        Problem::new(status, "expired", "the URL is not good, or no longer")
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.code, "error_description": self.message }));
        let mut response = (self.status, body).into_response();
        // The layer around the handlers may spell it in another way.
        response.extensions_mut().insert(self.clone());
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static(match self.code {
                "invalid_token" => "Bearer",
                _ => "Basic realm=\"simulator\"",
            });
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Whose the request's access token is.
fn owner(shared: &SimulatorState, headers: &HeaderMap) -> Result<Owner, Problem> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or_else(Problem::unauthorized)?;
    let world = shared.world();
    match world.access.get(token) {
        // By the simulated time, so that tests need not wait an hour.
        Some(grant) if world.now() < grant.expires_at => Ok(grant.owner.clone()),
        _ => Err(Problem::unauthorized()),
    }
}

/// The account of the path, if it is paired and the request's token is its own.
fn account(shared: &SimulatorState, headers: &HeaderMap, id: &str) -> Result<AccountId, Problem> {
    let account = AccountId::from(id);
    // A login's token is refused here: that pairing issues tokens of its own is documented.
    if owner(shared, headers)? != Owner::Account(account.clone()) {
        let message = "the token is not this account's: pair first";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    Ok(account)
}
