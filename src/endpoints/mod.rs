//! Which request belongs to which operation.
//!
//! *Problem.* Align names its services; their methods and paths are not public. *Discovery*
//! returns the regional domain and path of all of them, and older integrations use a fixed base
//! URL.
//!
//! *Default.* A base URL with the conventional paths of [`Operation`], which Discovery's answer
//! overrides. *When to change it.* With the specification in hand: name single operations in a
//! JSON file or with [`Endpoints::set`]; they win over both.
//!
//! ```
//! use lab_connector::{Endpoints, Operation};
//!
//! let endpoints = Endpoints::from_json(r#"{
//!     "base_url": "https://lab-connector.example/v2/",
//!     "endpoints": {
//!         "get_orders": "GET /labs/{account_id}/queue",
//!         "return_scan": { "method": "PUT", "url": "https://eu.example/{order_id}/return" }
//!     }
//! }"#)?;
//! let (method, template) = endpoints.endpoint(Operation::GetOrders)?;
//! assert_eq!(template, "https://lab-connector.example/labs/{account_id}/queue");
//! # let _ = method;
//! # Ok::<(), lab_connector::Error>(())
//! ```

pub(crate) mod discovery;
mod operation;
pub(crate) mod origin;
pub(crate) mod template;

use std::collections::BTreeMap;
use std::path::Path;

use http::Method;
use serde_json::Value;
use url::Url;

use crate::error::{Error, Result};
pub use operation::Operation;
use template::Template;

/// A method and a URI template for each operation.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    base_url: Option<Url>,
    map: BTreeMap<Operation, Endpoint>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) template: Template,
    source: Source,
}

/// A later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Convention,
    Discovered,
    Configured,
}

impl Endpoints {
    /// No endpoints yet.
    #[must_use]
    pub fn new() -> Self {
        Endpoints::default()
    }

    /// The conventional paths below a base URL; a missing slash at its end is added.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] if it is no http or https URL, or holds user info, a query
    /// or a `#`.
    pub fn from_base_url(base_url: &str) -> Result<Self> {
        let mut url = Url::parse(base_url.trim()).map_err(|error| {
            Error::configuration("the base URL is no valid URL").with_source(error)
        })?;
        if url.query().is_some() {
            return Err(Error::configuration("the base URL must not hold a query"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let mut endpoints = Endpoints::new();
        for operation in Operation::ALL {
            let template = Template::new(&format!("{url}{}", operation.path()))?;
            let endpoint = Endpoint {
                method: operation.method(),
                template,
                source: Source::Convention,
            };
            endpoints.map.insert(*operation, endpoint);
        }
        endpoints.base_url = Some(url);
        Ok(endpoints)
    }

    /// Reads endpoints from JSON: an object with `base_url`, with `endpoints`, or with both.
    ///
    /// `endpoints` maps names of operations to `"METHOD URL"`, to a URL alone, or to an object
    /// with `method` and `url`. URLs are URI templates; a relative one is resolved against
    /// `base_url`. An entry that says what the base URL says anyway changes nothing: Discovery
    /// may still override it. Other keys are left to others.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the operation, if an entry cannot be read or
    /// names no operation.
    pub fn from_json(json: &str) -> Result<Self> {
        let value = serde_json::from_str(json).map_err(|error| {
            Error::configuration("the endpoints are no valid JSON").with_source(error)
        })?;
        Self::from_value(&value)
    }

    /// Reads endpoints from a JSON file, see [`Endpoints::from_json`].
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the file, if it cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::configuration(format!("the file {name} cannot be read")).with_source(error)
        })?;
        Self::from_json(&text)
    }

