//! The transport over reqwest: the only file that names it.
//!
//! *Problem.* reqwest is meant for browsing: it follows redirects, decompresses, repeats, and takes any
//! proxy that the environment names. Each of these could carry a token elsewhere, send an effect twice,
//! or change the bytes of a file.
//!
//! *Approach.* All of it is switched off, whatever features the application turns on, and left to the
//! layers above. What reqwest says of a failure becomes ours here. No text of this file may show a URL,
//! and plain http to this machine must not go through a proxy
//! (`a_proxy_of_the_environment_gets_nothing_that_is_for_this_machine`).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use url::Url;

use super::diagnosis::{self, Diagnosis, find};
use super::proxy::{NamedProxy, SystemProxies, SystemRoute};
use super::resolver::{PrivateAddressError, Resolver};
use super::{Body, Failure, Request, Response, Timeouts, Transport, TransportError};
use crate::endpoints::origin::{AllowedOrigins, is_loopback};
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

#[derive(Clone)]
pub(crate) struct Reqwest {
    client: reqwest::Client,
    /// For this machine: plain http is allowed there because it does not leave it, and to a
    /// proxy that the environment names it would. A proxy that was configured is asked for.
    direct: reqwest::Client,
    /// None where names may resolve to anything, or somebody else set the client up.
    resolver: Option<Resolver>,
    /// The proxy that errors name.
    proxy: Arc<ErrorProxy>,
}

/// What is known of the proxy that a request goes through.
enum ErrorProxy {
    Unknown,
    Configured(NamedProxy),
    System(Box<SystemProxies>),
}

impl ErrorProxy {
    fn of(&self, url: &Url) -> Option<NamedProxy> {
        match self {
            ErrorProxy::Unknown => None,
            ErrorProxy::Configured(proxy) => Some(proxy.clone()),
            ErrorProxy::System(proxies) => match proxies.route(url) {
                SystemRoute::Proxy(proxy) => Some(proxy),
                SystemRoute::Direct | SystemRoute::Excepted { .. } => None,
            },
        }
    }
}

/// What a lab's network may ask for.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) proxy: Proxy,
    pub(crate) proxy_credentials: Option<(String, Secret)>,
    /// PEM, one or more certificates each.
    pub(crate) roots: Vec<Vec<u8>>,
}

/// Through what requests go.
#[derive(Default)]
pub(crate) enum Proxy {
    /// What the environment and the system say.
    #[default]
    System,
    None,
    /// A URL that may hold a password.
    At(Secret),
}

impl Network {
    /// Whether all is as it is by default.
    pub(crate) fn is_default(&self) -> bool {
        matches!(self.proxy, Proxy::System)
            && self.proxy_credentials.is_none()
            && self.roots.is_empty()
    }
}

impl Reqwest {
    pub(crate) fn new(
        timeouts: &Timeouts,
        network: &Network,
        allowed: Option<Arc<AllowedOrigins>>,
    ) -> Result<Self> {
        Reqwest::with(timeouts, network, allowed.map(Resolver::new))
    }

    pub(super) fn with(
        timeouts: &Timeouts,
        network: &Network,
        resolver: Option<Resolver>,
    ) -> Result<Self> {
        check_provider()?;
        let builder = || {
            let builder = reqwest::Client::builder()
                // A limit of its own: without a connection nothing was sent, and even an effect may be
                // repeated.
                .connect_timeout(timeouts.connect)
                // A limit between two reads and not on the whole: files take as long as they take.
                .read_timeout(timeouts.idle)
                // The client judges where a redirect leads, and whether the token goes along.
                .redirect(reqwest::redirect::Policy::none())
                // The application may turn these features of reqwest on: files are kept as they came.
                .no_gzip()
                .no_brotli()
                .no_zstd()
                .no_deflate()
                // Retrying is the pipeline's, which knows what may be repeated.
                .retry(reqwest::retry::never());
            let builder = match &resolver {
                Some(resolver) => builder.dns_resolver(resolver.clone()),
                None => builder,
            };
            trusting(builder, &network.roots)
        };
        let proxied = match &network.proxy {
            // The credentials would go to whatever proxy the environment names.
            Proxy::System if network.proxy_credentials.is_some() => {
                return Err(Error::configuration(
                    "credentials for a proxy are given, and no proxy",
                ));
            }
            Proxy::System => builder()?,
            Proxy::None => builder()?.no_proxy(),
            Proxy::At(url) => builder()?.proxy(proxy(url, network.proxy_credentials.as_ref())?),
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| {
                Error::new(Kind::Configuration("TLS cannot be set up".to_owned()))
                    .with_source(error)
            })
        };
        let client = built(proxied)?;
        // Without a system proxy both are the same, with one pool of connections.
        let direct = match network.proxy {
            Proxy::System => built(builder()?.no_proxy())?,
            Proxy::None | Proxy::At(_) => client.clone(),
        };
        let proxy = match &network.proxy {
            Proxy::System => ErrorProxy::System(Box::new(SystemProxies::read())),
            Proxy::None => ErrorProxy::Unknown,
            Proxy::At(url) => NamedProxy::new("ClientBuilder::proxy", url.expose())
                .map_or(ErrorProxy::Unknown, ErrorProxy::Configured),
        };
        let proxy = Arc::new(proxy);
        Ok(Reqwest {
            client,
            direct,
            resolver,
            proxy,
        })
    }

    /// A client that somebody else set up.
    #[cfg(feature = "reqwest-0_13")]
    pub(crate) fn ready(client: reqwest::Client) -> Self {
        Reqwest {
            direct: client.clone(),
            client,
            resolver: None,
            proxy: Arc::new(ErrorProxy::Unknown),
        }
    }
}

