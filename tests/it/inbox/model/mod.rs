//! Random worlds: what an inbox made of them is held against what was true.
//!
//! A world is a simulator with labs whose doctors, people and modelers do what they may at any
//! time, also while a request is under way; a line that loses, cuts and garbles; notifications
//! that are lost, doubled, late and forged. What is judged does not know the rules: what the service
//! shows in the end was delivered, nothing was done twice, and an unchanged service comes to rest. A
//! seed makes the same world again:
//! `INBOX_SEED=7 cargo test --test it -- --nocapture inbox::model`.

mod desk;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use lab_connector::OrderStatus;
use lab_connector::flow::Origin;
use lab_connector::inbox::{Inbox, MemoryStore};
use lab_connector::simulator::Faults;
use lab_connector::{Lab, OrderId};

use super::play_worlds;
use crate::support::number;
use desk::Desk;
use world::World;

const VISIBILITY: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// `INBOX_WORLDS` says how many; a world has some four cases. scripts/check plays
/// 10,000 cases, scripts/soak a million.
#[test]
fn what_was_shown_is_delivered_once_and_in_order_in_any_world() {
    if let Some(seed) = number("INBOX_SEED") {
        play(seed, true);
        return;
    }
    let worlds = number("INBOX_WORLDS").unwrap_or(300);
    let first = number("INBOX_FIRST").unwrap_or_default();
    let tally = Tally::default();
    play_worlds(first, worlds, |seed| tally.add(&play(seed, false)));
    println!("{worlds} worlds from seed {first}: {tally:?}");
    // The worlds are only worth something if much happens in them.
    let [orders, deliveries, missed, partial] = tally.values();
    assert!(orders >= worlds && deliveries >= worlds && missed > 0 && partial > 0);
}

/// What happened.
#[derive(Debug, Default)]
struct Tally {
    orders: AtomicU64,
    deliveries: AtomicU64,
    /// Arrivals that were over before anybody looked.
    missed: AtomicU64,
    partial: AtomicU64,
}

impl Tally {
    fn add(&self, other: &Tally) {
        let mine = [&self.orders, &self.deliveries, &self.missed, &self.partial];
        for (mine, more) in mine.into_iter().zip(other.values()) {
            mine.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn values(&self) -> [u64; 4] {
        [&self.orders, &self.deliveries, &self.missed, &self.partial]
            .map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Plays one world on a thread's own runtime. A failure prints the seed and the world's story.
fn play(seed: u64, tell: bool) -> Tally {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new(seed));
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(Play::tally(&world, seed))
    }));
    if played.is_err() || tell {
        eprintln!("INBOX_SEED={seed}\n{}\nINBOX_SEED={seed}", world.story());
    }
    played.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A lab with its inbox.
struct LabAtWork {
    lab: Lab,
    store: MemoryStore,
    /// Two processes, or one.
    inboxes: Vec<Inbox>,
    desk: Desk,
}

struct Play {
    world: Arc<World>,
    labs: Vec<LabAtWork>,
}

impl Play {
    async fn tally(world: &Arc<World>, seed: u64) -> Tally {
        let mut labs = Vec::new();
        for lab in world.labs().await {
            let store = MemoryStore::new();
            let inbox = inbox(&lab, &store, world);
            labs.push(LabAtWork {
                inboxes: vec![inbox],
                lab,
                store,
                desk: Desk::new(world),
            });
        }
        let mut play = Play {
            world: Arc::clone(world),
            labs,
        };
        *world.busy.lock().unwrap() = true;
        let steps = 10 + seed % 60;
        for _ in 0..steps {
            play.step().await;
        }
        *world.busy.lock().unwrap() = false;
        play.settle().await;
        play.judge().await
    }

    async fn step(&mut self) {
        let lab = self.world.rng().usize(0..self.labs.len());
        let what = self.world.rng().u8(0..100);
        match what {
            0..25 => {
                let acts = self.world.rng().u8(1..4);
                for _ in 0..acts {
                    self.world.act();
                }
            }
            25..50 => {
                self.pass();
                self.poll(lab).await;
            }
            50..60 => {
                self.pass();
                self.turn(lab).await;
            }
            60..65 => self.pass(),
            65..80 => {
                let limit = self.world.rng().usize(1..4);
                self.claim(lab, limit).await;
            }
            80..97 => self.work(lab).await,
            _ => self.restart(lab),
        }
    }

