//! People who act by themselves: doctors, labs and modelers, each in their own time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::dice::For;
use super::settings::{self, InvalidSettings};
use super::world::{Notice, World};
use super::{Action, Shared, Simulator};
use crate::flow::Phase;
use crate::model::OrderId;
use crate::status::Symbol;

/// How busy people are, and what they like to do. Durations are simulated time.
///
/// As JSON it is an object; what is left out has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Life {
    /// How many cases doctors scan in a day, for each lab.
    pub cases_per_day: f64,
    /// How long a scan takes, from prescription to sending.
    pub scan: Span,
    /// How long a lab looks at a case before somebody does something with it in the portal.
    pub lab: Span,
    /// How long modeling takes.
    pub modeling: Span,
    /// How long interpretation 2 takes.
    pub interpretation: Span,
    /// How long milling takes.
    pub milling: Span,
    /// How long shipping takes.
    pub shipping: Span,
    /// How long a doctor takes to scan again.
    pub rescan: Span,
    /// How probable it is that a lab sends a case to modeling.
    pub to_modeling: f64,
    /// How probable it is that it asks for milling.
    pub to_milling: f64,
    /// How probable it is that it sends a case back to the doctor.
    pub to_doctor: f64,
    /// How probable it is that milling leads through interpretation 2.
    pub by_interpretation: f64,
    /// How probable it is that interpretation 2 leads back to the lab.
    pub back_to_review: f64,
    /// How probable it is that a lab's people fetch the files in the portal.
    pub portal_downloads: f64,
    /// How probable it is that a case is made again when its milling flow has ended.
    pub remakes: f64,
}

/// A duration that varies: half of all are shorter than the median, and few are much longer than
/// it (log-normal).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Span {
    /// In hours.
    pub median: f64,
    /// How much it varies: about two thirds lie between the median divided by this and the median
    /// times this. At least 1, which is not at all.
    pub spread: f64,
}

impl Default for Life {
    fn default() -> Self {
        Life {
            cases_per_day: 40.0,
            scan: Span::hours(0.5, 1.5),
            lab: Span::hours(2.0, 2.5),
            modeling: Span::hours(6.0, 2.0),
            interpretation: Span::hours(4.0, 2.0),
            milling: Span::hours(20.0, 1.5),
            shipping: Span::hours(10.0, 1.5),
            rescan: Span::hours(48.0, 2.0),
            to_modeling: 0.25,
            to_milling: 0.3,
            to_doctor: 0.08,
            by_interpretation: 0.1,
            back_to_review: 0.2,
            portal_downloads: 0.0,
            remakes: 0.02,
        }
    }
}

impl Span {
    /// So many hours, more or less.
    #[must_use]
    pub fn hours(median: f64, spread: f64) -> Self {
        Span { median, spread }
    }

    fn draw(self, rng: &mut fastrand::Rng) -> Duration {
        // Box and Muller: two even draws make a normal one.
        let (one, two) = (1.0 - rng.f64(), rng.f64());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        hours(self.median * (self.spread.ln() * normal).exp())
    }
}

fn hours(hours: f64) -> Duration {
    // A century is long enough.
    Duration::try_from_secs_f64((hours * 3600.0).clamp(0.001, 3.2e9)).unwrap_or_default()
}

impl Life {
    /// Reads it from JSON.
    ///
    /// # Errors
    ///
    /// It is no JSON object, or has a key or a value that does not fit; the error names it.
    pub fn from_json(json: &str) -> Result<Self, InvalidSettings> {
        let life: Life = settings::read(json)?;
        life.check()?;
        Ok(life)
    }

    fn check(&self) -> Result<(), InvalidSettings> {
        let wrong = |what: &str| Err(InvalidSettings::new(what));
        if !(0.0..=1e6).contains(&self.cases_per_day) {
            return wrong("`cases_per_day` must be from 0 to 1000000");
        }
        let spans = [
            self.scan,
            self.lab,
            self.modeling,
            self.interpretation,
            self.milling,
            self.shipping,
            self.rescan,
        ];
        let fits = |span: &Span| {
            (0.0..=1e5).contains(&span.median) && (1.0..=100.0).contains(&span.spread)
        };
        if !spans.iter().all(fits) {
            return wrong("a `median` must be from 0 to 100000, a `spread` from 1 to 100");
        }
        let chances = [
            self.to_modeling,
            self.to_milling,
            self.to_doctor,
            self.to_modeling + self.to_milling + self.to_doctor,
            self.by_interpretation,
            self.back_to_review,
            self.portal_downloads,
            self.remakes,
        ];
        if !chances.iter().all(|chance| (0.0..=1.0).contains(chance)) {
            return wrong(
                "probabilities, and those of what a lab does together, must be from 0 to 1",
            );
        }
        Ok(())
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// A doctor filled in a prescription.
    Prescribed(OrderId),
    /// Somebody did something with a case.
    Acted(OrderId, Action),
}

/// What is going to happen.
#[derive(Debug, Default)]
pub(super) struct Plans {
    life: Option<Life>,
    /// By time, then in the order in which it was planned.
    due: BinaryHeap<Reverse<Plan>>,
    planned: u64,
    /// How many cases were planned for each lab.
    cases: BTreeMap<u32, u64>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Plan {
    at: SystemTime,
    number: u64,
    what: What,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The next case for this lab.
    Prescribe { account: u32 },
    /// With a case that has not moved since.
    Act {
        order: u64,
        moves: usize,
        action: Action,
    },
}

impl World {
    /// Makes people act as it says. What they had planned they do.
    fn live_as(&mut self, life: Life) {
        let old = self.plans.life.replace(life);
        // Where no case came, none is planned that would lead to the next one.
        let begins = old.is_none_or(|old| old.cases_per_day <= 0.0);
        if begins {
            for account in 0..self.account_count() {
                self.plan_case(account);
            }
        }
    }

