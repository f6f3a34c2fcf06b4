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
//! again, but for the moments at which a process is killed, people go on while both work, and
//! notifications come: `CHAOS_SEED=7 cargo test --test it -- --nocapture chaos::`.

mod crew;
mod judge;
mod mix;
mod process;
mod world;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::number;
use crew::Process;
use world::World;

/// Seeds of worlds in which something was lost once, or was asked for that nobody can know. They are
/// the first worlds of a soak.
const WENT_WRONG: [u64; 13] = [
    125, 3001, 4001, 4002, 4005, 25_073, 50_009, 100_037, 100_048, 100_166, 100_269, 100_377,
    100_381,
];

/// About so many cases has a world.
const A_WORLD: u64 = 100;

/// `CHAOS_CASES` says how many cases, `CHAOS_SECONDS` after how long no further world begins,
/// `CHAOS_LANES` how many worlds there are at a time: much of a world is waiting. scripts/soak
/// does many more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_wrong_corrupt_or_leaked() {
    let one = number("CHAOS_SEED");
    let cases = number("CHAOS_CASES");
    let first = one.or(number("CHAOS_FIRST")).unwrap_or(mix::NEW);
    // In the suite there is one world.
    let again = if one.is_none() && cases.is_some() {
        &WENT_WRONG[..]
    } else {
        &[]
    };
    let soak = Arc::new(Soak {
        cases: cases.unwrap_or(20),
        limit: Duration::from_secs(number("CHAOS_SECONDS").unwrap_or(60)),
        once: one.is_some(),
        began: Instant::now(),
        progress: Mutex::new(Progress {
            seeds: Box::new(again.iter().copied().chain(first..)),
            again: again.len(),
            running: 0,
            sums: Sums::default(),
        }),
    });
    let lanes = (0..number("CHAOS_LANES").unwrap_or(1)).map(|_| {
        let soak = Arc::clone(&soak);
        tokio::spawn(async move { soak.lane().await })
    });
    let lanes = futures_util::future::join_all(lanes).await;
    let sums = &soak.progress.lock().unwrap().sums;
    println!("\n{sums}");
    // One that has panicked does not count for nothing.
    let memory: Vec<_> = lanes.into_iter().map(|lane| lane.unwrap()).collect();
    println!("memory of processes at the quarters, in KiB: {memory:?}");
    for memory in memory {
        if let (Some(Some(first)), Some(Some(last))) = (memory.first(), memory.last()) {
            assert!(*last < first + first / 2 + 16 * 1024, "memory grows");
        }
    }
    assert!(sums.is_clean());
    assert!(sums.deliveries > 0 && sums.files > 0);
}

struct Soak {
    cases: u64,
    limit: Duration,
    /// One world, whatever its size.
    once: bool,
    began: Instant,
    progress: Mutex<Progress>,
}

struct Progress {
    seeds: Box<dyn Iterator<Item = u64> + Send>,
    /// So many of them are still to be played whole.
    again: usize,
    running: u64,
    sums: Sums,
}

impl Soak {
    /// The next world's seed, and with how many cases it is to be played at most; none if there is
    /// no further world.
    fn next(&self, is_first: bool) -> Option<(u64, u64)> {
        let mut progress = self.progress.lock().unwrap();
        let whole = self.once || progress.again > 0;
        // The others will have some too. The last one that ends sees what is still missing.
        let expected = progress.sums.cases + progress.running * A_WORLD;
        let wanted = self.cases.saturating_sub(expected);
        if (wanted == 0 && !whole) || (!is_first && self.began.elapsed() >= self.limit) {
            return None;
        }
        progress.again = progress.again.saturating_sub(1);
        progress.running += 1;
        let seed = progress.seeds.next()?;
        Some((seed, if whole { u64::MAX } else { wanted }))
    }

    /// One world after the other. Gives what memory the process has that is never killed.
    async fn lane(&self) -> Vec<Option<u64>> {
        let directory = tempfile::tempdir().unwrap();
        let errors = directory.path().join("errors");
        let mut crew = [(); 2].map(|()| Process::start(&errors));
        let mut memory = Vec::new();
        while let Some((seed, cases)) = self.next(memory.is_empty()) {
            let played = World::play(seed, cases, &mut crew, &errors).await;
            let mut progress = self.progress.lock().unwrap();
            progress.running -= 1;
            progress.sums += played;
            let seconds = self.began.elapsed().as_secs_f64();
            println!("{seconds:.0} s, {:?}", progress.sums);
            memory.push(crew[0].memory());
            if self.once {
                break;
            }
        }
        let said = std::fs::read_to_string(&errors).unwrap_or_default();
        self.progress.lock().unwrap().sums.leaked += judge::leaks(&said);
        // Of all that was measured: after a quarter of the worlds, and so on.
        let quarters = (1..=4).map(|quarter| (memory.len() * quarter).div_ceil(4));
        let quarters = quarters.filter_map(|end| memory.get(end.checked_sub(1)?));
        quarters.copied().collect()
    }
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
    /// Deliveries of what a listing that lagged behind showed, and doubtful ones.
    stale: u64,
    /// Deliveries whose files the service no longer gives, since the case is with somebody else.
    withheld: u64,
    /// Deliveries whose candidates were held against the truth.
    judged: u64,
    files: u64,
    killed: u64,
    signed_in: u64,
    /// People who ended the pairing or the tokens.
    left: u64,
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
        self.left += more.left;
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
