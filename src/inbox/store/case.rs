//! What is recorded of a case.
//!
//! *Problem.* A store of somebody else's keeps cases whose rules it does not know, and a later
//! release has more to keep.
//!
//! *Approach.* One text for the record, and accessors for the few columns that a store finds cases
//! by. The text must be readable by every later release.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::flow::History;
use crate::inbox::due::DueTime;
use crate::inbox::plan::CaseRecord;
use crate::model::{OrderId, RxId};

/// What is recorded of a case, without the order's own data.
///
/// Clones share it: most cases that are read are not changed.
#[derive(Clone, PartialEq)]
pub struct Case(Arc<CaseData>);

#[derive(Clone, PartialEq)]
struct CaseData {
    order_id: OrderId,
    rx_id: Option<RxId>,
    version: u64,
    revision: u64,
    state: State,
}

/// What a store keeps as one text: more may be in it one day.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct State {
    record: CaseRecord,
    /// Tells whether the order's own data are those that were seen last.
    digest: u64,
}

impl Case {
    /// A case that was never kept.
    pub(crate) fn new(order_id: OrderId) -> Self {
        Case(Arc::new(CaseData {
            order_id,
            rx_id: None,
            version: 0,
            revision: 0,
            state: State::default(),
        }))
    }

    /// A case as it was kept: `json` is what [`Case::to_json`] returned.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if it is anything else.
    pub fn from_stored(
        order_id: OrderId,
        rx_id: Option<RxId>,
        version: u64,
        revision: u64,
        json: &str,
    ) -> Result<Self> {
        // Not in the parser's words, which quote values.
        let state: State = serde_json::from_str(json).map_err(|_| {
            Error::store(format!("a case's record, revision {revision}, is damaged"))
        })?;
        Ok(Case(Arc::new(CaseData {
            order_id,
            rx_id,
            version,
            revision,
            state,
        })))
    }

    /// The record and what belongs to it, as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`], for a status that cannot be written; there is none.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(&self.0.state).map_err(Error::store)
    }

    /// The order's number.
    #[must_use]
    pub fn order_id(&self) -> &OrderId {
        &self.0.order_id
    }

    /// The Rx id that it can be fetched by.
    #[must_use]
    pub fn rx_id(&self) -> Option<&RxId> {
        self.0.rx_id.as_ref()
    }

    /// How often it was written before; 0 if it is new. It is to replace that version and no
    /// other.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// The account's revision when what is recorded of it was changed last.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.0.revision
    }

    /// What happened to it.
    #[must_use]
    pub fn history(&self) -> &History {
        self.record().history()
    }

    pub(in crate::inbox) fn record(&self) -> &CaseRecord {
        &self.0.state.record
    }

    /// Whether a complete listing should have it, so that its absence says something.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.record().is_expected_in_listings()
    }

    /// Whether it was fetched so often without anything new that it is not followed any more.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.record().schedule().is_given_up()
    }

    /// The history up to the arrival with this index.
    pub(in crate::inbox) fn history_until(&self, index: u32) -> History {
        let history = self.history();
        // Beyond the end it is the whole history: a log that is ahead of a record shows too much,
        // and loses nothing.
        let count = usize::try_from(index)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        let arrivals = history.arrivals().iter().take(count).cloned();
        if history.is_complete() {
            History::complete(arrivals)
        } else {
            History::partial(arrivals)
        }
    }

    /// When to fetch it next, and how far ahead that was when it was set, see
    /// [*Time*](super#time); none where nothing asks for it, or it has no Rx id to fetch it by.
    #[must_use]
    pub fn fetch_due(&self) -> Option<(SystemTime, Duration)> {
        self.due_time().map(|due| (due.at, due.span))
    }

    pub(in crate::inbox) fn due_time(&self) -> Option<DueTime> {
        let due = self.record().schedule().due();
        // Without an Rx id there is nothing to ask for: due, it would take a place in every poll.
        due.filter(|_| self.rx_id().is_some())
    }

    /// When its last arrival was seen, where that is known.
    #[must_use]
    pub fn changed_at(&self) -> Option<SystemTime> {
        let arrivals = self.history().arrivals();
        arrivals.iter().rev().find_map(|arrival| arrival.time())
    }

    /// The same case once it is kept, of this revision.
    pub(in crate::inbox) fn saved(&self, revision: u64) -> Case {
        let mut saved = self.clone();
        let whole = saved.change();
        // Of the version that was read. The store compares that, and not this.
        whole.version += 1;
        whole.revision = revision;
        saved
    }

    pub(crate) fn digest(&self) -> u64 {
        self.0.state.digest
    }

    pub(in crate::inbox) fn set_record(&mut self, record: CaseRecord) {
        self.change().state.record = record;
    }

    pub(crate) fn set_digest(&mut self, digest: u64) {
        self.change().state.digest = digest;
    }

    pub(crate) fn set_rx_id(&mut self, rx_id: Option<RxId>) {
        self.change().rx_id = rx_id;
    }

    fn change(&mut self) -> &mut CaseData {
        // Copies only where another clone is still held.
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("order_id", self.order_id())
            .field("rx_id", &self.rx_id())
            .field("version", &self.version())
            .field("record", self.record())
            .finish_non_exhaustive()
    }
}
