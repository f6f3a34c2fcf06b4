//! What the software did itself: marks that wait for the service to show their effect.

use super::files::Files;
use super::record::{Return, WeakNews};
use super::transition::{Planner, ViewName};
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
        if !with_doctor {
            let scanning = Arrival::new(OrderStatus::Scanning).from_origin(Origin::OwnAction);
            record.history.push(scanning.at(self.observation.now));
            record.listings.waiting = None;
            record.fetches.waiting = None;
            record.returned = Some(Return {
                before,
                until: Some(DueTime::new(self.observation.now, self.policy.patience)),
            });
            record.renew_schedule();
        }
        let last = record.history.len().saturating_sub(1);
        record.anew = u32::try_from(last).unwrap_or(u32::MAX);
    }

    /// A finished download is noted. *Downloaded* is an arrival only when the service shows it.
    ///
    /// Files that a view showed as changed, and that were downloaded, are there: that is an answer that
    /// agrees. Another one may not come, since downloading takes the order off the list.
    pub(super) fn downloaded(&mut self, ordinal: u32, files: &Files) {
        for name in [ViewName::Listings, ViewName::Fetches] {
            let is_there = |news: &mut WeakNews| news.changes.share_a_change(files);
            let Some(mut news) = self.view_mut(name).waiting.take_if(is_there) else {
                continue;
            };
            news.agreed = news.agreed.saturating_add(1);
            if news.agreed >= self.record.agreement_needed(&news.status) {
                self.arrive(&news.status, &news.files, name, &news.gap, true);
                self.settle_view(name, &news.status, &news.files);
            } else {
                self.view_mut(name).waiting = Some(news);
            }
        }
        let record = &mut self.record;
        let exists = usize::try_from(ordinal).is_ok_and(|ordinal| ordinal <= record.deliveries());
        if exists && record.downloaded < Some(ordinal) {
            record.downloaded = Some(ordinal);
        }
    }
}
