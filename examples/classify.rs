//! Which scenario? One history a line in, one answer a line out, as JSON.
//!
//! ```text
//! $ echo '{"history": ["Lab Review", "iTero Milling"]}' | cargo run --example classify
//! {"candidates":[4,5],"scenario":null,"likely":4,"stages":["in_interpretation","in_milling"],
//!  "expected":["R","I","T","D"],"deviations":[]}
//! ```
//!
//! `history` holds the arrivals, oldest first: statuses in any spelling, or the symbols `S`,
//! `F`, `M`, `R`, `I`, `T`, `D`, mixed at will. `"complete": false` says that the beginning was
//! missed. Other keys are ignored. Each line, an empty one too, gets its own answer, in order;
//! one that is not of this form gets `{"error": "…"}`, and the rest goes on.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

#[path = "common/answer.rs"]
mod answer;
#[path = "classify/lines.rs"]
mod lines;

fn main() -> ExitCode {
    match lines::run(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the answers has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("classify: {error}");
            ExitCode::FAILURE
        }
    }
}