    /// Time passes: mostly a little, sometimes so much that orders may have been missed.
    fn pass(&self) {
        let seconds = {
            let mut rng = self.world.rng();
            match rng.u8(0..100) {
                0..70 => rng.u64(1..1_800),
                70..97 => rng.u64(1..20_000),
                97 => rng.u64(100_000..500_000),
                _ => rng.u64(1..30) * 86_400,
            }
        };
        self.world.service.advance(Duration::from_secs(seconds));
        self.world.say(|| format!("{seconds} s pass"));
    }

    /// Another process, or the same one begun anew.
    fn restart(&mut self, lab: usize) {
        let lab = &mut self.labs[lab];
        let inbox = inbox(&lab.lab, &lab.store, &self.world);
        if lab.inboxes.len() == 1 && self.world.chance(50) {
            lab.inboxes.push(inbox);
        } else {
            lab.inboxes = vec![inbox];
        }
        self.world.say(|| "a process begins".to_owned());
    }

    fn inbox(&self, lab: usize) -> Inbox {
        let inboxes = &self.labs[lab].inboxes;
        let inbox = self.world.rng().usize(0..inboxes.len());
        inboxes[inbox].clone()
    }

    fn notify(&self, lab: usize, inbox: &Inbox) {
        for notification in self.world.notices(lab) {
            self.world
                .say(|| format!("notified of {}", notification.rx_id().as_str()));
            inbox.notify(&notification);
        }
    }

    /// A round, whole or given up.
    async fn poll(&mut self, lab: usize) {
        let inbox = self.inbox(lab);
        self.notify(lab, &inbox);
        self.world.say(|| format!("lab {lab} polls"));
        let interrupt = self.world.kind.interrupted && self.world.chance(40);
        let steps = if interrupt {
            self.world.rng().usize(0..12)
        } else {
            usize::MAX
        };
        let mut polling = pin!(inbox.poll());
        let mut round = None;
        for _ in 0..steps {
            if let Poll::Ready(result) = futures_util::poll!(&mut polling) {
                round = Some(result);
                break;
            }
            tokio::task::yield_now().await;
        }
        match &round {
            Some(Ok(round)) => self.world.say(|| format!("{round:?}")),
            Some(Err(error)) => {
                assert!(!error.is_store(), "{error}");
                self.world.say(|| format!("failed: {error}"));
            }
            None => self.world.say(|| "given up".to_owned()),
        }
    }

    /// What a process that runs does: rounds when they are due, and hints.
    async fn turn(&mut self, lab: usize) {
        let inbox = self.inbox(lab);
        self.notify(lab, &inbox);
        self.world.say(|| format!("lab {lab} runs"));
        if let Err(error) = inbox.run_until(async {}).await {
            assert!(!error.is_store(), "{error}");
            self.world.say(|| format!("failed: {error}"));
        }
    }

    async fn claim(&mut self, lab: usize, limit: usize) -> usize {
        let inbox = self.inbox(lab);
        self.labs[lab].desk.claim(&inbox, limit).await
    }

    async fn work(&mut self, lab: usize) {
        self.labs[lab].desk.work().await;
    }
}

/// The end: everything can be seen, and is worked on.
impl Play {
    async fn settle(&mut self) {
        self.world.say(|| "the end".to_owned());
        self.world.service.set_faults(Faults::default()).unwrap();
        for lab in 0..self.labs.len() {
            // Until nothing is new for long, also of what is due only now and then, and of what was
            // repeated so often that many answers must agree on it.
            let fetches = 8 * self.world.orders().len();
            for wait in [HOUR / 6, HOUR * 30] {
                let mut quiet = 0;
                while quiet < 6 + fetches.div_ceil(self.world.kind.looks) {
                    let (deliveries, changes) = self.end_round(lab, wait).await;
                    quiet = if deliveries + changes == 0 {
                        quiet + 1
                    } else {
                        0
                    };
                }
            }
            let mut idle = 0;
            while idle < 2 {
                self.world.service.advance(HOUR * 2);
                let claimed = self.claim(lab, 100).await;
                self.labs[lab].desk.finish().await;
                idle = if claimed == 0 { idle + 1 } else { 0 };
            }
            // An unchanged service has come to rest.
            for _ in 0..6 {
                assert_eq!(self.end_round(lab, HOUR).await.0, 0);
            }
            let stats = self.labs[lab].inboxes[0].stats().await.unwrap();
            assert_eq!(stats.store.open, 0);
        }
    }

