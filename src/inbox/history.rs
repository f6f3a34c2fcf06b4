//! Histories of cases: to show, to export, to import, to forget.
//!
//! *Problem.* An account may have a million cases, and a store serves polls meanwhile.
//!
//! *Approach.* Everything goes in pages. What is imported must never be delivered, and what is
//! forgotten must stay known, so that it is not taken for new.

use std::time::SystemTime;

use futures_core::Stream;
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::Inbox;
use super::plan::CaseRecord;
use super::store::{Case, Commit, Save, StoredCase, fits};
use crate::error::{Error, Result};
use crate::flow::History;
use crate::model::{OrderId, RxId};

/// How many cases are read, or forgotten, at a time.
const PAGE: usize = 500;

/// What is known of a case: no patient data are in it.
///
/// As JSON: `{"order_id": "123456789", "rx_id": "77", "history": {"complete": true, "arrivals":
/// […]}}`; see [`History`] for how a history is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseHistory {
    /// The order's number.
    pub order_id: OrderId,
    /// The Rx id that it can be fetched by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_id: Option<RxId>,
    /// What happened to it.
    pub history: History,
}

impl From<StoredCase> for CaseHistory {
    fn from(stored: StoredCase) -> Self {
        let case = stored.case;
        CaseHistory {
            order_id: case.order_id().clone(),
            rx_id: case.rx_id().cloned(),
            history: case.history().clone(),
        }
    }
}

impl Inbox {
    /// The history of a case, if it is known.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`](crate::Error::is_store).
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn history(&self, order: &OrderId) -> Result<Option<CaseHistory>> {
        let found = self.store().find(self.account(), order).await?;
        Ok(found.map(CaseHistory::from))
    }

