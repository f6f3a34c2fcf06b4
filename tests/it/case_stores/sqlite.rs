//! SQLite: the rules, what lasts, who may read, which version.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lab_connector::auth::{TokenKey, check_token_store};
use lab_connector::inbox::store::{
    CaseStore, Commit, Counts, Outcome, Settlement, SqliteStore, check_case_store,
};
use lab_connector::transport::{self, TransportError};
use lab_connector::{AccountId, Client, Endpoints, OrderId};
use rusqlite::Connection;

use super::support::{delivery, quiet};

const LONG: Duration = Duration::from_secs(600);

fn file(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("cases.db")
}

/// The file as any other program sees it.
fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(LONG).unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(file(&directory));
    check_case_store(open).await.unwrap();
    check_token_store(open).await.unwrap();
    // Several that have the same file open, as processes have.
    let (one, two) = tokio::join!(check_case_store(open), check_case_store(open));
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn what_was_kept_is_there_when_the_file_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    let commit = Commit::new(vec![delivery("1", 0, 1), delivery("2", 0, 1)]);
    assert!(store.commit(&account, &commit, now).await.unwrap());
    let claimed = store.claim(&account, "t", 1, LONG, now).await.unwrap();
    let failed = Settlement::new(
        claimed[0].sequence,
        "t".into(),
        Outcome::Released {
            after: Duration::ZERO,
            failure: Some("no".into()),
        },
    );
    assert_eq!(
        store.settle(&account, &[failed], now).await.unwrap(),
        [true]
    );
    let before = store.cases(&account, None, 10).await.unwrap();
    drop(store);

    let store = SqliteStore::open(file(&directory)).await.unwrap();
    assert_eq!(store.cases(&account, None, 10).await.unwrap(), before);
    let claimed = store.claim(&account, "u", 9, LONG, now).await.unwrap();
    assert_eq!(claimed.len(), 2);
    assert_eq!(claimed[0].attempts, 2);
    assert_eq!(claimed[0].failure.as_deref(), Some("no"));
}

/// Somebody tidied up by hand. The other orders are delivered, and this one is seen to fail.
#[tokio::test]
async fn a_delivery_whose_data_are_gone_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    let account = AccountId::new("L-1");
    let commit = Commit::new(vec![delivery("1", 0, 1), delivery("2", 0, 1)]);
    let now = SystemTime::now();
    assert!(store.commit(&account, &commit, now).await.unwrap());
    let text = "DELETE FROM lab_connector_orders WHERE order_id = '1'";
    assert_eq!(bare(&file(&directory)).execute(text, []).unwrap(), 1);

    let client = Client::builder()
        .endpoints(Endpoints::from_base_url("https://service.example/").unwrap())
        .credentials("id", "secret")
        .transport(transport::from_fn(|_| async {
            Err::<http::Response<transport::Body>, _>(TransportError::timeout("nobody is there"))
        }))
        .build()
        .unwrap();
    let inbox = client.account(account).inbox(store);
    let claimed = inbox.claim(9).await.unwrap();
    let ids: Vec<_> = claimed.iter().map(|one| one.order_id().as_str()).collect();
    assert_eq!(ids, ["2"]);
    let counts = inbox.stats().await.unwrap().store;
    assert_eq!((counts.failed, counts.hidden), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut openings = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let path = file(&directory);
        openings.spawn(async move { SqliteStore::open(path).await.map(drop) });
    }
    while let Some(opened) = openings.join_next().await {
        opened.unwrap().unwrap();
    }
    let text = "SELECT count(*) FROM lab_connector_schema";
    let rows = bare(&file(&directory)).query_row(text, [], |row| row.get::<_, i64>(0));
    assert_eq!(rows.unwrap(), 1);
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(file(&directory)).await.unwrap());
    let text = "UPDATE lab_connector_schema SET version = 1000";
    bare(&file(&directory)).execute(text, []).unwrap();
    let error = SqliteStore::open(file(&directory)).await.unwrap_err();
    assert!(error.is_store());
    let text = error.to_string();
    assert!(text.contains("version 1000, made by a newer"), "{text}");
}

