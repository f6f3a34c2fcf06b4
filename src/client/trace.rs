//! What a call reports of itself, where the feature `tracing` is on: a span with the names that
//! OpenTelemetry defines for HTTP clients (`one_span_for_each_operation_with_the_usual_names`).
//!
//! Logs are kept longer and seen by more people than cases are. So a span must not hold a URL with its
//! values, a header or a body: `url.template` has the path without ids.

use std::future::Future;
use std::sync::Arc;

use http::{Method, StatusCode};
use url::Url;

use crate::error::{Error, Result};
use crate::retry::RetryEvent;

/// What is asked, as a trace and an error may show it.
#[derive(Clone)]
pub(super) struct Subject {
    pub(super) title: &'static str,
    pub(super) method: Method,
    pub(super) url: Url,
    /// The URL without values.
    pub(super) template: Arc<str>,
}

/// The span of one operation.
pub(super) struct Trace {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl Trace {
    /// Runs an operation within a span of its own, which says how it ended.
    pub(super) async fn of<T>(
        subject: &Subject,
        status: impl FnOnce(&T) -> StatusCode,
        run: impl AsyncFnOnce(&Trace) -> Result<T>,
    ) -> Result<T> {
        let trace = Trace::begin(subject);
        let result = trace.within(run(&trace)).await;
        match &result {
            Ok(answer) => trace.end(Some(status(answer)), None),
            Err(error) => trace.end(error.status(), Some(error)),
        }
        result
    }
}

#[cfg(feature = "tracing")]
impl Trace {
    fn begin(subject: &Subject) -> Self {
        let span = tracing::info_span!(
            target: "lab_connector",
            "request",
            otel.name = subject.title,
            otel.kind = "client",
            http.request.method = subject.method.as_str(),
            server.address = subject.url.host_str(),
            server.port = subject.url.port_or_known_default(),
            url.template = &*subject.template,
            // Declared now, or `record` would drop them: a span has the fields it was made with.
            http.response.status_code = tracing::field::Empty,
            http.request.resend_count = tracing::field::Empty,
            error.type = tracing::field::Empty,
        );
        Trace { span }
    }

    async fn within<T>(&self, future: impl Future<Output = T>) -> T {
        use tracing::Instrument;
        // Not by an entered guard: held across an await, it would cover what other tasks do
        // meanwhile.
        future.instrument(self.span.clone()).await
    }

    pub(super) fn renewing(&self, attempts: u32) {
        tracing::debug!(target: "lab_connector", parent: &self.span, "the token was refused, renewing it");
        self.resent(attempts);
    }

    pub(super) fn failed(&self, event: &RetryEvent<'_>) {
        match event.decision {
            Ok(wait) => {
                self.resent(event.attempts);
                tracing::warn!(
                    target: "lab_connector",
                    parent: &self.span,
                    error = %event.error,
                    attempts = event.attempts,
                    // Milliseconds of a day fit by far; an event must not fail a call.
                    wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                    "trying again"
                );
            }
            Err(why) => tracing::debug!(
                target: "lab_connector",
                parent: &self.span,
                error = %event.error,
                attempts = event.attempts,
                %why,
                "giving up"
            ),
        }
    }

    /// How often the request was sent again.
    fn resent(&self, count: u32) {
        self.span.record("http.request.resend_count", count);
    }

    fn end(&self, status: Option<StatusCode>, error: Option<&Error>) {
        if let Some(status) = status {
            let status = status.as_u16();
            self.span.record("http.response.status_code", status);
        }
        if let Some(error) = error {
            self.span.record("error.type", error.kind_name());
        }
    }
}

#[cfg(not(feature = "tracing"))]
impl Trace {
    fn begin(subject: &Subject) -> Self {
        // Only spans show it.
        let _ = &subject.template;
        Trace {}
    }

    async fn within<T>(&self, future: impl Future<Output = T>) -> T {
        future.await
    }

    pub(super) fn renewing(&self, _: u32) {}

    pub(super) fn failed(&self, _: &RetryEvent<'_>) {}

    fn end(&self, _: Option<StatusCode>, error: Option<&Error>) {
        // Else the compiler would call `kind_name` unused.
        let _ = error.map(Error::kind_name);
    }
}
