//! The typed client.
//!
//! One [`Client`] for the software, a [`Login`] for each user who signed in, a [`Lab`] for each
//! account that was paired. All three are cheap to clone and share connections, tokens and
//! endpoints.
//!
//! ```no_run
//! # async fn example() -> lab_connector::Result<()> {
//! use lab_connector::{Client, Endpoints, FileTokenStore};
//!
//! let client = Client::builder()
//!     .endpoints(Endpoints::from_file("lab-connector.json")?)
//!     .credentials("client id", "client secret")
//!     .token_store(FileTokenStore::open("tokens")?)
//!     .build()?;
//! let lab = client.account("4711");
//! for order in lab.orders().list().await?.orders() {
//!     println!("{} {}", order.id(), order.status());
//! }
//! # Ok(())
//! # }
//! ```

mod accounts;
mod assets;
mod builder;
mod login;
mod orders;
mod paging;
mod pipeline;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::refresh::TokenSource;
use crate::auth::{Protocol, TokenKey, TokenStore};
use crate::clock::Clock;
use crate::endpoints::Endpoints;
use crate::error::Result;
use crate::model::AccountId;
use crate::retry::RetryPolicy;

pub use accounts::Pairing;
pub use assets::{Assets, Download};
pub use builder::ClientBuilder;
pub use login::Login;
pub use orders::{Listing, Orders, ReturnScan, Unreadable};
pub use paging::{NextPage, Page, Paging};
pub(crate) use pipeline::Call;

/// A client of the Lab Connector API.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    protocol: Protocol,
    store: Arc<dyn TokenStore>,
    retry: RetryPolicy,
    paging: Paging,
    sources: Mutex<HashMap<TokenKey, Arc<TokenSource>>>,
}

impl Client {
    /// Begins to set up a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A user who signs in, or has signed in before. `name` is the software's own: the tokens
    /// are stored under it.
    #[must_use]
    pub fn login(&self, name: impl Into<String>) -> Login {
        Login::new(self.clone(), name.into())
    }

    /// A lab that is paired, or was paired before.
    #[must_use]
    pub fn account(&self, id: impl Into<AccountId>) -> Lab {
        let id = id.into();
        Lab {
            tokens: self.source(TokenKey::Account(id.clone())),
            client: self.clone(),
            id,
        }
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
        let answer = self.send(Call::discovery()).await?;
        self.inner.protocol.directory.update(&answer.body)
    }

    /// The endpoints in force: those configured, with Discovery's last good answer.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::clone(&self.inner.protocol.directory.current())
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        &self.inner.protocol
    }

    /// One source for each login and account: all handles share its tokens.
    fn source(&self, key: TokenKey) -> Arc<TokenSource> {
        let inner = &self.inner;
        let mut sources = inner.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let source = sources.entry(key.clone()).or_insert_with(|| {
            let store = Arc::clone(&inner.store);
            Arc::new(TokenSource::new(key, store, inner.protocol.clone()))
        });
        Arc::clone(source)
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
#[derive(Clone)]
pub struct Lab {
    client: Client,
    id: AccountId,
    tokens: Arc<TokenSource>,
}

impl Lab {
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

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.client.protocol().wire.clock
    }

    /// The files of its orders.
    #[must_use]
    pub fn assets(&self) -> Assets<'_> {
        Assets::new(self)
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
