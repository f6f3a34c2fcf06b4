//! The main job in a program without async: threads, and calls that block.
//!
//! ```text
//! cargo run --example desktop
//! ```
//!
//! It runs against the embedded simulator: a few cases come in, are downloaded, and one is sent
//! back to the doctor. It ends when all are dealt with.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use lab_connector::blocking::{ClosingClient, Wait, handler, iter};
use lab_connector::inbox::store::SqliteStore;
use lab_connector::simulator::Simulator;

#[path = "common/mod.rs"]
mod common;
#[path = "common/simulated.rs"]
mod simulated;

/// Downloads the cases of a simulated lab, without a line of async.
#[derive(Parser)]
#[command(name = "desktop")]
struct Arguments {
    /// The directory to download to [default: a new one for temporary files].
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::run_blocking(run)
}

fn run(arguments: Arguments) -> Result<()> {
    let files = arguments.files.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("lab-connector-desktop-{}", std::process::id()))
    });
    std::fs::create_dir_all(&files).with_context(|| format!("cannot make {}", files.display()))?;
    let service = Simulator::start()
        .wait()
        .context("cannot start the simulator")?;
    // When it is dropped it waits for refreshes that are under way.
    let client = ClosingClient::new(simulated::client(&service).build()?);

    let login = simulated::sign_in(&client, &service, "front desk").wait()?;
    let lab = login.pair("L-1").wait()?;
    let orders = [service.scan("L-1")?, service.scan("L-1")?];

    let store = SqliteStore::open(files.join("cases.db")).wait()?;
    // A lab's five minutes would be long here: a rescan is delivered when a second poll agrees.
    let inbox = lab.inbox(store).interval(Duration::from_secs(1));
    // One at a time, as an iterator gives them.
    for delivery in iter(inbox.deliveries()).take(1) {
        let delivery = delivery?;
        delivery
            .return_to_doctor("margin not visible on 14")
            .wait()?;
        delivery.acknowledge().wait()?;
        println!("{}  returned to the doctor", delivery.order_id());
        service.rescan(delivery.order_id())?;
    }
    // Or by a handler, which is called again where it fails.
    let (done, all_done) = tokio::sync::oneshot::channel();
    let left = std::sync::Mutex::new((orders.len(), Some(done)));
    inbox
        .for_each_until(
            async { drop(all_done.await) },
            handler(move |delivery| {
                let came = delivery.download_all(&files).wait()?;
                let (number, id) = (came.iter().len(), delivery.order_id());
                println!("{id}  {number} files  {}", delivery.reading().stages());
                let mut left = left.lock().map_err(|_| "another handler panicked")?;
                left.0 = left.0.saturating_sub(1);
                if left.0 == 0
                    && let Some(done) = left.1.take()
                {
                    let _ = done.send(());
                }
                Ok(())
            }),
        )
        .wait()?;
    Ok(())
}
