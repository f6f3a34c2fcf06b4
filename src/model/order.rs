//! Orders: the cases of a lab, as the service shows them.
//!
//! *Problem.* Listings have ten thousands of orders, and most are looked at for their id and
//! status only.
//!
//! *Approach.* What every caller needs is read at once; times, `extra` and the prescription are
//! kept as text and read when they are asked for. `Debug` must not show `extra`: it holds patient
//! data.

use std::fmt;
use std::time::SystemTime;

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::asset::Asset;
use super::id::{AccountId, OrderId, RxId};
use super::lenient::{self, Entry, ExtraFields, Ids, MissingField, Record, entry};
use super::prescription::Prescription;
use super::time::WireTime;
use crate::flow::Arrival;
use crate::status::OrderStatus;

/// One order. *Scan*, *order* and *case* mean the same.
///
/// Documented is that an order has an id that stays, an Rx id, a status and files. How they are
/// spelled is not: see [`model`](crate::model) for how an order is read. Everything else that
/// the service sends, patient and doctor among it, is in [`Order::extra`], which is never
/// printed.
///
/// Serialized it has keys of ours (`orderId`, `rxId`, `status`, …) whatever those of the service
/// were, and is read back as the same order. It then holds all that the service sent, patient
/// data and signed URLs among it: for a store that keeps it, and for nobody else.
#[derive(Clone, PartialEq)]
pub struct Order {
    id: OrderId,
    /// The service sent no order id, and the Rx id is used in its place.
    has_no_id: bool,
    rx_id: Option<RxId>,
    status: OrderStatus,
    account_id: Option<AccountId>,
    created: Option<WireTime>,
    modified: Option<WireTime>,
    assets: Option<Vec<Asset>>,
    history: Option<Vec<HistoryEntry>>,
    extra: ExtraFields,
}

lenient::record!(Fields, "an order" {
    // Best first. A plain `id` comes second: in an order it is the order's, in an envelope
    // anything.
    id: OrderId = ["orderid", "id", "caseid", "ordernumber", "casenumber"],
    rx_id: RxId = ["rxid", "rx", "prescriptionid", "rxnumber"],
    status: OrderStatus = ["status", "orderstatus", "scanstatus", "casestatus"],
    account_id: AccountId = ["accountid", "accountnumber", "companyid", "labid"],
    created: WireTime = ["createdat", "created", "creationtime", "createddate", "creationdate", "createdon"],
    modified: WireTime = ["modifiedat", "modified", "updatedat", "updated", "lastmodified", "lastupdated"],
    assets: Vec<Asset> = ["assets", "files"],
    history: Vec<HistoryEntry> = ["history", "statushistory", "statuses"],
});

impl Order {
    /// The order's number. It stays the same however often the case comes back.
    ///
    /// Where the service sent none, it is the Rx id.
    #[must_use]
    pub fn id(&self) -> &OrderId {
        &self.id
    }

    /// The order id that the service sent, if it sent one.
    pub(crate) fn own_id(&self) -> Option<&OrderId> {
        (!self.has_no_id).then_some(&self.id)
    }

    /// The Rx id, by which the order can be fetched whatever its status.
    ///
    /// An order without one can be worked on but not followed once it is no longer listed.
    #[must_use]
    pub fn rx_id(&self) -> Option<&RxId> {
        self.rx_id.as_ref()
    }

    /// The status it is shown in.
    #[must_use]
    pub fn status(&self) -> &OrderStatus {
        &self.status
    }

    /// The account it belongs to, if the service says so.
    #[must_use]
    pub fn account_id(&self) -> Option<&AccountId> {
        self.account_id.as_ref()
    }

    /// When it was created, where the service says so in a form that can be read.
    ///
    /// The form is not documented. Read are RFC 3339 and its relatives (`2026-03-14T09:26:53Z`, with
    /// an offset, or without one and then taken as UTC), the dates of HTTP headers, seconds,
    /// milliseconds, microseconds or nanoseconds since 1970 as a number, and `/Date(…)/`. A time of
    /// another form is in [`Order::extra`].
    #[must_use]
    pub fn created(&self) -> Option<SystemTime> {
        self.created.as_ref()?.time()
    }

