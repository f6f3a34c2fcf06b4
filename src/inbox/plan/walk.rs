//! The rules against each other: cases that walk at random through the phase table, seen through
//! answers that lag, overlap and come out of order.
//!
//! Each answer carries the number of the true arrival that it shows, which the plan does not
//! see. So it can be said of each recorded arrival which true one it is, and that none is
//! recorded twice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::OrderStatus;
use crate::flow::{Arrival, Origin, Phase, Symbol};

/// What answers carry of the files.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Carry {
    Nothing,
    Everything,
    /// Now nothing, now only ids, now sizes.
    AsItComes,
}

/// One thing that happens; the number chooses among what is possible.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The case moves on.
    Move(usize),
    /// It shows a status that says nothing.
    Strange,
    /// What happened becomes visible.
    Publish,
    /// A listing or a fetch is begun.
    Ask(Question, usize),
    /// The service makes up its answer.
    MakeUp(usize),
    /// The answer arrives.
    Answer(usize),
    /// We return the order: the service takes it.
    Return,
    /// We learn that it did.
    Returned,
    Downloaded,
    /// Something that was observed is observed again.
    Replay(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Question {
    List,
    /// A listing that lacks the order although it is listed.
    FlickeringList,
    Fetch,
    /// A fetch that fails with 404 although the order is there.
    FalseGone,
    Tell,
}

/// A true arrival.
#[derive(Clone, Debug)]
struct Truth {
    phase: Phase,
    status: OrderStatus,
    at: SystemTime,
    /// Of the files; each scan and each model brings others.
    version: u64,
}

#[derive(Clone, Debug)]
struct Pending {
    question: Question,
    begun: SystemTime,
    carry: usize,
    shows: Option<usize>,
}

/// An observation that owns what it says.
#[derive(Clone, Debug)]
enum Seen {
    Answer {
        question: Question,
        status: OrderStatus,
        files: Fingerprint,
        told: Vec<Arrival>,
        begun: SystemTime,
        completed: SystemTime,
    },
    Returned(SystemTime),
    Downloaded(u32, SystemTime),
}

impl Seen {
    fn observation(&self) -> Observation<'_> {
        match self {
            Seen::Answer {
                question,
                status,
                files,
                told,
                begun,
                completed,
            } => match question {
                Question::List if status.is_listed() => Observation::listed(status, files, *begun),
                Question::List | Question::FlickeringList => Observation::missing(*begun),
                Question::Fetch => Observation::fetched(status, files, *begun),
                Question::FalseGone => Observation::gone(*begun),
                Question::Tell => Observation::reported_history(told, *begun),
            }
            .completed(*completed),
            Seen::Returned(at) => Observation::returned(*at),
            Seen::Downloaded(ordinal, at) => Observation::downloaded(*ordinal, *at),
        }
    }
}

struct World {
    policy: Policy,
    coverage: ListingCoverage,
    record: Record,
    carry: Carry,
    now: SystemTime,
    truth: Vec<Truth>,
    /// The true arrival that the service shows now.
    published: usize,
    pending: Vec<Pending>,
    returning: bool,
    seen: Vec<Seen>,
    /// The true arrival that was recorded last from an answer.
    recorded: Option<usize>,
    /// How many deliveries were handed out.
    handed_out: u32,
}

impl World {
    fn new(carry: Carry) -> Self {
        let policy = Policy {
            // Replays may be as old as the walk is long.
            longest_answer: Duration::from_secs(1 << 40),
            ..Policy::default()
        };
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let past = now - Duration::from_secs(200 * 86_400);
        let beginning = Phase::Scan;
        World {
            coverage: ListingCoverage::new()
                .listed(past, &policy)
                .listed(now, &policy),
            policy,
            record: Record::new(),
            carry,
            now,
            truth: vec![Truth {
                phase: beginning,
                status: beginning.shows().status(),
                at: now,
                version: 0,
            }],
            published: 0,
            pending: Vec::new(),
            returning: false,
            seen: Vec::new(),
            recorded: None,
            handed_out: 0,
        }
    }

