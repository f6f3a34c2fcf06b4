//! Random worlds: what an inbox made of them is held against what was true.
//!
//! A world is a simulator with labs whose doctors, people and modelers do what they may at any
//! time, also while a request is under way; a line that loses, cuts and garbles; notifications
//! that are lost, doubled, late and forged. All that went over the line whole is noted, and read
//! by the rules once more, in `expected`. A seed makes the same world again:
//! `INBOX_SEED=7 cargo test --test it -- --nocapture inbox::model`.

mod desk;
mod expected;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use lab_connector::OrderStatus;
use lab_connector::flow::Phase;
use lab_connector::inbox::Policy;
use lab_connector::inbox::{Inbox, MemoryStore};
use lab_connector::simulator::{Elsewhere, Faults, Truth};
use lab_connector::{Lab, OrderId};

use desk::{Desk, HandedOut};
use expected::{Epochs, Expected, Sight};
use world::World;

const VISIBILITY: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// `INBOX_WORLDS` says how many; a world has some four cases. scripts/check plays
/// 10,000 cases, scripts/soak a million.
#[test]
fn what_was_shown_is_delivered_once_and_in_order_in_any_world() {
    if let Ok(seed) = std::env::var("INBOX_SEED") {
        play(seed.parse().unwrap(), true);
        return;
    }
    let worlds = std::env::var("INBOX_WORLDS").map_or(300, |worlds| worlds.parse().unwrap());
    let first: u64 = std::env::var("INBOX_FIRST").map_or(0, |first| first.parse().unwrap());
    let next = AtomicU64::new(first);
    let tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        break;
                    }
                    tally.add(&play(seed, false));
                }
            });
        }
    });
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
    epochs: Epochs,
    expected: BTreeMap<String, Expected>,
    /// The true states of orders that certainly have to be delivered.
    owed: BTreeMap<String, Vec<usize>>,
}

impl LabAtWork {
    fn learn(&mut self, sight: Sight, listing: Option<usize>, whole: bool) {
        let expected = self.expected.entry(sight.order.clone()).or_default();
        expected.see(&sight, listing, &self.epochs);
        if whole
            && sight.status.is_listed()
            && let Some(truth) = sight.truth
        {
            let owed = self.owed.entry(sight.order).or_default();
            if owed.last() != Some(&truth) {
                owed.push(truth);
            }
        }
    }
}

struct Play {
    world: Arc<World>,
    labs: Vec<LabAtWork>,
    /// Whether everything that is recorded can be foretold.
    exact: bool,
    listings: usize,
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
                epochs: Epochs::default(),
                expected: BTreeMap::new(),
                owed: BTreeMap::new(),
            });
        }
        let kind = world.kind;
        let mut play = Play {
            world: Arc::clone(world),
            labs,
            exact: !(kind.interrupted || kind.told || kind.stale),
            listings: 0,
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
        let begun = self.world.now();
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
        let complete = match &round {
            Some(Ok(round)) => {
                self.world.say(|| format!("{round:?}"));
                round.is_complete()
            }
            Some(Err(error)) => {
                assert!(!error.is_store(), "{error}");
                self.world.say(|| format!("failed: {error}"));
                false
            }
            None => {
                self.world.say(|| "given up".to_owned());
                false
            }
        };
        self.learn(lab, begun, complete, round.is_some());
    }

    /// What a process that runs does: rounds when they are due, and hints.
    async fn turn(&mut self, lab: usize) {
        let complete = Arc::new(std::sync::Mutex::new(false));
        let seen = Arc::clone(&complete);
        let inbox = self.inbox(lab).on_poll(move |round| {
            *seen.lock().unwrap() = round.as_ref().is_ok_and(|round| round.is_complete());
        });
        self.notify(lab, &inbox);
        let begun = self.world.now();
        self.world.say(|| format!("lab {lab} runs"));
        if let Err(error) = inbox.run_until(async {}).await {
            assert!(!error.is_store(), "{error}");
            self.world.say(|| format!("failed: {error}"));
        }
        let complete = *complete.lock().unwrap();
        self.learn(lab, begun, complete, true);
    }

    /// What went over the line is known from now on.
    fn learn(&mut self, lab: usize, begun: std::time::SystemTime, complete: bool, whole: bool) {
        self.listings += 1;
        let listing = self.listings;
        let mut sights = self.world.take_sights();
        let at_work = &mut self.labs[lab];
        let all = sights.listed.clone();
        let mut contradicted = BTreeSet::new();
        for (of, sight) in sights.listed {
            assert_eq!(of, lab, "another lab's orders were asked for");
            let same = || {
                let others = all.iter().map(|(_, other)| other);
                others.filter(|other| other.order == sight.order)
            };
            // Of an order that one listing shows in two states nobody knows which is the later.
            if same().any(|other| other.contradicts(&sight)) {
                contradicted.insert(sight.order);
            } else {
                let clear = same().count() == 1;
                at_work.learn(sight, Some(listing), whole && clear);
            }
        }
        // It is what it is when it is fetched.
        let mut settled = true;
        for order in contradicted {
            let fetched = &mut sights.fetched;
            match fetched.iter().position(|(_, sight)| sight.order == order) {
                Some(found) => at_work.learn(fetched.remove(found).1, None, whole),
                None => settled = false,
            }
        }
        // A good listing counts once it is recorded, and before the fetches that follow it.
        if !settled {
            at_work.epochs.is_unclear();
        } else if complete {
            at_work.epochs.listed(begun);
        }
        for (of, sight) in sights.fetched {
            assert_eq!(of, lab, "another lab's order was asked for");
            at_work.learn(sight, None, whole);
        }
    }

    async fn claim(&mut self, lab: usize, limit: usize) -> usize {
        let inbox = self.inbox(lab);
        let LabAtWork { desk, expected, .. } = &mut self.labs[lab];
        desk.claim(&inbox, limit, expected, self.exact).await
    }

    async fn work(&mut self, lab: usize) {
        let mut returned = Vec::new();
        self.labs[lab].desk.work(&mut returned).await;
        for (order, done) in returned {
            if done {
                let expected = &mut self.labs[lab].expected;
                expected.entry(order).or_default().returned();
            }
        }
    }
}

