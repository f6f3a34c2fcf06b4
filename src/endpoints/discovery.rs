//! What Discovery says, and the endpoints that result from it.
//!
//! *Problem.* The form of Discovery's answer is not public, the answer may be wrong for a while,
//! and ten thousand accounts ask for endpoints all the time.
//!
//! *Approach.* A good answer replaces the endpoints in one step; a bad one changes nothing.
//! Discovery must not decide where credentials may go, nor where Discovery itself is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use url::Url;

use super::json::{DOMAINS, URLS, join, lenient_field};
use super::{Endpoint, EndpointSource, Endpoints, Operation};
use crate::error::{Error, Result};
use crate::text;
use crate::transport::wire::SHORT;

/// An answer that is older is asked for anew before the next call. Access tokens live an hour, and
/// Discovery is asked before each refresh: only tokens that live longer let it become so old.
/// Convention.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);

/// So many answers in a row that something is not there mean that the paths are wrong, if nothing has
/// been there for so long: a flood of forged notifications asks for as many orders that do not exist.
/// Conventions.
const MISSING: (u32, Duration) = (3, Duration::from_secs(10 * 60));

/// The endpoints in force: those configured, with Discovery's last good answer laid over them.
#[derive(Debug)]
pub(crate) struct Directory {
    configured: Endpoints,
    // Held for a clone of two pointers, never across an await. A call keeps the endpoints that it
    // began with.
    in_force: RwLock<CurrentEndpoints>,
    /// How many calls in a row were answered with 404.
    missing: AtomicU32,
    /// When a call last succeeded, in seconds of elapsed time, counted from 1; 0 if none has.
    found: AtomicU64,
}

#[derive(Clone, Debug)]
struct CurrentEndpoints {
    endpoints: Arc<Endpoints>,
    answer: Option<Arc<DiscoveryAnswer>>,
}

/// An answer of Discovery, as it is kept beside the tokens.
#[derive(Clone, Debug)]
pub(crate) struct DiscoveryAnswer {
    /// When it came, by the time of day.
    pub(crate) at: SystemTime,
    /// The endpoint that answered. A store may be shared by a test environment and a live one: the
    /// answer of one must not count for the other.
    pub(crate) from: String,
    /// The endpoints that it names, as [`Endpoints::to_json`] writes them. They are read only where
    /// they are news: each of ten thousand labs has a copy.
    pub(crate) endpoints: Value,
}

impl Directory {
    pub(crate) fn new(configured: Endpoints) -> Self {
        let in_force = RwLock::new(CurrentEndpoints {
            endpoints: Arc::new(configured.clone()),
            answer: None,
        });
        Directory {
            configured,
            in_force,
            missing: AtomicU32::new(0),
            found: AtomicU64::new(0),
        }
    }

    pub(crate) fn current(&self) -> Arc<Endpoints> {
        self.in_force().endpoints
    }

    pub(crate) fn resolve(&self, operation: Operation) -> Result<Endpoint> {
        self.current().resolve(operation).cloned()
    }

    /// The answer in force, to be kept.
    pub(crate) fn answer(&self) -> Option<Arc<DiscoveryAnswer>> {
        self.in_force().answer
    }

    /// Whether Discovery has to be asked before an operation is called: its endpoint is not known,
    /// or what is known is old.
    pub(crate) fn lacks(&self, operation: Operation, now: SystemTime) -> bool {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        let CurrentEndpoints { endpoints, answer } = &*in_force;
        // An answer from the future is not old: a clock that was set back must not cost a request
        // before each call.
        let old = |answer: &Arc<DiscoveryAnswer>| {
            let age = now.duration_since(answer.at);
            age.is_ok_and(|age| age > OLD)
        };
        operation != Operation::Discovery
            && endpoints.has(Operation::Discovery)
            && (!endpoints.has(operation) || answer.as_ref().is_some_and(old))
    }

    /// Puts an answer of Discovery in force. An answer that cannot be read changes nothing.
    pub(crate) fn update(&self, answer: &[u8], now: SystemTime) -> Result<()> {
        let discovered = read(answer, &self.configured)?;
        self.put(
            &discovered,
            DiscoveryAnswer {
                at: now,
                // Empty only where Discovery was asked without an endpoint, which `resolve` refuses
                // before.
                from: self.place().unwrap_or_default(),
                endpoints: discovered.to_json(),
            },
        );
        Ok(())
    }

