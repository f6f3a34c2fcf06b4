//! Time, behaviour, faults, the log of calls, consent, and a new beginning.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::super::login;
use super::cases::EmptyBody;
use super::input::{body, number, query};
use super::{Answer, Problem};
use crate::endpoints::Operation;
use crate::simulator::App;
use crate::simulator::snapshot::time;
use crate::simulator::{Behaviour, Call, DEMO, Faults, InvalidSettings, SimulatorState};

/// The year 9999, after which times cannot be written any more: seconds since 1970.
const LATEST: u64 = 253_370_764_800;

pub(super) async fn clock(State(shared): App) -> Json<Value> {
    Json(clock_of(&shared))
}

fn clock_of(shared: &SimulatorState) -> Value {
    json!({ "now": time(shared.world().now()), "mode": shared.initial.clock })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceRequest {
    seconds: f64,
    /// Whether people act meanwhile.
    #[serde(default)]
    people: bool,
}

pub(super) async fn advance(State(shared): App, bytes: Bytes) -> Answer {
    let advance: AdvanceRequest = body(&bytes)?;
    let by = Duration::try_from_secs_f64(advance.seconds).map_err(|_| too_far())?;
    if advance.people {
        // Each thing that people do is played, so a longer time would block the request for long.
        let year = Duration::from_secs(366 * 24 * 60 * 60);
        if by > year {
            return Err(Problem::bad_request("people act for a year at most"));
        }
        let end = shared.world().now() + by;
        while shared.step(Some(end)).is_some() {}
        // After the last action before the end some time is left. A clock that runs by itself may
        // be past the end.
        let rest = end.duration_since(shared.world().now());
        move_on(&shared, rest.unwrap_or_default())?;
    } else {
        move_on(&shared, by)?;
    }
    Ok(Json(clock_of(&shared)))
}

/// Lets time pass, as far as times can be written.
pub(in crate::simulator) fn move_on(shared: &SimulatorState, by: Duration) -> Result<(), Problem> {
    let mut world = shared.world();
    let then = world.now().checked_add(by).ok_or_else(too_far)?;
    let since = then.duration_since(SystemTime::UNIX_EPOCH);
    if since.is_ok_and(|since| since.as_secs() > LATEST) {
        return Err(too_far());
    }
    world.advance(by);
    Ok(())
}

fn too_far() -> Problem {
    Problem::bad_request("`seconds` must be 0 or more, and lead to a time before the year 9999")
}

pub(super) async fn behaviour(State(shared): App) -> Answer {
    written(&*shared.world().behaviour)
}

pub(super) async fn set_behaviour(State(shared): App, bytes: Bytes) -> Answer {
    let behaviour = Behaviour::from_json(text(&bytes)?)?;
    // Before the behaviour moves into the world.
    let answer = written(&behaviour);
    shared.world().set_behaviour(behaviour);
    answer
}

pub(super) async fn faults(State(shared): App) -> Answer {
    written(&*shared.world().faults)
}

pub(super) async fn set_faults(State(shared): App, bytes: Bytes) -> Answer {
    let faults = Faults::from_json(text(&bytes)?)?;
    let answer = written(&faults);
    shared.world().set_faults(faults);
    shared.calls().count_anew();
    answer
}

fn text(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| Problem::bad_request("the body is no text"))
}

fn written<T: Serialize>(settings: &T) -> Answer {
    let value = serde_json::to_value(settings);
    // Settings are plain data.
    value
        .map(Json)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// What cannot be played is the request's mistake, and the error says which.
impl From<InvalidSettings> for Problem {
    fn from(error: InvalidSettings) -> Self {
        Problem::bad_request(error.to_string())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallQuery {
    after: Option<String>,
    operation: Option<String>,
    limit: Option<String>,
}

pub(super) async fn calls(State(shared): App, RawQuery(text): RawQuery) -> Answer {
    let wanted: CallQuery = query(text.as_deref())?;
    let after = number("after", wanted.after.as_deref(), 0)?;
    let limit = number("limit", wanted.limit.as_deref(), u64::MAX)?;
    let operation = match wanted.operation {
        None => None,
        Some(name) => Some(
            Operation::from_name(&name)
                .ok_or_else(|| Problem::bad_request("`operation` is unknown"))?,
        ),
    };
    let calls = shared.calls_from(after.saturating_add(1));
    let found = calls
        .iter()
        .filter(|call| operation.is_none_or(|wanted| call.operation == wanted))
        .take(usize::try_from(limit).unwrap_or(usize::MAX));
    let found = found.map(call_json).collect::<Vec<_>>();
    Ok(Json(
        json!({ "calls": found, "total": shared.calls().total() }),
    ))
}

fn call_json(call: &Call) -> Value {
    json!({
        "number": call.number,
        "at": time(call.at),
        "operation": call.operation.name(),
        "method": call.operation.method().as_str(),
        "path": call.path,
        "status": call.status,
        "length": call.length,
        "faults": call.faults,
    })
}

pub(super) async fn forget_calls(State(shared): App) -> StatusCode {
    shared.calls().forget();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentRequest {
    /// The authorization request: what the software would have a browser open.
    url: Url,
    login: Option<String>,
    #[serde(default = "yes")]
    agree: bool,
}

fn yes() -> bool {
    true
}

pub(super) async fn consent(State(shared): App, bytes: Bytes) -> Answer {
    let consent: ConsentRequest = body(&bytes)?;
    let query = consent.url.query().unwrap_or_default();
    let user = consent.login.as_deref().unwrap_or(DEMO);
    let redirect = if consent.agree {
        login::consent(&shared, query, user)
    } else {
        login::decline(query)
    };
    let redirect = redirect.map_err(Problem::bad_request)?;
    Ok(Json(json!({ "redirect": redirect })))
}

pub(super) async fn reset(State(shared): App, bytes: Bytes) -> Answer<StatusCode> {
    let _: EmptyBody = body(&bytes)?;
    shared.reset();
    Ok(StatusCode::NO_CONTENT)
}
