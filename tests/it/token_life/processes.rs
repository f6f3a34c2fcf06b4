//! Two processes that share their tokens: a directory, a file of SQLite, a database.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use lab_connector::inbox::store::{PostgresStore, SqliteStore};
use lab_connector::simulator::Simulator;
use lab_connector::{Endpoints, FileTokenStore, TokenStore};
use tokio::task::JoinSet;

use super::support::{HOUR, Shifted, builder, pair};
use crate::postgres::Schema;

/// How the test tells the processes that it starts where things are.
const URL: &str = "LAB_CONNECTOR_TEST_URL";
const TOKENS: &str = "LAB_CONNECTOR_TEST_TOKENS";

/// Where tokens are: the kind of place, the place, and the name of a schema in it.
type Place = [String; 3];

async fn open(place: &Place) -> Arc<dyn TokenStore> {
    let [kind, path, schema] = place;
    match kind.as_str() {
        "files" => Arc::new(FileTokenStore::open(path).unwrap()),
        "sqlite" => Arc::new(SqliteStore::open(path).await.unwrap()),
        "postgres" => {
            let builder = PostgresStore::builder(path).schema(schema);
            Arc::new(builder.max_connections(2).connect().await.unwrap())
        }
        other => panic!("{other}"),
    }
}

fn place(kind: &str, path: &str, schema: &str) -> Place {
    [kind, path, schema].map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_files_make_one_refresh() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    two_processes_make_one_refresh(place("files", path.to_str().unwrap(), "")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_sqlite_make_one_refresh() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.db");
    two_processes_make_one_refresh(place("sqlite", path.to_str().unwrap(), "")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_postgres_make_one_refresh() {
    if let Some(schema) = Schema::new("two_processes_with_postgres_make_one_refresh") {
        two_processes_make_one_refresh(place("postgres", &schema.url, &schema.name)).await;
    }
}

async fn two_processes_make_one_refresh(place: Place) {
    let (clock, service) = (Shifted::default(), Simulator::start().await.unwrap());
    let client = builder(&clock, service.endpoints())
        .token_store(open(&place).await)
        .build()
        .unwrap();
    let lab = pair(&client, &service).await.unwrap();

    let url = format!("http://{}/", service.address());
    for round in 1..=3 {
        let [mut one, mut other] = [(); 2].map(|()| start(&url, &place, round));
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

fn start(url: &str, place: &Place, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["token_life::processes::child", "--exact", "--ignored"])
        .arg("--nocapture")
        .env(URL, url)
        .env(TOKENS, serde_json::to_string(place).unwrap())
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
#[ignore = "one of the processes that the tests above start"]
async fn child() {
    let (Ok(url), Ok(tokens)) = (std::env::var(URL), std::env::var(TOKENS)) else {
        eprintln!("nothing to do: the tests above start this");
        return;
    };
    let hours: u32 = std::env::var("LAB_CONNECTOR_TEST_HOURS")
        .unwrap()
        .parse()
        .unwrap();
    let clock = Shifted::default();
    clock.advance(HOUR * hours);
    let client = builder(&clock, Endpoints::from_base_url(&url).unwrap())
        .token_store(open(&serde_json::from_str(&tokens).unwrap()).await)
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
