//! What was true: to hold against what software made of it.
//!
//! It must come from the world and never from an answer: the tests hold what software made of the
//! answers against it.

use std::time::SystemTime;

use bytes::Bytes;

use super::Simulator;
use super::case::Case;
use super::files::Kind;
use super::world::World;
use crate::flow::Phase;
use crate::model::{AccountId, OrderId, RxId};
use crate::status::OrderStatus;

/// The whole life of a case, as it was.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GroundTruth {
    /// The order.
    pub order_id: OrderId,
    /// Its Rx id, as it is shown now.
    pub rx_id: RxId,
    /// The lab.
    pub account_id: AccountId,
    /// Everything that it showed, oldest first; never empty.
    pub shown: Vec<ShownState>,
}

/// What a case showed from a time on, until the next one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ShownState {
    /// Since when, in simulated time, in whole milliseconds.
    pub at: SystemTime,
    /// Where the case was. A later turn may correct it: that a model is on the way to
    /// interpretation 2 is known only when it gets there.
    pub phase: Phase,
    /// The status that the API showed; the same one twice, where interpretation 2 leads on to
    /// milling.
    pub status: OrderStatus,
    /// How often the files had changed; 0 before the first scan.
    pub revision: u32,
    /// Whether an answer of *Get Orders* or *Get Order by Rx Id* that showed it went out whole.
    /// No software can have delivered what was not seen, unless a broken answer showed enough of it.
    /// Software that misses nothing has delivered what was seen, unless it stopped before it could read
    /// it.
    pub seen: bool,
}

impl GroundTruth {
    /// Where the case is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.shown.last().map_or(Phase::Scan, |shown| shown.phase)
    }

    /// What was for the lab to process: every arrival in *Ready for Download* or *Lab Review*,
    /// whether it was seen or not.
    pub fn deliveries(&self) -> impl Iterator<Item = &ShownState> {
        self.shown.iter().filter(|shown| shown.status.is_listed())
    }
}

impl GroundTruth {
    pub(super) fn of(world: &World, case: &Case) -> Option<GroundTruth> {
        let shown = case.entries().iter().map(|entry| ShownState {
            at: entry.at(),
            phase: entry.phase,
            status: entry.status().clone(),
            revision: entry.revision.into(),
            seen: entry.seen,
        });
        Some(GroundTruth {
            order_id: case.id(),
            rx_id: world.rx_id(case),
            account_id: world.account_of(case)?.id.clone(),
            shown: shown.collect(),
        })
    }
}

/// What was true.
impl Simulator {
    /// The whole life of a case; none if there is no such case.
    #[must_use]
    pub fn truth(&self, order: &OrderId) -> Option<GroundTruth> {
        let world = self.world();
        GroundTruth::of(&world, world.case(order)?)
    }

    /// Where a case is in truth, and how it came there.
    #[must_use]
    pub fn path(&self, order: &OrderId) -> Option<Vec<Phase>> {
        self.world().case(order).map(Case::path)
    }

    /// The bytes of a file as they truly were when the order's files had changed for the n-th time
    /// ([`ShownState::revision`]): to hold against what was downloaded. `kind` is the one that answers
    /// give, `IDE` or `IMAGE_GALLERY`. None if there is no such file.
    #[must_use]
    pub fn file(&self, order: &OrderId, revision: u32, kind: &str) -> Option<Bytes> {
        let kind = Kind::ALL.into_iter().find(|one| one.wire_name() == kind)?;
        let files = {
            let world = self.world();
            let case = world.case(order)?;
            let mut entries = case.entries().iter().filter(|entry| entry.revision > 0);
            let entry = entries.find(|entry| u32::from(entry.revision) == revision)?;
            world.files_of(case, entry)
        };
        // After the lock: making a zip takes milliseconds.
        Some(files.make(kind))
    }

    /// The orders of a lab, oldest first; none if there is no such lab.
    pub fn orders(&self, account: &AccountId) -> impl Iterator<Item = OrderId> + use<> {
        let numbers = self.world().numbers_of(account);
        let ids = numbers.into_iter();
        ids.map(|number| OrderId::new(number.to_string()))
    }

    /// How many cases there are, in all labs.
    #[must_use]
    pub fn case_count(&self) -> usize {
        self.world().case_count()
    }
}
