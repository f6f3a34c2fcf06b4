//! A case as it truly is. There may be a million, so what follows from its number is not stored.
//!
//! Its course is a list that only grows; where it stands is the last entry. What was shown must not be
//! changed afterwards, but for the phase of a model that turns out to be on the way to interpretation
//! 2.

use std::time::{Duration, SystemTime};

use super::Action;
use super::files::FileFacts;
use super::prescription::{Patient, Prescription, Procedure};
use super::randomness::Randomness;
use super::refusal::Refusal;
use crate::flow::Phase;
use crate::model::OrderId;
use crate::status::{OrderStatus, Symbol};

#[derive(Debug)]
pub(super) struct Case {
    pub(super) number: u64,
    pub(super) account: u32,
    /// Everything that was shown of it, the current state last; never empty.
    entries: Vec<Entry>,
    pub(super) facts: FileFacts,
    /// What the scanning tool asked for.
    // Boxed, since few cases have it and each would carry its size.
    asked: Option<Box<(Patient, Procedure)>>,
}

/// What was shown from a time on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Milliseconds since 1970.
    // Eight bytes where a `SystemTime` has sixteen: there may be a million cases.
    at: u64,
    /// How often the files changed so far.
    pub(super) revision: u16,
    pub(super) phase: Phase,
    /// Its place among the known statuses.
    status: u8,
    /// Whether an answer that showed it went out whole.
    pub(super) seen: bool,
}

impl Case {
    pub(super) fn prescribed(
        number: u64,
        account: u32,
        asked: Option<(Patient, Procedure)>,
        now: SystemTime,
    ) -> Self {
        let mut case = Case {
            number,
            account,
            entries: Vec::new(),
            facts: FileFacts::default(),
            asked: asked.map(Box::new),
        };
        case.enter(Phase::Scan, &OrderStatus::RxCreated, now);
        case
    }

    pub(super) fn id(&self) -> OrderId {
        OrderId::new(self.number.to_string())
    }

    pub(super) fn enter(&mut self, phase: Phase, status: &OrderStatus, now: SystemTime) {
        let before = self.entries.last().map_or(0, |entry| entry.revision);
        // A scan and a rescan bring new files, and so does modeling.
        let renews = matches!(phase.shows(), Symbol::F | Symbol::R);
        if renews {
            self.facts = FileFacts::default();
        }
        let known = OrderStatus::KNOWN.iter().position(|known| known == status);
        let at = now.duration_since(SystemTime::UNIX_EPOCH);
        // Before 1970 it is 0, after the reach of `u64` the largest: both only of a clock that is
        // set to nonsense.
        let at = at.map_or(0, |at| u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        self.entries.push(Entry {
            // What is noted late may have been overtaken.
            at: at.max(self.entry().map_or(0, |last| last.at)),
            revision: before.saturating_add(renews.into()),
            phase,
            status: known
                // There are thirteen known statuses, so this fails for none.
                .and_then(|at| u8::try_from(at).ok())
                .unwrap_or_default(),
            seen: false,
        });
    }

    fn entry(&self) -> Option<&Entry> {
        self.entries.last()
    }

    /// Everything that was shown, oldest first.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether modelers had it.
    pub(super) fn was_modeled(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.phase.shows() == Symbol::M)
    }

    /// What is shown now was seen.
    pub(super) fn see(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.seen = true;
        }
    }

    /// Where the case is in truth.
    pub(super) fn phase(&self) -> Phase {
        self.entry().map_or(Phase::Scan, |entry| entry.phase)
    }

    /// What the service shows.
    pub(super) fn status(&self) -> &'static OrderStatus {
        self.entry().map_or(&OrderStatus::RxCreated, Entry::status)
    }

    /// Every phase so far, the current one last.
    pub(super) fn path(&self) -> Vec<Phase> {
        let mut path: Vec<_> = self.entries.iter().map(|entry| entry.phase).collect();
        path.dedup();
        path
    }

    pub(super) fn created(&self) -> SystemTime {
        self.entries
            .first()
            .map_or(SystemTime::UNIX_EPOCH, Entry::at)
    }

    /// How often its files changed; 0 before the first scan.
    pub(super) fn revision(&self) -> u16 {
        self.entry().map_or(0, |entry| entry.revision)
    }

    /// When its files changed for the n-th time.
    pub(super) fn files_modified_at(&self, revision: u16) -> SystemTime {
        let mut entries = self.entries.iter();
        let first = entries.find(|entry| entry.revision == revision);
        first.map_or(SystemTime::UNIX_EPOCH, Entry::at)
    }

    /// Whether the modelers had it when its files changed for the n-th time.
    pub(super) fn was_modeled_at(&self, revision: u16) -> bool {
        let mut upto = self
            .entries
            .iter()
            .filter(|entry| entry.revision <= revision);
        upto.any(|entry| entry.phase.shows() == Symbol::R)
    }

    pub(super) fn prescription(&self, randomness: Randomness) -> Prescription {
        let (patient, procedure) = self.asked.as_deref().cloned().unzip();
        let mut prescription = Prescription::of(randomness, self.number, procedure);
        if let Some(patient) = patient {
            prescription.patient = patient;
        }
        prescription
    }

    /// The modeler has sent the case through interpretation 2: the way it came from modeling
    /// was that way all along.
    pub(super) fn was_on_the_way_to_interpretation(&mut self) {
        for entry in self.entries.iter_mut().rev() {
            entry.phase = match entry.phase {
                Phase::ModelingM => Phase::ModelingG,
                Phase::ReviewM => Phase::ReviewG,
                Phase::ReviewedM => Phase::ReviewedG,
                // Only the latest round: an earlier one went its own way.
                _ => break,
            };
        }
    }

    /// What can be done with it now. To begin a scan that is begun would change nothing.
    pub(super) fn possible(&self) -> Vec<Action> {
        let begun = *self.status() == OrderStatus::Scanning;
        let fits = |action: &Action| {
            action.leads(self.phase()).is_some() && !(*action == Action::BeginScan && begun)
        };
        Action::ALL.iter().copied().filter(fits).collect()
    }

    /// An action that does not fit the phase.
    pub(super) fn refuses(&self, action: &'static str) -> Refusal {
        Refusal::new(action, Some(self.phase()))
    }
}

impl Entry {
    pub(super) fn at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.at)
    }

    pub(super) fn status(&self) -> &'static OrderStatus {
        let known = OrderStatus::KNOWN.get(usize::from(self.status));
        known.unwrap_or(&OrderStatus::RxCreated)
    }
}
