//! Rude worlds: a whole inbox, several orders, two processes whose clocks disagree, and a service that
//! is wrong about ids, statuses, files and lists, for a while or for ever.
//!
//! The worlds of the plan know one order, and those of the simulator a service that means well. Here
//! futures are dropped between any two awaits, clocks are set back and ahead and stand still, and
//! handlers fail, panic and hang. The oracles are the same: *what was shown long enough was handed
//! out*, and *an unchanged service comes to rest*. And one of identity: an order has one name, and no
//! name two patients. `RUDE_SEED=7 cargo test --test it -- --nocapture inbox::rude` plays one.

mod ledger;
mod process;
mod service;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use futures_util::FutureExt;
use http::{Response, header};
use lab_connector::inbox::{CaseStore, Delivery, HandlerResult, Inbox};
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{MemoryTokenStore, TokenStore};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use super::hooked_store::HookedStore;
use super::{HOUR, notification, play_worlds};
use crate::support::{TestClock, account, builder, number, tokens};
use ledger::{HandedOut, Ledger};
use process::{GivesWay, Pace, Process, drive};
use service::{Service, pick};

const MINUTE: Duration = Duration::from_secs(60);

type Played<T = ()> = Result<T, String>;

/// `RUDE_WORLDS` says how many, `RUDE_FIRST` the first seed.
#[test]
fn what_is_shown_is_handed_out_under_one_name_however_rude_the_world_is() {
    let (worlds, first) = match number("RUDE_SEED") {
        Some(seed) => (1, seed),
        None => (
            number("RUDE_WORLDS").unwrap_or(30),
            number("RUDE_FIRST").unwrap_or_default(),
        ),
    };
    let found = Mutex::new((Tally::default(), Vec::new()));
    play_worlds(first, worlds, |seed| {
        let played = play(seed);
        let mut found = found.lock().unwrap();
        match played {
            Ok(tally) => found.0.add(&tally),
            Err(finding) => found.1.push(finding),
        }
    });
    let (tally, findings) = found.into_inner().unwrap();
    println!(
        "{worlds} worlds from {first}: {} findings; {tally:?}",
        findings.len()
    );
    assert!(
        findings.is_empty(),
        "{}",
        findings[..findings.len().min(2)].join("\n\n")
    );
    // The worlds are only worth something if much happens in them.
    if worlds >= 30 {
        let Tally {
            deliveries,
            doubtful,
            dropped,
            failed_polls,
            failed_handlers,
        } = tally;
        assert!(deliveries > worlds && doubtful > 0);
        assert!(dropped > worlds && failed_polls > worlds && failed_handlers > 0);
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    deliveries: u64,
    doubtful: u64,
    /// Futures that were dropped halfway.
    dropped: u64,
    failed_polls: u64,
    failed_handlers: u64,
}

impl Tally {
    fn add(&mut self, more: &Tally) {
        self.deliveries += more.deliveries;
        self.doubtful += more.doubtful;
        self.dropped += more.dropped;
        self.failed_polls += more.failed_polls;
        self.failed_handlers += more.failed_handlers;
    }
}

fn play(seed: u64) -> Played<Tally> {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed).await;
        let lived = world.live().await;
        let orders = format!("{:#?}", world.service().orders);
        let (tally, first) = {
            let ledger = world.ledger.lock().unwrap();
            (ledger.tally, ledger.wrong.first().cloned())
        };
        let Some(wrong) = lived.err().or(first) else {
            return Ok(tally);
        };
        // With its story: maps have another order in each run, so a seed need not do the same again.
        let cases = world.store.cases(&"account-77".into(), None, 100).await;
        let cases = cases.unwrap();
        let cases = cases.iter().map(|one| one.case.to_json().unwrap());
        let cases: Vec<_> = cases.collect();
        Err(format!(
            "{orders}\n{}\n{}\nRUDE_SEED={seed}: {wrong}",
            world.log.join("\n"),
            cases.join("\n")
        ))
    })
}

