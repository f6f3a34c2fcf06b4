//! The simulator on its own: a Lab Connector to develop against, in any language.
//!
//! ```text
//! cargo run --features simulator --example simulator -- --listen 127.0.0.1:8040
//! ```
//!
//! Standard output gets one JSON object: what a client needs to know. Standard error says how to
//! go on. It runs until Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;
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
async fn main() -> ExitCode {
    match serve(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let service = Simulator::listen(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    println!("{:#}", service.configuration());

    let (base, secret) = (service.address(), service.client_secret());
    eprintln!("the simulator listens on http://{base}, Ctrl-C ends it");
    eprintln!("what it printed on standard output, in a file, is a configuration:");
    eprintln!(
        "  LAB_CONNECTOR_CLIENT_SECRET={secret} cargo run --example lab_inbox -- --config FILE"
    );

    tokio::select! {
        done = tokio::signal::ctrl_c() => done.context("cannot wait for Ctrl-C")?,
        never = people(&service, Duration::from_secs(arguments.pace)) => never?,
    }
    Ok(())
}

/// The people of one lab: a doctor scans, the lab has the model milled, and so on. What does not
/// fit any more, since the software under development has returned the scan, say, is left.
async fn people(service: &Simulator, pace: Duration) -> Result<()> {
    if pace.is_zero() {
        std::future::pending::<()>().await;
    }
    loop {
        let order = service.scan("L-1")?;
        for act in [
            Simulator::request_milling,
            Simulator::finish_modeling,
            Simulator::proceed,
            Simulator::finish_milling,
            Simulator::ship,
        ] {
            tokio::time::sleep(pace).await;
            if let Err(refused) = act(service, &order) {
                eprintln!("{order}: {refused}");
                break;
            }
        }
    }
}
