//! Cases and tokens on PostgreSQL.
//!
//! *Problem.* Machines share one database over a network, perhaps behind a pooler, and callers drop
//! their futures at any await.
//!
//! *Approach.* A call is one transaction in a task of its own, on a connection of a small pool.
//! Nothing must outlive the transaction, and a connection that is in one must not go back to the
//! pool.

mod connect;
mod pool;
mod session;
mod tls;
mod url;

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_postgres::error::SqlState;

use self::pool::{Connection, Pool};
use self::session::PostgresSession;
use super::sql::{self, Access, Dialect, OperationFuture, ProcessCache, Session};
use crate::error::{Error, Kind, Result};
use crate::flow::millis;

pub use connect::PostgresStoreBuilder;

/// Keeps cases, and tokens if you like, in a PostgreSQL database: for many machines.
///
/// It is a [`CaseStore`](super::CaseStore) and a [`TokenStore`](crate::TokenStore); clones share
/// their connections. Workers on any number of machines claim deliveries without waiting for each
/// other (`FOR UPDATE SKIP LOCKED`). Leases go by the database's clock: those of the machines may
/// differ. What a call has kept is as durable as the server makes commits; where sessions have
/// `synchronous_commit = off`, it is turned on.
///
/// Each call is a transaction in a task of its own: one that has begun is carried out to its end
/// also where its future is dropped. Nothing is set or prepared for longer than a transaction, so a pooler before
/// the database may be in session mode or in transaction mode (tested with PgBouncer 1.18).
///
/// Its tables are in a schema of their own, `lab_connector` unless you
/// [say otherwise](PostgresStoreBuilder::schema), and are made and brought up to date when it
/// connects. There are patient data in `orders` and secrets in `tokens`: see who may read them,
/// and [which views](super#what-others-can-ask-a-database) are made for others.
/// Tested with PostgreSQL 15; needs 12 or later, and a database in the encoding UTF8.
///
/// ```no_run
/// # async fn example() -> lab_connector::Result<()> {
/// use lab_connector::inbox::store::PostgresStore;
///
/// let url = "postgres://lab:secret@db.example/lab?sslmode=verify-full";
/// let store = PostgresStore::connect(url).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<PostgresState>,
}

struct PostgresState {
    pool: Arc<Pool>,
    dialect: Arc<Dialect>,
    schema: String,
    callers_clock: bool,
    remembered: tokio::sync::Mutex<ProcessCache>,
    begun: std::time::Instant,
}

impl PostgresStore {
    /// Connects to a database by its URL, and makes its tables or brings them up to date.
    ///
    /// `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=/path`; what
    /// is left out is taken from the environment (`PGHOST` and its kin, the file `.pgpass`).
    /// Without `sslmode` the connection is encrypted only where the server offers it, and the
    /// server is not verified: say `verify-full` where the network is not yours. Without
    /// `sslrootcert` the roots are those of the platform; with it, `require` verifies as `verify-ca`
    /// does. A connection that is encrypted needs the
    /// feature `rustls`, or a provider that you install. `connect_timeout` is 10 seconds unless it
    /// is given.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`](crate::Error::is_configuration) if the URL cannot be read or has
    /// a parameter that is not known; [`Error::is_store`](crate::Error::is_store) if the database
    /// cannot be reached or refuses, has another encoding than UTF8, or has tables of a version
    /// that this one does not know. The text holds neither URL nor password.
    ///
    /// # Cancel safety
    ///
    /// Safe: the tables are up to date or as they were.
    pub async fn connect(url: &str) -> Result<Self> {
        PostgresStore::builder(url).connect().await
    }

