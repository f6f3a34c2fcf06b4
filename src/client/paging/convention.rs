//! Where the next page is, by whatever the answer offers. Not documented by Align: these are
//! the ways that services of this kind usually go.
//!
//! *Approach.* From the plainest sign to the weakest: a flag, a link, a cursor, a page number, an
//! offset, a total. Pure. It must not end a listing in silence where the answer speaks of more:
//! that is `Unreachable`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use url::Url;

use super::{NextPage, Page, link};
use crate::key::{same_key, same_spelling};

type Object = Map<String, Value>;

// The names below are those of OData, Spring, .NET and Google's APIs, the best of each list first: Align
// documents none. A name is added when a service is seen to use it.

/// Objects that may wrap what an answer says of pages.
const SCOPES: [&str; 8] = [
    "paging",
    "pagination",
    "pageinfo",
    "pageinformation",
    "meta",
    "metadata",
    "links",
    "page",
];
const LINKS: [&str; 7] = [
    "nextlink",
    "@odata.nextlink",
    "odata.nextlink",
    "nexturl",
    "nextpageurl",
    "nextpagelink",
    "nexthref",
];
const CURSORS: [&str; 7] = [
    "nextcursor",
    "nextpagetoken",
    "nexttoken",
    "nextpagecursor",
    "continuationtoken",
    "continuation",
    "cursor",
];
const PAGES: [&str; 5] = ["page", "pagenumber", "currentpage", "pageindex", "number"];
const PAGE_COUNTS: [&str; 5] = [
    "totalpages",
    "pagecount",
    "totalpagecount",
    "numberofpages",
    "pages",
];
const OFFSETS: [&str; 3] = ["offset", "skip", "startindex"];
const TOTALS: [&str; 8] = [
    "total",
    "totalcount",
    "totalitems",
    "totalrecords",
    "totalelements",
    "totalresults",
    "@odata.count",
    "odata.count",
];

/// The convention.
pub(super) fn next(page: &Page<'_>) -> NextPage {
    let said = PageHints::of(page.around);
    let more = said.more();
    // A plain no wins over every other sign.
    if more == Some(false) {
        return NextPage::None;
    }
    // A link before all that is counted: it alone leaves no parameter to be guessed.
    match link::next(page.headers) {
        NextPage::None => {}
        found => return found,
    }
    if let Some(reference) = said.link() {
        return NextPage::At(reference);
    }
    if let Some((name, cursor)) = said.cursor() {
        return at(page.url, &name, &cursor);
    }
    match said.page(page, more) {
        Some(Some((name, number))) => return at(page.url, &name, &number.to_string()),
        // The pages are counted, and this was the last one.
        Some(None) => return NextPage::None,
        None => {}
    }
    if let Some((name, offset)) = said.offset(page, more) {
        return at(page.url, &name, &offset.to_string());
    }
    // More than what was listed, and not a word on how to get it.
    let total = said
        .number(&TOTALS)
        // No platform has more than 64 bits in a `usize`; so below.
        .is_some_and(|(_, total)| total > page.so_far as u64);
    if more == Some(true) || total {
        NextPage::Unreachable
    } else {
        NextPage::None
    }
}

/// What an answer says of pages, whether there is a next one or not.
pub(super) fn signs(headers: &http::HeaderMap, around: &Object) -> BTreeSet<&'static str> {
    let said = PageHints::of(around);
    let has = |names: &[&str]| said.find(names, |_, _| Some(())).is_some();
    let signs = [
        ("link in a header", link::next(headers) != NextPage::None),
        ("link", said.link().is_some() || has(&LINKS)),
        ("cursor", has(&CURSORS)),
        ("page number", said.number(&PAGES).is_some()),
        ("number of pages", said.number(&PAGE_COUNTS).is_some()),
        ("offset", said.number(&OFFSETS).is_some()),
        ("total", said.number(&TOTALS).is_some()),
        ("whether there is more", said.more().is_some()),
    ];
    let seen = signs.into_iter().filter(|(_, seen)| *seen);
    seen.map(|(sign, _)| sign).collect()
}

/// The page's own URL with one parameter changed.
fn at(url: &Url, name: &str, value: &str) -> NextPage {
    let mut next = url.clone();
    // Replaced and not added: which of two `page=` counts is for the service to say.
    let others = url
        .query_pairs()
        .filter(|(key, _)| !same_spelling(key, name));
    next.query_pairs_mut()
        .clear()
        .extend_pairs(others)
        .append_pair(name, value);
    NextPage::At(next.into())
}

/// What the answer says of pages: around the list, and in objects made for it.
struct PageHints<'a>(Vec<&'a Object>);

impl<'a> PageHints<'a> {
    fn of(around: &'a Object) -> Self {
        let mut scopes = vec![around];
        let mut at = 0;
        // `{"meta": {"pagination": {…}}}` is as deep as it goes.
        for _ in 0..2 {
            let end = scopes.len();
            for scope in at..end {
                let inner = scopes[scope].iter().filter_map(|(key, value)| match value {
                    Value::Object(inner) if SCOPES.iter().any(|name| same_key(key, name)) => {
                        Some(inner)
                    }
                    _ => None,
                });
                scopes.extend(inner.collect::<Vec<_>>());
            }
            at = end;
        }
        PageHints(scopes)
    }

