//! Downloads the files of a lab's orders, with progress bars, and goes on where it broke off.
//!
//! ```text
//! cargo run --example download -- --to files
//! ```
//!
//! It runs against the embedded simulator and ends by itself: one download is dropped in its
//! middle first, as Ctrl-C does, and then all are fetched.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lab_connector::download::{Progress, file_name};
use lab_connector::simulator::Simulator;
use lab_connector::{Asset, Lab, Order};

#[path = "common/mod.rs"]
mod common;
#[path = "common/simulated.rs"]
mod simulated;

/// Downloads the files of a few simulated orders.
#[derive(Parser)]
#[command(name = "download")]
struct Arguments {
    /// The directory to download to; it is made if there is none.
    #[arg(long, default_value = "downloads")]
    to: PathBuf,
    /// How many orders at a time.
    #[arg(long, default_value_t = 4)]
    at_a_time: usize,
}

fn main() -> ExitCode {
    common::run(|arguments: Arguments| async move {
        tokio::select! {
            done = run(&arguments) => done,
            // The downloads are dropped: what came stays, and the next run goes on from it.
            _ = tokio::signal::ctrl_c() => bail!("interrupted; run it again to go on"),
        }
    })
}

async fn run(arguments: &Arguments) -> Result<()> {
    let to = &arguments.to;
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let service = Simulator::start()
        .await
        .context("cannot start the simulator")?;
    let lab = pair(&service).await?;
    for _ in 0..3 {
        service.scan(lab.id().as_str())?;
    }
    let orders = lab.orders().list().await?.into_orders();
    interrupt(&lab, &orders[0], to).await?;

    let bars = MultiProgress::new();
    let all = lab
        .download_all(&orders)
        .concurrency(arguments.at_a_time)
        .sha256();
    let all = all.progress(|order, asset| bar(&bars, order, asset));
    let mut failed = 0;
    for fetched in all.to_directory(to).await {
        match fetched.result {
            Ok(file) => {
                let (path, bytes) = (file.path.display(), file.bytes);
                say(&format!(
                    "{path}  {bytes} bytes  {}",
                    file.sha256.unwrap_or_default()
                ))?;
            }
            Err(error) => {
                eprintln!("order {}: {}", fetched.order.id(), error.report());
                failed += 1;
            }
        }
    }
    if failed > 0 {
        bail!("{failed} files could not be downloaded; run it again to go on");
    }
    Ok(())
}

async fn pair(service: &Simulator) -> Result<Lab> {
    let client = simulated::client(service).build()?;
    let login = simulated::sign_in(&client, service, "demo").await?;
    Ok(login.pair("L-1").await?)
}

/// Drops a download once its first bytes are there.
async fn interrupt(lab: &Lab, order: &Order, to: &Path) -> Result<()> {
    let zip = order.assets().iter().find(|asset| asset.is_export());
    let zip = zip.context("an order without a zip")?;
    let (first, mut came) = tokio::sync::mpsc::channel(1);
    // Only the first is waited for.
    let download = lab.download(order, zip).progress(move |progress| {
        let _ = first.try_send(progress.bytes);
    });
    tokio::select! {
        done = download.to_file(to.join(file_name(order, zip))) => drop(done?),
        bytes = came.recv() => {
            say(&format!("dropped after {} bytes; the next one goes on", bytes.unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// Whoever reads this may have seen enough and be gone: the files are fetched all the same.
fn say(line: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn bar(bars: &MultiProgress, order: &Order, asset: &Asset) -> impl FnMut(Progress) + Send + use<> {
    let bar = bars.add(ProgressBar::no_length());
    let style = ProgressStyle::with_template("{prefix} {bar:30} {bytes}/{total_bytes} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(file_name(order, asset));
    move |progress| {
        bar.set_length(progress.total.unwrap_or(progress.bytes));
        bar.set_position(progress.bytes);
        if let Some(rate) = progress.rate {
            bar.set_message(format!("{} KB/s", rate / 1000));
        }
    }
}
