//! A Lab Connector of your own, on loopback.
//!
//! *Problem.* Align issues credentials after one to three months, and then there are real people
//! behind them.
//!
//! *Default.* [`Simulator::start`] serves every service of the Lab Connector API over HTTP on a
//! free port of this machine, with the conventions of [`Operation`]. It
//! plays the five scenarios by the rules that are documented: *Get Orders* lists what is in
//! *Ready for Download* or *Lab Review*, downloaded orders drop out, notifications are posted
//! on arrival, access tokens expire after an hour of simulated time, pairing issues new tokens.
//! The people outside the API are methods: [`Simulator::scan`], [`Simulator::proceed`], …
//!
//! *When to change it.* Before it starts, with [`Simulator::builder`], and most of it while it
//! runs:
//!
//! * [`Behaviour`]: what nobody outside Align knows, in either way. By default an order becomes
//!   *Downloaded* when its zip has been fetched, and a refresh token is good for one use; one that
//!   is used twice revokes all tokens that came from the same sign-in or pairing.
//! * [`Faults`]: what goes wrong, by probability or at the n-th call: errors, waits, connections
//!   that break in the middle of a head, lists that flicker, notifications that are lost.
//! * [`ClockMode`]: time as the machine's, faster, or by hand. A seed makes names, ids, tokens,
//!   durations and faults the same in every run.
//! * [`Workload`]: people who act by themselves, so that a month of a busy lab goes by in a second.
//!
//! [`Simulator::truth`] says what every case showed and what of it was seen, to hold against what
//! software made of it; [`Simulator::calls`], what the software asked for.
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
//!
//! # In a browser, and from other languages
//!
//! `GET /` shows the lab's board: cases by stage with what can be done with each, the clock, and a
//! log of API calls. The authorization endpoint is a page on which a user signs in and agrees or
//! declines. `/_simulator/` is a control API in JSON for tests in other languages: people, time,
//! behaviour, faults, the log, consent and a reset. `/openapi.yaml` is the contract of what is
//! spoken by default: conventions of this crate and not Align's specification. The guide
//! `docs/integration-testing.md` of the repository tells how to use them.
//!
//! Board and control API have no authentication, as there is nothing to protect. On loopback they
//! answer to loopback names only, and never to the page of another site; on any other address
//! whoever reaches the port can act.

mod action;
mod behaviour;
mod board;
mod builder;
mod calls;
mod case;
mod clock;
mod faults;
mod files;
mod grants;
mod head_limit;
mod html;
mod life;
mod notify;
mod page_cache;
mod people;
mod plans;
mod prescription;
mod problem;
mod randomness;
mod refusal;
mod server;
mod settings;
mod snapshot;
mod tokens;
mod transport;
mod truth;
mod wire;
mod world;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use url::Url;

use crate::endpoints::{Endpoints, Operation};
use crate::model::AccountId;
use calls::Calls;
use files::Kind;
use notify::Notifier;
use randomness::Stream;
use transport::Routers;
use wire::{FaultSlot, FaultyListener};
use world::World;

pub use action::{Action, UnknownAction};
pub use behaviour::{
    AssetIds, AssetUrls, Behaviour, DiscoveryForm, DownloadedBy, Elsewhere, EmptyList, ErrorBodies,
    Ids, KeyCase, Lists, NotificationBody, Paging, PairingRevokes, StatusSpelling, Times,
};
pub use builder::SimulatorBuilder;
pub use calls::Call;
pub use clock::ClockMode;
pub use faults::{Fault, FaultRule, Faults, ResetAt};
pub use life::{Span, WorkflowEvent, Workload};
pub use refusal::Refusal;
pub use settings::InvalidSettings;
pub use truth::{GroundTruth, ShownState};

/// A running simulator. It stops when it is dropped; many can run at once.
///
/// ```
/// use lab_connector::simulator::{Action, Simulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = Simulator::builder().seed(7).start().await?;
/// let order = service.scan("L-1")?; // a doctor
/// service.act(&order, Action::RequestMilling)?; // the lab, in the portal
/// service.finish_modeling(&order)?; // Align
/// println!("http://{}/", service.address());
/// # Ok(())
/// # }
/// ```
pub struct Simulator {
    shared: Arc<SimulatorState>,
    address: SocketAddr,
    other_region: SocketAddr,
    servers: Vec<AbortHandle>,
    routers: Routers,
}

