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
//!   account's [`Epoch`]. Doubt means that it is not.
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
//!
//! # Example: one order, listed, downloaded, missing, listed again
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use lab_connector::OrderStatus;
//! use lab_connector::flow::Scenario;
//! use lab_connector::flow::plan::{Epoch, Fingerprint, Next, Observation, Policy, Record, observe};
//!
//! let policy = Policy::default();
//! let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
//! let minute = |n: u64| start + Duration::from_secs(60 * n);
//! let (ready, none) = (OrderStatus::ReadyForDownload, Fingerprint::none());
//!
//! // The account was listed before this order was created: it is known from its beginning.
//! let epoch = Epoch::new().listed(start, &policy);
//! let mut record = Record::new();
//!
//! // It is listed: its first delivery.
//! let seen = Observation::listed(&ready, &none, minute(5)).created(minute(2));
//! let step = observe(&record, &seen, &policy, &epoch);
//! assert_eq!(step.deliveries().map(|d| d.ordinal()).collect::<Vec<_>>(), [1]);
//! record = step.into_record().unwrap_or(record);
//!
//! // Listed again: nothing to store.
//! assert!(observe(&record, &Observation::listed(&ready, &none, minute(10)), &policy, &epoch).is_unchanged());
//!
//! // We download it. That is noted, and *Downloaded* is recorded when the service shows it:
//! // the order drops out of the listing, is fetched, and is.
//! let step = observe(&record, &Observation::downloaded(1, minute(12)), &policy, &epoch);
//! record = step.into_record().unwrap_or(record);
//! let step = observe(&record, &Observation::missing(minute(15)), &policy, &epoch);
//! assert_eq!(step.next(), Next::Fetch);
//! record = step.into_record().unwrap_or(record);
//! let step = observe(&record, &Observation::fetched(&OrderStatus::Downloaded, &none, minute(16)), &policy, &epoch);
//! assert_eq!(step.deliveries().count(), 0);
//! record = step.into_record().unwrap_or(record);
//!
//! // Days later the same order is listed once more: the doctor scanned again.
//! let step = observe(&record, &Observation::listed(&ready, &none, minute(9_000)), &policy, &epoch);
//! assert_eq!(step.deliveries().map(|d| d.ordinal()).collect::<Vec<_>>(), [2]);
//! record = step.into_record().unwrap_or(record);
//! assert_eq!(record.reading().scenario(), Some(Scenario::AfterRescan));
//! ```

mod draft;
mod epoch;
mod fingerprint;
mod observation;
mod policy;
mod record;
mod step;
#[cfg(test)]
mod tests;
mod told;
#[cfg(test)]
mod walk;

pub use epoch::Epoch;
pub use fingerprint::{File, Fingerprint};
pub use observation::Observation;
pub use policy::Policy;
pub use record::Record;
pub use step::{Next, Recorded, Step};

use self::draft::Draft;

/// What an observation means for an order of which this is recorded.
///
/// The same observation a second time changes nothing. Where nothing changes, nothing is
/// allocated: a poll of many orders that stand still costs a comparison for each.
#[must_use = "what the step says has to be stored and done"]
pub fn observe(
    record: &Record,
    observation: &Observation<'_>,
    policy: &Policy,
    epoch: &Epoch,
) -> Step {
    Draft::new(record, observation, policy, epoch).finish()
}