struct World {
    rng: Rng,
    service: Arc<Mutex<Service>>,
    store: Arc<HookedStore<GivesWay>>,
    processes: Vec<Process>,
    ledger: Arc<Mutex<Ledger>>,
    log: Vec<String>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let service = Arc::new(Mutex::new(Service::new(rng.fork())));
        let mut world = World {
            rng,
            service,
            store: Arc::new(HookedStore::new(GivesWay)),
            processes: Vec::new(),
            ledger: Arc::default(),
            log: Vec::new(),
        };
        for _ in 0..2 {
            let clock = TestClock::still();
            let inbox = world.inbox(&clock).await;
            let pace = Pace::Right;
            world.processes.push(Process { inbox, clock, pace });
        }
        world
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap()
    }

    async fn inbox(&mut self, clock: &TestClock) -> Inbox {
        let kept = MemoryTokenStore::new();
        let good = tokens(clock, 100 * 365 * 86_400);
        assert!(kept.swap(&account(), None, &good).await.unwrap());
        let service = Arc::clone(&self.service);
        let client = builder("https://service.example/", clock)
            .token_store(kept)
            .transport(transport::from_fn(move |request| {
                let service = Arc::clone(&service);
                let path = request.uri().path().to_owned();
                async move {
                    // Made up at once and late to arrive, or the other way round.
                    let (early, pieces) = {
                        let mut service = service.lock().unwrap();
                        let is_early = service.rng.bool();
                        let early = is_early.then(|| service.answer(&path));
                        (early, service.rng.u8(0..4))
                    };
                    for _ in 0..pieces {
                        yield_now().await;
                    }
                    let late = || service.lock().unwrap().answer(&path);
                    let (status, body) = early.unwrap_or_else(late);
                    Response::builder()
                        .status(status)
                        .header(header::CONTENT_TYPE, "application/json")
                        .body(Body::from(body))
                        .map_err(TransportError::broken)
                }
            }))
            .build()
            .unwrap();
        let lab = client.account("account-77");
        let most = pick(&mut self.rng, &[200, 200, 3, 1]);
        lab.inbox(Arc::clone(&self.store))
            .max_fetches_per_poll(most)
    }

    async fn live(&mut self) -> Played {
        let eras = self.rng.usize(1..5);
        for era in 0..eras {
            self.ledger.lock().unwrap().era = era;
            self.service().go_on(era);
            for _ in 0..self.rng.usize(0..14) {
                self.disturb();
                self.step().await?;
            }
            self.calm().await?;
        }
        // What waits for many answers that agree has come by then.
        for _ in 0..130 {
            self.pass(MINUTE * 5);
            self.calm_poll().await?;
        }
        let before = self.deliveries().await.len();
        for _ in 0..30 {
            self.pass(MINUTE * 5);
            self.calm_poll().await?;
        }
        let more = self.deliveries().await.len() - before;
        if more > 0 && !self.service().renews_files() {
            return Err(format!(
                "{more} deliveries of a service that is calm and unchanged"
            ));
        }
        self.rest().await
    }

    /// Nothing changes, and what is wrong goes on in one and the same way.
    async fn rest(&mut self) -> Played {
        self.service().disturb();
        let (before, polls) = (self.deliveries().await.len(), 200_u32);
        for _ in 0..polls {
            self.pass(MINUTE * 5);
            self.poll(0, None).await?;
        }
        let mut further = BTreeMap::<String, usize>::new();
        for (name, _) in self.deliveries().await.split_off(before) {
            *further.entry(name).or_default() += 1;
        }
        // Each status that is shown, absence and files have counts of their own, each of which doubles;
        // and in a poll there are two answers at most times.
        let most = 5 * (polls.ilog2() as usize + 1);
        match further.iter().find(|(_, count)| **count > most) {
            Some((name, count)) => Err(format!("{count} deliveries of {name} at rest")),
            None => Ok(()),
        }
    }

    /// What is wrong changes.
    fn disturb(&mut self) {
        if self.rng.u8(0..3) == 0 {
            self.service().disturb();
        }
        if self.rng.u8(0..6) > 0 {
            return;
        }
        let days = pick(&mut self.rng, &[0_u32, 1, 400]);
        let jump = HOUR * (24 * days + self.rng.u32(1..30));
        let what = self.rng.u8(0..5);
        let at = self.rng.usize(0..2);
        let process = &mut self.processes[at];
        match what {
            0 => process.clock.set_back(jump),
            1 => process.clock.set_ahead(jump),
            2 => process.pace = Pace::Suspended,
            3 => process.pace = Pace::Stopped,
            _ => process.pace = Pace::Right,
        }
        self.log.push(format!("process {at}: time {what} {jump:?}"));
    }

    fn pass(&self, time: Duration) {
        self.processes.iter().for_each(|process| process.pass(time));
    }

    async fn step(&mut self) -> Played {
        let seconds = self.rng.u64(1..900);
        self.pass(Duration::from_secs(seconds));
        let at = self.rng.usize(0..2);
        match self.rng.u8(0..100) {
            0..45 => {
                let most = (self.rng.u8(0..3) == 0).then(|| self.rng.usize(0..60));
                self.poll(at, most).await
            }
            45..55 => self.poll_both().await,
            55..70 => self.handle(at).await,
            70..85 => self.work(at).await,
            85..95 => {
                self.notify(at);
                Ok(())
            }
            _ => {
                self.log.push(format!("process {at} begins anew"));
                let clock = self.processes[at].clock.clone();
                self.processes[at].inbox = self.inbox(&clock).await;
                Ok(())
            }
        }
    }

    fn notify(&mut self, at: usize) {
        let known = self.service().orders.len();
        let rx_id = match self.rng.u8(0..6) {
            0 => "rx-forged".to_owned(),
            _ => format!("rx-{}", 1 + self.rng.usize(0..known)),
        };
        self.log
            .push(format!("process {at} is notified of {rx_id}"));
        self.processes[at].inbox.notify(&notification(&rx_id));
    }

    /// A poll, whole or dropped after so many polls of its future.
    async fn poll(&mut self, at: usize, most: Option<usize>) -> Played {
        let Process { inbox, clock, .. } = &self.processes[at];
        let polled = drive(&[clock], &mut self.rng, pin!(inbox.poll()), most).await?;
        let mut ledger = self.ledger.lock().unwrap();
        match &polled {
            None => ledger.tally.dropped += 1,
            Some(Err(error)) if error.is_store() => return Err(format!("{error:?}")),
            Some(Err(_)) => ledger.tally.failed_polls += 1,
            Some(Ok(_)) => {}
        }
        self.log.push(format!("process {at} polls: {polled:?}"));
        Ok(())
    }

    async fn poll_both(&mut self) -> Played {
        if !self.service().may_be_asked_by_two() {
            return Ok(());
        }
        let [one, other] = &self.processes[..] else {
            return Ok(());
        };
        let both = futures_util::future::join(one.inbox.poll(), other.inbox.poll());
        let polled = drive(&[&one.clock, &other.clock], &mut self.rng, pin!(both), None).await?;
        self.log.push(format!("both poll: {polled:?}"));
        let polled = polled.map(|(one, other)| [one, other]);
        let mut errors = polled.into_iter().flatten().filter_map(Result::err);
        // Of two that commit one case the slower one reads it anew.
        match errors.find(|error| error.is_store()) {
            Some(error) => Err(format!("{error:?}")),
            None => Ok(()),
        }
    }

    /// The loop runs for a while, and is stopped or dropped.
    async fn handle(&mut self, at: usize) -> Played {
        let (stop, stopped) = oneshot::channel::<()>();
        let ledger = Arc::clone(&self.ledger);
        let mut rng = self.rng.fork();
        let handler = move |delivery: Delivery| {
            let what = rng.u8(0..10);
            let steps = rng.u8(0..6);
            let at_work = Ledger::begin(&ledger, at, &delivery);
            ledger.lock().unwrap().tally.failed_handlers += u64::from(what < 3);
            async move {
                let _at_work = at_work;
                match what {
                    // Not by `panic!`, which would print.
                    0 => resume_unwind(Box::new("a bug")),
                    1 => return HandlerResult::Err("no".into()),
                    2 => std::future::pending::<()>().await,
                    _ => {}
                }
                for _ in 0..steps {
                    yield_now().await;
                }
                drop(delivery);
                Ok(())
            }
        };
        let Process { inbox, clock, .. } = &self.processes[at];
        let inbox = inbox.clone().concurrency(1 + at).grace(MINUTE);
        let mut work = inbox.for_each_until(stopped.map(drop), handler);
        let mut ended = None;
        for _ in 0..self.rng.u8(1..4) {
            let steps = self.rng.usize(0..100);
            ended = drive(&[clock], &mut self.rng, work.as_mut(), Some(steps)).await?;
            if ended.is_some() {
                break;
            }
            // The machine sleeps, longer than leases last.
            if self.rng.u8(0..4) == 0 {
                clock.set_ahead(HOUR);
                clock.advance(MINUTE);
            }
        }
        if ended.is_none() && self.rng.bool() {
            // Nobody listens where it has just ended by itself.
            let _ = stop.send(());
            ended = drive(&[clock], &mut self.rng, work.as_mut(), None).await?;
        }
        drop(work);
        self.log.push(format!("process {at} handles: {ended:?}"));
        match ended {
            Some(Err(error)) => Err(format!("the loop has ended: {error:?}")),
            Some(Ok(())) => Ok(()),
            None => {
                self.ledger.lock().unwrap().tally.dropped += 1;
                Ok(())
            }
        }
    }

    /// Somebody works on what there is, and does with it what comes to their mind.
    async fn work(&mut self, at: usize) -> Played {
        let Process { inbox, clock, .. } = &self.processes[at];
        let limit = self.rng.usize(1..4);
        let most = (self.rng.u8(0..4) == 0).then(|| self.rng.usize(0..4));
        let claimed = drive(&[clock], &mut self.rng, pin!(inbox.claim(limit)), most).await?;
        let Some(claimed) = claimed else {
            self.ledger.lock().unwrap().tally.dropped += 1;
            return Ok(());
        };
        for delivery in claimed.map_err(|error| format!("{error:?}"))? {
            self.ledger.lock().unwrap().take(&delivery);
            let what = self.rng.u8(0..6);
            let settling = async {
                match what {
                    0 => delivery.fail("no").await,
                    1 => delivery.extend().await,
                    2 => Ok(()),
                    _ => delivery.acknowledge().await,
                }
            };
            let most = (self.rng.u8(0..4) == 0).then(|| self.rng.usize(0..4));
            // Of one that was dropped nobody knows whether it is done.
            match drive(&[clock], &mut self.rng, pin!(settling), most).await? {
                Some(Ok(())) if what > 2 => self.ledger.lock().unwrap().acknowledged(&delivery),
                Some(Err(error)) if !error.is_lease_lost() => return Err(format!("{error:?}")),
                Some(_) => {}
                None => self.ledger.lock().unwrap().tally.dropped += 1,
            }
        }
        Ok(())
    }

    /// All answers that ever work show the truth, for as long as it may take.
    async fn calm(&mut self) -> Played {
        self.log.push("calm".to_owned());
        self.service().calm();
        for process in &mut self.processes {
            process.pace = Pace::Right;
        }
        let least = if self.service().hides_some() { 70 } else { 12 };
        let mut missing = None;
        for poll in 0..400 {
            self.pass(if poll < 40 { MINUTE * 5 } else { HOUR });
            self.calm_poll().await?;
            if poll < least {
                continue;
            }
            missing = self.missing().await;
            // What is listed nowhere is fetched seldom.
            if missing.is_none() && (poll > 150 || !self.lags().await) {
                return Ok(());
            }
        }
        missing.map_or(Ok(()), Err)
    }

    /// A poll, after which all that there is to do is done.
    async fn calm_poll(&mut self) -> Played {
        let Process { inbox, clock, .. } = &self.processes[0];
        let inbox = inbox.clone();
        let polled = drive(&[clock], &mut self.rng, pin!(inbox.poll()), None).await?;
        let polled = polled.map(|polled| polled.map_err(|error| format!("calm: {error:?}")));
        let report = polled.transpose()?;
        self.log.push(format!("{report:?}"));
        loop {
            let claimed = inbox
                .claim(10)
                .await
                .map_err(|error| format!("{error:?}"))?;
            if claimed.is_empty() {
                return Ok(());
            }
            for delivery in claimed {
                self.ledger.lock().unwrap().take(&delivery);
                let settled = delivery.acknowledge().await;
                settled.map_err(|error| format!("calm: {error:?}"))?;
                self.ledger.lock().unwrap().acknowledged(&delivery);
            }
        }
    }

    /// What should have been handed out and was not.
    async fn missing(&self) -> Option<String> {
        let shown: Vec<_> = {
            let service = self.service();
            let shown = service.orders.iter().map(|order| {
                let phase = order.now().clone();
                let names = service.names(phase.status);
                (order.who(), phase, names)
            });
            shown.collect()
        };
        for (who, phase, names) in shown.iter().filter(|(_, phase, _)| phase.is_listed()) {
            let name = {
                let ledger = self.ledger.lock().unwrap();
                let is_it = |one: &HandedOut| {
                    let is_named = names.contains(&one.status.as_str());
                    one.who == *who && one.era >= phase.era && is_named
                };
                if !ledger.handed.values().any(is_it) {
                    return Some(format!("{who} was {phase:?} and was not handed out"));
                }
                ledger.names[who].clone()
            };
            let case = self.processes[0].inbox.history(&name.as_str().into()).await;
            let case = case.unwrap()?;
            let last = case.history.last()?.status().as_str().to_owned();
            if !names.contains(&last.as_str()) {
                return Some(format!("{who} is {phase:?} and is known as {last}"));
            }
        }
        None
    }

    /// Whether an order that can be fetched is known in another status than it has.
    async fn lags(&self) -> bool {
        let quiet: Vec<_> = {
            let service = self.service();
            let quiet = service.orders.iter().filter(|one| one.is_seen_by_fetches());
            quiet.map(|one| (one.who(), one.now().status)).collect()
        };
        for (who, status) in quiet {
            let name = self.ledger.lock().unwrap().names.get(&who).cloned();
            let Some(name) = name else { continue };
            let case = self.processes[0].inbox.history(&name.as_str().into()).await;
            let history = case.unwrap().map(|case| case.history);
            let last = history.as_ref().and_then(|history| history.last());
            if last.is_some_and(|last| last.status().as_str() != status) {
                return true;
            }
        }
        false
    }

    /// The names of all deliveries, in the order of the log.
    async fn deliveries(&self) -> Vec<(String, u32)> {
        let log = self.processes[0].inbox.arrivals_after(0, usize::MAX).await;
        let log = log.unwrap();
        let named = log.iter().filter_map(|one| {
            let order = one.order_id().as_str().to_owned();
            Some((order, one.ordinal()?))
        });
        named.collect()
    }
}