/// Where the application is to install a provider and has not, reqwest panics.
#[cfg(all(feature = "rustls-no-provider", not(feature = "rustls")))]
fn check_provider() -> Result<()> {
    match rustls::crypto::CryptoProvider::get_default() {
        Some(_) => Ok(()),
        None => Err(Error::configuration(
            "no provider of cryptography is installed, which the feature `rustls-no-provider` leaves to \
             the application: call `rustls::crypto::ring::default_provider().install_default()`, or that \
             of another provider, before the client is built; or turn on the feature `rustls`",
        )),
    }
}

#[cfg(not(all(feature = "rustls-no-provider", not(feature = "rustls"))))]
fn check_provider() -> Result<()> {
    Ok(())
}

/// The URL is parsed here first: reqwest's own error could show it, with the password in it.
fn proxy(url: &Secret, credentials: Option<&(String, Secret)>) -> Result<reqwest::Proxy> {
    let wrong = || Error::configuration("`proxy` must be an http or https URL");
    let url = Url::parse(url.expose()).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong());
    }
    let proxy = reqwest::Proxy::all(url).map_err(|_| wrong())?;
    Ok(match credentials {
        Some((user, password)) => proxy.basic_auth(user, password.expose()),
        None => proxy,
    })
}

#[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
fn trusting(builder: reqwest::ClientBuilder, roots: &[Vec<u8>]) -> Result<reqwest::ClientBuilder> {
    let wrong = || Error::configuration("a root certificate is no certificate in PEM");
    let mut certificates = Vec::new();
    for pem in roots {
        // A bundle of none is an error too: a file that is not PEM reads as an empty one, and the lab
        // would believe that its root is trusted.
        let read = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|error| wrong().with_source(error))?;
        if read.is_empty() {
            return Err(wrong());
        }
        certificates.extend(read);
    }
    Ok(if certificates.is_empty() {
        builder
    } else {
        // Beside the platform's roots, not in their place
        // (`a_root_of_ones_own_is_trusted_beside_the_platforms`).
        builder.tls_certs_merge(certificates)
    })
}

#[cfg(not(any(feature = "rustls", feature = "rustls-no-provider")))]
fn trusting(builder: reqwest::ClientBuilder, _: &[Vec<u8>]) -> Result<reqwest::ClientBuilder> {
    Ok(builder)
}

/// Without reqwest's own, which shows the proxies.
impl fmt::Debug for Reqwest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reqwest")
    }
}

#[async_trait]
impl Transport for Reqwest {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let request = converted(request).map_err(|error| failed(error, None))?;
        let client = match is_loopback(request.url()) {
            true => &self.direct,
            false => &self.client,
        };
        let visit = self.resolver.as_ref().map(|own| own.visit(request.url()));
        let response = client.execute(request).await;
        let response = response.map_err(|error| {
            let url = error.url().filter(|url| !is_loopback(url));
            let proxy = url.and_then(|url| self.proxy.of(url));
            failed(error, proxy.as_ref())
        })?;
        // The head is there, so the name was resolved long before.
        drop(visit);
        // Read before the conversion, which takes the response apart.
        let length = response.content_length();
        let response = http::Response::<reqwest::Body>::from(response);
        Ok(response.map(|body| {
            let stream = http_body_util::BodyDataStream::new(body);
            Body::from_stream(stream.map_err(|error| failed(error, None))).with_length(length)
        }))
    }
}

fn converted(mut request: Request) -> reqwest::Result<reqwest::Request> {
    // What set the URI left its URL beside it; without it reqwest parses the URI.
    let Some(url) = request.extensions_mut().remove::<Url>() else {
        return reqwest::Request::try_from(request);
    };
    let (head, body) = request.into_parts();
    let mut converted = reqwest::Request::new(head.method, url);
    *converted.headers_mut() = head.headers;
    *converted.body_mut() = Some(body.into());
    Ok(converted)
}

/// The URL is taken out: it may be signed, and its path holds ids.
fn failed(error: reqwest::Error, proxy: Option<&NamedProxy>) -> TransportError {
    let error = error.without_url();
    // The order counts: a refused address is a failed connection to reqwest, and a connection that
    // was not made in time is a timeout as well, though nothing was sent.
    if find::<PrivateAddressError>(&error).is_some() {
        TransportError::new(Failure::NotPublic, error)
    } else if error.is_connect() {
        let Diagnosis { failure, detail } = diagnosis::of_connection(&error, proxy);
        TransportError::new(failure, error).with_detail(detail)
    } else if error.is_timeout() || has_timed_out(&error) {
        TransportError::timeout(error)
    } else if error.is_builder() {
        // It could not even be made, and could not be the next time.
        let detail = ": the request cannot be made".to_owned();
        TransportError::new(Failure::Unconnectable, error).with_detail(detail)
    } else if find::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse) {
        TransportError::new(Failure::Protocol, error)
    } else {
        TransportError::broken(error)
    }
}

// The system has time limits as well, and reports them as errors of the connection.
fn has_timed_out(error: &reqwest::Error) -> bool {
    find::<std::io::Error>(error).is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

#[cfg(all(test, feature = "rustls-no-provider", not(feature = "rustls")))]
mod tests {
    use super::*;

    #[test]
    fn without_a_provider_the_line_to_write_is_said() {
        let error = Reqwest::new(&Timeouts::default(), &Network::default(), None);
        let error = error.map(drop).unwrap_err();
        assert!(error.is_configuration(), "{error}");
        assert!(error.to_string().contains("install_default()"), "{error}");
    }
}
