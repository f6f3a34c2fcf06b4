//! The phase table: the only place that knows what may follow what.
//!
//! *Problem.* The five rows of Align's table leave open where a case may go from where.
//!
//! *Approach.* One table, as constants, from which the automaton, the pictures, the simulator and
//! the explanations are made. The order of the phases is part of what is stored (as codes of
//! readings): it must not change.

use super::Scenario::{self, *};
use super::Stage::{self, *};
use super::action::LabAction;
use super::set::{Set, member};
use crate::status::Symbol::{self, *};
use Phase::*;

/// Where a case really is. The service shows only a symbol of it, so that a history leaves
/// several possible; [`Reading::phases`](super::Reading::phases) says which.
///
/// Model of ours, drawn from the five rows of Align's table. The endings say why a case is with
/// the modelers: `P`, only modeling was asked for; `M`, milling was; `G`, milling was, and the
/// case takes the way through interpretation 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the table below says what each is")]
pub enum Phase {
    Scan,
    AtLab,
    Kept,
    Rescan,
    AtLabAgain,
    KeptAgain,
    ModelingP,
    ReviewP,
    ReviewedP,
    ModelingM,
    ReviewM,
    ReviewedM,
    MillingM,
    ReadyM,
    FinishedM,
    ModelingG,
    ReviewG,
    ReviewedG,
    Interp2,
    Review2,
    Reviewed2,
    MillingG,
    ReadyG,
    FinishedG,
}

member!(Phase {
    Scan = "scan",
    AtLab = "at_lab",
    Kept = "kept",
    Rescan = "rescan",
    AtLabAgain = "at_lab_again",
    KeptAgain = "kept_again",
    ModelingP = "modeling_p",
    ReviewP = "review_p",
    ReviewedP = "reviewed_p",
    ModelingM = "modeling_m",
    ReviewM = "review_m",
    ReviewedM = "reviewed_m",
    MillingM = "milling_m",
    ReadyM = "ready_m",
    FinishedM = "finished_m",
    ModelingG = "modeling_g",
    ReviewG = "review_g",
    ReviewedG = "reviewed_g",
    Interp2 = "interp2",
    Review2 = "review2",
    Reviewed2 = "reviewed2",
    MillingG = "milling_g",
    ReadyG = "ready_g",
    FinishedG = "finished_g",
});

type Phases = Set<Phase>;

/// The three modeling phases.
const MOD: Phases = set(&[ModelingP, ModelingM, ModelingG]);
/// The three reviews after modeling.
const REV: Phases = set(&[ReviewP, ReviewM, ReviewG]);
/// The lab starts something new. *iTero Modeling* and *Scanning* are quiet, so the step into
/// them may be missing.
const AGAIN: Phases = set(&[Rescan, AtLabAgain]).union(MOD).union(REV);
const NOTHING: Phases = Set::EMPTY;

/// Where a complete history may begin.
pub(super) const START: Phases = set(&[Scan, AtLab]).union(MOD).union(REV);

/// What must not explain a deviation any more once something else than S was seen: the first
/// scan happens once.
pub(super) const FIRST_SCAN: Phases = set(&[Scan, AtLab, Kept]);

pub(super) struct Row {
    phase: Phase,
    pub(super) shows: Symbol,
    pub(super) scenario: Option<Scenario>,
    pub(super) stage: Stage,
    pub(super) next: Phases,
}

