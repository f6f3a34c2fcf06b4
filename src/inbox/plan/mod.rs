//! From what the software observes to what happened to an order, and what to ask next.
//!
//! *Problem.* The service does not tell changes. It lists the orders that wait, shows one order
//! when asked, and sends notifications that may come twice, late or never. A listing lags behind,
//! an answer comes after a later one, a page is lost, an order that was downloaded is listed
//! again: the same case, rightly, because it was scanned anew. Software that takes every sight
//! for news does work twice; software that keeps one row per order loses it.
//!
//! *Default.* [`observe`] takes what is recorded of an order and one [`Observation`], and says
//! what to record, which deliveries to hand out and what to ask next. It is a pure function:
//! times and random numbers are passed in, nothing is fetched or stored.
//!
//! - What the service showed decides. A status other than the one it showed last is an arrival;
//!   the same status is one only if the order's files changed, see [`Fingerprint`].
//! - Own actions are marks. A returned scan counts as *Scanning* until the service shows what
//!   it made of it; a download is noted. Answers that were begun before the scan was returned
//!   say nothing, and a status that lags behind is not taken for a new arrival.
//! - An order that is missing from a complete listing is fetched, and what that shows counts. If
//!   it is still the listed status, the listing flickered.
//! - Orders with Align or with the doctor are neither listed nor notified, nor is the milling of
//!   a model that was downloaded for review: they are *watched*,
//!   that is fetched now and then, until they are listed again or finished.
//! - A notification is a hint to fetch, nothing else. A forged one costs a request.
//! - Deliveries, the arrivals of *Ready for Download* and *Lab Review*, are numbered from 1 and
//!   never numbered twice. Arrivals are only ever added at the end.
//! - Whether an order is known from its beginning is decided when it is first seen, by the
//!   account's [`ListingCoverage`]. Doubt means that it is not.
//!
//! All of this is our model: of the service Align documents which statuses are listed and
//! notified, and little else.
//!
//! *What cannot be known.* Where answers carry no files, an order that was scanned again
//! between two looks and has the same status looks as if nothing had happened. No rule can tell.
//! Answers that overlap are told apart by their times, so give [`Observation::completed`]; but a
//! service that shows an older state in answer to a *later* request, say by a listing that lags
//! behind what a fetch showed, looks like a case that went back, and is recorded so.
//! And a history that the service itself gives is added only after what was seen last: what it
//! knows of the time between two earlier arrivals comes too late, their numbers are given out.
//!
//! *When to change it.* The limits are in [`Policy`]. Shorten
//! [`longest_gap`](Policy::longest_gap) where orders come and go within hours; switch
//! [`watch_reviewed`](Policy::watch_reviewed) off where the lab never has models milled.

mod coverage;
mod draft;
mod fingerprint;
mod observation;
mod policy;
mod record;
mod reported;
mod step;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;

pub use coverage::ListingCoverage;
pub(in crate::inbox) use fingerprint::{File, Fingerprint};
pub(in crate::inbox) use observation::Observation;
pub use policy::Policy;
pub(in crate::inbox) use record::Record;
pub(in crate::inbox) use step::{Next, Step};

use self::draft::Draft;

/// What an observation means for an order of which this is recorded.
///
/// The same observation a second time changes nothing. Where nothing changes, nothing is
/// allocated: a poll of many orders that stand still costs a comparison for each.
#[must_use = "what the step says has to be stored and done"]
pub(in crate::inbox) fn observe(
    record: &Record,
    observation: &Observation<'_>,
    policy: &Policy,
    coverage: &ListingCoverage,
) -> Step {
    Draft::new(record, observation, policy, coverage).finish()
}