/// What the server and the handle share.
#[derive(Debug)]
struct SimulatorState {
    // The whole world under one lock: a call sees and changes one moment of it. No handler must
    // hold it across an await: the others would wait for the network.
    world: Mutex<World>,
    // A lock of its own, so that noting a call does not wait for the world. Where both are needed,
    // one is released first.
    calls: Mutex<Calls>,
    notifier: Notifier,
    endpoints: Endpoints,
    /// What Discovery names when it names another region.
    other_region: Endpoints,
    // Calls that hang wait for it; without it a test that drops the simulator would hang with them.
    closing: watch::Sender<bool>,
    /// Where signed URLs lead.
    files: String,
    signing_key: u128,
    address: SocketAddr,
    /// How it was set up.
    initial: SimulatorBuilder,
}

/// What a handler takes.
type App = axum::extract::State<Arc<SimulatorState>>;

/// The login that may act for all labs.
const DEMO: &str = "demo";
const CLIENT_ID: &str = "simulator";
const CLIENT_SECRET: &str = "simulator-secret";
/// Nothing listens there: the browser shows an error, and the address bar holds the URL.
const REDIRECT_URL: &str = "https://lab.example/callback";

impl Simulator {
    /// What can be set before it starts.
    pub fn builder() -> SimulatorBuilder {
        SimulatorBuilder::new()
    }

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
        Self::builder().start().await
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
        Self::builder().listen(address).start().await
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its other region listens, which Discovery names when [`Fault::OtherRegion`] is
    /// played; a client goes there if it is an allowed host.
    #[must_use]
    pub fn other_region(&self) -> SocketAddr {
        self.other_region
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
    /// [`Config`](crate::Config) reads it, and so do the examples with `--config`.
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

    /// Adds a login that may act for these labs, or changes the labs of an old one.
    pub fn add_login<A: Into<AccountId>>(&self, name: &str, accounts: impl IntoIterator<Item = A>) {
        let accounts = accounts.into_iter().map(Into::into).collect();
        self.world().add_login(name, Some(accounts));
    }

    /// The user `demo`, who may act for all labs, signs in on the page of an authorization
    /// request and agrees. Returns the URL that the browser is sent back to.
    ///
    /// # Errors
    ///
    /// The request is not one that the page accepts.
    pub fn consent(&self, page: &Url) -> Result<Url, InvalidRequest> {
        self.consent_as(DEMO, page)
    }

    /// As [`Simulator::consent`], by a user of your choice.
    ///
    /// # Errors
    ///
    /// The request is not one that the page accepts, or there is no such login.
    pub fn consent_as(&self, login: &str, page: &Url) -> Result<Url, InvalidRequest> {
        let query = page.query().unwrap_or_default();
        server::consent(&self.shared, query, login).map_err(InvalidRequest)
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

    /// What the service does where nothing is documented.
    #[must_use]
    pub fn behaviour(&self) -> Behaviour {
        Behaviour::clone(&self.world().behaviour)
    }

    /// Changes what the service does where nothing is documented, from the next call on.
    ///
    /// # Errors
    ///
    /// A value is one that cannot be played.
    pub fn set_behaviour(&self, behaviour: Behaviour) -> Result<(), InvalidSettings> {
        behaviour.check()?;
        self.world().set_behaviour(behaviour);
        Ok(())
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::clone(&self.world().faults)
    }

    /// Changes what goes wrong, from the next call on. Calls are counted anew.
    ///
    /// # Errors
    ///
    /// A rule is one that cannot be played.
    pub fn set_faults(&self, faults: Faults) -> Result<(), InvalidSettings> {
        faults.check()?;
        self.world().set_faults(faults);
        self.shared.calls().count_anew();
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }
}

async fn start(set: SimulatorBuilder) -> std::io::Result<Simulator> {
    // Before a port is taken.
    set.behaviour.check()?;
    set.faults.check()?;
    let listener = TcpListener::bind(set.listen).await?;
    let address = listener.local_addr()?;
    let world = beginning(&set);
    // Another port is another origin.
    let elsewhere = SocketAddr::new(address.ip(), 0);
    let files = TcpListener::bind(set.files.unwrap_or(elsewhere)).await?;
    // Bound now, though it is seldom used: its port must be known before the first answer.
    let region = TcpListener::bind(elsewhere).await?;
    let other_region = region.local_addr()?;
    let signed_files = files.local_addr()?;
    let shared = Arc::new(SimulatorState {
        // Taken before the world moves into its lock.
        signing_key: world.randomness.nth(Stream::Signatures, 0).u128(..),
        world: Mutex::new(world),
        calls: Mutex::default(),
        notifier: Notifier::start(),
        endpoints: endpoints(address)?,
        other_region: endpoints(other_region)?,
        closing: watch::Sender::new(false),
        files: format!("http://{signed_files}"),
        address,
        initial: set,
    });
    let head_limit = shared.initial.head_limit;
    let mut routers = Routers::default();
    let mut serve = |listener, address, app: axum::Router| {
        routers.add(address, app.clone());
        let app = app.into_make_service_with_connect_info::<FaultSlot>();
        let server = tokio::spawn(async move {
            let wires = FaultyListener {
                listener,
                head_limit,
            };
            // Ends with the handle only.
            let _ = axum::serve(wires, app).await;
        });
        server.abort_handle()
    };
    let servers = vec![
        serve(
            listener,
            address,
            server::router(Arc::clone(&shared), board::router()),
        ),
        serve(
            region,
            other_region,
            server::router(Arc::clone(&shared), board::router()),
        ),
        serve(
            files,
            signed_files,
            server::files_router(Arc::clone(&shared)),
        ),
    ];
    Ok(Simulator {
        shared,
        address,
        other_region,
        servers,
        routers,
    })
}

/// The world before anything has happened.
fn beginning(set: &SimulatorBuilder) -> World {
    let mut world = World::new(set);
    if set.accounts.is_empty() {
        world.add_account("L-1".into(), "Demo Dental Lab");
    }
    for (id, name) in &set.accounts {
        world.add_account(id.clone(), name);
    }
    for (name, accounts) in &set.logins {
        world.add_login(name, Some(accounts.clone()));
    }
    world
}

fn endpoints(address: SocketAddr) -> std::io::Result<Endpoints> {
    Endpoints::from_base_url(&format!("http://{address}/")).map_err(std::io::Error::other)
}

impl SimulatorState {
    /// Everything as it was at the start.
    fn reset(&self) {
        // First the world, then the calls; each lock is released before the next is taken.
        *self.world() = beginning(&self.initial);
        *self.calls() = Calls::default();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A handler that panicked must not take the rest of the test with it: the world is used as
        // it is.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the simulator is gone.
    async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender is this one's own.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// A URL at which a file can be had until then, by whoever has it.
    fn signed_url(&self, number: u64, revision: u16, kind: Kind, until: SystemTime) -> String {
        let until = until.duration_since(SystemTime::UNIX_EPOCH);
        let expires = until.map_or(0, |until| until.as_secs());
        let (origin, name) = (&self.files, kind.file_name());
        let signature = self.signature(number, revision, kind, expires);
        format!("{origin}/files/{number}/{revision}/{name}?expires={expires}&signature={signature}")
    }

    fn signature(&self, number: u64, revision: u16, kind: Kind, expires: u64) -> String {
        let (key, name) = (self.signing_key, kind.file_name());
        // Between two keys, so that nothing can be appended.
        let signed = format!("{key:x}/{number}/{revision}/{name}/{expires}/{key:x}");
        server::sha256(signed.as_bytes())
    }

    fn path(operation: Operation) -> String {
        format!("/{}", operation.path())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // Before the servers end: calls that hang wait for this.
        self.shared.closing.send_replace(true);
        for server in &self.servers {
            // Ends the accepting only; open connections end with their own tasks.
            server.abort();
        }
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
