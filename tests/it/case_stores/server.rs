//! What a PostgreSQL server can be like, and what it can do: certificates, encodings, limits,
//! poolers, restarts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use lab_connector::AccountId;
use lab_connector::auth::check_token_store;
use lab_connector::inbox::store::{
    CaseStore, Commit, Outcome, PostgresStore, Settlement, check_case_store,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::dropped::under_time_outs;
use super::support::delivery;
use crate::own_postgres::{Cluster, Pooler};

const LONG: Duration = Duration::from_secs(600);

/// An issuer's certificate, and one of the server with its key.
fn certificates(name: &str) -> [String; 3] {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = parameters.self_signed(&key).unwrap().pem();
    let signer = Issuer::new(parameters, key);
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let server = parameters.signed_by(&key, &signer).unwrap();
    [issuer, server.pem(), key.serialize_pem()]
}

#[tokio::test]
async fn the_server_is_verified_as_the_url_says() {
    let test = "the_server_is_verified_as_the_url_says";
    let [issuer, server, key] = certificates("localhost");
    let files = [("server.crt", &*server), ("server.key", &*key)];
    let Some(cluster) = Cluster::with_files(test, &files) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ours = file("ours.pem", &issuer);
    let other = file("other.pem", &certificates("localhost")[0]);
    let connect = async |host: &str, mode: &str, root: Option<&str>| {
        let root = root.map_or(String::new(), |root| format!("&sslrootcert={root}"));
        let url = cluster.url_of("postgres", host, "postgres");
        let store = PostgresStore::connect(&format!("{url}?sslmode={mode}{root}")).await?;
        store.counts(&"L-1".into(), SystemTime::now()).await
    };
    let (name, address) = ("localhost", "127.0.0.1");
    for (host, mode, root) in [
        (name, "verify-full", Some(&*ours)),
        // Certificates are for names.
        (address, "verify-ca", Some(&ours)),
        (address, "require", Some(&ours)),
        (address, "require", None),
        (address, "prefer", None),
        (address, "disable", None),
    ] {
        let connected = connect(host, mode, root).await;
        assert!(connected.is_ok(), "{host} {mode}: {connected:?}");
    }
    for (host, mode, root) in [
        (address, "verify-full", Some(&*ours)),
        (name, "verify-full", Some(&other)),
        (name, "verify-ca", Some(&other)),
        // Roots that are named are used.
        (name, "require", Some(&other)),
        (name, "verify-full", None),
    ] {
        let error = connect(host, mode, root).await.unwrap_err();
        assert!(
            error.is_store() && !error.is_retryable(),
            "{host} {mode}: {error:?}"
        );
        assert!(error.report().contains("certificate"), "{}", error.report());
    }
    // The server demands it, and it is so.
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
        WHERE application_name = 'seen'";
    let url = cluster.url_of("postgres", name, "postgres");
    let url = format!("{url}?sslmode=verify-full&sslrootcert={ours}&application_name=seen");
    let store = PostgresStore::connect(&url).await.unwrap();
    let client = crate::postgres::bare(&cluster.url).await.unwrap();
    let row = client.query_one(encrypted, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    drop(store);
}

#[tokio::test]
async fn an_encoding_without_room_for_every_name_is_refused() {
    let Some(cluster) = Cluster::start("an_encoding_without_room_for_every_name_is_refused") else {
        return;
    };
    cluster
        .run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        .await;
    let url = cluster.url_of("postgres", "127.0.0.1", "latin");
    let error = PostgresStore::connect(&url).await.unwrap_err();
    assert!(error.is_store() && !error.is_retryable());
    assert!(
        error.to_string().contains("LATIN1") && error.to_string().contains("UTF8"),
        "{error}"
    );
}

/// Those that there are are used, and the limit is named where there is none at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_connections_is_no_failure() {
    let Some(cluster) = Cluster::start("a_limit_of_connections_is_no_failure") else {
        return;
    };
    cluster
        .run("CREATE ROLE few LOGIN CONNECTION LIMIT 2; GRANT ALL ON DATABASE postgres TO few")
        .await;
    let url = cluster.url_of("few", "127.0.0.1", "postgres");
    let store = PostgresStore::builder(&url).max_connections(8);
    let store = store.connect().await.unwrap();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..32 {
        let store = store.clone();
        workers.spawn(async move {
            let account = AccountId::new(format!("L-{number}"));
            let commit = Commit::new(vec![delivery("1", 0, 1)]);
            store.commit(&account, &commit, SystemTime::now()).await
        });
    }
    for done in workers.join_all().await {
        assert!(done.unwrap());
    }
    let error = PostgresStore::builder(&url).connect().await;
    // The two are open still, and idle in a pool that is not ours.
    let error = error.unwrap_err();
    assert!(error.is_store() && error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("max_connections"), "{error}");
    assert!(
        error.to_string().contains("too many connections for role"),
        "{error}"
    );
    drop(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_may_stand_before_the_server() {
    let test = "a_pooler_may_stand_before_the_server";
    let Some(cluster) = Cluster::start(test) else {
        return;
    };
    for mode in ["session", "transaction"] {
        let Some(pooler) = Pooler::start(test, &cluster, mode) else {
            return;
        };
        let url = format!("{}postgres", pooler.url);
        // In session mode a connection to it is one of its ten to the server.
        let open = || PostgresStore::builder(&url).max_connections(2).connect();
        let checked = check_case_store(open).await;
        checked.unwrap_or_else(|error| panic!("{mode}: {error}"));
        let checked = check_token_store(open).await;
        checked.unwrap_or_else(|error| panic!("{mode}: {error}"));
        let (store, other) = (open().await.unwrap(), open().await.unwrap());
        under_time_outs(&store, &other).await;
    }
}

/// Until it is done: by the store that there is, without another connection of ours. An
/// expression, as closures that borrow make no task.
macro_rules! until_done {
    ($what:expr) => {{
        let begun = std::time::Instant::now();
        loop {
            match $what.await {
                Ok(done) => break done,
                Err(error) => {
                    assert!(error.is_store() && error.is_retryable(), "{error:?}");
                    assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
                    tokio::task::yield_now().await;
                }
            }
        }
    }};
}
/// Nothing is lost and nothing doubled while the server is restarted, killed and away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_go_and_come_back() {
    let Some(cluster) = Cluster::start("a_server_may_go_and_come_back") else {
        return;
    };
    let store = PostgresStore::builder(&cluster.url).max_connections(4);
    let store = store.connect().await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let workers = (0..3).map(|worker| tokio::spawn(work(store.clone(), worker, stopped.clone())));
    let workers: Vec<_> = workers.collect();
    for round in 0..3 {
        // So that some work is done between.
        let account = AccountId::new("told");
        let commit = Commit::new(vec![delivery(&format!("{round}"), 0, 1)]);
        until_done!(store.commit(&account, &commit, SystemTime::now()));
        match round {
            0 => cluster.stop(),
            _ => cluster.kill(),
        }
        let error = store.counts(&account, SystemTime::now()).await.unwrap_err();
        assert!(error.is_store() && error.is_retryable(), "{error:?}");
        cluster.again();
    }
    until_done!(store.counts(&"told".into(), SystemTime::now()));
    stop.send(true).unwrap();
    for worker in workers {
        let worker = tokio::time::timeout(Duration::from_secs(60), worker);
        let account = worker.await.expect("a worker hangs").unwrap();
        let (id, kept, acknowledged) = account;
        let counts = store.counts(&id, SystemTime::now()).await.unwrap();
        assert_eq!(counts.cases, kept, "{id}");
        assert_eq!(counts.open, 0, "{id}");
        assert!(
            acknowledged.values().all(|times| *times == 1),
            "{id}: {acknowledged:?}"
        );
        assert_eq!(u64::try_from(acknowledged.len()).unwrap(), kept);
    }
}

/// Keeps cases and works through them, one after the other, until it is stopped. Gives how many it
/// has kept, and how often each was acknowledged.
async fn work(
    store: PostgresStore,
    worker: u32,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> (AccountId, u64, BTreeMap<u64, u32>) {
    let account = AccountId::new(format!("L-{worker}"));
    let now = SystemTime::now();
    let (mut kept, mut acknowledged) = (0, BTreeMap::new());
    while !*stopped.borrow() {
        let commit = Commit::new(vec![delivery(&kept.to_string(), 0, 1)]);
        // `false`: it was kept before, and only the answer was lost.
        until_done!(store.commit(&account, &commit, now));
        kept += 1;
        let mut token = 0;
        let claimed = loop {
            token += 1;
            let name = format!("{kept} {token}");
            // Whatever an answer that was lost has hidden comes again after its lease.
            let lease = Duration::from_millis(100);
            let claimed = until_done!(store.claim(&account, &name, 1, lease, now));
            let mut claimed = claimed;
            if let Some(claimed) = claimed.pop() {
                break (claimed.sequence, name);
            }
            tokio::task::yield_now().await;
        };
        let (sequence, token) = claimed;
        let held = [Settlement::new(
            sequence,
            token.as_str().into(),
            Outcome::Extended(LONG),
        )];
        until_done!(store.settle(&account, &held, now));
        let done = [Settlement::new(
            sequence,
            token.into(),
            Outcome::Acknowledged,
        )];
        // `false` after an answer that was lost: it was done.
        until_done!(store.settle(&account, &done, now));
        *acknowledged.entry(sequence).or_insert(0) += 1;
    }
    (account, kept, acknowledged)
}