    /// Takes over an answer that was kept, if it is newer than the one in force. One from the future
    /// only where there is none: a clock was wrong, and nobody knows when it came.
    pub(crate) fn adopt(&self, kept: &DiscoveryAnswer, now: SystemTime) {
        let newer = match self.answer() {
            Some(known) => known.at < kept.at && kept.at <= now,
            None => true,
        };
        if !newer || self.place().as_deref() != Some(&kept.from) {
            return;
        }
        if let Ok(mut discovered) = Endpoints::from_value(&kept.endpoints) {
            for endpoint in discovered.map.values_mut() {
                // A stored answer ranks as Discovery's, whatever it says of itself.
                endpoint.source = EndpointSource::Discovered;
            }
            self.put(&discovered, kept.clone());
        }
    }

    /// Notes that an operation was answered with success. `now` is in elapsed time.
    pub(crate) fn found(&self, now: Duration) {
        let second = now.as_secs().saturating_add(1);
        // Of many calls in a second one writes.
        if self.found.load(Ordering::Relaxed) != second {
            self.found.store(second, Ordering::Relaxed);
            self.missing.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that an operation was answered with 404. Says whether the path is likely to be wrong:
    /// a list is always there, and a single thing may not be.
    pub(crate) fn missed(&self, operation: Operation, now: Duration) -> bool {
        let found = self.found.load(Ordering::Relaxed);
        let since = Duration::from_secs(now.as_secs().saturating_add(1).saturating_sub(found));
        let lists = matches!(operation, Operation::GetOrders | Operation::GetAccounts);
        // A list that is not there means a wrong path at once
        // (`when_everything_is_gone_discovery_is_asked`). A single thing may be gone: it counts only
        // where nothing has been found for long.
        if lists || found != 0 && since < MISSING.1 {
            return lists;
        }
        // Relaxed, here and in `found`: the count guards nothing else, and one that gets lost costs one
        // more 404.
        let before = self.missing.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1) >= MISSING.0
    }

    fn put(&self, discovered: &Endpoints, answer: DiscoveryAnswer) {
        let in_force = CurrentEndpoints {
            endpoints: Arc::new(self.configured.overridden_by(discovered)),
            answer: Some(Arc::new(answer)),
        };
        *self
            .in_force
            .write()
            // Replaced in one assignment: a panic cannot break it, so poisoning says nothing.
            .unwrap_or_else(PoisonError::into_inner) = in_force;
        // Other endpoints: what was missing at the old ones says nothing of them.
        self.missing.store(0, Ordering::Relaxed);
    }

    fn in_force(&self) -> CurrentEndpoints {
        let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
        in_force.clone()
    }

    /// Where Discovery is.
    fn place(&self) -> Option<String> {
        let endpoint = self.configured.resolve(Operation::Discovery).ok()?;
        Some(endpoint.template.as_str().to_owned())
    }
}

/// Reads Discovery's answer. Documented is that it returns the regional domain and path of all
/// endpoints; its form is not. Conventions, all of them read: an object that maps names of
/// services to the entries of [`Endpoints::from_json`], or has one under `endpoints`, or a list
/// of entries with their `name` there; a `domain` beside them that paths are below. Names
/// that this release does not know are passed over, and so are entries that cannot be read, as long
/// as there are others.
pub(crate) fn read(answer: &[u8], configured: &Endpoints) -> Result<Endpoints> {
    let wrong = |what: &str| Error::decode(what).with_operation(Operation::Discovery.title());
    if answer.len() > SHORT {
        return Err(wrong("it is longer than 1 MiB"));
    }
    let value: Value =
        text::json(answer, None).map_err(|error| wrong("it is not JSON").with_source(error))?;
    // An answer that is a list has no domain beside it.
    let nothing = serde_json::Map::new();
    let object = value.as_object().unwrap_or(&nothing);

    let mut endpoints = Endpoints {
        base_url: configured.base_url.clone(),
        ..Endpoints::default()
    };
    if let Some(domain) = lenient_field(object, DOMAINS).and_then(Value::as_str) {
        let base = Url::parse(&join(domain, ""))
            .map_err(|error| wrong("its domain is none").with_source(error))?;
        endpoints.base_url = Some(base);
    }
    // The first entry that cannot be read is the error if no other one can.
    let mut bad = None;
    let mut read = |name: &str, entry: &Value| {
        // Where Discovery itself is, the configuration says.
        let known = Operation::from_name(name).filter(|known| *known != Operation::Discovery);
        let Some(operation) = known else { return };
        if let Err(error) = endpoints.read_entry(operation, entry, EndpointSource::Discovered) {
            let error =
                wrong(&format!("its `{}` is no endpoint", operation.name())).with_source(error);
            #[cfg(feature = "tracing")]
            tracing::warn!(target: "lab_connector", %error, "an entry of Discovery is passed over");
            bad.get_or_insert(error);
        }
    };
    match entries(&value) {
        Value::Object(entries) => {
            for (name, entry) in entries {
                read(name, entry);
            }
        }
        Value::Array(entries) => {
            for entry in entries.iter().filter_map(Value::as_object) {
                let name = lenient_field(entry, &["name", "service", "operation"]);
                if let Some(name) = name.and_then(Value::as_str) {
                    read(name, &Value::Object(entry.clone()));
                }
            }
        }
        _ => return Err(wrong("it is no object")),
    }
    if endpoints.map.is_empty() {
        return Err(bad.unwrap_or_else(|| wrong("it names no endpoint")));
    }
    // Discovery must not change the base of the configuration's relative URLs.
    endpoints.base_url = None;
    Ok(endpoints)
}

/// What names operations in an answer: a member made for it, or the answer itself.
fn entries(answer: &Value) -> &Value {
    let fields = answer.as_object();
    let inner = fields.and_then(|fields| lenient_field(fields, &["endpoints", "services"]));
    inner.unwrap_or(answer)
}

/// Which of the forms that are read an answer has.
pub(crate) fn form(answer: &Value) -> Option<&'static str> {
    let is_whole = |entry: &Value| match entry {
        Value::String(text) => text.contains("://"),
        Value::Object(fields) => lenient_field(fields, URLS).is_some(),
        _ => false,
    };
    match entries(answer) {
        Value::Array(_) => Some("a list"),
        Value::Object(entries) if entries.values().any(is_whole) => Some("endpoints"),
        Value::Object(_) => Some("paths below a domain"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_by_the_keys_that_are_read() {
        let form = |text: &str| form(&serde_json::from_str(text).unwrap());
        for (text, expected) in [
            (
                r#"{"get_orders": "https://a.example/o"}"#,
                Some("endpoints"),
            ),
            (
                r#"{"get_orders": {"href": "https://a.example/o"}}"#,
                Some("endpoints"),
            ),
            (
                r#"{"Endpoints": {"get_orders": {"path": "/o"}}, "services": []}"#,
                Some("paths below a domain"),
            ),
            (r#"{"services": []}"#, Some("a list")),
            ("7", None),
        ] {
            assert_eq!(form(text), expected, "{text}");
        }
    }

    fn configured() -> Endpoints {
        Endpoints::from_base_url("https://a.example/v1/").unwrap()
    }

    #[test]
    fn domains_and_paths_come_together_in_whatever_form() {
        for answer in [
            r#"{"getOrders": "https://eu.example/v2/orders"}"#,
            r#"{"endpoints": {"Get Orders": "GET https://eu.example/v2/orders"}}"#,
            r#"{"Domain": "eu.example/v2", "Endpoints": {"get_orders": "orders"}}"#,
            r#"{"domain": "https://eu.example", "endpoints": {"get_orders": "/v2/orders"}}"#,
            r#"{"endpoints": {"get_orders": {"domain": "eu.example", "path": "/v2/orders"}}}"#,
            r#"[{"name": "GetOrders", "domain": "https://eu.example/", "path": "v2/orders"}]"#,
            r#"{"services": [{"Service": "Get Orders", "Url": "https://eu.example/v2/orders"}, 7]}"#,
            "\u{FEFF}{\"getOrders\": \"https://eu.example/v2/orders\", \"region\": \"\\ud83d\"}",
        ] {
            let read = read(answer.as_bytes(), &configured()).unwrap();
            let (method, url) = read.endpoint(Operation::GetOrders).unwrap();
            assert_eq!(
                (method.as_str(), url),
                ("GET", "https://eu.example/v2/orders"),
                "{answer}"
            );
            assert_eq!(read.configured_urls().count(), 0);
        }
        // Without a domain, a path is below the base URL; two slashes are no host.
        let answer = br#"{"get_orders": "orders", "pair": "//evil.example/pair"}"#;
        let read = read(answer, &configured()).unwrap();
        let url = |operation| read.endpoint(operation).unwrap().1.to_owned();
        assert_eq!(url(Operation::GetOrders), "https://a.example/v1/orders");
        assert_eq!(url(Operation::Pair), "https://a.example//evil.example/pair");
    }

    #[test]
    fn an_answer_that_cannot_be_read_changes_nothing() {
        let directory = Directory::new(configured());
        let good = br#"{"get_orders": "https://eu.example/{accountNo}"}"#;
        directory.update(good, SystemTime::UNIX_EPOCH).unwrap();
        for bad in [
            "",
            "<html>canary</html>",
            "[]",
            "7",
            "{}",
            r#"{"discovery": "https://evil.example/"}"#,
            r#"{"get_orders": "https://u:canary@evil.example/"}"#,
            r#"{"get_orders": "https://{account_id}.example/"}"#,
            r#"{"get_orders": "ftp://canary.example/"}"#,
            r#"{"get_orders": 1}"#,
            r#"{"domain": "a b", "get_orders": "x"}"#,
        ] {
            let error = directory
                .update(bad.as_bytes(), SystemTime::UNIX_EPOCH)
                .unwrap_err();
            assert!(error.is_decode(), "{bad}: {error}");
            assert_eq!(error.operation(), Some("Discovery"));
            assert!(
                !format!("{error} {error:?}").contains("canary"),
                "{error:?}"
            );
            let kept = directory.current();
            let url = kept.endpoint(Operation::GetOrders).unwrap().1;
            assert_eq!(url, "https://eu.example/{accountNo}");
        }
        // Its unknown variable is an error when it is used, and names the operation then.
        let endpoint = directory.resolve(Operation::GetOrders).unwrap();
        let error = endpoint
            .template
            .expand(&[("account_id", "1")])
            .unwrap_err();
        assert!(error.to_string().contains("{accountNo}"), "{error}");
    }

    #[test]
    fn what_cannot_say_which_order_is_meant_leaves_the_convention() {
        let answer = br#"{"get_order_by_rx_id": "/eu/rx/", "get_orders": "/eu/orders"}"#;
        let directory = Directory::new(configured());
        directory.update(answer, SystemTime::UNIX_EPOCH).unwrap();
        let url = |operation| directory.resolve(operation).unwrap().template;
        let orders = url(Operation::GetOrders);
        assert_eq!(orders.as_str(), "https://a.example/eu/orders");
        let rx = url(Operation::GetOrderByRxId);
        assert_eq!(
            rx.as_str(),
            "https://a.example/v1/accounts/{account_id}/rx/{rx_id}"
        );
    }

    #[test]
    fn an_answer_does_not_outlive_the_next_one() {
        let directory = Directory::new(configured());
        let url = |operation| {
            directory
                .resolve(operation)
                .unwrap()
                .template
                .as_str()
                .to_owned()
        };
        directory
            .update(
                br#"{"pair": "https://evil.example/", "discovery": "https://evil.example/"}"#,
                SystemTime::UNIX_EPOCH,
            )
            .unwrap();
        assert_eq!(url(Operation::Discovery), "https://a.example/v1/discovery");
        directory
            .update(br#"{"get_orders": "/o"}"#, SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(
            url(Operation::Pair),
            "https://a.example/v1/accounts/{account_id}/pair"
        );
        assert_eq!(url(Operation::GetOrders), "https://a.example/o");
    }

    #[test]
    fn the_newest_answer_is_in_force_and_none_from_the_future() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let said = |path: &str, time| {
            let directory = Directory::new(configured());
            let answer = format!(r#"{{"get_orders": "/{path}"}}"#);
            directory.update(answer.as_bytes(), at(time)).unwrap();
            directory.answer().unwrap()
        };
        let directory = Directory::new(configured());
        let now = at(1000);
        for (kept, in_force) in [
            // Where there is none, one whose time cannot be true is better than none.
            (said("future", 5000), "future"),
            (said("old", 100), "future"),
        ] {
            directory.adopt(&kept, now);
            let url = directory.resolve(Operation::GetOrders).unwrap().template;
            assert!(url.as_str().ends_with(in_force), "{url:?}");
        }
        directory
            .update(br#"{"get_orders": "/asked"}"#, at(500))
            .unwrap();
        for (kept, in_force) in [
            (said("old", 100), "asked"),
            (said("future", 5000), "asked"),
            (said("new", 600), "new"),
            (said("asked", 500), "new"),
        ] {
            directory.adopt(&kept, now);
            let url = directory.resolve(Operation::GetOrders).unwrap().template;
            assert!(url.as_str().ends_with(in_force), "{url:?}");
        }
        assert!(!directory.lacks(Operation::GetOrders, now));
        assert!(
            directory.lacks(Operation::GetOrders, at(100_000)),
            "a day later"
        );
    }
}
