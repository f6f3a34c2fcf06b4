//! PostgreSQL: the rules, whose clock, which version, what errors say.

use std::time::{Duration, SystemTime};

use lab_connector::AccountId;
use lab_connector::auth::check_token_store;
use lab_connector::inbox::store::{
    CaseStore, Commit, Counts, Outcome, PostgresStore, Settlement, check_case_store,
};

use super::support::delivery;
use crate::postgres::Schema;

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_rules() {
    let Some(schema) = Schema::new("postgres_keeps_the_rules") else {
        return;
    };
    // Several with connections of their own, as processes have.
    let open = || schema.builder().connect();
    let narrow = || schema.builder().max_connections(1).connect();
    let (one, two) = tokio::join!(check_case_store(open), check_case_store(narrow));
    one.unwrap();
    two.unwrap();
    check_token_store(open).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_rules_by_the_callers_clock() {
    let Some(schema) = Schema::new("postgres_keeps_the_rules_by_the_callers_clock") else {
        return;
    };
    let store = schema.builder().callers_clock().connect().await.unwrap();
    let then = SystemTime::UNIX_EPOCH + LONG;
    assert_eq!(store.now(then).await.unwrap(), then);
    drop(store);
    let open = || schema.builder().callers_clock().connect();
    check_case_store(open).await.unwrap();
}

#[tokio::test]
async fn no_callers_clock_is_trusted() {
    let Some(schema) = Schema::new("no_callers_clock_is_trusted") else {
        return;
    };
    let store = schema.store().await;
    let account = AccountId::new("L-1");
    let now = SystemTime::now();
    let (slow, fast) = (now - 10 * LONG, now + 10 * LONG);
    let told = store.now(fast).await.unwrap();
    assert!(told < now + LONG && told > now - LONG);
    let commit = Commit::new(vec![delivery("1", 0, 1)]);
    assert!(store.commit(&account, &commit, fast).await.unwrap());
    let claimed = store.claim(&account, "t", 1, LONG, slow).await.unwrap();
    assert_eq!(
        claimed.len(),
        1,
        "it is due at once, whatever the clocks say"
    );
    assert!(claimed[0].arrived_at < now + LONG);
    let claimed = store.claim(&account, "u", 1, LONG, fast).await.unwrap();
    assert!(claimed.is_empty(), "a fast clock ends no lease");
    let right = store.poll_right(&account, "a", LONG, slow).await.unwrap();
    assert_eq!(right, None);
    let right = store.poll_right(&account, "b", LONG, fast).await.unwrap();
    assert_ne!(right, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connect_to_a_new_database_at_once() {
    let Some(schema) = Schema::new("many_connect_to_a_new_database_at_once") else {
        return;
    };
    let mut connections = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let builder = schema.builder();
        connections.spawn(async move { builder.connect().await.map(drop) });
    }
    while let Some(connected) = connections.join_next().await {
        connected.unwrap().unwrap();
    }
    let text = format!("SELECT version FROM {}.version", schema.name);
    let rows = schema.bare().await.query(&text, &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let Some(schema) = Schema::new("tables_of_a_newer_version_are_refused") else {
        return;
    };
    drop(schema.store().await);
    schema.run("UPDATE @version SET version = 1000").await;
    let error = schema.builder().connect().await.unwrap_err();
    assert!(error.is_store());
    let text = error.to_string();
    assert!(text.contains("version 1000, made by a newer"), "{text}");
}

#[tokio::test]
async fn any_name_of_a_schema_will_do() {
    let Some(mut schema) = Schema::new("any_name_of_a_schema_will_do") else {
        return;
    };
    let name = format!("{} a\"b.c", schema.name);
    let store = schema.builder().schema(&name).connect().await.unwrap();
    let commit = Commit::new(vec![delivery("1", 0, 1)]);
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    assert!(store.commit(&account, &commit, now).await.unwrap());
    drop(schema.builder().schema(&name).connect().await.unwrap());
    // It is dropped by its name as SQL has it.
    schema.name = format!("\"{}\"", name.replace('"', "\"\""));
}

#[tokio::test]
async fn a_session_is_as_we_need_it() {
    let Some(schema) = Schema::new("a_session_is_as_we_need_it") else {
        return;
    };
    let session = "-c synchronous_commit=off -c default_transaction_isolation=serializable";
    let url = schema.url_with(&[("options", session)]);
    let builder = PostgresStore::builder(&url).schema(&schema.name);
    let store = builder.max_connections(1).connect().await.unwrap();
    schema
        .run(
            "CREATE TABLE @seen AS SELECT ''::text AS sync, ''::text AS isolation;
             CREATE FUNCTION @look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 UPDATE @seen SET sync = current_setting('synchronous_commit'),
                     isolation = current_setting('transaction_isolation');
                 RETURN NEW;
             END $$;
             CREATE TRIGGER look AFTER INSERT ON @cases
                 FOR EACH STATEMENT EXECUTE FUNCTION @look();",
        )
        .await;
    let commit = Commit::new(vec![delivery("1", 0, 1)]);
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    assert!(store.commit(&account, &commit, now).await.unwrap());
    let text = format!("SELECT sync, isolation FROM {}.seen", schema.name);
    let row = schema.bare().await.query_one(&text, &[]).await.unwrap();
    let found = [row.get::<_, String>(0), row.get(1)];
    assert_eq!(found, ["on", "read committed"]);
}

#[tokio::test]
async fn ids_with_a_nul_are_kept() {
    let Some(schema) = Schema::new("ids_with_a_nul_are_kept") else {
        return;
    };
    super::ids_with_a_nul_are_kept(&schema.store().await).await;
}

#[tokio::test]
async fn errors_name_neither_url_nor_password() {
    let mut urls = vec![
        "postgres://u:canary@127.0.0.1:1/canary".to_owned(),
        "postgres://u:canary@127.0.0.1:port/canary".to_owned(),
        "canary".to_owned(),
        "postgres://u:canary@127.0.0.1:1/x?sslmode=canary".to_owned(),
        "postgres://u:canary@127.0.0.1:1/x?sslmood=canary".to_owned(),
    ];
    if let Some(schema) = Schema::new("errors_name_neither_url_nor_password") {
        urls.push(schema.url_with(&[("user", "nobody-canary"), ("password", "canary")]));
        let url = schema.url_with(&[("application_name", "canary")]);
        let builder = PostgresStore::builder(&url).schema(&schema.name);
        let store = builder.connect().await.unwrap();
        assert!(!format!("{store:?} {store:#?}").contains("canary"));
    }
    for url in urls {
        let builder = PostgresStore::builder(&url);
        assert!(!format!("{builder:?}").contains("canary"));
        let error = builder.connect().await.unwrap_err();
        assert!(error.is_store() || error.is_configuration(), "{error}");
        let text = format!("{} {error:?}", error.report()).replace("nobody-canary", "");
        assert!(!text.contains("canary"), "{text}");
    }
}

/// Each holder of a delivery is told the truth when it comes back too late.
#[tokio::test]
async fn a_worker_that_slept_is_told_so() {
    let Some(schema) = Schema::new("a_worker_that_slept_is_told_so") else {
        return;
    };
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    let store = schema.store().await;
    let commit = Commit::new(vec![delivery("1", 0, 1)]);
    assert!(store.commit(&account, &commit, now).await.unwrap());
    let claimed = store.claim(&account, "a", 1, LONG, now).await.unwrap();
    // As if its lease had ended.
    schema
        .run("UPDATE @deliveries SET since = 'epoch', due = 'epoch'")
        .await;
    let other = schema.store().await;
    assert_eq!(
        other
            .claim(&account, "b", 1, LONG, now)
            .await
            .unwrap()
            .len(),
        1
    );
    let late = Settlement::new(claimed[0].sequence, "a".into(), Outcome::Acknowledged);
    assert_eq!(store.settle(&account, &[late], now).await.unwrap(), [false]);
    let done = Settlement::new(claimed[0].sequence, "b".into(), Outcome::Acknowledged);
    assert_eq!(other.settle(&account, &[done], now).await.unwrap(), [true]);
}

/// What a vendor asks a database, by tables and views that are documented.
#[tokio::test]
async fn others_can_ask_the_database() {
    let Some(schema) = Schema::new("others_can_ask_the_database") else {
        return;
    };
    super::support::some_cases(&schema.store().await).await;
    let client = schema.bare().await;
    for (text, expected) in super::support::QUESTIONS {
        let text = text.replace('@', &format!("{}.", schema.name));
        let rows = client.query(&text, &[]).await.unwrap();
        let rows: Vec<_> = rows.iter().map(|row| row.get::<_, String>(0)).collect();
        assert_eq!(rows, *expected, "{text}");
    }
    let times = format!(
        "SELECT arrived_at > now() - interval '1 hour' FROM {}.open_work",
        schema.name
    );
    let row = client.query_one(&times, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0));
}

#[tokio::test]
async fn a_commit_that_fails_in_the_middle_leaves_nothing() {
    let Some(schema) = Schema::new("a_commit_that_fails_in_the_middle_leaves_nothing") else {
        return;
    };
    let store = schema.builder().max_connections(1).connect().await.unwrap();
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    schema
        .run(
            "CREATE FUNCTION @no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 RAISE EXCEPTION 'no';
             END $$;
             CREATE TRIGGER no BEFORE INSERT ON @deliveries
                 FOR EACH ROW WHEN (new.order_id = '2') EXECUTE FUNCTION @no();",
        )
        .await;
    let commit = Commit::new(vec![delivery("1", 0, 1), delivery("2", 0, 1)]);
    let error = store.commit(&account, &commit, now).await.unwrap_err();
    assert!(error.is_store() && !error.is_retryable(), "{error:?}");
    assert_eq!(
        store.counts(&account, now).await.unwrap(),
        Counts::default()
    );
    let commit = Commit::new(vec![delivery("1", 0, 1)]);
    assert!(store.commit(&account, &commit, now).await.unwrap());
    assert_eq!(store.counts(&account, now).await.unwrap().open, 1);
}

/// As if the database's clock had run ahead and was set right.
#[tokio::test]
async fn what_a_wrong_clock_has_set_counts_as_passed() {
    let Some(schema) = Schema::new("what_a_wrong_clock_has_set_counts_as_passed") else {
        return;
    };
    let store = schema.store().await;
    let (account, now) = (AccountId::new("L-1"), SystemTime::now());
    let commit = Commit::new(vec![delivery("1", 0, 1)]);
    assert!(store.commit(&account, &commit, now).await.unwrap());
    for (number, ahead) in ["1 day", "1 year"].into_iter().enumerate() {
        let token = |name: &str| format!("{name} {number}");
        let claimed = store.claim(&account, &token("a"), 1, LONG, now).await;
        assert_eq!(claimed.unwrap().len(), 1);
        assert_eq!(store.counts(&account, now).await.unwrap().hidden, 1);
        let shift = format!("interval '{ahead}'");
        schema
            .run(&format!(
                "UPDATE @deliveries SET since = since + {shift}, due = due + {shift}"
            ))
            .await;
        assert_eq!(store.counts(&account, now).await.unwrap().hidden, 0);
        let claimed = store.claim(&account, &token("b"), 1, LONG, now).await;
        assert_eq!(claimed.unwrap().len(), 1, "{ahead}");
        let late = [Settlement::new(1, token("a").into(), Outcome::Acknowledged)];
        let settled = store.settle(&account, &late, now).await;
        assert_eq!(settled.unwrap(), [false], "a claim that this voids is lost");
        let back = Outcome::Released {
            after: Duration::ZERO,
            failure: None,
        };
        let back = [Settlement::new(1, token("b").into(), back)];
        assert_eq!(store.settle(&account, &back, now).await.unwrap(), [true]);
    }
}
