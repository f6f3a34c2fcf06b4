//! Connecting: settings, what a database must be like, which tables there are.
//!
//! *Problem.* Many processes connect to a new database at the same time, and one of them must make
//! its tables.
//!
//! *Approach.* What is there is looked at without a lock, and looked at again behind one. Whatever
//! could stop a lab later, such as an encoding without room for a name, must be refused here.

use std::fmt;
use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::pool::Pool;
use super::{PostgresState, PostgresStore, failed, url};
use crate::error::{Error, Kind, Result};
use crate::inbox::store::sql::{DatabaseKind, Dialect, Schema};

const SCHEMA: Schema = Schema {
    // No release had versions 1 and 2, so no step leads from them.
    version: 3,
    tables: include_str!("tables.sql"),
    steps: &[],
};

/// Settings of a [`PostgresStore`].
#[must_use]
pub struct PostgresStoreBuilder {
    url: String,
    schema: String,
    max_connections: u32,
    callers_clock: bool,
    tables: Schema,
}

impl PostgresStoreBuilder {
    pub(super) fn new(url: &str) -> Self {
        PostgresStoreBuilder {
            url: url.to_owned(),
            schema: "lab_connector".to_owned(),
            max_connections: 10,
            callers_clock: false,
            tables: SCHEMA,
        }
    }

    /// The schema that the tables are in, made if there is none; `lab_connector` by default. At
    /// most 63 bytes.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// How many connections are open at most, 10 by default: what waits for one waits up to 30
    /// seconds. Where the server allows fewer, those that there are are used.
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
        let (config, tls) = url::read(&self.url)?;
        let prefix = format!("\"{}\".", self.schema.replace('"', "\"\""));
        let dialect = Dialect::new(DatabaseKind::Postgres, prefix);
        // Fails nowhere but on 16 bits.
        let most = usize::try_from(self.max_connections).unwrap_or(1);
        let pool = Arc::new(Pool::new(config, tls, most));
        let mut connection = pool.get().await?;
        // Dropped on the way, the connection is closed, and nothing has changed.
        connection.enter();
        check_encoding(connection.client()?).await?;
        migrate(connection.client()?, &self.schema, &dialect, &self.tables).await?;
        connection.leave();
        drop(connection);
        Ok(PostgresStore {
            shared: Arc::new(PostgresState {
                pool,
                dialect: Arc::new(dialect),
                schema: self.schema,
                callers_clock: self.callers_clock,
                remembered: tokio::sync::Mutex::default(),
                begun: std::time::Instant::now(),
            }),
        })
    }
}

/// Other encodings have no room for every name: the first one that does not fit would stop a lab.
async fn check_encoding(client: &Client) -> Result<()> {
    let rows = client.query_typed("SELECT current_setting('server_encoding')", &[]);
    let rows = rows.await.map_err(failed)?;
    let encoding = rows.first().map(|row| row.try_get::<_, String>(0));
    let encoding = encoding.transpose().map_err(failed)?.unwrap_or_default();
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(Error::new(Kind::Store(format!(
        "the database has the encoding {encoding}, in which not every name can be written: use \
         one that was created with ENCODING 'UTF8'"
    ))))
}

/// Brings the tables up to date: all of the steps or none. Another process that comes at the
/// same time waits.
async fn migrate(client: &Client, name: &str, dialect: &Dialect, schema: &Schema) -> Result<()> {
    if version(client, name, dialect).await? == Some(schema.version) {
        return Ok(());
    }
    // The lock is for schemas of all names: it is held for a moment, once.
    run(
        client,
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
         SELECT pg_advisory_xact_lock(hashtextextended('lab_connector', 0))",
    )
    .await?;
    let done = migrate_locked(client, name, dialect, schema).await;
    // Ended here in either case: the lock is held until the transaction ends.
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = run(client, end).await;
    // What failed first says why; a rollback that fails too adds nothing.
    done.and(ended)
}

async fn migrate_locked(
    client: &Client,
    name: &str,
    dialect: &Dialect,
    schema: &Schema,
) -> Result<()> {
    // Asked again behind the lock: READ COMMITTED shows what the process before has committed.
    let found = version(client, name, dialect).await?;
    let plan = schema.plan(found)?;
    if found.is_none() {
        let text = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
        let exists = client.query_typed(text, &[(&name, Type::TEXT)]).await;
        // Not `CREATE SCHEMA IF NOT EXISTS`: that needs the right to create one, also where it is
        // there.
        if exists.map_err(failed)?.is_empty() {
            let text = format!("CREATE SCHEMA \"{}\"", name.replace('"', "\"\""));
            run(client, &text).await?;
        }
        let table = dialect.schema("CREATE TABLE @version (version bigint NOT NULL)");
        run(client, &table).await?;
    }
    for text in plan {
        run(client, &dialect.schema(text)).await?;
    }
    let known = schema.version;
    let text = format!("DELETE FROM @version; INSERT INTO @version VALUES ({known})");
    run(client, &dialect.schema(&text)).await
}

/// The version of the tables, if there are any.
async fn version(client: &Client, name: &str, dialect: &Dialect) -> Result<Option<i64>> {
    // Not by to_regclass(), which goes by what the session remembers of the catalog: in a
    // transaction that waited, that is old.
    let text = "
        SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = 'version'";
    let exists = client.query_typed(text, &[(&name, Type::TEXT)]).await;
    if exists.map_err(failed)?.is_empty() {
        return Ok(None);
    }
    let text = dialect.statement("SELECT coalesce(max(version), 0) FROM @version");
    let rows = client.query_typed(&text, &[]).await.map_err(failed)?;
    let version = rows.first().map(|row| row.try_get(0));
    version.transpose().map_err(failed)
}

/// Statements without values.
async fn run(client: &Client, text: &str) -> Result<()> {
    client.batch_execute(text).await.map_err(failed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::store::CaseStore;

    #[tokio::test]
    async fn tables_are_brought_to_a_newer_version_and_no_other() {
        let Ok(url) = std::env::var("LAB_CONNECTOR_POSTGRES_URL") else {
            let line = "tables_are_brought_to_a_newer_version_and_no_other: SKIPPED, no database\n";
            std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
            return;
        };
        let name = format!("lab_connector_test_{:016x}", fastrand::u64(..));
        let builder = || PostgresStoreBuilder::new(&url).schema(&name);
        drop(builder().connect().await.unwrap());
        let step = "ALTER TABLE @accounts ADD COLUMN made_up text NOT NULL DEFAULT 'yes'";
        let newer = Schema {
            version: SCHEMA.version + 1,
            steps: Box::leak(Box::new([(SCHEMA.version, step)])),
            ..SCHEMA
        };
        for _ in 0..2 {
            let mut builder = builder();
            builder.tables = newer;
            let store = builder.connect().await.unwrap();
            let now = std::time::SystemTime::now();
            store.counts(&"L-1".into(), now).await.unwrap();
            let connection = store.shared.pool.get().await.unwrap();
            let text = format!("SELECT made_up FROM {name}.accounts");
            let client = connection.client().unwrap();
            client.query_typed(&text, &[]).await.unwrap();
        }
        let error = builder().connect().await.unwrap_err();
        assert!(error.to_string().contains("made by a newer"), "{error}");
        let (config, tls) = url::read(&url).unwrap();
        let client = tls.connect(&config).await.unwrap();
        let text = format!("DROP SCHEMA {name} CASCADE");
        client.batch_execute(&text).await.unwrap();
    }
}
