//! Orders and their files.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::files::Kind;
use super::super::people::Refused;
use super::super::world::{Case, World};
use super::{App, Problem, account};
use crate::endpoints::Operation;
use crate::flow::Phase;
use crate::model::{AccountId, OrderId, RxId};
use crate::status::Symbol;

pub(super) async fn list(
    State(shared): App,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let id = account(&shared, &headers, &id)?;
    let world = shared.world();
    let orders = world
        .cases
        .values()
        .filter(|case| case.account == id && case.status().is_listed())
        .map(|case| order(&shared, case))
        .collect::<Vec<_>>();
    Ok(Json(json!({ "orders": orders })))
}

pub(super) async fn by_rx(
    State(shared): App,
    headers: HeaderMap,
    Path((id, rx_id)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let id = account(&shared, &headers, &id)?;
    let world = shared.world();
    let case = world
        .case_by_rx(&RxId::from(rx_id))
        .filter(|case| case.account == id)
        .ok_or_else(|| Problem::not_found("order"))?;
    Ok(Json(order(&shared, case)))
}

pub(super) async fn asset(
    State(shared): App,
    headers: HeaderMap,
    Path((id, order, asset)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let id = account(&shared, &headers, &id)?;
    let order = OrderId::from(order);
    let (kind, bytes) = {
        let world = shared.world();
        let case = case_of(&world, &id, &order)?;
        let kind = case.files.by_id(&asset);
        let kind = kind.ok_or_else(|| Problem::not_found("file"))?;
        (kind, case.files.make(kind))
    };
    // The id changes with the content, so it is a strong validator.
    let etag = format!("\"{asset}\"");
    let length = bytes.len();
    let mut answer_headers = HeaderMap::new();
    let mut set = |name, value: String| {
        // Ids and numbers are fit for headers.
        if let Ok(value) = value.parse() {
            answer_headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/zip".to_owned());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::ETAG, etag.clone());
    let (status, bytes, ends) = match asked_range(&headers, &etag, length) {
        None => (StatusCode::OK, bytes, true),
        Some(Err(())) => {
            set(header::CONTENT_RANGE, format!("bytes */{length}"));
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, answer_headers).into_response());
        }
        Some(Ok((first, last))) => {
            set(
                header::CONTENT_RANGE,
                format!("bytes {first}-{last}/{length}"),
            );
            let ends = last + 1 == length;
            (StatusCode::PARTIAL_CONTENT, bytes.slice(first..=last), ends)
        }
    };
    set(header::CONTENT_LENGTH, bytes.len().to_string());
    let body = Body::from_stream(pieces(bytes, move || {
        if kind == Kind::Export && ends {
            shared.world().downloaded(&order);
        }
    }));
    Ok((status, answer_headers, body).into_response())
}

/// The one range that is asked for, if it is to be given: first and last byte. `If-Range` with
/// another validator asks for the whole file, and so does a range that cannot be read.
fn asked_range(
    headers: &HeaderMap,
    etag: &str,
    length: usize,
) -> Option<Result<(usize, usize), ()>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let range = text(header::RANGE)?.strip_prefix("bytes=")?;
    if text(header::IF_RANGE).is_some_and(|validator| validator != etag) {
        return None;
    }
    let (first, last) = range.split_once('-')?;
    let range = if first.is_empty() {
        (
            length.saturating_sub(last.parse().ok()?),
            length.saturating_sub(1),
        )
    } else if last.is_empty() {
        (first.parse().ok()?, length.saturating_sub(1))
    } else {
        let last: usize = last.parse().ok()?;
        (first.parse().ok()?, last.min(length.saturating_sub(1)))
    };
    Some(if range.0 <= range.1 {
        Ok(range)
    } else {
        Err(())
    })
}

pub(super) async fn return_scan(
    State(shared): App,
    headers: HeaderMap,
    Path((id, order)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = account(&shared, &headers, &id)?;
    let order = OrderId::from(order);
    let mut world = shared.world();
    let case = case_of(&world, &id, &order)?;
    // Who holds it decides: the lab can return what it has.
    let with_lab = matches!(case.phase().shows(), Symbol::F | Symbol::R | Symbol::D);
    if !with_lab || !case.phase().may_be_followed_by().contains(Phase::Rescan) {
        let why: Refused = case.refuses("return to the doctor");
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "conflict",
            why.to_string(),
        ));
    }
    // Scanning is quiet: there is no notice.
    let _ = world.enter(&order, Phase::Rescan);
    Ok(StatusCode::NO_CONTENT)
}

fn case_of<'w>(
    world: &'w World,
    account: &AccountId,
    order: &OrderId,
) -> Result<&'w Case, Problem> {
    world
        .case(order)
        .filter(|case| case.account == *account)
        .ok_or_else(|| Problem::not_found("order"))
}

/// An order as it is sent. Keys are a convention.
fn order(shared: &Arc<Shared>, case: &Case) -> Value {
    let assets = Kind::ALL
        .into_iter()
        .filter(|_| case.files.exist())
        .map(|kind| {
            json!({
                "assetId": case.files.id(kind),
                "type": kind.wire_name(),
                "size": case.files.size(kind),
                "modifiedAt": time(case.files.modified),
                "url": url(shared, case, kind),
            })
        });
    json!({
        "orderId": case.id,
        "rxId": case.rx_id,
        "accountNumber": case.account,
        "status": case.status(),
        "createdAt": time(case.created),
        "modifiedAt": time(case.modified),
        "patient": {
            "firstName": case.patient.first_name,
            "lastName": case.patient.last_name,
        },
        "assets": assets.collect::<Vec<_>>(),
    })
}

fn url(shared: &Shared, case: &Case, kind: Kind) -> Option<String> {
    let asset_id = case.files.id(kind);
    let endpoint = shared.endpoints.resolve(Operation::DownloadAsset).ok()?;
    let variables = [
        ("account_id", case.account.as_str()),
        ("order_id", case.id.as_str()),
        ("asset_id", asset_id.as_str()),
    ];
    endpoint.template.expand(&variables).ok().map(String::from)
}

fn time(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| format!("{time:.3}"))
        .unwrap_or_default()
}

/// The bytes in pieces; `sent` is called when the last one goes out.
fn pieces(
    bytes: Bytes,
    sent: impl FnOnce() + Send + 'static,
) -> impl futures_core::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static {
    const PIECE: usize = 8 * 1024;
    stream::unfold((bytes, Some(sent)), |(mut bytes, mut sent)| async move {
        if bytes.is_empty() {
            return None;
        }
        let piece = bytes.split_to(PIECE.min(bytes.len()));
        if let Some(sent) = sent.take_if(|_| bytes.is_empty()) {
            sent();
        }
        Some((Ok(piece), (bytes, sent)))
    })
}
