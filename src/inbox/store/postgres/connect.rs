//! Connecting: settings, what a session must be like, which tables there are.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use super::{Own, PostgresStore, Shared};
use crate::error::{Error, Result};
use crate::inbox::store::sql::{self, Statements, failed};

/// What brings the tables from each version to the next. Released ones are never changed.
const MIGRATIONS: [&str; 1] = [include_str!("1.sql")];

/// Milliseconds since 1970, right now and not when the transaction began.
const CLOCK: &str = "floor(date_part('epoch', clock_timestamp()) * 1000)::bigint";

/// Our statements rely on what they see being committed and on commits being durable, whatever
/// a database or a role has as its default. All of them go by an index, in its order, and want a
/// few rows: right after a first poll, when nothing is known of the new rows yet, the planner
/// would rather collect and sort all of them for each claim, or compile the statement. A process
/// that is stopped in the middle of a commit must not hold up its account for ever.
const SESSION: &str = "
    SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET enable_bitmapscan = off;
    SET jit = off;
    SET idle_in_transaction_session_timeout = '30s';
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";

/// A connection that was idle for longer is tried before it is used: the server may be gone.
const IDLE: Duration = Duration::from_secs(5);

/// Settings of a [`PostgresStore`].
#[must_use]
pub struct PostgresStoreBuilder {
    url: String,
    schema: String,
    max_connections: u32,
    callers_clock: bool,
}

impl PostgresStoreBuilder {
    pub(super) fn new(url: &str) -> Self {
        PostgresStoreBuilder {
            url: url.to_owned(),
            schema: "lab_connector".to_owned(),
            max_connections: 10,
            callers_clock: false,
        }
    }

    /// The schema that the tables are in, made if there is none; `lab_connector` by default. At
    /// most 63 bytes.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// How many connections are open at most, 10 by default: what waits for one waits up to 30
    /// seconds.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Lets the time that callers pass in count in place of the database's, for tests in
    /// simulated time. All processes on the database must then share that clock. The leases of
    /// tokens go by the database's all the same.
    pub fn callers_clock(mut self) -> Self {
        self.callers_clock = true;
        self
    }

    /// Connects, and makes the tables or brings them up to date. Several processes may do so at
    /// once. The role needs the right to create the schema only when that is not there.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::connect`].
    ///
    /// # Cancel safety
    ///
    /// Safe: the tables are up to date or as they were.
    pub async fn connect(self) -> Result<PostgresStore> {
        let options = options(&self.url)?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("lab-connector"),
        };
        let options = options.disable_statement_logging();
        let prefix = format!("\"{}\".", self.schema.replace('"', "\"\""));

        // By a connection of its own: the pool would try for half a minute before it said why.
        let mut connection = options.connect().await.map_err(failed)?;
        connection.execute(SESSION).await.map_err(failed)?;
        migrate(&mut connection, &self.schema, &prefix).await?;
        connection.close().await.map_err(failed)?;

        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(Duration::from_secs(30))
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SESSION).await.map(drop) })
            })
            .connect_lazy_with(options);
        Ok(PostgresStore {
            shared: Arc::new(Shared {
                pool,
                schema: self.schema,
                callers_clock: self.callers_clock,
                sql: Statements::new(&prefix, CLOCK),
                own: Own::new(&prefix, CLOCK),
            }),
        })
    }
}

/// Parameters of a URL that sqlx knows.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// What a URL says. Parameters that are not known are refused: sqlx passes over them and writes
/// their values, a misspelt password among them, to the log.
fn options(url: &str) -> Result<PgConnectOptions> {
    let unreadable = |_| Error::configuration("the URL of the database cannot be read");
    let parsed = url::Url::parse(url).map_err(unreadable)?;
    let known = |key: &str| PARAMETERS.contains(&key) || key.starts_with("options[");
    if !parsed.query_pairs().all(|(key, _)| known(&key)) {
        return Err(Error::configuration(
            "the URL of the database has a parameter that is not known",
        ));
    }
    PgConnectOptions::from_str(url)
        .map_err(|_| Error::configuration("the URL of the database cannot be read"))
}

/// Brings the tables up to date: all of the steps or none. Who comes at the same time waits.
async fn migrate(connection: &mut PgConnection, schema: &str, prefix: &str) -> Result<()> {
    let known = sql::limit(MIGRATIONS.len());
    if version(connection, schema, prefix).await? == Some(known) {
        return Ok(());
    }
    let mut transaction = connection.begin().await.map_err(failed)?;
    // For schemas of all names: it is held for a moment, once.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('lab_connector', 0))")
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let found = version(&mut transaction, schema, prefix).await?;
    if let Some(found) = found.filter(|found| *found > known) {
        return Err(sql::too_new(found, known));
    }
    if found.is_none() {
        let text = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
        let exists = sqlx::query(text)
            .bind(schema)
            .fetch_optional(&mut *transaction);
        if exists.await.map_err(failed)?.is_none() {
            let schema = prefix.trim_end_matches('.');
            run(&mut transaction, &format!("CREATE SCHEMA {schema}")).await?;
        }
        let table = sql::fill(
            "CREATE TABLE @version (version bigint NOT NULL)",
            prefix,
            "",
        );
        run(&mut transaction, &table).await?;
    }
    let done = usize::try_from(found.unwrap_or_default()).unwrap_or_default();
    for migration in MIGRATIONS.iter().skip(done) {
        // Comments go first: what they say of `@` is no name.
        let lines = migration.lines().filter(|line| !line.starts_with("--"));
        let text = lines.collect::<Vec<_>>().join("\n");
        run(&mut transaction, &sql::fill(&text, prefix, "")).await?;
    }
    let text = format!("DELETE FROM @version; INSERT INTO @version VALUES ({known})");
    run(&mut transaction, &sql::fill(&text, prefix, "")).await?;
    transaction.commit().await.map_err(failed)
}

/// The version of the tables, if there are any.
async fn version(connection: &mut PgConnection, schema: &str, prefix: &str) -> Result<Option<i64>> {
    // Not by to_regclass(), which goes by what the session remembers of the catalog: in a
    // transaction that waited, that is old.
    let text = "
        SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = 'version'";
    let exists = sqlx::query(text)
        .bind(schema)
        .fetch_optional(&mut *connection);
    if exists.await.map_err(failed)?.is_none() {
        return Ok(None);
    }
    let text = sql::fill("SELECT coalesce(max(version), 0) FROM @version", prefix, "");
    let row = sqlx::query(&text).fetch_one(connection).await;
    row.and_then(|row| row.try_get(0)).map(Some).map_err(failed)
}

/// Statements without values.
async fn run(connection: &mut PgConnection, text: &str) -> Result<()> {
    let done = connection.execute(text).await;
    done.map(drop).map_err(failed)
}

impl fmt::Debug for PostgresStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("PostgresStoreBuilder")
            .field("schema", &self.schema)
            .field("max_connections", &self.max_connections)
            .field("callers_clock", &self.callers_clock)
            .finish_non_exhaustive()
    }
}
