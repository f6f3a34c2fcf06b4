//! The simulator on its own: a Lab Connector to develop against, in any language.
//!
//! ```text
//! cargo run --example simulator -- --listen 127.0.0.1:8040
//! ```
//!
//! Standard output gets one JSON object: what a client needs to know. Standard error says where
//! everything is, the board in the browser first. It runs until Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::Parser;
use lab_connector::simulator::{Behaviour, ClockMode, Faults, Simulator, Workload};

#[path = "common/mod.rs"]
mod common;
#[path = "simulator/people.rs"]
mod people;

/// Serves the Lab Connector API on this machine, with a board for the browser and a control API
/// for tests.
#[derive(Parser)]
#[command(name = "simulator")]
struct Arguments {
    /// The address to listen on; port 0 takes a free one. There is no authentication on the board
    /// and on the control API: keep it on loopback.
    #[arg(long, default_value = "127.0.0.1:8040")]
    listen: SocketAddr,
    /// What patients, tokens, faults and people's choices are drawn from [default: patients and
    /// choices as with 0, other tokens each time].
    #[arg(long)]
    seed: Option<u64>,
    /// How many cases there are at the start, with five days behind them.
    #[arg(long, default_value_t = 12)]
    cases: u32,
    /// About how many seconds of simulated time people take for one thing; 0 leaves the world
    /// still [default: 10, or hours as in a real lab if there is a --speed].
    #[arg(long, value_name = "SECONDS")]
    pace: Option<f64>,
    /// How fast the simulated time passes; with 0 it stands until it is moved.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0)]
    speed: f64,
    /// What goes wrong: a JSON file.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// What the service does where nothing is documented: a JSON file.
    #[arg(long, value_name = "FILE")]
    behaviour: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::run(|arguments: Arguments| async move { serve(&arguments).await })
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let service = start(arguments).await?;
    people::before(&service, arguments.cases)?;
    let life = match arguments.pace {
        Some(pace) if !(0.0..=1e6).contains(&pace) => bail!("--pace must be from 0 to 1000000"),
        Some(pace) if pace > 0.0 => people::hurried(pace),
        None if arguments.speed == 1.0 => people::hurried(10.0),
        _ => Workload::default(),
    };
    service.set_life(life)?;
    let still = arguments.pace == Some(0.0);

    println!("{:#}", service.configuration());
    tell(&service);
    tokio::select! {
        done = tokio::signal::ctrl_c() => done.context("cannot wait for Ctrl-C"),
        () = people::act(&service), if !still => Ok(()),
    }
}

async fn start(arguments: &Arguments) -> Result<Simulator> {
    let mut builder = Simulator::builder()
        .listen(arguments.listen)
        .login("reception", ["L-1"])
        .login("nobody's", Vec::<String>::new());
    if let Some(seed) = arguments.seed {
        builder = builder.seed(seed);
    }
    if let Some(file) = &arguments.behaviour {
        builder = builder.behaviour(Behaviour::from_file(file).context("--behaviour")?);
    }
    if let Some(file) = &arguments.faults {
        builder = builder.faults(Faults::from_file(file).context("--faults")?);
    }
    let mode = match arguments.speed {
        0.0 => ClockMode::Stepped,
        1.0 => ClockMode::Real,
        speed if (0.0..=1e6).contains(&speed) => ClockMode::Scaled(speed),
        _ => bail!("--speed must be from 0 to 1000000"),
    };
    if mode != ClockMode::Stepped && arguments.cases > 0 {
        builder = builder.begins_at(SystemTime::now() - people::BEFORE);
    }
    let started = builder.clock(mode).start().await;
    started.with_context(|| format!("cannot listen on {}", arguments.listen))
}

/// Where everything is.
fn tell(service: &Simulator) {
    let base = format!("http://{}", service.address());
    let (id, secret) = (service.client_id(), service.client_secret());
    eprintln!("the simulator listens on {base}, Ctrl-C ends it");
    for (name, place) in [
        ("board", format!("{base}/")),
        ("contract", format!("{base}/openapi.yaml")),
        ("discovery", format!("{base}/discovery")),
        ("control API", format!("{base}/_simulator/")),
        ("client id", id.to_owned()),
        ("client secret", secret.to_owned()),
        ("redirect URL", service.redirect_url().to_owned()),
    ] {
        eprintln!("  {name:<14} {place}");
    }
    eprintln!("what it printed on standard output, in a file, is a configuration:");
    eprintln!(
        "  LAB_CONNECTOR_CLIENT_SECRET={secret} cargo run --example lab_inbox -- --config FILE"
    );
}