    /// The same, with settings.
    pub fn builder(url: &str) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(url)
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        _: Access,
        now: Option<SystemTime>,
        operation: impl for<'s> FnOnce(&'s mut PostgresSession) -> OperationFuture<'s, T>
        + Send
        + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        let now = now.filter(|_| shared.callers_clock);
        let now = now.map(millis::since_epoch);
        // Outside of the task: a caller that goes away before it has begun takes no connection from
        // others.
        let connection = shared.pool.get().await?;
        // A task of its own: whoever waits for it may go away.
        let task = tokio::spawn(async move {
            let mut session = shared.begin(connection, now).await?;
            match operation(&mut session).await {
                Ok(done) => session.end().await.map(|()| done),
                Err(error) => {
                    // Explicitly, so that the connection can be used again: to drop the session
                    // would close it.
                    session.roll_back().await;
                    Err(error)
                }
            }
        });
        task.await.unwrap_or_else(|error| Err(stopped(&error)))
    }

    pub(super) async fn clock(&self, callers: SystemTime) -> Result<SystemTime> {
        if self.shared.callers_clock {
            return Ok(callers);
        }
        let now = self.run(Access::Read, None, |session| {
            Box::pin(async move { Ok(session.now()) })
        });
        millis::from(now.await?).ok_or_else(|| sql::damaged("the clock"))
    }

    pub(super) fn remembered(&self) -> &tokio::sync::Mutex<ProcessCache> {
        &self.shared.remembered
    }

    /// By no clock that is set, unless the callers' counts.
    pub(super) fn elapsed(&self, callers: SystemTime) -> i64 {
        if self.shared.callers_clock {
            return millis::since_epoch(callers);
        }
        let elapsed = self.shared.begun.elapsed().as_millis();
        i64::try_from(elapsed).unwrap_or(i64::MAX)
    }

    // As the store on SQLite has them, where the processes are of one machine.
    #[expect(clippy::unused_self)]
    pub(super) fn announce(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    #[expect(clippy::unused_self)]
    pub(super) fn is_dead(&self, _: &str) -> bool {
        false
    }

    // As the store on SQLite has it.
    #[expect(clippy::unused_async)]
    pub(super) async fn forgot(&self) -> Result<()> {
        Ok(())
    }
}

impl PostgresState {
    /// The server may have gone since a connection was used last: nothing was done then, so
    /// another one will do.
    async fn begin(
        &self,
        mut connection: Connection,
        callers: Option<i64>,
    ) -> Result<PostgresSession> {
        loop {
            let reused = connection.reused;
            let dialect = Arc::clone(&self.dialect);
            match PostgresSession::begin(connection, dialect, callers).await {
                // This ends: each try drops an idle connection, and a new one is not `reused`.
                Err(_) if reused => connection = self.pool.get().await?,
                begun => return begun,
            }
        }
    }
}

/// What the database says went wrong. Its message alone: what else comes with it may show values.
fn failed(error: tokio_postgres::Error) -> Error {
    if let Some(error) = error.as_db_error() {
        return sql::failed(error.message().to_owned(), may_heal(error.code()));
    }
    // The server went, or closed it: the next call connects anew.
    if error.is_closed() {
        return sql::failed("the connection to the database is lost".into(), true);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    let mut transient = false;
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            // A certificate that is not trusted, a host name that is none.
            let lasting = [
                std::io::ErrorKind::InvalidData,
                std::io::ErrorKind::InvalidInput,
            ];
            transient = !lasting.contains(&error.kind());
        }
        let said = error.to_string();
        // The driver repeats its cause in some of its own texts.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    sql::failed(text, transient)
}

/// Whether an error goes away by itself, or when somebody has looked after the server: the
/// classes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn may_heal(code: &SqlState) -> bool {
    // Connection exceptions, rollbacks, resources, interventions of an operator, system errors;
    // and a server that has become a standby, or was too slow for us.
    let classes = ["08", "40", "53", "57", "58"];
    // A transaction that must not write, one that was idle for too long, a lock that is not
    // available.
    let codes = ["25006", "25P03", "55P03"];
    let code = code.code();
    // The database was dropped.
    let gone = code == "57P04";
    !gone && (codes.contains(&code) || classes.iter().any(|class| code.starts_with(class)))
}

/// Why a task did not end. What a panic says stays out: it may hold values.
fn stopped(error: &tokio::task::JoinError) -> Error {
    let why = if error.is_panic() {
        "an operation of the store panicked"
    } else {
        "the runtime of the store has ended"
    };
    Error::new(Kind::Store(why.into()))
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.shared.schema)
            .field("callers_clock", &self.shared.callers_clock)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_not_taken_for_the_end_of_the_runtime() {
        async fn panics() {
            panic!("canary")
        }
        let error = tokio::spawn(panics()).await.unwrap_err();
        let text = stopped(&error).to_string();
        assert!(
            text.contains("panicked") && !text.contains("canary"),
            "{text}"
        );
        let ended = tokio::spawn(std::future::pending::<()>());
        ended.abort();
        let text = stopped(&ended.await.unwrap_err()).to_string();
        assert!(text.contains("runtime"), "{text}");
    }
}
