//! What the examples that work with a real service share.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use lab_connector::{Account, AccountId, Client, Config, Lab, Login};
use tokio::sync::Notify;
use url::Url;

/// The login that the examples share: what one of them has authorized, the other can use.
pub const LOGIN: &str = "reception";

/// Where tokens are kept where neither the command nor the configuration says it.
const TOKENS: &str = "lab_inbox-tokens";

/// The configuration of a file, with the environment over it.
pub fn read(path: &Path, tokens: Option<&Path>) -> Result<Config> {
    let mut config = Config::from_file(path)?.with_env()?;
    if let Some(tokens) = tokens {
        config.token_directory = Some(tokens.to_owned());
    }
    config.token_directory.get_or_insert_with(|| TOKENS.into());
    Ok(config)
}

/// The same, and a client by it.
pub async fn connect(path: &Path, tokens: Option<&Path>) -> Result<(Client, Config)> {
    let config = read(path, tokens)?;
    let client = Client::from_config(&config)?;
    // Rather now than after somebody has signed in.
    if let Err(error) = client.discover().await
        && (error.is_connect() || error.is_timeout())
    {
        bail!(error);
    }
    Ok((client, config))
}

/// The paired lab: signs in and pairs where that was not done before.
pub async fn lab(client: &Client, account: Option<&str>) -> Result<Lab> {
    let login = client.login(LOGIN);
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
    let chosen = choose(&accounts, account)?;
    let lab = client.account(chosen.id());
    if lab.is_paired().await? {
        return Ok(lab);
    }
    pair(&login, chosen.id()).await
}

/// Pairs, and signs in before it where the login's own tokens are not taken any more.
pub async fn pair(login: &Login, account: &AccountId) -> Result<Lab> {
    match login.pair(account.clone()).await {
        Err(error) if error.is_reauthorization_needed() => {
            eprintln!("{error}");
            sign_in(login).await?;
            Ok(login.pair(account.clone()).await?)
        }
        paired => Ok(paired?),
    }
}

/// Pairs again whenever the service takes the account's tokens no more. The inbox goes on meanwhile.
pub async fn keep_paired(client: &Client, lab: &Lab, lost: &Notify) {
    let login = client.login(LOGIN);
    loop {
        lost.notified().await;
        match pair(&login, lab.id()).await {
            Ok(_) => eprintln!("account {} is paired again", lab.id()),
            // The next round asks for it again.
            Err(error) => eprintln!("account {} cannot be paired: {error}", lab.id()),
        }
    }
}

async fn sign_in(login: &Login) -> Result<()> {
    let request = login.authorize()?;
    eprintln!("Open this page and sign in:\n\n  {}\n", request.url());
    // A person may take long.
    let redirected = tokio::task::spawn_blocking(pasted).await??;
    Ok(login.finish(&request, &redirected).await?)
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
pub fn pasted() -> Result<Url> {
    eprint!("Then paste the address that the browser was sent to: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    line.trim().parse().context("that is no URL")
}
