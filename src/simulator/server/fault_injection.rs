//! What goes wrong around a handler. Every call passes here.
//!
//! *Problem.* Faults concern three layers: the handler, its answer and the bytes on the connection.
//!
//! *Approach.* They are drawn once, before the handler runs. What the handler must know goes into
//! the request, what the connection must know is left with it, and the rest is done here. No lock
//! must be held while the handler runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::json;

use super::super::SimulatorState;
use super::super::behaviour::{Behaviour, ErrorBodies};
use super::super::calls::Call;
use super::super::faults::{Fault, Occasion, ResetAt};
use super::super::randomness::Stream;
use super::super::wire::{Cut, CutPoint, FaultPlan, FaultSlot};
use super::effects::Effects;
use super::{Problem, shape};
use crate::endpoints::Operation;

/// One call: draws what goes wrong, and plays it.
pub(super) async fn call(
    State((shared, operation)): State<(Arc<SimulatorState>, Operation)>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let (operation, mut request) = match token_operation(operation, request).await {
        Ok(known) => known,
        Err(response) => return response,
    };
    // Counted before anything can fail: the n-th call is the n-th that came.
    let number = shared.calls().count(Occasion::Call(operation));
    let account = params.iter().find(|(name, _)| *name == "account_id");
    let account = account.map(|(_, id)| id);
    let (behaviour, drawn, choice, now, own_time) = {
        let world = shared.world();
        let drawn = world
            .faults
            .draw(world.randomness, Occasion::Call(operation), number, account);
        let choice = if drawn.is_empty() {
            0
        } else {
            let place = (operation as u64) << 48;
            world
                .randomness
                // Inverted, so that no draw of `Faults::draw` has the same number.
                .nth(Stream::Faults, !(place ^ number))
                .u64(..)
        };
        let own_time = world.has_own_time();
        (
            world.behaviour.clone(),
            drawn,
            choice,
            world.now(),
            own_time,
        )
    };
    let mut call = Call {
        number: 0,
        at: now,
        operation,
        path: request.uri().path().to_owned(),
        status: None,
        length: None,
        faults: drawn.iter().map(Fault::name).collect(),
    };
    let line = request.extensions().get::<ConnectInfo<FaultSlot>>();
    let has_line = line.is_some();
    let line = line
        .map(|ConnectInfo(line)| line.clone())
        .unwrap_or_default();
    let has_body = request.method() != Method::HEAD;

    let mut planned = ResponsePlan::of(drawn, choice);
    // A file is not JSON.
    planned.malformed &= operation != Operation::DownloadAsset;
    if let Some(late) = planned.late {
        tokio::time::sleep(late).await;
    }
    if matches!(planned.instead, Some(Replacement::Hang)) {
        shared.calls().note(call);
        // Until the simulator is dropped: the client's own time limit must end the call.
        shared.closed().await;
        line.plan(FaultPlan::reset(choice));
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    // After the latency: a call that is refused is slow too.
    let too_many = behaviour.rate_limit.and_then(|limit| {
        let path = request.uri().path();
        shared.calls().limited(path, limit, now)
    });
    if let Some(wait) = too_many {
        // Up: a client that waits for the whole seconds must find a new minute.
        let seconds = wait.as_secs_f64().ceil() as u64;
        planned.instead(Replacement::Error(429, Some(seconds)));
    }
    let mut response = match planned.instead.take() {
        Some(instead) => instead.response(),
        None => {
            let effects = Effects {
                // A handler must know whether its answer will arrive: only then is an order seen or
                // downloaded.
                broken: planned.plan.breaks() || planned.malformed,
                // Without a connection nothing is paced.
                bytes_per_second: planned.plan.bytes_per_second.filter(|_| has_line),
                ..planned.effects.clone()
            };
            request.extensions_mut().insert(effects);
            next.run(request).await
        }
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem_in(&behaviour, operation, &problem, response);
    }
    if planned.malformed {
        response = malformed(response, choice).await;
    }
    // Otherwise the server library sets the header, by the machine's clock.
    if own_time || planned.effects.skew != 0 {
        set_date(&mut response, planned.effects.skewed(now));
    }
    let arrives = !matches!(
        planned.plan.cut,
        Some(Cut {
            at: CutPoint::Start | CutPoint::InsideHead,
            ..
        })
    );
    call.status = arrives.then(|| response.status().as_u16());
    let length = response.headers().get(header::CONTENT_LENGTH);
    call.length = length
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .or_else(|| axum::body::HttpBody::size_hint(response.body()).exact());
    shared.calls().note(call);
    if !has_body {
        planned.plan.without_body();
    }
    if !planned.plan.is_none() {
        // Before the answer is returned: the connection looks for a plan at its first byte.
        line.plan(planned.plan);
    }
    response
}

/// *Get Token* and *Refresh Token* share a path; what is sent decides which it is.
async fn token_operation(
    operation: Operation,
    request: Request,
) -> Result<(Operation, Request), Response> {
    if operation != Operation::GetToken {
        return Ok((operation, request));
    }
    let (parts, body) = request.into_parts();
    // Token requests have some hundred bytes.
    let body = axum::body::to_bytes(body, 64 * 1024).await;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
    let mut pairs = url::form_urlencoded::parse(&body);
    let refreshes = pairs.any(|(name, value)| name == "grant_type" && value == "refresh_token");
    let operation = if refreshes {
        Operation::RefreshToken
    } else {
        Operation::GetToken
    };
    Ok((operation, Request::from_parts(parts, Body::from(body))))
}

/// All that goes wrong with one call.
#[derive(Default)]
struct ResponsePlan {
    late: Option<Duration>,
    instead: Option<Replacement>,
    effects: Effects,
    malformed: bool,
    plan: FaultPlan,
}

/// What comes in place of the answer.
enum Replacement {
    Hang,
    Error(u16, Option<u64>),
    Page,
    /// The connection is reset before anything is done.
    Nothing,
}

impl ResponsePlan {
    fn of(drawn: Vec<Fault>, choice: u64) -> Self {
        let mut planned = ResponsePlan::default();
        planned.effects.choice = choice;
        planned.plan.choice = choice;
        for fault in drawn {
            planned.meet(fault);
        }
        planned
    }

    /// Of faults that exclude each other the first counts.
    fn meet(&mut self, fault: Fault) {
        let cut = |at, reset| Some(Cut { at, reset });
        match fault {
            Fault::Latency { seconds } => {
                let more = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                self.late = Some(self.late.unwrap_or_default() + more);
            }
            Fault::Hang => self.instead(Replacement::Hang),
            Fault::Status { code, retry_after } => {
                self.instead(Replacement::Error(code, retry_after))
            }
            Fault::Html => self.instead(Replacement::Page),
            Fault::Reset { at } => {
                if at == ResetAt::Request {
                    self.instead(Replacement::Nothing);
                }
                let place = match at {
                    ResetAt::Request | ResetAt::Answer => CutPoint::Start,
                    ResetAt::InsideHead => CutPoint::InsideHead,
                    ResetAt::AfterHead => CutPoint::AfterHead,
                    ResetAt::InsideBody => CutPoint::InsideBody,
                    ResetAt::AfterBody => CutPoint::AfterBody,
                };
                self.plan.cut = self.plan.cut.or(cut(place, true));
            }
            Fault::Truncate => self.plan.cut = self.plan.cut.or(cut(CutPoint::InsideBody, false)),
            Fault::WrongLength { by } => self.plan.length_by = self.plan.length_by.or(Some(by)),
            Fault::Drip { bytes_per_second } => {
                let pace = &mut self.plan.bytes_per_second;
                *pace = pace.or(Some(bytes_per_second));
            }
            Fault::MalformedJson => self.malformed = true,
            Fault::UnreadableRecord => self.effects.unreadable_record = true,
            Fault::MissingOrder => self.effects.missing_order = true,
            Fault::StaleOrder => self.effects.stale_order = true,
            Fault::ExpiredUrl => self.effects.expired_url = true,
            Fault::ClockSkew { seconds } => self.effects.skew = seconds,
            Fault::OtherRegion => self.effects.other_region = true,
            Fault::NotificationLost
            | Fault::NotificationDuplicated
            | Fault::NotificationDelayed { .. }
            | Fault::NotificationReordered
            | Fault::NotificationForged => {}
        }
    }

    fn instead(&mut self, instead: Replacement) {
        self.instead.get_or_insert(instead);
    }
}

impl FaultPlan {
    fn reset(choice: u64) -> Self {
        FaultPlan {
            cut: Some(Cut {
                at: CutPoint::Start,
                reset: true,
            }),
            choice,
            ..FaultPlan::default()
        }
    }
}

impl FaultPlan {
    /// An answer to HEAD tells the length of a body that does not come.
    fn without_body(&mut self) {
        self.length_by = None;
        self.bytes_per_second = None;
        if let Some(cut) = &mut self.cut
            && matches!(cut.at, CutPoint::InsideBody | CutPoint::AfterBody)
        {
            cut.at = CutPoint::AfterHead;
        }
    }
}

impl Replacement {
    fn response(self) -> Response {
        match self {
            Replacement::Error(code, retry_after) => {
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
                let (error, what) = match code {
                    429 => ("too_many_requests", "too many calls, come again later"),
                    _ => ("fault", "the simulator was told to fail"),
                };
                let mut response = Problem::new(status, error, what).into_response();
                if let Some(seconds) = retry_after {
                    let name = header::RETRY_AFTER;
                    response
                        .headers_mut()
                        .insert(name, HeaderValue::from(seconds));
                }
                response
            }
            Replacement::Page => Html(
                "<!doctype html><title>Maintenance</title><h1>We are back soon</h1>\
                 <p>This page stands in place of an answer.</p>",
            )
            .into_response(),
            Replacement::Hang | Replacement::Nothing => {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
        }
    }
}

/// An error in the form that the behaviour has for it. OAuth's is given by its standard.
fn problem_in(
    behaviour: &Behaviour,
    operation: Operation,
    problem: &Problem,
    response: Response,
) -> Response {
    let is_oauth = matches!(
        operation,
        Operation::Authorization
            | Operation::GetToken
            | Operation::RefreshToken
            | Operation::RevokeToken
    );
    let body = match behaviour.errors {
        _ if is_oauth => return response,
        ErrorBodies::Flat => {
            let fields = json!({ "error": problem.code, "errorDescription": problem.message });
            // The default is OAuth's form here too.
            if behaviour.keys == crate::simulator::KeyCase::Camel {
                return response;
            }
            shape::bytes(behaviour, fields)
        }
        ErrorBodies::Nested => {
            let fields = json!({ "code": problem.code, "message": problem.message });
            shape::bytes(behaviour, json!({ "error": fields }))
        }
        ErrorBodies::Text => problem.message.clone().into_bytes(),
        ErrorBodies::Empty => Vec::new(),
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let kind = match behaviour.errors {
        ErrorBodies::Text => Some("text/plain; charset=utf-8"),
        ErrorBodies::Empty => None,
        _ => Some("application/json"),
    };
    parts.headers.remove(header::CONTENT_TYPE);
    if let Some(kind) = kind {
        let kind = HeaderValue::from_static(kind);
        parts.headers.insert(header::CONTENT_TYPE, kind);
    }
    Response::from_parts(parts, Body::from(body))
}

/// JSON that ends in the middle, in an answer that is whole.
async fn malformed(response: Response, choice: u64) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // What the simulator makes in memory does not fail to come.
    let bytes = body.collect().await.map(|body| body.to_bytes());
    let bytes: Bytes = bytes.unwrap_or_default();
    // At least one byte and not all of them, so that what is left is no JSON.
    let end = 1 + usize::try_from(choice % (bytes.len().max(3) as u64 - 2)).unwrap_or(0);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes.slice(..end.min(bytes.len()))))
}

fn set_date(response: &mut Response, now: SystemTime) {
    let stamp = jiff::Timestamp::try_from(now);
    let date = stamp.map(|stamp| stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if let Some(date) = date.ok().and_then(|date| date.parse().ok()) {
        response.headers_mut().insert(header::DATE, date);
    }
}
