//! What the service answers: the truth, or what its faults make of it.

use std::time::{Duration, UNIX_EPOCH};

use fastrand::Rng;

use super::truth::{Phase, State, next};
use crate::flow::Arrival;
use crate::inbox::plan::{File, Files};
use crate::status::OrderStatus;

#[derive(Debug)]
pub(super) enum Answer {
    /// With whether the listing was complete.
    Listed(State, bool),
    Unsettled(Vec<State>),
    Absent,
    Incomplete,
    Fetched(State),
    NotFound,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fetching {
    Works,
    /// For ever.
    Fails,
    NotFound,
    /// There is no Rx id.
    Impossible,
}

/// What answers carry of the files.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FileDetail {
    Nothing,
    /// One id, whose time tells the scan.
    Times,
    /// Ids that tell the scan.
    Ids,
    /// Ids without anything that tells the scan.
    BareIds,
    /// Another time at every so many answers.
    Renewed(u64),
    /// Other ids at each answer.
    NewIds,
    /// One view shows more than the other.
    Unequal,
    /// One after the other, some answers apart.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Histories {
    None,
    Good,
    WithoutTimes,
    Reversed,
    /// Only the last so many entries.
    Last(usize),
    /// With the time of the answer.
    Renewed,
    /// A line for each answer.
    Growing,
    /// All times are shifted back and forth, every so many answers.
    Shifted,
}

/// Which of its states a view shows, of the last few.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lag {
    None,
    /// Up to so many phases behind, at random.
    Random(usize),
    /// Two replicas that answer in runs of so many; the other one is so many phases behind.
    Replicas(u64, usize),
    /// It stays so many phases behind.
    Stuck(usize),
}

#[derive(Debug)]
pub(super) struct Service {
    phases: Vec<Phase>,
    answers: u64,
    /// At which answer the phase began.
    phase_began: u64,
    // For the whole world.
    fetching: Fetching,
    carried: FileDetail,
    histories: Histories,
    in_listings: bool,
    never_complete: bool,
    renamed: bool,
    /// Listed without an order id.
    nameless: bool,
    hints: u8,
    // For a while.
    list_lag: Lag,
    fetch_lag: Lag,
    incomplete: u8,
    drops: u8,
    contradicts: u8,
    fetch_fails: u8,
    fetch_404: u8,
    half_renamed: u8,
    without_files: u8,
}

impl Service {
    pub(super) fn new(rng: &mut Rng, faultless: bool) -> Self {
        let first = [
            OrderStatus::Scanning,
            OrderStatus::RxCreated,
            OrderStatus::Sent,
        ];
        let first = Phase {
            status: first[rng.usize(0..3)].clone(),
            version: 0,
            since: 1_799_990_000,
        };
        let fetching = pick(
            rng,
            &[
                Fetching::Works,
                Fetching::Works,
                Fetching::Works,
                Fetching::Fails,
                Fetching::NotFound,
                Fetching::Impossible,
            ],
        );
        let carried = pick(
            rng,
            &[
                FileDetail::Nothing,
                FileDetail::Times,
                FileDetail::Ids,
                FileDetail::BareIds,
                FileDetail::Renewed(1),
                FileDetail::Renewed(2),
                FileDetail::Renewed(5),
                FileDetail::NewIds,
                FileDetail::Unequal,
                FileDetail::Late,
            ],
        );
        let histories = pick(
            rng,
            &[
                Histories::None,
                Histories::None,
                Histories::None,
                Histories::None,
                Histories::Good,
                Histories::WithoutTimes,
                Histories::Reversed,
                Histories::Last(1),
                Histories::Last(3),
                Histories::Renewed,
                Histories::Growing,
                Histories::Shifted,
            ],
        );
        let service = Service {
            phases: vec![first],
            answers: 0,
            phase_began: 0,
            fetching,
            carried,
            histories,
            in_listings: rng.bool(),
            never_complete: fetching == Fetching::Works && rng.u8(0..6) == 0,
            renamed: rng.u8(0..6) == 0,
            nameless: fetching != Fetching::Impossible && rng.u8(0..8) == 0,
            hints: pick(rng, &[0, 0, 20, 255]),
            list_lag: Lag::None,
            fetch_lag: Lag::None,
            incomplete: 0,
            drops: 0,
            contradicts: 0,
            fetch_fails: 0,
            fetch_404: 0,
            half_renamed: 0,
            without_files: 0,
        };
        if !faultless {
            return service;
        }
        let carried = [
            FileDetail::Nothing,
            FileDetail::Times,
            FileDetail::Ids,
            FileDetail::BareIds,
        ];
        let histories = [Histories::None, Histories::None, Histories::Good];
        Service {
            fetching: Fetching::Works,
            carried: pick(rng, &carried),
            histories: pick(rng, &histories),
            never_complete: false,
            renamed: false,
            nameless: false,
            ..service
        }
    }

