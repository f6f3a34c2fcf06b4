//! What goes wrong, when.
//!
//! *Problem.* A test with faults must be repeatable, even where calls run at the same time.
//!
//! *Approach.* Whether a rule applies is drawn from the seed, the operation, the rule and the
//! number of the call. No draw must depend on how many were made before.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::randomness::{Randomness, Stream};
use super::settings::{self, InvalidSettings};
use crate::endpoints::Operation;
use crate::model::AccountId;

/// What goes wrong between the service and the software: a list of rules, each drawn by itself.
/// None by default.
///
/// Draws are made of the seed, the operation and the number of its call, so the same calls meet
/// the same faults, whatever lies between them.
///
/// ```
/// use lab_connector::Operation;
/// use lab_connector::simulator::{Fault, FaultRule, Faults};
///
/// let mut faults = Faults::default();
/// faults.rules.push(FaultRule::new(Fault::Hang).on(Operation::GetOrders).calls([3]));
/// let read = Faults::from_json(r#"{ "rules": [
///     { "operations": ["get_orders"], "calls": [3], "fault": "hang" }
/// ] }"#)?;
/// assert_eq!(read, faults);
/// # Ok::<(), lab_connector::simulator::InvalidSettings>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Faults {
    /// The rules. All that apply to a call are played together; of those that exclude each other,
    /// the first.
    pub rules: Vec<FaultRule>,
}

/// A fault, and when it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// To which operations; empty: to every one. Notifications are none, their faults name them.
    #[serde(default, with = "names", skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// To calls for which accounts; empty: to all, and to those that are for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountId>,
    /// At which calls of an operation, counted from 1 from when the faults were set; empty: at
    /// every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<u64>,
    /// How probable it is where it may happen, from 0 to 1.
    #[serde(default = "certain")]
    pub probability: f64,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing is done, and the answer is an error.
    Status {
        /// Its status.
        code: u16,
        /// Seconds, for a `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The answer comes late: so many seconds of real time, besides what else goes wrong.
    Latency {
        /// How many; fractions count.
        seconds: f64,
    },
    /// Nothing is done, and no answer ever comes.
    Hang,
    /// The connection is reset.
    Reset {
        /// Where.
        at: ResetAt,
    },
    /// The body ends in the middle, and the connection with it.
    Truncate,
    /// The answer comes slowly, but whole: to stop a client in the middle of it. A zip has some
    /// 50 kB. A client gives up a file that comes at less than its
    /// [`minimum_rate`](crate::client::ClientBuilder::minimum_rate), 1,000 bytes a second by default.
    Drip {
        /// How many bytes a second of real time; at least one.
        bytes_per_second: u32,
    },
    /// The announced length is not that of the body, which the connection's end
    /// follows.
    WrongLength {
        /// How much more is announced than there is; less, if negative.
        by: i64,
    },
    /// A page for people in place of the answer, with status 200; nothing is done.
    Html,
    /// The body is not valid JSON any more. Files are left alone.
    MalformedJson,
    /// One of the listed orders has neither id nor status.
    UnreadableRecord,
    /// One of the listed orders is missing, this time.
    MissingOrder,
    /// One of the orders that have left the list is in it, as it was last shown there.
    StaleOrder,
    /// The signed URLs in the answer are no longer good; a file that is asked for with a good
    /// one is refused as if it were not.
    ExpiredUrl,
    /// The service's clock goes wrong, in the `Date` header and in what it writes into the
    /// answer: so many seconds ahead; behind, if negative.
    ClockSkew {
        /// How many.
        seconds: i64,
    },
    /// Discovery names another region: the same service at another port.
    OtherRegion,
    /// The notification is not posted.
    NotificationLost,
    /// The notification is posted twice.
    NotificationDuplicated,
    /// The notification is posted so many seconds of real time later.
    NotificationDelayed {
        /// How many; fractions count.
        seconds: f64,
    },
    /// The notification is posted after the one that follows it.
    NotificationReordered,
    /// Before the notification another one is posted, for an Rx id that there is not.
    NotificationForged,
}

/// Where a connection is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResetAt {
    /// Before anything is done.
    Request,
    /// When all is done, before the first byte of the answer.
    Answer,
    /// Inside the head of the answer.
    InsideHead,
    /// Between head and body.
    AfterHead,
    /// Inside the body.
    InsideBody,
    /// After the last byte, in place of an orderly end.
    AfterBody,
}

/// Which call, or which notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    Call(Operation),
    Notification,
}

