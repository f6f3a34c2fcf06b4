//! Random worlds: a service that lags, splits, contradicts itself and fails, clocks that are
//! wrong, processes that overlap and die; and two oracles that judge what the planner made of it.
//!
//! *Nothing that was shown long enough is lost*: each phase of the truth ends with a calm time in
//! which those answers that work show it, for as long as the rules may need; then each phase that
//! waits for the lab must have been delivered. *An unchanged service comes to rest*: while the truth
//! is unchanged and all that is wrong goes on, deliveries become ever rarer.
//!
//! A third one judges worlds in which the service makes no mistake, however late its answers come:
//! there each phase that waits for the lab is delivered once, and nothing is doubtful but a change
//! of files alone.

mod answers;
mod observing;
mod truth;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

use crate::inbox::plan::{CaseRecord, Evidence, ListingCoverage, Policy};
use crate::status::OrderStatus;

use answers::{Answer, Service};
use truth::Phase;

const POLL: u64 = 300;
const HOUR: u64 = 3_600;

/// What an oracle objects to.
#[derive(Debug)]
struct Finding {
    what: String,
    log: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.log {
            writeln!(f, "{line}")?;
        }
        f.write_str(&self.what)
    }
}

/// What a world was, for the sum of many.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    deliveries: u64,
    doubtful: u64,
    phases: u64,
    steps: u64,
    fetches: u64,
    outdated: u64,
    rested: u64,
    most_at_rest: u64,
}

impl Summary {
    fn add(&mut self, one: &Summary) {
        self.deliveries += one.deliveries;
        self.doubtful += one.doubtful;
        self.phases += one.phases;
        self.steps += one.steps;
        self.fetches += one.fetches;
        self.outdated += one.outdated;
        self.rested += one.rested;
        self.most_at_rest = self.most_at_rest.max(one.most_at_rest);
    }
}

/// Plays the world of a seed.
fn play(seed: u64, verbose: bool) -> Result<Summary, Finding> {
    let mut world = World::new(seed, verbose);
    let result = world.live();
    let what = match result {
        Ok(()) => return Ok(world.summary),
        Err(what) => what,
    };
    Err(Finding {
        what: format!("seed {seed}: {what}"),
        log: world.log,
    })
}

/// A delivery as the lab gets it.
#[derive(Clone, Debug)]
struct LabDelivery {
    status: OrderStatus,
    at_poll: usize,
}

struct World {
    rng: Rng,
    service: Service,
    record: CaseRecord,
    coverage: ListingCoverage,
    policy: Policy,
    revision: u64,
    /// At which revision the case was recorded last.
    recorded: u64,
    /// Elapsed time in seconds, and what the clocks of two processes make of it.
    elapsed: u64,
    clocks: [Clock; 2],
    monotonic: bool,
    delivered: Vec<LabDelivery>,
    /// The service makes no mistake.
    faultless: bool,
    /// Answers that take their time, until these polls.
    late: Vec<(usize, PendingAnswer)>,
    polls: usize,
    /// Fetches that were due.
    due_fetches: u32,
    summary: Summary,
    verbose: bool,
    log: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Clock {
    offset: i64,
    /// Stands still since.
    stopped: Option<u64>,
}

/// What a worker asked and got, before it is recorded.
struct PendingAnswer {
    answer: Answer,
    revision: u64,
    worker: usize,
    /// The phase of the truth when it was asked.
    phase: usize,
}

impl World {
    fn new(seed: u64, verbose: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let faultless = rng.u8(0..6) == 0;
        let service = Service::new(&mut rng, faultless);
        let start = 1_800_000_000;
        World {
            monotonic: rng.bool(),
            rng,
            service,
            record: CaseRecord::new(),
            coverage: ListingCoverage::default(),
            policy: Policy::default(),
            revision: 0,
            recorded: 0,
            elapsed: start,
            clocks: [Clock::default(); 2],
            delivered: Vec::new(),
            faultless,
            late: Vec::new(),
            polls: 0,
            due_fetches: 0,
            summary: Summary::default(),
            verbose,
            log: Vec::new(),
        }
    }

