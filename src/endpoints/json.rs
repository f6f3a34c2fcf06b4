//! Endpoints as JSON, read and written.
//!
//! A file of endpoints is written by hand, once, from a specification that somebody reads. So spelling
//! is lenient, and every mistake names its setting. What came from Discovery must not gain rank by
//! being stored (`what_was_discovered_stays_so_when_it_is_stored`).

use std::path::Path;
use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};

use super::template::is_absolute;
use super::{EndpointSource, Endpoints, Operation};
use crate::error::{Error, Result};
use crate::key::same_key;
use crate::model::lenient::Shapes;
use crate::model::shapes;
use crate::text;

impl Endpoints {
    /// Reads endpoints from JSON: an object with `base_url`, with `endpoints`, or with both, and
    /// with `shapes` if the answers have others than the usual ones.
    ///
    /// `endpoints` maps names of operations to `"METHOD URL"`, to a URL alone, or to an object
    /// with `method` and `url` (or `domain` and `path`). URLs are URI templates; a relative one is resolved against
    /// `base_url`. An entry that says what the base URL says anyway changes nothing: Discovery
    /// may still override it. Other keys are left to others.
    ///
    /// `shapes` says how answers are read. In `lists`, by operation, where the list or the record
    /// is: a JSON pointer (RFC 6901). In `names`, for `order`, `asset`, `history`, `account` and a
    /// `status` that is an object, further keys that a field goes by; they win over the usual ones.
    ///
    /// ```
    /// use lab_connector::Endpoints;
    ///
    /// let endpoints = Endpoints::from_json(r#"{
    ///     "base_url": "https://lab-connector.example/",
    ///     "shapes": {
    ///         "lists": { "get_orders": "/reply/queue" },
    ///         "names": { "order": { "orderId": "caseNo", "status": ["state"] }, "status": { "name": "caption" } }
    ///     }
    /// }"#)?;
    /// # let _ = endpoints;
    /// # Ok::<(), lab_connector::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the operation, if an entry cannot be read or
    /// names no operation.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::from_value(&Self::json_value(json)?)
    }

    /// Reads endpoints from a JSON file, see [`Endpoints::from_json`].
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the file, if it cannot be read, or if it has other
    /// keys, as a whole configuration has: that is read with [`Config::from_file`](crate::Config::from_file).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let object = Value::Object(Self::file_object(path)?);
        Self::from_value(&object).map_err(|error| misfit(path, error))
    }

    /// The JSON of such a file.
    pub(super) fn file_object(path: impl AsRef<Path>) -> Result<Map<String, Value>> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| {
            let name = path.display();
            Error::configuration(format!("the file {name} cannot be read")).with_source(error)
        })?;
        // Editors put a byte order mark before it.
        let value =
            Self::json_value(&text::of(&bytes, None)).map_err(|error| misfit(path, error))?;
        let Value::Object(object) = value else {
            return Err(misfit(path, no_object()));
        };
        // What else a configuration says would be lost without a word.
        let foreign = object.keys().find(|key| {
            !["baseurl", "endpoints", "shapes"]
                .iter()
                .any(|known| same_key(key, known))
        });
        match foreign {
            None => Ok(object),
            Some(key) => Err(misfit(
                path,
                Error::configuration(format!(
                    "`{key}` is none of `base_url`, `endpoints` and `shapes`; a whole configuration is read with `Config::from_file`"
                )),
            )),
        }
    }

    fn json_value(json: &str) -> Result<Value> {
        serde_json::from_str(json).map_err(|error| {
            Error::configuration("the endpoints are no valid JSON").with_source(error)
        })
    }

    pub(super) fn from_value(value: &Value) -> Result<Self> {
        let Value::Object(object) = value else {
            return Err(no_object());
        };
        let field = |name: &str| lenient_field(object, &[name]);
        let mut endpoints = match field("baseurl") {
            None | Some(Value::Null) => Endpoints::new(),
            Some(Value::String(url)) => {
                Endpoints::from_base_url(url).map_err(|error| named("base_url", &error))?
            }
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
                    endpoints
                        .read_entry(operation, entry, EndpointSource::Configured)
                        .map_err(|error| {
                            named(&format!("endpoints.{}", operation.name()), &error)
                        })?;
                }
            }
            Some(_) => return Err(Error::configuration("`endpoints` must be an object")),
        }
        // Shapes that cannot be read are an error: answers would be misread without a word.
        if let Some(value) = field("shapes") {
            let operation = |name: &str| Operation::from_name(name).map(Operation::name);
            let shapes = shapes::read(value, operation).map_err(Error::configuration)?;
            endpoints.shapes = Arc::new(shapes);
        }
        if endpoints.map.is_empty() {
            return Err(Error::configuration(
                "neither `base_url` nor `endpoints` is given",
            ));
        }
        Ok(endpoints)
    }

    /// Reads one entry: `"GET https://…"`, `"https://…"`, or an object with `method`, and `url`
    /// or `domain` and `path`.
    pub(super) fn read_entry(
        &mut self,
        operation: Operation,
        entry: &Value,
        source: EndpointSource,
    ) -> Result<()> {
        let wrong =
            || Error::configuration("it must be \"METHOD URL\", or have `method` and `url`");
        let mut source = source;
        let (method, url) = match entry {
            Value::String(text) => match text.trim().split_once(char::is_whitespace) {
                Some((method, url)) => (Some(method), url.trim().to_owned()),
                None => (None, text.trim().to_owned()),
            },
            Value::Object(fields) => {
                let text = |wanted: &[&str]| lenient_field(fields, wanted).and_then(Value::as_str);
                // An answer of Discovery does not become trusted because it was stored.
                if lenient_field(fields, &["discovered"]) == Some(&Value::Bool(true)) {
                    source = EndpointSource::Discovered;
                }
                let url = match (text(URLS), text(DOMAINS), text(PATHS)) {
                    (Some(url), ..) => url.trim().to_owned(),
                    (None, Some(domain), Some(path)) => join(domain, path),
                    (None, None, Some(path)) => path.trim().to_owned(),
                    _ => return Err(wrong()),
                };
                (text(&["method", "verb"]), url)
            }
            _ => return Err(wrong()),
        };
        let method = match method {
            Some(method) => {
                // Methods are case-sensitive (RFC 9110 section 9.1), and people write `get`.
                Method::from_bytes(method.to_ascii_uppercase().as_bytes()).map_err(|_| wrong())?
            }
            None => operation.method(),
        };
        self.put(operation, method, &url, source)
    }

    /// The endpoints as JSON that [`Endpoints::from_json`] reads. What came from Discovery is
    /// marked `"discovered": true`: read again, it still ranks below what is configured, and no
    /// credential goes to its host for that alone.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        if let Some(url) = &self.base_url {
            object.insert("base_url".into(), url.as_str().into());
        }
        let entries = self.map.iter().map(|(operation, endpoint)| {
            let mut entry = serde_json::json!({
                "method": endpoint.method.as_str(),
                "url": endpoint.template.as_str(),
            });
            if endpoint.source == EndpointSource::Discovered {
                entry["discovered"] = true.into();
            }
            (operation.name().to_owned(), entry)
        });
        object.insert("endpoints".into(), Value::Object(entries.collect()));
        if *self.shapes != Shapes::default() {
            object.insert("shapes".into(), shapes::write(&self.shapes));
        }
        Value::Object(object)
    }
}

