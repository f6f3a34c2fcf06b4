//! The typed client.
//!
//! One [`Client`] for the software, a [`Login`] for each user who signed in, a [`Lab`] for each
//! account that was paired. All three are cheap to clone and share connections, tokens and
//! endpoints.
//!
//! ```no_run
//! # async fn example() -> lab_connector::Result<()> {
//! use lab_connector::{Client, Config};
//!
//! let client = Client::from_config(&Config::from_file("lab-connector.json")?)?;
//! let lab = client.account("4711");
//! for order in lab.orders().list().await?.orders() {
//!     println!("{} {}", order.id(), order.status());
//! }
//! # Ok(())
//! # }
//! ```

mod accounts;
mod assets;
mod attempts;
mod builder;
mod caller;
mod check;
mod configured;
mod limits;
mod listing;
mod login;
mod orders;
mod paging;
mod pipeline;
mod raw;
mod shared;
mod trace;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;

use crate::access::Access;
use crate::auth::refresh::TokenSource;
use crate::auth::{Protocol, TokenKey, TokenStore};
use crate::clock::Clock;
use crate::endpoints::{Endpoints, Operation};
use crate::error::Result;
use crate::model::AccountId;
use crate::retry::{Budget, RetryEvent, RetryPolicy};
use caller::Caller;
use check::Route;
use limits::{Allowance, RequestLimits, TotalLimits};
use pipeline::Call;
use shared::{Handles, SharedState};

pub use accounts::Pairing;
pub use assets::{Download, DownloadAll, FetchedFile};
pub use builder::ClientBuilder;
pub use check::{Check, CheckReport};
pub use listing::ListingLimits;
pub use login::Login;
pub use orders::{Listing, Orders, ReturnScan, Unreadable};
pub use paging::Page;
use paging::Paging;
pub use raw::RawRequest;

/// A client of the Lab Connector API.
///
/// ```no_run
/// # async fn example(client: lab_connector::Client) -> lab_connector::Result<()> {
/// // Once for each lab, with a person at a browser:
/// let login = client.login("front desk");
/// let request = login.authorize()?;
/// println!("open {}", request.url());
/// # let redirected = request.url().clone();
/// login.finish(&request, &redirected).await?;
/// login.pair("4711").await?;
/// // From then on, at every start:
/// let lab = client.account("4711");
/// let listing = lab.orders().list().await?;
/// println!("{} orders wait", listing.orders().len());
/// // Before the program ends: a refresh may be under way.
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<ClientInner>,
}

struct ClientInner {
    protocol: Protocol,
    store: Arc<dyn TokenStore>,
    retry: RetryPolicy,
    on_retry: Option<Observer>,
    /// For calls without a login or an account. Each of those has its own.
    budget: Budget,
    allowance: Allowance,
    total: TotalLimits,
    paging: Paging,
    access: Access,
    file_limit: u64,
    listing: ListingLimits,
    route: Route,
    handles: Mutex<Handles>,
}

