//! The simulator on its own: a Lab Connector to develop against, in any language.
//!
//! ```text
//! cargo run --features simulator --example simulator -- --listen 127.0.0.1:8040
//! ```
//!
//! Standard output gets one JSON object: what a client needs to know. Standard error says how to
//! go on. It runs until Ctrl-C.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use lab_connector::simulator::Simulator;

/// Serves the Lab Connector API on this machine.
#[derive(Parser)]
struct Arguments {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8040")]
    listen: SocketAddr,
    /// How many seconds lie between two things that people do; 0 leaves the world still.
    #[arg(long, default_value_t = 10)]
    pace: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let service = Simulator::listen(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    println!("{:#}", service.configuration());

    let base = format!("http://{}", service.address());
    eprintln!("the simulator listens on {base}, Ctrl-C ends it");
    eprintln!(
        "client id {}, secret {}",
        service.client_id(),
        service.client_secret()
    );
    eprintln!(
        "with this output in FILE: LAB_CONNECTOR_CLIENT_SECRET={} \\",
        service.client_secret()
    );
    eprintln!("  cargo run --example lab_inbox -- --config FILE");

    tokio::select! {
        done = tokio::signal::ctrl_c() => done.context("cannot wait for Ctrl-C")?,
        never = people(&service, Duration::from_secs(arguments.pace)) => never?,
    }
    Ok(())
}

/// The people of one lab: now and then a doctor scans, and each case takes its way.
async fn people(service: &Simulator, pace: Duration) -> Result<()> {
    if pace.is_zero() {
        std::future::pending::<()>().await;
    }
    loop {
        let order = service.scan("L-1")?;
        tokio::time::sleep(pace).await;
        service.request_milling(&order)?;
        tokio::time::sleep(pace).await;
        service.finish_modeling(&order)?;
        tokio::time::sleep(pace).await;
        service.proceed(&order)?;
        tokio::time::sleep(pace).await;
        service.finish_milling(&order)?;
        tokio::time::sleep(pace).await;
        service.ship(&order)?;
    }
}
