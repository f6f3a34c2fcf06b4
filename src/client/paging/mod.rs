//! Listings that come in pages.
//!
//! *Problem.* Whether *Get Orders* answers in pages, and how the next one is asked for, is not
//! documented. A listing that lacks a page is worse than none: what is not in it looks
//! as if the lab had downloaded it.
//!
//! *Default.* What the answer offers is taken: a link (RFC 8288's header, `next`, `nextLink`,
//! `links.next`), a cursor (`nextCursor`, `nextPageToken`, `continuationToken`), a page number
//! (`page` with `totalPages` or `hasMore`), an offset (`offset` with `total`). A page that
//! fails, that repeats an earlier one or that is announced without a way to it leaves the
//! listing incomplete, see [`Listing::problem`](super::Listing::problem). A convention of this
//! crate.
//!
//! *When to change it.* With the specification in hand: [`ClientBuilder::next_page`](super::ClientBuilder::next_page).

mod convention;
mod link;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::Value;
use url::Url;

use super::caller::Caller;
use super::listing::{ListingLimits, Rules, over};
use super::orders::{Gaps, Unreadable};
use super::pipeline::{Answer, Call, ReadLimits};
use crate::error::{Error, Result};
use crate::model::lenient::{
    ExceededLimit, LocatedFault, Record, Records, StopReason, UNREADABLE_LIMIT,
};

/// How the pages of a listing are found; see
/// [`ClientBuilder::next_page`](super::ClientBuilder::next_page).
#[derive(Clone)]
pub(super) struct Paging {
    pub(super) on_own_origin: bool,
    pub(super) next: Arc<dyn Fn(&Page<'_>) -> NextPage + Send + Sync>,
}

impl Default for Paging {
    fn default() -> Self {
        Paging {
            on_own_origin: false,
            next: Arc::new(convention::next),
        }
    }
}

/// Where the page after a page is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum NextPage {
    /// There is none: the listing is complete.
    None,
    /// At this URL, or at this reference relative to the page's own.
    At(String),
    /// There is one, and no way to it: the listing is not complete.
    Unreachable,
}

impl From<Option<String>> for NextPage {
    fn from(next: Option<String>) -> Self {
        next.map_or(NextPage::None, NextPage::At)
    }
}

/// A page that was read, as [`ClientBuilder::next_page`](super::ClientBuilder::next_page) sees it.
pub struct Page<'a> {
    number: usize,
    url: &'a Url,
    headers: &'a HeaderMap,
    around: &'a serde_json::Map<String, Value>,
    records: usize,
    so_far: usize,
}

impl Page<'_> {
    /// Which page it is, counted from 1 in the order in which they were read.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The URL that it was asked for with.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.url
    }

    /// The answer's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers
    }

    /// What is around the list in the answer's body, by its own keys; empty for a bare
    /// list. Of a list in several wrappings, all levels in one.
    #[must_use]
    pub fn around(&self) -> &serde_json::Map<String, Value> {
        self.around
    }

    /// How many records it lists, readable or not.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }
}

impl fmt::Debug for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("number", &self.number)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// What an answer says of pages, by the convention.
pub(super) fn signs(
    headers: &HeaderMap,
    around: &serde_json::Map<String, Value>,
) -> BTreeSet<&'static str> {
    convention::signs(headers, around)
}

impl Caller {
    /// Reads a listing to its end. Only a failure of the first page is an error: what was read
    /// before a later one fails is not lost.
    pub(super) async fn pages<T: Record + Send + 'static>(
        &self,
        call: Call<'_>,
        id: impl Fn(&T) -> &str,
    ) -> Result<(Vec<T>, Gaps)> {
        let title = call.operation.title();
        let paging = &self.client.inner.paging;
        let (mut all, mut gaps) = (Vec::new(), Gaps::default());
        // Records so far, readable or not.
        let mut count = 0;
        let mut seen = SeenPages::default();
        let mut room = RemainingLimits::new(self);
        let mut next = None;
        for number in 1.. {
            let mut call = call.clone();
            call.url = next.take();
            let (answer, records) = match self.page::<T>(call, &mut room).await {
                Ok(page) => page,
                // Nothing was read, so that an error loses nothing.
                Err(error) if number == 1 => return Err(error.with_operation(title)),
                Err(error) => {
                    gaps.problem = Some(error);
                    break;
                }
            };
            let step = (paging.next)(&Page {
                number,
                url: &answer.url,
                headers: &answer.headers,
                around: &records.around,
                records: records.count,
                so_far: count + records.count,
            });
            // A listing of a single page, which most are, pays nothing for the guard: it hashes the body and
            // copies each id.
            let guarded = number > 1 || step != NextPage::None;
            if guarded && seen.repeats(&answer, &records, &id) {
                gaps.problem = Some(Error::decode("a page repeats an earlier one"));
                break;
            }
            // What is over a limit still belongs to the listing.
            gaps.problem = room.problem(&answer, &records);
            gaps.add(title, count, records.unreadable);
            count += records.count;
            // The one page of most listings is taken over, and not copied.
            if all.is_empty() {
                all = records.good;
            } else {
                all.extend(records.good);
            }
            if gaps.problem.is_some() {
                break;
            }
            let found = match step {
                NextPage::None => break,
                NextPage::Unreachable => Err("there are more records, and no way to them"),
                // Pages that are empty or always new repeat nothing: only a count ends them.
                NextPage::At(_) if number >= room.limits.pages => {
                    Err("it has more pages than `ListingLimits::pages` allows")
                }
                NextPage::At(reference) => seen.follow(paging, &answer, &reference),
            };
            match found {
                Ok(url) => next = Some(url),
                Err(why) => {
                    gaps.problem = Some(Error::decode(why));
                    break;
                }
            }
        }
        gaps.problem = gaps.problem.map(|error| error.with_operation(title));
        Ok((all, gaps))
    }

    async fn page<T: Record + Send + 'static>(
        &self,
        mut call: Call<'_>,
        room: &mut RemainingLimits,
    ) -> Result<(Answer, Records<T>)> {
        let wire = &self.client.protocol().wire;
        let rules = Rules::new(&self.client, call.operation, room.limits);
        // Before the request: nothing of its answer could be kept.
        if room.limits.bytes == 0 {
            return Err(over(ExceededLimit::Bytes));
        }
        call.take = Some(ReadLimits {
            bytes: room.limits.bytes,
            until: room.ends,
        });
        let left = room.ends.saturating_sub(wire.clock.elapsed());
        if left.is_zero() {
            return Err(over(ExceededLimit::Time));
        }
        let reading = async {
            let answer = self.send(call).await?;
            let records = answer.records(rules).await?;
            Ok((answer, records))
        };
        // A moment more than its body has: what came in time must still be read.
        let limit = left.saturating_add(Duration::from_secs(1));
        let page = wire.within(limit, reading).await;
        page.unwrap_or_else(|| Err(over(ExceededLimit::Time)))
    }
}

