//! One file on its way: asked for, continued where it broke off, taken for whole.
//!
//! *Problem.* A file of hundreds of megabytes comes over a line that breaks. Most failures should
//! cost the bytes in flight, and not those that are there.
//!
//! *Approach.* Each attempt asks for the rest of the same file; what the answer means for it is
//! planned in `download`, as a pure function. A file must not be taken for whole unless HTTP or the
//! file itself says so.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use url::Url;

use super::super::attempts::Attempts;
use super::super::trace::Trace;
use super::named;
use super::source::{AssetSource, unfit};
use crate::auth::Tokens;
use crate::download::{
    Digest, Head, Meter, PartialFile, Plan, Progress, RejectReason, Report, Sink, VerifiedFile,
    plan,
};
use crate::error::{Error, Kind, Result, SendState, answer};
use crate::transport::wire::TimedTransport;
use crate::transport::{Body, Failure, Response, Timeouts};

pub(super) struct Transfer<'a> {
    source: AssetSource<'a>,
    sink: Sink<'a>,
    report: Option<Report>,
    meter: Meter,
}

/// A file that is whole, and the status of the answer that made it so.
struct WholeFile(StatusCode, VerifiedFile);

/// What the body that comes next is.
struct ExpectedBody {
    /// Where it ends within the file, if that is known.
    until: Option<u64>,
    total: Option<u64>,
    needs_proof: bool,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(source: AssetSource<'a>, sink: Sink<'a>, report: Option<Report>) -> Self {
        Transfer {
            source,
            sink,
            report,
            meter: Meter::default(),
        }
    }

    /// Tries until the file is whole or the policy gives up; with a new URL once.
    pub(super) async fn run(mut self) -> Result<VerifiedFile> {
        let mut result = self.attempts().await;
        if let Err(error) = &result
            && self.source.may_be_expired(error)
            && self.source.renew().await
        {
            // Once only: a service whose new URLs are refused as well would be asked without end
            // (`an_expired_url_is_renewed_once`).
            result = self.attempts().await;
        }
        if result.is_err() {
            // Awaited: the next download of this name may begin at once, and needs the part to be free.
            self.sink.leave().await;
        }
        result.map_err(named)
    }

    /// A transfer has no limit on its whole time: it only must not stop.
    async fn attempts(&mut self) -> Result<VerifiedFile> {
        let caller = &self.source.lab.caller;
        // Held to the end: the file is one of the account's operations all the time.
        let _place = caller.enter().await;
        let subject = self.source.subject();
        let status = |WholeFile(status, _): &WholeFile| *status;
        let arrived = Trace::of(&subject, status, async |trace| {
            // Reading a file has no effect, as far as a repeat goes.
            let (budget, title) = (caller.files(), subject.title);
            let mut attempts = Attempts::begin(caller, budget, title, true, trace).await?;
            let mut furthest = 0;
            loop {
                let place = attempts.enter(&caller.client.inner.total.files).await;
                let outcome = self.attempt(attempts.tokens()).await;
                // Free for other files while this one waits for its next attempt.
                drop(place);
                // Before the outcome is judged: an attempt that brought bytes is no failed one in a row
                // (`a_line_that_keeps_breaking_is_no_obstacle_while_something_comes`).
                let bytes = self.sink.bytes();
                if bytes > furthest {
                    furthest = bytes;
                    attempts.got_further();
                }
                match outcome {
                    Ok(arrived) => {
                        attempts.succeeded();
                        return Ok(arrived);
                    }
                    Err(error) => attempts.failed(error, self.source.shown).await?,
                }
            }
        });
        let WholeFile(_, received) = arrived.await?;
        Ok(received)
    }

    async fn attempt(&mut self, tokens: Option<Arc<Tokens>>) -> Result<WholeFile> {
        let held = self.sink.held();
        let headers = held.as_ref().map(PartialFile::headers).unwrap_or_default();
        let answered = self.source.open(tokens.clone(), headers).await?;
        if let Some(arrived) = self.take(held, answered).await? {
            return Ok(arrived);
        }
        // The service does not continue what is there: from the beginning, and in the same attempt, for
        // it has answered and there is nothing to wait for.
        let answered = self.source.open(tokens, Default::default()).await?;
        let arrived = self.take(None, answered).await?;
        arrived.ok_or_else(|| Error::decode("it was not asked for a part of the file"))
    }

    /// Takes an answer's body; returns `None` if the whole file is to be asked for.
    async fn take(
        &mut self,
        held: Option<PartialFile>,
        (url, response): (Url, Response),
    ) -> Result<Option<WholeFile>> {
        let head = Head::of(&response);
        let (status, headers) = (response.status(), response.headers());
        let limit = self.source.lab.caller.client.inner.file_limit;
        let expected = match plan(held.as_ref(), &head) {
            Plan::AskAnew => return Ok(None),
            Plan::Reject(RejectReason::Status) => {
                return Err(self.source.refused(&url, response).await);
            }
            Plan::Reject(RejectReason::Encoded) => {
                let what = "the file came compressed, which nobody asked for";
                return Err(unfit(status, headers, what));
            }
            Plan::Reject(RejectReason::Empty) => {
                return Err(Error::new(Kind::Incomplete("it is empty".to_owned())));
            }
            // Before any byte is taken, where the length is announced; `fill` counts where it is not.
            Plan::Restart { total: Some(total) } | Plan::Append { total, .. } if total > limit => {
                return Err(unfit(status, headers, &too_long(limit)));
            }
            // A sign-in form or a proxy's page is a whole 200, and would be stored as the file.
            Plan::Restart { .. } if is_page(headers) => {
                let what = "an HTML page came in place of the file, perhaps of a proxy or a sign-in \
                            form";
                return Err(unfit(status, headers, what));
            }
            Plan::Restart { total } => {
                let digests = Digest::of_answer(status, headers);
                self.sink.restart(head.validator, total, digests).await?;
                ExpectedBody {
                    until: total,
                    total,
                    // RFC 9112 section 6.3: without a length the body ends with the connection, and
                    // a connection that broke looks the same.
                    needs_proof: total.is_none() && head.ends_with_connection,
                }
            }
            Plan::Append { until, total } => {
                let digests = Digest::of_answer(status, headers);
                let from = held.map_or(0, |held| held.from);
                self.sink.resume(from, total, digests).await?;
                ExpectedBody {
                    until: Some(until),
                    total: Some(total),
                    needs_proof: false,
                }
            }
        };
        self.fill(&url, response.into_body(), &expected).await?;
        let received = self.sink.finish(expected.needs_proof).await?;
        note_size(self.source.asset.size(), received.bytes);
        Ok(Some(WholeFile(status, received)))
    }

