//! Where credentials may go.
//!
//! *Problem.* URLs come from Discovery, from orders and from redirects. One that leads elsewhere
//! could collect tokens, or make the software ask machines of the lab's network.
//!
//! *Approach.* The configuration alone says what is allowed; every other URL is compared with it,
//! in the canonical form of the parser. Nothing that a service sends may add an origin.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Origin, Url};

/// The origins that may see a token or the client secret.
///
/// Only https, loopback excepted; scheme, host and port are compared in their canonical form:
/// in small letters, punycode, with the port that the scheme implies. A host with a dot at its
/// end is another host: to a resolver it may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedOrigins {
    origins: Vec<Origin>,
    hosts: Vec<HostPattern>,
    /// Whether the configuration itself names this machine.
    loopback: bool,
}

/// A host that is allowed over https: `api.example.com`, or, with a dot before it, everything
/// below: `.example.com`. Port 443 unless another is given.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct HostPattern {
    host: Host,
    below: bool,
    port: u16,
}

impl HostPattern {
    /// `None` if it is not a host.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (below, name) = match text.strip_prefix('.') {
            Some(name) => (true, name),
            None => (false, text),
        };
        // `*.example.com` is how others write it: it would match nothing.
        if name.contains(['/', '\\', '?', '#', '@', '*']) || name.contains(char::is_whitespace) {
            return None;
        }
        // By the parser that reads all other URLs, so that both have the same canonical form.
        let url = Url::parse(&format!("https://{name}/")).ok()?;
        let host = match url.host()? {
            Host::Domain(domain) => {
                // A pattern with a dot at its end is meant for the host without; in a URL the two are
                // different hosts.
                let domain = domain.strip_suffix('.').unwrap_or(domain);
                let whole = !domain.is_empty() && domain.split('.').all(|part| !part.is_empty());
                Host::Domain(whole.then(|| domain.to_owned())?)
            }
            // Nothing is below an address.
            address if !below => address.to_owned(),
            _ => return None,
        };
        Some(HostPattern {
            host,
            below,
            port: url.port_or_known_default()?,
        })
    }

    fn matches(&self, url: &Url) -> bool {
        url.host().is_some_and(|host| self.is_of(host))
            && url.port_or_known_default() == Some(self.port)
    }

    fn is_of(&self, host: Host<&str>) -> bool {
        match (&self.host, &host) {
            (Host::Domain(suffix), Host::Domain(host)) if self.below => host
                .strip_suffix(suffix.as_str())
                // Only whole labels: `not-example.com` is not below `example.com`.
                .is_some_and(|rest| rest.ends_with('.')),
            (known, host) => *known == host.to_owned(),
        }
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.below { "." } else { "" };
        write!(f, "{dot}{}:{}", self.host, self.port)
    }
}

impl AllowedOrigins {
    /// Allows the very origin of a URL that the configuration names.
    pub(crate) fn allow_origin(&mut self, url: &Url) {
        let origin = url.origin();
        // A simulator or a tool on this machine: then files may come from here too.
        self.loopback |= is_loopback(url);
        if !self.origins.contains(&origin) {
            self.origins.push(origin);
        }
    }

    pub(crate) fn allow_host(&mut self, pattern: HostPattern) {
        self.hosts.push(pattern);
    }

    /// Whether a credential may be sent there.
    pub(crate) fn permits(&self, url: &Url) -> bool {
        // A credential over plain http could be read on the way; to loopback there is no way
        // (`credentials_do_not_leave_over_plain_http`).
        let safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
        is_clean(url) && safe && self.names(url)
    }

    /// Whether a file may be fetched from there, without a credential. A service elsewhere must
    /// not make the software ask its own machine, nor others of the lab's network: hosts that the
    /// configuration does not name are public ones.
    pub(crate) fn permits_file(&self, url: &Url) -> bool {
        let named = self.names(url);
        let safe = match (url.scheme(), reach(url)) {
            ("https", Reach::Public) => true,
            ("https", Reach::Network) => named,
            ("https", Reach::Machine) => self.loopback || named,
            // Plain http does not leave the machine.
            ("http", Reach::Machine) => self.loopback && is_loopback(url),
            _ => false,
        };
        is_clean(url) && safe
    }

