//! The scanning tool: scans without a scanner, for development. Documented are its names, Basic
//! authentication, lowerCamelCase JSON and its status codes.
//!
//! Its codes are documented and few, so that it must not answer with any other: bodies are read by
//! hand.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Json;
use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::prescription::{Patient, Procedure};
use super::super::world::World;
use super::super::{CLIENT_ID, CLIENT_SECRET};
use super::Problem;
use crate::flow::Phase;
use crate::model::{AccountId, OrderId, RxId};
use crate::simulator::App;

pub(super) async fn procedures(headers: HeaderMap) -> Result<Json<Value>, Problem> {
    check(&headers)?;
    let maps = Procedure::ALL
        .map(|procedure| json!({ "procedureMapId": procedure.id(), "name": procedure.name() }));
    Ok(Json(json!({ "procedureMaps": maps })))
}

pub(super) async fn create(
    State(shared): App,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    check(&headers)?;
    let body = read(&body)?;
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let required = |name: &str| {
        text(body.get(name)).ok_or_else(|| Problem::bad_request(format!("`{name}` is missing")))
    };
    let account = AccountId::new(required("companyId")?);
    // Required, and of no use here.
    required("scannerSerialNumber")?;
    let procedure = required("procedureMapId")?;
    let known = Procedure::ALL.iter();
    let procedure = known
        .copied()
        .find(|known| known.id().to_string() == procedure)
        .ok_or_else(|| Problem::bad_request("`procedureMapId` is unknown"))?;
    let name = |name: &str| body.get("patient").and_then(|patient| patient.get(name));
    let last_name = match name("lastName") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(name)) => name.clone(),
        Some(_) => return Err(Problem::bad_request("`patient.lastName` is no text")),
    };
    let patient = Patient {
        first_name: text(name("firstName").filter(|name| name.is_string()))
            .ok_or_else(|| Problem::bad_request("`patient.firstName` is missing"))?,
        last_name,
    };
    // The lock ends before the notice is posted, which locks again.
    let (order, notice) = {
        let mut world = shared.world();
        let order = world
            .prescribe(&account, Some((patient, procedure)))
            .ok_or_else(|| Problem::bad_request("`companyId` is unknown"))?;
        let notice = world.enter(&order, Phase::AtLab);
        (created(&world, &order), notice)
    };
    shared.post(notice);
    Ok(order)
}

pub(super) async fn create_by_rx(
    State(shared): App,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    check(&headers)?;
    let body = read(&body)?;
    let rx_id = body.get("rxId").and_then(Value::as_str);
    let rx_id = rx_id.ok_or_else(|| Problem::bad_request("`rxId` is missing"))?;
    let (order, notice) = {
        let mut world = shared.world();
        let case = world.case_by_rx(&RxId::from(rx_id));
        let case = case.ok_or_else(|| Problem::bad_request("`rxId` is unknown"))?;
        let to = match case.phase() {
            Phase::Scan => Phase::AtLab,
            Phase::Rescan => Phase::AtLabAgain,
            _ => return Err(Problem::bad_request(case.refuses("scan").to_string())),
        };
        let id = case.id();
        let notice = world.enter(&id, to);
        (created(&world, &id), notice)
    };
    shared.post(notice);
    Ok(order)
}

fn created(world: &World, order: &OrderId) -> Json<Value> {
    let rx_id = world.case(order).map(|case| world.rx_id(case));
    Json(json!({ "orderId": order, "rxId": rx_id }))
}

/// By hand: the extractor would answer with codes that the tool does not have, and before the
/// credentials are looked at.
fn read(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|_| Problem::bad_request("the body is not valid JSON"))
}

fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let expected =
        base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    if given == Some(expected.as_str()) {
        Ok(())
    } else {
        let message = "Basic authentication with the client id and secret is due";
        Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            message,
        ))
    }
}
