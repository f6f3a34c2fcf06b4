//! What the workers of a world ask, and what is recorded of the answers: lost, late, overtaken, or in
//! good order.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::answers::Answer;
use super::truth::State;
use super::{LabDelivery, PendingAnswer, World};
use crate::inbox::plan::{CaseRecord, Evidence, Observation, OrderState, observe};
use crate::inbox::problem::ProblemKind;

impl World {
    pub(super) fn poll(&mut self, calm: bool, seconds: u64) -> Result<(), String> {
        self.polls += 1;
        self.elapsed += seconds + if calm { 0 } else { self.rng.u64(0..60) };
        // Two workers at times, whose requests overlap.
        let workers = 1 + usize::from(self.rng.u8(0..8) == 0);
        let mut asked = Vec::with_capacity(3);
        for worker in 0..workers {
            let answer = self.service.list(&mut self.rng, calm);
            let revision = self.revision;
            asked.push(PendingAnswer {
                answer,
                revision,
                worker,
                phase: self.service.phase(),
            });
            if !calm && self.rng.u8(0..12) == 0 {
                self.fetch(worker, calm, &mut asked);
            }
        }
        if !calm && asked.len() > 1 && self.rng.bool() {
            asked.reverse();
        }
        for one in asked {
            if !calm && self.rng.u8(0..16) == 0 {
                self.say(|_| "  lost before it was recorded".to_owned());
            } else if !calm && self.rng.u8(0..10) == 0 {
                let polls = self.polls + self.rng.usize(1..20);
                self.late.push((polls, one));
            } else {
                self.take(&one);
            }
        }
        while let Some(at) = self.late.iter().position(|(until, _)| *until <= self.polls) {
            let (_, one) = self.late.swap_remove(at);
            // Nothing was recorded since, and the truth is another or calm: nobody could tell.
            let has_changed = calm || one.phase != self.service.phase();
            if has_changed && one.revision >= self.recorded {
                continue;
            }
            self.say(|_| "  late:".to_owned());
            self.take(&one);
        }
        if self.service.hints(&mut self.rng) {
            self.observe(Evidence::Hinted, self.revision, 0);
        }
        let worker = self.rng.usize(0..workers);
        let now = self.now(worker);
        let is_due = self
            .record
            .schedule()
            .due()
            .is_some_and(|due| due.has_passed(now));
        if is_due && (calm || self.rng.u8(0..8) > 0) {
            self.due_fetches += 1;
            let mut asked = Vec::with_capacity(1);
            self.fetch(worker, calm, &mut asked);
            for one in asked {
                if calm || self.rng.u8(0..12) > 0 {
                    self.take(&one);
                }
            }
        }
        self.check()
    }

    fn fetch(&mut self, worker: usize, calm: bool, asked: &mut Vec<PendingAnswer>) {
        if let Some(answer) = self.service.fetch(&mut self.rng, calm) {
            self.summary.fetches += 1;
            asked.push(PendingAnswer {
                answer,
                revision: self.revision,
                worker,
                phase: self.service.phase(),
            });
        }
    }

    fn take(&mut self, asked: &PendingAnswer) {
        let now = self.now(asked.worker);
        let (revision, worker) = (asked.revision, asked.worker);
        let policy = self.policy.clone();
        match &asked.answer {
            Answer::Listed(state, is_complete) => {
                if *is_complete {
                    self.coverage.take_listing(false, true, now, &policy);
                } else {
                    self.coverage.take_incomplete(now, &policy);
                }
                self.observe(Evidence::Listed(state.shown()), revision, worker);
            }
            Answer::Unsettled(states) => {
                let states: Vec<OrderState<'_>> = states.iter().map(State::shown).collect();
                self.observe(Evidence::Unsettled(&states), revision, worker);
            }
            Answer::Absent => {
                self.coverage.take_listing(false, true, now, &policy);
                if self.record.is_expected_in_listings() {
                    self.observe(Evidence::Absent, revision, worker);
                }
            }
            Answer::Incomplete => {
                self.coverage.take_incomplete(now, &policy);
                if self.record.is_expected_in_listings() {
                    self.observe(Evidence::Unlisted, revision, worker);
                }
            }
            Answer::Fetched(state) => {
                self.observe(Evidence::Fetched(state.shown()), revision, worker)
            }
            Answer::NotFound => self.observe(Evidence::NotFound, revision, worker),
            Answer::Failed => self.observe(Evidence::FetchFailed, revision, worker),
        }
    }

