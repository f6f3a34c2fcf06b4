//! The page on which a user signs in and agrees, and what replaces it in tests.
//!
//! No password is asked for, and none must be. Errors go to the redirect URL only once it is known to
//! be registered (RFC 6749 section 4.1.2.1): until then they are a page.

use std::collections::BTreeSet;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::super::grants::Code;
use super::super::html::{self, Text, hidden};
use super::super::world::World;
use super::super::{CLIENT_ID, DEMO, REDIRECT_URL, SimulatorState};
use super::Problem;
use super::guard::{check_host, check_origin};
use crate::endpoints::origin::is_loopback;
use crate::model::AccountId;
use crate::simulator::App;

/// The parameters of the sign-in page: RFC 6749 section 4.1.1 and RFC 7636 section 4.3.
#[derive(Debug, Deserialize)]
struct AuthorizationRequest {
    #[serde(default)]
    response_type: String,
    client_id: String,
    redirect_uri: String,
    state: Option<String>,
    scope: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    /// `yes` means to sign in and agree, `no` to decline.
    consent: Option<String>,
    /// Who signs in; the one who may act for all labs, if nobody is named.
    login: Option<String>,
}

/// Why there is no code.
#[derive(Debug)]
enum SignInRefusal {
    /// Nobody can be sent back: the application that asks is not known.
    Page(&'static str),
    /// The software gets an error, as section 4.1.2.1 says.
    Redirect(Url, &'static str),
}

impl SignInRefusal {
    fn words(self) -> &'static str {
        match self {
            SignInRefusal::Page(what) | SignInRefusal::Redirect(_, what) => what,
        }
    }
}

impl AuthorizationRequest {
    fn parse(query: &[u8]) -> Result<Self, SignInRefusal> {
        let fields = url::form_urlencoded::parse(query)
            .map(|(key, value)| (key.into_owned(), Value::String(value.into_owned())))
            .collect();
        let request: AuthorizationRequest = serde_json::from_value(Value::Object(fields))
            .map_err(|_| SignInRefusal::Page("client_id or redirect_uri is missing"))?;
        if !matches!(request.consent.as_deref(), None | Some("yes" | "no")) {
            return Err(SignInRefusal::Page("consent must be yes or no"));
        }
        if request.client_id != CLIENT_ID {
            return Err(SignInRefusal::Page("the client_id is unknown"));
        }
        let redirect = Url::parse(&request.redirect_uri)
            .map_err(|_| SignInRefusal::Page("redirect_uri is no URL"))?;
        // RFC 8252, section 7.3: native programs listen on a loopback port of their own choice.
        if request.redirect_uri != REDIRECT_URL && !is_loopback(&redirect) {
            return Err(SignInRefusal::Page("the redirect_uri is not registered"));
        }
        // From here on the redirect URI is known to be good: errors go there, as RFC 6749, section
        // 4.1.2.1 demands.
        if request.response_type != "code" {
            let back = request.back(redirect, "error", "unsupported_response_type");
            return Err(SignInRefusal::Redirect(back, "response_type must be code"));
        }
        let challenged = request.code_challenge.is_some();
        // `plain`, the default of RFC 7636, protects less and is not accepted.
        if challenged && request.code_challenge_method.as_deref() != Some("S256") {
            let back = request.back(redirect, "error", "invalid_request");
            return Err(SignInRefusal::Redirect(
                back,
                "code_challenge_method must be S256",
            ));
        }
        Ok(request)
    }

    /// The redirect URL with an answer; its own query stays.
    fn back(&self, mut redirect: Url, name: &str, value: &str) -> Url {
        redirect.query_pairs_mut().append_pair(name, value);
        if let Some(state) = &self.state {
            redirect.query_pairs_mut().append_pair("state", state);
        }
        redirect
    }

    fn grant(&self, world: &mut World, login: &str) -> Result<Url, &'static str> {
        if !world.logins.contains_key(login) {
            return Err("there is no such login");
        }
        if world.behaviour.pkce_required && self.code_challenge.is_none() {
            return Err("code_challenge is missing");
        }
        let redirect = Url::parse(&self.redirect_uri).map_err(|_| "redirect_uri is no URL")?;
        let code = world.token("code");
        let redirect = self.back(redirect, "code", &code);
        let grant = Code {
            redirect_uri: self.redirect_uri.clone(),
            challenge: self.code_challenge.clone(),
            login: login.to_owned(),
        };
        // Codes do not expire here: a test signs in at once, and a clock that runs fast must not stop
        // it.
        world.codes.insert(code, grant);
        Ok(redirect)
    }

    fn decline(&self) -> Result<Url, &'static str> {
        let redirect = Url::parse(&self.redirect_uri).map_err(|_| "redirect_uri is no URL")?;
        Ok(self.back(redirect, "error", "access_denied"))
    }

    /// The form carries the request; what is not known of it is left out.
    fn fields(&self) -> String {
        [
            ("response_type", Some(&self.response_type)),
            ("client_id", Some(&self.client_id)),
            ("redirect_uri", Some(&self.redirect_uri)),
            ("state", self.state.as_ref()),
            ("scope", self.scope.as_ref()),
            ("code_challenge", self.code_challenge.as_ref()),
            ("code_challenge_method", self.code_challenge_method.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(hidden(name, value?)))
        .collect()
    }
}