    /// The histories of all cases, by order id: to export them, one JSON object a line say.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`](crate::Error::is_store). The stream goes on where it was when it is
    /// asked again.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub fn histories(&self) -> impl Stream<Item = Result<CaseHistory>> + Send + Unpin + '_ {
        self.cases(|_| true)
    }

    /// The cases that were fetched for about 60 days without anything new, and are not followed any
    /// more: their next listing, or a notification, begins anew. Their number is
    /// [`Counts::given_up`](super::store::Counts::given_up); all cases are read for this.
    ///
    /// # Errors
    ///
    /// As [`Inbox::histories`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub fn given_up(&self) -> impl Stream<Item = Result<CaseHistory>> + Send + Unpin + '_ {
        self.cases(Case::is_given_up)
    }

    fn cases(
        &self,
        are_meant: fn(&Case) -> bool,
    ) -> impl Stream<Item = Result<CaseHistory>> + Send + Unpin + '_ {
        // Behind which order, what is left of the page, whether it was the last.
        let begin = (None::<OrderId>, Vec::new().into_iter(), false);
        Box::pin(stream::try_unfold(
            begin,
            move |(mut after, mut page, mut last)| async move {
                loop {
                    if let Some(next) = page.find(|stored: &StoredCase| are_meant(&stored.case)) {
                        return Ok(Some((CaseHistory::from(next), (after, page, last))));
                    }
                    if last {
                        return Ok(None);
                    }
                    let stored = self.store().cases(self.account(), after.as_ref(), PAGE);
                    let stored = stored.await?;
                    // A page that is not full is the last: this saves the call that would find
                    // nothing.
                    last = stored.len() < PAGE;
                    after = stored.last().map(|stored| stored.case.order_id().clone());
                    page = stored.into_iter();
                }
            },
        ))
    }

    /// Opens the last delivery of an order again, under its own name: its work is to be done once more,
    /// say because the lab has lost the files. It has no attempts then, is marked as
    /// [repeated](super::Delivery::is_repeated), and whoever holds it now has lost it. Nothing arrives
    /// by this, and the reading stays as it is.
    ///
    /// `false` if the order is not known or was never delivered.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`](crate::Error::is_configuration) if the order's data were
    /// [forgotten](Inbox::forget); [`Error::is_store`](crate::Error::is_store).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is open again or as before.
    pub async fn redeliver(&self, order: &OrderId) -> Result<bool> {
        let Some(found) = self.store().find(self.account(), order).await? else {
            return Ok(false);
        };
        // Opened without its data it would fail every claim that takes it, and the claims of other
        // orders with it.
        if found.order.is_none() {
            return Err(Error::configuration(
                "the order's data were forgotten: it cannot be delivered again before it is listed or \
                 notified again",
            ));
        }
        let now = self.local_now();
        let opened = self.store().reopen(self.account(), order, now).await?;
        self.announce();
        Ok(opened)
    }

    /// Takes over a case from the lab's former software, with its history as *partial*. Its
    /// deliveries keep their ordinals and are never delivered, and its last status counts as
    /// shown: it is delivered again when it arrives anew.
    ///
    /// `false` if the case is known already: then nothing has changed. Import before the first
    /// poll.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`](crate::Error::is_configuration) for an id of more than 256
    /// bytes; [`Error::is_store`](crate::Error::is_store).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the case is imported or not.
    pub async fn import(&self, case: CaseHistory) -> Result<bool> {
        let rx_id = case.rx_id.as_ref().map_or("", RxId::as_str);
        if !fits(case.order_id.as_str()) || !fits(rx_id) {
            return Err(Error::configuration(
                "a case with an id of more than 256 bytes cannot be kept",
            ));
        }
        let mut imported = Case::new(case.order_id.clone());
        imported.set_rx_id(case.rx_id.clone());
        let (history, now) = (&case.history, self.now().await?);
        let jitter = fastrand::u32(..);
        // As version 0, so the commit fails where the case is known: a poll may have been first.
        let record = CaseRecord::imported(history, now, self.plan_policy(), jitter);
        imported.set_record(record);
        let save = Save::new(imported, None, Vec::new());
        let commit = Commit {
            saves: vec![save],
            coverage: None,
        };
        let (store, account) = (self.store(), self.account());
        store.commit(account, &commit, self.local_now()).await
    }

    /// Forgets the data of an order, patient data among it. Its ids, statuses and times stay, so that it is
    /// not taken for a new one when it comes again. `false` if nothing was forgotten: the case is not
    /// known or has no data any more, or it is listed, or it has open deliveries.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`](crate::Error::is_store).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the data are forgotten or not.
    pub async fn forget(&self, order: &OrderId) -> Result<bool> {
        self.store().forget(self.account(), order).await
    }

    /// The same for all cases whose last arrival was before `time`, or is of unknown time; returns how
    /// many. Call it daily with the time before which you must not keep patients' data.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`](crate::Error::is_store).
    ///
    /// # Cancel safety
    ///
    /// Dropped, the data of each case are forgotten or not.
    pub async fn forget_before(&self, time: SystemTime) -> Result<u64> {
        let page = u64::try_from(PAGE).unwrap_or(u64::MAX);
        let mut forgotten = 0;
        loop {
            let some = self
                .store()
                .forget_before(self.account(), time, PAGE)
                .await?;
            forgotten += some;
            // In pages, each a transaction of its own: a commit that waits for one gets its turn
            // before the next.
            if some < page {
                return Ok(forgotten);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::*;
    use crate::flow::Arrival;

    #[test]
    fn as_json_it_is_what_is_documented() {
        let at = UNIX_EPOCH + Duration::from_secs(1_773_480_413);
        let mut case = CaseHistory {
            order_id: OrderId::new("123456789"),
            rx_id: Some(RxId::new("77")),
            history: History::complete([Arrival::new("Scanning"), Arrival::new("F").at(at)]),
        };
        let json = json!({
            "order_id": "123456789", "rx_id": "77",
            "history": {"complete": true, "arrivals": [
                "Scanning", {"status": "F", "at": "2026-03-14T09:26:53.000Z"},
            ]},
        });
        assert_eq!(serde_json::to_value(&case).unwrap(), json);
        assert_eq!(serde_json::from_value::<CaseHistory>(json).unwrap(), case);
        case.rx_id = None;
        let json = serde_json::to_value(&case).unwrap();
        assert_eq!(json.get("rx_id"), None);
        assert_eq!(serde_json::from_value::<CaseHistory>(json).unwrap(), case);
    }
}
