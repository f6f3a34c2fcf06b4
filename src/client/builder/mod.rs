//! Setting up a client.
//!
//! Setters take anything and do no I/O, so that a configuration can be applied line by line; `build`
//! checks it all. A setting that would have no effect must be an error there, not be ignored: a lab
//! would believe in a proxy that nothing uses.

mod limits;

use std::fmt;
use std::sync::{Arc, Mutex};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::access::Access;
use crate::auth::{
    Credentials, DetachedTasks, MemoryTokenStore, Protocol, TokenStore, check_parameter,
    redirect_url,
};
use crate::client::check::Route;
use crate::client::limits::{Allowance, TotalAllowance, TotalLimits};
use crate::client::{Client, ClientInner, ListingLimits, Observer, Paging};
use crate::clock::{Clock, SystemClock};
use crate::endpoints::Endpoints;
use crate::endpoints::discovery::Directory;
use crate::endpoints::origin::{AllowedOrigins, HostPattern};
use crate::error::{Error, Result};
use crate::retry::{Budget, RetryEvent, RetryPolicy};
use crate::secret::Secret;
use crate::transport::wire::{ANSWER_LIMIT, ExtraHeaders, TimedTransport};
use crate::transport::{Network, Proxy, Reqwest, Timeouts, Transport};

/// Sets up a [`Client`]. Setters take anything; [`ClientBuilder::build`] checks it.
///
/// ```no_run
/// use lab_connector::{Client, Endpoints, FileTokenStore};
/// use std::time::Duration;
///
/// # fn example(secret: String) -> lab_connector::Result<()> {
/// let client = Client::builder()
///     .endpoints(Endpoints::from_base_url("https://lab-connector.example/")?)
///     .credentials("client id", secret)
///     .redirect_url("https://lab.example/callback")
///     .token_store(FileTokenStore::open("tokens")?)
///     .allow_host(".eu.lab-connector.example") // the region that Discovery names
///     .total_rate(60, Duration::from_secs(60))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct ClientBuilder {
    endpoints: Option<Endpoints>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    client_secret_in_body: bool,
    redirect_url: Option<String>,
    scopes: Vec<String>,
    extra: Vec<(String, String)>,
    pkce: bool,
    hosts: Vec<String>,
    store: Option<Arc<dyn TokenStore>>,
    transport: Option<Arc<dyn Transport>>,
    network: Network,
    clock: Arc<dyn Clock>,
    timeouts: Timeouts,
    answer_limit: usize,
    retry: RetryPolicy,
    on_retry: Option<Observer>,
    allowance: Allowance,
    total: TotalAllowance,
    paging: Paging,
    shared_files: bool,
    file_limit: u64,
    listing: ListingLimits,
    headers: Vec<(String, Secret)>,
    user_agent: Option<String>,
}

