//! The shape of what is sent, as the behaviour has it. Keys, spellings and forms are conventions.
//!
//! Handlers write camel case and text; this is the one place that makes other forms of it, so that a
//! switch holds for every answer.

use std::time::{Duration, SystemTime};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::super::SimulatorState;
use super::super::behaviour::{
    AssetIds, AssetUrls, Behaviour, Elsewhere, Ids, KeyCase, StatusSpelling, Times,
};
use super::super::case::{Case, Entry};
use super::super::files::Kind;
use super::super::world::World;
use super::effects::Effects;
use crate::endpoints::Operation;
use crate::status::{OrderStatus, Symbol};

/// A JSON answer with its keys spelled as they are to be.
pub(super) fn answer(behaviour: &Behaviour, status: StatusCode, value: Value) -> Response {
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    let bytes = bytes(behaviour, value);
    (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

pub(super) fn bytes(behaviour: &Behaviour, value: Value) -> Vec<u8> {
    // A value's keys are text, so it can be written.
    serde_json::to_vec(&spelled(value, behaviour.keys)).unwrap_or_default()
}

/// A success that has nothing to say.
pub(super) fn done(behaviour: &Behaviour, code: u16) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::NO_CONTENT);
    answer(behaviour, status, json!({}))
}

fn spelled(value: Value, keys: KeyCase) -> Value {
    match value {
        Value::Object(fields) if keys != KeyCase::Camel => {
            let fields = fields.into_iter();
            let fields = fields.map(|(key, value)| (key_in(&key, keys), spelled(value, keys)));
            Value::Object(fields.collect())
        }
        Value::Array(items) if keys != KeyCase::Camel => {
            let items = items.into_iter();
            Value::Array(items.map(|item| spelled(item, keys)).collect())
        }
        other => other,
    }
}

/// A key that is written in camel case.
pub(in crate::simulator) fn key_in(key: &str, keys: KeyCase) -> String {
    let mut spelled = String::with_capacity(key.len() + 4);
    for (at, letter) in key.chars().enumerate() {
        match keys {
            KeyCase::Pascal if at == 0 => spelled.push(letter.to_ascii_uppercase()),
            KeyCase::Snake if letter.is_ascii_uppercase() => {
                spelled.push('_');
                spelled.push(letter.to_ascii_lowercase());
            }
            _ => spelled.push(letter),
        }
    }
    spelled
}

/// An id as it is written.
pub(in crate::simulator) fn id_in(ids: Ids, text: &str) -> Value {
    // A leading zero would be lost.
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok();
    match number.filter(|_| plain && ids == Ids::Number) {
        Some(number) => number.into(),
        None => text.into(),
    }
}

/// What is written into an answer, and how.
pub(super) struct Shape<'a> {
    pub(super) shared: &'a SimulatorState,
    pub(super) world: &'a World,
    pub(super) behaviour: &'a Behaviour,
    pub(super) effects: &'a Effects,
}

