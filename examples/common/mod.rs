//! What the examples share.
#![allow(dead_code, reason = "each example uses a part of it")]

pub mod answer;
pub mod config;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use clap::error::ErrorKind;

/// Runs an example: reads its command line and does its work. Wrong input and failures are one
/// line each.
pub fn run<A: Parser, F: Future<Output = Result<()>>>(work: impl FnOnce(A) -> F) -> ExitCode {
    run_blocking(|arguments| {
        let runtime = tokio::runtime::Runtime::new()?;
        let done = runtime.block_on(work(arguments));
        // Files may still be written; a person who was asked at the terminal must not hold the program.
        runtime.shutdown_timeout(Duration::from_secs(1));
        done
    })
}

/// Until Ctrl-C, or the signal by which service managers end a program.
pub async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    drop(tokio::signal::ctrl_c().await);
}

/// The same for an example without async.
pub fn run_blocking<A: Parser>(work: impl FnOnce(A) -> Result<()>) -> ExitCode {
    let command = A::command();
    let name = command.get_name();
    let arguments = match A::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            // The first paragraph says what is wrong; usage is in the help.
            let text = error.to_string();
            let lines = text.lines().take_while(|line| !line.is_empty());
            let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
            let line = line.trim_start_matches("error: ");
            eprintln!("{name}: {line} (see --help)");
            return ExitCode::from(2);
        }
    };
    match work(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
