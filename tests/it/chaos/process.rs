//! A lab's software, as a process of its own: it does what it is told line by line, says what it
//! did, and may be killed at any moment.

use std::fmt;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use lab_connector::clock::Clock;
use lab_connector::inbox::store::SqliteStore;
use lab_connector::inbox::{Delivery, Inbox, ProblemKind};
use lab_connector::{Client, Endpoints, Error, Notification, Result};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::watch::canary;

/// Waits of the client are so many times shorter than they say: those before a repeat, and those
/// that are limits of time, which a busy machine must not exceed.
const HASTE: (u32, u32) = (100, 10);

/// From here on a wait is a limit: no repeat waits for so long.
const LIMIT: Duration = Duration::from_secs(3);

/// Not a test: what the soak starts.
#[tokio::test]
#[ignore = "the process that is killed"]
async fn the_process() {
    if std::env::var_os("CHAOS_PROCESS").is_none() {
        return;
    }
    let time = Time::default();
    let mut lines = lines();
    let mut software = None;
    while let Some(line) = lines.recv().await {
        let (what, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match (what, &software) {
            ("time", _) => time.set(rest),
            ("world", _) => software = Some(Software::open(&time, rest).await),
            ("notify", Some(software)) => software.notify(rest),
            ("poll", Some(software)) => software.poll().await,
            ("run", Some(software)) => software.run().await,
            ("work", Some(software)) => software.work(rest, false).await,
            ("finish", Some(software)) => software.work(rest, true).await,
            ("count", Some(software)) => software.count().await,
            _ => panic!("what is {what}?"),
        }
        if !matches!(what, "time" | "notify") {
            say("done");
        }
    }
}

fn say(line: impl fmt::Display) {
    println!("@ {line}");
}

/// What was caught is said without saying it again.
fn look_for_canaries(what: &str, shown: &str) {
    if canary(shown).is_some() {
        say(format_args!("leaked {what}"));
    }
}

fn complain(what: &str, error: &Error) {
    look_for_canaries(what, &format!("{error} {error:?}"));
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        look_for_canaries(what, &format!("{error} {error:?}"));
        source = error.source();
    }
    if error.is_reauthorization_needed() {
        say("unauthorized");
    }
    say(format_args!("problem {what}: {error}"));
}

