//! Two processes that share a directory of tokens.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lab_connector::simulator::Simulator;
use lab_connector::{Endpoints, FileTokenStore};
use tokio::task::JoinSet;

use super::support::{HOUR, Shifted, builder, pair};

/// How the test tells the processes that it starts where things are.
const URL: &str = "LAB_CONNECTOR_TEST_URL";
const TOKENS: &str = "LAB_CONNECTOR_TEST_TOKENS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_make_one_refresh() {
    let (clock, service) = (Shifted::default(), Simulator::start().await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let client = builder(&clock, service.endpoints())
        .token_store(FileTokenStore::open(&path).unwrap())
        .build()
        .unwrap();
    let lab = pair(&client, &service).await.unwrap();

    let url = format!("http://{}/", service.address());
    for round in 1..=3 {
        let [mut one, mut other] = [start(&url, &path, round), start(&url, &path, round)];
        let finished = tokio::task::spawn_blocking(move || {
            // Both are up; now at once.
            for child in [&mut one, &mut other] {
                wait_for("ready", child);
            }
            for child in [&mut one, &mut other] {
                let stdin = child.stdin.as_mut().unwrap();
                stdin.write_all(b"go\n").unwrap();
                stdin.flush().unwrap();
            }
            [one, other].map(|mut child| {
                wait_for("done", &mut child);
                child.wait().unwrap().success()
            })
        });
        assert_eq!(finished.await.unwrap(), [true, true]);
        assert_eq!(service.refreshes(), round);
    }
    assert_eq!(service.revoked_families(), 0);

    // This process has been asleep, and finds what the others stored.
    clock.advance(HOUR * 3);
    lab.orders().list().await.unwrap();
    assert_eq!(service.refreshes(), 3);
}

fn start(url: &str, tokens: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["token_life::processes::child", "--exact", "--ignored"])
        .arg("--nocapture")
        .env(URL, url)
        .env(TOKENS, tokens)
        .env("LAB_CONNECTOR_TEST_HOURS", round.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads byte by byte: nothing after the line is taken away.
fn wait_for(word: &str, child: &mut Child) {
    let stdout = child.stdout.as_mut().unwrap();
    let mut lines = BufReader::with_capacity(1, stdout).lines();
    let found = lines.any(|line| line.unwrap().contains(word));
    assert!(found, "the process ended before it said `{word}`");
}

#[tokio::test]
#[ignore = "one of the processes that two_processes_make_one_refresh starts"]
async fn child() {
    let (Ok(url), Ok(tokens)) = (std::env::var(URL), std::env::var(TOKENS)) else {
        eprintln!("nothing to do: two_processes_make_one_refresh starts this");
        return;
    };
    let hours: u32 = std::env::var("LAB_CONNECTOR_TEST_HOURS")
        .unwrap()
        .parse()
        .unwrap();
    let clock = Shifted::default();
    clock.advance(HOUR * hours);
    let client = builder(&clock, Endpoints::from_base_url(&url).unwrap())
        .token_store(FileTokenStore::open(tokens).unwrap())
        .build()
        .unwrap();
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let lab = client.account("L-1");
        calls.spawn(async move { lab.keep_access().await });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    client.account("L-1").orders().list().await.unwrap();
    println!("done");
}