    /// A lab that was added later lives too.
    pub(super) fn plan_for_new_account(&mut self, account: u32) {
        if self.plans.life.is_some() {
            self.plan_case(account);
        }
    }

    /// What a case does next, after somebody or something has moved it.
    pub(super) fn plan_next(&mut self, number: u64) {
        let Some(life) = self.plans.life.clone() else {
            return;
        };
        let Some(case) = self.numbered(number) else {
            return;
        };
        let (phase, moves) = (case.phase(), case.entries().len());
        // By case and move: what happens to other cases does not change this one's course. What a
        // lab does with a set of files it decides once, whether it is downloaded meanwhile or not.
        let decided = match phase.shows() {
            Symbol::F | Symbol::R | Symbol::D => u64::from(case.revision()) | 1 << 15,
            _ => moves as u64,
        };
        let mut rng = self.dice.nth(For::Life, number << 16 ^ decided);
        let Some((span, action)) = next(&life, phase, case.was_modeled(), &mut rng) else {
            return;
        };
        let at = self.now() + span.draw(&mut rng);
        self.plan(
            at,
            What::Act {
                order: number,
                moves,
                action,
            },
        );
    }

    fn plan_case(&mut self, account: u32) {
        let Some(life) = &self.plans.life else { return };
        let per_day = life.cases_per_day;
        if per_day <= 0.0 {
            return;
        }
        let number = self.plans.cases.entry(account).or_default();
        *number += 1;
        let number = u64::from(account) << 40 ^ *number ^ 1 << 63;
        let mut rng = self.dice.nth(For::Life, number);
        // Doctors do not know of each other: the time between two cases is exponential.
        let gap = hours(-(1.0 - rng.f64()).ln() * 24.0 / per_day);
        let at = self.now() + gap;
        self.plan(at, What::Prescribe { account });
    }

    fn plan(&mut self, at: SystemTime, what: What) {
        self.plans.planned += 1;
        let number = self.plans.planned;
        self.plans.due.push(Reverse(Plan { at, number, what }));
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.plans.due.peek().map(|Reverse(plan)| plan.at)
    }

    /// Does the next thing that is due by then. What no longer fits, since somebody else has
    /// moved the case, is left.
    fn do_next(&mut self, by: SystemTime) -> Option<(Deed, Option<Notice>)> {
        while self.next_due().is_some_and(|at| at <= by) {
            let Reverse(plan) = self.plans.due.pop()?;
            // At its own time, however late somebody looks.
            self.backdated = Some(plan.at);
            let done = self.perform(plan.what);
            self.backdated = None;
            if done.is_some() {
                return done;
            }
        }
        None
    }