    /// When it was last changed, where the service says so in a form that can be read.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified.as_ref()?.time()
    }

    /// Both as the service wrote them.
    pub(crate) fn time_texts(&self) -> [Option<&str>; 2] {
        [&self.created, &self.modified].map(|time| time.as_ref().map(WireTime::as_str))
    }

    /// Its files; empty where the service lists none.
    #[must_use]
    pub fn assets(&self) -> &[Asset] {
        self.assets.as_deref().unwrap_or_default()
    }

    /// Whether the service listed the order's files at all: an empty list says something, a
    /// missing one nothing.
    #[must_use]
    pub fn has_asset_list(&self) -> bool {
        self.assets.is_some()
    }

    /// The same order with the files of another.
    pub(crate) fn with_files_of(&self, other: &Order) -> Order {
        Order {
            assets: other.assets.clone(),
            ..self.clone()
        }
    }

    /// The history, oldest first as the service sends it, if it sends one. Undocumented.
    ///
    /// It is what the service says, and no evidence: the inbox says what has arrived.
    #[must_use]
    pub fn history(&self) -> Option<Vec<Arrival>> {
        let entries = self.history.as_ref()?.iter();
        // Without an origin: whether it is evidence, and of what, is the inbox's to say.
        let arrivals = entries.map(|entry| {
            let arrival = Arrival::new(&entry.status);
            match entry.time.as_ref().and_then(WireTime::time) {
                Some(time) => arrival.at(time),
                None => arrival,
            }
        });
        Some(arrivals.collect())
    }

    /// The same as the service wrote it.
    pub(crate) fn history_texts(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let entries = self.history.iter().flatten();
        entries.map(|entry| {
            let time = entry.time.as_ref().map(WireTime::as_str);
            (entry.status.as_str(), time)
        })
    }

    /// Reads what was written by `Serialize`, without a tree of its values.
    ///
    /// # Errors
    ///
    /// It is something else; the error says nothing of what it holds.
    #[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
    pub(crate) fn from_json(json: &str) -> Option<Self> {
        // Limits were kept when it came. With lower ones now, a case that is stored would be lost.
        Order::read(json, lenient::Limits::NONE, None, String::new).ok()
    }

    /// What the doctor prescribed, as far as the service says it: patient, doctor, due date, procedure,
    /// teeth, notes. Its names are conventions of ours. It is read from [`Order::extra`] here, each
    /// time: keep it where you ask it more than one thing.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use lab_connector::Order;
    ///
    /// let order: Order = serde_json::from_str(
    ///     r#"{ "orderId": 1, "status": "Lab Review", "dueDate": "2026-03-14",
    ///          "doctor": { "name": "Dr. Example", "licenseNumber": "DDS-1" } }"#,
    /// )?;
    /// let rx = order.prescription();
    /// assert_eq!(rx.due(), Some("2026-03-14"));
    /// // `licence` does not print; `licence.reveal()` is the text.
    /// let licence = rx.doctor_license();
    /// # assert!(licence.is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn prescription(&self) -> Prescription {
        Prescription::of_order(&self.extra())
    }

    /// Fields that have no accessor, by their own keys, and times that cannot be read, as `createdAt` and
    /// `modifiedAt`. They hold patient data.
    ///
    /// They are kept as the service sent them and read here, each time: keep the map where you need
    /// more than one of them. A value that no parser takes, such as a number out of range, is in it as
    /// a text.
    #[must_use]
    pub fn extra(&self) -> Map<String, Value> {
        let mut map = self.extra.to_map();
        let times = [("createdAt", &self.created), ("modifiedAt", &self.modified)];
        for (key, time) in times {
            if let Some(time) = time.as_ref().filter(|time| time.time().is_none()) {
                // Under the field's best name: its own key is not kept.
                map.insert(key.to_owned(), time.as_str().into());
            }
        }
        map
    }

    /// Calls with each of these fields, as it came.
    pub(crate) fn each_extra(&self, each: impl FnMut(&str, &str)) {
        self.extra.each(each);
    }
}

impl Record for Order {
    type Fields = Fields;