    pub(super) fn truth(&self) -> &Phase {
        self.phases.last().expect("there is a first phase")
    }

    pub(super) fn phase(&self) -> usize {
        self.phases.len()
    }

    pub(super) fn go_on(&mut self, rng: &mut Rng, now: u64) {
        let tells = matches!(self.carried, FileDetail::Times | FileDetail::Ids);
        let phase = next(rng, self.truth(), tells, now);
        self.phases.push(phase);
        self.phase_began = self.answers;
    }

    /// Our return had its effect.
    pub(super) fn returned(&mut self, now: u64) {
        let version = self.truth().version;
        self.phases.push(Phase {
            status: OrderStatus::Scanning,
            version,
            since: now,
        });
    }

    pub(super) fn fetches_work(&self) -> bool {
        self.fetching == Fetching::Works
    }

    pub(super) fn has_rx_id(&self) -> bool {
        self.fetching != Fetching::Impossible
    }

    pub(super) fn is_never_complete(&self) -> bool {
        self.never_complete
    }

    pub(super) fn disturb(&mut self, rng: &mut Rng) {
        if rng.u8(0..3) > 0 {
            return;
        }
        self.list_lag = lag(rng);
        self.fetch_lag = lag(rng);
        self.incomplete = pick(rng, &[0, 0, 40, 200]);
        self.drops = pick(rng, &[0, 0, 30, 128]);
        self.contradicts = pick(rng, &[0, 0, 0, 40, 255]);
        self.fetch_fails = pick(rng, &[0, 0, 128, 255]);
        self.fetch_404 = pick(rng, &[0, 0, 60, 255]);
        self.half_renamed = pick(rng, &[0, 128, 255]);
        self.without_files = pick(rng, &[0, 0, 60, 255]);
    }

    pub(super) fn disturb_for_good(&mut self, rng: &mut Rng) {
        loop {
            self.disturb(rng);
            if rng.bool() {
                return;
            }
        }
    }

    pub(super) fn calm(&mut self) {
        self.list_lag = Lag::None;
        self.fetch_lag = Lag::None;
        for fault in [
            &mut self.incomplete,
            &mut self.drops,
            &mut self.contradicts,
            &mut self.fetch_fails,
            &mut self.fetch_404,
            &mut self.half_renamed,
            &mut self.without_files,
        ] {
            *fault = 0;
        }
    }

    pub(super) fn hints(&mut self, rng: &mut Rng) -> bool {
        rng.u8(..) < self.hints / 4
    }

    pub(super) fn list(&mut self, rng: &mut Rng, calm: bool) -> Answer {
        let phase = self.shown_phase(rng, self.list_lag).clone();
        let is_complete = !self.never_complete && (calm || !chance(rng, self.incomplete));
        let is_there = phase.waits_for_lab() && (calm || !chance(rng, self.drops));
        if !is_there {
            return if is_complete {
                Answer::Absent
            } else {
                Answer::Incomplete
            };
        }
        let state = self.state(rng, &phase, self.in_listings, true);
        if !calm && chance(rng, self.contradicts) {
            let other = self.phases[rng.usize(0..self.phases.len())].clone();
            if other.waits_for_lab() && other.status != phase.status {
                let other = self.state(rng, &other, self.in_listings, true);
                return Answer::Unsettled(vec![state, other]);
            }
        }
        if self.nameless {
            return Answer::Unsettled(vec![state]);
        }
        Answer::Listed(state, is_complete)
    }

    pub(super) fn fetch(&mut self, rng: &mut Rng, calm: bool) -> Option<Answer> {
        match self.fetching {
            Fetching::Impossible => return None,
            Fetching::Fails => return Some(Answer::Failed),
            Fetching::NotFound => return Some(Answer::NotFound),
            Fetching::Works if calm => {}
            Fetching::Works if chance(rng, self.fetch_fails) => return Some(Answer::Failed),
            Fetching::Works if chance(rng, self.fetch_404) => return Some(Answer::NotFound),
            Fetching::Works => {}
        }
        let phase = self.shown_phase(rng, self.fetch_lag).clone();
        Some(Answer::Fetched(self.state(rng, &phase, true, false)))
    }

    /// The name that the service gives a status now.
    pub(super) fn shown_status(&self, phase: &Phase) -> OrderStatus {
        if self.renamed && phase.status == OrderStatus::ReadyForDownload {
            return OrderStatus::from("Klar");
        }
        phase.status.clone()
    }

    /// All names that it has given it.
    pub(super) fn names(&self, phase: &Phase) -> Vec<OrderStatus> {
        vec![phase.status.clone(), self.shown_status(phase)]
    }