#[tokio::test]
async fn what_is_no_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(
        &path,
        "a note, longer than the header of a database ".repeat(9),
    )
    .unwrap();
    make_private(&path);
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(
        error.is_store() && error.report().contains("not a database"),
        "{}",
        error.report()
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let nowhere = directory.path().join("none").join("cases.db");
    let error = SqliteStore::open(nowhere).await.unwrap_err();
    assert!(error.is_store(), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    store
        .commit(
            &"L-1".into(),
            &Commit::new(vec![delivery("1", 0, 1)]),
            SystemTime::now(),
        )
        .await
        .unwrap();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
    }
    drop(store);
    std::fs::set_permissions(file(&directory), PermissionsExt::from_mode(0o640)).unwrap();
    let error = SqliteStore::open(file(&directory)).await.unwrap_err();
    assert!(
        error.is_store() && error.to_string().contains("600"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_forgotten_is_in_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    let found = || {
        let files = std::fs::read_dir(directory.path()).unwrap();
        let mut files = files.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.any(|bytes| {
            bytes
                .windows(16)
                .any(|window| window == b"Patient-Canary-1")
        })
    };
    for number in 0..50 {
        let commit = Commit::new(vec![quiet(&format!("{number}"), "Patient-Canary-1")]);
        assert!(store.commit(&account, &commit, now).await.unwrap());
    }
    assert!(found());
    let forgotten = store.forget_before(&account, now, 1000).await.unwrap();
    assert_eq!(forgotten, 50);
    assert!(!found());
}

#[tokio::test]
async fn reading_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let store = SqliteStore::open(&path).await.unwrap();
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    let commit = Commit::new(vec![delivery("1", 0, 1)]);
    assert!(store.commit(&account, &commit, now).await.unwrap());
    let other = bare(&path);
    // Changes when another connection writes.
    let version = || {
        let version = other.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0));
        version.unwrap()
    };
    let before = version();
    let id = OrderId::new("1");
    store.now(now).await.unwrap();
    store.account(&account, now).await.unwrap();
    store.expected(&account).await.unwrap();
    store
        .find_all(&account, &[id.clone(), "2".into()], &[])
        .await
        .unwrap();
    store.find(&account, &id).await.unwrap();
    store.due(&account, now, 10).await.unwrap();
    store.arrivals(&account, 0, 10).await.unwrap();
    store.cases(&account, None, 10).await.unwrap();
    store.counts(&account, now).await.unwrap();
    assert!(
        store
            .commit(&account, &Commit::default(), now)
            .await
            .unwrap()
    );
    assert!(
        store
            .claim(&account, "t", 0, LONG, now)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .claim(&"L-2".into(), "t", 9, LONG, now)
            .await
            .unwrap()
            .is_empty()
    );
    drop(SqliteStore::open(&path).await.unwrap());
    assert_eq!(version(), before);
    let commit = Commit::new(vec![delivery("2", 0, 1)]);
    assert!(store.commit(&account, &commit, now).await.unwrap());
    assert_ne!(version(), before);
}

#[tokio::test]
async fn ids_with_a_nul_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    super::ids_with_a_nul_are_kept(&store).await;
}

fn make_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let _ = path;
}

#[tokio::test]
async fn a_file_that_was_deleted_or_replaced_is_noticed() {
    for replaced in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = file(&directory);
        let store = SqliteStore::open(&path).await.unwrap();
        let (account, now) = (AccountId::new("L-1"), SystemTime::now());
        let commit = Commit::new(vec![delivery("1", 0, 1)]);
        assert!(store.commit(&account, &commit, now).await.unwrap());
        std::fs::rename(&path, directory.path().join("elsewhere.db")).unwrap();
        if replaced {
            std::fs::write(&path, "").unwrap();
        }
        let commit = Commit::new(vec![delivery("2", 0, 1)]);
        let written = store.commit(&account, &commit, now).await.map(drop);
        let read = store.counts(&account, now).await.map(drop);
        for error in [written.unwrap_err(), read.unwrap_err()] {
            assert!(error.is_store() && !error.is_retryable(), "{error:?}");
            let text = error.to_string();
            assert!(text.contains("deleted or replaced"), "{text}");
        }
    }
}