type Observer = Box<dyn Fn(&RetryEvent<'_>) + Send + Sync>;

impl Client {
    /// Begins to set up a client in code; [`Client::from_config`] does it from a file.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A user who signs in, or has signed in before. `name` is the software's own: the tokens
    /// are stored under it.
    #[must_use]
    pub fn login(&self, name: impl Into<String>) -> Login {
        Login::new(self, name.into())
    }

    /// A lab that is paired, or was paired before.
    #[must_use]
    pub fn account(&self, id: impl Into<AccountId>) -> Lab {
        let id = id.into();
        let (caller, tokens) = self.caller(TokenKey::Account(id.clone()));
        Lab { caller, tokens, id }
    }

    /// A request without a token: for an operation that has no typed method, or none that fits.
    ///
    /// See [`RawRequest`].
    pub fn call(&self, operation: Operation) -> RawRequest {
        RawRequest::of(self.anonymous(), operation, None)
    }

    /// A request without a token, to a path below the base URL or to a URL.
    ///
    /// See [`RawRequest`].
    pub fn request(&self, method: Method, url: impl Into<String>) -> RawRequest {
        RawRequest::to(self.anonymous(), method, url.into(), None)
    }

    /// Asks *Discovery* where the endpoints are. [`Login::accounts`] does so by itself.
    ///
    /// # Errors
    ///
    /// The service did not answer, or its answer cannot be read
    /// ([`is_decode`](crate::Error::is_decode)). The endpoints stay as they were.
    ///
    /// # Cancel safety
    ///
    /// Safe: the endpoints are replaced in one step or not at all.
    pub async fn discover(&self) -> Result<()> {
        // Without a token: Discovery is asked before there are any. That it needs none is a convention.
        let call = Call::new(Operation::Discovery);
        let answer = self.anonymous().send(call).await?;
        // What is not JSON at all is described as for any other call.
        let _: serde::de::IgnoredAny = answer.decode("it is not valid JSON")?;
        let protocol = &self.inner.protocol;
        protocol
            .directory
            .update(&answer.body, protocol.wire.clock.now())
            .map_err(|error| answer.unfit(error))
    }

    /// Waits for what is under way and must not be left half done: a refresh, a sign-in, a pairing.
    /// The service may have issued tokens for it that nobody has stored yet; where refresh tokens are
    /// good for one use, a process that ends then loses the access, and a person has to sign in
    /// again. New tokens that the store could not take when they came are offered to it once more.
    /// Call it last, before the runtime ends:
    ///
    /// ```no_run
    /// # async fn work(_: &lab_connector::Client) {}
    /// # async fn example(client: lab_connector::Client) {
    /// tokio::select! {
    ///     () = work(&client) => {}
    ///     _ = tokio::signal::ctrl_c() => {}
    /// }
    /// client.close().await;
    /// # }
    /// ```
    ///
    /// A handler of signals must not end the process itself, then: service managers send `SIGTERM`
    /// and wait, as containers do, for longer than a refresh takes. The client can be used on; what
    /// begins after this call is not waited for. It waits as long as an
    /// [operation](ClientBuilder::operation_timeout) may take, and then no more.
    ///
    /// # Cancel safety
    ///
    /// Safe: what is under way goes on.
    pub async fn close(&self) {
        let Protocol { wire, detached, .. } = self.protocol();
        // First: the tasks that this begins are then among those that `ended` waits for. The lock is
        // held over the loop, as `store_pending` awaits nothing.
        for shared in self.handles().all() {
            shared.tokens.store_pending();
        }
        // Done or out of time: the program ends either way (`the_end_does_not_wait_for_ever`).
        let _ = wire.within(wire.timeouts.operation, detached.ended()).await;
    }

    /// The endpoints in force: those configured, with Discovery's last good answer.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::clone(&self.inner.protocol.directory.current())
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        &self.inner.protocol
    }

    /// Calls for a login or an account: all handles share its tokens and limits.
    fn caller(&self, key: TokenKey) -> (Caller, Arc<TokenSource>) {
        let inner = &self.inner;
        let now = inner.protocol.wire.clock.elapsed();
        // Under one lock: two handles of an account must not get two token sources, which would
        // refresh against each other.
        let shared = self.handles().of(key, now, |key| {
            let store = Arc::clone(&inner.store);
            SharedState {
                tokens: Arc::new(TokenSource::new(key, store, inner.protocol.clone())),
                limits: RequestLimits::new(inner.allowance),
                calls: Budget::full(),
                files: Budget::full(),
            }
        });
        let tokens = Arc::clone(&shared.tokens);
        let caller = Caller {
            client: self.clone(),
            shared: Some(shared),
            // No policy of its own: `RawRequest::retry` sets one for a single request.
            retry: None,
        };
        (caller, tokens)
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        // No caller awaits while it holds the lock. A panic leaves no entry half written.
        let handles = self.inner.handles.lock();
        handles.unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls without a login or an account.
    fn anonymous(&self) -> Caller {
        Caller {
            client: self.clone(),
            shared: None,
            retry: None,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("credentials", &self.inner.protocol.credentials)
            .finish_non_exhaustive()
    }
}

/// One account of a client: a lab.
///
/// ```no_run
/// # async fn example(client: lab_connector::Client) -> lab_connector::Result<()> {
/// let lab = client.account("4711");
/// if lab.health().await?.is_reauthorization_needed() {
///     println!("lab {}: please sign in again", lab.id());
/// }
/// for order in lab.orders().list().await?.orders() {
///     println!("{} {}", order.id(), order.status());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Lab {
    caller: Caller,
    tokens: Arc<TokenSource>,
    id: AccountId,
}

impl Lab {
    pub(crate) async fn close(&self) {
        self.caller.client.close().await;
    }

    /// Who may read the files that are written for it.
    pub(crate) fn access(&self) -> Access {
        self.caller.client.inner.access
    }

    /// The account.
    #[must_use]
    pub fn id(&self) -> &AccountId {
        &self.id
    }

    /// Its orders.
    #[must_use]
    pub fn orders(&self) -> Orders<'_> {
        Orders::new(self)
    }

    /// A request with the lab's token: for an operation that has no typed method, or none that
    /// fits. `account_id` is set.
    ///
    /// See [`RawRequest`].
    pub fn call(&self, operation: Operation) -> RawRequest {
        RawRequest::of(self.caller.clone(), operation, Some(&self.id))
    }

    /// A request with the lab's token, to a path below the base URL or to a URL. `account_id`
    /// is set.
    ///
    /// See [`RawRequest`].
    pub fn request(&self, method: Method, url: impl Into<String>) -> RawRequest {
        RawRequest::to(self.caller.clone(), method, url.into(), Some(&self.id))
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.caller.client.protocol().wire.clock
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
