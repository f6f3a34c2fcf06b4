//! Working processes are killed, or stopped for longer than they hold a delivery, again and again.
//!
//! Doctors and modelers move a case on only when the lab has done what there was to do with it. So
//! at the end every scan and every model must have been done, each under one name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use lab_connector::inbox::store::{PostgresStore, SqliteStore};
use lab_connector::inbox::{CaseStore, Delivery, Policy};
use lab_connector::simulator::{ShownState, Simulator};
use lab_connector::{Client, Endpoints, Lab, OrderId, TokenStore};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::postgres::Schema;

const PLACE: &str = "INBOX_TEST_PLACE";
const VISIBILITY: Duration = Duration::from_secs(1);

/// In milliseconds.
fn visibility() -> u64 {
    VISIBILITY.as_millis().try_into().unwrap()
}

/// For longer than this nothing happens only where something is broken.
const STUCK: Duration = Duration::from_secs(120);

/// After so many deliveries people leave a case alone. Each return of a status needs twice the answers
/// of the one before: one that comes back nineteen times in ten minutes would still wait at the end.
const MOST_DELIVERIES: u32 = 8;

/// Where things are, for a process: the service, a file or a database with a schema, a directory.
type Place = [String; 4];

/// How often: `INBOX_KILLS`; scripts/soak does it 300 times.
fn kills(default: usize) -> usize {
    std::env::var("INBOX_KILLS").map_or(default, |kills| kills.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_with_sqlite_loses_nothing_and_does_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cases.db");
    let store = SqliteStore::open(&file).await.unwrap();
    let mut test = Test::begin(store, file.to_str().unwrap(), "", directory.path()).await;
    test.kill(1, kills(8)).await;
    test.judge("sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_with_postgres_lose_nothing_and_do_nothing_twice() {
    let Some(schema) = Schema::new("killed_processes_with_postgres") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let store = schema.store().await;
    let mut test = Test::begin(store, &schema.url, &schema.name, directory.path()).await;
    test.kill(2, kills(6)).await;
    test.judge("postgres, two processes").await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_is_told_what_it_has_lost() {
    for workers in [2, 4] {
        let Some(schema) = Schema::new("a_process_that_was_stopped") else {
            return;
        };
        let directory = tempfile::tempdir().unwrap();
        let store = schema.store().await;
        let mut test = Test::begin(store, &schema.url, &schema.name, directory.path()).await;
        let stops = kills(4);
        test.stop(workers, stops).await;
        let lost = test.judge(&format!("postgres, {workers} processes")).await;
        assert!(lost > 0, "nobody was told");
    }
}

/// Not a test: what the tests start as processes of their own.
#[tokio::test]
#[ignore = "the process that is killed"]
async fn the_process() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let place: Place = serde_json::from_str(&place).unwrap();
    if place[2].is_empty() {
        work(SqliteStore::open(&place[1]).await.unwrap(), &place).await;
    } else {
        let builder = PostgresStore::builder(&place[1]).schema(&place[2]);
        let store = builder.max_connections(2).connect().await.unwrap();
        work(store, &place).await;
    }
}

fn lab(store: impl TokenStore + 'static, url: &str) -> Client {
    Client::builder()
        .endpoints(Endpoints::from_base_url(url).unwrap())
        .credentials("simulator", "simulator-secret")
        .redirect_url("https://lab.example/callback")
        .token_store(store)
        .build()
        .unwrap()
}

/// Polls and works until it is killed.
async fn work(store: impl CaseStore + TokenStore + Clone + 'static, place: &Place) {
    let lab = lab(store.clone(), &place[0]).account("L-1");
    let mut book = Book::open(&place[3]);
    let inbox = lab.inbox(store.clone()).claim_lease(VISIBILITY);
    loop {
        // The service goes away when the test is over.
        if inbox.poll().await.is_err() {
            return;
        }
        loop {
            let before = store.now(SystemTime::now()).await.unwrap();
            let claimed = inbox.claim(3).await.unwrap();
            let after = store.now(SystemTime::now()).await.unwrap();
            for delivery in &claimed {
                book.write("claim", delivery, [before, after]);
            }
            if claimed.is_empty() {
                break;
            }
            for delivery in claimed {
                do_one(&delivery, &mut book, place).await;
            }
        }
    }
}

/// What a lab's software does: files, its own books, and only then the word that it is done.
async fn do_one(delivery: &Delivery, book: &mut Book, place: &Place) {
    let none = [UNIX_EPOCH; 2];
    if fastrand::u8(0..3) == 0 {
        match delivery
            .download_all(Path::new(&place[3]).join("files"))
            .await
        {
            Ok(files) => assert!(files.iter().len() > 0),
            Err(error) if error.is_lease_lost() => return book.write("lost", delivery, none),
            // The case went on while this process was stopped.
            Err(_) => {}
        }
    }
    book.write("done", delivery, none);
    book.file.sync_data().unwrap();
    match delivery.acknowledge().await {
        Ok(()) => book.write("acked", delivery, none),
        Err(error) => {
            assert!(error.is_lease_lost(), "{error}");
            book.write("lost", delivery, none);
        }
    }
}

/// What all processes have written down, a line at a time; the test is told of each.
struct Book {
    file: std::fs::File,
}

impl Book {
    fn open(directory: &str) -> Self {
        let path = Path::new(directory).join("book");
        std::fs::create_dir_all(Path::new(directory).join("files")).unwrap();
        let file = OpenOptions::new().create(true).append(true).open(path);
        Book {
            file: file.unwrap(),
        }
    }

    fn write(&mut self, what: &str, delivery: &Delivery, times: [SystemTime; 2]) {
        let [before, after] = times.map(|time| {
            let since = time.duration_since(UNIX_EPOCH).unwrap();
            since.as_millis()
        });
        let (order, ordinal) = (delivery.order_id().as_str(), delivery.ordinal());
        let (attempt, process) = (delivery.attempts(), std::process::id());
        let line = format!("@{what} {order} {ordinal} {attempt} {process} {before} {after}\n");
        // One write each, so that lines of several processes do not mix.
        self.file.write_all(line.as_bytes()).unwrap();
        let mut out = std::io::stdout().lock();
        // The test may have gone.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

/// A line of the book.
#[derive(Clone, Debug)]
struct Line {
    what: String,
    name: (String, u32),
    attempt: u32,
    process: u32,
    before: u64,
    after: u64,
}

impl Line {
    fn read(line: &str) -> Option<Self> {
        // The harness may have begun a line of its own before it.
        let (_, line) = line.split_once('@')?;
        let mut parts = line.split(' ');
        let mut next = || parts.next();
        Some(Line {
            what: next()?.to_owned(),
            name: (next()?.to_owned(), next()?.parse().ok()?),
            attempt: next()?.parse().ok()?,
            process: next()?.parse().ok()?,
            before: next()?.parse().ok()?,
            after: next()?.parse().ok()?,
        })
    }
}

struct Test {
    service: Simulator,
    store: Box<dyn Drain>,
    place: Place,
    rng: Rng,
    tell: UnboundedSender<Line>,
    told: UnboundedReceiver<Line>,
    /// What was done with the cases so far.
    moved: BTreeSet<(String, u32)>,
    /// What each process has taken and not done, as far as it was told.
    held: BTreeMap<u32, BTreeSet<(String, u32)>>,
    processes: Vec<Child>,
}

/// Works through what is left, when all processes are gone.
#[async_trait::async_trait]
trait Drain: Send + Sync {
    async fn drain(&self, place: &Place);
}

#[async_trait::async_trait]
impl<S: CaseStore + TokenStore + Clone + 'static> Drain for S {
    async fn drain(&self, place: &Place) {
        let lab: Lab = lab(self.clone(), &place[0]).account("L-1");
        // Nothing waits for its next fetch.
        let mut policy = Policy::default();
        policy.fetch_spacing = Duration::ZERO;
        let inbox = lab.inbox(self.clone()).claim_lease(VISIBILITY * 60);
        let inbox = inbox.policy(policy);
        let mut book = Book::open(&place[3]);
        let mut at_rest = 0;
        // What a case has had often takes many answers that agree.
        while at_rest < 200 {
            let round = inbox.poll().await.unwrap();
            at_rest = match round.deliveries() + round.changes() {
                0 => at_rest + 1,
                _ => 0,
            };
        }
        while inbox.stats().await.unwrap().store.open > 0 {
            // What the dead had is hidden until their time is over.
            for delivery in inbox.claim(100).await.unwrap() {
                book.write("claim", &delivery, [UNIX_EPOCH; 2]);
                do_one(&delivery, &mut book, place).await;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(inbox.poll().await.unwrap().deliveries(), 0);
    }
}

impl Test {
    async fn begin(
        store: impl CaseStore + TokenStore + Clone + 'static,
        path: &str,
        schema: &str,
        directory: &Path,
    ) -> Self {
        let service = Simulator::builder().seed(7).start().await.unwrap();
        let url = format!("http://{}/", service.address());
        let client = lab(store.clone(), &url);
        let login = client.login("me");
        let request = login.authorize().unwrap();
        let redirected = service.consent(request.url()).unwrap();
        login.finish(&request, &redirected).await.unwrap();
        login.pair("L-1").await.unwrap();
        let directory = directory.to_str().unwrap().to_owned();
        let (tell, told) = unbounded_channel();
        Test {
            service,
            store: Box::new(store),
            place: [url, path.to_owned(), schema.to_owned(), directory],
            rng: Rng::with_seed(0x5eed),
            tell,
            told,
            moved: BTreeSet::new(),
            held: BTreeMap::new(),
            processes: Vec::new(),
        }
    }

    fn start(&self) -> Child {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "inbox::killed::the_process", "--ignored"])
            .arg("--nocapture")
            .env(PLACE, serde_json::to_string(&self.place).unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (out, tell) = (child.stdout.take().unwrap(), self.tell.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(line) = Line::read(&line) {
                    let _ = tell.send(line);
                }
            }
        });
        child
    }

    /// The next line. What was done moves its case on, and there is always more to do.
    async fn next(&mut self) -> Line {
        while self.service.case_count() < 6 {
            self.service.scan("L-1").unwrap();
        }
        let begin = tokio::time::Instant::now();
        let line = loop {
            match tokio::time::timeout(Duration::from_secs(1), self.told.recv()).await {
                Ok(line) => break line.unwrap(),
                // A stopped process may have done the last thing there was without a word of it.
                Err(_) => drop(self.service.scan("L-1").unwrap()),
            }
            assert!(begin.elapsed() < STUCK, "nothing happens any more");
        };
        if line.what == "claim" {
            // Whoever had it has lost it.
            for held in self.held.values_mut() {
                held.remove(&line.name);
            }
        }
        let held = self.held.entry(line.process).or_default();
        match line.what.as_str() {
            "claim" => held.insert(line.name.clone()),
            "acked" | "lost" => held.remove(&line.name),
            _ => false,
        };
        if line.what == "acked" && self.moved.insert(line.name.clone()) {
            let (order, ordinal) = &line.name;
            if *ordinal < MOST_DELIVERIES {
                self.move_on(&OrderId::new(order.clone()));
            }
            if self.service.case_count() < 400 && self.rng.u8(0..5) == 0 {
                self.service.scan("L-1").unwrap();
            }
        }
        line
    }

    /// People act until there is something to do for the lab again, or not for long.
    fn move_on(&mut self, order: &OrderId) {
        for _ in 0..20 {
            let possible = self.service.possible(order);
            let action = possible[self.rng.usize(0..possible.len())];
            self.service.act(order, action).unwrap();
            let truth = self.service.truth(order).unwrap();
            if truth.shown.last().unwrap().status.is_listed() {
                return;
            }
        }
    }

    async fn some_lines(&mut self, most: usize) {
        for _ in 0..self.rng.usize(0..most) {
            self.next().await;
        }
        // And then at a random moment, told by work instead of by time.
        for _ in 0..self.rng.usize(0..2_000) {
            tokio::task::yield_now().await;
        }
    }

    /// So many processes work; one of them is killed, and another one begins.
    async fn kill(&mut self, processes: usize, times: usize) {
        self.processes = (0..processes).map(|_| self.start()).collect();
        for _ in 0..times {
            // What was done without a word is not moved on: there must be more.
            self.service.scan("L-1").unwrap();
            // It has begun by then.
            let killed = self.rng.usize(0..processes);
            while self.next().await.process != self.processes[killed].id() {}
            self.some_lines(12).await;
            let begun = self.start();
            let mut child = std::mem::replace(&mut self.processes[killed], begun);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// So many processes work; one that has just taken a delivery stands still until another one
    /// has taken it too.
    #[cfg(unix)]
    async fn stop(&mut self, processes: usize, times: usize) {
        self.processes = (0..processes).map(|_| self.start()).collect();
        for _ in 0..times {
            // Cases come to their end: there must be more.
            self.service.scan("L-1").unwrap();
            self.some_lines(12).await;
            let claim = loop {
                let line = self.next().await;
                if line.what == "claim" {
                    break line;
                }
            };
            let stopped = claim.process;
            signal("-STOP", stopped);
            // It may have been quicker, and what it wrote is still to be read.
            while !self.held[&stopped].is_empty() {
                let had = self.held[&stopped].clone();
                let line = self.next().await;
                let by_other = line.what == "claim" && line.process != stopped;
                // It was stopped between what it did and the word of it: nobody will have them.
                let are_done = line.before > claim.after + 3 * visibility();
                if by_other && (had.contains(&line.name) || are_done) {
                    break;
                }
            }
            signal("-CONT", stopped);
        }
        self.some_lines(30).await;
    }

    /// Ends all processes, does the rest of the work, and reads the book. Gives how often a
    /// process was told that it had lost a delivery.
    async fn judge(&mut self, what: &str) -> usize {
        for mut child in std::mem::take(&mut self.processes) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.store.drain(&self.place).await;
        let book = std::fs::read_to_string(Path::new(&self.place[3]).join("book")).unwrap();
        let lines: Vec<Line> = book.lines().filter_map(Line::read).collect();
        assert_eq!(lines.len(), book.lines().count());
        let of = |what: &'static str| lines.iter().filter(move |line| line.what == what);

        // Acknowledged once at most, and never handed out after that.
        let mut acked: BTreeMap<&(String, u32), u32> = BTreeMap::new();
        for line in of("acked") {
            let before = acked.insert(&line.name, line.attempt);
            assert_eq!(before, None, "{:?} was acknowledged twice", line.name);
        }
        // One holder at a time: by the clock of the store the time of the one before was over.
        let mut claims: BTreeMap<&(String, u32), BTreeMap<u32, &Line>> = BTreeMap::new();
        for line in of("claim") {
            let of_name = claims.entry(&line.name).or_default();
            let again = of_name.insert(line.attempt, line);
            assert!(again.is_none(), "two have {:?} at once: {again:?}", line);
            if let Some(at) = acked.get(&line.name) {
                assert!(line.attempt <= *at, "{line:?} is handed out again");
            }
        }
        for claims in claims.values() {
            let claims: Vec<_> = claims.values().filter(|line| line.after > 0).collect();
            for pair in claims.windows(2) {
                let over = pair[0].before + visibility();
                assert!(pair[1].after >= over, "{pair:?} overlap");
            }
        }

        // All was done, each under one name.
        let mut done: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for line in of("done") {
            done.entry(&line.name.0).or_default().insert(line.name.1);
        }
        let mut deliveries = 0;
        for order in self.service.orders(&"L-1".into()) {
            let truth = self.service.truth(&order).unwrap();
            let names = done.remove(order.as_str()).unwrap_or_default();
            // What a stopped process took off the list when it woke, in the middle of a download, was there
            // for a moment only.
            let listed = truth
                .shown
                .windows(2)
                .filter(|two| two[0].status.is_listed());
            let is_brief = |two: &&[ShownState]| {
                let lasted = two[1].at.duration_since(two[0].at);
                lasted.is_ok_and(|lasted| lasted < Duration::from_secs(1))
            };
            let brief = listed.filter(is_brief).count();
            let all = truth.deliveries().count();
            let right: BTreeSet<u32> = (1..).take(names.len()).collect();
            assert_eq!(names, right, "{order:?}: {truth:?}");
            let count = names.len();
            assert!(
                (all - brief..=all).contains(&count),
                "{order:?}: {count} of {truth:?}"
            );
            deliveries += count;
        }
        assert!(done.is_empty(), "what was never there was done: {done:?}");
        let lost = of("lost").count();
        let again = of("claim").count() - claims.len();
        let line = format!(
            "{what}: {deliveries} deliveries, {again} handed out again, {lost} lost to others\n"
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        lost
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        for child in &mut self.processes {
            // It may be gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(unix)]
fn signal(signal: &str, process: u32) {
    let mut kill = Command::new("kill");
    let status = kill.arg(signal).arg(process.to_string()).status().unwrap();
    assert!(status.success());
}
