//! A PostgreSQL of a test's own, which may be stopped and killed; and a pooler before it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Skips a test, and says so.
fn skip(test: &str, why: &str) {
    // Not by a macro: what those print, the harness hides.
    let line = format!("{test}: SKIPPED, {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|directory| directory.join("scripts").join(name))
        .find(|script| script.exists())
        .unwrap()
}

/// None where the machine lacks what the script needs.
fn run(command: &mut Command) -> Option<Output> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() || output.status.code() == Some(3),
        "{command:?}: {said}"
    );
    output.status.success().then_some(output)
}

fn line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Gone when it is dropped.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    /// Of its superuser, who needs no password.
    pub(crate) url: String,
}

impl Cluster {
    /// None where no PostgreSQL is installed: then the test is skipped, and says so.
    pub(crate) fn start(test: &str) -> Option<Self> {
        Cluster::with_files(test, &[])
    }

    /// The same, with these files beside it.
    pub(crate) fn with_files(test: &str, files: &[(&str, &str)]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let mut cluster = Cluster {
            directory,
            url: String::new(),
        };
        let Some(started) = run(&mut cluster.command("start")) else {
            skip(test, "no PostgreSQL is installed here");
            // There is nothing to be stopped.
            cluster.url.clear();
            return None;
        };
        cluster.url = line(&started);
        Some(cluster)
    }

    pub(crate) fn again(&self) {
        run(&mut self.command("start")).unwrap();
    }

    pub(crate) fn stop(&self) {
        run(&mut self.command("stop")).unwrap();
    }

    pub(crate) fn kill(&self) {
        run(&mut self.command("kill")).unwrap();
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(script("postgres"));
        command.arg("--own").arg(self.directory.path()).arg(what);
        command
    }

    pub(crate) async fn run(&self, text: &str) {
        let client = crate::postgres::bare(&self.url).await.unwrap();
        client.batch_execute(text).await.unwrap();
    }

    /// The URL with another part after the port, and another user.
    pub(crate) fn url_of(&self, user: &str, host: &str, database: &str) -> String {
        let url = url::Url::parse(&self.url).unwrap();
        format!(
            "postgres://{user}@{host}:{}/{database}",
            url.port().unwrap()
        )
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.url.is_empty() {
            // It may be stopped already.
            let _ = self.command("kill").output();
        }
    }
}

/// A PgBouncer before a cluster. Gone when it is dropped.
pub(crate) struct Pooler {
    directory: tempfile::TempDir,
    /// Without a database.
    pub(crate) url: String,
}

impl Pooler {
    pub(crate) fn start(test: &str, cluster: &Cluster, mode: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let port = url::Url::parse(&cluster.url).unwrap().port().unwrap();
        let mut command = Command::new(script("pgbouncer"));
        command
            .arg(directory.path())
            .args(["start", mode, "127.0.0.1", &port.to_string()]);
        let Some(started) = run(&mut command) else {
            skip(test, "no pgbouncer is installed here");
            return None;
        };
        Some(Pooler {
            directory,
            url: line(&started),
        })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let mut command = Command::new(script("pgbouncer"));
        let _ = command.arg(self.directory.path()).arg("stop").output();
    }
}
