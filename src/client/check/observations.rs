//! What the answers of a service showed: keys, types, forms, and no value. Pure.
//!
//! Everything here goes into a report that people send on, so nothing must be stored but keys,
//! types and forms that `form` has let through. What is counted is bounded: a service may answer
//! with anything.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use serde::Serialize;
use serde_json::{Map, Value};
use url::Url;

use super::form::{is_plain, spelling_of, status_shown, status_spelling, time_of, type_of};
use super::place::Place;
use crate::model::lenient::Shapes;
use crate::model::{is_known_kind, shapes};

/// So many records of an answer are looked into: forms repeat, and more of them would show nothing new.
const RECORDS: usize = 500;

/// So many keys of a kind of record are shown: an object that is used as a map has one for each of its
/// entries.
const KEYS: usize = 100;

/// Everything that was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Observations {
    /// The keys of each kind of record, and of the objects around lists.
    pub(super) records: BTreeMap<&'static str, Keys>,
    pub(super) lists: BTreeSet<&'static str>,
    pub(super) paging: BTreeSet<&'static str>,
    /// How many records the first of several pages had.
    pub(super) page_size: Option<usize>,
    pub(super) statuses: BTreeSet<String>,
    pub(super) status_spellings: BTreeSet<&'static str>,
    /// Statuses that the crate does not know, as far as they may be shown.
    pub(super) unknown_statuses: BTreeSet<String>,
    pub(super) id_types: BTreeMap<&'static str, BTreeSet<&'static str>>,
    pub(super) times: BTreeSet<&'static str>,
    pub(super) file_kinds: BTreeSet<String>,
    /// How many orders have a kind that the crate does not know, for each view.
    #[serde(skip)]
    kind_orders: BTreeMap<(&'static str, String), usize>,
    pub(super) file_places: BTreeSet<&'static str>,
    /// Headers of the answers that are about validators, digests, ranges and limits, by name.
    pub(super) headers: BTreeSet<&'static str>,
    pub(super) empty_list: Option<&'static str>,
    pub(super) elsewhere: Option<&'static str>,
    pub(super) error_form: Option<&'static str>,
    pub(super) missing_code: Option<u16>,
    pub(super) discovery: Option<&'static str>,
    pub(super) refresh_tokens: Option<&'static str>,
    pub(super) ranges: Option<bool>,
    pub(super) etags: Option<bool>,
    pub(super) left_the_list: Option<&'static str>,
}

/// The keys of one kind of record.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Keys {
    #[serde(flatten)]
    pub(super) keys: BTreeMap<String, Key>,
    /// The most keys of a record that are no plain identifiers, and are not shown.
    #[serde(rename = "(not shown)", skip_serializing_if = "is_zero")]
    hidden: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Key {
    pub(super) types: BTreeSet<&'static str>,
    /// The field that the crate reads it as.
    pub(super) read_as: Option<&'static str>,
    /// The keys of the value, if it is an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    inner: Option<Box<Keys>>,
}

/// Names of headers that say something of files and limits.
const HEADERS: [&str; 12] = [
    "etag",
    "last-modified",
    "accept-ranges",
    "content-range",
    "content-md5",
    "digest",
    "repr-digest",
    "content-digest",
    "retry-after",
    "ratelimit",
    "ratelimit-limit",
    "x-ratelimit-limit",
];

impl Observations {
    /// What a list shows of itself.
    pub(super) fn list(&mut self, place: &Place<'_>, around: &'static str) {
        self.lists.insert(match place.depth {
            0 => "bare",
            1 => "in an object",
            _ => "in an object in an object",
        });
        self.records
            .entry(around)
            .or_default()
            // One level: what an envelope holds deeper down is not about the list.
            .add(&place.around, &|_| None, 1);
    }

    pub(super) fn empty(&mut self, place: &Place<'_>) {
        if place.records.is_empty() {
            self.empty_list = Some(if place.is_null { "null" } else { "a list" });
        }
    }

    /// Records of a kind whose ids are of interest.
    pub(super) fn accounts(&mut self, records: &[Value], shapes: &Shapes) {
        for fields in records.iter().take(RECORDS).filter_map(Value::as_object) {
            self.record("account", "account", fields, shapes);
            self.ids("account", fields, &["accountid"], shapes);
        }
    }

    /// An order; `is_own` says of a URL whether it is the service's.
    pub(super) fn order(
        &mut self,
        kind: &'static str,
        fields: &Map<String, Value>,
        shapes: &Shapes,
        is_own: &dyn Fn(&Url) -> bool,
    ) {
        self.record(kind, "order", fields, shapes);
        self.ids("order", fields, &["orderid", "rxid", "accountid"], shapes);
        for (key, value) in fields {
            match shapes::field_of("order", key, shapes) {
                Some("status") => self.status(value, shapes),
                Some("createdat" | "modifiedat") => self.time(value),
                Some("assets") => self.files(kind, value, shapes, is_own),
                Some("history") => self.history(value, shapes),
                _ => {}
            }
        }
    }

