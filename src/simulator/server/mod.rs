//! The service as software sees it.

mod auth;
mod contract;
pub(super) mod control;
mod effects;
pub(super) mod guard;
mod listing;
mod login;
mod orders;
mod record;
mod shape;
mod tool;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodFilter, get, on, post};
use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::world::Owner;
use super::{Shared, board};
use crate::endpoints::Operation;
use crate::model::AccountId;

pub(super) use listing::Pages;
pub(super) use login::consent;
pub(super) use shape::sha256;

pub(super) type App = State<Arc<Shared>>;

/// Each operation at its conventional method and path: the table of [`Operation`] is the only
/// place that knows them.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    // Get Token and Refresh Token share one path.
    let served = Operation::ALL
        .iter()
        .filter(|operation| **operation != Operation::RefreshToken);
    let mut router = Router::new();
    for operation in served {
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
        let log = from_fn_with_state((Arc::clone(&shared), *operation), record::record);
        router = router.route(&Shared::path(*operation), handler.layer(log));
    }
    router
        .route("/openapi.yaml", get(contract::openapi))
        .route("/_simulator/sign-in", post(login::sign_in))
        .merge(board::router())
        .merge(control::router(&shared))
        .layer(axum::Extension(effects::Effects::default()))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not_found", "no such endpoint"))
        .with_state(shared)
}

/// The origin of signed URLs.
pub(super) fn files_router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/files/{number}/{revision}/{name}", get(orders::signed))
        .layer(axum::Extension(effects::Effects::default()))
        .with_state(shared)
}

async fn discovery(State(shared): App) -> Json<Value> {
    Json(shared.endpoints.to_json())
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
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Whose the request's access token is.
fn owner(shared: &Shared, headers: &HeaderMap) -> Result<Owner, Problem> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or_else(Problem::unauthorized)?;
    let world = shared.world();
    match world.access.get(token) {
        Some(grant) if world.now() < grant.expires_at => Ok(grant.owner.clone()),
        _ => Err(Problem::unauthorized()),
    }
}

/// The account of the path, if it is paired and the request's token is its own.
fn account(shared: &Shared, headers: &HeaderMap, id: &str) -> Result<AccountId, Problem> {
    let account = AccountId::from(id);
    if owner(shared, headers)? != Owner::Account(account.clone()) {
        let message = "the token is not this account's: pair first";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    Ok(account)
}