    fn live(&mut self) -> Result<(), String> {
        let service = format!("{:?}", self.service);
        self.say(|_| service);
        let phases = self.rng.usize(1..7);
        for _ in 0..phases {
            let began = self.delivered.len();
            let first_poll = self.polls;
            self.next_phase();
            for _ in 0..self.rng.usize(0..14) {
                self.disturb();
                self.poll(false, POLL)?;
                if !self.faultless && self.rng.u8(..) < 4 && self.record.deliveries() > 0 {
                    self.own_action(false);
                }
            }
            if !self.calm(began, first_poll)? {
                return Ok(());
            }
            self.summary.phases += 1;
            let deliveries = self.delivered.len() - began;
            let right = usize::from(self.service.truth().waits_for_lab());
            if self.faultless && deliveries != right {
                let truth = self.service.truth();
                return Err(format!(
                    "{deliveries} deliveries of {truth:?}, and no fault"
                ));
            }
        }
        if !self.faultless && self.rng.u8(0..3) == 0 {
            self.rest()?;
        }
        Ok(())
    }

    /// Goes on to the next phase of the truth; by our own return at times.
    fn next_phase(&mut self) {
        let waits = self.service.truth().waits_for_lab();
        let returns = waits && self.record.deliveries() > 0 && self.rng.u8(0..4) == 0;
        if returns {
            self.own_action(true);
        } else {
            self.service.go_on(&mut self.rng, self.elapsed);
        }
        let truth = self.service.truth().clone();
        self.say(|_| format!("  TRUTH {truth:?}"));
    }

    /// We return the order, or download it. A return has its effect, or none.
    fn own_action(&mut self, with_effect: bool) {
        if with_effect || self.rng.u8(0..6) == 0 {
            let asked = self.rng.u64(0..2).min(self.revision);
            let revision = self.revision - asked;
            self.observe(Evidence::Returned, revision, 0);
            if with_effect {
                self.service.returned(self.elapsed);
            }
        } else {
            let ordinal = u32::try_from(self.record.deliveries()).unwrap_or_default();
            self.observe(Evidence::Downloaded(ordinal), self.revision, 0);
        }
    }

    /// What is wrong for a while changes.
    fn disturb(&mut self) {
        if !self.faultless {
            self.service.disturb(&mut self.rng);
        }
        if self.rng.u8(..) < 20 {
            let worker = self.rng.usize(0..2);
            let scale = [HOUR, 30 * HOUR, 400 * 24 * HOUR][self.rng.usize(0..3)];
            let jump = self.rng.u64(0..scale) as i64;
            let clock = &mut self.clocks[worker];
            match self.rng.u8(0..4) {
                0 => clock.stopped = Some(self.elapsed),
                1 => clock.stopped = None,
                2 => clock.offset += jump,
                _ => clock.offset -= jump,
            }
            if self.rng.u8(0..6) == 0 {
                *clock = Clock::default();
            }
        }
    }

    /// Those answers that work show the truth, for as long as the rules may need. False where the
    /// world has become too long to go on.
    fn calm(&mut self, began: usize, first_poll: usize) -> Result<bool, String> {
        self.service.calm();
        for clock in &mut self.clocks {
            clock.stopped = None;
        }
        self.say(|_| "  calm".to_owned());
        let state = self.service.truth().clone();
        if !state.waits_for_lab() {
            let polls = usize::try_from(self.record.absences_needed_for_tests()).unwrap_or(99);
            if polls > 64 {
                return Ok(false);
            }
            let fetches = self.service.fetches_work();
            for _ in 0..(polls + 4).max(if fetches { 80 } else { 0 }) {
                self.poll(true, HOUR)?;
                let known = self.record.history().last();
                if known.is_some_and(|last| last.status() == &state.status)
                    && self.record.is_settled_for_tests()
                {
                    break;
                }
            }
            return Ok(true);
        }
        let needed = self
            .record
            .agreement_needed_for_tests(&self.service.shown_status(&state));
        if needed > 64 {
            return Ok(false);
        }
        // An open return, or a state that two records of a listing left open, takes a day.
        let mut polls = needed as usize + 4;
        if self.service.is_never_complete() || self.service.fetches_work() {
            polls += 4;
        }
        for _ in 0..polls {
            self.poll(true, POLL)?;
        }
        // An open return, and an order without an order id, wait for a day, and for another one
        // if a clock was wrong.
        for _ in 0..50 {
            if !self.record.is_return_open() && !self.record.is_new() {
                break;
            }
            self.poll(true, HOUR)?;
        }
        for _ in 0..4 {
            self.poll(true, POLL)?;
        }
        let mut missing = self.missing(&state, began, first_poll);
        if self.service.fetches_work() {
            // A view that lags is fetched at the slow interval.
            for _ in 0..60 {
                if missing.is_none() {
                    break;
                }
                self.poll(true, HOUR)?;
                missing = self.missing(&state, began, first_poll);
            }
        }
        missing.map_or(Ok(true), |what| {
            Err(format!("{state:?} was shown for {polls} polls and {what}"))
        })
    }

