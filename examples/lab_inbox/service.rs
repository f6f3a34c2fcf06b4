//! The job against a real service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use lab_connector::{Client, Lab, Login};

use crate::desk::Desk;
use crate::{Arguments, config};

pub async fn run(path: &Path, files: PathBuf, arguments: &Arguments) -> Result<()> {
    let (client, _) = config::connect(path, &arguments.tokens).await?;
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
    let login = client.login(config::LOGIN);
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
    let chosen = config::choose(&accounts, account)?;
    let lab = client.account(chosen.id());
    if lab.is_paired().await? {
        return Ok(lab);
    }
    Ok(login.pair(chosen.id()).await?)
}

async fn sign_in(login: &Login) -> Result<()> {
    let request = login.authorize()?;
    eprintln!("Open this page and sign in:\n\n  {}\n", request.url());
    let redirected = config::pasted()?;
    Ok(login.finish(&request, &redirected).await?)
}
