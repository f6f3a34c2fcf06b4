//! Authorization, tokens, accounts and pairing.
//!
//! By RFC 6749, 7009 and 7636 where Align documents nothing else. How tokens rotate and end is in
//! `tokens`; here is what comes over HTTP. An answer must not say more than a real service would: why a
//! code is refused, but not whether an account of another login exists.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use base64::Engine as _;
use bytes::Bytes;
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::super::behaviour::Lists;
use super::super::grants::{Owner, TOKEN_LIFE};
use super::super::tokens::IssuedTokens;
use super::super::world::World;
use super::super::{CLIENT_ID, CLIENT_SECRET};
use super::effects::Effects;
use super::input;
use super::shape::{self, Shape};
use super::{Problem, account, owner};
use crate::model::AccountId;
use crate::simulator::App;

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    redirect_uri: String,
    code_verifier: Option<String>,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    token: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

impl TokenRequest {
    /// The client shows its id and secret by Basic authentication or in the body.
    fn check_client(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let basic = format!("{CLIENT_ID}:{CLIENT_SECRET}");
        let by_header = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
            // A header that is no base64 is a wrong one, not an error of its own.
            .and_then(|value| base64::engine::general_purpose::STANDARD.decode(value).ok())
            .is_some_and(|pair| pair == basic.as_bytes());
        let by_body = self.client_id.as_deref() == Some(CLIENT_ID)
            && self.client_secret.as_deref() == Some(CLIENT_SECRET);
        if by_header || by_body {
            Ok(())
        } else {
            let message = "the client id or secret is wrong";
            Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                message,
            ))
        }
    }
}

pub(super) async fn token(
    State(shared): App,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let request: TokenRequest = input::form(&headers, &body)?;
    request.check_client(&headers)?;
    let mut world = shared.world();
    match request.grant_type.as_str() {
        "authorization_code" => {
            // Removed before it is checked: a code that was shown once is used up, even with a
            // wrong redirect URI or verifier.
            let code = world.codes.remove(&request.code);
            let code = code.ok_or_else(|| invalid_grant("the code is unknown or used"))?;
            // RFC 6749, section 4.1.3.
            if code.redirect_uri != request.redirect_uri {
                return Err(invalid_grant("the redirect_uri is another one"));
            }
            let proved = match (code.challenge, request.code_verifier) {
                // Without a challenge there is nothing to prove; `pkce_required` refuses such
                // requests earlier.
                (None, _) => true,
                (Some(challenge), Some(verifier)) => {
                    let verifier = PkceCodeVerifier::new(verifier);
                    let right = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
                    right.as_str() == challenge
                }
                (Some(_), None) => false,
            };
            if !proved {
                return Err(invalid_grant("the code_verifier does not fit"));
            }
            let family = world.refresh.new_family();
            let issued = world.issue(Owner::Login(code.login), family, true);
            Ok(Json(tokens(issued)))
        }
        "refresh_token" => {
            let issued = world
                .exchange(&request.refresh_token)
                .ok_or_else(|| invalid_grant("the refresh_token is unknown, used or revoked"))?;
            Ok(Json(tokens(issued)))
        }
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "unsupported_grant_type",
            "grant_type must be authorization_code or refresh_token",
        )),
    }
}

fn invalid_grant(message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_grant", message)
}

/// As RFC 6749 has it, section 5.1.
fn tokens(issued: IssuedTokens) -> Value {
    let mut tokens = json!({
        "access_token": issued.access,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFE.as_secs(),
    });
    if let (Some(fields), Some(refresh)) = (tokens.as_object_mut(), issued.refresh) {
        fields.insert("refresh_token".to_owned(), refresh.into());
    }
    tokens
}

/// RFC 7009: a token that is not known is no error. With a refresh token its owner's access
/// tokens end too.
pub(super) async fn revoke(
    State(shared): App,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let request: TokenRequest = input::form(&headers, &body)?;
    request.check_client(&headers)?;
    if request.token.is_empty() {
        return Err(input::invalid("token is missing"));
    }
    let mut world = shared.world();
    // The request does not say which kind of token it is: both are tried.
    world.access.remove(&request.token);
    if let Some(owner) = world.refresh.remove(&request.token) {
        world.access.retain(|_, grant| grant.owner != owner);
    }
    Ok(shape::done(&world.behaviour, world.behaviour.revoke_code))
}

pub(super) async fn accounts(
    State(shared): App,
    Extension(effects): Extension<Effects>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let owner = owner(&shared, &headers)?;
    let world = shared.world();
    let behaviour = world.behaviour.clone();
    let shape = Shape {
        shared: &shared,
        world: &world,
        behaviour: &behaviour,
        effects: &effects,
    };
    let accounts = world.accounts().into_iter();
    let accounts = accounts.filter(|account| may(&world, &owner, &account.id));
    let accounts = accounts.map(|account| {
        let id = shape.id(account.id.as_str());
        json!({ "accountId": id, "name": account.name, "paired": account.paired })
    });
    let accounts: Value = accounts.collect();
    let body = match behaviour.lists {
        Lists::Bare => accounts,
        Lists::Wrapped => json!({ "accounts": accounts }),
        Lists::Nested => json!({ "data": { "accounts": accounts } }),
    };
    Ok(shape::answer(&behaviour, StatusCode::OK, body))
}

/// What a login may act for. An account's own token does not say whose login it came from, and may
/// act for all: which accounts it sees at the service is not documented.
fn may(world: &World, owner: &Owner, account: &AccountId) -> bool {
    match owner {
        Owner::Login(login) => world.may(login, account),
        Owner::Account(_) => true,
    }
}

pub(super) async fn pair(
    State(shared): App,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let by = owner(&shared, &headers)?;
    let url = notification_url(&body)?;
    let id = AccountId::from(id);
    let mut world = shared.world();
    let behaviour = world.behaviour.clone();
    if !may(&world, &by, &id) {
        // As for an account that does not exist: by another answer a login would find out which
        // other labs there are.
        return Err(Problem::not_found("account"));
    }
    let account = world
        .account_mut(&id)
        .ok_or_else(|| Problem::not_found("account"))?;
    account.paired = true;
    account.notification_url = url;
    // After the account is marked, under the same lock: no call sees tokens without a pairing.
    let issued = world.pair(&by, id);
    let status = StatusCode::from_u16(behaviour.pair_code).unwrap_or(StatusCode::OK);
    // Tokens are OAuth's, and keep its keys.
    Ok((status, Json(tokens(issued))).into_response())
}

/// Where notifications are to go.
fn notification_url(body: &[u8]) -> Result<Option<String>, Problem> {
    match input::object(body)?.remove("notificationUrl") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if Url::parse(&text).is_ok_and(|url| url.has_host()) => {
            Ok(Some(text))
        }
        Some(_) => Err(Problem::bad_request("`notificationUrl` is no URL")),
    }
}

pub(super) async fn unpair(
    State(shared): App,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = account(&shared, &headers, &id)?;
    let mut world = shared.world();
    if let Some(account) = world.account_mut(&id) {
        account.paired = false;
        account.notification_url = None;
    }
    // The pairing is the right of the tokens: a token that outlived it could go on reading.
    world.end_tokens(&Owner::Account(id));
    Ok(shape::done(&world.behaviour, world.behaviour.unpair_code))
}
