//! How a simulator is set up.
//!
//! Setters take anything; `start` refuses what cannot be played, before it takes a port.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::behaviour::Behaviour;
use super::clock::ClockMode;
use super::faults::Faults;
use super::{Simulator, head_limit, start};
use crate::model::AccountId;

/// A simulator to be started.
///
/// The simulator runs for as long as its [`Simulator`] is held. A program that is nothing but the
/// service waits for something else before it drops it:
///
/// ```no_run
/// use lab_connector::simulator::Simulator;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let service = Simulator::builder()
///     .listen(([127, 0, 0, 1], 8040).into())
///     .account("L-1", "Lab One")
///     .start()
///     .await?;
/// println!("http://{}/", service.address());
/// tokio::signal::ctrl_c().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it starts with `start`"]
pub struct SimulatorBuilder {
    pub(super) seed: Option<u64>,
    pub(super) listen: SocketAddr,
    pub(super) files: Option<SocketAddr>,
    pub(super) clock: ClockMode,
    pub(super) began: Option<SystemTime>,
    pub(super) behaviour: Behaviour,
    pub(super) faults: Faults,
    pub(super) accounts: Vec<(AccountId, String)>,
    pub(super) logins: Vec<(String, Vec<AccountId>)>,
    /// Without a setter: the tests shorten it, and nobody else needs to.
    pub(super) head_limit: Duration,
}

impl SimulatorBuilder {
    pub(super) fn new() -> Self {
        SimulatorBuilder {
            seed: None,
            // Loopback only: the simulator has no authentication to speak of. Port 0 lets many run
            // side by side.
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            files: None,
            clock: ClockMode::default(),
            began: None,
            behaviour: Behaviour::default(),
            faults: Faults::default(),
            accounts: Vec::new(),
            logins: Vec::new(),
            head_limit: head_limit::LIMIT,
        }
    }

    /// What names, ids, tokens, durations and faults are drawn from. Default: 0, but for tokens
    /// and codes, which are then different in every run.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where it listens. Default: a free port of the loopback address.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Where the origin of signed URLs listens. Default: a free port beside the other.
    pub fn listen_for_files(mut self, address: SocketAddr) -> Self {
        self.files = Some(address);
        self
    }

    /// How the simulated time passes. Default: as the machine's.
    pub fn clock(mut self, mode: ClockMode) -> Self {
        self.clock = mode;
        self
    }

    /// When the simulated time begins. Default: now; for a stepped clock always the same time.
    pub fn begins_at(mut self, time: SystemTime) -> Self {
        self.began = Some(time);
        self
    }

    /// What the service does where nothing is documented. Default: the conventions.
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// What goes wrong. Default: nothing.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Adds a lab. Default, where none is added: `L-1`.
    pub fn account(mut self, id: impl Into<AccountId>, name: &str) -> Self {
        self.accounts.push((id.into(), name.to_owned()));
        self
    }

    /// Adds a login that may act for some labs. The login `demo`, which is there in any case,
    /// may act for all.
    pub fn login<A: Into<AccountId>>(
        mut self,
        name: &str,
        accounts: impl IntoIterator<Item = A>,
    ) -> Self {
        let accounts = accounts.into_iter().map(Into::into).collect();
        self.logins.push((name.to_owned(), accounts));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// The address is taken or not this machine's, or a setting cannot be played
    /// ([`InvalidSettings`](super::InvalidSettings) is then the error's source).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn start(self) -> std::io::Result<Simulator> {
        start(self).await
    }
}
