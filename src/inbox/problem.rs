//! What is wrong, beside what went well.
//!
//! *Problem.* One bad order must not stop a poll, and must not go unseen.
//!
//! *Approach.* It is reported beside the rest, by a kind. No text in here must hold an id, a status
//! in the service's words or data: problems are logged.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::model::OrderId;

/// Something that could not be read, fetched or believed. Nothing is lost by it: it is tried
/// again, or what is in doubt is delivered.
///
/// As JSON: `{"kind": "not_fetched", "error": "…"}`, without the order's id, which leads to a patient.
/// Without an error that is `null`.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    kind: ProblemKind,
    #[serde(skip)]
    order_id: Option<OrderId>,
    #[serde(serialize_with = "text")]
    error: Option<Error>,
}

impl Problem {
    pub(super) fn new(kind: ProblemKind, order_id: Option<OrderId>, error: Option<Error>) -> Self {
        Problem {
            kind,
            order_id,
            error,
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The order that it is about, where it is about one that is known.
    #[must_use]
    pub fn order_id(&self) -> Option<&OrderId> {
        self.order_id.as_ref()
    }

    /// The error behind it, where there is one.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

/// Names no order: ids lead to patients.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.text())?;
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

fn text<S: Serializer>(error: &Option<Error>, serializer: S) -> Result<S::Ok, S::Error> {
    let error = error.as_ref().map(Error::to_string);
    error.serialize(serializer)
}

/// The kinds of problems.
///
/// As JSON each is its name in snake case: `"no_rx_id"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// A page of the listing failed, or the pages make no sense. No conclusion is drawn from
    /// absence then.
    ListingIncomplete,
    /// A record of the listing cannot be read. Where not even an id of it can, no conclusion is drawn from
    /// absence.
    Unreadable,
    /// An order without an Rx id, or with one of more than 256 bytes: it is delivered, and cannot
    /// be followed once it is no longer listed.
    NoRxId,
    /// An order whose id has more than 256 bytes: it is not kept, and so not delivered. Databases
    /// find nothing by an id of any length, and one that they refuse must not hold up the others.
    /// Convention: the ids that are seen are much shorter.
    IdTooLong,
    /// An order that was to be fetched could not be fetched. The next try comes later each time.
    NotFetched,
    /// Several known orders were fetched in one round, and the service had none of them: the path
    /// may be wrong, or the region another one. They stay watched.
    NothingFound,
    /// The answer to a fetch was about another order than the one that was asked for.
    OtherOrder,
    /// An order is listed, or was fetched, under several Rx ids. The first that was recorded counts, until
    /// a complete listing shows another alone.
    OtherRxId,
    /// An order or a notification names another account than the inbox's. It is taken all the same:
    /// Align does not document which number it carries.
    OtherAccount,
    /// A listing shows an order in several states. It is fetched; what cannot be fetched for a day
    /// is recorded as it was listed last.
    Contradicted,
    /// An order is listed in a status that is not known. It is delivered with the status's text,
    /// since only what waits for the lab is listed.
    UnknownStatus,
    /// A delivery that would have been: a status that the case has had before, or other files, that no
    /// later answer showed again.
    NotAgreed,
    /// The order's history that the service itself reports contradicts itself, and is ignored.
    HistoryIgnored,
    /// A scan was returned to the doctor, and a day later the service does not show it.
    ReturnUnconfirmed,
    /// A case was fetched for about 60 days without anything new, and is fetched no more:
    /// [`Inbox::given_up`](super::Inbox::given_up) has it.
    GivenUp,
}

impl ProblemKind {
    fn text(self) -> &'static str {
        match self {
            ProblemKind::ListingIncomplete => "the listing is not complete",
            ProblemKind::Unreadable => "a record of the listing cannot be read",
            ProblemKind::NoRxId => "an order has no Rx id and cannot be followed",
            ProblemKind::IdTooLong => "an order has too long an id and is not kept",
            ProblemKind::NotFetched => "an order cannot be fetched",
            ProblemKind::NothingFound => "none of the known orders that were fetched is found",
            ProblemKind::OtherOrder => "a fetch was answered with another order",
            ProblemKind::OtherRxId => "an order is shown under several Rx ids",
            ProblemKind::OtherAccount => "an order or a notification names another account",
            ProblemKind::Contradicted => "a listing shows an order in several states",
            ProblemKind::UnknownStatus => "an order is listed in a status that is not known",
            ProblemKind::NotAgreed => "no second answer agrees with what one has shown",
            ProblemKind::HistoryIgnored => "a history that the service reports is contradictory",
            ProblemKind::ReturnUnconfirmed => "the service does not show that a scan was returned",
            ProblemKind::GivenUp => "a case is not followed any more",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
