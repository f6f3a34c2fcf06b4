//! The proxy that a client goes through, as it may be named: without user and password.
//!
//! *Problem.* Which proxy a request takes is decided deep in a library, from variables and settings
//! that a lab may not know of. An error has to name it.
//!
//! *Approach.* The library's own matcher is asked the same question. A text of this module must not
//! show the user or the password of a proxy.

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::endpoints::origin;

/// The name of the source of a proxy that no variable names.
const SYSTEM: &str = "the system's settings";

/// The proxies of the environment and the system, read as reqwest reads them.
pub(crate) struct SystemProxies {
    matcher: Matcher,
    /// The variables that name one, in the order in which they count, with the origins of their proxies.
    http: Vec<(&'static str, String)>,
    https: Vec<(&'static str, String)>,
    /// The variable that names hosts that are reached without.
    exceptions: Option<&'static str>,
}

/// How a URL is reached where the environment and the system decide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SystemRoute {
    /// Nothing names a proxy.
    Direct,
    /// Something names one, but not for this URL.
    Excepted {
        /// The variable that names the proxy.
        variable: &'static str,
        /// The variable that makes the exception, where it is one.
        exception: Option<&'static str>,
    },
    /// Through this one.
    Proxy(NamedProxy),
}

impl SystemProxies {
    pub(crate) fn read() -> Self {
        SystemProxies::new(Matcher::from_system(), |name| std::env::var(name).ok())
    }

    fn new(matcher: Matcher, variable: impl Fn(&str) -> Option<String>) -> Self {
        let named = |names: [&'static str; 4]| {
            let named = names.into_iter().filter_map(|name| {
                let value = variable(name).filter(|value| !value.trim().is_empty())?;
                Some((name, place(&value).unwrap_or_default()))
            });
            named.collect()
        };
        let exceptions = ["NO_PROXY", "no_proxy"];
        SystemProxies {
            http: named(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            https: named(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            exceptions: exceptions.into_iter().find(|name| variable(name).is_some()),
            matcher,
        }
    }

    pub(crate) fn route(&self, url: &Url) -> SystemRoute {
        let variables = match url.scheme() {
            "https" => &self.https,
            _ => &self.http,
        };
        // What is no URI is not requested either: it has no route to name.
        let uri: Option<http::Uri> = url.as_str().parse().ok();
        let proxy = uri.and_then(|uri| self.matcher.intercept(&uri));
        match (proxy, variables.first()) {
            (Some(proxy), _) => {
                // The matcher does not say which variable it has read: the origins are compared.
                let place = place(&proxy.uri().to_string()).unwrap_or_default();
                let named = variables.iter().find(|(_, other)| *other == place);
                let setting = named.map_or(SYSTEM, |(name, _)| name);
                SystemRoute::Proxy(NamedProxy { setting, place })
            }
            (None, Some((variable, _))) => SystemRoute::Excepted {
                variable,
                exception: self.exceptions,
            },
            (None, None) => SystemRoute::Direct,
        }
    }
}

/// The origin of a proxy: of a URL, or of a host and a port as the environment has them. None
/// if it is neither.
pub(crate) fn place(text: &str) -> Option<String> {
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("http://{text}")),
    };
    Some(origin::display(&url.ok()?))
}

/// A proxy, as an error or a report may name it, and what names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedProxy {
    setting: &'static str,
    place: String,
}

impl NamedProxy {
    pub(super) fn new(setting: &'static str, text: &str) -> Option<Self> {
        let place = place(text)?;
        Some(NamedProxy { setting, place })
    }

    /// In a sentence about a host that is not reached.
    pub(super) fn detail(&self) -> String {
        match self.setting {
            SYSTEM => format!(" ({SYSTEM} name the proxy {})", self.place),
            setting => format!(" (`{setting}` names the proxy {})", self.place),
        }
    }

    /// In a report.
    pub(crate) fn route(&self) -> String {
        match self.setting {
            SYSTEM => format!("through the proxy {}, as {SYSTEM} say", self.place),
            variable => format!(
                "through the proxy {}, as the variable {variable} says",
                self.place
            ),
        }
    }
}

#[cfg(test)]
impl SystemProxies {
    /// Of an environment with these variables, where the system says nothing.
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let first = |names: [&str; 2]| names.into_iter().find_map(variable).unwrap_or_default();
        let matcher = Matcher::builder()
            .all(first(["ALL_PROXY", "all_proxy"]))
            .http(first(["HTTP_PROXY", "http_proxy"]))
            .https(first(["HTTPS_PROXY", "https_proxy"]))
            .no(first(["NO_PROXY", "no_proxy"]));
        SystemProxies::new(matcher.build(), variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(variables: &[(&str, &str)], url: &str) -> SystemRoute {
        SystemProxies::of(variables).route(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_proxy_is_named_without_its_password() {
        for (name, value, detail) in [
            (
                "HTTPS_PROXY",
                "http://user:canary@proxy.example:3128/canary",
                " (`HTTPS_PROXY` names the proxy http://proxy.example:3128)",
            ),
            (
                "all_proxy",
                "user:canary@proxy.example:3128",
                " (`all_proxy` names the proxy http://proxy.example:3128)",
            ),
            (
                "https_proxy",
                "proxy.example:80",
                " (`https_proxy` names the proxy http://proxy.example)",
            ),
        ] {
            match route(&[(name, value)], "https://lab.example/") {
                SystemRoute::Proxy(proxy) => assert_eq!(proxy.detail(), detail),
                other => panic!("{name}: {other:?}"),
            }
        }
        let lab = "https://lab.example/";
        assert_eq!(route(&[("HTTPS_PROXY", "")], lab), SystemRoute::Direct);
        assert_eq!(route(&[("HTTP_PROXY", "p:1")], lab), SystemRoute::Direct);
    }

    #[test]
    fn an_excepted_host_is_reached_without() {
        let excepted = |exception: &str| {
            let set = [("HTTPS_PROXY", "p.example:1"), ("no_proxy", exception)];
            route(&set, "https://api.lab.example/") != route(&set[..1], "https://api.lab.example/")
        };
        for exception in ["lab.example", ".lab.example", "b, API.lab.example", "*"] {
            assert!(excepted(exception), "{exception}");
        }
        for exception in ["", "b.example", "ab.example", "10.0.0.0/8"] {
            assert!(!excepted(exception), "{exception}");
        }
        let set = [("all_proxy", "p.example:1"), ("NO_PROXY", "10.0.0.0/8")];
        assert_eq!(
            route(&set, "https://10.1.2.3/"),
            SystemRoute::Excepted {
                variable: "all_proxy",
                exception: Some("NO_PROXY")
            }
        );
    }

    #[test]
    fn what_no_variable_names_is_the_systems() {
        let matcher = Matcher::builder().https("proxy.example:3128").build();
        let proxies = SystemProxies::new(matcher, |_| None);
        match proxies.route(&Url::parse("https://lab.example/").unwrap()) {
            SystemRoute::Proxy(proxy) => assert_eq!(
                proxy.detail(),
                " (the system's settings name the proxy http://proxy.example:3128)"
            ),
            other => panic!("{other:?}"),
        }
    }
}
