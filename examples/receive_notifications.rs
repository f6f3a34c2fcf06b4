//! Notifications: a web endpoint that wakes the inbox, with polling as the safety net.
//!
//! Without arguments it starts the simulator, gives it the endpoint's URL when it pairs, lets
//! cases come, and shows how soon each is in hand although the next poll is minutes away. Then
//! somebody floods the endpoint with forged notifications, and it says what that cost.
//!
//! With `--config FILE` it does the job against a real service until Ctrl-C; `--public-url` is how
//! the service reaches this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

#[path = "common/mod.rs"]
mod common;
#[path = "receive_notifications/demo.rs"]
mod demo;
#[path = "receive_notifications/endpoint.rs"]
mod endpoint;
#[path = "receive_notifications/service.rs"]
mod service;
#[path = "common/simulated.rs"]
mod simulated;

/// Receives notifications and prints a line for each delivery.
#[derive(Parser)]
#[command(name = "receive_notifications")]
struct Arguments {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How many forged notifications are posted.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 10_000,
        conflicts_with = "config"
    )]
    flood: usize,
    /// Work with a real service: a JSON file, see `lab_connector::config`.
    #[arg(long, value_name = "FILE", requires = "public_url")]
    config: Option<PathBuf>,
    /// With --config: how the service reaches this endpoint, as in `https://lab.example`.
    #[arg(long, value_name = "URL", requires = "config")]
    public_url: Option<url::Url>,
    /// With --config: where the unguessable part of the path is kept; made if it is not there.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "receive_notifications.key",
        requires = "config"
    )]
    key: PathBuf,
    /// With --config: where tokens are kept [default: its `token_directory`, or lab_inbox-tokens].
    #[arg(long, value_name = "DIR", requires = "config")]
    tokens: Option<PathBuf>,
    /// With --config: the account to pair with, if the login offers several.
    #[arg(long, value_name = "ID", requires = "config")]
    account: Option<String>,
}

fn main() -> ExitCode {
    common::run(run)
}

async fn run(arguments: Arguments) -> Result<()> {
    match (&arguments.config, &arguments.public_url) {
        (Some(config), Some(public)) => service::run(config, public, &arguments).await,
        _ => demo::run(arguments.listen, arguments.flood).await,
    }
}
