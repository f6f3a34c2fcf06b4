//! What Discovery says, and the endpoints that result from it.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use url::Url;

use super::{DOMAINS, Endpoint, Endpoints, Operation, Source, join, lenient_field};
use crate::error::{Error, Result};

/// The endpoints in force: those configured, with Discovery's last good answer laid over them.
#[derive(Debug)]
pub(crate) struct Directory {
    configured: Endpoints,
    current: RwLock<Arc<Endpoints>>,
}

impl Directory {
    pub(crate) fn new(configured: Endpoints) -> Self {
        let current = RwLock::new(Arc::new(configured.clone()));
        Directory {
            configured,
            current,
        }
    }

    pub(crate) fn current(&self) -> Arc<Endpoints> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    pub(crate) fn resolve(&self, operation: Operation) -> Result<Endpoint> {
        self.current().resolve(operation).cloned()
    }

    /// Takes over what Discovery answered. An answer that cannot be read changes nothing.
    pub(crate) fn update(&self, answer: &[u8]) -> Result<()> {
        let discovered = read(answer, &self.configured)?;
        let merged = Arc::new(self.configured.overridden_by(&discovered));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = merged;
        Ok(())
    }
}

/// Reads Discovery's answer. Documented is that it returns the regional domain and path of all
/// endpoints; its form is not. Conventions, all of them read: an object that maps names of
/// services to the entries of [`Endpoints::from_json`], or has one under `endpoints`, or a list
/// of entries with their `name` there; a `domain` beside them that paths stand below. Names
/// that this release does not know are passed over.
pub(crate) fn read(answer: &[u8], configured: &Endpoints) -> Result<Endpoints> {
    let wrong = |what: &str| Error::decode(what).with_operation(Operation::Discovery.title());
    let value: Value = serde_json::from_slice(answer)
        .map_err(|error| wrong("it is not JSON").with_source(error))?;
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
    let mut read = |name: &str, entry: &Value| {
        // Where Discovery itself is, the configuration says.
        let known = Operation::from_name(name).filter(|known| *known != Operation::Discovery);
        let Some(operation) = known else {
            return Ok(());
        };
        endpoints
            .read_entry(operation, entry, Source::Discovered)
            .map_err(|error| {
                wrong(&format!("its `{}` is no endpoint", operation.name())).with_source(error)
            })
    };
    match lenient_field(object, &["endpoints", "services"]).unwrap_or(&value) {
        Value::Object(entries) => {
            for (name, entry) in entries {
                read(name, entry)?;
            }
        }
        Value::Array(entries) => {
            for entry in entries.iter().filter_map(Value::as_object) {
                let name = lenient_field(entry, &["name", "service", "operation"]);
                if let Some(name) = name.and_then(Value::as_str) {
                    read(name, &Value::Object(entry.clone()))?;
                }
            }
        }
        _ => return Err(wrong("it is no object")),
    }
    if endpoints.map.is_empty() {
        return Err(wrong("it names no endpoint"));
    }
    // What the configuration's relative URLs stand below is not Discovery's to say.
    endpoints.base_url = None;
    Ok(endpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // Without a domain, a path stands below the base URL; two slashes are no host.
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
        directory.update(good).unwrap();
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
            let error = directory.update(bad.as_bytes()).unwrap_err();
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
            .update(br#"{"pair": "https://evil.example/", "discovery": "https://evil.example/"}"#)
            .unwrap();
        assert_eq!(url(Operation::Discovery), "https://a.example/v1/discovery");
        directory.update(br#"{"get_orders": "/o"}"#).unwrap();
        assert_eq!(
            url(Operation::Pair),
            "https://a.example/v1/accounts/{account_id}/pair"
        );
        assert_eq!(url(Operation::GetOrders), "https://a.example/o");
    }
}
