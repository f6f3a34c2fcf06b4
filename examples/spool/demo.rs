//! Both sides against the embedded simulator: three cases, of which one is sent back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use lab_connector::inbox::Inbox;
use lab_connector::simulator::Simulator;

use crate::Arguments;
use crate::folders::Spool;
use crate::simulated;

const CASES: usize = 3;

pub async fn run(arguments: &Arguments) -> Result<()> {
    let root = arguments.to.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("lab-connector-spool-{}", std::process::id()))
    });
    let mut spool = Spool::open(&root, arguments.shared)
        .with_context(|| format!("cannot use {}", root.display()))?;
    let service = Simulator::start()
        .await
        .context("cannot start the simulator")?;
    let client = simulated::client(&service)
        .shared_files(arguments.shared)
        .build()?;
    let login = simulated::sign_in(&client, &service, "demo").await?;
    let lab = login.pair("L-1").await?;
    for _ in 0..CASES {
        service.scan("L-1")?;
    }
    let inbox = crate::inbox(&mut spool, &lab, &Arc::default()).await?;
    let look = Duration::from_millis(arguments.look.min(100));
    let other_side = async {
        if !arguments.no_answers {
            answer(&root, look).await;
        }
        finished(&inbox, look).await;
    };
    crate::serve(arguments, &spool, &inbox, other_side).await?;
    println!("all {CASES} are answered: {}", root.join("done").display());
    Ok(())
}

/// What software in any language does, see `docs/spool.md`.
async fn answer(root: &Path, look: Duration) {
    let mut answered = 0;
    while answered < CASES {
        for folder in open(root) {
            let name = folder.file_name().unwrap_or_default();
            if answered == 0 {
                println!("{}  back to the doctor", name.display());
                let _ = fs::write(folder.join("returned"), "margin not visible on 14\n");
            } else {
                println!("{}  done", name.display());
                let _ = fs::rename(&folder, root.join("done").join(name));
            }
            answered += 1;
        }
        tokio::time::sleep(look).await;
    }
}

/// The folders without an answer.
fn open(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    folders
        .filter(|path| path.join("delivery.json").exists() && !path.join("returned").exists())
        .collect()
}

/// Until all are acknowledged.
async fn finished(inbox: &Inbox, look: Duration) {
    loop {
        if let Ok(stats) = inbox.stats().await
            && stats.store.arrivals >= CASES as u64
            && stats.store.open == 0
        {
            return;
        }
        tokio::time::sleep(look).await;
    }
}