    fn missing(&self, state: &Phase, began: usize, first_poll: usize) -> Option<&'static str> {
        let names = self.service.names(state);
        let mut late = self.delivered[began..].iter();
        if !late.any(|one| one.at_poll >= first_poll && names.contains(&one.status)) {
            return Some("is not delivered");
        }
        let current = self.record.history().last();
        let is_current = current.is_some_and(|last| names.contains(last.status()));
        (!is_current).then_some("is not current")
    }

    /// The truth is unchanged, and what is wrong goes on in one and the same way.
    fn rest(&mut self) -> Result<(), String> {
        self.service.disturb_for_good(&mut self.rng);
        for clock in &mut self.clocks {
            clock.stopped = None;
        }
        let service = format!("  rest {:?}", self.service);
        self.say(|_| service);
        let polls: u32 = if self.rng.u8(0..16) == 0 { 4_096 } else { 256 };
        let before = self.delivered.len();
        self.due_fetches = 0;
        for _ in 0..polls {
            self.poll(false, POLL)?;
        }
        let all = self.delivered.len() - before;
        // Each status that is shown has its own count of evidence, and so has absence. In a poll
        // there are two answers at most times.
        let kinds = self.service.listed_statuses() + 1;
        let doublings = polls.ilog2() as usize + 1;
        self.summary.rested += 1;
        self.summary.most_at_rest = self.summary.most_at_rest.max(all as u64);
        // Processes whose clocks disagree find due what the other one has deferred.
        let clocks_agree = self.clocks[0].offset == self.clocks[1].offset;
        let may_be_counted = polls > 1_000 && clocks_agree && self.service.has_rx_id();
        if may_be_counted && self.due_fetches > polls / 6 {
            return Err(format!("{} fetches in {polls} polls", self.due_fetches));
        }
        if all > kinds * doublings {
            return Err(format!(
                "{all} deliveries in {polls} polls of an unchanged service"
            ));
        }
        Ok(())
    }

    fn say(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.verbose {
            let line = what(self);
            self.log.push(line);
        }
    }
}

/// `PLAN_WORLDS` says how many, `PLAN_FIRST` the first seed; `PLAN_SEED` plays one and tells its story.
/// scripts/soak plays a million.
#[test]
fn random_worlds_have_no_finding() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("PLAN_SEED") {
        match play(seed, true) {
            Ok(summary) => println!("{summary:?}"),
            Err(finding) => panic!("{finding}"),
        }
        return;
    }
    let (worlds, first) = (number("PLAN_WORLDS"), number("PLAN_FIRST"));
    let (worlds, first) = (worlds.unwrap_or(1_500), first.unwrap_or_default());
    let next = AtomicU64::new(first);
    let found = Mutex::new((Summary::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        break;
                    }
                    let played = play(seed, false);
                    let mut found = found.lock().unwrap();
                    match played {
                        Ok(summary) => found.0.add(&summary),
                        Err(finding) => found.1.push(finding.what),
                    }
                }
            });
        }
    });
    let (summary, findings) = found.into_inner().unwrap();
    println!(
        "{worlds} worlds from {first}: {} findings; {summary:?}",
        findings.len()
    );
    assert!(
        findings.is_empty(),
        "{:#?}",
        &findings[..findings.len().min(20)]
    );
    // The worlds are only worth something if much happens in them.
    assert!(summary.deliveries > worlds && summary.doubtful > 0 && summary.outdated > 0);
}
