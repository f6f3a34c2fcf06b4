//! Where credentials may go.

use std::fmt;

use url::{Host, Origin, Url};

/// The origins that may see a token or the client secret.
///
/// Only https, loopback excepted; scheme, host and port are compared in their canonical form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    origins: Vec<Origin>,
    hosts: Vec<Pattern>,
}

/// A host that is allowed over https on its usual port: `api.example.com`, or, with a dot
/// before it, everything below: `.example.com`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    host: String,
    below: bool,
}

impl Pattern {
    /// None if it is no host name.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (below, name) = match text.strip_prefix('.') {
            Some(name) => (true, name),
            None => (false, text),
        };
        match Host::parse(name) {
            Ok(Host::Domain(host)) => Some(Pattern {
                host: host.trim_end_matches('.').to_owned(),
                below,
            }),
            _ => None,
        }
    }

    fn matches(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        if self.below {
            host.strip_suffix(&self.host)
                .is_some_and(|rest| rest.ends_with('.'))
        } else {
            host == self.host
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "." } else { "" }, self.host)
    }
}

impl Allowed {
    /// Allows the very origin of a URL that the configuration names.
    pub(crate) fn allow_origin(&mut self, url: &Url) {
        let origin = url.origin();
        if !self.origins.contains(&origin) {
            self.origins.push(origin);
        }
    }

    pub(crate) fn allow_host(&mut self, pattern: Pattern) {
        self.hosts.push(pattern);
    }

    /// Whether a credential may be sent there.
    pub(crate) fn permits(&self, url: &Url) -> bool {
        let clean = url.username().is_empty() && url.password().is_none();
        let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
        let named = match url.host() {
            Some(Host::Domain(host)) => {
                url.scheme() == "https"
                    && url.port().is_none()
                    && self.hosts.iter().any(|pattern| pattern.matches(host))
            }
            _ => false,
        };
        clean && safe && (named || self.origins.contains(&url.origin()))
    }
}

/// A host of this machine: `localhost` or a loopback address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(host)) => host == "localhost" || host.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Scheme, host and port, as an error may show them.
pub(crate) fn display(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
        (Some(host), None) => format!("{}://{host}", url.scheme()),
        (None, _) => format!("{}:", url.scheme()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn only_what_the_configuration_names_is_permitted() {
        let mut allowed = Allowed::default();
        allowed.allow_origin(&url("https://api.lab.example/v1/"));
        allowed.allow_origin(&url("http://127.0.0.1:8040/"));
        allowed.allow_host(Pattern::new(".align.example").unwrap());
        allowed.allow_host(Pattern::new("Exact.example").unwrap());
        for good in [
            "https://api.lab.example/other",
            "https://API.lab.example:443/",
            "http://127.0.0.1:8040/x",
            "https://eu.align.example/",
            "https://a.b.align.example./",
            "https://exact.example/",
        ] {
            assert!(allowed.permits(&url(good)), "{good}");
        }
        for bad in [
            "http://api.lab.example/",
            "https://api.lab.example:8443/",
            "https://lab.example/",
            "https://api.lab.example.evil.example/",
            "https://user@api.lab.example/",
            "http://127.0.0.1:8041/",
            "http://127.0.0.2:8040/",
            "https://align.example/",
            "https://evilalign.example/",
            "https://eu.align.example:8443/",
            "https://sub.exact.example/",
            "https://аpi.lab.example/",
            "https://93.184.216.34/",
        ] {
            assert!(!allowed.permits(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_never_permitted_off_this_machine() {
        let mut allowed = Allowed::default();
        allowed.allow_origin(&url("http://api.lab.example/"));
        assert!(!allowed.permits(&url("http://api.lab.example/")));
    }
}
