//! First contact: whether a configuration fits the service, and which conventions the service keeps.
//!
//! Without arguments it looks at the simulator. With `--config FILE` it looks at a real service, with
//! the tokens that the example `authorize` has stored. It says of each step what was asked, what came,
//! and which setting to change; then which keys, spellings and forms the service showed, without a value
//! that could be a patient's. `--write-behaviour FILE` keeps them, so that the example `simulator` speaks
//! like the service.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use lab_connector::client::CheckReport;
use lab_connector::simulator::Simulator;
use lab_connector::{Client, Config};
use serde_json::Value;

#[path = "common/mod.rs"]
mod common;
#[path = "common/simulated.rs"]
mod simulated;

use common::config;

/// Looks at a service step by step, and changes nothing there.
#[derive(Parser)]
#[command(name = "doctor")]
struct Arguments {
    /// Look at a real service: a JSON file, see `lab_connector::config`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With --config: where tokens are kept [default: its `token_directory`, or lab_inbox-tokens].
    #[arg(long, value_name = "DIR", requires = "config")]
    tokens: Option<PathBuf>,
    /// With --config: the account to look into [default: the first that is paired].
    #[arg(long, value_name = "ID", requires = "config")]
    account: Option<String>,
    /// With --config: the order to fetch, by its Rx id [default: the first that is listed].
    #[arg(long, value_name = "RX", requires = "config")]
    order: Option<String>,
    /// With --config: ask for a byte of the thumbnails of this order too, which may mark it Downloaded
    /// and take it off the list.
    #[arg(long, value_name = "RX", requires = "config", conflicts_with = "order")]
    file: Option<String>,
    /// With --file: ask for a byte of the zip too.
    #[arg(long, requires = "file")]
    zip: bool,
    /// With --file: do not ask whether that is meant.
    #[arg(long, requires = "file")]
    yes: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Write the configuration with what the report could tell, but for secrets.
    #[arg(long, value_name = "FILE", requires = "config")]
    write_config: Option<PathBuf>,
    /// Write how the service behaves, for `simulator --behaviour FILE`.
    #[arg(long, value_name = "FILE")]
    write_behaviour: Option<PathBuf>,
}

fn main() -> ExitCode {
    common::run(run)
}

async fn run(arguments: Arguments) -> Result<()> {
    let report = match &arguments.config {
        None => demo().await?,
        Some(path) => service(path, &arguments).await?,
    };
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{report}"),
    }
    if let Some(path) = &arguments.write_behaviour {
        write(path, report.behaviour())?;
    }
    if !report.is_good() {
        bail!("a step failed: its line says which setting to change");
    }
    Ok(())
}

/// With the simulator, which has a few orders.
async fn demo() -> Result<CheckReport> {
    let service = Simulator::start()
        .await
        .context("cannot start the simulator")?;
    let client = simulated::client(&service).build()?;
    let login = simulated::sign_in(&client, &service, config::LOGIN).await?;
    login.pair("L-1").await?;
    for _ in 0..3 {
        service.scan("L-1")?;
    }
    Ok(client.check().login(config::LOGIN).await)
}

async fn service(path: &Path, arguments: &Arguments) -> Result<CheckReport> {
    let settings = config::read(path, arguments.tokens.as_deref())?;
    let client = Client::from_config(&settings)?;
    let mut check = client.check().login(config::LOGIN);
    if let Some(account) = &arguments.account {
        check = check.account(account.as_str());
    }
    if let Some(rx_id) = arguments.order.as_ref().or(arguments.file.as_ref()) {
        check = check.order(rx_id.as_str());
    }
    if arguments.file.is_some() {
        agreed(arguments.yes)?;
        check = check.thumbnails();
        if arguments.zip {
            check = check.zip();
        }
    }
    let report = check.await;
    // The refreshed tokens must be stored.
    client.close().await;
    if let Some(path) = &arguments.write_config {
        write(path, &fixed(&settings, &report))?;
    }
    Ok(report)
}

/// Whether a file is to be asked for.
fn agreed(yes: bool) -> Result<()> {
    eprintln!("Asking for a file may mark this order Downloaded: then it is on the list no more.");
    if yes {
        return Ok(());
    }
    eprint!("Type yes to go on: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim() {
        "yes" => Ok(()),
        _ => bail!("nothing was asked for"),
    }
}

/// The configuration with what the report could tell.
fn fixed(settings: &Config, report: &CheckReport) -> Value {
    let mut fixed = settings.to_json();
    merge(&mut fixed, report.settings());
    fixed
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (into, from) => into.clone_from(from),
    }
}

fn write(path: &Path, value: &Value) -> Result<()> {
    let name = path.display();
    std::fs::write(path, format!("{value:#}\n")).with_context(|| format!("cannot write {name}"))
}