    fn happen(&mut self, event: Event, seconds: u64) {
        self.now += Duration::from_millis(1_001 + 1_000 * seconds);
        match event {
            Event::Move(choice) => {
                let next = self.phase().may_be_followed_by();
                if let Some(phase) = next.iter().nth(choice % next.len().max(1)) {
                    self.enter(phase);
                }
            }
            Event::Strange => {
                let status = OrderStatus::from("Exporting to Doctor Site");
                self.arrive(self.phase(), status, self.version());
            }
            Event::Publish => self.published = (self.published + 1).min(self.truth.len() - 1),
            Event::Ask(question, carry) => self.pending.push(Pending {
                question,
                begun: self.now,
                carry,
                shows: None,
            }),
            Event::MakeUp(choice) => {
                let count = self.pending.len().max(1);
                if let Some(pending) = self.pending.get_mut(choice % count) {
                    pending.shows.get_or_insert(self.published);
                }
            }
            Event::Answer(choice) => {
                if !self.pending.is_empty() {
                    let pending = self.pending.remove(choice % self.pending.len());
                    self.answer(pending);
                }
            }
            Event::Return => {
                let may = self.phase().may_be_followed_by().contains(Phase::Rescan);
                if may && !self.returning {
                    self.returning = true;
                    self.enter(Phase::Rescan);
                }
            }
            Event::Returned => {
                if std::mem::take(&mut self.returning) {
                    self.observe(Seen::Returned(self.now), None);
                }
            }
            Event::Downloaded => {
                if self.handed_out > 0 {
                    self.observe(Seen::Downloaded(self.handed_out, self.now), None);
                }
            }
            Event::Replay(choice) => {
                if let Some(seen) = self.seen.get(choice % self.seen.len().max(1)) {
                    let step = observe(
                        &self.record,
                        &seen.observation(),
                        &self.policy,
                        &self.coverage,
                    );
                    assert!(step.is_unchanged(), "{seen:?} changed something again");
                }
            }
        }
    }

    fn phase(&self) -> Phase {
        self.truth[self.truth.len() - 1].phase
    }

    fn version(&self) -> u64 {
        self.truth[self.truth.len() - 1].version
    }

    fn enter(&mut self, phase: Phase) {
        let version = self.version() + u64::from(phase.shows().is_delivery());
        self.arrive(phase, phase.shows().status(), version);
    }

    fn arrive(&mut self, phase: Phase, status: OrderStatus, version: u64) {
        self.truth.push(Truth {
            phase,
            status,
            at: self.now,
            version,
        });
    }

    /// What the answer carries of the files; the number decides where that varies.
    fn carried(&self, version: u64, how: usize) -> Fingerprint {
        let id = File::new("scan");
        match (self.carry, how % 3) {
            (Carry::Everything, _) | (Carry::AsItComes, 0) => Fingerprint::new([id.size(version)]),
            (Carry::AsItComes, 1) => Fingerprint::new([id]),
            _ => Fingerprint::none(),
        }
    }

    fn answer(&mut self, pending: Pending) {
        let shows = pending.shows.unwrap_or(self.published);
        let truth = &self.truth[shows];
        let told = self.truth[..=shows].iter();
        let seen = Seen::Answer {
            question: pending.question,
            status: truth.status.clone(),
            files: self.carried(truth.version, pending.carry),
            told: told
                .map(|truth| Arrival::new(truth.status.clone()).at(truth.at))
                .collect(),
            begun: pending.begun,
            completed: self.now,
        };
        self.observe(seen, Some(shows));
    }

    fn observe(&mut self, seen: Seen, shows: Option<usize>) {
        let observation = seen.observation();
        let step = observe(&self.record, &observation, &self.policy, &self.coverage);

        for delivery in step.deliveries() {
            self.handed_out += 1;
            assert_eq!(delivery.ordinal(), self.handed_out);
        }
        let asked = matches!(&seen, Seen::Answer { question, .. } if *question != Question::Tell);
        for arrival in step.arrivals() {
            let truth = match shows {
                // What the service tells names its arrivals by their times.
                Some(_) if !asked => {
                    let at = arrival.arrival().time();
                    self.truth.iter().position(|truth| Some(truth.at) == at)
                }
                Some(shows) => Some(shows),
                None => continue,
            };
            assert!(
                truth > self.recorded,
                "{seen:?} shows {truth:?} after {:?} was recorded",
                self.recorded
            );
            self.recorded = truth;
        }
        if let Some(record) = step.into_record() {
            let before = self.record.history().arrivals();
            assert!(record.history().arrivals().starts_with(before));
            kept_and_read_again(&record);
            self.record = record;
        }
        let again = observe(&self.record, &observation, &self.policy, &self.coverage);
        assert!(again.is_unchanged(), "{seen:?} changed something twice");
        self.seen.push(seen);
        self.check();
    }

    /// What was recorded happened, in that order; what we recorded ourselves stands aside.
    fn check(&self) {
        let mut truth = self.truth.iter();
        for arrival in self.record.history().arrivals() {
            if arrival.origin() != Some(Origin::OwnAction) {
                assert!(
                    truth.any(|truth| truth.status == *arrival.status()),
                    "{:?} is no part of {:?}",
                    self.record.history(),
                    self.truth
                );
            }
        }
        let handed_out = usize::try_from(self.handed_out);
        assert_eq!(handed_out, Ok(self.record.deliveries()));
    }

    /// Everything becomes visible and is looked at: then it is known.
    fn settle(&mut self) {
        self.published = self.truth.len() - 1;
        self.happen(Event::Returned, 0);
        self.happen(Event::Ask(Question::Fetch, 0), 0);
        let last = self.pending.split_off(self.pending.len() - 1);
        for pending in last {
            self.answer(pending);
        }
        let truth = &self.truth[self.published];
        assert_eq!(self.record.shown(), Some(&truth.status));
        assert_eq!(self.record.gone_since(), None);
        // A return that the service never showed: it was over before anyone looked, and what
        // followed looks the same as what was before.
        if truth.status.symbol().is_some() && self.record.returned().is_none() {
            let recorded = self.record.history().arrivals().iter().rev();
            let recorded = recorded.map(Arrival::status).find_map(OrderStatus::symbol);
            assert_eq!(recorded, Some(self.phase().shows()));
        }
    }
}