    pub(super) fn observe(&mut self, evidence: Evidence<'_>, revision: u64, worker: usize) {
        self.summary.steps += 1;
        let now = self.now(worker);
        let observation = Observation {
            evidence,
            is_outdated: revision < self.recorded,
            begun: now,
            now,
            jitter: self.rng.u32(..),
        };
        self.summary.outdated += u64::from(revision < self.recorded);
        let transition = observe(&self.record, &observation, &self.policy, &self.coverage);
        if self.verbose {
            let what = describe(&evidence);
            let outdated = if revision < self.recorded {
                " (outdated)"
            } else {
                ""
            };
            self.log.push(format!("{} {what}{outdated}", self.polls));
            let problems: Vec<&ProblemKind> = transition.problems().iter().collect();
            if !problems.is_empty() {
                self.log.push(format!("    {problems:?}"));
            }
        }
        for arrival in transition.arrivals() {
            let history = transition.record().map(CaseRecord::history);
            let Some(shown) = history.and_then(|one| one.arrivals().get(arrival.index as usize))
            else {
                continue;
            };
            let status = shown.status().clone();
            if self.verbose {
                let doubt = if shown.is_doubtful() { "?" } else { "" };
                let ordinal = arrival.ordinal;
                self.log.push(format!(
                    "    ARRIVES {}{doubt} {ordinal:?}",
                    status.as_str()
                ));
            }
            if arrival.ordinal.is_some() {
                self.summary.deliveries += 1;
                self.summary.doubtful += u64::from(shown.is_doubtful());
                self.delivered.push(LabDelivery {
                    status,
                    at_poll: self.polls,
                });
            }
        }
        let raises = transition.raises_revision();
        if let Some(record) = transition.into_record() {
            if raises {
                self.revision += 1;
                self.recorded = self.revision;
            }
            self.record = record;
        }
    }

    /// A process lives on what was written.
    fn check(&mut self) -> Result<(), String> {
        if self.rng.u8(..) > 2 {
            return Ok(());
        }
        let text = serde_json::to_string(&self.record).map_err(|error| error.to_string())?;
        let read: CaseRecord = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if read != self.record {
            return Err(format!("is read back differently: {text}"));
        }
        if text.len() > 60_000 {
            return Err(format!("a record of {} bytes", text.len()));
        }
        Ok(())
    }

    /// The time as a process has it: its wall clock, or the later of that and of the time since
    /// it started.
    fn now(&self, worker: usize) -> SystemTime {
        let clock = self.clocks[worker];
        let true_time = clock.stopped.unwrap_or(self.elapsed);
        let wall = true_time.saturating_add_signed(clock.offset);
        let time = if self.monotonic {
            wall.max(self.elapsed)
        } else {
            wall
        };
        UNIX_EPOCH + Duration::from_secs(time)
    }
}

fn describe(evidence: &Evidence<'_>) -> String {
    let state = |shown: &OrderState<'_>| {
        let files = serde_json::to_string(shown.files).unwrap_or_default();
        let history = serde_json::to_string(shown.history).unwrap_or_default();
        format!("{} {files} {history}", shown.status.as_str())
    };
    match evidence {
        Evidence::Listed(shown) => format!("L {}", state(shown)),
        Evidence::Fetched(shown) => format!("  f {}", state(shown)),
        Evidence::Unsettled(states) => {
            let states: Vec<String> = states.iter().map(state).collect();
            format!("L {}", states.join(" | "))
        }
        other => format!("{other:?}"),
    }
}
