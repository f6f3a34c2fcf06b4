//! The example `spool`: folders are shown whole, once, and until they are answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use lab_connector::inbox::Inbox;
use lab_connector::inbox::store::SqliteStore;
use lab_connector::simulator::Simulator;
use lab_connector::{Client, Endpoints, OrderId};
use notify::Watcher;
use serde_json::Value;
use tokio::sync::Notify;

#[path = "../../examples/spool/folders.rs"]
mod folders;

use folders::Spool;

const DOCS: &str = include_str!("../../docs/spool.md");

const PLACE: &str = "SPOOL_TEST_PLACE";

/// For longer than this nothing happens only where something is broken.
const STUCK: Duration = Duration::from_secs(120);

/// Between two looks of the spool for answers.
const LOOK: Duration = Duration::from_millis(3);

/// Tells when something happens in the directories of a spool.
struct Watch {
    changed: Arc<Notify>,
    watcher: notify::RecommendedWatcher,
}

impl Watch {
    /// Folders appear and go in the spool, and move to `done`; in `.spool` the database is written.
    fn new(root: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let told = Arc::clone(&changed);
        // One event that was not waited for is kept: a change between a look and the wait is not missed.
        let watcher = notify::recommended_watcher(move |_| told.notify_one()).unwrap();
        let mut watch = Watch { changed, watcher };
        for place in [root, &root.join("done"), &root.join(".spool")] {
            watch.also(place);
        }
        watch
    }

    fn also(&mut self, directory: &Path) {
        let mode = notify::RecursiveMode::NonRecursive;
        self.watcher.watch(directory, mode).unwrap();
    }

    async fn until<T>(&self, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(STUCK, looking)
            .await
            .expect("nothing happens any more")
    }

    /// The first folder that is shown.
    async fn first(&self, root: &Path) -> (PathBuf, Value) {
        self.until(async || open(root).pop()).await
    }
}

async fn inbox(url: &str, spool: &mut Spool, shared: bool) -> (Client, Inbox) {
    spool.claim_for("L-1").unwrap();
    let store = SqliteStore::open(spool.cases()).await.unwrap();
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url(url).unwrap())
        .credentials("simulator", "simulator-secret")
        .redirect_url("https://lab.example/callback")
        .shared_files(shared)
        .token_store(store.clone())
        .build()
        .unwrap();
    let inbox = client.account("L-1").inbox(store);
    let second = Duration::from_secs(1);
    let inbox = inbox.claim_lease(second).interval(second);
    (client, inbox.failure_delays(LOOK, LOOK))
}

async fn sign_in(service: &Simulator, client: &Client) {
    let login = client.login("me");
    let request = login.authorize().unwrap();
    let redirected = service.consent(request.url()).unwrap();
    login.finish(&request, &redirected).await.unwrap();
    login.pair("L-1").await.unwrap();
}

/// Serves until the other side is through.
async fn serve(spool: &Spool, inbox: &Inbox, other_side: impl Future<Output = ()>) {
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let inbox = inbox.clone().concurrency(100).grace(Duration::ZERO);
    let ended = async { drop(ended.await) };
    let work = inbox.for_each_until(ended, |delivery| async move {
        spool.hand_over(&delivery, LOOK).await
    });
    let other_side = async {
        other_side.await;
        drop(end);
    };
    let (worked, ()) = futures_util::join!(work, other_side);
    worked.unwrap();
}

fn url(service: &Simulator) -> String {
    format!("http://{}/", service.address())
}

/// Folders that are shown and not answered. Each is whole.
fn open(root: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "done" || name == ".spool" {
            continue;
        }
        let answered = ["failed", "returned"].map(|answer| path.join(answer).exists());
        // A folder that is taken away meanwhile is no longer there at all.
        let Ok(text) = fs::read(path.join("delivery.json")) else {
            assert!(
                !path.exists() || answered.contains(&true),
                "{name}: not whole"
            );
            continue;
        };
        if answered.contains(&true) {
            continue;
        }
        let delivery: Value = serde_json::from_slice(&text).unwrap();
        let files = delivery["files"].as_array().unwrap();
        assert!(!files.is_empty());
        for file in files {
            let there = fs::metadata(path.join(file["name"].as_str().unwrap())).unwrap();
            assert_eq!(there.len(), file["bytes"].as_u64().unwrap(), "{name}");
        }
        found.push((path, delivery));
    }
    found
}

