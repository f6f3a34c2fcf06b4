//! A downloading process is killed again and again; what is under the final name is whole.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use lab_connector::Order;
use lab_connector::retry::RetryPolicy;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::downloads_server::{Framing, Server, asked, honest};
use crate::support::{TestClock, builder, order, store};

const ETAG: &str = "\"version-a\"";

fn file() -> Order {
    order(json!({
        "orderId": "order-88", "status": "Ready for Download",
        "assets": [{ "assetId": "asset-66", "type": "FILE" }],
    }))
}

/// Not a test: what the tests start as a process of its own.
#[tokio::test]
#[ignore = "the process that is killed"]
async fn the_process() {
    let (Ok(url), Ok(target)) = (
        std::env::var("DOWNLOAD_URL"),
        std::env::var("DOWNLOAD_TARGET"),
    ) else {
        return;
    };
    let clock = TestClock::new();
    let client = builder(&url, &clock).token_store(store(&clock, 3600).await);
    let lab = client.build().unwrap().account("account-77");
    let order = file();
    let download = lab.download(&order, &order.assets()[0]);
    if let Err(error) = download.to_file(target).await {
        // The exit code says which.
        std::process::exit(if error.is_disk_full() { 3 } else { 4 });
    }
}

fn process(server: &Server, target: &Path, shell: &str) -> Child {
    let mut command = if shell.is_empty() {
        Command::new(std::env::current_exe().unwrap())
    } else {
        let mut command = Command::new("sh");
        let script = format!("{shell}; exec \"$0\" \"$@\"");
        command
            .arg("-c")
            .arg(script)
            .arg(std::env::current_exe().unwrap());
        command
    };
    command
        .args(["--exact", "downloads_crash::the_process", "--ignored"])
        .env("DOWNLOAD_URL", server.url())
        .env("DOWNLOAD_TARGET", target)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// `DOWNLOAD_KILLS` says how often; scripts/soak does it 200 times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_what_another_one_finishes() {
    let kills = std::env::var("DOWNLOAD_KILLS").map_or(8, |kills| kills.parse().unwrap());
    let mut random = fastrand_like(0x5eed);
    let content: Vec<u8> = (0..6 << 20).map(|_| random() as u8).collect();
    let digest = Sha256::digest(&content);
    let server = Server::start().await;
    let lab = server.lab(RetryPolicy::never()).await;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("case.zip");
    let (mut resumed, mut was_whole, mut unfinished) = (0, 0, 0);
    for round in 0..kills {
        // Breaks off after some bytes in most rounds, so that it is killed in its middle too; it
        // then asks again, and is answered with a little more.
        let step = 1 + random() as usize % (2 << 20);
        let source = content.clone();
        let (asking, mut asked_for) = tokio::sync::mpsc::unbounded_channel();
        server.play(move |number, request| {
            // The test may have ended its round.
            let _ = asking.send(number);
            let mut answer = honest(request, Some(ETAG), &source, Framing::Length);
            answer.truncate(answer.len().min(step + 200));
            answer
        });
        let mut child = process(&server, &target, "");
        // After some requests, and then at a random moment, told by work instead of by time.
        // Never for more than it takes to have all.
        let needed = (content.len() / (step + 200)) as u64;
        for _ in 0..=(random() % 5).min(needed) {
            if asked_for.recv().await.is_none() {
                break;
            }
        }
        for _ in 0..random() % 4000 {
            tokio::task::yield_now().await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if target.exists() {
            was_whole += 1;
        } else {
            unfinished += 1;
        }
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("part") => assert_eq!(bytes[..], content[..bytes.len()], "round {round}"),
                Some("json" | "new") => {}
                _ => assert_eq!(Sha256::digest(&bytes), digest, "round {round}"),
            }
        }

        let left =
            std::fs::metadata(target.with_extension("zip.part")).map_or(0, |part| part.len());
        let state = std::fs::read_to_string(target.with_extension("zip.part.json"));
        let source = content.clone();
        server.play(move |_, request| honest(request, Some(ETAG), &source, Framing::Length));
        let order = file();
        let download = lab.download(&order, &order.assets()[0]);
        download.to_file(&target).await.unwrap();
        let requests = server.requests();
        // One of the killed process may still have been under way before it.
        let last = requests.last().unwrap();
        let from = last.contains("range: ").then(|| asked(last, ETAG));
        if cfg!(target_os = "linux") && left > 1 {
            assert!(
                from.flatten().is_some(),
                "round {round}: {left} bytes were not used; {state:?} {requests:?}"
            );
            resumed += 1;
        }
        assert_eq!(Sha256::digest(std::fs::read(&target).unwrap()), digest);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        std::fs::remove_file(&target).unwrap();
    }
    println!(
        "{kills} killed: {unfinished} unfinished, {resumed} resumed, {was_whole} whole by then"
    );
    assert!(resumed > 0 || !cfg!(target_os = "linux"));
}

/// A limit on the size of files stands in for a full disk.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_leaves_nothing_under_the_name_and_is_resumed_later() {
    let content = vec![7; 1 << 20];
    let server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("case.zip");
    let source = content.clone();
    server.play(move |_, request| honest(request, Some(ETAG), &source, Framing::Length));
    // In blocks of 512 bytes.
    let mut child = process(&server, &target, "trap '' XFSZ; ulimit -f 1024");
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert_eq!(status.await.unwrap().code(), Some(3));
    assert!(!target.exists());
    let lab = server.lab(RetryPolicy::never()).await;
    let order = file();
    let download = lab.download(&order, &order.assets()[0]);
    download.to_file(&target).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), content);
    let last = server.requests().pop().unwrap();
    assert!(asked(&last, ETAG).is_some_and(|from| (1..=512 * 1024).contains(&from)));
}

/// Numbers that look random, the same in each run.
fn fastrand_like(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    }
}
