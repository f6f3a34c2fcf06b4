//! A Lab Connector of your own, on loopback.
//!
//! *Problem.* Align gives credentials after one to three months, and then there are real people
//! behind them.
//!
//! *Default.* [`Simulator::start`] serves every service of the Lab Connector API over HTTP on a
//! free port of this machine, with the conventions of [`Operation`]. It
//! plays the five scenarios by the rules that are documented: *Get Orders* lists what is in
//! *Ready for Download* or *Lab Review*, downloaded orders drop out, notifications are posted
//! on arrival, access tokens expire after an hour of simulated time, pairing issues new tokens.
//! The people outside the API are methods: [`Simulator::scan`], [`Simulator::proceed`], …
//!
//! What is not documented it decides by convention: an order becomes *Downloaded* when its zip
//! has been fetched; a refresh token is good for one use, and one that is used twice revokes all
//! tokens that came from the same sign-in or pairing ([`Simulator::revoke_on_reuse`]).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lab_connector::Client;
//! use lab_connector::simulator::Simulator;
//!
//! let service = Simulator::start().await?;
//! let client = Client::builder()
//!     .endpoints(service.endpoints())
//!     .credentials(service.client_id(), service.client_secret())
//!     .redirect_url(service.redirect_url())
//!     .build()?;
//!
//! // A user signs in and picks a lab.
//! let login = client.login("me");
//! let request = login.authorize()?;
//! let redirected = service.consent(request.url())?;
//! login.finish(&request, &redirected).await?;
//! let account = login.accounts().await?.remove(0);
//! let lab = login.pair(account.id()).await?;
//!
//! // A doctor scans.
//! let order = service.scan(account.id())?;
//! let listing = lab.orders().list().await?;
//! assert_eq!(*listing.orders()[0].id(), order);
//! # Ok(())
//! # }
//! ```

mod files;
mod notify;
mod people;
mod server;
mod tokens;
mod world;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use url::Url;

use crate::endpoints::{Endpoints, Operation};
use crate::model::AccountId;
use notify::Notifier;
use world::{Notice, World};

pub use people::Refused;

/// A running simulator. It stops when it is dropped; many can run at once.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: AbortHandle,
}

/// What the server and the handle share.
#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    notifier: Notifier,
    endpoints: Endpoints,
}

const CLIENT_ID: &str = "simulator";
const CLIENT_SECRET: &str = "simulator-secret";
/// Nothing listens there: the browser shows an error, and the address bar holds the URL.
const REDIRECT_URL: &str = "https://lab.example/callback";

impl Simulator {
    /// Starts on a free port of the loopback address, with one lab, `L-1`.
    ///
    /// # Errors
    ///
    /// No port can be had.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn start() -> std::io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts on an address of your choice.
    ///
    /// # Errors
    ///
    /// The address is taken or not this machine's.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn listen(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let endpoints = Endpoints::from_base_url(&format!("http://{address}/"))
            .map_err(std::io::Error::other)?;
        let mut world = World::new();
        world.add_account("L-1".into(), "Demo Dental Lab");
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            notifier: Notifier::start().map_err(std::io::Error::other)?,
            endpoints,
        });
        let app = server::router(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // Ends with the handle only.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Simulator {
            shared,
            address,
            server: server.abort_handle(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoints, for a client.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        self.shared.endpoints.clone()
    }

    /// The client id that it knows.
    #[must_use]
    pub fn client_id(&self) -> &'static str {
        CLIENT_ID
    }

    /// The client secret that it knows: no secret at all, it protects nothing.
    #[must_use]
    pub fn client_secret(&self) -> &'static str {
        CLIENT_SECRET
    }

    /// The redirect URL that is registered with it; ones on loopback are accepted too.
    #[must_use]
    pub fn redirect_url(&self) -> &'static str {
        REDIRECT_URL
    }

    /// What a client needs to know, but for the secret, as JSON:
    /// [`Endpoints::from_json`] reads it, and so does the `lab_inbox` example with `--config`.
    #[must_use]
    pub fn configuration(&self) -> Value {
        let mut configuration = json!({
            "client_id": CLIENT_ID,
            "redirect_url": REDIRECT_URL,
        });
        let endpoints = self.shared.endpoints.to_json();
        if let (Some(configuration), Value::Object(endpoints)) =
            (configuration.as_object_mut(), endpoints)
        {
            configuration.extend(endpoints);
        }
        configuration
    }

    /// Adds a lab.
    pub fn add_account(&self, id: impl Into<AccountId>, name: &str) {
        self.world().add_account(id.into(), name);
    }

    /// A user signs in on the page of an authorization request and agrees. Gives the URL that
    /// the browser is sent back to.
    ///
    /// # Errors
    ///
    /// The request is not one that the page accepts.
    pub fn consent(&self, page: &Url) -> Result<Url, InvalidRequest> {
        let query = page.query().unwrap_or_default();
        server::consent(&self.shared, query).map_err(InvalidRequest)
    }

    /// The simulated time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.world().now()
    }

    /// Lets time pass: tokens expire.
    pub fn advance(&self, time: Duration) {
        self.world().advance(time);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    fn post(&self, notice: Option<Notice>) {
        if let Some(notice) = notice {
            self.shared.notifier.post(notice);
        }
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(operation: Operation) -> String {
        format!("/{}", operation.path())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// An authorization request that the sign-in page does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRequest(&'static str);

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidRequest {}
