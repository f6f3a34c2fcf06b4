//! Single orders and their files.
//!
//! *Problem.* What makes an order *Downloaded* is not documented, and is what software must be tried
//! against.
//!
//! *Approach.* Five answers as a switch. An order must be marked only by bytes that went out, and only
//! for the files that it has now.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;

use super::super::SimulatorState;
use super::super::behaviour::DownloadedBy;
use super::super::case::Case;
use super::super::files::{Files, Kind};
use super::super::refusal::Refusal;
use super::super::world::World;
use super::effects::Effects;
use super::input;
use super::shape::{self, Shape};
use super::{Problem, account};
use crate::flow::Phase;
use crate::model::{AccountId, OrderId, RxId};
use crate::simulator::App;
use crate::status::Symbol;

pub(super) async fn by_rx(
    State(shared): App,
    Extension(effects): Extension<Effects>,
    headers: HeaderMap,
    Path((id, rx_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id = account(&shared, &headers, &id)?;
    let mut world = shared.world();
    let behaviour = world.behaviour.clone();
    let missing = || Problem::missing(&behaviour, "order");
    let case = world
        .case_by_rx(&RxId::from(rx_id))
        .filter(|case| is_of(&world, case, &id) && world.shows(case))
        .ok_or_else(missing)?;
    let shape = Shape {
        shared: &shared,
        world: &world,
        behaviour: &behaviour,
        effects: &effects,
    };
    let order = shape.order(case, false).ok_or_else(missing)?;
    let order_id = case.id();
    // What will not arrive whole was not seen for certain.
    if !effects.broken
        && let Some(case) = world.case_mut(&order_id)
    {
        case.see();
    }
    Ok(shape::answer(&behaviour, StatusCode::OK, order))
}

pub(super) async fn asset(
    State(shared): App,
    Extension(effects): Extension<Effects>,
    method: Method,
    headers: HeaderMap,
    Path((id, order, asset)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let id = account(&shared, &headers, &id)?;
    let (files, kind) = {
        let world = shared.world();
        let case = case_of(&world, &id, &OrderId::from(order))?;
        let kind = Files::by_id(case.number, case.revision(), &asset);
        let kind = kind.ok_or_else(|| Problem::missing(&world.behaviour, "file"))?;
        if effects.expired_url {
            return Err(Problem::expired(&world.behaviour));
        }
        let entry = case.entries().last();
        let entry = entry.ok_or_else(|| Problem::missing(&world.behaviour, "file"))?;
        // What the files are made of is copied out: making a zip takes milliseconds, and must not
        // hold the lock.
        (world.files_of(case, entry), kind)
    };
    Ok(serve(&shared, &effects, &method, &headers, &files, kind))
}

/// What a signed URL says.
#[derive(Deserialize)]
pub(super) struct SignedQuery {
    /// Seconds since 1970.
    expires: u64,
    signature: String,
}

/// A file at the other origin: everybody who has the URL gets the file, and nobody else.
pub(super) async fn signed(
    State(shared): App,
    Extension(effects): Extension<Effects>,
    method: Method,
    headers: HeaderMap,
    Path((number, revision, kind)): Path<(u64, u16, String)>,
    Query(signed): Query<SignedQuery>,
) -> Result<Response, Problem> {
    // As stores of files do: two ways to prove oneself are one too many.
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(Problem::bad_request(
            "a signed URL takes no Authorization header",
        ));
    }
    let kind = Kind::ALL
        .into_iter()
        .find(|known| known.file_name() == kind);
    let kind = kind.ok_or_else(|| Problem::not_found("file"))?;
    let files = {
        let world = shared.world();
        let right = shared.signature(number, revision, kind, signed.expires);
        let now = world
            .now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH);
        let over = now.map_or(0, |now| now.as_secs()) >= signed.expires;
        // One answer for all three, as stores of files do. No constant time: the simulator protects
        // nothing.
        if signed.signature != right || over || effects.expired_url {
            return Err(Problem::expired(&world.behaviour));
        }
        let case = world.numbered(number);
        let case = case.ok_or_else(|| Problem::missing(&world.behaviour, "file"))?;
        // An older file stays for as long as its URL does.
        let mut entries = case.entries().iter();
        let entry = entries.find(|entry| entry.revision == revision);
        let entry = entry.ok_or_else(|| Problem::missing(&world.behaviour, "file"))?;
        world.files_of(case, entry)
    };
    Ok(serve(&shared, &effects, &method, &headers, &files, kind))
}

/// The file, or the part of it that is asked for.
fn serve(
    shared: &std::sync::Arc<SimulatorState>,
    effects: &Effects,
    method: &Method,
    headers: &HeaderMap,
    files: &Files,
    kind: Kind,
) -> Response {
    let behaviour = shared.world().behaviour.clone();
    let bytes = files.make(kind);
    // Changes with the content, so it is a strong validator.
    let etag = format!(
        "\"{}\"",
        kind.id(
            files.number,
            files.revision,
            crate::simulator::Ids::Text,
            false
        )
    );
    let length = bytes.len();
    let mut answer_headers = HeaderMap::new();
    let mut set = |name, value: String| {
        // Ids and numbers are fit for headers.
        if let Ok(value) = value.parse() {
            answer_headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/zip".to_owned());
    if behaviour.etags {
        set(header::ETAG, etag.clone());
    }
    if behaviour.asset_digests {
        let name = header::HeaderName::from_static("repr-digest");
        set(name, format!("sha-256=:{}:", base64_sha256(&bytes)));
    }
    let asked = if behaviour.ranges {
        set(header::ACCEPT_RANGES, "bytes".to_owned());
        asked_range(headers, &etag, length)
    } else {
        None
    };
    let (status, bytes, ends) = match asked {
        None => (StatusCode::OK, bytes, true),
        Some(Err(())) => {
            set(header::CONTENT_RANGE, format!("bytes */{length}"));
            return (StatusCode::RANGE_NOT_SATISFIABLE, answer_headers).into_response();
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
    let order = OrderId::new(files.number.to_string());
    let revision = files.revision;
    // Called when the answer goes out, with a lock of its own: the handler is done by then.
    let mark = move |shared: &SimulatorState| {
        let mut world = shared.world();
        // Files that were replaced meanwhile say nothing of those that there are now.
        if world
            .case(&order)
            .is_some_and(|case| case.revision() == revision)
        {
            world.downloaded(&order);
        }
    };
    let (at_once, at_end) = match (behaviour.downloaded_by, kind) {
        (DownloadedBy::AnyAsset, _) | (DownloadedBy::ZipRequested, Kind::Export) => (true, false),
        (DownloadedBy::ZipComplete, Kind::Export)
        | (DownloadedBy::ThumbnailsComplete, Kind::Thumbnails) => (false, true),
        _ => (false, false),
    };
    // A HEAD fetches nothing.
    if at_once && *method == Method::GET {
        mark(shared);
    }
    // A range that does not reach the end, or an answer that a fault cuts, leaves the order in the
    // list.
    let at_end = at_end && ends && !effects.broken;
    let shared = std::sync::Arc::clone(shared);
    let body = Body::from_stream(pieces(bytes, effects.bytes_per_second, move || {
        if at_end {
            mark(&shared);
        }
    }));
    (status, answer_headers, body).into_response()
}

fn base64_sha256(bytes: &[u8]) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(bytes))
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
    // RFC 9110, section 13.1.5: a condition that fails means the whole file, not an error.
    if text(header::IF_RANGE).is_some_and(|validator| validator != etag) {
        return None;
    }
    let (first, last) = range.split_once('-')?;
    let range = if first.is_empty() {
        (
            // `bytes=-N`, the last N bytes: more than there are means all.
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
    body: Bytes,
) -> Result<Response, Problem> {
    let id = account(&shared, &headers, &id)?;
    let order = OrderId::from(order);
    let mut world = shared.world();
    let behaviour = world.behaviour.clone();
    let case = case_of(&world, &id, &order)?;
    let reason = input::object(&body)?.remove("reason");
    if !matches!(reason, None | Some(Value::Null | Value::String(_))) {
        return Err(Problem::bad_request("`reason` is no text"));
    }
    if behaviour.return_needs_reason && !has_reason(&body) {
        return Err(Problem::bad_request("`reason` is missing"));
    }
    // Who holds it decides: the lab can return what it has.
    let with_lab = matches!(case.phase().shows(), Symbol::F | Symbol::R | Symbol::D);
    if !with_lab || !case.phase().may_be_followed_by().contains(Phase::Rescan) {
        let why: Refusal = case.refuses("return to the doctor");
        let status = StatusCode::from_u16(behaviour.conflict_code);
        return Err(Problem::new(
            status.unwrap_or(StatusCode::CONFLICT),
            "conflict",
            why.to_string(),
        ));
    }
    // Scanning is quiet: there is no notice.
    let _ = world.enter(&order, Phase::Rescan);
    Ok(shape::done(&behaviour, behaviour.return_code))
}

fn has_reason(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = body.get("reason").and_then(Value::as_str);
    reason.is_some_and(|reason| !reason.trim().is_empty())
}

fn case_of<'w>(
    world: &'w World,
    account: &AccountId,
    order: &OrderId,
) -> Result<&'w Case, Problem> {
    world
        .case(order)
        .filter(|case| is_of(world, case, account))
        .ok_or_else(|| Problem::missing(&world.behaviour, "order"))
}

fn is_of(world: &World, case: &Case, account: &AccountId) -> bool {
    let owner = world.account_of(case);
    owner.is_some_and(|owner| owner.id == *account)
}

/// The bytes in pieces; `sent` is called when the last one goes out.
fn pieces(
    bytes: Bytes,
    bytes_per_second: Option<u32>,
    sent: impl FnOnce() + Send + 'static,
) -> impl futures_core::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static {
    // In pieces, so that the last one is asked for only when those before it are on their way.
    const PIECE: usize = 8 * 1024;
    let whole = bytes.len();
    stream::unfold(
        (bytes, Some(sent)),
        move |(mut bytes, mut sent)| async move {
            if bytes.is_empty() {
                return None;
            }
            // The server buffers more than a piece: a slow file would count as fetched at once.
            if let Some(rate) = bytes_per_second.filter(|_| bytes.len() < whole) {
                tokio::time::sleep(Duration::from_secs_f64(PIECE as f64 / f64::from(rate))).await;
            }
            let piece = bytes.split_to(PIECE.min(bytes.len()));
            // When the last piece is handed to the server, not when it has arrived: that nobody can
            // know.
            if let Some(sent) = sent.take_if(|_| bytes.is_empty()) {
                sent();
            }
            Some((Ok(piece), (bytes, sent)))
        },
    )
}
