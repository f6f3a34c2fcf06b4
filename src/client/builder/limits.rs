//! How long a client waits, how much it reads, and how many requests it sends.

use std::sync::Arc;
use std::time::Duration;

use super::ClientBuilder;
use crate::client::{ListingLimits, Page};
use crate::clock::LONGEST_WAIT;
#[cfg(doc)]
use crate::error::Error;

/// # How long it waits
///
/// A time that is shorter than a millisecond is taken as one, and one that is longer than a year as a
/// year.
impl ClientBuilder {
    /// How long it may take until there is a connection. Default: 10 seconds. It has no effect on a
    /// [transport of your own](ClientBuilder::transport).
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.timeouts.connect = clamped(time);
        self
    }

    /// How long it may take until the head of an answer is there, each time it is tried. Default: 30
    /// seconds.
    pub fn attempt_timeout(mut self, time: Duration) -> Self {
        self.timeouts.attempt = clamped(time);
        self
    }

    /// How long an operation may take with all its attempts and waits. Default: 2 minutes. Downloads of
    /// files have no such limit.
    pub fn operation_timeout(mut self, time: Duration) -> Self {
        self.timeouts.operation = clamped(time);
        self
    }

    /// How long it may take from one piece of a body to the next. Default: 30 seconds.
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.timeouts.idle = clamped(time);
        self
    }

    /// How many bytes a second a file must bring, on average over each
    /// [`idle_timeout`](ClientBuilder::idle_timeout); a slower download is given up as a timeout. The
    /// time that your own code takes does not count. Default: 1000, which a modem reaches. `None`: any
    /// rate.
    pub fn minimum_rate(mut self, bytes_per_second: Option<u64>) -> Self {
        self.timeouts.minimum_rate = bytes_per_second;
        self
    }
}

/// # How much it reads, and how many requests it sends
impl ClientBuilder {
    /// How many operations of one account, or of one login, may be under way at a time; at
    /// least 1. Others wait their turn. Default: 8.
    pub fn concurrency(mut self, operations: usize) -> Self {
        self.allowance.concurrency = operations;
        self
    }

    /// How many operations of one account may begin in a period of at most a year, and at least one;
    /// they are spread evenly over it. Default: no limit. The service's own rate limits are not documented.
    pub fn rate(mut self, operations: u32, period: Duration) -> Self {
        self.allowance.spacing = Some(spacing(operations, period));
        self
    }

    /// How many bytes an answer may have, files excepted. A longer one is not read on, and the call
    /// fails with [`Error::is_decode`], which names this setting; a listing holds the orders that were
    /// read. What is read is held in memory. Answers of tokens and of Discovery have 1 MiB at most.
    /// Default: 32 MiB.
    pub fn answer_limit(mut self, bytes: usize) -> Self {
        self.answer_limit = bytes;
        self
    }

    /// How many bytes a file may have: a longer one is not downloaded, and the call fails with
    /// [`Error::is_decode`]. Default: 16 GiB; a case has tens to hundreds of megabytes.
    pub fn file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = bytes;
        self
    }

    /// How many requests of all accounts and logins together may be under way at a time; at
    /// least 1. For software that works for many labs. Default: no limit but that of each
    /// [account](ClientBuilder::concurrency).
    ///
    /// Others wait their turn: who asked first goes first, and since no account can ask for more
    /// than its own limit at a time, a busy one does not push the others aside. A place is free
    /// again while an operation waits to be tried again. An account whose requests hang does take
    /// places until they time out: allow more than that. Downloads of files do not count, see
    /// [`ClientBuilder::total_downloads`], nor do requests for tokens. Time spent waiting does
    /// not count as the [operation's](ClientBuilder::operation_timeout).
    pub fn total_concurrency(mut self, requests: usize) -> Self {
        self.total.calls.concurrency = requests;
        self
    }

    /// How many files of all accounts together may be downloaded at a time; at least 1. Others
    /// wait their turn, and no call waits for them. Default: no limit but that of each account.
    pub fn total_downloads(mut self, files: usize) -> Self {
        self.total.files.concurrency = files;
        self
    }

    /// How many requests of all accounts and logins together may begin in a period of at most a year,
    /// and at least one, repeats included; they are spread evenly over it. What counts is the same as for
    /// [`ClientBuilder::total_concurrency`]. Default: no limit.
    pub fn total_rate(mut self, requests: u32, period: Duration) -> Self {
        self.total.calls.spacing = Some(spacing(requests, period));
        self
    }

    /// What a listing may take. Default: see [`ListingLimits`].
    pub fn listing_limits(mut self, limits: ListingLimits) -> Self {
        self.listing = limits;
        self
    }

    /// How the page after a page of a listing is found: `next` returns its URL, or a reference relative to
    /// the page's own, as in `?page=2`; or `None` if the listing is complete. It is asked for with the
    /// method of *Get Orders*, and with the token only where that may go: another origin that the
    /// configuration does not name makes the listing incomplete.
    ///
    /// Default: a convention of this crate. What the answer offers is taken: a link (RFC 8288's header,
    /// `next`, `nextLink`, `links.next`), a cursor (`nextCursor`, `nextPageToken`, `continuationToken`), a
    /// page number (`page` with `totalPages` or `hasMore`), an offset (`offset` with `total`). A page that
    /// fails, that repeats an earlier one or that is announced without a way to it leaves the listing
    /// incomplete, see [`Listing::problem`](crate::client::Listing::problem).
    ///
    /// ```
    /// use lab_connector::Client;
    ///
    /// // A service that takes `after` and answers with `last_id` until there is no more.
    /// let builder = Client::builder().next_page(|page| {
    ///     let last = page.around().get("last_id")?.as_str()?;
    ///     Some(format!("?after={last}"))
    /// });
    /// # let _ = builder;
    /// ```
    pub fn next_page(
        mut self,
        next: impl Fn(&Page<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.paging.next = Arc::new(move |page| next(page).into());
        self
    }

    /// Whether only the path and the query of a link to the next page are used, at the origin of the
    /// page that has it: for a service behind a gateway whose links name an inner address. Default: no;
    /// a link to another origin is not followed, and makes the listing incomplete.
    pub fn next_page_on_own_origin(mut self, own: bool) -> Self {
        self.paging.on_own_origin = own;
        self
    }
}

fn clamped(time: Duration) -> Duration {
    // A limit of nothing would fail every call; a longer one than a year overflows some clocks:
    // `Duration::MAX` once panicked a refresh (`every_setter_takes_any_value`).
    time.clamp(Duration::from_millis(1), LONGEST_WAIT)
}

/// The time between two, if so many are spread over a period.
fn spacing(count: u32, period: Duration) -> Duration {
    // `max(1)`: dividing by zero panics.
    period.min(LONGEST_WAIT) / count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_those_of_the_docs_and_none_is_zero_or_endless() {
        let seconds = |builder: &ClientBuilder| {
            let times = &builder.timeouts;
            [times.connect, times.attempt, times.operation, times.idle].map(|time| time.as_secs())
        };
        let builder = ClientBuilder::new();
        assert_eq!(seconds(&builder), [10, 30, 120, 30]);
        assert_eq!(builder.timeouts.minimum_rate, Some(1000));
        let builder = builder
            .connect_timeout(Duration::ZERO)
            .attempt_timeout(Duration::MAX)
            .operation_timeout(Duration::from_nanos(1))
            .idle_timeout(Duration::from_secs(7));
        assert_eq!(seconds(&builder), [0, 365 * 86_400, 0, 7]);
        assert_eq!(builder.timeouts.connect, Duration::from_millis(1));
    }
}
