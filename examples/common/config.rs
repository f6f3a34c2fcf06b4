//! The configuration file of a real service.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use lab_connector::{Account, Client, Endpoints, FileTokenStore};
use serde::Deserialize;
use url::Url;

/// The login that the examples share: what one of them has authorized, the other can use.
pub const LOGIN: &str = "reception";

const SECRET: &str = "LAB_CONNECTOR_CLIENT_SECRET";

/// Endpoints are read from the same file.
#[derive(Deserialize)]
struct Config {
    client_id: String,
    redirect_url: String,
    #[serde(default)]
    allow_hosts: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(flatten)]
    endpoints: Endpoints,
}

/// A client of the service that the file names, and the redirect URL that is registered.
/// The client secret comes from the environment, tokens are kept in a directory.
pub async fn connect(path: &Path, tokens: &Path) -> Result<(Client, Url)> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let config: Config =
        serde_json::from_str(&text).with_context(|| format!("{name} is no configuration"))?;
    let secret = std::env::var(SECRET)
        .with_context(|| format!("the client secret is missing: set {SECRET}"))?;

    let mut builder = Client::builder()
        .endpoints(config.endpoints)
        .credentials(config.client_id, secret)
        .redirect_url(&config.redirect_url)
        .token_store(FileTokenStore::open(tokens)?);
    for host in config.allow_hosts {
        builder = builder.allow_host(host);
    }
    for scope in config.scopes {
        builder = builder.scope(scope);
    }
    let client = builder.build()?;
    // Rather now than after somebody has signed in.
    if let Err(error) = client.discover().await
        && (error.is_connect() || error.is_timeout())
    {
        bail!(error);
    }
    Ok((client, config.redirect_url.parse()?))
}

/// The account that is wanted, or the only one.
pub fn choose<'a>(accounts: &'a [Account], wanted: Option<&str>) -> Result<&'a Account> {
    let ids: Vec<_> = accounts
        .iter()
        .map(|account| account.id().as_str())
        .collect();
    let ids = ids.join(", ");
    match (wanted, accounts) {
        (Some(wanted), all) => all
            .iter()
            .find(|account| account.id().as_str() == wanted)
            .with_context(|| format!("no account {wanted}; there are {ids}")),
        (None, [only]) => Ok(only),
        (None, []) => bail!("this login has no accounts"),
        (None, _) => bail!("choose one with --account: {ids}"),
    }
}

/// Asks the person at the terminal for the address that the browser was sent to.
#[allow(dead_code, reason = "not every example asks for it")]
pub fn pasted() -> Result<Url> {
    eprint!("Then paste the address that the browser was sent to: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    line.trim().parse().context("that is no URL")
}