    pub(super) fn orders(
        &mut self,
        kind: &'static str,
        records: &[Value],
        shapes: &Shapes,
        is_own: &dyn Fn(&Url) -> bool,
    ) {
        for fields in records.iter().take(RECORDS).filter_map(Value::as_object) {
            self.order(kind, fields, shapes, is_own);
        }
    }

    pub(super) fn headers(&mut self, headers: &HeaderMap) {
        let found = HEADERS.iter().filter(|name| headers.contains_key(**name));
        self.headers.extend(found);
    }

    fn files(
        &mut self,
        view: &'static str,
        value: &Value,
        shapes: &Shapes,
        is_own: &dyn Fn(&Url) -> bool,
    ) {
        let mut kinds = BTreeSet::new();
        for fields in value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
        {
            self.record("file", "asset", fields, shapes);
            self.ids("file", fields, &["assetid"], shapes);
            let mut place = "no URL";
            for (key, value) in fields {
                match shapes::field_of("asset", key, shapes) {
                    Some("modifiedat") => self.time(value),
                    Some("assettype") => {
                        // A kind of file is a word; any other text may be a name.
                        kinds.extend(value.as_str().filter(|kind| is_plain(kind)));
                    }
                    Some("downloadurl") => {
                        let url = value.as_str().and_then(|text| Url::parse(text).ok());
                        place = match url {
                            Some(url) if is_own(&url) => "a URL at the service",
                            Some(_) => "a URL at another host",
                            None => "a URL that is none",
                        };
                    }
                    _ => {}
                }
            }
            self.file_places.insert(place);
        }
        for kind in kinds {
            self.kind(view, kind);
        }
    }

    /// A kind of file of an order. What should be a kind may be the name of a file, and with it that of a
    /// patient: a word that nobody knows is shown only where another order has it too.
    fn kind(&mut self, view: &'static str, kind: &str) {
        if !is_known_kind(kind) {
            let key = (view, kind.to_owned());
            if self.kind_orders.len() >= KEYS && !self.kind_orders.contains_key(&key) {
                return;
            }
            let orders = self.kind_orders.entry(key).or_default();
            *orders += 1;
            if *orders < 2 {
                return;
            }
        }
        self.file_kinds.insert(kind.to_owned());
    }

    fn history(&mut self, value: &Value, shapes: &Shapes) {
        for entry in value.as_array().into_iter().flatten() {
            let Value::Object(fields) = entry else {
                self.status(entry, shapes);
                continue;
            };
            self.record("entry of a history", "history", fields, shapes);
            for (key, value) in fields {
                match shapes::field_of("history", key, shapes) {
                    Some("status") => self.status(value, shapes),
                    Some("at") => self.time(value),
                    _ => {}
                }
            }
        }
    }

    fn status(&mut self, value: &Value, shapes: &Shapes) {
        let text = match value {
            Value::Object(fields) => {
                self.record("status", "status", fields, shapes);
                let named = |key: &&String| shapes::field_of("status", key, shapes).is_some();
                let key = fields.keys().find(named);
                key.and_then(|key| fields[key.as_str()].as_str())
            }
            value => value.as_str(),
        };
        let Some(text) = text else { return };
        self.status_spellings.insert(status_spelling(text));
        let Some(shown) = status_shown(text) else {
            return;
        };
        if !crate::status::OrderStatus::from(text).is_known() {
            self.unknown_statuses.insert(shown.clone());
        }
        self.statuses.insert(shown);
    }

    fn time(&mut self, value: &Value) {
        if !value.is_null() {
            self.times.insert(time_of(value));
        }
    }

    fn record(
        &mut self,
        kind: &'static str,
        named: &'static str,
        fields: &Map<String, Value>,
        shapes: &Shapes,
    ) {
        let read_as = |key: &str| shapes::field_of(named, key, shapes);
        self.records
            .entry(kind)
            .or_default()
            // Two levels: the keys of a patient or a doctor, and nothing within those.
            .add(fields, &read_as, 2);
    }

    fn ids(
        &mut self,
        named: &'static str,
        fields: &Map<String, Value>,
        ids: &[&'static str],
        shapes: &Shapes,
    ) {
        // Reports say "file", the tables of fields say "asset".
        let named = if named == "file" { "asset" } else { named };
        for (key, value) in fields {
            let field = shapes::field_of(named, key, shapes);
            if let Some(id) = field.filter(|field| ids.contains(field)) {
                self.id_types.entry(id).or_default().insert(type_of(value));
            }
        }
    }

    /// Whether a kind of record shows a field; none if there was no such record.
    pub(super) fn shows(&self, kind: &str, field: &str) -> Option<bool> {
        let keys = self.records.get(kind)?;
        Some(keys.keys.values().any(|key| key.read_as == Some(field)))
    }

    /// How most keys of several words are spelled.
    pub(super) fn key_spelling(&self) -> Option<&'static str> {
        let mut counts = BTreeMap::new();
        for keys in self.records.values() {
            for key in keys.keys.keys() {
                if let Some(spelling) = spelling_of(key) {
                    *counts.entry(spelling).or_insert(0_usize) += 1;
                }
            }
        }
        counts
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map(|(spelling, _)| spelling)
    }
}

