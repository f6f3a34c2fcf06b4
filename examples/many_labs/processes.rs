//! Several processes that share a PostgreSQL database: who polls which lab is agreed on there.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use lab_connector::inbox::store::PostgresStore;
use lab_connector::{AccountId, Endpoints};
use tokio::sync::mpsc;

use crate::desk::{self, Event};
use crate::{Arguments, world};

/// Starts the service and the processes, and looks on.
pub async fn run(url: &str, arguments: &Arguments) -> Result<()> {
    // Of this run alone: what an earlier one left would be known.
    let schema = format!("many_labs_{}", std::process::id());
    let store = connect(url, &schema).await?;
    println!("schema             {schema} (it stays: drop it when you have seen it)");
    let (service, labs) = world::start(arguments).await?;
    let client = desk::pair(&service, arguments, store.clone(), &labs).await?;
    world::break_some(&service, &client, &store, &labs).await?;

    let (told, events) = mpsc::unbounded_channel();
    let mut workers = Vec::new();
    for _ in 0..arguments.processes {
        let mut worker = Command::new(std::env::current_exe()?)
            .args(["--postgres", url, "--worker"])
            .args([format!("http://{}", service.address()), schema.clone()])
            .args(["--labs", &arguments.labs.to_string()])
            .args(["--interval", &arguments.interval.to_string()])
            .args(["--together", &arguments.together.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = worker.stdout.take().context("no output")?;
        workers.push(Worker(worker));
        let told = told.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines() {
                let event: Event = serde_json::from_str(&line?)?;
                let _ = told.send(event);
            }
            anyhow::Ok(())
        });
    }
    drop(told);
    println!("processes          {}", workers.len());
    world::live(&service, &labs, events, arguments).await
}

/// Ends with this process, whatever happens.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One of the processes: prints an event a line.
pub async fn worker(url: &str, worker: &[PathBuf], arguments: &Arguments) -> Result<()> {
    let text = |at: usize| worker.get(at).and_then(|text| text.to_str());
    let (base, schema) = text(0).zip(text(1)).context("--worker BASE_URL SCHEMA")?;
    let store = connect(url, schema).await?;
    let client = desk::client(Endpoints::from_base_url(base)?, arguments)
        .credentials("simulator", "simulator-secret")
        .token_store(store.clone())
        .build()?;
    let labs = (1..=arguments.labs).map(|number| AccountId::from(format!("L-{number}")));
    let (told, mut events) = mpsc::unbounded_channel();
    desk::serve(&client, labs, &store, arguments, &told);
    while let Some(event) = events.recv().await {
        println!("{}", serde_json::to_string(&event)?);
    }
    Ok(())
}

async fn connect(url: &str, schema: &str) -> Result<PostgresStore> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    ensure!(schema.bytes().all(fits), "no name for a schema");
    let store = PostgresStore::builder(url).schema(schema);
    store.connect().await.context("cannot use the database")
}
