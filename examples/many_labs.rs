//! Many labs at once: one process, or several that share PostgreSQL.
//!
//! It starts the simulator with hundreds of labs, pairs with all of them, breaks three (access
//! revoked, a listing that hangs, one that fails), lets two cases come to each, and shows that
//! the others are served as if nothing were wrong. Then it ends.
//!
//! With `--postgres URL` (and `--features postgres`) the labs are served by several processes that
//! know of each other by the database alone. They use a schema of their own; its name is printed, and
//! it is yours to drop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

#[path = "common/mod.rs"]
mod common;
#[path = "many_labs/desk.rs"]
mod desk;
#[cfg(feature = "postgres")]
#[path = "many_labs/processes.rs"]
mod processes;
#[path = "common/simulated.rs"]
mod simulated;
#[path = "many_labs/tally.rs"]
mod tally;
#[path = "many_labs/world.rs"]
mod world;

/// Serves many labs and prints what came of it.
#[derive(Parser)]
#[command(name = "many_labs")]
struct Arguments {
    /// How many labs there are; three of them are broken.
    #[arg(long, value_name = "COUNT", default_value_t = 300, value_parser = clap::value_parser!(u32).range(4..=2000))]
    labs: u32,
    /// Seconds between two polls of a lab.
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// How many requests are under way at a time, for all labs together.
    #[arg(long, value_name = "REQUESTS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1000))]
    together: u32,
    /// Keep cases and tokens in this database, and let several processes serve the labs.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// With --postgres: how many processes.
    #[arg(long, value_name = "COUNT", default_value_t = 3, requires = "postgres", value_parser = clap::value_parser!(u32).range(1..=16))]
    processes: u32,
    /// One of those processes: where the service is, and the schema.
    #[arg(long, hide = true, num_args = 2, requires = "postgres")]
    worker: Option<Vec<PathBuf>>,
}

impl Arguments {
    fn interval(&self) -> Duration {
        Duration::from_secs(self.interval)
    }
}

fn main() -> ExitCode {
    common::run(|arguments: Arguments| async move { run(&arguments).await })
}

async fn run(arguments: &Arguments) -> Result<()> {
    match (&arguments.postgres, &arguments.worker) {
        (None, _) => world::run(arguments).await,
        #[cfg(feature = "postgres")]
        (Some(url), Some(worker)) => processes::worker(url, worker, arguments).await,
        #[cfg(feature = "postgres")]
        (Some(url), None) => processes::run(url, arguments).await,
        #[cfg(not(feature = "postgres"))]
        (Some(_), _) => anyhow::bail!(
            "--postgres needs a driver: cargo run --features postgres --example many_labs"
        ),
    }
}
