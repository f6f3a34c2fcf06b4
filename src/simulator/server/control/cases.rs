//! Labs and cases, with their truth.
//!
//! What is true and what was seen, for a test in any language. A notification URL must not be shown: it
//! may have a key in it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::input::{body, number, query};
use super::{Answer, Problem};
use crate::flow::Phase;
use crate::model::{AccountId, OrderId};
use crate::simulator::App;
use crate::simulator::case::Case;
use crate::simulator::snapshot::Snapshot;
use crate::simulator::{Action, SimulatorState};
use crate::status::OrderStatus;

type CreatedAnswer = (StatusCode, Json<Value>);

/// How many cases one answer holds at most.
const MOST: u64 = 1000;

pub(super) async fn labs(State(shared): App) -> Json<Value> {
    let world = shared.world();
    // A notification URL may have a key in it: the answer says only that there is one.
    let labs = world.accounts().into_iter().map(|lab| {
        json!({
            "accountId": lab.id,
            "name": lab.name,
            "paired": lab.paired,
            "notified": lab.notification_url.is_some(),
        })
    });
    Json(json!({ "labs": labs.collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewLab {
    account_id: String,
    name: String,
}

pub(super) async fn add_lab(State(shared): App, bytes: Bytes) -> Answer<CreatedAnswer> {
    let lab: NewLab = body(&bytes)?;
    if lab.account_id.is_empty() {
        return Err(Problem::bad_request("`accountId` is empty"));
    }
    let id = AccountId::new(lab.account_id);
    let mut world = shared.world();
    // `add_account` would rename it, which a test hardly means.
    if world.account(&id).is_some() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "there is a lab of this id",
        ));
    }
    let answer = json!({ "accountId": id, "name": lab.name, "paired": false, "notified": false });
    world.add_account(id, &lab.name);
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn scan(
    State(shared): App,
    Path(account): Path<String>,
    bytes: Bytes,
) -> Answer<CreatedAnswer> {
    let _: EmptyBody = body(&bytes)?;
    let order = shared.scan(&account.into())?;
    Ok((StatusCode::CREATED, case_json(&shared, &order)?))
}

pub(super) async fn prescribe(
    State(shared): App,
    Path(account): Path<String>,
    bytes: Bytes,
) -> Answer<CreatedAnswer> {
    let _: EmptyBody = body(&bytes)?;
    let order = shared.prescribe(&account.into())?;
    Ok((StatusCode::CREATED, case_json(&shared, &order)?))
}

/// A body that says nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyBody {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseQuery {
    account: Option<String>,
    phase: Option<String>,
    status: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

pub(super) async fn list(State(shared): App, RawQuery(text): RawQuery) -> Answer {
    let wanted: CaseQuery = query(text.as_deref())?;
    // More would be one answer of many megabytes; `next` leads on.
    let limit = number("limit", wanted.limit.as_deref(), 100)?.min(MOST);
    let phase = match wanted.phase {
        None => None,
        Some(name) => Some(
            Phase::from_name(&name).ok_or_else(|| Problem::bad_request("`phase` is unknown"))?,
        ),
    };
    let status = wanted.status.map(OrderStatus::from);
    let account = wanted.account.map(AccountId::new);
    let world = shared.world();
    let first = match wanted.after {
        None => 0,
        Some(after) => {
            let place = world.place_of(&OrderId::new(after));
            place.ok_or_else(|| Problem::bad_request("`after` is no case"))? + 1
        }
    };
    let fits = |case: &&Case| {
        let account = account.as_ref();
        account.is_none_or(|id| world.account_of(case).is_some_and(|lab| lab.id == *id))
            && phase.is_none_or(|phase| case.phase() == phase)
            && status.as_ref().is_none_or(|status| case.status() == status)
    };
    let mut cases = Vec::new();
    let mut next = None;
    for case in (first..).map_while(|place| world.at(place)).filter(fits) {
        if cases.len() as u64 == limit {
            next = cases
                .last()
                .map(|case: &Snapshot| case.truth.order_id.clone());
            break;
        }
        cases.extend(Snapshot::of(&world, case));
    }
    // The JSON of a thousand cases takes a while: calls must not wait for it.
    drop(world);
    let cases = cases.iter().map(Snapshot::to_json).collect::<Vec<_>>();
    Ok(Json(json!({ "cases": cases, "next": next })))
}

pub(super) async fn one(State(shared): App, Path(order): Path<String>) -> Answer {
    case_json(&shared, &order.into())
}

pub(super) async fn act(
    State(shared): App,
    Path((order, action)): Path<(String, String)>,
    bytes: Bytes,
) -> Answer {
    let _: EmptyBody = body(&bytes)?;
    let action = action
        .parse::<Action>()
        .map_err(|unknown| Problem::new(StatusCode::NOT_FOUND, unknown.to_string()))?;
    let order = OrderId::new(order);
    shared.act(&order, action)?;
    case_json(&shared, &order)
}

fn case_json(shared: &SimulatorState, order: &OrderId) -> Answer {
    let world = shared.world();
    let case = world
        .case(order)
        .and_then(|case| Snapshot::of(&world, case));
    let case = case.ok_or_else(|| Problem::not_found("case"))?;
    drop(world);
    Ok(Json(case.to_json()))
}
