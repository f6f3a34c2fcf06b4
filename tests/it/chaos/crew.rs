//! The processes, as the soak sees them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::SystemTime;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::process::millis;

/// A process of the lab's software.
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    lines: UnboundedReceiver<String>,
}

impl Process {
    /// Its errors are appended to a file.
    pub(super) fn start(errors: &Path) -> Self {
        let errors = std::fs::File::options()
            .create(true)
            .append(true)
            .open(errors)
            .unwrap();
        let name = "chaos::process::the_process";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"])
            .env("CHAOS_PROCESS", "yes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(|line| line.ok()) {
                // The test harness says things too, on the same line.
                let said = line.split_once("@ ").map(|(_, said)| said.to_owned());
                if said.is_some_and(|said| sender.send(said).is_err()) {
                    break;
                }
            }
        });
        Process {
            child,
            input,
            lines,
        }
    }

    /// One that has died does not hear.
    pub(super) fn tell(&mut self, line: &str) {
        let _ = writeln!(self.input, "{line}");
    }

    /// It is so late in the simulated world, while it is so late in this one.
    pub(super) fn tell_time(&mut self, simulated: SystemTime, real: SystemTime) {
        self.tell(&format!("time {} {}", millis(simulated), millis(real)));
    }

    /// What it says next; none if it is dead.
    pub(super) async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    pub(super) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// How much memory it has, in KiB; none where nobody tells.
    pub(super) fn memory(&self) -> Option<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}