    /// The first value that says something, by the best name.
    fn find<T>(&self, names: &[&str], read: impl Fn(&str, &'a Value) -> Option<T>) -> Option<T> {
        names.iter().find_map(|name| {
            self.0.iter().find_map(|scope| {
                scope
                    .iter()
                    .filter(|(key, _)| same_key(key, name))
                    .find_map(|(key, value)| read(key, value))
            })
        })
    }

    fn number(&self, names: &[&str]) -> Option<(String, u64)> {
        self.find(names, |key, value| Some((key.to_owned(), number(value)?)))
    }

    /// Whether it says outright that there is more, or that there is not.
    fn more(&self) -> Option<bool> {
        let yes = self.find(
            &["hasmore", "hasnext", "hasnextpage", "moreavailable", "more"],
            |_, value| value.as_bool(),
        );
        yes.or_else(|| {
            self.find(&["islast", "islastpage", "last"], |_, value| {
                value.as_bool().map(|last| !last)
            })
        })
    }

    fn link(&self) -> Option<String> {
        // By a name that only links have.
        let named = self.find(&LINKS, |_, value| target(value));
        // `next` by itself may be a link or a cursor.
        named.or_else(|| {
            self.find(&["next", "nextpage"], |_, value| {
                target(value).filter(|text| {
                    value.is_object()
                        || text.starts_with(['/', '?'])
                        || text.starts_with("https://")
                        || text.starts_with("http://")
                })
            })
        })
    }

    /// The parameter and the cursor.
    fn cursor(&self) -> Option<(String, String)> {
        let cursor = self.find(&CURSORS, |key, value| {
            let name = match strip_next(key) {
                // `nextToken` is sent back under its own name, as AWS has it.
                Some(name) if !same_key(key, "nexttoken") => name,
                _ => key.to_owned(),
            };
            Some((name, scalar(value)?))
        });
        cursor.or_else(|| {
            self.find(&["next"], |_, value| {
                let text = value.as_str().filter(|text| !text.trim().is_empty())?;
                Some(("cursor".to_owned(), text.to_owned()))
            })
        })
    }

    /// The parameter and the number of the next page; nothing behind the last one.
    fn page(&self, page: &Page<'_>, more: Option<bool>) -> Option<Option<(String, u64)>> {
        if let Some((_, next)) = self.number(&["nextpage", "nextpagenumber", "next"]) {
            return Some(Some((parameter(page.url, "page"), next)));
        }
        let (key, current) = self.number(&PAGES)?;
        let name = match key.as_str() {
            key if same_key(key, "currentpage") || same_key(key, "number") => "page",
            key => key,
        };
        let next = Some((parameter(page.url, name), current.checked_add(1)?));
        let Some((_, count)) = self.number(&PAGE_COUNTS) else {
            return (more == Some(true)).then_some(next);
        };
        // Some count from 0: then the last page is one less than there are pages. Which they do follows
        // from how many pages were read before this one.
        let first = current.saturating_sub(page.number as u64 - 1);
        let last = if first == 0 {
            count.saturating_sub(1)
        } else {
            count
        };
        Some(next.filter(|_| current < last))
    }

    fn offset(&self, page: &Page<'_>, more: Option<bool>) -> Option<(String, u64)> {
        let (name, offset) = self.number(&OFFSETS)?;
        // By what came, not by the page size that was asked for: a service may send fewer.
        let next = offset.checked_add(page.records as u64)?;
        let total = self.number(&TOTALS).map(|(_, total)| total);
        let more = more.unwrap_or(total.is_some_and(|total| next < total));
        // An empty page would ask for itself again.
        (more && page.records > 0).then_some((name, next))
    }
}

/// The name of the page's parameter: as the URL has it already, or as the answer does.
fn parameter(url: &Url, name: &str) -> String {
    let known = ["page", "pagenumber", "pageindex"];
    url.query_pairs()
        .find(|(key, _)| known.iter().any(|known| same_key(key, known)))
        .map_or_else(|| name.to_owned(), |(key, _)| key.into_owned())
}

/// `nextPageToken` is asked for with `pageToken`, `next_cursor` with `cursor`.
fn strip_next(key: &str) -> Option<String> {
    let head = key
        .get(..4)
        .filter(|head| head.eq_ignore_ascii_case("next"))?;
    // Does not panic: `get` has found a boundary at 4.
    let rest = key[4..].trim_start_matches(['_', '-']);
    let mut letters = rest.chars();
    let first = letters.next()?;
    Some(if head.starts_with('n') {
        format!("{}{}", first.to_ascii_lowercase(), letters.as_str())
    } else {
        rest.to_owned()
    })
}

/// A link: text, or an object with `href`.
fn target(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(object) => object
            .iter()
            .find(|(key, _)| ["href", "url"].iter().any(|name| same_key(key, name)))
            .and_then(|(_, value)| value.as_str())?,
        _ => return None,
    };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        // Some write numbers as text. What is not one is no sign at all.
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