/// Whatever fails in the middle of a commit, nothing of it remains, and the store goes on; also where
/// SQLite has rolled back by itself.
#[tokio::test]
async fn a_commit_that_fails_in_the_middle_leaves_nothing() {
    for how in ["ABORT", "ROLLBACK", "FAIL"] {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(file(&directory)).await.unwrap();
        let (account, now) = (AccountId::new("L-1"), SystemTime::now());
        let text = format!(
            "CREATE TRIGGER no BEFORE INSERT ON lab_connector_deliveries WHEN new.order_id = '2'
             BEGIN SELECT RAISE({how}, 'no'); END"
        );
        bare(&file(&directory)).execute_batch(&text).unwrap();
        let commit = Commit::new(vec![delivery("1", 0, 1), delivery("2", 0, 1)]);
        let error = store.commit(&account, &commit, now).await.unwrap_err();
        assert!(
            error.is_store() && !error.is_retryable(),
            "{how}: {error:?}"
        );
        assert_eq!(
            store.counts(&account, now).await.unwrap(),
            Counts::default()
        );
        let commit = Commit::new(vec![delivery("1", 0, 1)]);
        assert!(store.commit(&account, &commit, now).await.unwrap());
        assert_eq!(store.counts(&account, now).await.unwrap().open, 1);
    }
}

/// A full disk is an error that heals: SQLite rolls back by itself then.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_heals_when_there_is_room_again() {
    use lab_connector::TokenStore;

    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(directory.path()) else {
        let line = "a_full_disk_heals_when_there_is_room_again: SKIPPED, tmpfs cannot be mounted\n";
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
        return;
    };
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    let ballast = directory.path().join("ballast");
    let (mut kept, mut failures) = (0, 0);
    for number in 0..1000 {
        if number == 20 {
            // Until nothing more fits in.
            std::fs::write(&ballast, vec![1; 64 << 20]).unwrap_err();
        }
        let commit = Commit::new(vec![delivery(&number.to_string(), 0, 1)]);
        match store.commit(&account, &commit, now).await {
            Ok(done) => {
                assert!(done);
                kept += 1;
            }
            Err(error) => {
                assert!(error.is_store() && error.is_retryable(), "{error:?}");
                assert!(error.to_string().contains("full"), "{error}");
                let key = TokenKey::Login("me".into());
                let probed = store.probe(&key).await.unwrap_err();
                assert!(probed.is_retryable(), "{probed:?}");
                failures += 1;
                assert_eq!(store.counts(&account, now).await.unwrap().cases, kept);
            }
        }
        if failures == 5 {
            std::fs::remove_file(&ballast).unwrap();
            failures += 1;
        }
        if failures > 5 && kept > 40 {
            break;
        }
    }
    assert_eq!(failures, 6, "it was never full, or never had room again");
    let other = SqliteStore::open(file(&directory)).await.unwrap();
    let counts = other.counts(&account, now).await.unwrap();
    assert_eq!((counts.cases, counts.open), (kept, kept));
    drop((store, other, disk));
}

/// 16 MiB, more than the write-ahead log grows to; gone when it is dropped.
#[cfg(target_os = "linux")]
struct Disk(PathBuf);

#[cfg(target_os = "linux")]
impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=16m", "none"])
            .arg(at);
        let output = mount.output().ok()?;
        output.status.success().then(|| Disk(at.to_owned()))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the threads of a store close their files a moment after it.
        let mut unmount = std::process::Command::new("umount");
        let _ = unmount.arg("-l").arg(&self.0).output();
    }
}