/// Not a test: what the test starts as a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that is killed"]
async fn the_process() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let [url, root]: [String; 2] = serde_json::from_str(&place).unwrap();
    let mut spool = Spool::open(Path::new(&root), false).unwrap();
    spool.tidy().unwrap();
    let (_, inbox) = inbox(&url, &mut spool, false).await;
    serve(&spool, &inbox, std::future::pending()).await;
}

/// Killed when it is dropped, also by a test that fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(url: &str, root: &Path) -> Process {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "spool::the_process", "--ignored"])
        .env(
            PLACE,
            serde_json::to_string(&[url, root.to_str().unwrap()]).unwrap(),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(child.unwrap())
}

/// `SPOOL_KILLS` says how often; scripts/soak does it 300 times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_spool_loses_no_folder_and_shows_none_twice() {
    let kills = std::env::var("SPOOL_KILLS").map_or(8, |kills| kills.parse().unwrap());
    let mut rng = Rng::with_seed(0x5eed);
    let service = Simulator::builder().seed(7).start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("spool");
    let mut spool = Spool::open(&root, false).unwrap();
    let (client, inbox) = inbox(&url(&service), &mut spool, false).await;
    sign_in(&service, &client).await;

    let watch = Watch::new(&root);
    // By order and ordinal: the folder's name.
    let mut names = BTreeMap::new();
    let mut answered = BTreeSet::new();
    let (mut failed, mut returned) = (0, BTreeSet::new());
    let mut scanned = BTreeSet::new();
    for round in 0..=kills {
        let last = round == kills;
        let process = start(&url(&service), &root);
        for _ in 0..2 {
            scanned.insert(service.scan("L-1").unwrap().as_str().to_owned());
        }
        let mut left = if last { usize::MAX } else { rng.usize(0..4) };
        let working = watch.until(async || {
            for (folder, delivery) in open(&root) {
                if left == 0 {
                    break;
                }
                left = left.saturating_sub(1);
                let order = delivery["orderId"].as_str().unwrap().to_owned();
                let key = (order.clone(), delivery["ordinal"].as_u64().unwrap());
                let name = folder.file_name().unwrap().to_owned();
                assert!(
                    !answered.contains(&key),
                    "round {round}: {key:?} is shown again"
                );
                assert_eq!(names.entry(key.clone()).or_insert(name.clone()), &name);
                match rng.u8(0..4) {
                    0 => {
                        fs::write(folder.join("failed"), "no room\n").unwrap();
                        failed += 1;
                    }
                    1 => {
                        fs::write(folder.join("returned"), "margin\n").unwrap();
                        answered.insert(key);
                        returned.insert(order);
                    }
                    _ => {
                        fs::rename(&folder, root.join("done").join(&name)).unwrap();
                        answered.insert(key);
                    }
                }
            }
            let all = last && answered.len() == scanned.len();
            let all = all && inbox.stats().await.unwrap().store.open == 0;
            (left == 0 || all).then_some(())
        });
        working.await;
        for _ in 0..rng.u32(0..4000) {
            tokio::task::yield_now().await;
        }
        drop(process);
    }
    let orders: BTreeSet<_> = answered.iter().map(|(order, _)| order.clone()).collect();
    assert_eq!(orders, scanned);
    assert_eq!(names.values().collect::<BTreeSet<_>>().len(), names.len());
    // No file of a folder that was taken away stays behind, wherever a process was killed.
    spool.tidy().unwrap();
    assert!(!root.join(".spool/incoming/removed").exists());
    // What was sent back is with the doctor, who can scan it again.
    for order in &returned {
        service.rescan(&OrderId::new(order)).unwrap();
    }
    println!(
        "{kills} killed: {} deliveries, {failed} failures, {} returned",
        names.len(),
        returned.len()
    );
}