    /// In how many statuses it can be listed.
    pub(super) fn listed_statuses(&self) -> usize {
        let statuses = [OrderStatus::ReadyForDownload, OrderStatus::LabReview];
        let was = |status: &&OrderStatus| self.phases.iter().any(|one| one.status == **status);
        statuses.iter().filter(was).count() + usize::from(self.renamed)
    }

    fn shown_phase(&self, rng: &mut Rng, lag: Lag) -> &Phase {
        let behind = match lag {
            Lag::None => 0,
            Lag::Random(most) => rng.usize(0..=most),
            Lag::Replicas(run, behind) if self.answers / run % 2 == 1 => behind,
            Lag::Replicas(..) => 0,
            Lag::Stuck(behind) => behind,
        };
        let last = self.phases.len() - 1;
        &self.phases[last.saturating_sub(behind)]
    }

    fn state(&mut self, rng: &mut Rng, phase: &Phase, history: bool, listing: bool) -> State {
        self.answers += 1;
        let renamed = self.renamed
            && phase.status == OrderStatus::ReadyForDownload
            && !chance(rng, self.half_renamed);
        let status = if renamed {
            OrderStatus::from("Klar")
        } else {
            phase.status.clone()
        };
        let files = if chance(rng, self.without_files) {
            Files::none()
        } else {
            self.files(phase, listing)
        };
        let history = if history {
            self.history(phase, &status)
        } else {
            Vec::new()
        };
        State {
            status,
            files,
            history,
        }
    }

    fn files(&self, phase: &Phase, listing: bool) -> Files {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let version = phase.version;
        match self.carried {
            FileDetail::Nothing => Files::none(),
            FileDetail::Times => {
                Files::new([File::new("scan").modified(at(version)), File::new("view")])
            }
            FileDetail::Ids => Files::new([File::new(format!("scan {version}"))]),
            FileDetail::BareIds => Files::new([File::new("scan"), File::new("view")]),
            FileDetail::Renewed(every) => {
                Files::new([File::new("scan").modified(at(self.answers / every))])
            }
            FileDetail::NewIds => Files::new([File::new(format!("id {}", self.answers))]),
            FileDetail::Late => {
                let there = 1 + (self.answers - self.phase_began) / 4;
                let file = |number| File::new(format!("part {number} of {version}"));
                Files::new((0..there.min(4)).map(file))
            }
            FileDetail::Unequal if listing => Files::new([File::new("scan")]),
            FileDetail::Unequal => Files::new([
                File::new("scan").size(version + 1),
                File::new(format!("view {version}")),
            ]),
        }
    }

    fn history(&self, phase: &Phase, status: &OrderStatus) -> Vec<Arrival> {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let upto = self.phases.iter().rposition(|one| one.since == phase.since);
        let phases = &self.phases[..=upto.unwrap_or_default()];
        let entry = |one: &Phase| Arrival::new(one.status.clone()).at(at(one.since));
        let mut entries: Vec<Arrival> = phases.iter().map(entry).collect();
        if let Some(last) = entries.last_mut() {
            *last = Arrival::new(status.clone()).at(at(phase.since));
        }
        match self.histories {
            Histories::None => entries.clear(),
            Histories::Good => {}
            Histories::WithoutTimes => {
                let bare = |one: &Arrival| Arrival::new(one.status().clone());
                entries = entries.iter().map(bare).collect();
            }
            Histories::Reversed => entries.reverse(),
            Histories::Last(count) => {
                entries.drain(..entries.len().saturating_sub(count));
            }
            Histories::Renewed => {
                let renewed = |one: &Arrival| {
                    Arrival::new(one.status().clone()).at(at(1_900_000_000 + self.answers))
                };
                entries = entries.iter().map(renewed).collect();
            }
            Histories::Shifted => {
                let shift = 3_600 * (self.answers / 30 % 3);
                let shifted = |one: &Arrival| match one.time() {
                    Some(time) => one.clone().at(time - Duration::from_secs(shift)),
                    None => one.clone(),
                };
                entries = entries.iter().map(shifted).collect();
            }
            Histories::Growing => {
                let line = |answer| Arrival::new(status.clone()).at(at(1_900_000_000 + answer));
                let last = self.answers.saturating_sub(20);
                entries.extend((last..self.answers).map(line));
            }
        }
        entries
    }
}

fn lag(rng: &mut Rng) -> Lag {
    let behind = rng.usize(1..4);
    match rng.u8(0..7) {
        0..3 => Lag::None,
        3 => Lag::Random(behind),
        4 => Lag::Replicas(1, behind),
        5 => Lag::Replicas(rng.u64(2..5), behind),
        _ => Lag::Stuck(behind),
    }
}

fn chance(rng: &mut Rng, of_255: u8) -> bool {
    of_255 > 0 && rng.u8(..) <= of_255
}

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())].clone()
}