/// A record that was kept is the same record.
fn kept_and_read_again(record: &Record) {
    let json = serde_json::to_string(record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), *record);
}

fn question(tells: bool) -> impl Strategy<Value = Question> {
    prop_oneof![
        6 => Just(Question::List),
        6 => Just(Question::Fetch),
        1 => Just(Question::FlickeringList),
        1 => Just(Question::FalseGone),
        4 => Just(if tells { Question::Tell } else { Question::List }),
    ]
}

fn carry() -> impl Strategy<Value = Carry> {
    prop_oneof![
        Just(Carry::Nothing),
        Just(Carry::Everything),
        Just(Carry::AsItComes)
    ]
}

fn event(tells: bool) -> impl Strategy<Value = Event> {
    let any = || 0usize..1000;
    prop_oneof![
        6 => any().prop_map(Event::Move),
        1 => Just(Event::Strange),
        8 => Just(Event::Publish),
        10 => (question(tells), any()).prop_map(|(question, carry)| Event::Ask(question, carry)),
        4 => any().prop_map(Event::MakeUp),
        8 => any().prop_map(Event::Answer),
        2 => Just(Event::Return),
        3 => Just(Event::Returned),
        1 => Just(Event::Downloaded),
        2 => any().prop_map(Event::Replay),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever overlaps, lags or comes twice: no arrival is recorded that did not happen, none
    /// twice, and in the end the last is known.
    #[test]
    fn nothing_false_is_recorded(
        carry in carry(),
        events in any::<bool>().prop_flat_map(|tells| {
            prop::collection::vec((event(tells), 0u64..900), 1..80)
        }),
    ) {
        let mut world = World::new(carry);
        for (event, seconds) in events {
            world.happen(event, seconds);
        }
        world.settle();
    }

    /// Where answers do not overlap, every delivery that was shown is handed out, as far as
    /// anybody could tell it from the last: by its status or by its files.
    #[test]
    fn no_delivery_is_missed_that_could_be_told(
        carry in carry(),
        events in prop::collection::vec((event(false), 0u64..900), 1..80),
    ) {
        let mut world = World::new(carry);
        let mut last: Option<(OrderStatus, Option<u64>)> = None;
        let mut expected = 0;
        for (event, seconds) in events {
            let Event::Ask(question, how) = event else {
                if !matches!(event, Event::MakeUp(_) | Event::Answer(_)) {
                    world.happen(event, seconds);
                }
                // A return and its answer belong together here.
                world.happen(Event::Returned, 0);
                continue;
            };
            let truth = world.truth[world.published].clone();
            let files = world.carried(truth.version, how);
            let version = (!files.is_none() && files.differs(&Fingerprint::new([
                File::new("scan").size(u64::MAX)
            ])))
            .then_some(truth.version);
            let shown = match question {
                Question::Fetch => true,
                Question::List => truth.status.is_listed(),
                _ => false,
            };
            if shown {
                let told_apart = match &last {
                    None => true,
                    Some((status, known)) => {
                        *status != truth.status || (known.is_some() && version.is_some() && *known != version)
                    }
                };
                if told_apart {
                    expected += u32::from(truth.status.is_listed());
                    last = Some((truth.status, version));
                } else if let (Some((_, known)), Some(_)) = (&mut last, version) {
                    *known = version;
                }
            }
            world.happen(event, seconds);
            world.happen(Event::Answer(0), 0);
        }
        prop_assert_eq!(world.handed_out, expected);
        world.settle();
    }
}

/// The walk is only worth something if it gets anywhere.
#[test]
fn a_walk_reaches_rescans_and_milling() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let events = prop::collection::vec((event(true), 0u64..900), 80);
    let mut seen = crate::flow::Set::<Symbol>::default();
    let (mut most, mut confirmed) = (0, 0);
    for _ in 0..300 {
        let Ok(tree) = events.new_tree(&mut runner) else {
            continue;
        };
        let mut world = World::new(Carry::AsItComes);
        for (event, seconds) in tree.current() {
            let open = world.record.returned().is_some();
            world.happen(event, seconds);
            let shown = world.record.shown().and_then(OrderStatus::symbol);
            confirmed +=
                u32::from(open && world.record.returned().is_none() && shown == Some(Symbol::S));
        }
        let arrivals = world.record.history().arrivals().iter();
        seen = arrivals
            .filter_map(|a| a.status().symbol())
            .chain(seen)
            .collect();
        most = most.max(world.handed_out);
    }
    assert_eq!(seen.len(), Symbol::ALL.len());
    assert!(most >= 4 && confirmed > 10, "{most} {confirmed}");
}
