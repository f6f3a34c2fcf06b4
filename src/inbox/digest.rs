//! Whether an order's own data are those that were seen last.
//!
//! *Problem.* Every listing has every order in full, with URLs that are signed anew each time. To
//! compare the data with what is stored would read patient data of the whole account in each poll.
//!
//! *Approach.* A number that is kept with the case. It decides only whether the data are written
//! anew: it must never decide that something arrived.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{Asset, Order};

/// A number for an order's data. Signed URLs do not count: they are other ones in each answer.
///
/// Another release of Rust may compute another number: then the data are written once more.
pub(super) fn digest(order: &Order) -> u64 {
    let mut hasher = DefaultHasher::new();
    (order.id(), order.rx_id(), order.account_id()).hash(&mut hasher);
    order.status().as_str().hash(&mut hasher);
    order.time_texts().hash(&mut hasher);
    order.has_asset_list().hash(&mut hasher);
    for asset in order.assets() {
        file(asset, &mut hasher);
    }
    order
        .history_texts()
        .for_each(|entry| entry.hash(&mut hasher));
    fields(|each| order.each_extra(each)).hash(&mut hasher);
    hasher.finish()
}

fn file(asset: &Asset, hasher: &mut impl Hasher) {
    (asset.id(), asset.kind(), asset.size()).hash(hasher);
    asset.modified_text().hash(hasher);
    // Without an id the path of its URL tells it from other files; the query is signed anew each
    // time.
    let place = asset.url().filter(|_| asset.id().is_none());
    place.map(url::Url::path).hash(hasher);
    asset.digests().for_each(|digest| digest.hash(hasher));
    fields(|each| asset.each_extra(each)).hash(hasher);
}

/// A number for fields that have no accessor, whatever their order.
fn fields(each: impl FnOnce(&mut dyn FnMut(&str, &str))) -> u64 {
    let mut sum = 0_u64;
    each(&mut |key, value| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        unsigned(value, &mut hasher);
        // A sum, since the fields come in no order that holds.
        sum = sum.wrapping_add(hasher.finish());
    });
    sum
}

/// Hashes JSON as text, without the queries of the URLs in it. A service that writes the keys of an
/// inner object in another order each time has the order's data written anew, and nothing more.
fn unsigned(json: &str, hasher: &mut impl Hasher) {
    const URL: &str = "\"http";
    let mut pieces = json.split(URL);
    pieces.next().hash(hasher);
    for piece in pieces {
        // The piece begins within a text, which ends with the next quote: a URL has none.
        let (text, rest) = piece.split_once('"').unwrap_or((piece, ""));
        let is_url = text.starts_with("://") || text.starts_with("s://");
        let place = text.split('?').next().filter(|_| is_url);
        (place.unwrap_or(text), rest).hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(value: Value) -> u64 {
        digest(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_signature_does_not_count_and_anything_else_does() {
        let order = |query: &str, notes: &str| {
            json!({
                "orderId": 1, "status": "Lab Review", "notes": [{"text": notes}],
                "page": format!("https://a.example/1?{query}"),
                "assets": [{"id": "a", "url": format!("https://b.example/{query}?{query}")}],
            })
        };
        assert_eq!(of(order("s=1", "x")), of(order("s=2", "x")));
        assert_ne!(of(order("s=1", "x")), of(order("s=1", "y")));
        assert_ne!(
            of(order("", "http is slow? yes")),
            of(order("", "http is slow? no"))
        );
    }
}
