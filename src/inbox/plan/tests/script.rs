//! A small language for what happens to one order, step by step, separated by commas:
//!
//! `L F{a}` a poll, five minutes later: a complete listing shows F with file a; `L –` it lacks
//! the order; `L x` it is not complete; `L F|R` it shows both; `L ?F` it shows F without an order
//! id. Where a fetch is due after a poll it is made and answers what `f=` set last: `f=S`, `f=!`
//! it fails, `f=404`, `f=L` what the last listing showed, or S where it lacked the order; at first
//! there is no Rx id to fetch by. `f S` a fetch at once, whatever is due; `N` a notification;
//! `ret` our own return; `+3h` hours go by; `clock-30h` the clock is set back; `xN` after a step:
//! N times. A file `a:2` has size 2. A history in brackets: `f R[F1 M2 R3]`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::*;
use crate::flow::{Arrival, Origin};
use crate::inbox::problem::ProblemKind;
use crate::status::OrderStatus;

pub(super) struct Script {
    pub(super) record: CaseRecord,
    pub(super) policy: Policy,
    pub(super) deliveries: Vec<String>,
    pub(super) problems: Vec<ProblemKind>,
    pub(super) fetches: usize,
    pub(super) revision: u64,
    /// At which revision the case was recorded last.
    pub(super) recorded: u64,
    /// By the clock.
    pub(super) now: SystemTime,
    /// In truth.
    pub(super) elapsed: Duration,
    fetch: Option<String>,
    listed: String,
    coverage: ListingCoverage,
}

/// A state as the script spells it, with room for what answers borrow.
struct State {
    status: OrderStatus,
    files: Files,
    history: Vec<Arrival>,
}

impl Script {
    pub(super) fn new() -> Self {
        Script {
            record: CaseRecord::new(),
            policy: Policy::default(),
            deliveries: Vec::new(),
            problems: Vec::new(),
            fetches: 0,
            revision: 0,
            recorded: 0,
            now: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            elapsed: Duration::ZERO,
            fetch: None,
            listed: String::new(),
            coverage: ListingCoverage::default(),
        }
    }

    /// An order that the lab's former software knows.
    pub(super) fn imported(symbols: &str) -> Self {
        let mut script = Script::new();
        let history = symbols.split_whitespace().map(|one| parse(one).status);
        let history = crate::flow::History::partial(history);
        script.record = CaseRecord::imported(&history, script.now, &script.policy, 0);
        script
    }

    pub(super) fn run(mut self, steps: &str) -> Self {
        self.go_on(steps);
        self
    }

    pub(super) fn go_on(&mut self, steps: &str) {
        for step in steps.split(", ") {
            let (step, times) = match step.rsplit_once(" x") {
                Some((step, times)) if times.parse::<u32>().is_ok() => {
                    (step, times.parse().unwrap())
                }
                _ => (step, 1),
            };
            for _ in 0..times {
                self.step(step.trim());
            }
        }
    }