/// The end: everything can be seen, and is worked on.
impl Play {
    async fn settle(&mut self) {
        self.world.say(|| "the end".to_owned());
        self.world.service.set_faults(Faults::default()).unwrap();
        for lab in 0..self.labs.len() {
            // What is due only now and then is due once.
            for wait in [HOUR / 6, HOUR * 30] {
                for _ in 0..self.world.orders().len().div_ceil(self.world.kind.looks) + 2 {
                    self.world.service.advance(wait);
                    let inbox = self.inbox(lab);
                    self.notify(lab, &inbox);
                    let begun = self.world.now();
                    let round = inbox.poll().await.unwrap();
                    assert!(round.is_complete());
                    assert!(round.problems().is_empty(), "{round:?}");
                    self.learn(lab, begun, true, true);
                }
            }
            let mut idle = 0;
            while idle < 2 {
                self.world.service.advance(HOUR * 2);
                let claimed = self.claim(lab, 100).await;
                self.labs[lab].desk.finish().await;
                idle = if claimed == 0 { idle + 1 } else { 0 };
            }
            let stats = self.labs[lab].inboxes[0].stats().await.unwrap();
            assert_eq!(stats.store.open, 0);
        }
    }

    async fn judge(&self) -> Tally {
        let tally = Tally::default();
        for (number, lab) in self.labs.iter().enumerate() {
            let mut logged = 0;
            for (_, order) in self.world.orders().iter().filter(|(of, _)| *of == number) {
                Tally::count(&tally.orders);
                logged += self.judge_order(lab, order, &tally).await;
            }
            let changes = lab.inboxes[0].arrivals_after(0, usize::MAX).await.unwrap();
            let numbers = changes.iter().map(|change| change.sequence());
            assert!(numbers.eq(1..=changes.len() as u64));
            if !self.world.kind.told {
                assert_eq!(changes.len(), logged);
            }
        }
        tally
    }

