//! What keeping cases costs: `cargo bench --bench inbox`, or `scripts/figures inbox` for the
//! figures that the project holds itself to.
//!
//! The stores on databases are measured beside the same work written by hand with the same drivers,
//! on the same tables with the same indexes and at the same durability; on PostgreSQL by statements
//! without names and with nothing set for longer than a transaction, as a pooler wants it. Files are below `target`, on a
//! disk that must sync them. PostgreSQL is measured where `LAB_CONNECTOR_POSTGRES_URL` names one.

mod service;
mod workers;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use criterion::Criterion;
use lab_connector::inbox::MemoryStore;
use lab_connector::inbox::store::{Case, CaseStore, Commit, NewArrival, Save, SqliteStore};
use lab_connector::{AccountId, Order, OrderId, OrderStatus};
use lab_connector_benches::{Figures, best_of_three, figures_wanted};
use rusqlite::{Connection, params};
use serde_json::json;
use tokio::runtime::Runtime;
use workers::Workers;

const ORDERS: usize = 10_000;
const LISTED: usize = 1000;
const STORED: usize = 1_000_000;
const BATCH: usize = 20;
const BATCHED: usize = 500;
const HIDDEN: usize = 50_000;
const LEASE: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let runtime = runtime();
    if figures_wanted() {
        return figures(&runtime);
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("sqlite_commit_10000");
    group.sample_size(10);
    let first = first_poll(ORDERS);
    group.bench_function("store", |b| {
        b.iter_custom(|times| (0..times).map(|_| commit(&runtime, &first)).sum());
    });
    group.bench_function("bare", |b| {
        b.iter_custom(|times| (0..times).map(|_| bare_commit(&runtime, &first)).sum());
    });
    group.finish();
    let polled = Polled::new(&runtime, LISTED);
    criterion.bench_function("sqlite_expected_1000", |b| {
        b.iter(|| polled.expected(&runtime));
    });
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// What the project holds itself to.
///
/// What is compared takes turns, and the median of the turns' ratios counts. A figure is the
/// best of three such medians: a neighbour on the machine can spoil one, none can improve it.
fn figures(runtime: &Runtime) -> ExitCode {
    let mut figures = Figures::default();

    let first = first_poll(ORDERS);
    let ratio = best_of_three(5, f64::min, || {
        let ours = commit(runtime, &first);
        let bare = bare_commit(runtime, &first);
        ours.as_secs_f64() / bare.as_secs_f64()
    });
    figures.at_most("inbox_sqlite_first_poll_10000_per_bare", ratio, 1.5);
    drop(first);

    let (few, many) = (Polled::new(runtime, LISTED), Polled::new(runtime, STORED));
    let ratio = best_of_three(31, f64::min, || {
        many.expected(runtime).as_secs_f64() / few.expected(runtime).as_secs_f64()
    });
    figures.at_most("inbox_sqlite_poll_1000_of_1000000_per_of_1000", ratio, 1.2);
    drop((few, many));

    let directory = directory();
    let store = SqliteStore::open(directory.path().join("cases.db"));
    let store = runtime.block_on(store).expect("a store");
    let time = claim_behind_hidden(runtime, &store);
    figures.at_most("inbox_sqlite_claim_behind_50000_ms", time, 5.0);
    drop(store);

    match std::env::var("LAB_CONNECTOR_POSTGRES_URL") {
        Ok(url) => {
            let workers = Workers::new(runtime, &url);
            let time = claim_behind_hidden(runtime, &workers.store);
            figures.at_most("inbox_postgres_claim_behind_50000_ms", time, 5.0);
            let ratio = best_of_three(5, f64::max, || {
                let ours = workers.drain(runtime);
                let bare = workers.bare_drain(runtime);
                bare.as_secs_f64() / ours.as_secs_f64()
            });
            workers.drop_schema(runtime);
            figures.at_least("inbox_postgres_4_workers_rate_per_bare", ratio, 0.7);
        }
        Err(_) => eprintln!("PostgreSQL: SKIPPED, LAB_CONNECTOR_POSTGRES_URL is not set"),
    }

    figures.end()
}

/// How many milliseconds a claim takes behind 50,000 deliveries that others hold; the median.
fn claim_behind_hidden(runtime: &Runtime, store: &impl CaseStore) -> f64 {
    let account = AccountId::new(format!("{:016x}", fastrand::u64(..)));
    runtime.block_on(async {
        // Without leave to wait for its statistics, as after a first poll.
        let hidden = first_poll(HIDDEN);
        let done = store.commit(&account, &hidden, start()).await;
        assert!(done.expect("a commit"));
        let claimed = store.claim(&account, "others", HIDDEN, LEASE, start());
        assert_eq!(claimed.await.expect("a claim").len(), HIDDEN);
        let mut times = Vec::new();
        for number in 0..31 {
            let order = order(HIDDEN + number);
            let save = Save::new(
                case(HIDDEN + number, OrderStatus::ReadyForDownload),
                Some(Arc::new(order)),
                vec![NewArrival::new(0, Some(1))],
            );
            let commit = Commit::new(vec![save]);
            let done = store.commit(&account, &commit, start()).await;
            assert!(done.expect("a commit"));
            let token = format!("token {number}");
            let begin = Instant::now();
            let claimed = store.claim(&account, &token, BATCH, LEASE, start());
            assert_eq!(claimed.await.expect("a claim").len(), 1);
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// What the first poll of an account keeps: for each order its case, its data and an arrival.
fn first_poll(count: usize) -> Commit {
    let saves = (0..count).map(|number| {
        Save::new(
            case(number, OrderStatus::ReadyForDownload),
            Some(Arc::new(order(number))),
            vec![NewArrival::new(0, Some(1))],
        )
    });
    let mut commit = Commit::new(saves.collect());
    commit.coverage = serde_json::from_value(json!({ "first": START, "last": START })).ok();
    commit
}

/// In milliseconds.
const START: u64 = 1_773_480_413_000;

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(START)
}

fn id(number: usize) -> OrderId {
    OrderId::new((100_000_000 + number).to_string())
}

/// A case as the inbox makes it of an order that is listed.
fn case(number: usize, status: OrderStatus) -> Case {
    static READY: OnceLock<String> = OnceLock::new();
    static DOWNLOADED: OnceLock<String> = OnceLock::new();
    let known = match status {
        OrderStatus::ReadyForDownload => &READY,
        _ => &DOWNLOADED,
    };
    let state = known.get_or_init(|| recorded(&status));
    // Of all that is recorded only the ids of the files bear the order's number.
    let state = state.replace("\"0-", &format!("\"{number}-"));
    let rx_id = Some(format!("rx-{number}").into());
    Case::from_stored(id(number), rx_id, 0, 0, &state).expect("a case")
}

/// What an inbox records of order number 0: what was downloaded has left the listings too, and a
/// poll does not read it.
fn recorded(status: &OrderStatus) -> String {
    let mut order = serde_json::to_value(order(0)).expect("an order");
    order["status"] = json!(status.as_str());
    let body = json!({ "orders": [order] }).to_string();
    runtime().block_on(async {
        let store = MemoryStore::new();
        let body = Mutex::new(bytes::Bytes::from(body));
        let body = Arc::new(body);
        let answer = Arc::clone(&body);
        let lab = service::lab(move |_| Some(answer.lock().expect("a body").clone())).await;
        let inbox = lab.inbox(store.clone());
        inbox.poll().await.expect("a poll");
        if *status == OrderStatus::Downloaded {
            *body.lock().expect("a body") = bytes::Bytes::from_static(br#"{"orders": []}"#);
            for _ in 0..4 {
                inbox.poll().await.expect("a poll");
            }
        }
        let cases = store.cases(lab.id(), None, 1).await.expect("cases");
        let case = &cases[0].case;
        assert_eq!(case.is_expected(), *status == OrderStatus::ReadyForDownload);
        case.to_json().expect("a record")
    })
}

/// About 1.5 kB.
fn order(number: usize) -> Order {
    let asset = |kind: &str, size: usize| {
        json!({
            "assetId": format!("{number}-{kind}"), "type": kind, "size": size,
            "modifiedAt": "2026-03-14T09:26:53.000Z",
            "url": format!(
                "https://files.example/{number}/{kind}?expires=1773480413&signature={}",
                "0123456789abcdef".repeat(8)
            ),
        })
    };
    let teeth =
        [13, 14, 15].map(|tooth| json!({ "adaId": tooth, "material": "Zirconia", "shade": "A2" }));
    let order = json!({
        "orderId": id(number), "rxId": format!("rx-{number}"), "accountNumber": "1",
        "status": "Ready for Download", "createdAt": "2026-03-14T09:26:53.000Z",
        "modifiedAt": "2026-03-14T10:26:53.000Z",
        "assets": [asset("IDE", 48_123_456 + number), asset("IMAGE_GALLERY", 234_567)],
        "patient": { "firstName": "Ann", "lastName": "Doe", "chartNumber": number },
        "doctor": { "name": "Dr. Roe", "licence": "12345", "clinic": "Dental Clinic Example" },
        "procedure": "Fixed Restorative", "dueDate": "2026-03-21", "teeth": teeth,
        "notes": "Margins as marked. Please call before you mill. ".repeat(6),
    });
    serde_json::from_value(order).expect("an order")
}

/// A directory on a disk.
fn directory() -> tempfile::TempDir {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    tempfile::tempdir_in(target).expect("a directory")
}

/// One commit into a new file.
fn commit(runtime: &Runtime, commit: &Commit) -> Duration {
    let directory = directory();
    runtime.block_on(async {
        let store = SqliteStore::open(directory.path().join("cases.db"));
        let store = store.await.expect("a store");
        let begin = Instant::now();
        let done = store.commit(&AccountId::new("L-1"), commit, start()).await;
        assert!(done.expect("a commit"));
        begin.elapsed()
    })
}

/// The same rows, by hand.
fn bare_commit(runtime: &Runtime, commit: &Commit) -> Duration {
    let directory = directory();
    let path = directory.path().join("cases.db");
    runtime.block_on(async {
        drop(SqliteStore::open(&path).await.expect("a store"));
    });
    let mut connection = bare(&path);
    let begin = Instant::now();
    insert(&mut connection, commit).expect("inserts");
    begin.elapsed()
}

fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a connection");
    let settings =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";
    connection.execute_batch(settings).expect("settings");
    connection
}

/// Rows in batches, as one would write them. Values are bound by their position.
fn insert(connection: &mut Connection, commit: &Commit) -> rusqlite::Result<()> {
    let millis = i64::try_from(START).expect("a time");
    let transaction = connection.transaction()?;
    let coverage = serde_json::to_string(&commit.coverage).expect("JSON");
    let count = i64::try_from(commit.saves.len()).expect("a small number");
    transaction.execute(
        "INSERT INTO lab_connector_accounts (account, coverage, sequence, cases) VALUES ('L-1', ?1, ?2, ?2)",
        params![coverage, count],
    )?;
    let mut sequence = 0_i64;
    for saves in commit.saves.chunks(BATCHED) {
        let write = |table: &str, columns: &str, rows: Vec<Vec<rusqlite::types::Value>>| {
            let places = vec!["?"; columns.split(',').count()].join(", ");
            let rows_of_places = vec![format!("({places})"); rows.len()].join(", ");
            let text =
                format!("INSERT INTO lab_connector_{table} ({columns}) VALUES {rows_of_places}");
            let mut statement = transaction.prepare_cached(&text)?;
            let values = rows.into_iter().flatten();
            statement.execute(rusqlite::params_from_iter(values))
        };
        let id = |save: &Save| save.case.order_id().as_str().to_owned();
        write(
            "cases",
            "account, order_id, rx_id, version, revision, status, stage, listed, given_up, changed_at, state",
            saves
                .iter()
                .map(|save| {
                    let rx_id = save.case.rx_id().map(|rx_id| rx_id.as_str().to_owned());
                    vec![
                        "L-1".to_owned().into(),
                        id(save).into(),
                        rx_id.into(),
                        1_i64.into(),
                        1_i64.into(),
                        "Ready for Download".to_owned().into(),
                        "ready_for_download".to_owned().into(),
                        1_i64.into(),
                        0_i64.into(),
                        millis.into(),
                        save.case.to_json().expect("a record").into(),
                    ]
                })
                .collect(),
        )?;
        write(
            "orders",
            "account, order_id, data",
            saves
                .iter()
                .map(|save| {
                    let data = serde_json::to_string(&save.order.as_deref()).expect("JSON");
                    vec!["L-1".to_owned().into(), id(save).into(), data.into()]
                })
                .collect(),
        )?;
        let numbered = || (sequence + 1..).zip(saves);
        write(
            "arrivals",
            "account, sequence, order_id, position, ordinal, status, arrived_at",
            numbered()
                .map(|(sequence, save)| {
                    vec![
                        "L-1".to_owned().into(),
                        sequence.into(),
                        id(save).into(),
                        0_i64.into(),
                        1_i64.into(),
                        "Ready for Download".to_owned().into(),
                        millis.into(),
                    ]
                })
                .collect(),
        )?;
        write(
            "deliveries",
            "account, sequence, order_id, position, ordinal, arrived_at",
            numbered()
                .map(|(sequence, save)| {
                    vec![
                        "L-1".to_owned().into(),
                        sequence.into(),
                        id(save).into(),
                        0_i64.into(),
                        1_i64.into(),
                        millis.into(),
                    ]
                })
                .collect(),
        )?;
        sequence += i64::try_from(saves.len()).expect("a small number");
    }
    transaction.commit()
}

/// A file of cases of which 1,000 are listed, spread over all of them.
struct Polled {
    store: SqliteStore,
    _directory: tempfile::TempDir,
}

impl Polled {
    fn new(runtime: &Runtime, stored: usize) -> Self {
        let directory = directory();
        let account = AccountId::new("L-1");
        let store = SqliteStore::open(directory.path().join("cases.db"));
        let store = runtime.block_on(store).expect("a store");
        let every = stored / LISTED;
        for begin in (0..stored).step_by(20_000) {
            let saves = (begin..stored.min(begin + 20_000)).map(|number| {
                Save::new(
                    if number % every == 0 {
                        case(number, OrderStatus::ReadyForDownload)
                    } else {
                        case(number, OrderStatus::Downloaded)
                    },
                    Some(Arc::new(order(number))),
                    Vec::new(),
                )
            });
            let commit = Commit::new(saves.collect());
            let done = store.commit(&account, &commit, start());
            assert!(runtime.block_on(done).expect("a commit"));
        }
        let polled = Polled {
            store,
            _directory: directory,
        };
        polled.expected(runtime);
        polled
    }

    /// What a poll reads that lists them all.
    fn expected(&self, runtime: &Runtime) -> Duration {
        let account = AccountId::new("L-1");
        let begin = Instant::now();
        let cases = self.store.expected(&account);
        let cases = black_box(runtime.block_on(cases).expect("cases"));
        assert_eq!(cases.len(), LISTED);
        drop(cases);
        begin.elapsed()
    }
}