impl Keys {
    fn add(
        &mut self,
        fields: &Map<String, Value>,
        read_as: &dyn Fn(&str) -> Option<&'static str>,
        depth: usize,
    ) {
        let mut hidden = 0;
        for (name, value) in fields {
            // A key may be data as well: an object may have names of people as its keys.
            if !is_plain(name) || (self.keys.len() >= KEYS && !self.keys.contains_key(name)) {
                hidden += 1;
                continue;
            }
            let key = self.keys.entry(name.clone()).or_default();
            key.types.insert(type_of(value));
            key.read_as = read_as(name);
            if let Value::Object(inner) = value
                && depth > 1
            {
                key.inner
                    .get_or_insert_default()
                    .add(inner, &|_| None, depth - 1);
            }
        }
        // The most of one record and not the sum: a listing repeats the same keys.
        self.hidden = self.hidden.max(hidden);
    }

    /// A line for each key.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(name, key): (&String, &Key)| {
            let types: Vec<_> = key.types.iter().copied().collect();
            let mut line = format!("{name}: {}", types.join(" or "));
            if let Some(inner) = &key.inner {
                let keys: Vec<_> = inner.keys.keys().map(String::as_str).collect();
                line += &format!(" {{{}}}", keys.join(", "));
            }
            if let Some(field) = key.read_as {
                line += &format!(", read as `{field}`");
            }
            line
        };
        let mut lines: Vec<_> = self.keys.iter().map(line).collect();
        if self.hidden > 0 {
            lines.push(format!(
                "{} keys that are no plain names are not shown",
                self.hidden
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kind_of_file_that_nobody_knows_is_shown_where_two_orders_have_it() {
        let order = |kinds: [&str; 2]| json!({"orderId": 1, "assets": kinds.map(|kind| json!({"type": kind}))});
        let shapes = Shapes::default();
        let mut seen = Observations::default();
        let orders = [order(["MODEL", "Doe"]), order(["image_gallery", "Roe"])];
        seen.orders("listed order", &orders, &shapes, &|_| false);
        // The same order, fetched by itself.
        seen.orders("order", &orders[..1], &shapes, &|_| false);
        assert_eq!(seen.file_kinds, ["image_gallery".to_owned()].into());
        let orders = [order(["MODEL", "MODEL"])];
        seen.orders("listed order", &orders, &shapes, &|_| false);
        let shown = ["MODEL".to_owned(), "image_gallery".to_owned()];
        assert_eq!(seen.file_kinds, shown.into());
    }

    #[test]
    fn an_order_is_described_without_a_value_of_it() {
        let order = json!({
            "orderId": 4711, "rxId": "rx-canary", "status": "Scanning (Dr Canary)",
            "patient": {"firstName": "canary", "Canary, Jane": 1}, "createdAt": "2026-03-14T09:26:53Z",
            "Canary, Jane": true,
            "assets": [
                {"assetId": "canary", "type": "IDE", "url": "https://cdn.example/?sig=canary"},
                {"type": "for Jane canary"}, {"type": "jane.canary"}, {"type": "Canary"}, {"type": "MODEL"},
            ],
            "history": ["Canary is being called by Dr Jane", {"status": "ON_HOLD", "at": 1_773_480_413}],
        });
        let mut seen = Observations::default();
        let shapes = Shapes::default();
        seen.orders("order", &[order], &shapes, &|_| false);
        let text = serde_json::to_string(&seen).unwrap();
        assert!(
            !text.to_lowercase().contains("canary") && !text.contains("4711"),
            "{text}"
        );
        assert_eq!(seen.id_types["orderid"], ["whole number"].into());
        assert_eq!(seen.id_types["rxid"], ["text"].into());
        assert_eq!(
            seen.statuses,
            ["ON_HOLD".to_owned(), "Scanning (…)".to_owned()].into()
        );
        assert_eq!(seen.unknown_statuses, ["ON_HOLD".to_owned()].into());
        assert_eq!(seen.file_kinds, ["IDE".to_owned()].into());
        assert_eq!(seen.file_places, ["a URL at another host", "no URL"].into());
        assert_eq!(
            seen.times,
            ["seconds since 1970", "time with an offset"].into()
        );
        let lines = seen.records["order"].lines();
        assert!(
            lines.contains(&"patient: object {firstName}".to_owned()),
            "{lines:?}"
        );
        assert!(lines.contains(&"orderId: whole number, read as `orderid`".to_owned()));
        assert_eq!(seen.shows("order", "history"), Some(true));
        assert_eq!(seen.shows("file", "size"), Some(false));
        assert_eq!(seen.shows("account", "name"), None);
        assert_eq!(seen.key_spelling(), Some("camelCase"));
    }
}
