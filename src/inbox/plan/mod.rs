//! What observations of an order mean: pure rules over plain data.
//!
//! *Problem.* The service reports no changes. It lists the orders that wait, shows one order when
//! asked, and sends notifications that come twice, late, never or from somebody else. Listings
//! lag, replicas disagree, answers overlap, fetches fail, clocks are wrong. Software that takes
//! every answer for news does work twice; software that keeps one row per order loses it.
//!
//! Three principles decide wherever a rule does not:
//!
//! 1. *Never lose.* Every state that is shown long enough leads to its arrival. Where the evidence
//!    leaves open whether one happened, it did, and is marked doubtful.
//! 2. *Never repeat without end.* Each repetition of a doubt needs twice the evidence of the one
//!    before, so that a service in which nothing changes comes to rest.
//! 3. *Clocks decide how long to wait, never what is true.* What overrides what is decided by the
//!    account's revision in the store.
//!
//! [`observe`] takes what is recorded of an order and one [`Observation`], and says what to record
//! and which arrivals are new. [`listing`] sorts a listing into observations, [`queue`] chooses
//! what to fetch. Nothing here waits, stores or asks a clock.
//!
//! *Time.* [`Observation::now`] should be the later of the wall clock and of the time at which the
//! process started plus the monotonic time since: then a clock that is set back or stopped
//! delays nothing while the process lives.

mod coverage;
mod files;
pub(in crate::inbox) mod identity;
pub(in crate::inbox) mod listing;
mod observation;
mod own_actions;
mod policy;
pub(in crate::inbox) mod queue;
mod record;
mod reported;
mod schedule;
mod transition;
mod views;

#[cfg(test)]
mod tests;
mod time;

pub use coverage::ListingCoverage;
pub(in crate::inbox) use files::{File, Files};
pub(in crate::inbox) use observation::{Evidence, Observation, OrderState};
pub use policy::Policy;
pub(in crate::inbox) use record::CaseRecord;
pub use transition::NewArrival;
pub(in crate::inbox) use transition::observe;
