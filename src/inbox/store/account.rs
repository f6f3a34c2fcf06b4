//! An account as a whole.
//!
//! The revision is the order of events: it grows with each change of what is recorded, and no clock
//! has a part in it. It must be raised in the commit that changes a case, and never beside it.

use std::time::SystemTime;

use serde::Serialize;

use super::ListingCoverage;
use crate::flow::rfc3339;
use crate::inbox::process;

/// What a store knows of an account as a whole. Of one that it does not know, the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountState {
    /// Since when it is listed.
    pub coverage: ListingCoverage,
    /// How often what is recorded of its cases was changed: raised by one with each commit that
    /// [does so](super::Save::changes_record), and by nothing else.
    pub revision: u64,
    /// Who has the right to poll it, if anybody has.
    pub poller: Option<Poller>,
}

impl AccountState {
    /// An account that nobody polls.
    #[must_use]
    pub fn new(coverage: ListingCoverage, revision: u64) -> Self {
        AccountState {
            coverage,
            revision,
            poller: None,
        }
    }
}

/// Who has the right to poll an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Poller {
    /// The name of the process.
    pub process: String,
    /// Until when, unless it is renewed.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub until: SystemTime,
}

impl Poller {
    /// The process of this name, until then.
    #[must_use]
    pub fn new(process: impl Into<String>, until: SystemTime) -> Self {
        Poller {
            process: process.into(),
            until,
        }
    }

    /// Whether it is this process.
    #[must_use]
    pub fn is_this_process(&self) -> bool {
        self.process == process::name()
    }
}

/// How much a store has of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Cases.
    pub cases: u64,
    /// Arrivals in the log: the number of the last one.
    pub arrivals: u64,
    /// Deliveries that are not acknowledged.
    pub open: u64,
    /// Those of them that are hidden now: claimed or deferred.
    pub hidden: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// The most attempts of one that failed.
    pub most_attempts: u32,
    /// When the oldest open one was committed.
    #[serde(serialize_with = "rfc3339::serialize_option")]
    pub oldest: Option<SystemTime>,
    /// Cases that are due to be fetched.
    pub due: u64,
    /// Since when the one that is due longest has been due.
    #[serde(serialize_with = "rfc3339::serialize_option")]
    pub oldest_fetch: Option<SystemTime>,
    /// Cases that are [given up](super::Case::is_given_up).
    pub given_up: u64,
}
