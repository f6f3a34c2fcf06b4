//! Four workers on PostgreSQL that claim and acknowledge, beside the same by hand.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab_connector::AccountId;
use lab_connector::inbox::store::{CaseStore, Commit, Outcome, PostgresStore, Settlement};
use tokio::runtime::Runtime;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

use super::{BATCH, LEASE, first_poll, start};

const WORKERS: usize = 4;
const DELIVERIES: usize = 4000;

/// Four workers on PostgreSQL that claim deliveries and acknowledge them, in batches.
pub struct Workers {
    pub store: PostgresStore,
    /// One for each worker.
    clients: Vec<Arc<Client>>,
    schema: String,
    deliveries: Commit,
}

impl Workers {
    pub fn new(runtime: &Runtime, url: &str) -> Self {
        let schema = format!("lab_connector_bench_{:016x}", fastrand::u64(..));
        let connections = u32::try_from(WORKERS).expect("a small number");
        runtime.block_on(async {
            let store = PostgresStore::builder(url)
                .schema(&schema)
                .max_connections(connections)
                .connect()
                .await
                .expect("a store");
            let mut clients = Vec::new();
            for _ in 0..WORKERS {
                let connected = tokio_postgres::connect(url, NoTls).await;
                let (client, connection) = connected.expect("a connection");
                tokio::spawn(connection);
                clients.push(Arc::new(client));
            }
            Workers {
                store,
                clients,
                schema,
                deliveries: first_poll(DELIVERIES),
            }
        })
    }

    /// Puts the deliveries into an account of their own.
    async fn fill(&self) -> AccountId {
        let account = AccountId::new(format!("{:016x}", fastrand::u64(..)));
        let done = self.store.commit(&account, &self.deliveries, start()).await;
        assert!(done.expect("a commit"));
        // As the server does by itself within a minute: so that the statements by hand are
        // planned as well as ours, which do not depend on it.
        let text = format!("ANALYZE {}.deliveries", self.schema);
        let analyzed = self.clients[0].batch_execute(&text).await;
        analyzed.expect("statistics");
        account
    }

    pub fn drain(&self, runtime: &Runtime) -> Duration {
        let account = runtime.block_on(self.fill());
        let begin = Instant::now();
        let done = work(runtime, |_| {
            let (store, account) = (self.store.clone(), account.clone());
            async move {
                let mut done = 0;
                for round in 0.. {
                    let token: Arc<str> = format!("{round} {:x}", fastrand::u64(..)).into();
                    let claimed = store.claim(&account, &token, BATCH, LEASE, start());
                    let claimed = claimed.await.expect("a claim");
                    if claimed.is_empty() {
                        break;
                    }
                    let settlements = claimed.iter().map(|claimed| {
                        Settlement::new(claimed.sequence, Arc::clone(&token), Outcome::Acknowledged)
                    });
                    let settlements: Vec<_> = settlements.collect();
                    let settled = store.settle(&account, &settlements, start()).await;
                    done += settled
                        .expect("answers")
                        .into_iter()
                        .filter(|ok| *ok)
                        .count();
                }
                done
            }
        });
        assert_eq!(done, DELIVERIES);
        begin.elapsed()
    }

    /// The same by hand. Orders are read as text, and what is to be done with them is not
    /// measured.
    pub fn bare_drain(&self, runtime: &Runtime) -> Duration {
        let account = runtime.block_on(self.fill());
        let claim = CLAIM.replace('@', &format!("{}.", self.schema));
        let acknowledge = ACKNOWLEDGE.replace('@', &format!("{}.", self.schema));
        let begin = Instant::now();
        let done = work(runtime, |worker| {
            let (client, account) = (Arc::clone(&self.clients[worker]), account.clone());
            let (claim, acknowledge) = (claim.clone(), acknowledge.clone());
            async move {
                let (mut done, account) = (0, account.as_str());
                for round in 0.. {
                    let token = format!("{round} {:x}", fastrand::u64(..));
                    let (limit, lease) = (BATCH as i64, 600_000_i64);
                    client.batch_execute(BEGIN).await.expect("a transaction");
                    let rows = client
                        .query_typed(
                            &claim,
                            &[
                                (&account, Type::TEXT),
                                (&token, Type::TEXT),
                                (&limit, Type::INT8),
                                (&lease, Type::INT8),
                            ],
                        )
                        .await
                        .expect("a claim");
                    client.batch_execute("COMMIT").await.expect("a commit");
                    if rows.is_empty() {
                        break;
                    }
                    let claimed = rows.iter().map(|row| {
                        black_box((row.get::<_, String>(1), row.get::<_, Option<String>>(2)));
                        row.get(0)
                    });
                    let claimed: Vec<i64> = claimed.collect();
                    client.batch_execute(BEGIN).await.expect("a transaction");
                    done += client
                        .execute_typed(
                            &acknowledge,
                            &[
                                (&account, Type::TEXT),
                                (&token, Type::TEXT),
                                (&claimed, Type::INT8_ARRAY),
                            ],
                        )
                        .await
                        .expect("an answer");
                    client.batch_execute("COMMIT").await.expect("a commit");
                }
                usize::try_from(done).expect("a small number")
            }
        });
        assert_eq!(done, DELIVERIES);
        begin.elapsed()
    }

    pub fn drop_schema(&self, runtime: &Runtime) {
        let text = format!("DROP SCHEMA {} CASCADE", self.schema);
        let dropped = self.clients[0].batch_execute(&text);
        runtime.block_on(dropped).expect("a schema that goes");
    }
}

const BEGIN: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off;
    SET LOCAL idle_in_transaction_session_timeout = '30s'";
const CLAIM: &str = "
    WITH free AS (
        SELECT d.sequence FROM @deliveries d
        WHERE d.account = $1
            AND (d.due IS NULL OR d.due <= clock_timestamp())
            AND NOT EXISTS (SELECT 1 FROM @deliveries e WHERE e.account = d.account
                AND e.order_id = d.order_id AND e.sequence < d.sequence)
        ORDER BY d.sequence LIMIT $3
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE @deliveries d
        SET token = $2, attempts = attempts + 1, since = clock_timestamp(),
            due = clock_timestamp() + $4 * interval '1 ms'
        FROM free WHERE d.account = $1 AND d.sequence = free.sequence
        RETURNING d.sequence, d.order_id
    )
    SELECT d.sequence, c.state, o.data FROM taken d
    JOIN @cases c ON c.account = $1 AND c.order_id = d.order_id
    LEFT JOIN @orders o ON o.account = $1 AND o.order_id = d.order_id
    ORDER BY d.sequence";
const ACKNOWLEDGE: &str = "
    DELETE FROM @deliveries WHERE account = $1 AND token = $2 AND sequence = ANY($3)";

/// What all workers did together.
fn work<F: Future<Output = usize> + Send + 'static>(
    runtime: &Runtime,
    worker: impl Fn(usize) -> F,
) -> usize {
    runtime.block_on(async {
        let mut workers = tokio::task::JoinSet::new();
        for number in 0..WORKERS {
            workers.spawn(worker(number));
        }
        workers.join_all().await.into_iter().sum()
    })
}
