//! Signing in and pairing, the whole dance on a desktop.
//!
//! Without arguments it starts the simulator and plays the user too. With `--config FILE` it
//! authorizes the software with a real service: the file, and the environment over it, are the
//! configuration of the example `lab_inbox` too, which goes on with the tokens that are stored here.
//!
//! Where the registered redirect URL is on this machine, a listener takes in the browser when it
//! comes back; elsewhere the address is pasted.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use lab_connector::simulator::Simulator;
use lab_connector::{Account, Client, FileTokenStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

#[path = "common/mod.rs"]
mod common;
#[path = "authorize/listener.rs"]
mod listener;

use common::config;
use listener::Listener;

/// Signs a user in, pairs one of the user's labs, and stores the tokens.
#[derive(Parser)]
#[command(name = "authorize")]
struct Arguments {
    /// Work with a real service: a JSON file, see `lab_connector::config`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With --config: where tokens are kept [default: its `token_directory`, or lab_inbox-tokens].
    #[arg(long, value_name = "DIR", requires = "config")]
    tokens: Option<PathBuf>,
    /// The account to pair with; asked for if the login offers several.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

fn main() -> ExitCode {
    common::run(|arguments: Arguments| async move {
        let wanted = arguments.account.as_deref();
        match &arguments.config {
            None => demo(wanted).await,
            Some(config) => service(config, arguments.tokens.as_deref(), wanted).await,
        }
    })
}

/// With the simulator. The user is played: signs in, agrees, and the browser comes back.
async fn demo(wanted: Option<&str>) -> Result<()> {
    let service = Simulator::start()
        .await
        .context("cannot start the simulator")?;
    service.add_account("L-2", "Second Dental Lab");
    let redirect_url = Url::parse("http://127.0.0.1:0/callback")?;
    let listener = Listener::bind(&redirect_url).await?;
    // A service with fixed ports would have it registered.
    let redirect_url = listener.url().clone();
    let tokens = std::env::temp_dir().join(format!("authorize-{}", std::process::id()));
    let client = Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(redirect_url.as_str())
        .token_store(FileTokenStore::open(&tokens)?)
        .build()?;

    let login = client.login(config::LOGIN);
    let request = login.authorize()?;
    println!("open this page and sign in:\n  {}", request.url());
    let back = service.consent(request.url())?;
    let (redirected, ()) = tokio::try_join!(listener.redirected(), open(&back))?;
    login.finish(&request, &redirected).await?;
    println!("signed in");

    let accounts = login.accounts().await?;
    show(&accounts);
    let chosen = config::choose(&accounts, Some(wanted.unwrap_or("L-1")))?;
    let lab = login.pair(chosen.id()).await?;
    println!(
        "paired with {}; tokens are in {}",
        lab.id(),
        tokens.display()
    );
    Ok(())
}

/// What a browser does.
async fn open(url: &Url) -> Result<()> {
    let address = (
        url.host_str().context("no host")?,
        url.port().context("no port")?,
    );
    let mut stream = TcpStream::connect(address).await?;
    let target = &url[url::Position::BeforePath..];
    let request = format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", url.authority());
    stream.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    println!(
        "the browser shows: {}",
        page.lines().last().unwrap_or_default()
    );
    Ok(())
}

async fn service(path: &Path, tokens: Option<&Path>, wanted: Option<&str>) -> Result<()> {
    let (client, config) = config::connect(path, tokens).await?;
    let redirect_url = config.redirect_url.unwrap_or_default();
    let redirect_url: Url = redirect_url.parse().context("the redirect URL is no URL")?;
    let listener = match redirect_url.scheme() {
        "http" if redirect_url.port() == Some(0) => bail!("the redirect URL needs its true port"),
        "http" => Some(Listener::bind(&redirect_url).await?),
        _ => None,
    };
    let login = client.login(config::LOGIN);
    let request = login.authorize()?;
    eprintln!("Open this page and sign in:\n\n  {}\n", request.url());
    let redirected = match listener {
        Some(listener) => listener.redirected().await?,
        None => config::pasted()?,
    };
    login.finish(&request, &redirected).await?;

    let accounts = login.accounts().await?;
    show(&accounts);
    let answer = match (wanted, accounts.len()) {
        (None, 2..) => Some(asked()?),
        (wanted, _) => wanted.map(str::to_owned),
    };
    let chosen = config::choose(&accounts, answer.as_deref())?;
    let lab = login.pair(chosen.id()).await?;
    println!(
        "paired with {}; tokens are in {}",
        lab.id(),
        config.token_directory.unwrap_or_default().display()
    );
    Ok(())
}

fn show(accounts: &[Account]) {
    for account in accounts {
        let name = account.name().unwrap_or_default();
        println!("account {}  {name}", account.id());
    }
}

/// Which of several accounts is meant.
fn asked() -> Result<String> {
    eprint!("Which account is this software for? ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