/// The fields that the table of `delivery.json` names in a part of each of its rows.
fn documented(part: impl Fn(&'static str) -> Option<&'static str>) -> BTreeSet<&'static str> {
    let (_, table) = DOCS
        .split_once("| field | type | what |\n|---|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    // What is in backticks is every second piece.
    rows.filter_map(part)
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

fn keys(object: &Value) -> BTreeSet<&str> {
    let fields = object.as_object().unwrap();
    fields.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_done_comes_again_when_it_is_asked_for() {
    let service = Simulator::start().await.unwrap();
    // The short name of a directory on Windows has such a sign too.
    let directory = tempfile::Builder::new().prefix("lab~").tempdir().unwrap();
    let mut spool = Spool::open(directory.path(), false).unwrap();
    let (client, inbox) = inbox(&url(&service), &mut spool, false).await;
    sign_in(&service, &client).await;
    let order = service.scan("L-1").unwrap();
    let done = directory.path().join("done");
    let mut watch = Watch::new(directory.path());
    let other_side = async {
        let (folder, delivery) = watch.first(directory.path()).await;
        assert_eq!(delivery["isRepeated"], false);
        assert_eq!(delivery["accountId"], "L-1");
        assert_eq!(documented(|row| row.split('|').nth(1)), keys(&delivery));
        let file = |row: &'static str| row.contains("`files`").then_some(row.split('|').nth(3)?);
        assert_eq!(documented(file), keys(&delivery["files"][0]));
        // Without a line break it is not complete.
        fs::write(folder.join("failed"), "no ro").unwrap();
        fs::remove_file(folder.join("failed")).unwrap();
        let name = folder.file_name().unwrap().to_owned();
        fs::rename(&folder, done.join(&name)).unwrap();
        watch.also(&done.join(&name));
        let acknowledged = done.join(&name).join("acknowledged");
        watch
            .until(async || acknowledged.exists().then_some(()))
            .await;
        spool.set_aside(order.as_str()).unwrap();
        assert!(inbox.redeliver(&order).await.unwrap());
        let (folder, delivery) = watch.first(directory.path()).await;
        assert_eq!(delivery["isRepeated"], true);
        assert_eq!(folder.file_name().unwrap(), name);
        // A deleted folder was not taken over.
        fs::remove_dir_all(&folder).unwrap();
        let (folder, delivery) = watch.first(directory.path()).await;
        assert!(delivery["lastFailure"].as_str().unwrap().contains("done/"));
        fs::rename(&folder, done.join(&name)).unwrap();
        let open = async || inbox.stats().await.unwrap().store.open;
        watch
            .until(async || (open().await == 0).then_some(()))
            .await;
    };
    serve(&spool, &inbox, other_side).await;
    assert_eq!(fs::read_dir(&done).unwrap().count(), 2);
    let error = spool.claim_for("L-2").unwrap_err().to_string();
    assert!(
        error.contains("account L-1") && error.contains("--to"),
        "{error}"
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_reads_a_folder_only_where_the_lab_shares_it() {
    use std::os::unix::fs::PermissionsExt;
    let as_another = |program: &str, path: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
        command
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !as_another("ls", Path::new("/")) {
        println!("SKIPPED: not root, or there is no setpriv");
        return;
    }
    for shared in [false, true] {
        let service = Simulator::start().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), everybody.clone()).unwrap();
        let root = directory.path().join("spool");
        let mut spool = Spool::open(&root, shared).unwrap();
        assert_eq!(as_another("ls", &root), shared);
        let (client, inbox) = inbox(&url(&service), &mut spool, shared).await;
        sign_in(&service, &client).await;
        service.scan("L-1").unwrap();
        let other_side = async {
            let (folder, delivery) = Watch::new(&root).first(&root).await;
            // Also where an administrator has opened the directories above.
            fs::set_permissions(&root, everybody.clone()).unwrap();
            assert_eq!(as_another("ls", &folder), shared);
            fs::set_permissions(&folder, everybody.clone()).unwrap();
            let file = delivery["files"][0]["name"].as_str().unwrap();
            for name in ["delivery.json", file] {
                assert_eq!(as_another("cat", &folder.join(name)), shared, "{name}");
            }
            assert!(!as_another("ls", &root.join(".spool")));
        };
        serve(&spool, &inbox, other_side).await;
    }
}
