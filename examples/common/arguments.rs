//! The command line: wrong input is answered with one line.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

/// The arguments, or how the process is to end.
pub fn parse<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        if error.kind() == ErrorKind::DisplayHelp {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        // The first paragraph says what is wrong; usage is in the help.
        let text = error.to_string();
        let lines = text.lines().take_while(|line| !line.is_empty());
        let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
        let line = line.trim_start_matches("error: ");
        eprintln!("{}: {line} (see --help)", A::command().get_name());
        ExitCode::from(2)
    })
}