impl Faults {
    /// Reads faults from JSON.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, or has a key or a value that does not fit; the error names it and
    /// says what would do.
    pub fn from_json(json: &str) -> Result<Self, InvalidSettings> {
        let faults: Faults = settings::read(json)?;
        faults.check()?;
        Ok(faults)
    }

    /// Reads faults from a JSON file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or as [`Faults::from_json`].
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self, InvalidSettings> {
        settings::file(path.as_ref(), Self::from_json)
    }

    pub(super) fn check(&self) -> Result<(), InvalidSettings> {
        for (at, rule) in self.rules.iter().enumerate() {
            let wrong = |what| Err(InvalidSettings::new(format!("rule {}: {what}", at + 1)));
            // A day: longer than any test waits. A NaN is not in the range.
            let fits = |seconds: f64| (0.0..=86400.0).contains(&seconds);
            if !(0.0..=1.0).contains(&rule.probability) {
                return wrong("`probability` must be from 0 to 1");
            }
            if rule.calls.contains(&0) {
                return wrong("`calls` are counted from 1");
            }
            match rule.fault {
                Fault::Status { code, .. } if !(400..=599).contains(&code) => {
                    return wrong("`code` must be from 400 to 599");
                }
                Fault::Latency { seconds } | Fault::NotificationDelayed { seconds }
                    if !fits(seconds) =>
                {
                    return wrong("`seconds` must be from 0 to 86400");
                }
                Fault::Drip {
                    bytes_per_second: 0,
                } => return wrong("`bytes_per_second` must be at least 1"),
                Fault::WrongLength { by: 0 } => return wrong("`by` must not be 0"),
                _ => {}
            }
        }
        Ok(())
    }

    /// What goes wrong at the n-th occasion, counted from 1, and for which account it is.
    pub(super) fn draw(
        &self,
        randomness: Randomness,
        occasion: Occasion,
        n: u64,
        account: Option<&str>,
    ) -> Vec<Fault> {
        let place = match occasion {
            Occasion::Call(operation) => operation as u64,
            // No operation has this number.
            Occasion::Notification => u64::MAX >> 32,
        };
        let happens = |(at, rule): &(usize, &FaultRule)| {
            let wanted = match occasion {
                Occasion::Call(operation) => {
                    rule.operations.is_empty() || rule.operations.contains(&operation)
                }
                Occasion::Notification => true,
            };
            let concerned = rule.accounts.is_empty()
                || account.is_some_and(|id| rule.accounts.iter().any(|one| one.as_str() == id));
            let due = rule.calls.is_empty() || rule.calls.contains(&n);
            let of_notifications = rule.fault.is_of_notifications();
            wanted
                && concerned
                && due
                && of_notifications == (occasion == Occasion::Notification)
                // A certain fault needs no draw.
                && (rule.probability >= 1.0 || {
                    // Rule, operation and call in bits of their own, as long as a run has fewer
                    // than 2^40 calls: equal numbers would be equal draws.
                    let number = (place << 40) ^ ((*at as u64) << 56) ^ n;
                    randomness.nth(Stream::Faults, number).f64() < rule.probability
                })
        };
        let rules = self.rules.iter().enumerate().filter(happens);
        rules.map(|(_, rule)| rule.fault.clone()).collect()
    }
}

impl FaultRule {
    /// A fault at every call of every operation.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        FaultRule {
            fault,
            operations: Vec::new(),
            accounts: Vec::new(),
            calls: Vec::new(),
            probability: 1.0,
        }
    }

    /// At this operation, and at those that were named before.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// At calls for this account, and for those that were named before.
    #[must_use]
    pub fn account(mut self, account: impl Into<AccountId>) -> Self {
        self.accounts.push(account.into());
        self
    }

    /// At these calls of an operation, counted from 1.
    #[must_use]
    pub fn calls(mut self, calls: impl IntoIterator<Item = u64>) -> Self {
        self.calls.extend(calls);
        self
    }

    /// How probable it is, from 0 to 1.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }
}

impl Fault {
    /// The name that configurations use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Status { .. } => "status",
            Fault::Latency { .. } => "latency",
            Fault::Hang => "hang",
            Fault::Reset { .. } => "reset",
            Fault::Truncate => "truncate",
            Fault::Drip { .. } => "drip",
            Fault::WrongLength { .. } => "wrong_length",
            Fault::Html => "html",
            Fault::MalformedJson => "malformed_json",
            Fault::UnreadableRecord => "unreadable_record",
            Fault::MissingOrder => "missing_order",
            Fault::StaleOrder => "stale_order",
            Fault::ExpiredUrl => "expired_url",
            Fault::ClockSkew { .. } => "clock_skew",
            Fault::OtherRegion => "other_region",
            Fault::NotificationLost => "notification_lost",
            Fault::NotificationDuplicated => "notification_duplicated",
            Fault::NotificationDelayed { .. } => "notification_delayed",
            Fault::NotificationReordered => "notification_reordered",
            Fault::NotificationForged => "notification_forged",
        }
    }

    fn is_of_notifications(&self) -> bool {
        // By the name: a new fault of notifications cannot be forgotten here.
        self.name().starts_with("notification_")
    }
}

