//! What an inbox should know of an order: the rules once more, as simply as they can be said, for
//! answers that do not overlap.

use std::time::{Duration, SystemTime};

use lab_connector::OrderStatus;
use lab_connector::flow::Symbol;
use serde_json::Value;

const DAY: Duration = Duration::from_secs(86_400);

/// What an answer showed of one order.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) order: String,
    pub(super) status: OrderStatus,
    /// None where the answer carried none.
    files: Option<Vec<String>>,
    created: Option<SystemTime>,
    pub(super) begun: SystemTime,
    /// Which of the order's true states it shows, where that is certain.
    pub(super) truth: Option<usize>,
}

impl Sight {
    /// Reads one record. None if it cannot be read.
    pub(super) fn read(
        record: &Value,
        begun: SystemTime,
        created: Option<SystemTime>,
    ) -> Option<Self> {
        let id = |key: &str| match record.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let files = record.get("assets").and_then(Value::as_array);
        let files = files.filter(|files| !files.is_empty()).map(|files| {
            let file = |file: &Value| format!("{} {}", file["assetId"], file["modifiedAt"]);
            let mut files: Vec<_> = files.iter().map(file).collect();
            files.sort();
            files
        });
        Some(Sight {
            order: id("orderId")?,
            status: OrderStatus::from(record.get("status")?.as_str()?),
            files,
            created: created.filter(|_| record.get("createdAt").is_some()),
            begun,
            truth: None,
        })
    }
}

impl Sight {
    /// Whether at least one of the two is over.
    pub(super) fn contradicts(&self, other: &Sight) -> bool {
        let files = self.files.as_ref().zip(other.files.as_ref());
        self.status != other.status || files.is_some_and(|(one, other)| one != other)
    }
}

/// An arrival that should be in the history.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) status: OrderStatus,
    pub(super) truth: Option<usize>,
}

/// What should be known of an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) arrivals: Vec<Arrived>,
    /// The status and files that were shown last.
    pub(super) shown: Option<(OrderStatus, Option<Vec<String>>)>,
    /// We returned it, and nothing new was shown since.
    provisional: bool,
    /// Whether it is known from its beginning; none where it hangs by a hair.
    pub(super) complete: Option<bool>,
    /// The listing that changed it last: what it says a second time does not count.
    changed_by: Option<usize>,
}

impl Expected {
    pub(super) fn see(&mut self, sight: &Sight, listing: Option<usize>, epoch: &Epochs) {
        if listing.is_some() && self.changed_by == listing {
            return;
        }
        if self.shown.is_none() && self.arrivals.is_empty() {
            self.complete = epoch.is_complete(sight);
        }
        if let Some((status, files)) = &mut self.shown
            && *status == sight.status
        {
            match (&files, &sight.files) {
                (Some(before), Some(now)) if before != now => {}
                (None, Some(_)) => {
                    files.clone_from(&sight.files);
                    self.changed_by = listing;
                    return;
                }
                _ => return,
            }
        }
        self.changed_by = listing;
        self.shown = Some((sight.status.clone(), sight.files.clone()));
        let confirmed = std::mem::take(&mut self.provisional);
        if !(confirmed && sight.status.symbol() == Some(Symbol::S)) {
            self.arrivals.push(Arrived {
                status: sight.status.clone(),
                truth: sight.truth,
            });
        }
    }

    /// We returned it.
    pub(super) fn returned(&mut self) {
        let last = self.arrivals.iter().rev();
        let last = last
            .map(|arrived| arrived.status.symbol())
            .find(Option::is_some);
        if last.flatten() != Some(Symbol::S) {
            self.arrivals.push(Arrived {
                status: OrderStatus::Scanning,
                truth: None,
            });
        }
        self.provisional = true;
    }

    /// The arrivals up to the delivery with this ordinal.
    pub(super) fn upto(&self, ordinal: u32) -> Option<&[Arrived]> {
        let deliveries = self.arrivals.iter().enumerate();
        let mut deliveries = deliveries.filter(|(_, arrived)| arrived.status.is_listed());
        let (index, _) = deliveries.nth(usize::try_from(ordinal).ok()?.checked_sub(1)?)?;
        self.arrivals.get(..=index)
    }
}

/// The good listings of an account.
#[derive(Clone, Debug, Default)]
pub(super) struct Epochs {
    first: Option<SystemTime>,
    last: Option<SystemTime>,
    resumed: Option<SystemTime>,
    /// A gap was about as long as one may be, or a listing may not have counted.
    unclear: bool,
}

impl Epochs {
    pub(super) fn listed(&mut self, begun: SystemTime) {
        if let Some(last) = self.last {
            match gap(last, begun) {
                Some(true) => self.resumed = Some(begun),
                Some(false) => {}
                None => self.unclear = true,
            }
        }
        self.first = self.first.or(Some(begun));
        self.last = Some(begun);
    }

    /// Whether a listing counts is not certain.
    pub(super) fn is_unclear(&mut self) {
        self.unclear = true;
    }

    fn is_complete(&self, sight: &Sight) -> Option<bool> {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return Some(false);
        };
        if self.unclear {
            return None;
        }
        if gap(last, sight.begun)? {
            return Some(false);
        }
        match sight.created {
            Some(created) => Some(created >= first && Some(created) >= self.resumed),
            None => {
                let doubt = first + DAY * 90;
                let clear = sight.begun + DAY < doubt || doubt + DAY < sight.begun;
                clear.then_some(sight.begun >= doubt)
            }
        }
    }
}

/// Whether it is a gap in which something may have been missed. What a process knows of it is
/// not written at once: an hour either way says nothing.
fn gap(last: SystemTime, now: SystemTime) -> Option<bool> {
    let gap = now.duration_since(last).unwrap_or_default();
    let hours = gap.as_secs() / 3600;
    match hours {
        0..22 => Some(false),
        22..26 => None,
        _ => Some(true),
    }
}