/// What happens when a user signs in and agrees.
pub(in crate::simulator) fn consent(
    shared: &SimulatorState,
    query: &str,
    login: &str,
) -> Result<Url, &'static str> {
    let request = AuthorizationRequest::parse(query.as_bytes()).map_err(SignInRefusal::words)?;
    request.grant(&mut shared.world(), login)
}

/// What happens when a user declines.
pub(super) fn decline(query: &str) -> Result<Url, &'static str> {
    AuthorizationRequest::parse(query.as_bytes())
        .map_err(SignInRefusal::words)?
        .decline()
}

/// The authorization endpoint: the page, or, with `consent` in the query, what its buttons do.
pub(super) async fn authorize(
    State(shared): App,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    if let Err(problem) = check_host(&shared, &headers) {
        return problem.into_response();
    }
    let request = match AuthorizationRequest::parse(query.unwrap_or_default().as_bytes()) {
        Ok(request) => request,
        Err(refusal) => return refused(refusal, &headers),
    };
    match request.consent.as_deref() {
        None => html::answer(StatusCode::OK, page(&shared, &request), &target(&request)),
        Some(consent) => decide(&shared, &request, consent),
    }
}

/// What the page's form sends.
pub(super) async fn sign_in(State(shared): App, headers: HeaderMap, form: Bytes) -> Response {
    if let Err(problem) = check_origin(&shared, &headers) {
        return problem.into_response();
    }
    match AuthorizationRequest::parse(&form) {
        Ok(request) => {
            let consent = request.consent.as_deref().unwrap_or_default();
            decide(&shared, &request, consent)
        }
        Err(refusal) => refused(refusal, &headers),
    }
}

fn decide(shared: &SimulatorState, request: &AuthorizationRequest, consent: &str) -> Response {
    let to = match consent {
        "yes" => {
            let login = request.login.as_deref().unwrap_or(DEMO);
            request.grant(&mut shared.world(), login)
        }
        "no" => request.decline(),
        _ => Err("consent must be yes or no"),
    };
    match to {
        Ok(url) => Redirect::to(url.as_str()).into_response(),
        Err(what) => Problem::bad_request(what).into_response(),
    }
}

fn refused(refusal: SignInRefusal, headers: &HeaderMap) -> Response {
    let what = match refusal {
        SignInRefusal::Redirect(url, _) => return Redirect::to(url.as_str()).into_response(),
        SignInRefusal::Page(what) => what,
    };
    if !html::is_wanted(headers) {
        return Problem::bad_request(what).into_response();
    }
    let body = format!(
        r#"<main class="sheet"><img src="/_simulator/icon.svg" alt="">
<h1>This request cannot be answered</h1>
<p>{}.</p>
<p class="foot">The simulator knows one application, <code>{CLIENT_ID}</code>, with the redirect URL
<code>{REDIRECT_URL}</code> or one on this machine.</p></main>"#,
        Text(what)
    );
    let page = html::page("Sign in", "login", false, &body);
    html::answer(StatusCode::BAD_REQUEST, page, "")
}

/// Where the form may lead to: the redirect URL's origin, which is registered or this machine.
fn target(request: &AuthorizationRequest) -> String {
    Url::parse(&request.redirect_uri)
        .map(|url| format!(" {}", url.origin().ascii_serialization()))
        .unwrap_or_default()
}

fn page(shared: &SimulatorState, request: &AuthorizationRequest) -> String {
    let world = shared.world();
    let users: String = world
        .logins
        .iter()
        .map(|(name, labs)| user(&world, name, labs.as_ref()))
        .collect();
    drop(world);
    let scope = request.scope.as_deref().filter(|scope| !scope.is_empty());
    let scope = scope.map_or(String::new(), |scope| {
        format!("<p>It asks for <code>{}</code>.</p>", Text(scope))
    });
    let host = Url::parse(&request.redirect_uri)
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default();
    let body = format!(
        r#"<main class="sheet">
<img src="/_simulator/icon.svg" alt="">
<h1>Sign in to the simulator</h1>
<p>The application <strong>{client}</strong> asks to receive the cases of your labs and to return scans.</p>
{scope}
<form method="post" action="/_simulator/sign-in">
{fields}
<fieldset><legend>Sign in as</legend>
{users}
</fieldset>
<div class="buttons">
<button type="submit" name="consent" value="no">Decline</button>
<button type="submit" name="consent" value="yes" class="primary">Sign in and agree</button>
</div>
</form>
<p class="foot">You will be sent back to <code>{host}</code>. These users are simulated: no password is asked for,
and none should be typed anywhere here. A real user signs in on MyiTero's own page.</p>
</main>"#,
        client = Text(&request.client_id),
        fields = request.fields(),
        host = Text(host),
    );
    html::page("Sign in to the simulator", "login", false, &body)
}

/// A user to choose, with the labs that they may act for. The one for all labs is chosen at first.
fn user(world: &World, name: &str, labs: Option<&BTreeSet<AccountId>>) -> String {
    let checked = if name == DEMO { " checked" } else { "" };
    let labs = match labs {
        None => "all labs".to_owned(),
        Some(labs) => {
            let named = |id: &AccountId| {
                let known = world.account(id);
                known.map_or_else(|| id.to_string(), |lab| lab.name.clone())
            };
            labs.iter().map(named).collect::<Vec<_>>().join(", ")
        }
    };
    format!(
        r#"<label><input type="radio" name="login" value="{name}"{checked}><span>{name}<small>{labs}</small></span></label>"#,
        name = Text(name),
        labs = Text(labs),
    )
}
