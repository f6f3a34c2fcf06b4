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
//! *Discovery* is asked before *Get Accounts* and before *Refresh Token*, as documented, and by
//! [`Client::discover`](crate::Client::discover). Beside that it is asked before a call whose
//! endpoint is not known otherwise, when the last answer is a day old, and when what it named is not
//! there: a list that is answered with 404, or nothing but 404 for ten minutes. Its last good answer stays in
//! force when it fails. It is kept in the [`TokenStore`](crate::TokenStore) with the tokens, so that a
//! process which starts with a good token goes where the last one went. All of these are conventions.
//!
//! It says where the endpoints are, and not whether they are trusted: credentials go to the origins
//! that the configuration names and to those that
//! [`allow_host`](crate::client::ClientBuilder::allow_host) adds. Its word on itself does not
//! count, so that one bad answer does not outlive the next good one; an entry that cannot be read
//! costs that entry and not the others.
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

mod configured;
pub(crate) mod discovery;
mod json;
mod operation;
pub(crate) mod origin;
pub(crate) mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::Method;
use url::Url;

use crate::error::{Error, Result};
use crate::key::same_spelling;
use crate::model::lenient::Shapes;
pub use operation::Operation;
use template::{Template, is_absolute};

/// A method and a URI template for each operation.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    base_url: Option<Url>,
    map: BTreeMap<Operation, Endpoint>,
    shapes: Arc<Shapes>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) template: Template,
    source: EndpointSource,
}

/// What Discovery names is the service's own text: only its origin is shown.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Endpoint");
        text.field("method", &self.method);
        match self.source {
            EndpointSource::Discovered => text.field("origin", &self.template.origin()),
            _ => text.field("template", &self.template),
        };
        text.field("source", &self.source).finish()
    }
}

