//! Deliveries that are worked on.
//!
//! *Problem.* Workers on several machines take deliveries, and any of them may stop in the middle.
//!
//! *Approach.* A claim has a token and a lease. The token decides whose a delivery is, and the
//! lease only when others may take it: work that ends late must count unless somebody else has
//! begun.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::StoredCase;

/// A delivery that was claimed.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClaimedDelivery {
    /// Its number in the account's log.
    pub sequence: u64,
    /// The case as it is now.
    pub stored: StoredCase,
    /// The arrival's index in the history.
    pub index: u32,
    /// Which delivery of its order it is, from 1.
    pub ordinal: u32,
    /// When its arrival was committed.
    pub arrived_at: SystemTime,
    /// How often it was claimed, this time included.
    pub attempts: u32,
    /// Why it failed last.
    pub failure: Option<String>,
    /// Whether it was [opened again](super::CaseStore::reopen) by hand.
    pub repeated: bool,
}

impl ClaimedDelivery {
    /// A delivery that was claimed for the first time; set the fields for the attempts and the
    /// failure where it was claimed before.
    #[must_use]
    pub fn new(
        sequence: u64,
        index: u32,
        ordinal: u32,
        arrived_at: SystemTime,
        stored: StoredCase,
    ) -> Self {
        ClaimedDelivery {
            sequence,
            stored,
            index,
            ordinal,
            arrived_at,
            attempts: 1,
            failure: None,
            repeated: false,
        }
    }
}

/// What became of a claimed delivery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settlement {
    /// The delivery's number in the account's log.
    pub sequence: u64,
    /// The token that it was claimed with.
    pub token: Arc<str>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Settlement {
    /// What became of the delivery with this number, which was claimed with this token.
    #[must_use]
    pub fn new(sequence: u64, token: Arc<str>, outcome: Outcome) -> Self {
        Settlement {
            sequence,
            token,
            outcome,
        }
    }
}

/// What became of a claimed delivery. A store answers one that it does not know with an error.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is done, and never delivered again.
    Acknowledged,
    /// It is released, to be delivered again.
    Released {
        /// How long from now it is hidden.
        after: Duration,
        /// Why it failed, if it did; at most 500 characters. None leaves the former reason.
        failure: Option<String>,
    },
    /// It is still being worked on: the lease begins anew.
    Extended(Duration),
}

// Reasons are texts of the lab's software, and can hold patient data: `Debug` shows only whether
// there is one.
impl fmt::Debug for ClaimedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedDelivery")
            .field("sequence", &self.sequence)
            .field("stored", &self.stored)
            .field("index", &self.index)
            .field("ordinal", &self.ordinal)
            .field("arrived_at", &self.arrived_at)
            .field("attempts", &self.attempts)
            .field("failed", &self.failure.is_some())
            .field("repeated", &self.repeated)
            .finish()
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Acknowledged => f.write_str("Acknowledged"),
            Outcome::Released { after, failure } => f
                .debug_struct("Released")
                .field("after", after)
                .field("failed", &failure.is_some())
                .finish(),
            Outcome::Extended(lease) => f.debug_tuple("Extended").field(lease).finish(),
        }
    }
}