// Aligned by hand: it is compared with Align's table by eye.
#[rustfmt::skip]
pub(super) const TABLE: [Row; Phase::ALL.len()] = [
    //  phase       shows scenario                    stage             may be followed by
    row(Scan,       S, None,                       BeingScanned,     START),

    row(AtLab,      F, Some(DirectToLab),          ReadyForDownload, set(&[Kept]).union(AGAIN)),
    row(Kept,       D, Some(DirectToLab),          WithLab,          AGAIN),

    row(Rescan,     S, Some(AfterRescan),          WithDoctor,       AGAIN),
    row(AtLabAgain, F, Some(AfterRescan),          ReadyForDownload, set(&[KeptAgain]).union(AGAIN)),
    row(KeptAgain,  D, Some(AfterRescan),          WithLab,          AGAIN),

    row(ModelingP,  M, Some(AfterModeling),        InModeling,       set(&[ReviewP])),
    row(ReviewP,    R, Some(AfterModeling),        InReview,         set(&[ReviewedP]).union(AGAIN)),
    row(ReviewedP,  D, Some(AfterModeling),        WithLab,          AGAIN),

    row(ModelingM,  M, Some(Milling),              InModeling,       set(&[ReviewM])),
    row(ReviewM,    R, Some(Milling),              InReview,         set(&[ReviewedM, MillingM, ReadyM]).union(AGAIN)),
    row(ReviewedM,  D, Some(Milling),              WithLab,          set(&[MillingM, ReadyM]).union(AGAIN)),
    row(MillingM,   I, Some(Milling),              InMilling,        set(&[ReadyM, FinishedM])),
    row(ReadyM,     T, Some(Milling),              ReadyToShip,      set(&[FinishedM])),
    row(FinishedM,  D, Some(Milling),              Finished,         NOTHING),

    row(ModelingG,  M, Some(AfterInterpretation2), InModeling,       set(&[ReviewG])),
    row(ReviewG,    R, Some(AfterInterpretation2), InReview,         set(&[ReviewedG, Interp2, Review2, MillingG, ReadyG]).union(AGAIN)),
    row(ReviewedG,  D, Some(AfterInterpretation2), WithLab,          set(&[Interp2, Review2, MillingG, ReadyG]).union(AGAIN)),
    row(Interp2,    I, Some(AfterInterpretation2), InInterpretation, set(&[Review2, MillingG, ReadyG, FinishedG])),
    row(Review2,    R, Some(AfterInterpretation2), InReview,         set(&[Reviewed2, MillingG, ReadyG]).union(AGAIN)),
    row(Reviewed2,  D, Some(AfterInterpretation2), WithLab,          set(&[MillingG, ReadyG]).union(AGAIN)),
    row(MillingG,   I, Some(AfterInterpretation2), InMilling,        set(&[ReadyG, FinishedG])),
    row(ReadyG,     T, Some(AfterInterpretation2), ReadyToShip,      set(&[FinishedG])),
    row(FinishedG,  D, Some(AfterInterpretation2), Finished,         NOTHING),
];

/// Whether the step opens a new round, so that of two explanations the one with fewer rounds is
/// the simpler. `from` is none for the beginning of a complete history.
pub(super) const fn opens_round(from: Option<Phase>, to: Phase) -> bool {
    let Some(from) = from else { return true };
    // These steps belong to the round that the phase before them has opened.
    let continues = match from {
        Scan => true,
        ModelingP | ModelingM | ModelingG => has(REV, to),
        // Scanning shows several statuses; each further one is the same round.
        Rescan => matches!(to, Rescan | AtLabAgain),
        _ => false,
    };
    has(AGAIN, to) && !continues
}

impl Phase {
    /// The symbol that the service shows in this phase.
    #[must_use]
    pub const fn shows(self) -> Symbol {
        // Checked when the crate is compiled, at the end of this file: a phase is its row's index.
        TABLE[self as usize].shows
    }

    /// The scenario it belongs to; none for the first scan.
    #[must_use]
    pub const fn scenario(self) -> Option<Scenario> {
        TABLE[self as usize].scenario
    }

    /// The stage of the case in its scenario.
    #[must_use]
    pub const fn stage(self) -> Stage {
        TABLE[self as usize].stage
    }

    /// The phases that may come next.
    #[must_use]
    pub const fn may_be_followed_by(self) -> Set<Phase> {
        TABLE[self as usize].next
    }

    /// Where the history of a case that is known from its first event may begin.
    #[must_use]
    pub const fn beginnings() -> Set<Phase> {
        START
    }

    /// What the lab can do in it.
    #[must_use]
    pub const fn action(self) -> LabAction {
        match self.stage() {
            ReadyForDownload => LabAction::DownloadAndStart,
            InReview => LabAction::ReviewAndProceed,
            BeingScanned | WithDoctor => LabAction::WaitForDoctor,
            InModeling | InInterpretation | InMilling => LabAction::WaitForAlign,
            ReadyToShip => LabAction::ExpectShipment,
            // Downloaded for review, and milling was asked for: Proceed is still to be clicked.
            WithLab if matches!(self, ReviewedM | ReviewedG | Reviewed2) => {
                LabAction::ReviewAndProceed
            }
            WithLab | Finished => LabAction::Nothing,
        }
    }
}

pub(super) const fn has(phases: Phases, phase: Phase) -> bool {
    // `Set::contains` calls a trait method, which a const function cannot.
    phases.bits() & (1 << phase as u32) != 0
}

const fn set(phases: &[Phase]) -> Phases {
    let mut bits = 0;
    let mut at = 0;
    while at < phases.len() {
        bits |= 1 << phases[at] as u32;
        at += 1;
    }
    Set::from_bits(bits)
}

const fn row(
    phase: Phase,
    shows: Symbol,
    scenario: Option<Scenario>,
    stage: Stage,
    next: Phases,
) -> Row {
    Row {
        phase,
        shows,
        scenario,
        stage,
        next,
    }
}

// The rows are in the order of the enumeration: a phase is its row's index.
const _: () = {
    let mut at = 0;
    while at < TABLE.len() {
        assert!(TABLE[at].phase as usize == at);
        at += 1;
    }
};
