//! A database for tests, where there is one.

use std::io::Write;

use lab_connector::inbox::store::{PostgresStore, PostgresStoreBuilder};
use tokio_postgres::{Client, NoTls};

/// Where the database is.
pub(crate) const URL: &str = "LAB_CONNECTOR_POSTGRES_URL";

/// A schema of the test's own, dropped with it.
pub(crate) struct Schema {
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Schema {
    /// None where no database is named: then the test is skipped, and says so.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var(URL) else {
            // Not by a macro: what those print, the harness hides.
            let line = format!("{test}: SKIPPED, {URL} is not set\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let name = format!("lab_connector_test_{:016x}", fastrand::u64(..));
        Some(Schema { url, name })
    }

    pub(crate) fn builder(&self) -> PostgresStoreBuilder {
        PostgresStore::builder(&self.url)
            .schema(&self.name)
            .max_connections(4)
    }

    pub(crate) async fn store(&self) -> PostgresStore {
        self.builder().connect().await.unwrap()
    }

    /// The URL with more parameters; later ones count.
    pub(crate) fn url_with(&self, parameters: &[(&str, &str)]) -> String {
        let mut url = url::Url::parse(&self.url).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        url.to_string()
    }

    /// The database as any other program sees it.
    pub(crate) async fn bare(&self) -> Client {
        bare(&self.url).await.unwrap()
    }

    pub(crate) async fn run(&self, text: &str) {
        let text = text.replace('@', &format!("{}.", self.name));
        self.bare().await.batch_execute(&text).await.unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let url = self.url.clone();
        let text = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { bare(&url).await?.batch_execute(&text).await })
        });
        let _ = dropped.join();
    }
}

/// A connection without encryption.
pub(crate) async fn bare(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
