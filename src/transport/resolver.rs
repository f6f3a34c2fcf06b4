//! What a name may resolve to.
//!
//! *Problem.* The URL of a file is the service's own word, and its name may resolve to 127.0.0.1 or to
//! a machine of the lab's network: software with rights there would ask it for a file.
//!
//! *Approach.* What a URL says is judged before a request is made; a name says nothing until it is
//! resolved, so it is judged there, at each connection, and the connection is made to the very address
//! that was judged. A host that the configuration does not name must get public addresses only
//! (`what_the_configuration_does_not_name_resolves_to_public_addresses_only`).

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::endpoints::origin::AllowedOrigins;

/// The hosts that requests are on their way to, and how many.
type VisitedHosts = Arc<Mutex<BTreeMap<String, usize>>>;

type Lookup = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// The system's resolver. A host that the configuration names may resolve to anything, every other
/// to public addresses only.
#[derive(Clone)]
pub(super) struct Resolver {
    allowed: Arc<AllowedOrigins>,
    /// Those that the configuration does not name. A proxy's name is resolved here too, and is none
    /// of them.
    visited: VisitedHosts,
    // The system's look-up; tests have one of their own.
    lookup: Lookup,
}

impl Resolver {
    pub(super) fn new(allowed: Arc<AllowedOrigins>) -> Self {
        let lookup = |host: &str| Ok((host, 0).to_socket_addrs()?.collect());
        Resolver {
            allowed,
            visited: Arc::default(),
            lookup,
        }
    }

    /// To be held while a request is made.
    pub(super) fn visit(&self, url: &Url) -> Visit {
        let host = match url.host() {
            Some(Host::Domain(host)) if !self.allowed.names_host(host) => host.to_owned(),
            _ => return Visit(None),
        };
        // Counted: several requests to one host may be on their way.
        *visited(&self.visited).entry(host.clone()).or_default() += 1;
        Visit(Some((Arc::clone(&self.visited), host)))
    }
}

fn visited(hosts: &VisitedHosts) -> MutexGuard<'_, BTreeMap<String, usize>> {
    // Held for one look or one count, never across an await. A panic cannot leave it half written.
    hosts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request on its way to a host that the configuration does not name.
pub(super) struct Visit(Option<(VisitedHosts, String)>);

