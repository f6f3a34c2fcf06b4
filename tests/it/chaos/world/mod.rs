//! One world: people live, faults happen, processes work and die.

mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use lab_connector::clock::Clock;
use lab_connector::inbox::store::SqliteStore;
use lab_connector::simulator::{
    Behaviour, ClockMode, Elsewhere, Fault, FaultRule, Faults, Simulator,
};
use lab_connector::status::Symbol;
use lab_connector::{AccountId, Client, OrderId};
use tempfile::TempDir;
use tokio::time::MissedTickBehavior;

use self::witness::Phase;
use super::crew::Process;
use super::process::builder;
use super::{Sums, judge, mix};
use crate::support::RawServer;
use crate::watch::SLIPPED;

/// How often the soak looks whether somebody is to live or to die while processes work.
const TICK: Duration = Duration::from_millis(1);

/// A process dies within so many ticks after the call that it is to die at.
const DEATH: u32 = 5;

/// In how many of a hundred ticks people live on.
const LIVES: u8 = 30;

/// A delivery that was handed out.
#[derive(Clone, Debug)]
pub(super) struct Out {
    pub(super) symbol: String,
    /// When it was seen, in milliseconds; 0 where nobody noted it.
    pub(super) at: u64,
    /// When it was handed out first, in milliseconds, or later.
    pub(super) handed_out: u64,
    pub(super) complete: bool,
    pub(super) candidates: Vec<u8>,
    /// Whether a listing was lagging behind when it was handed out first, or before.
    pub(super) after_stale: bool,
    /// It says itself that it may not have arrived anew.
    pub(super) doubtful: bool,
    acknowledging: bool,
    acknowledged: bool,
    pub(super) files: Vec<PathBuf>,
}

impl Out {
    pub(super) fn new(symbol: &str, at: u64, complete: bool, candidates: Vec<u8>) -> Self {
        Out {
            symbol: symbol.to_owned(),
            at,
            handed_out: u64::MAX,
            complete,
            candidates,
            after_stale: false,
            doubtful: false,
            acknowledging: false,
            acknowledged: false,
            files: Vec::new(),
        }
    }
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) service: Arc<Simulator>,
    pub(super) behaviour: Behaviour,
    pub(super) outs: BTreeMap<(String, u32), Out>,
    /// Places in the truth of orders, of which it is not known whether a process has seen them.
    pub(super) unsure: BTreeSet<(String, usize)>,
    /// In how many good rounds each state was listed.
    pub(super) good_looks: BTreeMap<(String, usize), u32>,
    /// Orders whose deliveries end with one whose files the service does not give.
    pub(super) withheld: BTreeSet<String>,
    seen: BTreeSet<(String, usize)>,
    /// When a listing lagged behind, in simulated time: from, to.
    pub(super) stale: Vec<(u64, u64)>,
    pub(super) digests: judge::Digests,
    pub(super) sums: Sums,
    pub(super) story: String,
    directory: TempDir,
    hook: RawServer,
    notified: usize,
    rng: Rng,
    /// For what is drawn more or less often from run to run: the course of the world's own draws
    /// does not depend on it.
    moments: Rng,
    /// People who end the pairing, or all tokens; none in the first worlds.
    leavers: Option<Rng>,
    /// Whether a listing may ever lag behind.
    lags: bool,
    calls: u64,
    told: Instant,
}