    fn perform(&mut self, what: What) -> Option<(Deed, Option<Notice>)> {
        match what {
            What::Prescribe { account } => {
                self.plan_case(account);
                let id = self.account_at(account)?.id.clone();
                let order = self.prescribe(&id, None)?;
                Some((Deed::Prescribed(order), None))
            }
            What::Act {
                order,
                moves,
                action,
            } => {
                let case = self.numbered(order);
                let id = case.filter(|case| case.entries().len() == moves)?.id();
                let notice = self.act(&id, action).ok()?;
                Some((Deed::Acted(id, action), notice))
            }
        }
    }
}

/// What people do next with a case, and how long it takes them; nothing where it rests.
fn next(
    life: &Life,
    phase: Phase,
    was_modeled: bool,
    rng: &mut fastrand::Rng,
) -> Option<(Span, Action)> {
    let lab = |action| Some((life.lab, action));
    let downloads = rng.f64() < life.portal_downloads;
    // One draw, of which each way has its share.
    let mut draw = rng.f64();
    let mut happens = |chance: f64| {
        let does = draw < chance;
        draw -= chance;
        does
    };
    match phase {
        Phase::Scan => Some((life.scan, Action::FinishScan)),
        Phase::Rescan => Some((life.rescan, Action::Rescan)),
        Phase::ModelingP | Phase::ModelingM | Phase::ModelingG => {
            Some((life.modeling, Action::FinishModeling))
        }
        Phase::Interp2 if happens(life.back_to_review) => {
            Some((life.interpretation, Action::InterpretationToReview))
        }
        Phase::Interp2 => Some((life.interpretation, Action::InterpretationToMilling)),
        Phase::MillingM | Phase::MillingG => Some((life.milling, Action::FinishMilling)),
        Phase::ReadyM | Phase::ReadyG => Some((life.shipping, Action::Ship)),
        _ if phase.shows().is_delivery() && downloads => lab(Action::Download),
        Phase::FinishedM | Phase::FinishedG if happens(life.remakes) => lab(Action::ReturnToDoctor),
        Phase::FinishedM | Phase::FinishedG => None,
        // Whoever asked for a milled model approves it, nearly always.
        Phase::ReviewM | Phase::ReviewedM if happens(life.to_doctor) => lab(Action::ReturnToDoctor),
        Phase::ReviewM | Phase::ReviewedM if happens(life.by_interpretation) => {
            lab(Action::BeginInterpretation)
        }
        Phase::ReviewM | Phase::ReviewedM | Phase::Review2 | Phase::Reviewed2 => {
            lab(Action::Proceed)
        }
        _ if happens(life.to_doctor) => lab(Action::ReturnToDoctor),
        // What was modeled is not modeled again.
        _ if !was_modeled && happens(life.to_modeling) => lab(Action::SendToModeling),
        _ if !was_modeled && happens(life.to_milling) => lab(Action::RequestMilling),
        _ => None,
    }
}

/// People who act by themselves.
impl Simulator {
    /// From now on doctors, labs and modelers act by themselves, when [`Simulator::live`],
    /// [`Simulator::step`] or [`Simulator::catch_up`] gives them the time. The same seed makes the
    /// same life, as long as the software does the same.
    ///
    /// # Errors
    ///
    /// A value is one that cannot be played.
    pub fn set_life(&self, life: Life) -> Result<(), InvalidSettings> {
        life.check()?;
        self.world().live_as(life);
        Ok(())
    }

    /// Lets so much time pass, with all that people do in it, each thing at its time: a day of a
    /// busy lab takes milliseconds. Lives by [`Life::default`] if no other was set. Says how many
    /// things were done.
    pub fn live(&self, time: Duration) -> usize {
        let end = self.now() + time;
        let mut deeds = 0;
        while self.shared.step(Some(end)).is_some() {
            deeds += 1;
        }
        let mut world = self.world();
        let rest = end.duration_since(world.now()).unwrap_or_default();
        world.advance(rest);
        deeds
    }

    /// Lets time pass until somebody has done something, and says what; nothing if nobody will.
    pub fn step(&self) -> Option<Deed> {
        self.shared.step(None)
    }

    /// Does what is due by now, and moves no clock: for one that runs by itself. Says how many
    /// things were done.
    pub fn catch_up(&self) -> usize {
        self.shared.catch_up()
    }
}

impl Shared {
    /// The next thing, unless it is later than that.
    pub(super) fn step(&self, end: Option<SystemTime>) -> Option<Deed> {
        let mut world = self.world();
        if world.plans.life.is_none() {
            world.live_as(Life::default());
        }
        // What no longer fits takes time too.
        let done = loop {
            let at = world.next_due()?;
            if end.is_some_and(|end| at > end) {
                return None;
            }
            let wait = at.duration_since(world.now()).unwrap_or_default();
            world.advance(wait);
            if let Some(done) = world.do_next(at) {
                break done;
            }
        };
        drop(world);
        self.post(done.1);
        Some(done.0)
    }

    pub(super) fn catch_up(&self) -> usize {
        let mut deeds = 0;
        loop {
            let mut world = self.world();
            if world.plans.life.is_none() {
                world.live_as(Life::default());
            }
            let now = world.now();
            let Some((_, notice)) = world.do_next(now) else {
                return deeds;
            };
            drop(world);
            self.post(notice);
            deeds += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lie_around_their_median() {
        let mut rng = fastrand::Rng::with_seed(1);
        let span = Span::hours(10.0, 2.0);
        let mut drawn: Vec<_> = (0..2000)
            .map(|_| span.draw(&mut rng).as_secs_f64() / 3600.0)
            .collect();
        drawn.sort_by(f64::total_cmp);
        assert!((9.0..11.0).contains(&drawn[1000]), "{}", drawn[1000]);
        let inside = drawn
            .iter()
            .filter(|hours| (5.0..20.0).contains(*hours))
            .count();
        assert!((1250..1480).contains(&inside), "{inside}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(Life::from_json("{}").unwrap(), Life::default());
        for (json, named) in [
            (r#"{"cases": 1}"#, "unknown field `cases`"),
            (r#"{"to_doctor": 0.6}"#, "together"),
            (r#"{"scan": {"median": 1, "spread": 0.5}}"#, "`spread`"),
            (r#"{"cases_per_day": -1}"#, "`cases_per_day`"),
        ] {
            let error = Life::from_json(json).unwrap_err().to_string();
            assert!(error.contains(named), "{json}: {error}");
        }
    }
}