impl Drop for Visit {
    fn drop(&mut self) {
        let Some((hosts, host)) = &self.0 else { return };
        let mut hosts = visited(hosts);
        if let Some(count) = hosts.get_mut(host) {
            *count -= 1;
            if *count == 0 {
                hosts.remove(host);
            }
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        // By the name alone: reqwest does not say for which request it resolves, and a proxy's name
        // comes here too.
        let is_judged = visited(&self.visited).contains_key(name.as_str());
        let (allowed, lookup) = (Arc::clone(&self.allowed), self.lookup);
        Box::pin(async move {
            // The system's resolver blocks.
            let addresses = tokio::task::spawn_blocking(move || lookup(name.as_str())).await??;
            let mut open = addresses.clone();
            if is_judged {
                // The connection is made to one of these: a second look-up could answer otherwise
                // (DNS rebinding).
                open.retain(|address| allowed.permits_address(address.ip()));
            }
            // A name without any address is an ordinary failure of the look-up.
            if open.is_empty() && !addresses.is_empty() {
                return Err(PrivateAddressError.into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// A name leads to this machine or into its network.
#[derive(Debug)]
pub(super) struct PrivateAddressError;

impl fmt::Display for PrivateAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to this machine or into its network")
    }
}

impl StdError for PrivateAddressError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn lookup(host: &str) -> io::Result<Vec<SocketAddr>> {
        let all: &[&str] = match host {
            "machine.example" | "proxy.example" => &["127.0.0.1:0"],
            "six.example" => &["[::1]:0", "[::ffff:127.0.0.1]:0"],
            "network.example" | "named.example" | "a.align.example" => &["10.0.0.1:0"],
            "mixed.example" => &["192.168.0.1:0", "93.184.216.34:0", "0.0.0.0:0"],
            "public.example" => &["93.184.216.34:0"],
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(all.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn resolver(configured: &[&str]) -> Resolver {
        let mut allowed = AllowedOrigins::default();
        for url in configured {
            allowed.allow_origin(&Url::parse(url).unwrap());
        }
        let pattern = crate::endpoints::origin::HostPattern::new(".align.example");
        allowed.allow_host(pattern.unwrap());
        Resolver {
            lookup,
            ..Resolver::new(Arc::new(allowed))
        }
    }

    async fn resolve(resolver: &Resolver, host: &str) -> Result<Vec<String>, bool> {
        let resolved = resolver.resolve(Name::from_str(host).unwrap()).await;
        let addresses = resolved.map_err(|error| error.is::<PrivateAddressError>())?;
        Ok(addresses.map(|address| address.ip().to_string()).collect())
    }

    #[tokio::test]
    async fn what_the_configuration_does_not_name_resolves_to_public_addresses_only() {
        let remote = resolver(&["https://named.example/"]);
        let local = resolver(&["http://127.0.0.1:8040/"]);
        let visit = |resolver: &Resolver, host: &str| {
            resolver.visit(&Url::parse(&format!("https://{host}/")).unwrap())
        };
        let public = Ok(vec!["93.184.216.34".to_owned()]);
        for (host, by_remote, by_local) in [
            (
                "machine.example",
                Err(true),
                Ok(vec!["127.0.0.1".to_owned()]),
            ),
            (
                "six.example",
                Err(true),
                Ok(vec!["::1".to_owned(), "::ffff:127.0.0.1".to_owned()]),
            ),
            ("network.example", Err(true), Err(true)),
            ("public.example", public.clone(), public.clone()),
            ("nowhere.example", Err(false), Err(false)),
            (
                "a.align.example",
                Ok(vec!["10.0.0.1".to_owned()]),
                Ok(vec!["10.0.0.1".to_owned()]),
            ),
            ("named.example", Ok(vec!["10.0.0.1".to_owned()]), Err(true)),
        ] {
            for (resolver, expected) in [(&remote, &by_remote), (&local, &by_local)] {
                let _visit = (visit(resolver, host), visit(resolver, host));
                drop(visit(resolver, host));
                assert_eq!(resolve(resolver, host).await, *expected, "{host}");
            }
        }
        let _visit = visit(&remote, "mixed.example");
        assert_eq!(resolve(&remote, "mixed.example").await, public);
        // Nobody visits it: a proxy, which may be anywhere.
        let proxy = resolve(&remote, "proxy.example").await;
        assert_eq!(proxy, Ok(vec!["127.0.0.1".to_owned()]));
        assert_eq!(remote.visited.lock().unwrap().len(), 1);
    }

    /// With the real client below it, and a listener that nobody may reach.
    #[tokio::test]
    async fn a_name_that_leads_here_is_not_called() {
        use crate::transport::{Failure, Network, Reqwest, Timeouts, Transport};

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for (configured, failure) in [
            ("https://named.example/", Failure::NotPublic),
            // Then it is called, and answers nothing.
            ("http://127.0.0.1:1/", Failure::Timeout),
        ] {
            let timeouts = Timeouts {
                idle: std::time::Duration::from_millis(300),
                ..Timeouts::default()
            };
            let resolver = resolver(&[configured]);
            let network = Network {
                proxy: crate::transport::Proxy::None,
                ..Network::default()
            };
            let reqwest = Reqwest::with(&timeouts, &network, Some(resolver)).unwrap();
            let url = format!("http://machine.example:{port}/f");
            let request = http::Request::get(url).body(bytes::Bytes::new());
            let error = reqwest.send(request.unwrap()).await.unwrap_err();
            assert_eq!(error.failure, failure, "{error:?}");
        }
    }
}