/// Headers that requests set by themselves, or that have a setter of their own.
// A second length or encoding of one body makes two requests of it for a proxy that goes by the other
// (RFC 9112 section 6.3). `Range` and `If-Range` belong to downloads: on a call they would ask for half an
// answer.
const OWN_HEADERS: [HeaderName; 16] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::IF_RANGE,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
];

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        ClientBuilder {
            endpoints: None,
            client_id: None,
            client_secret: None,
            client_secret_in_body: false,
            redirect_url: None,
            scopes: Vec::new(),
            extra: Vec::new(),
            pkce: true,
            hosts: Vec::new(),
            store: None,
            transport: None,
            network: Network::default(),
            clock: Arc::new(SystemClock),
            timeouts: Timeouts::default(),
            answer_limit: ANSWER_LIMIT,
            retry: RetryPolicy::default(),
            on_retry: None,
            allowance: Allowance::default(),
            total: TotalAllowance::default(),
            paging: Paging::default(),
            shared_files: false,
            // Far above any case, and still an end: a service that sends without one must not fill the disk.
            file_limit: 16 << 30,
            listing: ListingLimits::default(),
            headers: Vec::new(),
            user_agent: None,
        }
    }

    /// Where the service is. Required.
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = Some(endpoints);
        self
    }

    /// The client id and the client secret that Align issued. Required.
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        self.client_id = Some(id.into());
        self.client_secret = Some(secret.into());
        self
    }

    /// Whether the client id and secret go to the token endpoint in the body, as `client_id` and
    /// `client_secret`. Default: no, but by HTTP Basic authentication, which RFC 6749 asks every service
    /// to support. Which of the two the Lab Connector takes is not documented.
    pub fn client_secret_in_body(mut self, in_body: bool) -> Self {
        self.client_secret_in_body = in_body;
        self
    }

    /// Where the browser is sent after signing in: as registered with Align, https, without a
    /// `#`. Needed to sign in and for nothing else. Default: none.
    pub fn redirect_url(mut self, url: impl Into<String>) -> Self {
        self.redirect_url = Some(url.into());
        self
    }

    /// A scope to ask for when signing in. Scopes are not documented. Default: none.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// A further parameter of the sign-in page, such as `audience`. Not one that the protocol
    /// needs itself, such as `state`; for `scope` there is [`ClientBuilder::scope`]. Default: none.
    pub fn authorization_parameter(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// Whether to protect the authorization code with PKCE (RFC 7636, S256). Default: yes;
    /// services that do not know it ignore it.
    pub fn pkce(mut self, pkce: bool) -> Self {
        self.pkce = pkce;
        self
    }

    /// A further host that credentials may be sent to, over https: `api.example.com`, or
    /// `.example.com` for all hosts below; with `:8443` for another port than 443. Needed where
    /// Discovery names a regional domain. An IP address must be given itself. Default: the
    /// origins that the configured endpoints name, and no others.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Where tokens are kept. Default: in memory, so that users sign in after every restart.
    pub fn token_store(mut self, store: impl TokenStore + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// What sends requests. Default: reqwest.
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sends requests with a reqwest client that was set up elsewhere: with another TLS
    /// library, a resolver, a connector.
    ///
    /// It should follow no redirects (`reqwest::redirect::Policy::none()`): the client follows
    /// those that it may. Nor should it decompress anything (`no_gzip` and its kin): a file would not
    /// be what its length and digests say. Its proxies, certificates, connect and read timeouts are its
    /// own, and so is what names resolve to: where [`proxy`](ClientBuilder::proxy) says that they are
    /// judged, here they are not.
    /// This method is exempt from the crate's semver promise and goes with reqwest 0.13.
    #[cfg(feature = "reqwest-0_13")]
    pub fn reqwest_client(mut self, client: reqwest::Client) -> Self {
        self.transport = Some(Arc::new(Reqwest::ready(client)));
        self
    }

    /// The proxy that requests go through: an http or https URL, which may hold user and
    /// password. It is asked to tunnel what is https. Default: what the environment
    /// (`HTTPS_PROXY`, `NO_PROXY` and their kin) and, on macOS and Windows, the system's settings
    /// say. Scripts that choose a proxy (PAC, WPAD) are read neither by the client nor by
    /// [`Client::check`]: where a network has only those, name the proxy here.
    ///
    /// Without a proxy, a host that the configuration does not name, such as that of a file, is not
    /// called where its name resolves to this machine or a private network. Behind a proxy it is
    /// the proxy that resolves names: what it may reach is for the proxy to say.
    pub fn proxy(mut self, url: impl Into<Secret>) -> Self {
        self.network.proxy = Proxy::At(url.into());
        self
    }

    /// User and password for the proxy, sent to nobody else (HTTP Basic). Default: those in the
    /// proxy's URL, if any.
    pub fn proxy_credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Self {
        self.network.proxy_credentials = Some((user.into(), password.into()));
        self
    }

    /// No proxy, whatever the environment and the system say.
    pub fn no_proxy(mut self) -> Self {
        self.network.proxy = Proxy::None;
        self
    }

    /// One or several certificates in PEM to trust beside the platform's roots, such as that of a proxy
    /// that opens TLS to inspect it. May be called more than once. Default: the platform's roots alone.
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    #[cfg_attr(
        docsrs,
        doc(cfg(any(feature = "rustls", feature = "rustls-no-provider")))
    )]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.network.roots.push(pem.into());
        self
    }

    /// Where the time comes from. Default: the machine's clock.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// When to try again. Default: see [`RetryPolicy`].
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Called after every attempt that failed, with what was decided: for counters and logs. It
    /// must not block. Default: none; `tracing` has an event for each.
    pub fn on_retry(mut self, observer: impl Fn(&RetryEvent<'_>) + Send + Sync + 'static) -> Self {
        self.on_retry = Some(Box::new(observer));
        self
    }

    /// Whether other users may read downloaded files, as the umask allows: for a lab whose
    /// software hands them on to programs of other users. Default: no, their mode is 0600, and that of
    /// directories that are made for them 0700. On Windows the directory's access list decides.
    pub fn shared_files(mut self, shared: bool) -> Self {
        self.shared_files = shared;
        self
    }

    /// A header of every request that goes where credentials may go, requests for tokens among them: a
    /// gateway before the service may ask for a key. It is marked as
    /// [sensitive](HeaderValue::is_sensitive). What a request sets by itself, such as `Authorization`
    /// or `Accept`, is refused; a [raw request](crate::client::RawRequest::header) may have another
    /// value of its own. Default: none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The software that uses the client, as in `LabSoft/3.1`: it comes first in the `User-Agent` of
    /// every request. Default: this crate alone; with a transport of your own, what that sends.
    pub fn user_agent(mut self, product: impl Into<String>) -> Self {
        self.user_agent = Some(product.into());
        self
    }

    /// Checks the settings and makes the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`] if the endpoints or the credentials are missing, if the
    /// redirect URL cannot be registered, if a parameter of the sign-in page is one of the
    /// protocol's own, if a host is no host, if the proxy or a root certificate cannot be read,
    /// if a header or the user agent cannot be sent, or if TLS cannot be set up.
    pub fn build(self) -> Result<Client> {
        let endpoints = self.endpoints.ok_or_else(|| {
            Error::configuration(
                "the endpoints are not given: set `base_url` or `endpoints`, or the variable LAB_CONNECTOR_BASE_URL",
            )
        })?;
        let client_id = self.client_id.filter(|id| !id.is_empty()).ok_or_else(|| {
            Error::configuration(
                "the client id is not given: set `client_id`, or the variable LAB_CONNECTOR_CLIENT_ID",
            )
        })?;

        // First of all: the transport's resolver and the extra headers go by it.
        let mut allowed = AllowedOrigins::default();
        // Only what the configuration names: Discovery and orders must not add to it.
        for url in endpoints.configured_urls() {
            allowed.allow_origin(&url);
        }
        for host in &self.hosts {
            allowed.allow_host(HostPattern::new(host).ok_or_else(|| {
                Error::configuration(format!("`{host}` is no host name, as in `api.example.com`"))
            })?);
        }
        // A second `state` or `redirect_uri` could be the one that the service reads.
        for (name, _) in &self.extra {
            check_parameter(name)?;
        }
        let allowed = Arc::new(allowed);
        // A transport of the application's own keeps its own user agent, unless one is set.
        let product = match (self.user_agent.as_deref(), &self.transport) {
            (None, Some(_)) => None,
            (product, _) => Some(product.unwrap_or_default()),
        };
        let headers = Arc::new(extra_headers(&self.headers, product, &allowed)?);
        let redirect_url = self.redirect_url.as_deref().map(redirect_url).transpose()?;
        let route = Route::of(self.transport.is_some(), &self.network.proxy);
        let transport = match self.transport {
            // Settings that have no effect there are an error: a lab would believe that its proxy
            // is used.
            Some(_) if !self.network.is_default() => {
                return Err(Error::configuration(
                    "proxies and root certificates are for the client's own transport, and another one is given",
                ));
            }
            Some(transport) => transport,
            None => {
                let allowed = Some(Arc::clone(&allowed));
                Arc::new(Reqwest::new(&self.timeouts, &self.network, allowed)?)
            }
        };
        let credentials = Credentials {
            client_id,
            client_secret: self.client_secret,
            secret_in_body: self.client_secret_in_body,
            redirect_url,
            scopes: self.scopes,
            extra: self.extra,
            pkce: self.pkce,
        };
        Ok(Client {
            inner: Arc::new(ClientInner {
                protocol: Protocol {
                    wire: TimedTransport {
                        transport,
                        clock: self.clock,
                        timeouts: self.timeouts,
                        answer_limit: self.answer_limit,
                        headers,
                    },
                    directory: Arc::new(Directory::new(endpoints)),
                    allowed,
                    credentials: Arc::new(credentials),
                    asked: Arc::default(),
                    detached: DetachedTasks::default(),
                },
                store: self
                    .store
                    .unwrap_or_else(|| Arc::new(MemoryTokenStore::new())),
                retry: self.retry,
                on_retry: self.on_retry,
                budget: Budget::full(),
                allowance: self.allowance,
                total: TotalLimits::new(self.total),
                paging: self.paging,
                file_limit: self.file_limit,
                access: Access::of(self.shared_files),
                listing: self.listing,
                route,
                handles: Mutex::default(),
            }),
        })
    }
}