fn lines() -> UnboundedReceiver<String> {
    let (sender, lines) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Simulated time: set by line, and running with the machine's clock since. All processes share
/// it, as those of one machine do.
#[derive(Clone, Debug, Default)]
struct Time(Arc<(AtomicU64, AtomicU64)>);

impl Time {
    /// Simulated and real milliseconds.
    fn set(&self, line: &str) {
        let (simulated, real) = line.split_once(' ').unwrap();
        self.0.0.store(simulated.parse().unwrap(), Ordering::SeqCst);
        self.0.1.store(real.parse().unwrap(), Ordering::SeqCst);
    }
}

pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

#[async_trait::async_trait]
impl Clock for Time {
    fn now(&self) -> SystemTime {
        let real = self.0.1.load(Ordering::SeqCst);
        let passed = millis(SystemTime::now()).saturating_sub(real);
        let now = self.0.0.load(Ordering::SeqCst) + passed;
        SystemTime::UNIX_EPOCH + Duration::from_millis(now)
    }

    fn elapsed(&self) -> Duration {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        let is_limit = duration >= LIMIT;
        let haste = if is_limit { HASTE.1 } else { HASTE.0 };
        tokio::time::sleep(duration / haste).await;
    }
}

struct Software {
    inbox: Inbox,
    time: Time,
    files: PathBuf,
}

impl Software {
    /// The service's URL, its other region, the directory of the cases.
    async fn open(time: &Time, line: &str) -> Self {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap();
        let (url, region, directory) = (word(), word(), PathBuf::from(word()));
        let store = SqliteStore::open(directory.join("cases.db")).await.unwrap();
        let client = builder(&url, store.clone())
            .allow_host(region)
            .clock(time.clone())
            .on_retry(|event| {
                // Whether the service has shown something to nobody is not known then.
                if event.error.is_timeout() {
                    say("timeout");
                }
            })
            .build()
            .unwrap();
        if let Err(error) = client.discover().await {
            complain("discover", &error);
        }
        let inbox = client.account("L-1").inbox(store);
        look_for_canaries("inbox", &format!("{inbox:?} {client:?}"));
        Software {
            inbox,
            time: time.clone(),
            files: directory.join("files"),
        }
    }

    fn notify(&self, body: &str) {
        // What is forged may not even be readable.
        if let Ok(notification) = Notification::parse(body.as_bytes()) {
            self.inbox.notify(&notification);
        }
    }

    async fn poll(&self) {
        match self.inbox.poll().await {
            Ok(round) => {
                look_for_canaries("round", &format!("{round:?}"));
                let kinds = round.problems().iter().map(|problem| problem.kind());
                // A service whose histories have no times shows such a history in every round:
                // what it lists and fetches is seen all the same.
                let problems: Vec<_> = kinds
                    .filter(|kind| *kind != ProblemKind::HistoryIgnored)
                    .collect();
                if round.is_complete() && problems.is_empty() {
                    say("good");
                } else {
                    say(format_args!("problem round {problems:?}"));
                }
            }
            Err(error) => complain("poll", &error),
        }
    }

    async fn run(&self) {
        if let Err(error) = self.inbox.run_until(async {}).await {
            complain("run", &error);
        }
    }

    /// Works on deliveries: how many, and a seed.
    async fn work(&self, line: &str, thorough: bool) {
        let (limit, seed) = line.split_once(' ').unwrap();
        let mut rng = Rng::with_seed(seed.parse().unwrap());
        match self.inbox.claim(limit.parse().unwrap()).await {
            Err(error) => complain("claim", &error),
            Ok(deliveries) => {
                for delivery in deliveries {
                    look_for_canaries("delivery", &format!("{delivery:?}"));
                    self.work_on(&delivery, &mut rng, thorough).await;
                }
            }
        }
    }

    async fn work_on(&self, delivery: &Delivery, rng: &mut Rng, thorough: bool) {
        let name = format!("{} {}", delivery.order_id(), delivery.ordinal());
        let reading = delivery.reading();
        let candidates = reading.candidates().iter();
        let candidates: Vec<_> = candidates.map(|one| one.number().to_string()).collect();
        let at = delivery.history().last().and_then(|last| last.time());
        say(format_args!(
            "out {name} {} {} {} {} {}",
            delivery.status().symbol().unwrap(),
            millis(at.unwrap_or(SystemTime::UNIX_EPOCH)),
            delivery.history().is_complete(),
            candidates.join(","),
            delivery.is_doubtful()
        ));
        let arrivals = delivery.history().arrivals().iter();
        let arrivals: Vec<_> = arrivals
            .map(|one| {
                let at = one.time().map(millis);
                format!("{} {at:?} {:?}", one.status(), one.origin())
            })
            .collect();
        say(format_args!("because {arrivals:?}"));
        let mut chance = |percent| !thorough && rng.u8(0..100) < percent;
        if chance(4) {
            // Forgotten: it comes again.
            return;
        }
        match delivery.download_all(&self.files).await {
            Ok(files) => {
                for file in files.iter() {
                    say(format_args!("file {name} {}", file.path.display()));
                }
            }
            Err(error) => {
                complain("download", &error);
                return self.settled(&name, "failed", delivery.fail("no files").await);
            }
        }
        if chance(5) {
            match delivery.return_to_doctor("margin not visible on 14").await {
                Ok(()) => say(format_args!("returned {name}")),
                Err(error) => complain("return", &error),
            }
        }
        if chance(4) {
            return self.settled(&name, "failed", delivery.fail("not now").await);
        }
        if chance(4) {
            let later = self.time.now() + Duration::from_secs(1_800);
            return self.settled(&name, "deferred", delivery.defer(later).await);
        }
        say(format_args!("acknowledging {name}"));
        self.settled(&name, "acknowledged", delivery.acknowledge().await);
    }

    fn settled(&self, name: &str, how: &str, result: Result<()>) {
        match result {
            Ok(()) => say(format_args!("{how} {name}")),
            Err(error) => complain("settle", &error),
        }
    }

    async fn count(&self) {
        match self.inbox.stats().await {
            Ok(stats) => {
                look_for_canaries("stats", &format!("{stats:?}"));
                say(format_args!("open {}", stats.store.open));
            }
            Err(error) => complain("stats", &error),
        }
    }
}

/// A client that waits no longer than a soak can.
pub(super) fn builder(url: &str, tokens: SqliteStore) -> lab_connector::client::ClientBuilder {
    Client::builder()
        .endpoints(Endpoints::from_base_url(url).unwrap())
        .credentials("simulator", "simulator-secret")
        .redirect_url("https://lab.example/callback")
        // A refresh has a sixth of it, which must be a limit for `Time` too.
        .attempt_timeout(LIMIT * 6)
        // Less than the twenty seconds or the minute that a limit of calls may ask to wait for: in the
        // simulated world that time does not pass meanwhile.
        .operation_timeout(LIMIT * 6 + Duration::from_secs(1))
        // Real time.
        .idle_timeout(Duration::from_secs(1))
        .connect_timeout(Duration::from_secs(1))
        .token_store(tokens)
}
