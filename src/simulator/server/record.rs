//! Writes the log of calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::endpoints::Operation;
use crate::simulator::Shared;
use crate::simulator::calls::Call;

/// The faults that an answer suffered; an extension of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Played(pub(super) Vec<&'static str>);

/// Which operation an answer was, where its path is that of two; an extension of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered(pub(super) Operation);

pub(super) async fn record(
    State((shared, operation)): State<(Arc<Shared>, Operation)>,
    request: Request,
    next: Next,
) -> Response {
    let mut entry = Entry {
        path: request.uri().path().to_owned(),
        begun: Instant::now(),
        status: None,
        faults: Vec::new(),
        operation,
        shared,
    };
    let response = next.run(request).await;
    let extensions = response.extensions();
    if let Some(Played(faults)) = extensions.get() {
        entry.faults.clone_from(faults);
    }
    if let Some(Answered(operation)) = extensions.get() {
        entry.operation = *operation;
    }
    entry.status = Some(response.status().as_u16());
    response
}

/// Written when it is dropped: a client that goes away before there is an answer drops the call.
struct Entry {
    shared: Arc<Shared>,
    operation: Operation,
    path: String,
    begun: Instant,
    status: Option<u16>,
    faults: Vec<&'static str>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let at = self.shared.world().now();
        let took: Duration = self.begun.elapsed();
        self.shared.calls().record(Call {
            number: 0,
            at,
            operation: self.operation,
            path: std::mem::take(&mut self.path),
            status: self.status,
            faults: std::mem::take(&mut self.faults),
            took,
        });
    }
}