fn extra_headers(
    headers: &[(String, Secret)],
    product: Option<&str>,
    allowed: &Arc<AllowedOrigins>,
) -> Result<ExtraHeaders> {
    let ours = concat!("lab-connector/", env!("CARGO_PKG_VERSION"));
    let agent = product.map(|product| HeaderValue::from_str(format!("{product} {ours}").trim()));
    let user_agent = agent
        .transpose()
        .map_err(|_| Error::configuration("the user agent cannot be sent in a header"))?;
    let mut configured = HeaderMap::new();
    for (name, value) in headers {
        let header = name.parse::<HeaderName>().ok();
        let header = header.filter(|header| !OWN_HEADERS.contains(header));
        let value = HeaderValue::from_str(value.expose());
        let (Some(header), Ok(mut value)) = (header, value) else {
            // Any text may be in its place: it is shown on one line, and not all of it.
            let name: String = name.escape_debug().take(40).collect();
            return Err(Error::configuration(format!(
                "the header `{name}` cannot be set"
            )));
        };
        // It may be a key of a gateway.
        value.set_sensitive(true);
        // `insert`: of a header that is given twice the last value counts.
        configured.insert(header, value);
    }
    Ok(ExtraHeaders {
        user_agent,
        configured,
        allowed: Arc::clone(allowed),
    })
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("endpoints", &self.endpoints)
            .field("client_id", &self.client_id)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> ClientBuilder {
        ClientBuilder::new()
            .endpoints(Endpoints::from_base_url("https://a.example").unwrap())
            .credentials("id", "secret")
    }

    #[test]
    fn mistakes_are_named() {
        let bare = ClientBuilder::new();
        let mut mistakes = vec![
            (bare.credentials("id", "secret"), "endpoints"),
            (builder().credentials("", "secret"), "client id"),
            (builder().redirect_url("https://lab.example/#"), "#"),
        ];
        for name in [
            "state",
            "redirect_uri",
            "code_challenge",
            "response_type",
            "",
        ] {
            mistakes.push((builder().authorization_parameter(name, "x"), "sign-in page"));
        }
        for host in ["*.example.com", "https://example.com", ""] {
            mistakes.push((builder().allow_host(host), "host name"));
        }
        for name in ["Authorization", "host", "User-Agent", "Range", "x y", ""] {
            mistakes.push((builder().header(name, "canary"), "cannot be set"));
        }
        mistakes.push((builder().header("x-key", "canary\n"), "`x-key`"));
        mistakes.push((builder().user_agent("canary\n!"), "user agent"));
        for (builder, named) in mistakes {
            let error = builder.build().unwrap_err();
            assert!(error.is_configuration(), "{error}");
            assert!(error.to_string().contains(named), "{error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn the_page_is_asked_for_as_configured() {
        let client = builder()
            .redirect_url("https://lab.example")
            .scope("orders")
            .scope("offline_access")
            .authorization_parameter("audience", "https://api.example/?a&b");
        let request = client.build().unwrap().login("me").authorize().unwrap();
        let kept: serde_json::Value = serde_json::from_str(&request.expose_json()).unwrap();
        let verifier = kept["code_verifier"].as_str().unwrap();
        let challenge = oauth2::PkceCodeChallenge::from_code_verifier_sha256(
            &oauth2::PkceCodeVerifier::new(verifier.to_owned()),
        );
        let mut pairs: Vec<_> = request.url().query_pairs().collect();
        pairs.sort();
        let expected = [
            ("audience", "https://api.example/?a&b"),
            ("client_id", "id"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            // As it was given: no slash has come to it.
            ("redirect_uri", "https://lab.example"),
            ("response_type", "code"),
            ("scope", "orders offline_access"),
            ("state", kept["state"].as_str().unwrap()),
        ];
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_ref(), v.as_ref()))
            .collect();
        assert_eq!(pairs, expected);
        assert!(!request.url().as_str().contains("secret"));
    }

    #[test]
    fn pkce_can_be_switched_off_and_no_two_requests_are_alike() {
        let client = builder().redirect_url("https://lab.example/").pkce(false);
        let login = client.build().unwrap().login("me");
        let (one, other) = (login.authorize().unwrap(), login.authorize().unwrap());
        assert!(
            !one.url().as_str().contains("code_challenge"),
            "{}",
            one.url()
        );
        let kept = |request: &crate::auth::AuthorizationRequest| -> serde_json::Value {
            serde_json::from_str(&request.expose_json()).unwrap()
        };
        assert!(kept(&one)["code_verifier"].is_null());
        assert_ne!(kept(&one)["state"], kept(&other)["state"]);
        assert!(
            kept(&one)["state"].as_str().unwrap().len() >= 22,
            "128 bits"
        );
    }

    #[test]
    fn without_a_redirect_url_nobody_signs_in() {
        let error = builder()
            .build()
            .unwrap()
            .login("me")
            .authorize()
            .unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains("`redirect_url`"));
    }
}
