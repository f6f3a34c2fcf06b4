//! SQLite: the rules, what lasts, who may read, which version.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lab_connector::auth::check_token_store;
use lab_connector::inbox::store::{
    CaseKey, CaseStore, Commit, Forget, Outcome, Settlement, SqliteStore, check_case_store,
};
use lab_connector::{AccountId, OrderId};
use sqlx::{Connection, Row, SqliteConnection};

use super::support::{delivery, quiet};

const LONG: Duration = Duration::from_secs(600);

fn file(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("cases.db")
}

/// The file as any other program sees it.
async fn bare(path: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    SqliteConnection::connect_with(&options).await.unwrap()
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
    let mut connection = bare(&file(&directory)).await;
    let rows = sqlx::query("SELECT version FROM lab_connector_schema")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(SqliteStore::open(file(&directory)).await.unwrap());
    let mut connection = bare(&file(&directory)).await;
    sqlx::query("UPDATE lab_connector_schema SET version = 1000")
        .execute(&mut connection)
        .await
        .unwrap();
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
    let forgotten = store
        .forget(&account, Forget::Before(now), 1000)
        .await
        .unwrap();
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
    let mut other = bare(&path).await;
    // Changes when another connection writes.
    let version = async |other: &mut SqliteConnection| {
        let row = sqlx::query("PRAGMA data_version").fetch_one(other).await;
        row.unwrap().get::<i64, _>(0)
    };
    let before = version(&mut other).await;
    let id = OrderId::new("1");
    store.now(now).await.unwrap();
    store.account(&account, now).await.unwrap();
    store
        .expected(&account, &[id.clone(), "2".into()])
        .await
        .unwrap();
    store.find(&account, CaseKey::Order(&id)).await.unwrap();
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
    assert_eq!(version(&mut other).await, before);
    let commit = Commit::new(vec![delivery("2", 0, 1)]);
    assert!(store.commit(&account, &commit, now).await.unwrap());
    assert_ne!(version(&mut other).await, before);
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