impl World {
    /// With at most about so many cases.
    pub(super) async fn play(
        seed: u64,
        cases: u64,
        crew: &mut [Process; 2],
        errors: &Path,
    ) -> Sums {
        let mut rng = Rng::with_seed(seed);
        let behaviour = mix::behaviour(seed, &mut rng);
        let faults = mix::faults(&mut rng, &behaviour);
        let is_stale = |rule: &FaultRule| rule.fault == Fault::StaleOrder;
        let lags = faults.rules.iter().any(is_stale);
        let service = Simulator::builder()
            .seed(seed)
            .clock(ClockMode::Stepped)
            .behaviour(behaviour.clone())
            .faults(faults);
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("files")).unwrap();
        let mut world = World {
            seed,
            service: Arc::new(service.start().await.unwrap()),
            behaviour,
            outs: BTreeMap::new(),
            unsure: BTreeSet::new(),
            good_looks: BTreeMap::new(),
            withheld: BTreeSet::new(),
            seen: BTreeSet::new(),
            stale: Vec::new(),
            digests: judge::Digests::default(),
            sums: Sums::default(),
            story: String::new(),
            directory,
            hook: RawServer::start("HTTP/1.1 204 No Content\r\n\r\n").await,
            notified: 0,
            rng,
            moments: Rng::with_seed(!seed),
            leavers: (seed >= mix::NEW).then(|| mix::later(!seed)),
            lags,
            calls: 0,
            told: Instant::now(),
        };
        world.live_through(cases, crew, errors).await;
        world.settle(crew, errors).await;
        world.files();
        judge::judge(&mut world);
        world.sums.worlds = 1;
        world.sums.cases = world.service.case_count() as u64;
        if !world.sums.is_clean() || std::env::var_os("CHAOS_SEED").is_some() {
            println!(
                "CHAOS_SEED={seed} {:?}\n{:?}\n{}CHAOS_SEED={seed}",
                world.behaviour,
                world.service.faults(),
                world.story
            );
        }
        world.sums
    }

    pub(super) fn say(&mut self, what: impl std::fmt::Display) {
        let now = super::process::millis(self.service.now()) / 1000;
        let _ = writeln!(self.story, "{now} {what}");
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(0..100) < percent
    }

    pub(super) fn orders(&self) -> Vec<OrderId> {
        self.service.orders(&AccountId::from("L-1")).collect()
    }

    async fn live_through(&mut self, cases: u64, crew: &mut [Process; 2], errors: &Path) {
        self.sign_in().await;
        for process in 0..2 {
            self.open(crew, process, errors).await;
        }
        // The account is known before its first case is.
        self.until_good(crew, errors).await;
        let mut life = mix::life(&mut self.rng);
        self.service.set_life(life.clone()).unwrap();
        let target = self.rng.u64(40..160).min(cases);
        let mut rest = 30;
        while rest > 0 {
            if self.service.case_count() as u64 >= target {
                if life.cases_per_day > 0.0 {
                    life.cases_per_day = 0.0;
                    self.service.set_life(life.clone()).unwrap();
                }
                rest -= 1;
            }
            self.step(crew, errors).await;
        }
    }

    /// Some time passes, and some of the software does something.
    async fn step(&mut self, crew: &mut [Process; 2], errors: &Path) {
        let minutes = self.rng.u64(5..50);
        // No less than has passed for the processes.
        let passed = self.told.elapsed() + Duration::from_secs(1);
        self.service
            .live(Duration::from_secs(60 * minutes).max(passed));
        self.notify(crew).await;
        self.leave().await;
        let (one, other) = (self.rng.usize(0..2), self.rng.usize(0..2));
        let looks = if self.chance(80) { "poll" } else { "run" };
        self.alone(crew, one, looks.to_owned(), errors).await;
        let work = self.some_work();
        if self.chance(30) {
            // Both at once, while people go on.
            let jobs = match one {
                0 => [Some("run".to_owned()), Some(work)],
                _ => [Some(work), Some("run".to_owned())],
            };
            self.phase(crew, jobs, errors).await;
        } else {
            self.alone(crew, other, work, errors).await;
        }
    }

    fn some_work(&mut self) -> String {
        format!("work {} {}", self.rng.u8(1..30), self.rng.u64(..))
    }

    async fn alone(
        &mut self,
        crew: &mut [Process; 2],
        process: usize,
        job: String,
        errors: &Path,
    ) -> bool {
        let mut jobs = [None, None];
        jobs[process] = Some(job);
        self.phase(crew, jobs, errors).await
    }

    /// Processes do their jobs; the second may be killed meanwhile, or before another one takes
    /// its place. Gives whether everything went well.
    async fn phase(
        &mut self,
        crew: &mut [Process; 2],
        jobs: [Option<String>; 2],
        errors: &Path,
    ) -> bool {
        self.tell_time(crew);
        let begun = super::process::millis(self.service.now());
        let mut busy = [false; 2];
        for (process, job) in jobs.iter().enumerate() {
            if let Some(job) = job {
                self.say(format_args!("{process}: {job}"));
                crew[process].tell(job);
                busy[process] = true;
            }
        }
        let both = busy == [true; 2];
        let is_poll = jobs.iter().flatten().all(|job| job == "poll");
        let mut dies = (busy[1] && self.chance(10)).then(|| {
            let calls = self.rng.u64(0..20);
            (
                self.service.call_count() + calls,
                self.moments.u32(0..DEATH),
            )
        });
        // People go on for some minutes while both work.
        let mut lives = if both { self.rng.u32(0..6) } else { 0 };
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut killed = false;
        let mut phase = Phase::default();
        while busy != [false; 2] {
            let waits = dies.is_none() && lives == 0;
            let [first, second] = crew;
            let (process, line) = tokio::select! {
                biased;
                line = first.line(), if busy[0] => (0, line),
                line = second.line(), if busy[1] => (1, line),
                _ = ticks.tick(), if !waits => {
                    if lives > 0 && self.moments.u8(0..100) < LIVES {
                        lives -= 1;
                        self.service.live(Duration::from_secs(40));
                    }
                    match &mut dies {
                        Some((calls, ticks)) if self.service.call_count() >= *calls => {
                            if *ticks == 0 {
                                dies = None;
                                killed = true;
                                second.kill();
                            } else {
                                *ticks -= 1;
                            }
                        }
                        _ => {}
                    }
                    continue;
                }
            };
            match line {
                // It may have been done just before.
                Some(line) if line == "done" && process == 1 && killed => {}
                Some(line) if line == "done" => {
                    busy[process] = false;
                    if process == 1 {
                        dies = None;
                    }
                }
                Some(line) => self.hear(&line, &mut phase),
                None => {
                    busy[process] = false;
                    phase.died = true;
                    self.replace(crew, process, errors).await;
                }
            }
        }
        let ended = super::process::millis(self.service.now());
        self.look(&phase, is_poll && !both, (begun, ended));
        if phase.unauthorized {
            self.sign_in().await;
        }
        phase.good && !phase.died
    }

    fn tell_time(&mut self, crew: &mut [Process; 2]) {
        self.told = Instant::now();
        let (simulated, real) = (self.service.now(), SystemTime::now());
        for process in crew {
            process.tell_time(simulated, real);
        }
    }

    /// The lab's web server passes on what was posted to it, to one process or both or none.
    async fn notify(&mut self, crew: &mut [Process; 2]) {
        // Those that are on their way may come now or later.
        tokio::task::yield_now().await;
        let requests = self.hook.requests();
        for request in requests.iter().skip(self.notified) {
            let body = request.split_once("\r\n\r\n").map(|(_, body)| body);
            for process in crew.iter_mut() {
                if self.moments.bool() {
                    process.tell(&format!("notify {}", body.unwrap_or_default()));
                }
            }
        }
        self.notified = requests.len();
    }

    /// A process that has died is replaced.
    async fn replace(&mut self, crew: &mut [Process; 2], process: usize, errors: &Path) {
        let ended = crew[process].ended();
        if ended.code() == Some(SLIPPED) {
            self.sums.leaked += 1;
        } else {
            let said = std::fs::read_to_string(errors).unwrap_or_default();
            let killed = ended.code().is_none() && process == 1;
            assert!(killed, "{ended} CHAOS_SEED={}: {said}", self.seed);
            self.sums.killed += 1;
        }
        self.say(format_args!("{process} died"));
        crew[process] = Process::start(errors);
        self.tell_time(crew);
        self.open(crew, process, errors).await;
    }

    /// A process takes up its work.
    async fn open(&mut self, crew: &mut [Process; 2], process: usize, errors: &Path) {
        self.tell_time(crew);
        let line = format!(
            "world http://{}/ {} {}",
            self.service.address(),
            self.service.other_region(),
            self.directory.path().display()
        );
        crew[process].tell(&line);
        let mut phase = Phase::default();
        loop {
            match crew[process].line().await {
                Some(line) if line == "done" => break,
                Some(line) => self.hear(&line, &mut phase),
                None => {
                    let said = std::fs::read_to_string(errors).unwrap_or_default();
                    panic!("CHAOS_SEED={}: {said}", self.seed);
                }
            }
        }
    }

    /// The software as a person uses it.
    async fn client(&self) -> Client {
        let store = SqliteStore::open(self.directory.path().join("cases.db"));
        let url = format!("http://{}/", self.service.address());
        builder(&url, store.await.unwrap())
            .allow_host(self.service.other_region().to_string())
            .clock(SimulatedTime(Arc::clone(&self.service)))
            .build()
            .unwrap()
    }

    /// Now and then a person ends the pairing or the tokens, and tells nobody.
    async fn leave(&mut self) {
        let Some(leavers) = &mut self.leavers else {
            return;
        };
        let way = leavers.u8(0..100);
        if way >= 3 {
            return;
        }
        let account = self.client().await.account("L-1");
        let left = match way {
            0 => account.revoke().await,
            _ => account.unpair().await,
        };
        self.sums.left += u64::from(left.is_ok());
        self.sums.leaked += judge::leaks(&format!("{left:?}"));
        self.say(format_args!("a person leaves: {left:?}"));
    }

    /// A person signs in and pairs, as often as it takes.
    async fn sign_in(&mut self) {
        self.sums.signed_in += 1;
        self.say("a person signs in");
        let client = self.client().await;
        for _ in 0..50 {
            let login = client.login("me");
            let request = login.authorize().unwrap();
            let redirected = self.service.consent(request.url()).unwrap();
            let pairing = login.pair("L-1").notification_url(self.hook.url("/hook"));
            if login.finish(&request, &redirected).await.is_ok() && pairing.await.is_ok() {
                return;
            }
            if self.behaviour.rate_limit.is_some() {
                // The next try may have to be in another minute.
                self.service.advance(Duration::from_secs(60));
            }
        }
        panic!("CHAOS_SEED={}: nobody can sign in", self.seed);
    }

    async fn until_good(&mut self, crew: &mut [Process; 2], errors: &Path) {
        for _ in 0..200 {
            self.service
                .advance(self.told.elapsed() + Duration::from_secs(60));
            if self.alone(crew, 0, "poll".to_owned(), errors).await {
                return;
            }
        }
        panic!("CHAOS_SEED={}: no round is good\n{}", self.seed, self.story);
    }

    /// Faults end, and everybody stands still: all can be seen, and worked on.
    async fn settle(&mut self, crew: &mut [Process; 2], errors: &Path) {
        self.say("the end");
        self.service.set_faults(Faults::default()).unwrap();
        // No time passes in a round: one that takes more calls than a minute has is never whole.
        let mut unlimited = self.behaviour.clone();
        unlimited.rate_limit = None;
        // The hours between two rounds must not be longer than a sign-in lasts.
        unlimited.refresh_life = None;
        self.service.set_behaviour(unlimited).unwrap();
        const HOUR: Duration = Duration::from_secs(60 * 60);
        // Also what is looked at only now and then.
        for wait in [HOUR, HOUR * 30, HOUR * 30] {
            self.service.advance(wait);
            self.until_good(crew, errors).await;
        }
        let mut open = None;
        // More than an order has deliveries, which come one after the other.
        for _ in 0..20 {
            self.service.advance(HOUR * 2);
            self.until_good(crew, errors).await;
            self.service.advance(HOUR);
            self.alone(crew, 0, "finish 1000 1".to_owned(), errors)
                .await;
            open = self.count(crew).await;
            if open == Some(0) {
                break;
            }
        }
        let mut withheld = 0;
        for (name, out) in self.outs.clone() {
            if out.acknowledged || out.acknowledging {
                continue;
            }
            let truth = self.service.truth(&OrderId::from(name.0.as_str())).unwrap();
            let symbol = truth.phase().shows();
            let with_lab = matches!(symbol, Symbol::F | Symbol::R | Symbol::D);
            // Such a service gives the files of what the lab has, and of nothing else.
            if !with_lab && self.behaviour.elsewhere != Elsewhere::Full {
                withheld += 1;
                self.withheld.insert(name.0.clone());
                self.say(format_args!("withheld: {name:?}"));
                continue;
            }
            self.sums.lost += 1;
            self.say(format_args!("LOST: {name:?} was never finished: {truth:?}"));
        }
        self.sums.withheld += withheld;
        // Those of an order wait for each other, so that one may stand for several.
        if withheld == 0 && open != Some(0) {
            self.sums.lost += open.unwrap_or(1);
            self.say(format_args!("LOST: {open:?} are still open"));
        }
    }

    async fn count(&mut self, crew: &mut [Process; 2]) -> Option<u64> {
        crew[0].tell("count");
        let mut phase = Phase::default();
        while let Some(line) = crew[0].line().await {
            if line == "done" {
                break;
            }
            self.hear(&line, &mut phase);
        }
        phase.open
    }
}

/// The one who signs in lives in the service's time.
#[derive(Debug)]
struct SimulatedTime(Arc<Simulator>);

#[async_trait::async_trait]
impl Clock for SimulatedTime {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration / 10).await;
    }
}
