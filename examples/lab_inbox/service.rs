//! The job against a real service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use futures_util::{FutureExt, TryStreamExt};
use lab_connector::inbox::store::SqliteStore;
use lab_connector::{Client, Lab, Login};

use crate::Arguments;
use crate::common::config;
use crate::desk::{self, Desk};

pub async fn run(path: &Path, files: PathBuf, arguments: &Arguments) -> Result<()> {
    let (client, _) = config::connect(path, &arguments.tokens).await?;
    let lab = lab(&client, arguments.account.as_deref()).await?;
    let cases = SqliteStore::open(&arguments.cases).await?;
    let inbox = lab
        .inbox(cases)
        .interval(Duration::from_secs(arguments.interval))
        .on_round(desk::problems);
    let desk = Desk {
        inbox,
        files,
        json: arguments.json,
    };
    let mut stop = Box::pin(tokio::signal::ctrl_c());
    // Asked for once before it is promised: only then the signal is ours.
    if stop.as_mut().now_or_never().is_none() {
        eprintln!("polling every {} s, Ctrl-C ends it", arguments.interval);
        let work = desk.inbox.for_each_until(stop.map(drop), |delivery| {
            let desk = &desk;
            async move { desk.take(&delivery).await }
        });
        let ended = tokio::select! {
            ended = work => ended.map_err(Into::into),
            shown = changes(&desk) => shown,
        };
        // A refresh may be under way: what it brings must be stored.
        client.close().await;
        ended?;
    }
    desk.summary().await
}

/// Shows changes as they come.
async fn changes(desk: &Desk) -> Result<()> {
    let shown = desk.inbox.stats().await?.store.arrivals;
    let mut changes = desk.inbox.arrivals(shown);
    loop {
        match changes.try_next().await {
            Ok(Some(change)) => desk.change(&change)?,
            Ok(None) => return Ok(()),
            // The rounds tell of it; the next change may come through.
            Err(_) => tokio::time::sleep(Duration::from_secs(60)).await,
        }
    }
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
