//! The job against a real service.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures_util::{FutureExt, TryStreamExt};
use lab_connector::Error;
use lab_connector::inbox::store::SqliteStore;
use tokio::sync::Notify;

use crate::Arguments;
use crate::common::{self, config};
use crate::desk::{self, Desk};

pub async fn run(path: &Path, files: PathBuf, arguments: &Arguments) -> Result<()> {
    let (client, config) = config::connect(path, arguments.tokens.as_deref()).await?;
    let interval = arguments.interval.map(Duration::from_secs);
    let interval = interval
        .or(config.poll_interval)
        .unwrap_or(Duration::from_secs(300));
    let lab = config::lab(&client, arguments.account.as_deref()).await?;
    let cases = SqliteStore::open(&arguments.cases).await?;
    let lost = Arc::new(Notify::new());
    let noticed = Arc::clone(&lost);
    let inbox = lab.inbox(cases).interval(interval).on_round(move |round| {
        desk::problems(round);
        if round.as_ref().is_err_and(Error::needs_pairing) {
            noticed.notify_one();
        }
    });
    let desk = Desk {
        inbox,
        files,
        json: arguments.json,
    };
    let mut stop = Box::pin(common::stopped());
    // Asked for once before it is promised: only then the signal is ours.
    if stop.as_mut().now_or_never().is_none() {
        eprintln!("polling every {} s, Ctrl-C ends it", interval.as_secs_f64());
        let work = desk.inbox.for_each_until(stop, |delivery| {
            let desk = &desk;
            async move { desk.take(&delivery).await }
        });
        let ended = tokio::select! {
            ended = work => ended.map_err(Into::into),
            shown = changes(&desk) => shown,
            () = config::keep_paired(&client, &lab, &lost) => Ok(()),
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
            // The rounds report it; the next change may come through.
            Err(_) => tokio::time::sleep(Duration::from_secs(60)).await,
        }
    }
}
