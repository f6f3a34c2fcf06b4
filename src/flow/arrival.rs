//! One change of an order into a status.
//!
//! *Problem.* Arrivals are stored for years, by hand too, and read by older and newer releases.
//!
//! *Approach.* Short where nothing but the status is known, and lenient when it is read. A stored
//! arrival must never fail to be read because a later release has written more into it.

use std::time::SystemTime;

use super::millis;
use super::set::member;
use crate::status::OrderStatus;

/// One change of an order into a status: which, and where known, when it was seen and by what.
///
/// With the feature `serde` an arrival with nothing but a status is that status as text,
/// `"Lab Review"`; any other is `{"status": "Lab Review", "at": "2023-06-08T00:00:00.000Z", "origin":
/// "listing"}`, with the time as of RFC 3339 in UTC, and `"doubtful": true` where it
/// [is](Arrival::is_doubtful). Both forms are read back, as is a time in whole milliseconds since
/// 1970-01-01T00:00Z. Fields that this release does not know are passed over, and an origin that it does
/// not know is read as none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arrival {
    pub(super) status: OrderStatus,
    at: Option<SystemTime>,
    pub(super) origin: Option<Origin>,
    doubtful: bool,
    /// Set by the history that takes it in.
    pub(super) late: bool,
}

impl Arrival {
    /// An arrival with nothing but a status.
    #[must_use]
    pub fn new(status: impl Into<OrderStatus>) -> Self {
        Arrival {
            status: status.into(),
            at: None,
            origin: None,
            doubtful: false,
            late: false,
        }
    }

    /// The same arrival with the time at which it was seen, kept to the millisecond.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        // Cut now, so that an arrival is equal to itself after it was stored and read.
        self.at = Some(millis::cut(time));
        self
    }

    /// The same arrival with what it is known from.
    #[must_use]
    pub fn from_origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// The same arrival, marked as doubtful: the evidence leaves open whether it happened.
    #[cfg(feature = "client")]
    #[must_use]
    pub(crate) fn doubtful(mut self) -> Self {
        self.doubtful = true;
        self
    }

    /// The status arrived in.
    #[must_use]
    pub fn status(&self) -> &OrderStatus {
        &self.status
    }

    /// When it was seen, by the clock of the software; none where nobody noted it.
    ///
    /// The change itself happened earlier, nobody knows when. Of an arrival that comes from the
    /// service's own history this is the service's time.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.at
    }

    /// What it is known from; none where nobody noted it.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// Whether its time is older than that of an arrival before it in its
    /// [`History`](super::History): a clock was set back, or the service's clock and ours differ.
    ///
    /// The order of the history is the order in which it became known. It is never rearranged
    /// by time; whoever shows the times can say why they run backwards here.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Whether the evidence leaves open if it happened: the same status with other files, say.
    /// Where in doubt it did, since a repetition is better than a case that is lost.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Whether it is a delivery: an arrival of *Ready for Download* or *Lab Review*, or one that was
    /// listed in a status that is not known. *Get Orders* lists only what waits for the lab, so a
    /// status that was renamed is still work.
    #[must_use]
    pub fn is_delivery(&self) -> bool {
        // Only where a listing showed it: a fetch returns orders in any status, and most of these
        // are no work.
        let is_listed_unknown =
            self.status.symbol().is_none() && self.origin == Some(Origin::Listing);
        self.status.is_listed() || is_listed_unknown
    }
}

impl<T: Into<OrderStatus>> From<T> for Arrival {
    fn from(status: T) -> Self {
        Arrival::new(status)
    }
}

/// What an arrival is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// *Get Orders* listed the order with it.
    Listing,
    /// The order was fetched by its Rx id. What a notification brings is this too: it is only a
    /// hint to fetch.
    Fetched,
    /// The lab's software did it itself, and the service has not shown it yet when it was
    /// recorded: a returned scan.
    OwnAction,
    /// The service reported it afterwards, in a history of its own.
    ServiceHistory,
    /// It was taken over from before the integration. Such deliveries have their ordinals but
    /// are never delivered.
    Imported,
}

member!(Origin {
    Listing = "listing",
    Fetched = "fetched",
    OwnAction = "own_action",
    ServiceHistory = "service_history",
    Imported = "imported",
});

#[cfg(feature = "serde")]
mod wire {
    use std::fmt;
    use std::time::SystemTime;

    use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
    use serde::ser::{Serialize, SerializeMap, Serializer};

    use super::{Arrival, Origin};
    use crate::flow::rfc3339::{self, Rfc3339};
    use crate::status::OrderStatus;

    impl Serialize for Arrival {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            // The short form: histories written by hand are lists of texts.
            if self.at.is_none() && self.origin.is_none() && !self.doubtful {
                return self.status.serialize(serializer);
            }
            let mut map = serializer.serialize_map(None)?;
            // `late` is left out: the history that takes it in works it out anew.
            map.serialize_entry("status", &self.status)?;
            if let Some(at) = self.at {
                map.serialize_entry("at", &Rfc3339(at))?;
            }
            if let Some(origin) = self.origin {
                map.serialize_entry("origin", &origin)?;
            }
            if self.doubtful {
                map.serialize_entry("doubtful", &true)?;
            }
            map.end()
        }
    }

    impl<'de> Deserialize<'de> for Arrival {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct ArrivalVisitor;

            impl<'de> Visitor<'de> for ArrivalVisitor {
                type Value = Arrival;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a status as text, or an arrival with a status")
                }

                fn visit_str<E: de::Error>(self, text: &str) -> Result<Arrival, E> {
                    Ok(Arrival::new(text))
                }

                fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Arrival, A::Error> {
                    let fields = Fields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                    let mut arrival = Arrival::new(fields.status);
                    arrival.at = fields.at;
                    arrival.doubtful = fields.doubtful;
                    // A later release may have written an origin that this one does not know; the
                    // arrival itself still counts.
                    arrival.origin = fields.origin.and_then(|name| Origin::from_name(&name));
                    Ok(arrival)
                }
            }

            // Text or an object: so only formats that describe themselves can be read.
            deserializer.deserialize_any(ArrivalVisitor)
        }
    }

    #[derive(serde::Deserialize)]
    // Without `deny_unknown_fields`: a later release may have written more.
    struct Fields {
        status: OrderStatus,
        #[serde(default, deserialize_with = "rfc3339::deserialize")]
        at: Option<SystemTime>,
        #[serde(default)]
        origin: Option<String>,
        #[serde(default)]
        doubtful: bool,
    }
}