/// A later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EndpointSource {
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
    /// [`Error::is_configuration`] if it is not an http or https URL, or holds user info, a query
    /// or a `#`.
    pub fn from_base_url(base_url: &str) -> Result<Self> {
        let mut url = Url::parse(base_url.trim())
            .map_err(|error| Error::configuration("the URL is not valid").with_source(error))?;
        // Paths are appended to the text of the base: a query would be in the middle of every URL.
        if url.query().is_some() {
            return Err(Error::configuration("the URL must not hold a query"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let mut endpoints = Endpoints::new();
        // User info and a `#` are refused by the first template.
        for operation in Operation::ALL {
            let template = Template::new(&format!("{url}{}", operation.path()))?;
            let endpoint = Endpoint {
                method: operation.method(),
                template,
                source: EndpointSource::Convention,
            };
            endpoints.map.insert(*operation, endpoint);
        }
        endpoints.base_url = Some(url);
        Ok(endpoints)
    }

    /// These endpoints, with those of `later` in place of the same operations'. The conventional
    /// paths of a base URL never replace what was named explicitly.
    ///
    /// ```
    /// use lab_connector::{Endpoints, Operation};
    ///
    /// let regional = Endpoints::from_base_url("https://eu.lab-connector.example/")?;
    /// let special = Endpoints::from_json(r#"{"endpoints": {"pair": "PUT https://a.example/pair"}}"#)?;
    /// let endpoints = regional.overridden_by(&special);
    /// assert_eq!(endpoints.endpoint(Operation::Pair)?.1, "https://a.example/pair");
    /// assert!(endpoints.has(Operation::GetOrders));
    /// # Ok::<(), lab_connector::Error>(())
    /// ```
    #[must_use]
    pub fn overridden_by(&self, later: &Endpoints) -> Endpoints {
        let mut merged = self.clone();
        merged.base_url = later.base_url.clone().or(merged.base_url);
        if *later.shapes != Shapes::default() {
            merged.shapes = Arc::clone(&later.shapes);
        }
        for (operation, endpoint) in &later.map {
            let wins = merged
                .map
                .get(operation)
                // Of two with the same rank the later one wins.
                .is_none_or(|known| endpoint.source >= known.source);
            if wins {
                merged.map.insert(*operation, endpoint.clone());
            }
        }
        merged
    }

    /// Sets the endpoint of one operation: a method and a URI template (RFC 6570, level 1) whose
    /// variables are those of the operation's conventional path, in any spelling: `{accountId}` is
    /// `{account_id}`.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the operation, if it makes no absolute http or
    /// https URL, asks for another variable, or lacks the one that the operation cannot work without:
    /// `rx_id` of *Get Order by Rx Id*, `order_id` of *Return Scan*, one of `order_id` and `asset_id` of
    /// *Download Asset*.
    pub fn set(&mut self, operation: Operation, method: Method, template: &str) -> Result<()> {
        self.put(operation, method, template, EndpointSource::Configured)
    }

    fn put(
        &mut self,
        operation: Operation,
        method: Method,
        template: &str,
        source: EndpointSource,
    ) -> Result<()> {
        let template = self.absolute(template);
        let named = |error: Error| error.with_operation(operation.title());
        let template = Template::new(&template).map_err(named)?;
        let needed = operation.needs();
        let has = |needed: &&str| template.names().any(|name| same_spelling(name, needed));
        if !needed.is_empty() && !needed.iter().any(has) {
            return Err(named(Error::configuration(format!(
                "the URI template of `{}` lacks `{{{}}}`, without which nothing says what is meant",
                operation.name(),
                needed.join("}` or `{")
            ))));
        }
        // A discovered one is let in: the error may wait until the operation is called.
        let unknown = template
            .names()
            .find(|name| !operation.has_variable(name))
            .filter(|_| source != EndpointSource::Discovered);
        if let Some(name) = unknown {
            return Err(named(Error::configuration(format!(
                "the URI template asks for `{{{name}}}`, which this operation does not have"
            ))));
        }
        let endpoint = Endpoint {
            method,
            template,
            source,
        };
        let same = self.map.get(&operation).is_some_and(|known| {
            known.method == endpoint.method && known.template == endpoint.template
        });
        // An entry that repeats the convention stays one, so that Discovery may still override it.
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
        if is_absolute(template) {
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

    /// How answers differ from our conventions.
    pub(crate) fn shapes(&self) -> &Arc<Shapes> {
        &self.shapes
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

    /// One URL of each origin that a configuration names.
    pub(crate) fn configured_urls(&self) -> impl Iterator<Item = Url> + '_ {
        self.map
            .values()
            // Otherwise Discovery could allow itself any host
            // (`where_discovery_points_elsewhere_nothing_is_sent`).
            .filter(|endpoint| endpoint.source != EndpointSource::Discovered)
            .filter_map(|endpoint| endpoint.template.example())
    }
}

/// Compares methods and templates, not where they came from.
impl PartialEq for Endpoints {
    fn eq(&self, other: &Self) -> bool {
        fn said(endpoints: &Endpoints) -> impl Iterator<Item = (Operation, &Method, &Template)> {
            let entries = endpoints.map.iter();
            entries.map(|(operation, said)| (*operation, &said.method, &said.template))
        }
        self.base_url == other.base_url && self.shapes == other.shapes && said(self).eq(said(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_source_wins_operation_by_operation() {
        let base = Endpoints::from_base_url("https://a.example").unwrap();
        let file =
            Endpoints::from_json(r#"{"endpoints": {"pair": "https://b.example/"}}"#).unwrap();
        let url =
            |endpoints: &Endpoints, operation| endpoints.endpoint(operation).unwrap().1.to_owned();
        for merged in [base.overridden_by(&file), file.overridden_by(&base)] {
            assert_eq!(url(&merged, Operation::Pair), "https://b.example/");
            assert_eq!(
                url(&merged, Operation::Unpair),
                "https://a.example/accounts/{account_id}/unpair"
            );
        }
        let other = Endpoints::from_base_url("https://c.example").unwrap();
        let merged = base.overridden_by(&other);
        assert_eq!(merged, other);
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
