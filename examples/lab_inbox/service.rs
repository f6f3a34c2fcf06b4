//! The job against a real service.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab_connector::{Client, Endpoints, FileTokenStore, Lab, Login};
use serde::Deserialize;

use crate::Arguments;
use crate::desk::Desk;

const SECRET: &str = "LAB_CONNECTOR_CLIENT_SECRET";

/// The configuration file; endpoints are read from the same file.
#[derive(Deserialize)]
struct Config {
    client_id: String,
    redirect_url: String,
    #[serde(default)]
    allow_hosts: Vec<String>,
    #[serde(flatten)]
    endpoints: Endpoints,
}

pub async fn run(path: &Path, files: PathBuf, arguments: &Arguments) -> Result<()> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let config: Config =
        serde_json::from_str(&text).with_context(|| format!("{name} is no configuration"))?;
    let secret = std::env::var(SECRET)
        .with_context(|| format!("the client secret is missing: set {SECRET}"))?;

    let mut builder = Client::builder()
        .endpoints(config.endpoints)
        .credentials(config.client_id, secret)
        .redirect_url(config.redirect_url)
        .token_store(FileTokenStore::open(&arguments.tokens)?);
    for host in config.allow_hosts {
        builder = builder.allow_host(host);
    }
    let client = builder.build()?;
    // Rather now than after somebody has signed in.
    if let Err(error) = client.discover().await
        && (error.is_connect() || error.is_timeout())
    {
        bail!(error);
    }

    let lab = lab(&client, arguments.account.as_deref()).await?;
    let desk = Desk {
        inbox: lab.inbox(),
        lab,
        files,
        json: arguments.json,
    };
    eprintln!("polling every {} s, Ctrl-C ends it", arguments.interval);
    tokio::select! {
        done = tokio::signal::ctrl_c() => done.context("cannot wait for Ctrl-C")?,
        ended = poll(&desk, Duration::from_secs(arguments.interval.max(1))) => ended?,
    }
    desk.summary().await
}

async fn poll(desk: &Desk, interval: Duration) -> Result<()> {
    loop {
        match desk.round().await {
            Ok(_) => {}
            Err(error) => {
                let known = error.downcast_ref::<lab_connector::Error>();
                if !known.is_some_and(is_passing) {
                    return Err(error);
                }
                eprintln!("lab_inbox: {error:#}; going on");
            }
        }
        tokio::time::sleep(interval).await;
    }
}

/// Whether the next round may well go better.
fn is_passing(error: &lab_connector::Error) -> bool {
    error.is_connect()
        || error.is_timeout()
        || error.is_server()
        || error.is_rate_limited()
        || error.is_incomplete()
}

/// The paired lab: signs in and pairs where that was not done before.
async fn lab(client: &Client, account: Option<&str>) -> Result<Lab> {
    let login = client.login("lab_inbox");
    if !login.is_signed_in().await? {
        sign_in(&login).await?;
    }
    let accounts = match login.accounts().await {
        Err(error) if error.is_reauthorization_needed() => {
            eprintln!("{error}");
            sign_in(&login).await?;
            login.accounts().await?
        }
        accounts => accounts?,
    };
    let ids: Vec<_> = accounts
        .iter()
        .map(|account| account.id().to_string())
        .collect();
    let chosen = match (account, accounts.as_slice()) {
        (Some(wanted), all) => all
            .iter()
            .find(|account| account.id().as_str() == wanted)
            .with_context(|| format!("no account {wanted}; there are {}", ids.join(", ")))?,
        (None, [only]) => only,
        (None, []) => bail!("this login has no accounts"),
        (None, _) => bail!("choose one with --account: {}", ids.join(", ")),
    };
    let lab = client.account(chosen.id());
    if lab.is_paired().await? {
        return Ok(lab);
    }
    Ok(login.pair(chosen.id()).await?)
}

async fn sign_in(login: &Login) -> Result<()> {
    let request = login.authorize()?;
    eprintln!("Open this page and sign in:\n\n  {}\n", request.url());
    eprint!("Then paste the address that the browser was sent to: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let redirected = line.trim().parse().context("that is no URL")?;
    Ok(login.finish(&request, &redirected).await?)
}