    fn from_value(value: &Value) -> Result<Self> {
        let Value::Object(object) = value else {
            return Err(Error::configuration("endpoints must be a JSON object"));
        };
        let field = |name: &str| {
            let found = object
                .iter()
                .find(|(key, _)| crate::model::lenient::same_key(key, name));
            found.map(|(_, value)| value)
        };
        let mut endpoints = match field("baseurl") {
            None | Some(Value::Null) => Endpoints::new(),
            Some(Value::String(url)) => Endpoints::from_base_url(url)?,
            Some(_) => return Err(Error::configuration("`base_url` must be text")),
        };
        match field("endpoints") {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (name, entry) in entries {
                    let operation = Operation::from_name(name).ok_or_else(|| {
                        let known = Operation::ALL.iter().map(|known| known.name());
                        Error::configuration(format!(
                            "`{name}` is no operation; known are {}",
                            known.collect::<Vec<_>>().join(", ")
                        ))
                    })?;
                    endpoints.read_entry(operation, entry, Source::Configured)?;
                }
            }
            Some(_) => return Err(Error::configuration("`endpoints` must be an object")),
        }
        if endpoints.map.is_empty() {
            return Err(Error::configuration(
                "neither `base_url` nor `endpoints` is given",
            ));
        }
        Ok(endpoints)
    }

    /// Reads one entry: `"GET https://…"`, `"https://…"`, or `{"method": …, "url": …}`.
    fn read_entry(&mut self, operation: Operation, entry: &Value, source: Source) -> Result<()> {
        let name = operation.name();
        let wrong = || {
            Error::configuration(format!(
                "the endpoint `{name}` must be \"METHOD URL\", or have `method` and `url`"
            ))
        };
        let (method, url) = match entry {
            Value::String(text) => match text.trim().split_once(char::is_whitespace) {
                Some((method, url)) => (Some(method), url.trim()),
                None => (None, text.trim()),
            },
            Value::Object(fields) => {
                let text = |wanted: &[&str]| {
                    fields.iter().find_map(|(key, value)| {
                        let named = wanted
                            .iter()
                            .any(|name| crate::model::lenient::same_key(key, name));
                        if named { value.as_str() } else { None }
                    })
                };
                let url = text(&["url", "uri", "href", "template"]).ok_or_else(wrong)?;
                (text(&["method", "verb"]), url)
            }
            _ => return Err(wrong()),
        };
        let method = match method {
            Some(method) => {
                Method::from_bytes(method.to_ascii_uppercase().as_bytes()).map_err(|_| wrong())?
            }
            None => operation.method(),
        };
        self.put(operation, method, url, source)
    }

    /// Sets the endpoint of one operation: a method and a URI template (RFC 6570, level 1) whose
    /// variables are among `account_id`, `order_id`, `rx_id` and `asset_id`.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] if it makes no absolute http or https URL.
    pub fn set(&mut self, operation: Operation, method: Method, template: &str) -> Result<()> {
        self.put(operation, method, template, Source::Configured)
    }

    fn put(
        &mut self,
        operation: Operation,
        method: Method,
        template: &str,
        source: Source,
    ) -> Result<()> {
        let template = self.absolute(template);
        let template =
            Template::new(&template).map_err(|error| error.with_operation(operation.title()))?;
        let endpoint = Endpoint {
            method,
            template,
            source,
        };
        let same = self.map.get(&operation).is_some_and(|known| {
            known.method == endpoint.method && known.template == endpoint.template
        });
        if !same {
            self.map.insert(operation, endpoint);
        }
        Ok(())
    }

    /// A relative template is resolved by hand: a URL parser would encode its braces.
    fn absolute(&self, template: &str) -> String {
        let Some(base) = &self.base_url else {
            return template.to_owned();
        };
        if template.contains("://") {
            template.to_owned()
        } else if let Some(path) = template.strip_prefix('/') {
            format!("{}/{path}", base.origin().ascii_serialization())
        } else {
            format!("{base}{template}")
        }
    }

    /// The method and the URI template of an operation.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the operation, if there is none.
    pub fn endpoint(&self, operation: Operation) -> Result<(&Method, &str)> {
        let endpoint = self.resolve(operation)?;
        Ok((&endpoint.method, endpoint.template.as_str()))
    }

    /// A template of the caller's own, a relative one below the base URL.
    pub(crate) fn template(&self, text: &str) -> Result<Template> {
        Template::new(&self.absolute(text))
    }

    pub(crate) fn resolve(&self, operation: Operation) -> Result<&Endpoint> {
        self.map.get(&operation).ok_or_else(|| {
            Error::configuration(format!(
                "no endpoint is known: configure `{}`",
                operation.name()
            ))
            .with_operation(operation.title())
        })
    }

    /// Whether an operation has an endpoint.
    #[must_use]
    pub fn has(&self, operation: Operation) -> bool {
        self.map.contains_key(&operation)
    }

    /// These endpoints with `other`'s in place of those that rank lower: what a configuration
    /// names wins over what was discovered, and that over the conventional paths.
    pub(crate) fn overridden_by(&self, other: &Endpoints) -> Endpoints {
        let mut merged = self.clone();
        for (operation, endpoint) in &other.map {
            let wins = merged
                .map
                .get(operation)
                .is_none_or(|known| endpoint.source >= known.source);
            if wins {
                merged.map.insert(*operation, endpoint.clone());
            }
        }
        merged
    }

    /// One URL of each origin that a configuration names.
    pub(crate) fn configured_urls(&self) -> impl Iterator<Item = Url> + '_ {
        self.map
            .values()
            .filter(|endpoint| endpoint.source != Source::Discovered)
            .filter_map(|endpoint| {
                let url = endpoint.template.as_str();
                Url::parse(url).ok()
            })
    }

    /// The endpoints as JSON that [`Endpoints::from_json`] reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        if let Some(url) = &self.base_url {
            object.insert("base_url".into(), url.as_str().into());
        }
        let entries = self.map.iter().map(|(operation, endpoint)| {
            let entry = serde_json::json!({
                "method": endpoint.method.as_str(),
                "url": endpoint.template.as_str(),
            });
            (operation.name().to_owned(), entry)
        });
        object.insert("endpoints".into(), Value::Object(entries.collect()));
        Value::Object(object)
    }
}