impl Shape<'_> {
    pub(super) fn id(&self, text: &str) -> Value {
        id_in(self.behaviour.ids, text)
    }

    pub(super) fn time(&self, time: SystemTime) -> Option<Value> {
        let time = self.effects.skewed(time);
        let stamp = jiff::Timestamp::try_from(time).ok()?;
        Some(match self.behaviour.times {
            Times::Rfc3339 => format!("{stamp:.3}").into(),
            Times::Civil => stamp.strftime("%Y-%m-%dT%H:%M:%S").to_string().into(),
            Times::UnixMillis => stamp.as_millisecond().into(),
            Times::Absent => return None,
        })
    }

    /// An order as it is now.
    pub(super) fn order(&self, case: &Case, in_listing: bool) -> Option<Value> {
        self.order_at(case, case.entries().last()?, in_listing)
    }

    /// An order as it was.
    pub(super) fn order_at(&self, case: &Case, entry: &Entry, in_listing: bool) -> Option<Value> {
        let (world, behaviour) = (self.world, self.behaviour);
        let account = world.account_of(case)?;
        let rx = case.prescription(world.randomness);
        let mut order = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            order.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("orderId", Some(self.id(case.id().as_str())));
        put("rxId", Some(self.id(world.rx_id(case).as_str())));
        put("accountNumber", Some(self.id(account.id.as_str())));
        put("status", Some(self.status(entry.status())));
        put("createdAt", self.time(case.created()));
        put("modifiedAt", self.time(entry.at()));
        put(
            "patient",
            Some(json!({
                "firstName": rx.patient.first_name,
                "lastName": rx.patient.last_name,
                "chartNumber": rx.chart,
            })),
        );
        put(
            "doctor",
            Some(json!({
                "name": rx.doctor.name,
                "licenseNumber": rx.doctor.licence,
                "clinic": rx.doctor.clinic,
            })),
        );
        put("procedure", Some(rx.procedure.name().into()));
        let teeth = rx.teeth.iter().map(|tooth| tooth.ada);
        put("teeth", Some(teeth.collect::<Vec<_>>().into()));
        put("dueDate", date(rx.due(case.created())));
        put(
            "notes",
            (!rx.notes.is_empty()).then(|| rx.notes.clone().into()),
        );
        if behaviour.history {
            let entries = case.entries();
            // By address: two entries of one case can be equal.
            let last = entries.iter().position(|other| std::ptr::eq(other, entry));
            let upto = entries.iter().take(last.map_or(0, |last| last + 1));
            let history = upto.map(|entry| {
                let mut shown = Map::new();
                shown.insert("status".to_owned(), self.status(entry.status()));
                shown.extend(self.time(entry.at()).map(|at| ("changedAt".to_owned(), at)));
                Value::Object(shown)
            });
            put("history", Some(history.collect()));
        }
        let with_lab = matches!(entry.phase.shows(), Symbol::F | Symbol::R | Symbol::D);
        let assets = !in_listing || behaviour.assets_in_listing;
        let bare = behaviour.elsewhere == Elsewhere::WithoutFiles && !with_lab;
        put(
            "assets",
            assets.then(|| {
                let kinds = Kind::ALL.into_iter();
                let shown = kinds.filter(|_| entry.revision > 0 && !bare);
                shown
                    .filter_map(|kind| self.asset(case, entry, kind))
                    .collect()
            }),
        );
        if behaviour.unknown_fields {
            // What a reader must pass over: an odd key, a list of mixed types, a null.
            put("x-unheard-of", Some(json!({ "of": [1, null, "two"] })));
            put("assignedTo", Some(Value::Null));
        }
        Some(Value::Object(order))
    }

    fn asset(&self, case: &Case, entry: &Entry, kind: Kind) -> Option<Value> {
        let behaviour = self.behaviour;
        let per_order = behaviour.asset_ids == AssetIds::PerOrder;
        let id = kind.id(case.number, entry.revision, behaviour.ids, per_order);
        let mut asset = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            asset.extend(value.map(|value| (key.to_owned(), value)));
        };
        let named = behaviour.asset_ids != AssetIds::Absent;
        put("assetId", named.then(|| self.id(&id)));
        put("type", Some(kind.wire_name().into()));
        // `facts` are those of the current files only.
        let current = entry.revision == case.revision();
        let size = || {
            if current {
                case.facts.size(kind, || self.world.files_of(case, entry))
            } else {
                self.world.files_of(case, entry).size(kind)
            }
        };
        put("size", behaviour.asset_sizes.then(|| size().into()));
        if behaviour.asset_times {
            put(
                "modifiedAt",
                self.time(case.files_modified_at(entry.revision)),
            );
        }
        if behaviour.asset_digests {
            let files = || self.world.files_of(case, entry);
            let digest = if current {
                case.facts.digest(kind, files)
            } else {
                files().digest(kind)
            };
            put("sha256", Some(digest.into()));
        }
        let url = match behaviour.asset_urls {
            AssetUrls::SameHost => self.url(case, &id),
            AssetUrls::Signed => {
                let life = Duration::from_secs(behaviour.asset_url_life);
                let now = self.world.now();
                let until = if self.effects.expired_url {
                    now - Duration::from_secs(1)
                } else {
                    now + life
                };
                Some(
                    self.shared
                        .signed_url(case.number, entry.revision, kind, until),
                )
            }
            AssetUrls::Absent => None,
        };
        put("url", url.map(Value::from));
        Some(Value::Object(asset))
    }

    fn url(&self, case: &Case, asset_id: &str) -> Option<String> {
        let endpoint = self
            .shared
            .endpoints
            .resolve(Operation::DownloadAsset)
            .ok()?;
        let account = self.world.account_of(case)?;
        let order_id = case.id();
        let variables = [
            ("account_id", account.id.as_str()),
            ("order_id", order_id.as_str()),
            ("asset_id", asset_id),
        ];
        endpoint.template.expand(&variables).ok().map(String::from)
    }

    fn status(&self, status: &OrderStatus) -> Value {
        let text = status.as_str();
        let words = text.split(' ');
        match self.behaviour.statuses {
            StatusSpelling::Spaced => text.into(),
            StatusSpelling::Camel => {
                let mut spelled = String::new();
                for (at, word) in words.enumerate() {
                    // The known statuses are ASCII, and none has two blanks in a row.
                    let (first, rest) = word.split_at(1);
                    let first = if at == 0 {
                        first.to_ascii_lowercase()
                    } else {
                        first.to_ascii_uppercase()
                    };
                    spelled += &first;
                    spelled += rest;
                }
                spelled.into()
            }
            StatusSpelling::ScreamingSnake => text.to_ascii_uppercase().replace(' ', "_").into(),
            StatusSpelling::Noted => {
                let holder = match status.symbol() {
                    Some(Symbol::S) => "the Dr",
                    Some(Symbol::F | Symbol::R | Symbol::D) => "the Lab",
                    _ => "iTero",
                };
                format!("{text} (For {holder})").into()
            }
        }
    }
}

/// Hexadecimal.
pub(in crate::simulator) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn date(time: SystemTime) -> Option<Value> {
    let stamp = jiff::Timestamp::try_from(time).ok()?;
    Some(stamp.strftime("%Y-%m-%d").to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spelled_at_every_depth() {
        let value = json!({ "orderId": 1, "assets": [{ "modifiedAt": null }] });
        let text = |keys| spelled(value.clone(), keys).to_string();
        assert_eq!(
            text(KeyCase::Snake),
            r#"{"assets":[{"modified_at":null}],"order_id":1}"#
        );
        assert_eq!(
            text(KeyCase::Pascal),
            r#"{"Assets":[{"ModifiedAt":null}],"OrderId":1}"#
        );
        assert_eq!(text(KeyCase::Camel), value.to_string());
    }
}
