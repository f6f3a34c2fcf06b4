//! Chaos: a lab's software against the simulator with all behaviours mixed and all faults on,
//! two processes that share a database, one of which is killed now and then.
//!
//! What must hold, world after world, each drawn from its seed:
//!
//! - *lost*: an arrival of *Ready for Download* or *Lab Review* that a good answer showed, and
//!   that was never handed out; or work that was handed out and could not be brought to its end.
//! - *double*: a delivery of what never arrived, or of one arrival under two names, or one that
//!   was handed out after it was acknowledged.
//! - *wrong*: a delivery whose candidates leave out the scenario that was true.
//! - *corrupt*: a file that the service did not have, or not any more when it was delivered.
//! - *leaked*: a secret or a patient in a log at TRACE, an error, a `Debug` print, a file name or
//!   in what a process prints when it dies.
//!
//! What cannot be known is not asked for; `judge` says what that is. A seed makes the same world
//! again, but for the moments at which a process is killed: `CHAOS_SEED=7 cargo test --test it --
//! --nocapture chaos::`.

mod crew;
mod judge;
mod mix;
mod process;
mod world;

use std::fmt;
use std::time::{Duration, Instant};

use crew::Process;
use world::World;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

/// `CHAOS_CASES` says how many cases, `CHAOS_SECONDS` after how long no further world begins;
/// scripts/soak does many more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_wrong_corrupt_or_leaked() {
    let one = number("CHAOS_SEED");
    // A world has some tens.
    let cases = number("CHAOS_CASES").unwrap_or(20);
    let limit = Duration::from_secs(number("CHAOS_SECONDS").unwrap_or(60));
    let mut seed = one.or(number("CHAOS_FIRST")).unwrap_or(1);
    let (began, mut sums, mut memory) = (Instant::now(), Sums::default(), Vec::new());
    let directory = tempfile::tempdir().unwrap();
    let errors = directory.path().join("errors");
    let mut crew = [(); 2].map(|()| Process::start(&errors));
    while sums.cases < cases && (began.elapsed() < limit || sums.cases == 0) {
        let wanted = cases.saturating_sub(sums.cases);
        sums += World::play(seed, wanted, &mut crew, &errors).await;
        seed += 1;
        // By progress in what bounds the soak, whichever it is.
        let by_time = began.elapsed().as_secs_f64() / limit.as_secs_f64();
        let done = by_time.max(sums.cases as f64 / cases as f64).min(1.0);
        let quarters = (done * 4.0) as usize;
        while memory.len() < quarters {
            memory.push(crew[0].memory());
        }
        println!("{:.0} s, {sums:?}", began.elapsed().as_secs_f64());
        if one.is_some() {
            break;
        }
    }
    sums.leaked += judge::leaks(&std::fs::read_to_string(&errors).unwrap_or_default());
    println!("memory of a process at the quarters, in KiB: {memory:?}");
    if let Some((Some(first), Some(last))) = memory.first().zip(memory.last()) {
        assert!(*last < first + first / 2 + 16 * 1024, "memory grows");
    }
    println!("\n{sums}");
    assert!(sums.is_clean());
    assert!(sums.deliveries > 0 && sums.files > 0);
}

/// What happened.
#[derive(Debug, Default)]
struct Sums {
    worlds: u64,
    cases: u64,
    lost: u64,
    double: u64,
    wrong: u64,
    corrupt: u64,
    leaked: u64,
    deliveries: u64,
    /// Arrivals that had to be delivered.
    owed: u64,
    /// Arrivals that were shown to a process that died, or in an answer of which nobody knows
    /// whether it came, and to nobody later: neither owed nor delivered.
    unsure: u64,
    /// Arrivals that nothing told from the one before.
    alike: u64,
    /// Deliveries of what a listing that lagged behind showed.
    stale: u64,
    /// Deliveries whose files the service no longer gives, since the case is with somebody else.
    withheld: u64,
    /// Deliveries whose candidates were held against the truth.
    judged: u64,
    files: u64,
    killed: u64,
    signed_in: u64,
    problems: u64,
    good_rounds: u64,
}

impl Sums {
    fn is_clean(&self) -> bool {
        self.lost + self.double + self.wrong + self.corrupt + self.leaked == 0
    }
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, more: Self) {
        self.worlds += more.worlds;
        self.cases += more.cases;
        self.lost += more.lost;
        self.double += more.double;
        self.wrong += more.wrong;
        self.corrupt += more.corrupt;
        self.leaked += more.leaked;
        self.deliveries += more.deliveries;
        self.owed += more.owed;
        self.unsure += more.unsure;
        self.alike += more.alike;
        self.stale += more.stale;
        self.withheld += more.withheld;
        self.judged += more.judged;
        self.files += more.files;
        self.killed += more.killed;
        self.signed_in += more.signed_in;
        self.problems += more.problems;
        self.good_rounds += more.good_rounds;
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sums {
            cases,
            lost,
            double,
            wrong,
            corrupt,
            leaked,
            ..
        } = self;
        write!(
            f,
            "cases {cases} lost {lost} double {double} wrong {wrong} corrupt {corrupt} \
             leaked {leaked}"
        )
    }
}