impl serde::Serialize for Endpoints {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Endpoints {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Endpoints::from_value(&value).map_err(serde::de::Error::custom)
    }
}

/// By what they say, not by where it came from.
impl PartialEq for Endpoints {
    fn eq(&self, other: &Self) -> bool {
        let said = |endpoints: &Endpoints| endpoints.to_json();
        said(self) == said(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_read_what_they_write() {
        let mut endpoints = Endpoints::from_base_url("https://a.example/v1").unwrap();
        endpoints
            .set(
                Operation::GetOrders,
                Method::POST,
                "https://b.example/{account_id}",
            )
            .unwrap();
        let again = Endpoints::from_json(&endpoints.to_json().to_string()).unwrap();
        assert_eq!(again, endpoints);
        assert_eq!(again.map[&Operation::GetOrders].source, Source::Configured);
        // What the base URL says anyway does not stand in Discovery's way.
        assert_eq!(again.map[&Operation::Pair].source, Source::Convention);
    }

    #[test]
    fn mistakes_are_named() {
        for (json, named) in [
            ("[", "JSON"),
            ("[]", "object"),
            ("{}", "base_url"),
            (r#"{"base_url": 1}"#, "base_url"),
            (r#"{"base_url": "ftp://a.example"}"#, "http"),
            (r#"{"base_url": "https://a.example/?x"}"#, "query"),
            (r#"{"base_url": "nowhere"}"#, "base URL"),
            (
                r#"{"endpoints": {"get_order": "https://a.example/"}}"#,
                "get_order_by_rx_id",
            ),
            (r#"{"endpoints": {"pair": 1}}"#, "pair"),
            (r#"{"endpoints": {"pair": {"method": "POST"}}}"#, "pair"),
            (r#"{"endpoints": {"pair": "GET nowhere"}}"#, "Pair"),
        ] {
            let error = Endpoints::from_json(json).unwrap_err();
            assert!(error.is_configuration());
            assert!(error.to_string().contains(named), "{json}: {error}");
        }
        let error = Endpoints::new().endpoint(Operation::Pair).unwrap_err();
        assert!(error.to_string().contains("`pair`"), "{error}");
    }

    #[test]
    fn configuration_wins_over_discovery_and_that_over_convention() {
        let configured = Endpoints::from_json(
            r#"{"base_url": "https://a.example", "endpoints": {"pair": "https://c.example/"}}"#,
        )
        .unwrap();
        let discovered = discovery::read(
            br#"{"Endpoints": {"Pair": "https://d.example/", "Get Orders": "https://d.example/", "New": 1}}"#,
            &configured,
        )
        .unwrap();
        let merged = configured.overridden_by(&discovered);
        let url = |operation| {
            merged
                .endpoint(operation)
                .map(|(_, url)| url.to_owned())
                .unwrap()
        };
        assert_eq!(url(Operation::Pair), "https://c.example/");
        assert_eq!(url(Operation::GetOrders), "https://d.example/");
        assert_eq!(url(Operation::GetAccounts), "https://a.example/accounts");
    }
}