    /// Gives how many deliveries and changes were new.
    async fn end_round(&mut self, lab: usize, wait: Duration) -> (u64, u64) {
        self.world.service.advance(wait);
        let inbox = self.inbox(lab);
        self.notify(lab, &inbox);
        let round = inbox.poll().await.unwrap();
        self.world.say(|| format!("{round:?}"));
        (round.deliveries(), round.changes())
    }

    async fn judge(&self) -> Tally {
        let tally = Tally::default();
        for (number, lab) in self.labs.iter().enumerate() {
            for (_, order) in self.world.orders().iter().filter(|(of, _)| *of == number) {
                Tally::count(&tally.orders);
                self.judge_order(lab, order, &tally).await;
            }
            let changes = lab.inboxes[0].arrivals_after(0, usize::MAX).await.unwrap();
            let numbers = changes.iter().map(|change| change.sequence());
            assert!(numbers.eq(1..=changes.len() as u64));
        }
        tally
    }

    async fn judge_order(&self, lab: &LabAtWork, order: &OrderId, tally: &Tally) {
        let id = order.as_str();
        let kind = self.world.kind;
        let truth = self.world.service.truth(order).unwrap();
        let now = &truth.shown.last().unwrap().status;
        let handed_out = lab
            .desk
            .handed_out
            .range((id.to_owned(), 0)..=(id.to_owned(), u32::MAX));
        let handed_out: Vec<_> = handed_out.collect();
        assert!(handed_out.iter().all(|(_, out)| out.acknowledged));
        let history = lab.inboxes[0].history(order).await.unwrap();
        let Some(history) = history.map(|case| case.history) else {
            assert!(handed_out.is_empty(), "{id} is not known");
            assert!(!now.is_listed(), "{id} is listed and was never seen");
            return;
        };
        let to_hand_out = history
            .deliveries()
            .filter(|(_, arrival)| arrival.origin() != Some(Origin::Imported));
        let to_hand_out: Vec<_> = to_hand_out
            .map(|(ordinal, arrival)| (ordinal, arrival.status()))
            .collect();
        let were: Vec<_> = handed_out
            .iter()
            .map(|(name, out)| (name.1, &out.status))
            .collect();
        assert_eq!(were, to_hand_out, "{id}: what was handed out");
        if !history.is_complete() {
            Tally::count(&tally.partial);
        }
        let certain = handed_out.iter().filter(|(_, out)| !out.doubtful);
        let certain: Vec<&OrderStatus> = certain.map(|(_, out)| &out.status).collect();
        let true_deliveries = truth.deliveries().map(|shown| &shown.status);
        let count = truth.deliveries().count();
        if kind.faultless && !kind.stale {
            assert!(
                is_part(&certain, true_deliveries),
                "{id}: {certain:?} is no part of {truth:?}"
            );
        }
        for _ in certain.len()..count {
            Tally::count(&tally.missed);
        }
        for _ in &handed_out {
            Tally::count(&tally.deliveries);
        }
        if now.is_listed() {
            let last = history.last().map(|arrival| arrival.status());
            assert_eq!(last, Some(now), "{id}: what is known last");
        }
    }
}

/// Whether the items stand in the whole, in their order.
fn is_part<'a>(
    items: &[&'a OrderStatus],
    mut whole: impl Iterator<Item = &'a OrderStatus>,
) -> bool {
    items
        .iter()
        .all(|item| whole.any(|candidate| candidate == *item))
}

fn inbox(lab: &Lab, store: &MemoryStore, world: &World) -> Inbox {
    lab.inbox(store.clone())
        .claim_lease(VISIBILITY)
        .max_fetches_per_poll(world.kind.looks)
}
