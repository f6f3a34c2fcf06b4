//! What the board shows, taken out of the world in one go.
//!
//! The HTML is made from it without the lock: a page must not hold up the calls of the software.

use std::time::SystemTime;

use super::Address;
use crate::flow::Stage::{self, *};
use crate::model::{AccountId, OrderId};
use crate::simulator::snapshot::Snapshot;
use crate::simulator::{Behaviour, Call, ClockMode, SimulatorState};
use crate::status::Holder;

/// How many cases a column shows: more than a screen, and a page that stays small.
const SHOWN: usize = 30;
/// How many of the newest cases are looked at: with a million of them the service must not wait
/// for the board.
const LOOKED_AT: usize = 20_000;
/// How many calls are shown.
const CALLS: usize = 60;

/// The columns: what they are called, with whom their cases are, and which stages they hold.
const COLUMNS: [(&str, Holder, &[Stage]); 7] = [
    (
        "With the doctor",
        Holder::Doctor,
        &[BeingScanned, WithDoctor],
    ),
    ("Ready for download", Holder::Lab, &[ReadyForDownload]),
    ("With the lab", Holder::Lab, &[WithLab]),
    ("In modeling", Holder::Align, &[InModeling]),
    ("In review", Holder::Lab, &[InReview]),
    ("In milling", Holder::Align, &[InInterpretation, InMilling]),
    ("Shipping", Holder::Align, &[ReadyToShip, Finished]),
];

pub(super) struct View {
    pub(super) address: Address,
    pub(super) labs: Vec<(AccountId, String)>,
    pub(super) paired: bool,
    pub(super) now: SystemTime,
    pub(super) clock: ClockMode,
    pub(super) faults: usize,
    pub(super) other_behaviour: bool,
    pub(super) columns: Vec<Column>,
    /// There are more cases than were looked at.
    pub(super) cut: bool,
    pub(super) chosen: Option<Snapshot>,
    /// The newest first.
    pub(super) calls: Vec<Call>,
    pub(super) calls_in_all: u64,
}

pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) holder: Holder,
    pub(super) count: usize,
    /// The newest first.
    pub(super) cases: Vec<Snapshot>,
}

impl View {
    pub(super) fn of(shared: &SimulatorState, address: &Address) -> Self {
        let mut address = address.clone();
        // One lock for all of it, so that the columns show one moment. Nothing awaits under it.
        let world = shared.world();
        let labs = world.accounts();
        let lab = labs.iter().find(|lab| lab.id.as_str() == address.lab);
        let lab = lab.or(labs.first());
        address.lab = lab.map_or_else(String::new, |lab| lab.id.as_str().to_owned());
        let paired = lab.is_some_and(|lab| lab.paired);
        let labs: Vec<_> = labs
            .iter()
            .map(|lab| (lab.id.clone(), lab.name.clone()))
            .collect();
        let mut columns: Vec<_> = COLUMNS
            .iter()
            .map(|(title, holder, _)| Column {
                title,
                holder: *holder,
                count: 0,
                cases: Vec::new(),
            })
            .collect();
        let count = world.case_count();
        let newest = (0..count).rev().take(LOOKED_AT);
        let newest = newest.filter_map(|place| world.at(u32::try_from(place).ok()?));
        for case in newest {
            let account = world.account_of(case);
            if account.is_none_or(|account| account.id.as_str() != address.lab) {
                continue;
            }
            let stage = case.phase().stage();
            let mut at = COLUMNS.iter().zip(&mut columns);
            let Some((_, column)) = at.find(|((.., stages), _)| stages.contains(&stage)) else {
                continue;
            };
            column.count += 1;
            if column.cases.len() < SHOWN {
                column.cases.extend(Snapshot::of(&world, case));
            }
        }
        let chosen = world.case(&OrderId::new(address.case.as_str()));
        let chosen = chosen.and_then(|case| Snapshot::of(&world, case));
        if chosen.is_none() {
            address.case.clear();
        }
        let (now, cut) = (world.now(), count > LOOKED_AT);
        let (faults, behaviour) = (world.faults.rules.len(), Behaviour::clone(&world.behaviour));
        // Before the lock of the calls is taken: no code holds both, so they cannot deadlock.
        drop(world);
        let calls = shared.calls();
        View {
            address,
            labs,
            paired,
            now,
            clock: shared.initial.clock,
            faults,
            other_behaviour: behaviour != Behaviour::default(),
            columns,
            cut,
            chosen,
            calls: calls.newest().take(CALLS).cloned().collect(),
            calls_in_all: calls.total(),
        }
    }
}
