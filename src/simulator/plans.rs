//! What people will do, and when: planned ahead, done when its time comes.
//!
//! *Problem.* What a case does must not depend on what other cases do, or each new call would change
//! the whole run.
//!
//! *Approach.* A queue by time. Each draw is made of the case and its move, and a plan that no longer
//! fits its case is dropped (`a_life_is_that_of_its_seed_however_it_is_cut`). Posting must wait until
//! the world's lock is released.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use super::life::{Plan, PlannedEvent, Span, WorkflowEvent, Workload, hours};
use super::randomness::Stream;
use super::settings::InvalidSettings;
use super::world::{Notice, World};
use super::{Action, Simulator, SimulatorState};
use crate::flow::Phase;
use crate::status::Symbol;

impl World {
    /// Makes people act as it says. What they had planned they do.
    fn live_as(&mut self, life: Workload) {
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
        let mut rng = self
            .randomness
            .nth(Stream::Workload, number << 16 ^ decided);
        let Some((span, action)) = next(&life, phase, case.was_modeled(), &mut rng) else {
            return;
        };
        let at = self.now() + span.draw(&mut rng);
        self.plan(
            at,
            PlannedEvent::Act {
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
        // The highest bit keeps these draws apart from those of cases.
        let number = u64::from(account) << 40 ^ *number ^ 1 << 63;
        let mut rng = self.randomness.nth(Stream::Workload, number);
        // Doctors do not know of each other: the time between two cases is exponential.
        let gap = hours(-(1.0 - rng.f64()).ln() * 24.0 / per_day);
        let at = self.now() + gap;
        self.plan(at, PlannedEvent::Prescribe { account });
    }

    fn plan(&mut self, at: SystemTime, what: PlannedEvent) {
        self.plans.planned += 1;
        let number = self.plans.planned;
        self.plans.due.push(Reverse(Plan { at, number, what }));
    }

    fn next_due(&self) -> Option<SystemTime> {
        self.plans.due.peek().map(|Reverse(plan)| plan.at)
    }

    /// Does the next thing that is due by then. What no longer fits, since somebody else has
    /// moved the case, is left.
    fn do_next(&mut self, by: SystemTime) -> Option<(WorkflowEvent, Option<Notice>)> {
        while self.next_due().is_some_and(|at| at <= by) {
            let Reverse(plan) = self.plans.due.pop()?;
            // At its own time, however late somebody looks.
            self.backdated = Some(plan.at);
            let done = self.perform(plan.what);
            // Also after an action that was refused: the world must not stay in the past.
            self.backdated = None;
            if done.is_some() {
                return done;
            }
        }
        None
    }

    fn perform(&mut self, what: PlannedEvent) -> Option<(WorkflowEvent, Option<Notice>)> {
        match what {
            PlannedEvent::Prescribe { account } => {
                self.plan_case(account);
                let id = self.account_at(account)?.id.clone();
                let order = self.prescribe(&id, None)?;
                Some((WorkflowEvent::Prescribed(order), None))
            }
            PlannedEvent::Act {
                order,
                moves,
                action,
            } => {
                let case = self.numbered(order);
                let id = case.filter(|case| case.entries().len() == moves)?.id();
                let notice = self.act(&id, action).ok()?;
                Some((WorkflowEvent::Acted(id, action), notice))
            }
        }
    }
}

/// What people do next with a case, and how long it takes them; nothing where it rests.
fn next(
    life: &Workload,
    phase: Phase,
    was_modeled: bool,
    rng: &mut fastrand::Rng,
) -> Option<(Span, Action)> {
    let lab = |action| Some((life.lab, action));
    // Drawn in any case, so that the draws that follow are the same whatever the settings are.
    let downloads = rng.f64() < life.portal_downloads;
    // One draw: each way has its share of it.
    let mut draw = rng.f64();
    let mut happens = |chance: f64| {
        // What is left of the draw decides about the next way.
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
        // A lab that asked for a milled model approves it, nearly always.
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
    pub fn set_life(&self, life: Workload) -> Result<(), InvalidSettings> {
        life.check()?;
        self.world().live_as(life);
        Ok(())
    }

    /// Lets so much time pass, with all that people do in it, each thing at its time: a day of a
    /// busy lab takes milliseconds. Lives by [`Workload::default`] if no other was set. Says how many
    /// things were done.
    pub fn live(&self, time: Duration) -> usize {
        let end = self.now() + time;
        let mut done_count = 0;
        while self.shared.step(Some(end)).is_some() {
            done_count += 1;
        }
        let mut world = self.world();
        // The clock may run by itself and be past the end already.
        let rest = end.duration_since(world.now()).unwrap_or_default();
        world.advance(rest);
        done_count
    }

    /// Lets time pass until somebody has done something, and says what; nothing if nobody will.
    pub fn step(&self) -> Option<WorkflowEvent> {
        self.shared.step(None)
    }

    /// Does what is due by now, and moves no clock: for one that runs by itself. Says how many
    /// things were done.
    pub fn catch_up(&self) -> usize {
        self.shared.catch_up()
    }
}

impl SimulatorState {
    /// The next thing, unless it is later than that.
    pub(super) fn step(&self, end: Option<SystemTime>) -> Option<WorkflowEvent> {
        let mut world = self.world();
        if world.plans.life.is_none() {
            world.live_as(Workload::default());
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
        // Posting takes the lock again.
        drop(world);
        self.post(done.1);
        Some(done.0)
    }

    pub(super) fn catch_up(&self) -> usize {
        let mut done_count = 0;
        loop {
            let mut world = self.world();
            if world.plans.life.is_none() {
                world.live_as(Workload::default());
            }
            let now = world.now();
            let Some((_, notice)) = world.do_next(now) else {
                return done_count;
            };
            drop(world);
            self.post(notice);
            done_count += 1;
        }
    }
}