/// What a vendor asks a database, by tables and views that are documented.
#[tokio::test]
async fn others_can_ask_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    super::support::some_cases(&store).await;
    let connection = bare(&file(&directory));
    for (text, expected) in super::support::QUESTIONS {
        let text = text.replace('@', "lab_connector_");
        let mut statement = connection.prepare(&text).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        let rows: Vec<_> = rows.map(Result::unwrap).collect();
        assert_eq!(rows, *expected, "{text}");
    }
    let times = "SELECT arrived_at > datetime('now', '-1 hour') AND arrived_at <= datetime('now', '+1 minute')
        FROM lab_connector_open_work";
    assert!(
        connection
            .query_row(times, [], |row| row.get::<_, bool>(0))
            .unwrap()
    );
}

const POLLED: &str = "SQLITE_TEST_POLLED";

/// A process that was killed holds up nobody: the lock that it had on its file is gone.
#[tokio::test]
async fn who_comes_after_a_killed_process_polls_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "case_stores::sqlite::the_process", "--ignored"])
        .arg("--nocapture")
        .env(POLLED, file(&directory))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(out).map(Result::unwrap);
    assert!(lines.any(|line| line.contains("it polls")));
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    let ask = async |process: &str| {
        let right = store.poll_right(&account, process, LONG, now).await;
        right.unwrap().is_none()
    };
    assert!(!ask("second").await, "it lives");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ask("second").await, "it is dead");
    assert!(!ask("third").await, "the second lives");
    let files = std::fs::read_dir(directory.path()).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let locks = names.filter(|name| name.contains("-process-")).count();
    assert_eq!(locks, 2, "the dead leave nothing");
}

/// Not a test: the process that is killed.
#[tokio::test]
#[ignore = "the process that is killed"]
async fn the_process() {
    let Ok(path) = std::env::var(POLLED) else {
        return;
    };
    let store = SqliteStore::open(path).await.unwrap();
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    let right = store.poll_right(&account, "first", LONG, now).await;
    assert_eq!(right.unwrap(), None);
    std::io::Write::write_all(&mut std::io::stdout(), b"it polls\n").unwrap();
    // Until it is killed, or the test has gone.
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    std::thread::sleep(LONG);
}

/// Many accounts of a process cost one write now and then, and no more.
#[tokio::test]
async fn ten_thousand_accounts_ask_without_writing() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(file(&directory)).await.unwrap();
    let now = SystemTime::now();
    let lease = Duration::from_secs(45);
    let accounts: Vec<AccountId> = (0..200)
        .map(|number| format!("L-{number}").into())
        .collect();
    let other = bare(&file(&directory));
    let version = || {
        let version = other.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0));
        version.unwrap()
    };
    let ask = async |later: u64| {
        let mut writes = 0;
        for account in &accounts {
            let before = version();
            let now = now + Duration::from_secs(later);
            let right = store.poll_right(account, "a", lease, now).await.unwrap();
            assert_eq!(right, None);
            writes += u32::from(version() != before);
        }
        writes
    };
    assert_eq!(ask(0).await, 200);
    assert_eq!(ask(15).await, 0);
    assert_eq!(ask(30).await, 1);
    assert_eq!(ask(45).await, 0);
    // It was stopped for longer than it had said that it lives: any of them may be another's.
    let process = SqliteStore::open(file(&directory)).await.unwrap();
    let later = now + Duration::from_secs(150);
    let right = process.poll_right(&accounts[5], "b", lease, later).await;
    assert_eq!(right.unwrap(), None);
    let later = now + Duration::from_secs(190);
    for (number, granted) in [(4, true), (5, false), (6, true)] {
        let right = store.poll_right(&accounts[number], "a", lease, later).await;
        assert_eq!(right.unwrap().is_none(), granted, "{number}");
    }
}
