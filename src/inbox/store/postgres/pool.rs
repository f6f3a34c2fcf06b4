//! Connections, to be used again.
//!
//! A pool of our own, as it has to do what those of others do not: use the connections that there
//! are where the server allows no more, and never keep one that is inside a transaction.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};

use super::tls::Tls;
use crate::error::{Error, Kind, Result};
use crate::inbox::store::sql;

/// How long to wait for a connection.
// As long as SQLite's store waits for another writer: a caller need not know which of the two it
// has.
const WAIT: Duration = Duration::from_secs(30);

/// How long the server is not asked for more connections after it refused one.
// A refused connection costs the server a process each time, and it is short of them.
const REFUSED: Duration = Duration::from_secs(10);

pub(super) struct Pool {
    config: Config,
    tls: Tls,
    most: usize,
    // Bounds the connections in use; it is fair, so no caller waits for ever.
    permits: Arc<Semaphore>,
    /// Those that nobody uses. Not inside a transaction.
    // Locked for a push or a pop, and never across an await: a drop locks it, too.
    idle: Mutex<Vec<Client>>,
    returned: Notify,
    // Relaxed throughout: it chooses a message and whether to wait. The permits are the bound.
    open: AtomicUsize,
    refused: Mutex<Option<Refusal>>,
}

/// The server allows no more connections.
#[derive(Clone)]
struct Refusal {
    until: Instant,
    text: String,
}

impl Pool {
    pub(super) fn new(config: Config, tls: Tls, most: usize) -> Self {
        Pool {
            config,
            tls,
            most,
            permits: Arc::new(Semaphore::new(most)),
            idle: Mutex::default(),
            returned: Notify::new(),
            open: AtomicUsize::new(0),
            refused: Mutex::default(),
        }
    }

    /// A connection that nobody else uses.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Connection> {
        tokio::time::timeout(WAIT, self.wait())
            .await
            .unwrap_or_else(|_| Err(self.busy()))
    }

    async fn wait(self: &Arc<Self>) -> Result<Connection> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await;
        let permit = permit.map_err(|_| self.busy())?;
        loop {
            // Before the look: what is returned after it ends the wait below.
            let returned = self.returned.notified();
            if let Some(client) = self.take() {
                return Ok(Connection::new(self, client, permit, true));
            }
            let refusal = lock(&self.refused).clone();
            let refusal = refusal.filter(|refusal| refusal.until > Instant::now());
            let refused = match refusal {
                Some(refusal) => refusal,
                None => match self.tls.connect(&self.config).await {
                    Ok(client) => {
                        self.open.fetch_add(1, Ordering::Relaxed);
                        return Ok(Connection::new(self, client, permit, false));
                    }
                    Err(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => {
                        self.remember(&error)
                    }
                    Err(error) => return Err(super::failed(error)),
                },
            };
            // None is open that somebody could return: waiting would be in vain. The next call asks
            // the server anew.
            if self.open.load(Ordering::Relaxed) == 0 {
                lock(&self.refused).take();
                return Err(sql::failed(refused.text, true));
            }
            tokio::select! {
                () = returned => {}
                () = tokio::time::sleep_until(refused.until) => {}
            }
        }
    }

    fn take(&self) -> Option<Client> {
        let mut idle = lock(&self.idle);
        while let Some(client) = idle.pop() {
            // Closed while it lay here: the server has restarted, or ended what was idle.
            if !client.is_closed() {
                return Some(client);
            }
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        None
    }

    fn remember(&self, error: &tokio_postgres::Error) -> Refusal {
        let said = error.as_db_error().map_or("", |error| error.message());
        let refusal = Refusal {
            until: Instant::now() + REFUSED,
            text: format!(
                "the server allows no more connections ({said}): lower `max_connections`, or \
                 raise the limit of the role, the database or the server"
            ),
        };
        *lock(&self.refused) = Some(refusal.clone());
        refusal
    }

    fn busy(&self) -> Error {
        let open = self.open.load(Ordering::Relaxed);
        let waited = WAIT.as_secs();
        let limit = match &*lock(&self.refused) {
            Some(refusal) => refusal.text.clone(),
            None => format!("`max_connections` is {}", self.most),
        };
        sql::failed(
            format!("no connection was free for {waited} s, of {open} that are open; {limit}"),
            true,
        )
    }
}

/// A client of its own, returned to the pool when it is dropped.
pub(super) struct Connection {
    pool: Arc<Pool>,
    client: Option<Client>,
    /// Whether it was used before: then the server may have gone meanwhile.
    pub(super) reused: bool,
    in_transaction: bool,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(pool: &Arc<Pool>, client: Client, permit: OwnedSemaphorePermit, reused: bool) -> Self {
        Connection {
            pool: Arc::clone(pool),
            client: Some(client),
            reused,
            in_transaction: false,
            _permit: permit,
        }
    }

    pub(super) fn client(&self) -> Result<&Client> {
        let gone = || Error::new(Kind::Store("the connection was given back".into()));
        self.client.as_ref().ok_or_else(gone)
    }

    /// From now on it is not given to others.
    pub(super) fn enter(&mut self) {
        self.in_transaction = true;
    }

    pub(super) fn leave(&mut self) {
        self.in_transaction = false;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let client = self.client.take();
        match client.filter(|client| !self.in_transaction && !client.is_closed()) {
            Some(client) => lock(&self.pool.idle).push(client),
            // Dropped, it is closed, and the server rolls back what it was in the middle of.
            None => {
                self.pool.open.fetch_sub(1, Ordering::Relaxed);
            }
        }
        // After the push, and also where the connection was closed: whoever waits looks again. One
        // permit is kept for a task that does not wait yet.
        self.pool.returned.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between a lock and its end: a push, a pop, a clone.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