/// The error of a setting.
pub(super) fn named(setting: &str, error: &Error) -> Error {
    Error::configuration(format!("`{setting}`: {error}")).with_source(error.clone())
}

fn no_object() -> Error {
    Error::configuration("endpoints must be a JSON object")
}

fn misfit(path: &Path, error: Error) -> Error {
    let name = path.display();
    Error::configuration(format!("the file {name} does not fit: {error}")).with_source(error)
}

/// The names of the fields of an entry, in the spelling of [`same_key`].
pub(super) const URLS: &[&str] = &["url", "uri", "href", "template", "endpoint"];
pub(super) const DOMAINS: &[&str] = &["domain", "baseurl", "host", "regionaldomain"];
const PATHS: &[&str] = &["path"];

/// The first field that has one of these names.
pub(super) fn lenient_field<'v>(
    fields: &'v serde_json::Map<String, Value>,
    wanted: &[&str],
) -> Option<&'v Value> {
    // By the order of the names and not of the object: the best name wins, wherever it stands.
    wanted.iter().find_map(|name| {
        let mut named = fields.iter();
        let found = named.find(|(key, _)| same_key(key, name));
        found.map(|(_, value)| value)
    })
}

/// A path below a domain; one without a scheme is https.
pub(super) fn join(domain: &str, path: &str) -> String {
    let domain = domain.trim().trim_end_matches('/');
    let path = path.trim().trim_start_matches('/');
    if is_absolute(domain) {
        format!("{domain}/{path}")
    } else {
        format!("https://{domain}/{path}")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::discovery;

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
        assert_eq!(
            again.map[&Operation::GetOrders].source,
            EndpointSource::Configured
        );
        // An entry that repeats the base URL does not keep Discovery out.
        assert_eq!(
            again.map[&Operation::Pair].source,
            EndpointSource::Convention
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (json, named) in [
            ("[", "JSON"),
            ("[]", "object"),
            ("{}", "base_url"),
            (r#"{"base_url": 1}"#, "base_url"),
            (
                r#"{"base_url": "ftp://a.example"}"#,
                "`base_url`: the URL must be http or https",
            ),
            (r#"{"base_url": "https://a.example/?x"}"#, "query"),
            (
                r#"{"base_url": "nowhere"}"#,
                "`base_url`: the URL is not valid",
            ),
            (
                r#"{"endpoints": {"get_order": "https://a.example/"}}"#,
                "get_order_by_rx_id",
            ),
            (r#"{"endpoints": {"pair": 1}}"#, "pair"),
            (r#"{"endpoints": {"pair": {"method": "POST"}}}"#, "pair"),
            (r#"{"endpoints": {"pair": "GET nowhere"}}"#, "Pair"),
            (
                r#"{"endpoints": {"pair": "ftp://a.example/"}}"#,
                "`endpoints.pair`: Pair: the URL must be http or https",
            ),
            (
                r#"{"endpoints": {"pair": "https://a.example/{order_id}"}}"#,
                "Pair: the URI template asks for `{order_id}`",
            ),
        ] {
            let error = Endpoints::from_json(json).unwrap_err();
            assert!(error.is_configuration());
            assert!(error.to_string().contains(named), "{json}: {error}");
        }
        for operation in Operation::ALL {
            let error = Endpoints::new().endpoint(*operation).unwrap_err();
            let named = format!("`{}`", operation.name());
            assert!(error.is_configuration() && error.to_string().contains(&named));
            assert_eq!(error.operation(), Some(operation.title()));
        }
    }

    #[test]
    fn an_operation_that_cannot_say_what_it_means_is_refused() {
        let configured = |name: &str, url: &str| {
            let json = format!(
                r#"{{"base_url": "https://a.example/", "endpoints": {{"{name}": "{url}"}}}}"#
            );
            Endpoints::from_json(&json)
        };
        // As Align's own pages write variables, and without any.
        for url in ["rx/:rxId", "rx/<RxID>", "rx/", "rx", "orders/{account_id}"] {
            let error = configured("get_order_by_rx_id", url).unwrap_err();
            let text = error.to_string();
            assert!(error.is_configuration(), "{text}");
        }
        let text = configured("get_order_by_rx_id", "rx")
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("`get_order_by_rx_id`") && text.contains("`{rx_id}`"),
            "{text}"
        );
        for (name, url) in [("download_asset", "asset"), ("return_scan", "return")] {
            assert!(configured(name, url).is_err(), "{name}");
        }
        for (name, url) in [
            ("get_order_by_rx_id", "rx/{rxId}"),
            ("get_order_by_rx_id", "order?id={RX_ID}"),
            ("download_asset", "asset/{assetId}"),
            ("download_asset", "files/{order_id}"),
            ("get_orders", "orders"),
            ("return_scan", "return/{order_id}"),
        ] {
            assert!(configured(name, url).is_ok(), "{name} {url}");
        }
    }

    #[test]
    fn a_file_that_does_not_fit_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("endpoints.json");
        let said = |path: &Path| Endpoints::from_file(path).unwrap_err().to_string();
        assert!(said(&path).contains("endpoints.json"));
        std::fs::write(&path, r#"{"endpoints": {"pair": 1}}"#).unwrap();
        let text = said(&path);
        assert!(
            text.contains("endpoints.json") && text.contains("`endpoints.pair`"),
            "{text}"
        );
        std::fs::write(&path, "\u{FEFF}{\"base_url\": \"https://a.example\"}").unwrap();
        let endpoints = Endpoints::from_file(&path).unwrap();
        assert_eq!(
            endpoints,
            Endpoints::from_base_url("https://a.example/").unwrap()
        );
        // A whole configuration: what it says beside the endpoints would be lost without a word.
        std::fs::write(
            &path,
            r#"{"base_url": "https://a.example", "clientId": "canary", "login_page": null}"#,
        )
        .unwrap();
        let text = said(&path);
        assert!(
            text.contains("`clientId`") && text.contains("`Config::from_file`"),
            "{text}"
        );
        assert!(!text.contains("canary"), "{text}");
        let configured = Endpoints::configured(
            None,
            None,
            None,
            Some(&Value::from(path.to_str().unwrap())),
            None,
        );
        assert_eq!(configured.unwrap_err().to_string(), text);
    }

    #[test]
    fn what_was_discovered_stays_so_when_it_is_stored() {
        let configured = Endpoints::from_base_url("https://a.example").unwrap();
        let answer = br#"{"pair": "https://evil.example/"}"#;
        let merged = configured.overridden_by(&discovery::read(answer, &configured).unwrap());
        let again = Endpoints::from_json(&merged.to_json().to_string()).unwrap();
        assert_eq!(again, merged);
        assert_eq!(
            again.map[&Operation::Pair].source,
            EndpointSource::Discovered
        );
        let hosts: Vec<_> = again.configured_urls().collect();
        assert!(hosts.iter().all(|url| url.host_str() == Some("a.example")));
    }
}