fn certain() -> f64 {
    1.0
}

/// Operations by the names of [`Operation`].
mod names {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        operations: &[Operation],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(operations.iter().map(|operation| operation.name()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Operation>, D::Error> {
        let read = |name: String| {
            Operation::from_name(&name).ok_or_else(|| {
                let known = Operation::ALL.iter().map(|known| known.name());
                serde::de::Error::custom(format!(
                    "`{name}` is no operation; known are {}",
                    known.collect::<Vec<_>>().join(", ")
                ))
            })
        };
        let names = Vec::<String>::deserialize(deserializer)?;
        names.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        let json = r#"{"rules": [
            {"fault": {"status": {"code": 503, "retry_after": 2}}, "operations": ["Get Orders"], "calls": [1, 3]},
            {"fault": {"reset": {"at": "inside_body"}}, "probability": 0.5},
            {"fault": "notification_lost"}
        ]}"#;
        let faults = Faults::from_json(json).unwrap();
        assert_eq!(faults.rules[0].operations, [Operation::GetOrders]);
        let again = serde_json::to_string(&faults).unwrap();
        assert_eq!(Faults::from_json(&again).unwrap(), faults);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (rule, named) in [
            (r#"{"fault": "flood"}"#, "unknown variant `flood`"),
            (r#"{"fault": "hang", "call": [1]}"#, "unknown field `call`"),
            (r#"{"fault": "hang", "calls": [0]}"#, "rule 1: `calls`"),
            (
                r#"{"fault": "hang", "operations": ["x"]}"#,
                "`x` is no operation",
            ),
            (r#"{"fault": "hang", "probability": 2}"#, "from 0 to 1"),
            (r#"{"fault": {"status": {"code": 200}}}"#, "from 400 to 599"),
            (r#"{"fault": {"latency": {"seconds": -1}}}"#, "0 to 86400"),
            (
                r#"{"fault": {"drip": {"bytes_per_second": 0}}}"#,
                "at least 1",
            ),
            (r#"{"fault": {"wrong_length": {"by": 0}}}"#, "not be 0"),
            (r#"{"probability": 1}"#, "missing field `fault`"),
        ] {
            let json = format!(r#"{{"rules": [{rule}]}}"#);
            let error = Faults::from_json(&json).unwrap_err().to_string();
            assert!(error.contains(named), "{rule}: {error}");
        }
    }

    #[test]
    fn a_rule_for_an_account_leaves_the_others_alone() {
        let json = r#"{"rules": [{"fault": "hang", "accounts": ["L-2"]}]}"#;
        let faults = Faults::from_json(json).unwrap();
        let rule = FaultRule::new(Fault::Hang).account("L-2");
        assert_eq!(faults.rules, [rule]);
        let call = Occasion::Call(Operation::GetOrders);
        let hangs = |account| !faults.draw(Randomness::new(7), call, 1, account).is_empty();
        assert!(hangs(Some("L-2")) && !hangs(Some("L-1")) && !hangs(None));
    }

    #[test]
    fn a_script_and_a_probability_are_drawn_by_call() {
        let mut faults = Faults::default();
        let hang = FaultRule::new(Fault::Hang).on(Operation::Pair).calls([2]);
        let rare = FaultRule::new(Fault::Html).probability(0.25);
        faults.rules = vec![hang, rare];
        let draw =
            |operation, n| faults.draw(Randomness::new(7), Occasion::Call(operation), n, None);
        let hangs = |operation, n| draw(operation, n).contains(&Fault::Hang);
        assert!(hangs(Operation::Pair, 2) && !hangs(Operation::Pair, 1));
        assert!(!hangs(Operation::GetOrders, 2));
        let pages = (1..=1000)
            .filter(|n| draw(Operation::GetOrders, *n).contains(&Fault::Html))
            .count();
        assert!((200..300).contains(&pages), "{pages}");
        assert_eq!(draw(Operation::Pair, 9), draw(Operation::Pair, 9));
        assert!(
            faults
                .draw(Randomness::new(7), Occasion::Notification, 1, None)
                .is_empty()
        );
    }
}
