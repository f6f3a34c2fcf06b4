//! The main job: a lab's cases arrive, are classified, downloaded, and followed to their end.
//!
//! Without arguments it starts the simulator, pairs, and lets cases run through all five
//! scenarios. With `--config FILE` it does the same job against a real service until Ctrl-C;
//! what the environment sets (`LAB_CONNECTOR_CLIENT_SECRET`, say) wins over the file.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

#[path = "common/mod.rs"]
mod common;
#[path = "lab_inbox/demo.rs"]
mod demo;
#[path = "lab_inbox/desk.rs"]
mod desk;
#[path = "lab_inbox/service.rs"]
mod service;
#[path = "common/simulated.rs"]
mod simulated;

/// Follows a lab's cases: prints a line for each delivery and each change, and downloads files.
#[derive(Parser)]
#[command(name = "lab_inbox")]
struct Arguments {
    /// Print one JSON object a line on standard output, and all else on standard error.
    #[arg(long)]
    json: bool,
    /// The directory to download to [default: a new one for temporary files].
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// Work with a real service: a JSON file, see `lab_connector::config`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With --config: where tokens are kept [default: its `token_directory`, or lab_inbox-tokens].
    #[arg(long, value_name = "DIR", requires = "config")]
    tokens: Option<PathBuf>,
    /// With --config: the file in which cases are kept.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "lab_inbox.db",
        requires = "config"
    )]
    cases: PathBuf,
    /// With --config: the account to pair with, if the login offers several.
    #[arg(long, value_name = "ID", requires = "config")]
    account: Option<String>,
    /// With --config: seconds between two polls [default: its `poll_interval`, or 300].
    #[arg(long, value_name = "SECONDS", requires = "config")]
    interval: Option<u64>,
}

fn main() -> ExitCode {
    common::run(run)
}

async fn run(arguments: Arguments) -> Result<()> {
    let files = match &arguments.files {
        Some(directory) => directory.clone(),
        None => std::env::temp_dir().join(format!("lab_inbox-{}", std::process::id())),
    };
    desk::writable(&files).with_context(|| format!("cannot write to {}", files.display()))?;
    match &arguments.config {
        None => demo::run(files, arguments.json).await,
        Some(config) => service::run(config, files, &arguments).await,
    }
}