    /// Whether a host that the configuration does not name may be there.
    pub(crate) fn permits_address(&self, address: IpAddr) -> bool {
        let reach = match address {
            IpAddr::V4(ip) => reach_of_v4(ip),
            IpAddr::V6(ip) => reach_of_v6(ip),
        };
        reach == Reach::Public || (reach == Reach::Machine && self.loopback)
    }

    /// Whether the configuration names a host, with whatever scheme and port.
    pub(crate) fn names_host(&self, name: &str) -> bool {
        let is_origin = |origin: &Origin| matches!(origin, Origin::Tuple(_, Host::Domain(host), _) if host == name);
        self.hosts
            .iter()
            .any(|pattern| pattern.is_of(Host::Domain(name)))
            || self.origins.iter().any(is_origin)
    }

    fn names(&self, url: &Url) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(url))
            || self.origins.iter().any(|origin| is_of(url, origin))
    }
}

/// What `url.origin() == *origin` says, without making one: every call asks.
fn is_of(url: &Url, origin: &Origin) -> bool {
    let Origin::Tuple(scheme, host, port) = origin else {
        return false;
    };
    let same_host = match (host, url.host()) {
        (Host::Domain(one), Some(Host::Domain(other))) => one == other,
        (Host::Ipv4(one), Some(Host::Ipv4(other))) => *one == other,
        (Host::Ipv6(one), Some(Host::Ipv6(other))) => *one == other,
        _ => false,
    };
    same_host && scheme == url.scheme() && url.port_or_known_default() == Some(*port)
}

/// No user info: it is how a URL pretends to lead elsewhere (`https://home@elsewhere/`), and it would
/// be sent.
fn is_clean(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// A host of this machine: `localhost` or a loopback address. A name below `localhost` is
/// not: some resolvers ask the network for it.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(host)) => host == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// How far away a host is, by what its URL says. What a name resolves to is judged when it is
/// resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// This machine: loopback, and what systems take for it.
    Machine,
    /// A private, shared or reserved address, which is no place on the internet.
    Network,
    Public,
}

fn reach(url: &Url) -> Reach {
    match url.host() {
        Some(Host::Domain(host)) => {
            // With a dot at its end, `localhost` is still this machine.
            let host = host.strip_suffix('.').unwrap_or(host);
            // RFC 6761 section 6.3: a name below `localhost` may be this machine.
            if host == "localhost" || host.ends_with(".localhost") {
                Reach::Machine
            } else {
                Reach::Public
            }
        }
        Some(Host::Ipv4(ip)) => reach_of_v4(ip),
        Some(Host::Ipv6(ip)) => reach_of_v6(ip),
        None => Reach::Network,
    }
}

/// By the registry of special addresses of IANA (RFC 6890).
fn reach_of_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        // A connection to `0.0.0.0` arrives here.
        [0 | 127, ..] => Reach::Machine,
        // Carrier NAT (RFC 6598), protocol assignments (RFC 6890), benchmarks (RFC 2544), multicast
        // and reserved.
        [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] | [224..=255, ..] => {
            Reach::Network
        }
        _ if ip.is_private() || ip.is_link_local() => Reach::Network,
        _ => Reach::Public,
    }
}

fn reach_of_v6(ip: Ipv6Addr) -> Reach {
    let v4 = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        reach_of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Reach::Machine,
        // Addresses of IPv4 in those of IPv6: mapped, compatible, NAT64, 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            v4(high, low)
        }
        [0x2002, high, low, ..] => v4(high, low),
        // Local NAT64 (RFC 8215), unique local (RFC 4193), link-local with the old site-local,
        // multicast.
        [0x64, 0xff9b, 1, ..] | [0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00..=0xffff, ..] => {
            Reach::Network
        }
        _ => Reach::Public,
    }
}