    /// Gives how many arrivals were recorded.
    async fn judge_order(&self, lab: &LabAtWork, order: &OrderId, tally: &Tally) -> usize {
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
        let statuses: Vec<&OrderStatus> = handed_out.iter().map(|(_, out)| &out.status).collect();
        let history = lab.inboxes[0].history(order).await.unwrap();
        let Some(expected) = lab.expected.get(id) else {
            assert!(handed_out.is_empty(), "{id} was never shown");
            assert!(history.is_none(), "{id} was never shown");
            assert!(!now.is_listed(), "{id} is listed and was never seen");
            return 0;
        };
        // What was given up may never have been recorded.
        let Some(history) = history.map(|case| case.history) else {
            assert!(
                kind.interrupted && handed_out.is_empty(),
                "{id} is not known"
            );
            return 0;
        };
        let to_hand_out = history.deliveries().filter(|d| d.is_handed_out());
        let to_hand_out: Vec<_> = to_hand_out.map(|d| (d.ordinal(), d.status())).collect();
        let were: Vec<_> = handed_out
            .iter()
            .map(|(name, out)| (name.1, &out.status))
            .collect();
        assert_eq!(were, to_hand_out, "{id}: what was handed out");
        for _ in &handed_out {
            Tally::count(&tally.deliveries);
        }
        if !history.is_complete() {
            Tally::count(&tally.partial);
        }
        let true_deliveries = truth.deliveries().map(|shown| &shown.status);
        if !kind.stale {
            assert!(
                is_part(&statuses, true_deliveries),
                "{id}: {statuses:?} is no part of {truth:?}"
            );
        }
        // What was seen in a whole round is delivered.
        let owed = lab.owed.get(id).into_iter().flatten();
        let owed: Vec<_> = owed.map(|state| &truth.shown[*state].status).collect();
        if kind.tells_files {
            assert!(
                is_part(&owed, statuses.iter().copied()),
                "{id}: {owed:?} were seen, {statuses:?} delivered"
            );
        }
        if self.exact {
            let recorded = history.arrivals().iter().map(|arrival| arrival.status());
            let arrivals = expected.arrivals.iter().map(|arrived| &arrived.status);
            assert!(
                recorded.clone().eq(arrivals.clone()),
                "{id}: recorded {:?}, to be recorded {:?}",
                recorded.collect::<Vec<_>>(),
                arrivals.collect::<Vec<_>>(),
            );
            if let Some(complete) = expected.complete {
                assert_eq!(history.is_complete(), complete, "{id}: completeness");
            }
            let deliveries = arrivals.filter(|status| status.is_listed());
            assert!(deliveries.eq(statuses.iter().copied()), "{id}: deliveries");
            self.judge_truth(expected, &truth, &handed_out, history.is_complete(), tally);
        }
        if !kind.interrupted && kind.elsewhere != Elsewhere::Missing && !self.world.false_gone {
            let shown = expected.shown.as_ref().map(|(status, _)| status);
            let watched = history.read().stages().iter();
            let watched = watched.filter(|stage| Policy::default().watched.contains(*stage));
            let last = history.arrivals().iter().rev().find_map(|a| a.time());
            let age = last.and_then(|last| self.world.now().duration_since(last).ok());
            let recent = age.is_some_and(|age| age < HOUR * 24 * 55);
            let is_watched = watched.count() > 0 && recent;
            if now.is_listed() || shown.is_some_and(|shown| shown.is_listed()) || is_watched {
                assert_eq!(shown, Some(now), "{id}: what is known last");
            }
        }
        history.len()
    }

    /// Holds what was delivered against where the case was in truth.
    fn judge_truth(
        &self,
        expected: &Expected,
        truth: &Truth,
        handed_out: &[(&(String, u32), &HandedOut)],
        complete: bool,
        tally: &Tally,
    ) {
        let known: Vec<usize> = expected.arrivals.iter().filter_map(|a| a.truth).collect();
        let is_missed =
            |state: &usize| truth.shown[*state].status.is_listed() && !known.contains(state);
        for (state, shown) in truth.shown.iter().enumerate() {
            if is_missed(&state) {
                Tally::count(&tally.missed);
                let seen = shown.seen && self.world.kind.tells_files;
                assert!(
                    !seen,
                    "{state} of {truth:?} was seen, and recorded are {known:?}"
                );
            }
        }
        let deliveries = expected.arrivals.iter();
        let deliveries = deliveries.filter(|arrived| arrived.status.is_listed());
        let begin = if complete {
            0
        } else {
            known.first().copied().unwrap_or_default()
        };
        for (arrived, (name, out)) in deliveries.zip(handed_out) {
            let Some(state) = arrived.truth else { continue };
            // Where a scan or a model was missed, nobody can know; nor where a model was finished
            // unseen and the lab has begun anew, which the model of cases does not expect.
            let is_hidden_end = |state: &usize| {
                let finished = [Phase::FinishedM, Phase::FinishedG];
                finished.contains(&truth.shown[*state].phase) && !known.contains(state)
            };
            if (begin..state).any(|state| is_missed(&state) || is_hidden_end(&state)) {
                continue;
            }
            if let Some(scenario) = truth.shown[state].phase.scenario() {
                assert!(
                    out.candidates.contains(scenario),
                    "{name:?} is {scenario:?}, not {:?}: {truth:?}",
                    out.candidates
                );
            }
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
