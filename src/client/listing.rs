//! The limits of a listing, and where its answers are read.
//!
//! *Problem.* 32 MiB of JSON with empty files took 2.7 GB of memory, and a list of numbers, `[1,1,…]`,
//! held its runtime's thread for a minute.
//!
//! *Approach.* Each kind of size has a limit of its own, and going over one ends the listing with what it
//! has, never with an error that loses it. What is long is read on a thread that may block.

use std::sync::Arc;
use std::time::Duration;

use super::Client;
use crate::endpoints::Operation;
use crate::error::Error;
use crate::model::lenient::{ExceededLimit, Limits, Shapes};

/// How much *Get Orders* and *Get Accounts* may bring. No honest service reaches these limits; with
/// them no other can take all memory or go on for ever.
///
/// A listing ends at the first of its limits that it reaches: it holds what was read before, it is
/// [not complete](super::Listing::is_complete), and its [problem](super::Listing::problem) names the limit.
/// It is not tried again. A single order that is over its own limits is
/// [unreadable](super::Listing::unreadable), and costs no other. JSON that is nested in more than a
/// hundred levels needs no limit: it is kept as text.
///
/// Beside them, [`ClientBuilder::answer_limit`](super::ClientBuilder::answer_limit) is for each page.
///
/// The bytes and the time hold while a page arrives, the others when it is read: a page is held whole, up
/// to its limit, until then. Which of its lists are the orders may depend on what comes after them: an
/// envelope may turn out to be an order by itself, to have a better list, or to say that it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListingLimits {
    /// How many pages are read, and at least one. Default: 1,000.
    pub pages: usize,
    /// How many orders a listing may hold, their files and the entries of their histories counted too.
    /// Default: 250,000.
    pub records: usize,
    /// How many files an order may have, and how many entries its history. Default: 1,000.
    pub entries: usize,
    /// How many bytes of JSON an order may have. Default: 4 MiB.
    pub record_bytes: usize,
    /// How many bytes all pages may have together. Default: 128 MiB.
    pub bytes: usize,
    /// How long it may take to read all pages. Of the page that arrives then, the orders that have come
    /// are in the listing. Default: 10 minutes.
    pub time: Duration,
}

impl Default for ListingLimits {
    fn default() -> Self {
        ListingLimits {
            pages: 1000,
            records: 250_000,
            entries: 1000,
            record_bytes: 4 << 20,
            bytes: 128 << 20,
            time: Duration::from_secs(600),
        }
    }
}

/// The error for what is over a limit.
pub(super) fn over(limit: ExceededLimit) -> Error {
    Error::decode(limit.to_string())
}

/// By what rules an answer is read.
pub(super) struct Rules {
    pub(super) limits: Limits,
    shapes: Arc<Shapes>,
    operation: &'static str,
}

impl Rules {
    pub(super) fn new(client: &Client, operation: Operation, limits: ListingLimits) -> Self {
        Rules {
            limits: Limits {
                records: limits.records,
                entries: limits.entries,
                record_bytes: limits.record_bytes,
            },
            shapes: Arc::clone(client.protocol().directory.current().shapes()),
            operation: operation.name(),
        }
    }

    /// None where nothing is configured.
    pub(super) fn shapes(&self) -> Option<(&Shapes, &str)> {
        let shapes = &*self.shapes;
        (*shapes != Shapes::default()).then_some((shapes, self.operation))
    }
}

/// Of more bytes (some 1,500 orders, a few milliseconds), reading takes longer than to hand it over, and
/// others would wait for it.
const LONG: usize = 1 << 20;

/// Reads an answer of so many bytes: a long one where blocking is allowed.
pub(super) async fn reading<T: Send + 'static>(
    bytes: usize,
    read: impl FnOnce() -> T + Send + 'static,
) -> T {
    // Outside of tokio there is no pool of threads to hand it to.
    if bytes <= LONG || tokio::runtime::Handle::try_current().is_err() {
        return read();
    }
    match tokio::task::spawn_blocking(read).await {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            // A panic goes to the caller, as if it were read here.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}