    /// Hands on what comes, until the file has all its bytes.
    async fn fill(&mut self, url: &Url, mut body: Body, expected: &ExpectedBody) -> Result<()> {
        let client = &self.source.lab.caller.client;
        let (wire, limit) = (&client.protocol().wire, client.inner.file_limit);
        let size = self.source.asset.size();
        let mut pace = Pace::default();
        loop {
            let asked = wire.clock.elapsed();
            let chunk = match wire.within(wire.timeouts.idle, body.next()).await {
                Some(Some(Ok(chunk))) => chunk,
                Some(None) => break,
                Some(Some(Err(error))) if error.failure == Failure::Broken => {
                    return Err(self.cut(expected.total).with_source(error));
                }
                Some(Some(Err(error))) => {
                    return Err(wire.failed(url, error).with_sent(SendState::Yes));
                }
                None => return Err(too_slow(wire)),
            };
            // Only the wait for the service counts, and not the time that the sink takes
            // (`the_time_of_who_takes_a_stream_is_not_the_services`).
            let waited = wire.clock.elapsed().saturating_sub(asked);
            // No platform has more than 64 bits in a `usize`.
            let length = chunk.len() as u64;
            let after = self.sink.bytes() - self.sink.skips() + length;
            // Not every transport stops at the announced length
            // (`the_announced_length_holds_for_every_transport`).
            if let Some(until) = expected.until.filter(|until| after > *until) {
                let what = format!("{after} of {until} bytes came");
                return Err(Error::new(Kind::Incomplete(what)));
            }
            if after > limit {
                // What came is thrown away: no download goes on with it. If that fails, the length is
                // still the error to report.
                let _ = self.sink.restart(None, None, Vec::new()).await;
                return Err(Error::decode(too_long(limit)));
            }
            self.sink.write(chunk).await?;
            let bytes = self.sink.bytes();
            // A file that is whole is not given up for its pace.
            if !pace.keeps(&wire.timeouts, length, waited) && expected.until != Some(after) {
                return Err(too_slow(wire));
            }
            if let Some(Report(report)) = &mut self.report {
                report(Progress {
                    bytes,
                    // The size in the order is a hint, and wrong once it is passed.
                    total: expected.total.or(size.filter(|size| bytes <= *size)),
                    rate: self.meter.note(length, wire.clock.elapsed()),
                });
            }
        }
        // A transport may end a body early without an error, so its end alone proves nothing.
        let bytes = self.sink.bytes() - self.sink.skips();
        match expected.total {
            Some(total) if bytes < total => Err(self.cut(expected.total)),
            _ => Ok(()),
        }
    }

    /// The error for a file that broke off here.
    fn cut(&self, total: Option<u64>) -> Error {
        let bytes = self.sink.bytes();
        Error::new(Kind::Truncated(match total {
            Some(total) => format!("{bytes} of {total} bytes came"),
            None => format!("the connection broke after {bytes} bytes"),
        }))
    }
}

/// No order's file is a page: it is a proxy's, or a sign-in form.
fn is_page(headers: &HeaderMap) -> bool {
    answer::is_of_type(headers, "text/html")
}

fn too_slow(wire: &TimedTransport) -> Error {
    Error::new(Kind::Timeout(wire.timeouts.idle)).with_sent(SendState::Yes)
}

fn too_long(limit: u64) -> String {
    format!("the file is longer than {limit} bytes")
}

/// In what unit an order states the size of a file is not documented: what came is whole by what
/// HTTP and the file itself say.
fn note_size(size: Option<u64>, bytes: u64) {
    #[cfg(feature = "tracing")]
    if let Some(size) = size.filter(|size| *size != bytes) {
        tracing::debug!(target: "lab_connector", size, bytes, "the order gives another size of the file");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (size, bytes);
}

/// Whether a file comes fast enough, seen over one stretch of time after the other. Only the time
/// that the service was waited for counts.
#[derive(Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn keeps(&mut self, timeouts: &Timeouts, bytes: u64, waited: Duration) -> bool {
        let Some(rate) = timeouts.minimum_rate else {
            return true;
        };
        self.bytes += bytes;
        self.waited += waited;
        // Judged over a whole stretch: a short pause is not a slow line.
        if self.waited < timeouts.idle {
            return true;
        }
        // Whole seconds, rounded in the service's favour.
        let due = rate.saturating_mul(self.waited.as_secs());
        let keeps = self.bytes >= due;
        *self = Pace::default();
        keeps
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn a_page_is_one_in_any_spelling() {
        for kind in ["text/html", "Text/HTML; charset=utf-8", "TEXT/HTML"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            assert!(is_page(&headers), "{kind}");
        }
    }
}