    fn step(&mut self, step: &str) {
        if let Some(listed) = step.strip_prefix("L ") {
            self.pass(self.policy.poll_interval);
            self.list(listed);
            self.fetch_if_due();
        } else if let Some(answer) = step.strip_prefix("f=") {
            self.fetch = Some(answer.to_owned());
        } else if let Some(answer) = step.strip_prefix("f ") {
            self.fetch(answer);
        } else if step == "N" {
            self.observe(Evidence::Hinted);
        } else if step == "ret" {
            self.observe(Evidence::Returned);
        } else if let Some(hours) = step.strip_prefix('+') {
            let hours = hours.strip_suffix('h').unwrap().parse::<u64>().unwrap();
            self.pass(Duration::from_secs(hours * 3_600));
        } else if let Some(hours) = step.strip_prefix("clock-") {
            let hours = hours.strip_suffix('h').unwrap().parse::<u64>().unwrap();
            self.now -= Duration::from_secs(hours * 3_600);
        } else {
            panic!("no such step: {step:?}");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.elapsed += time;
    }

    fn list(&mut self, listed: &str) {
        self.listed = listed.to_owned();
        match listed {
            "–" => {
                let now = self.now;
                self.coverage.take_listing(false, true, now, &self.policy);
                self.observe(Evidence::Absent);
            }
            "x" => {
                self.coverage.take_incomplete(self.now, &self.policy);
                self.observe(Evidence::Unlisted);
            }
            _ => {
                let now = self.now;
                self.coverage.take_listing(false, true, now, &self.policy);
                let states: Vec<State> = listed
                    .trim_start_matches('?')
                    .split('|')
                    .map(parse)
                    .collect();
                let states: Vec<OrderState<'_>> = states.iter().map(State::shown).collect();
                match states.as_slice() {
                    [shown] if !listed.starts_with('?') => self.observe(Evidence::Listed(*shown)),
                    states => self.observe(Evidence::Unsettled(states)),
                }
            }
        }
    }

    fn fetch_if_due(&mut self) {
        if !self
            .record
            .schedule()
            .due()
            .is_some_and(|due| due.has_passed(self.now))
        {
            return;
        }
        let Some(answer) = self.fetch.clone() else {
            return;
        };
        match &*answer {
            "L" if self.listed == "–" => self.fetch("S"),
            "L" => self.fetch(&self.listed.clone()),
            answer => self.fetch(answer),
        }
    }

    fn fetch(&mut self, answer: &str) {
        self.fetches += 1;
        match answer {
            "!" => self.observe(Evidence::FetchFailed),
            "404" => self.observe(Evidence::NotFound),
            answer => {
                let state = parse(answer);
                self.observe(Evidence::Fetched(state.shown()));
            }
        }
    }

    pub(super) fn observe(&mut self, evidence: Evidence<'_>) {
        let revision = self.revision;
        self.observe_at(evidence, revision);
    }

    /// Observes something that was asked for at this revision.
    pub(super) fn observe_at(&mut self, evidence: Evidence<'_>, revision: u64) {
        let observation = Observation {
            evidence,
            is_outdated: revision < self.recorded,
            begun: self.now,
            now: self.now,
            jitter: 0,
        };
        let transition = observe(&self.record, &observation, &self.policy, &self.coverage);
        self.problems.extend(transition.problems());
        for arrival in delivered(&transition) {
            let status = arrival.status();
            let symbol = status
                .symbol()
                .map_or(status.as_str(), |symbol| symbol.as_str());
            let doubt = if arrival.is_doubtful() { "?" } else { "" };
            self.deliveries.push(format!("{symbol}*{doubt}"));
        }
        let raises = transition.raises_revision();
        if let Some(record) = transition.into_record() {
            if raises {
                self.revision += 1;
                self.recorded = self.revision;
            }
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(
                serde_json::from_str::<CaseRecord>(&text).unwrap(),
                record,
                "{text}"
            );
            self.record = record;
        }
    }

    /// When a fetch is due.
    pub(super) fn due(&self) -> Option<SystemTime> {
        self.record.schedule().due().map(|due| due.at)
    }

    pub(super) fn delivered(&self) -> String {
        self.deliveries.join(" ")
    }

    /// The history as symbols.
    pub(super) fn symbols(&self) -> String {
        let arrivals = self.record.history().arrivals().iter();
        let symbol = |arrival: &Arrival| {
            let status = arrival.status();
            let own = arrival.origin() == Some(Origin::OwnAction);
            let symbol = status
                .symbol()
                .map_or(status.as_str(), |symbol| symbol.as_str());
            format!("{symbol}{}", if own { "!" } else { "" })
        };
        arrivals.map(symbol).collect::<Vec<_>>().join(" ")
    }
}

/// The deliveries that a transition adds.
fn delivered(transition: &super::super::transition::Transition) -> impl Iterator<Item = &Arrival> {
    let arrivals = transition
        .record()
        .map(|record| record.history().arrivals());
    let new = transition.arrivals().filter(|new| new.ordinal.is_some());
    new.filter_map(move |new| arrivals?.get(new.index as usize))
}

impl State {
    fn shown(&self) -> OrderState<'_> {
        OrderState {
            history: &self.history,
            ..OrderState::new(&self.status, &self.files)
        }
    }
}

/// What a script without an Rx id delivers.
pub(super) fn deliveries(steps: &str) -> String {
    Script::new().run(steps).delivered()
}

pub(super) fn status(symbol: &str) -> OrderStatus {
    OrderStatus::from(match symbol {
        "S" => "Scanning",
        "F" => "Ready for Download",
        "M" => "iTero Modeling",
        "R" => "Lab Review",
        "I" => "iTero Milling",
        "T" => "Ready to Ship",
        "D" => "Downloaded",
        other => other,
    })
}

fn file(text: &str) -> File<'_> {
    match text.split_once(':') {
        Some((id, size)) => File::new(id).size(size.parse().unwrap()),
        None => File::new(text),
    }
}

fn parse(text: &str) -> State {
    let (text, history) = text.split_once('[').unwrap_or((text, ""));
    let (symbol, files) = text.split_once('{').unwrap_or((text, ""));
    let files = files
        .trim_end_matches('}')
        .split(',')
        .filter(|one| !one.is_empty());
    let entry = |text: &str| {
        let (symbol, time) = text.split_at(1);
        let arrival = Arrival::new(status(symbol));
        match time.parse() {
            Ok(seconds) => arrival.at(UNIX_EPOCH + Duration::from_secs(seconds)),
            Err(_) => arrival,
        }
    };
    State {
        status: status(symbol),
        files: Files::new(files.map(file)),
        history: history
            .trim_end_matches(']')
            .split_whitespace()
            .map(entry)
            .collect(),
    }
}