/// What is left of the limits of a listing.
struct RemainingLimits {
    limits: ListingLimits,
    /// In elapsed time.
    ends: Duration,
}

impl RemainingLimits {
    fn new(caller: &Caller) -> Self {
        let wire = &caller.client.protocol().wire;
        let limits = caller.client.inner.listing;
        RemainingLimits {
            limits,
            ends: wire.clock.elapsed().saturating_add(limits.time),
        }
    }

    /// Takes what a page has from what is left. Why there may be more, as far as the page says it.
    fn problem<T>(&mut self, answer: &Answer, records: &Records<T>) -> Option<Error> {
        self.limits.bytes = self.limits.bytes.saturating_sub(answer.body.len());
        self.limits.records = self.limits.records.saturating_sub(records.size);
        // What stopped the reader comes first: a cut lies behind it, and a fault may be the cut's doing.
        match (&answer.cut, records.stop, records.problem) {
            (_, Some(StopReason::ExceededLimit(limit)), _) => Some(answer.unfit(over(limit))),
            (Some(cut), ..) => Some(answer.unfit(cut.clone())),
            (None, _, Some(fault)) => Some(answer.unreadable(fault)),
            (None, ..) => None,
        }
    }
}

impl Gaps {
    /// Takes in what cannot be read of a page, before which so many records came.
    fn add(&mut self, title: &'static str, before: usize, faults: Vec<(usize, LocatedFault)>) {
        let room = UNREADABLE_LIMIT.saturating_sub(self.unreadable.len());
        let unreadable = faults.into_iter().take(room).map(|(position, located)| {
            let position = before + position;
            let at = if located.path.is_empty() {
                ": "
            } else {
                " at "
            };
            let error = Error::decode(format!("record {position}{at}{located}"));
            let error = error.with_path(&located.path).with_operation(title);
            Unreadable::new(position, error, &located.ids)
        });
        self.unreadable.extend(unreadable);
    }
}

/// What was asked for and what came, to notice that it comes again.
#[derive(Default)]
struct SeenPages {
    urls: HashSet<Url>,
    ids: HashSet<String>,
    last: Option<u64>,
}

impl SeenPages {
    /// Whether the page brings nothing but what was there, and something of that.
    fn repeats<T>(
        &mut self,
        answer: &Answer,
        records: &Records<T>,
        id: impl Fn(&T) -> &str,
    ) -> bool {
        self.urls.insert(answer.url.clone());
        // A hash is enough: if two pages in a row had the same one by chance, the listing would
        // only be incomplete.
        let mut hasher = DefaultHasher::new();
        answer.body.hash(&mut hasher);
        let body = Some(hasher.finish());
        let same = self.last == body;
        self.last = body;
        let mut new = false;
        for record in &records.good {
            new |= self.ids.insert(id(record).to_owned());
        }
        // Empty pages may follow each other: services that filter after paging send them
        // (`an_empty_page_is_no_end`).
        records.count > 0 && (same || (!records.good.is_empty() && !new))
    }

    /// The URL of a reference, relative to the page that holds it.
    fn follow(
        &self,
        paging: &Paging,
        answer: &Answer,
        reference: &str,
    ) -> Result<Url, &'static str> {
        let mut url = answer
            .url
            .join(reference)
            .map_err(|_| "the link to the next page is no URL")?;
        // It is not sent, and would make the same page look like another one.
        url.set_fragment(None);
        if paging.on_own_origin {
            let mut own = answer.url.clone();
            own.set_path(url.path());
            own.set_query(url.query());
            url = own;
        }
        if self.urls.contains(&url) {
            return Err("the next page is one that was read before");
        }
        // A link decides what is read, never what is done.
        if answer.method != Method::GET && url.path() != answer.url.path() {
            return Err("the link to the next page leads to another endpoint");
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests;
