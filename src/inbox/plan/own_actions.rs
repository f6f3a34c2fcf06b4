//! What the software did itself: marks that wait for the service to show their effect.
//!
//! *Problem.* The service may take a return and show it minutes later, or take it and do nothing.
//!
//! *Approach.* A mark with a deadline. Until then what shows the state before it is old; after it,
//! what follows is doubtful. Our own word must not count as the service's for longer than that
//! (test `_10_a_return_without_effect`).

use super::record::Return;
use super::transition::Planner;
use crate::flow::{Arrival, Origin};
use crate::inbox::due::DueTime;
use crate::status::{OrderStatus, Symbol};

impl Planner<'_> {
    /// A returned scan is a provisional S. What the case had before counts no more: the doctor
    /// scans anew, and a repetition is what we asked for.
    pub(super) fn returned(&mut self) {
        let record = &mut self.record;
        let Some(before) = record.current().cloned() else {
            return;
        };
        record.needed.clear();
        let with_doctor = before.symbol() == Some(Symbol::S);
        // Returned twice, it is with the doctor once.
        if !with_doctor {
            let scanning = Arrival::new(OrderStatus::Scanning).from_origin(Origin::OwnAction);
            record.history.push(scanning.at(self.observation.now));
            // What waits for agreement is about the scan that went back.
            record.listings.waiting = None;
            record.fetches.waiting = None;
            record.returned = Some(Return {
                before,
                until: Some(DueTime::new(self.observation.now, self.policy.patience)),
            });
            record.renew_schedule();
        }
        let last = record.history.len().saturating_sub(1);
        // From the return itself on. The conversion fails for no history that fits into memory.
        record.anew = u32::try_from(last).unwrap_or(u32::MAX);
    }

    /// A finished download is noted. *Downloaded* is an arrival only when the service shows it.
    pub(super) fn downloaded(&mut self, ordinal: u32) {
        let record = &mut self.record;
        let exists = usize::try_from(ordinal).is_ok_and(|ordinal| ordinal <= record.deliveries());
        // Never back: a worker may finish an older delivery after a newer one.
        if exists && record.downloaded < Some(ordinal) {
            record.downloaded = Some(ordinal);
        }
    }
}