/// Scheme, host and port, as an error may show them.
pub(crate) fn display(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{}://{host}:{port}", url.scheme()),
        (Some(host), None) => format!("{}://{host}", url.scheme()),
        // A scheme of its own may be anything.
        (None, _) => "a URL without a host".to_owned(),
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
        let mut allowed = AllowedOrigins::default();
        allowed.allow_origin(&url("https://api.lab.example/v1/"));
        allowed.allow_origin(&url("http://127.0.0.1:8040/"));
        allowed.allow_host(HostPattern::new(".align.example").unwrap());
        allowed.allow_host(HostPattern::new("Exact.example").unwrap());
        allowed.allow_host(HostPattern::new("odd.example:8443").unwrap());
        allowed.allow_host(HostPattern::new("bücher.example.").unwrap());
        allowed.allow_host(HostPattern::new("203.0.113.7").unwrap());
        for good in [
            "https://api.lab.example/other",
            "https://API.lab.example:443/",
            "http://127.0.0.1:8040/x",
            "https://eu.align.example/",
            "https://a.b.align.example/",
            "https://exact.example/",
            "https://odd.example:8443/",
            "https://xn--bcher-kva.example/",
            "https://203.0.113.7/",
            "https://0xcb.0.113.7/",
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
            "https://api.lab.example./",
            "https://eu.align.example./",
            "https://exact.example./",
            "https://odd.example/",
            "https://buecher.example/",
            "https://203.0.113.7:444/",
            "http://203.0.113.7:443/",
            "https://[::1]/",
            "http://x.localhost:8040/",
            "ftp://api.lab.example/",
        ] {
            assert!(!allowed.permits(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_never_permitted_off_this_machine() {
        let mut allowed = AllowedOrigins::default();
        allowed.allow_origin(&url("http://api.lab.example/"));
        assert!(!allowed.permits(&url("http://api.lab.example/")));
    }

    #[test]
    fn what_is_no_host_is_no_pattern() {
        for text in [
            "",
            ".",
            "..",
            "a..example",
            "*.align.example",
            "https://align.example",
            "align.example/x",
            "user@align.example",
            "align.example:port",
            ".10.0.0.1",
            "a b",
            " align.example",
        ] {
            assert!(HostPattern::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn files_are_fetched_from_this_machine_only_for_a_service_on_it() {
        let mut remote = AllowedOrigins::default();
        remote.allow_origin(&url("https://api.lab.example/"));
        let mut local = AllowedOrigins::default();
        local.allow_origin(&url("http://127.0.0.1:8040/"));
        for host in [
            "0.0.0.0",
            "0.1.2.3",
            "127.9.9.9",
            "2130706433",
            "0x7f.1",
            "localhost.",
            "x.localhost",
            "X.LOCALHOST.",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
        ] {
            let url = url(&format!("https://{host}/f"));
            assert!(!remote.permits_file(&url), "{host}");
            assert!(local.permits_file(&url), "{host}");
        }
        for host in [
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[fd00::1]",
            "[fe80::1]",
            "[ff02::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b:1::1]",
        ] {
            let text = format!("https://{host}/f");
            assert!(!remote.permits_file(&url(&text)), "{host}");
            assert!(!local.permits_file(&url(&text)), "{host}");
            let mut named = AllowedOrigins::default();
            named.allow_origin(&url(&text));
            assert!(named.permits_file(&url(&text)), "{host}");
        }
        for host in [
            "93.184.216.34",
            "100.128.0.1",
            "172.32.0.1",
            "[2606:4700::1]",
            "[::ffff:93.184.216.34]",
            "localhost.example",
        ] {
            assert!(
                remote.permits_file(&url(&format!("https://{host}/f"))),
                "{host}"
            );
        }
        for (text, by_remote, by_local) in [
            ("https://cdn.example/f", true, true),
            ("http://cdn.example/f", false, false),
            ("http://127.0.0.1:9/f", false, true),
            ("https://localhost/f", false, true),
            ("https://user@cdn.example/f", false, false),
            ("file:///etc/passwd", false, false),
        ] {
            assert_eq!(remote.permits_file(&url(text)), by_remote, "{text}");
            assert_eq!(local.permits_file(&url(text)), by_local, "{text}");
        }
    }
}