    const OWN: &'static [&'static str] = &["orderid", "rxid"];

    fn ids(fields: &Fields) -> Ids {
        // Half of an id is none.
        let whole = |id: &&str| !id.contains(char::REPLACEMENT_CHARACTER);
        let id = fields.id.as_ref().map(OrderId::as_str).filter(whole);
        let rx_id = fields.rx_id.as_ref().map(RxId::as_str).filter(whole);
        Ids {
            order: id.map(Into::into),
            rx: rx_id.map(Into::into),
        }
    }

    fn is_certain(&self) -> bool {
        // An envelope says `ok` or `success` of itself, and seldom a word that is a status.
        self.status.is_known()
    }

    fn from_fields(fields: Fields) -> Result<Self, MissingField> {
        // Half of an id is none: it would name another order, or none that anybody knows.
        let whole = |text: &str| !text.contains(char::REPLACEMENT_CHARACTER);
        let ids = [
            fields.id.as_ref().map(OrderId::as_str),
            fields.rx_id.as_ref().map(RxId::as_str),
        ];
        if !ids.into_iter().flatten().all(whole) {
            return Err(MissingField {
                what: "an order without an id that is text",
                names: &["orderid", "rxid"],
            });
        }
        // Blanks are no id: two such orders would be taken for one.
        let filled = |text: &str| !text.chars().all(char::is_whitespace);
        let rx_id = fields.rx_id.filter(|id| filled(id.as_str()));
        let id = fields.id.filter(|id| filled(id.as_str()));
        let has_no_id = id.is_none();
        let id = id
            // A case needs a key: the Rx id names it until an order id is seen.
            .or_else(|| rx_id.as_ref().map(|id| id.as_str().into()))
            .ok_or(MissingField {
                what: "an order with neither an order id (`orderId`) nor an Rx id (`rxId`)",
                names: &["orderid", "rxid"],
            })?;
        Ok(Order {
            id,
            has_no_id,
            rx_id,
            status: fields.status.ok_or(MissingField {
                what: "an order without a status (`status`)",
                names: &["status"],
            })?,
            account_id: fields.account_id,
            created: fields.created,
            modified: fields.modified,
            assets: fields.assets,
            history: fields.history,
            extra: fields.extra,
        })
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        Order::from_fields(fields).map_err(|missing| D::Error::custom(missing.what))
    }
}

impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // The best name of each field: it wins over whatever is in `extra`.
        entry(&mut map, "orderId", self.own_id())?;
        entry(&mut map, "rxId", self.rx_id.as_ref())?;
        map.serialize_entry("status", self.status.as_str())?;
        entry(&mut map, "accountId", self.account_id.as_ref())?;
        entry(&mut map, "createdAt", self.created.as_ref())?;
        entry(&mut map, "modifiedAt", self.modified.as_ref())?;
        entry(&mut map, "assets", self.assets.as_ref())?;
        entry(&mut map, "history", self.history.as_ref())?;
        self.extra.serialize_into(&mut map)?;
        map.end()
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("id", &self.id)
            .field("rx_id", &self.rx_id)
            .field("status", &self.status)
            .field("created", &self.created)
            .field("modified", &self.modified)
            .field("assets", &self.assets)
            .finish_non_exhaustive()
    }
}

/// A status in a history that the service sent.
#[derive(Clone, PartialEq)]
pub(crate) struct HistoryEntry {
    status: OrderStatus,
    time: Option<WireTime>,
}

lenient::record!(EntryFields, "an entry of a history" {
    status: OrderStatus = ["status", "orderstatus", "scanstatus", "casestatus", "name", "value"],
    time: WireTime = ["at", "time", "timestamp", "date", "changedat", "createdat", "created", "modifiedat"],
});

impl From<EntryFields> for HistoryEntry {
    fn from(fields: EntryFields) -> Self {
        HistoryEntry {
            // Something happened, whatever it was: an entry keeps its place among the others.
            status: fields.status.unwrap_or_else(|| OrderStatus::from("")),
            time: fields.time,
        }
    }
}

impl<'de> Deserialize<'de> for HistoryEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        EntryFields::deserialize(deserializer).map(HistoryEntry::from)
    }
}

impl Serialize for HistoryEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", self.status.as_str())?;
        entry(&mut map, "at", self.time.as_ref())?;
        map.end()
    }
}

impl Entry for HistoryEntry {
    type Fields = EntryFields;

    fn from_fields(fields: EntryFields) -> Self {
        fields.into()
    }

    fn from_text(text: &str) -> Self {
        HistoryEntry {
            status: OrderStatus::from(text),
            time: None,
        }
    }

    fn from_other(_: &str) -> Self {
        // A number or a list. It has no time, and the inbox ignores a history in which one lacks it.
        HistoryEntry::from_text("")
    }
}

