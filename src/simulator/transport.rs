//! The simulator without a network: a transport that calls it.
//!
//! Faults of the connection are played here a second time, on whole answers. Both ways must do the
//! same.

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use axum::Router;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use http_body_util::BodyExt as _;
use tower_service::Service as _;

use super::Simulator;
use super::wire::{CutPoint, FaultPlan, FaultSlot};
use crate::transport::{Body, Request, Response, Transport, TransportError};

/// What answers at each of its addresses.
#[derive(Clone, Default)]
pub(super) struct Routers {
    by_authority: HashMap<String, Router>,
}

impl Routers {
    pub(super) fn add(&mut self, authority: impl fmt::Display, router: Router) {
        self.by_authority.insert(authority.to_string(), router);
    }
}

impl Simulator {
    /// A transport for a client that calls this simulator in its own process, without a
    /// connection: for tests that make very many calls.
    ///
    /// Everything is answered as over HTTP, faults included; the pace of an answer
    /// ([`Fault::Drip`](super::Fault::Drip)) is not played, since there is no line. Only this
    /// simulator's own addresses can be reached. Once it is dropped, no answer comes.
    pub fn transport(&self) -> impl Transport + 'static {
        InProcessTransport {
            routers: self.routers.clone(),
            closing: self.shared.closing.subscribe(),
        }
    }
}

struct InProcessTransport {
    routers: Routers,
    closing: tokio::sync::watch::Receiver<bool>,
}

#[async_trait]
impl Transport for InProcessTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        // The routers live on in this transport, so a simulator that is gone would still answer.
        if *self.closing.borrow() {
            return Err(TransportError::connect("the simulator was dropped"));
        }
        // Each of its ports is another origin, as over HTTP: a call must not reach the files by the
        // address of the API.
        let authority = request.uri().authority().map(|at| at.as_str().to_owned());
        let router = authority.and_then(|at| self.routers.by_authority.get(&at));
        let Some(mut router) = router.cloned() else {
            return Err(TransportError::connect("nothing listens there"));
        };
        let line = FaultSlot::default();
        let mut request = request.map(axum::body::Body::from);
        // Handlers leave the plan of the answer there, as with a real connection.
        request.extensions_mut().insert(ConnectInfo(line.clone()));
        let answer = match router.call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        match line.take() {
            None => Ok(whole(answer)),
            Some(plan) => broken(answer, &plan).await,
        }
    }
}

fn whole(answer: axum::response::Response) -> Response {
    let length = length(answer.headers());
    answer.map(|body| {
        let pieces = TryStreamExt::map_err(body.into_data_stream(), TransportError::broken);
        Body::from_stream(pieces).with_length(length)
    })
}

/// The answer as it comes over a line with this plan.
async fn broken(
    answer: axum::response::Response,
    plan: &FaultPlan,
) -> Result<Response, TransportError> {
    let place = plan.cut.map(|cut| cut.at);
    if let Some(CutPoint::Start | CutPoint::InsideHead) = place {
        return Err(reset());
    }
    let (mut parts, body) = answer.into_parts();
    // In memory as a whole: a place to cut needs the length.
    let body = body.collect().await.map_err(TransportError::broken)?;
    let bytes = body.to_bytes();
    let actual = bytes.len() as u64;
    let mut pass = match place {
        Some(CutPoint::AfterHead) => 0,
        Some(CutPoint::InsideBody) if actual > 1 => 1 + plan.choice % (actual - 1),
        Some(CutPoint::InsideBody) => 0,
        _ => actual,
    };
    let mut announced = actual;
    if let Some(by) = plan.length_by {
        announced = actual.saturating_add_signed(by);
        parts
            .headers
            .insert(http::header::CONTENT_LENGTH, announced.into());
        // What exceeds the announced length is not read.
        pass = pass.min(announced);
    }
    let bytes = bytes.slice(..usize::try_from(pass).unwrap_or(bytes.len()));
    let pieces = stream::once(future::ready(Ok::<Bytes, TransportError>(bytes)));
    // A body that ends early must end with an error; an orderly end would look whole.
    let end = (pass < announced).then(|| Err(reset()));
    let body = Body::from_stream(pieces.chain(stream::iter(end)));
    Ok(Response::from_parts(
        parts,
        body.with_length(Some(announced)),
    ))
}

fn reset() -> TransportError {
    TransportError::broken("the simulator reset the connection")
}

fn length(headers: &http::HeaderMap) -> Option<u64> {
    let length = headers.get(http::header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

impl fmt::Debug for InProcessTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessTransport").finish_non_exhaustive()
    }
}
