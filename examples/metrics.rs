//! What a monitoring system reads: `Inbox::stats` as Prometheus text, at `/metrics`.
//!
//! ```text
//! cargo run --example metrics
//! cargo run --example metrics -- --listen 127.0.0.1:9464
//! ```
//!
//! The first one lets a few cases come from the embedded simulator, reads the page once, and prints it.
//! The second one serves it until Ctrl-C. In a program of your own it is `metrics/page.rs`.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use lab_connector::inbox::{Inbox, MemoryStore};
use lab_connector::simulator::Simulator;

#[path = "common/mod.rs"]
mod common;
#[path = "metrics/page.rs"]
mod page;
#[path = "common/simulated.rs"]
mod simulated;

/// Serves the state of a simulated lab's inbox to Prometheus.
#[derive(Parser)]
#[command(name = "metrics")]
struct Arguments {
    /// Serve on this address until Ctrl-C; port 0 takes a free one [default: read once, and end].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    common::run(run)
}

async fn run(arguments: Arguments) -> Result<()> {
    let address = arguments.listen;
    let address = address.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    let url = format!("http://{}/metrics", listener.local_addr()?);

    let service = Simulator::start()
        .await
        .context("cannot start the simulator")?;
    let client = simulated::client(&service).build()?;
    let lab = simulated::sign_in(&client, &service, "demo").await?;
    let lab = lab.pair("L-1").await?;
    for _ in 0..3 {
        service.scan("L-1")?;
    }
    let inbox = lab.inbox(MemoryStore::new());
    let router = page::router(vec![("L-1".to_owned(), inbox.clone())]);
    tokio::spawn(async move { axum::serve(listener, router).await });

    if arguments.listen.is_some() {
        eprintln!("{url} is served, Ctrl-C ends it");
        let inbox = inbox.interval(Duration::from_secs(10));
        inbox
            .for_each_until(common::stopped(), |_| async { Ok(()) })
            .await?;
    } else {
        work(&inbox).await?;
        print!("{}", reqwest::get(url).await?.text().await?);
    }
    client.close().await;
    Ok(())
}

/// One poll: of three deliveries one is done, one fails, and one waits.
async fn work(inbox: &Inbox) -> Result<()> {
    inbox.poll().await?;
    let deliveries = inbox.claim(2).await?;
    if let [done, failed] = deliveries.as_slice() {
        done.acknowledge().await?;
        failed.fail("the disk is full").await?;
    }
    Ok(())
}