impl fmt::Debug for HistoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryEntry")
            .field("status", &self.status)
            .field("time", &self.time)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::Strategy as _;
    use serde_json::json;

    fn read(value: Value) -> Result<Order, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn spelling_of_keys_and_type_of_ids_do_not_matter() {
        for value in [
            json!({"orderId": 123456789, "rxId": 7, "status": "Lab Review"}),
            json!({"order_id": "123456789", "RX-ID": "7", "Status": "labReview"}),
            json!({"OrderID": "123456789", "rx_id": "7", "OrderStatus": "LAB_REVIEW"}),
        ] {
            let order = read(value).unwrap();
            assert_eq!(order.id().as_str(), "123456789");
            assert_eq!(order.rx_id().map(RxId::as_str), Some("7"));
            assert_eq!(*order.status(), OrderStatus::LabReview);
        }
    }

    #[test]
    fn the_better_name_of_a_field_wins_whatever_its_place() {
        for text in [
            r#"{"id": "9", "orderId": "1", "status": "Sent"}"#,
            r#"{"orderId": "1", "id": "9", "status": "Sent"}"#,
        ] {
            let order: Order = serde_json::from_str(text).unwrap();
            assert_eq!(order.id().as_str(), "1");
        }
    }

    proptest::proptest! {
        /// Whatever else is there, and in whatever order.
        #[test]
        fn the_best_name_wins(
            keys in proptest::sample::subsequence(
                vec!["OrderId", "ID", "case_id", "order-number", "CaseNumber"],
                1..=5,
            ).prop_shuffle(),
            before in 0usize..3,
        ) {
            let names = ["orderid", "id", "caseid", "ordernumber", "casenumber"];
            let rank = |key: &str| names.iter().position(|name| crate::key::same_key(key, name));
            let best = keys.iter().copied().min_by_key(|key| rank(key)).unwrap();
            let mut members: Vec<String> = keys.iter().map(|key| format!(r#""{key}":"{key}""#)).collect();
            members.insert(before.min(members.len()), r#""status":"Sent","x":{"id":9}"#.to_owned());
            let order = lenient::one::<Order>(&format!("{{{}}}", members.join(",")), lenient::Limits::NONE, None).unwrap();
            proptest::prop_assert_eq!(order.id().as_str(), best);
            proptest::prop_assert_eq!(order.extra().len(), keys.len());
        }
    }

    #[test]
    fn what_is_unknown_or_misshapen_is_kept() {
        let order = read(json!({
            "id": 1, "status": "Sent", "patient": {"firstName": "A"}, "created": {"odd": true},
            "assets": "none", "modified": null,
        }))
        .unwrap();
        assert_eq!(order.extra()["patient"]["firstName"], "A");
        assert_eq!(order.extra()["created"]["odd"], true);
        assert_eq!(order.extra()["assets"], "none");
        assert!(!order.has_asset_list() && order.created().is_none());
    }

    #[test]
    fn assets_and_history_come_in_several_shapes() {
        let order = read(json!({
            "id": 1, "rxId": 2, "status": "Sent",
            "assets": [{"type": "IDE", "size": "12", "url": "https://a.example/x?s=1"}, "https://b.example/", 5],
            "history": ["Scanning", {"status": "Sent", "at": "2026-03-14T09:26:53Z"}],
        }))
        .unwrap();
        assert_eq!(order.assets().len(), 3);
        assert!(order.assets()[0].is_export());
        assert_eq!(order.assets()[0].size(), Some(12));
        let history = order.history().unwrap();
        assert_eq!(*history[0].status(), OrderStatus::Scanning);
        assert!(history[0].time().is_none() && history[1].time().is_some());
    }

    #[test]
    fn a_time_that_cannot_be_read_is_kept() {
        let order =
            read(json!({"id": 1, "status": "Sent", "created": "last Tuesday", "modified": 0}));
        let order = order.unwrap();
        assert_eq!(
            (order.created(), order.modified()),
            (None, Some(SystemTime::UNIX_EPOCH))
        );
        let kept = json!({"createdAt": "last Tuesday"});
        assert_eq!(Value::from(order.extra()), kept);
        let again: Order = serde_json::from_str(&serde_json::to_string(&order).unwrap()).unwrap();
        assert!(again == order);
    }

    #[test]
    fn an_order_needs_an_id_and_a_status() {
        let error = read(json!({"status": "Sent"})).unwrap_err();
        assert!(
            error.contains("orderId") && error.contains("rxId"),
            "{error}"
        );
        let error = read(json!({"orderId": 1})).unwrap_err();
        assert!(error.contains("status"), "{error}");
        let order = read(json!({"rxId": "r", "status": "Sent"})).unwrap();
        assert_eq!(order.id().as_str(), "r");
    }

    #[test]
    fn debug_holds_no_patient_data_and_no_signed_url() {
        let order = read(json!({
            "id": 1, "status": "Sent", "patient": "canary",
            "assets": [{"url": "https://a.example/canary?canary", "name": "canary"}],
        }))
        .unwrap();
        assert!(!format!("{order:?}").contains("canary"));
    }
}
