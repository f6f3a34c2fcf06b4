//! Software in other languages: each delivery becomes a folder, which the other side answers.
//!
//! Without arguments it starts the simulator, and plays both sides. With `--config FILE` it serves a
//! real service until Ctrl-C or SIGTERM. The protocol is in `docs/spool.md`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use lab_connector::inbox::store::SqliteStore;
use lab_connector::inbox::{Inbox, PollReport};
use lab_connector::{Client, Error, Lab, OrderId};
use tokio::sync::Notify;

#[path = "common/mod.rs"]
mod common;
#[path = "spool/demo.rs"]
mod demo;
#[path = "spool/folders.rs"]
mod folders;
#[path = "common/simulated.rs"]
mod simulated;

use common::config;
use folders::Spool;

/// Hands out a lab's deliveries as folders, to software in any language.
#[derive(Parser)]
#[command(name = "spool")]
struct Arguments {
    /// The spool's directory, of one account [default: a new one for temporary files].
    #[arg(long, value_name = "DIR", global = true)]
    to: Option<PathBuf>,
    /// Work with a real service: a JSON file, see `lab_connector::config`.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// With --config: where tokens are kept [default: its `token_directory`, or lab_inbox-tokens].
    #[arg(long, value_name = "DIR", requires = "config", global = true)]
    tokens: Option<PathBuf>,
    /// With --config: the account to pair with, if the login offers several.
    #[arg(long, value_name = "ID", requires = "config", global = true)]
    account: Option<String>,
    /// With --config: seconds between two polls [default: its `poll_interval`, or 300].
    #[arg(long, value_name = "SECONDS", requires = "config")]
    interval: Option<u64>,
    /// Milliseconds between two looks for answers.
    #[arg(long, value_name = "MILLISECONDS", default_value = "1000", value_parser = clap::value_parser!(u64).range(1..))]
    look: u64,
    /// How many folders may wait for an answer at a time.
    #[arg(long, value_name = "COUNT", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    open: u32,
    /// Give files and folders the modes that the umask leaves, instead of to this user alone.
    #[arg(long)]
    shared: bool,
    /// Without --config: leave the answers to another program.
    #[arg(long, conflicts_with = "config")]
    no_answers: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Asks for the last delivery of an order again: a running spool shows its folder once more.
    Redeliver { order: String },
}

fn main() -> ExitCode {
    common::run(run)
}

async fn run(arguments: Arguments) -> Result<()> {
    match (&arguments.config, &arguments.command) {
        (None, Some(Command::Redeliver { .. })) => bail!("redeliver needs --config and --to"),
        (None, None) => demo::run(&arguments).await,
        (Some(path), command) => {
            let Some(root) = &arguments.to else {
                bail!("--config needs --to, the spool's directory");
            };
            let (mut settings, tokens) = (
                config::read(path, arguments.tokens.as_deref())?,
                arguments.tokens.as_deref(),
            );
            let shared = arguments.shared || settings.shared_files == Some(true);
            let mut spool = Spool::open(root, shared)
                .with_context(|| format!("cannot use {}", root.display()))?;
            let (client, _) = config::connect(path, tokens).await?;
            // The files of the crate have the same modes as the spool's own.
            let client = if settings.shared_files == Some(shared) || !shared {
                client
            } else {
                settings.shared_files = Some(true);
                Client::from_config(&settings)?
            };
            let lab = config::lab(&client, arguments.account.as_deref()).await?;
            let interval = arguments.interval.map(Duration::from_secs);
            let interval = interval.or(settings.poll_interval);
            let lost = Arc::new(Notify::new());
            let inbox = inbox(&mut spool, &lab, &lost)
                .await?
                .interval(interval.unwrap_or(Duration::from_secs(300)));
            if let Some(Command::Redeliver { order }) = command {
                let asked = redeliver(&spool, &inbox, order).await;
                client.close().await;
                return asked;
            }
            spool.tidy()?;
            eprintln!("spool: serving {}, Ctrl-C ends it", root.display());
            let ended = tokio::select! {
                ended = serve(&arguments, &spool, &inbox, common::stopped()) => ended,
                () = config::keep_paired(&client, &lab, &lost) => Ok(()),
            };
            // A refresh may be under way: what it brings must be stored.
            client.close().await;
            ended
        }
    }
}

/// The inbox that keeps its cases in the spool, and tells `lost` when the account must be paired again.
async fn inbox(spool: &mut Spool, lab: &Lab, lost: &Arc<Notify>) -> Result<Inbox> {
    spool.claim_for(lab.id().as_str())?;
    let store = SqliteStore::open(spool.cases()).await?;
    // What a killed process held comes again after a minute.
    let inbox = lab.inbox(store).claim_lease(Duration::from_secs(60));
    let lost = Arc::clone(lost);
    Ok(inbox.on_round(move |round| {
        problems(round);
        if round.as_ref().is_err_and(Error::needs_pairing) {
            lost.notify_one();
        }
    }))
}

async fn serve(
    arguments: &Arguments,
    spool: &Spool,
    inbox: &Inbox,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let look = Duration::from_millis(arguments.look);
    // Folders stay as they are: the next process goes on with them.
    let inbox = inbox.clone().grace(Duration::ZERO);
    let inbox = inbox.concurrency(arguments.open as usize);
    let work = inbox.for_each_until(stop, |delivery| async move {
        let done = spool.hand_over(&delivery, look).await;
        done.inspect_err(|error| eprintln!("order {}: {error}", delivery.order_id()))
    });
    work.await?;
    Ok(())
}

async fn redeliver(spool: &Spool, inbox: &Inbox, order: &str) -> Result<()> {
    spool.set_aside(order)?;
    if !inbox.redeliver(&OrderId::new(order)).await? {
        bail!("order {order} was never delivered to this spool");
    }
    println!("order {order} comes again");
    Ok(())
}

fn problems(round: &lab_connector::Result<PollReport>) {
    match round {
        Ok(round) => round
            .problems()
            .iter()
            .for_each(|problem| eprintln!("{problem}")),
        Err(error) => eprintln!("spool: {error}; going on"),
    }
}
