use proptest::prelude::*;

use super::super::parse::HANDED_OVER;
use super::hostile::HOSTILE;
use super::*;
use crate::model::{Account, Order};

fn records<T: Record>(body: &[u8]) -> Result<Records<T>, Fault> {
    super::records(&crate::text::of(body, None), Limits::NONE, None, false)
}

fn one<T: Record>(body: &[u8]) -> Result<T, LocatedFault> {
    super::one(&crate::text::of(body, None), Limits::NONE, None)
}

fn read(body: &str) -> Result<Records<Order>, Fault> {
    records(body.as_bytes())
}

fn ids(records: &Records<Order>) -> Vec<&str> {
    records
        .good
        .iter()
        .map(|order| order.id().as_str())
        .collect()
}

const ONE: &str = r#"{"orderId":1,"status":"Sent"}"#;
const TWO: &str = r#"{"orderId":2,"status":"Sent"}"#;

#[test]
fn a_list_may_be_bare_or_wrapped() {
    for body in [
        format!("[{ONE},{TWO}]"),
        format!("\u{FEFF} [ {ONE} , {TWO} ] "),
        format!(r#"{{"total":2,"Items":[{ONE},{TWO}]}}"#),
        format!(r#"{{"data":[{ONE},{TWO}],"next":null}}"#),
        format!(r#"{{"data":{{"Orders":[{ONE},{TWO}]}}}}"#),
        format!(r#"{{"_embedded":{{"orders":[{ONE},{TWO}]}}}}"#),
        // The better wrapping wins, whatever its place.
        format!(r#"{{"value":[],"orders":[{ONE},{TWO}]}}"#),
        format!(r#"{{"orders":[{ONE},{TWO}],"data":[1]}}"#),
        format!(r#"{{"orders":null,"data":[{ONE},{TWO}]}}"#),
    ] {
        let records = read(&body).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        assert_eq!(ids(&records), ["1", "2"], "{body}");
        assert!(records.unreadable.is_empty(), "{body}");
        assert_eq!(records.count, 2);
    }
}

#[test]
fn a_single_object_is_a_list_of_one() {
    for body in [
        ONE.to_owned(),
        r#"{"id":1,"status":"Sent"}"#.to_owned(),
        format!(r#"{{"orders":{ONE}}}"#),
        format!(r#"{{"data":{{"order":{ONE}}}}}"#),
        // Its own list is not the listing.
        r#"{"orderId":1,"status":"Sent","items":[]}"#.to_owned(),
        r#"{"items":[],"orderId":1,"status":"Sent"}"#.to_owned(),
    ] {
        let records = read(&body).unwrap_or_else(|fault| panic!("{body}: {fault}"));
        assert_eq!(ids(&records), ["1"], "{body}");
        assert_eq!(one::<Order>(body.as_bytes()).unwrap().id().as_str(), "1");
    }
}

#[test]
fn no_list_is_no_empty_list() {
    for (body, expected) in [
        ("", Fault::NotJson),
        ("<html>", Fault::NotJson),
        ("[", Fault::NotJson),
        (r#"{"orders":[{}"#, Fault::NotJson),
        ("[] []", Fault::NotJson),
        ("{}", Fault::NoList),
        (r#"{"message":"no"}"#, Fault::NoList),
        (r#"{"error":"no"}"#, Fault::Failed),
        (r#"{"orders":"none"}"#, Fault::NoList),
    ] {
        assert_eq!(read(body).err(), Some(expected), "{body}");
    }
    assert!(matches!(
        read("7").err(),
        Some(Fault::Shape {
            found: "a number",
            ..
        })
    ));
    for body in ["[]", r#"{"orders":[]}"#, r#"{"orders":null}"#] {
        assert_eq!(
            read(body).map(|records| records.count).ok(),
            Some(0),
            "{body}"
        );
    }
}

#[test]
fn one_bad_record_does_not_hide_the_good_ones() {
    for (bad, why) in [
        (r#""Doe""#, "text where an order is due"),
        ("null", "null where an order is due"),
        ("[1]", "a list where an order is due"),
        ("17", "a number where an order is due"),
        ("{}", "neither an order id"),
        (r#"{"orderId":3}"#, "without a status"),
        (r#"{"\ud800":3,"status":"Sent"}"#, "neither an order id"),
        // Half of an id is none.
        (
            r#"{"orderId":1.2345678901234568e29,"status":"Sent"}"#,
            "number where",
        ),
        (r#"{"orderId":"\ud800","status":"Sent"}"#, "id that is text"),
    ] {
        for body in [
            format!("[{ONE},{bad},{TWO}]"),
            format!(r#"{{"data":[{ONE},{bad},{TWO}],"total":3}}"#),
        ] {
            let records = read(&body).unwrap_or_else(|fault| panic!("{bad}: {fault}"));
            assert_eq!(ids(&records), ["1", "2"], "{bad}");
            assert_eq!(records.count, 3);
            let [(1, located)] = &records.unreadable[..] else {
                panic!("{bad}");
            };
            let fault = located.fault.to_string();
            assert!(fault.contains(why), "{bad}: {fault}");
        }
    }
}

#[test]
fn what_nobody_asks_for_sinks_no_order() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for odd in ["1e999", r#""\ud800""#, deep.as_str()] {
        let records = read(&format!(
            r#"[{{"orderId":9,"status":"Sent","x":{odd},"y":1}}]"#
        ));
        let orders = records.unwrap().good;
        assert_eq!(orders[0].extra()["y"], 1);
    }
}

#[test]
fn a_byte_that_is_no_text_costs_a_sign_and_an_id_its_record() {
    let of = |field: &str| {
        let record = |id: &[u8], status: &[u8]| {
            [
                b"[{\"orderId\":\"",
                id,
                b"\",\"status\":\"",
                status,
                b"\",\"name\":\"M\xFCller\"}]",
            ]
            .concat()
        };
        match field {
            "id" => records::<Order>(&record(b"3\xFF", b"Sent")),
            _ => records::<Order>(&record(b"3", b"Pr\xEAt")),
        }
        .unwrap()
    };
    let read = of("status");
    assert_eq!(ids(&read), ["3"]);
    assert_eq!(read.good[0].status().as_str(), "Pr\u{FFFD}t");
    assert_eq!(read.good[0].extra()["name"], "M\u{FFFD}ller");
    let said = of("id").unreadable[0].1.to_string();
    assert!(said.starts_with("[0]: an order without an id that is text"));
}

#[test]
fn an_envelope_is_no_order() {
    for body in [
        format!(r#"{{"id":"req-77","status":"success","data":{ONE}}}"#),
        format!(r#"{{"status":"success","id":7,"result":{{"order":{ONE}}}}}"#),
        format!(r#"{{"id":"req-77","status":"ok","data":[{ONE}]}}"#),
    ] {
        assert_eq!(ids(&read(&body).unwrap()), ["1"], "{body}");
        assert_eq!(one::<Order>(body.as_bytes()).unwrap().id().as_str(), "1");
    }
    // What an order wraps is its own.
    let body = r#"{"id":1,"status":"Sent","data":{"shade":"A3"}}"#;
    assert_eq!(ids(&read(body).unwrap()), ["1"]);
}

#[test]
fn of_two_keys_that_are_spelled_alike_the_order_does_not_matter() {
    let order = |body: &str| one::<Order>(body.as_bytes()).unwrap();
    let one = order(r#"{"order_id":2,"orderId":1,"status":"Sent"}"#);
    let other = order(r#"{"status":"Sent","orderId":1,"order_id":2}"#);
    assert!(one == other && one.id().as_str() == "1");
    for body in [
        r#"{"ORDER_ID":2,"orderId":1,"status":"Sent","a":1,"b":{"c":[1.50]}}"#,
        r#"{"orderId":1,"id":"x","status":"Sent","STATUS":{},"b":1e3}"#,
    ] {
        let came = order(body);
        let kept = serde_json::to_string(&came).unwrap();
        assert!(
            serde_json::from_str::<Order>(&kept).unwrap() == came,
            "{kept}"
        );
        let value = serde_json::to_value(&came).unwrap();
        assert!(
            serde_json::from_value::<Order>(value).unwrap() == came,
            "{kept}"
        );
    }
}

#[test]
fn a_single_record_is_read_or_named() {
    let body = |text: &str| one::<Account>(text.as_bytes()).map(|account| account.id().to_string());
    assert_eq!(body(r#"{"data":{"accountId":7}}"#), Ok("7".to_owned()));
    assert_eq!(body(r#"[{"accountId":7}]"#), Ok("7".to_owned()));
    assert_eq!(
        body(r#"[{"accountId":7},{"accountId":8}]"#),
        Err(Fault::NotOne.into())
    );
    assert_eq!(body("[]"), Err(Fault::NotOne.into()));
    // An object that is no record lacks something: that says more than that it wraps none.
    let fault = one::<Account>(b"{}").unwrap_err();
    assert!(fault.to_string().contains("`accountId`"), "{fault}");
    let fault = one::<Order>(br#"{"orderId":3}"#).unwrap_err();
    assert!(fault.to_string().contains("`status`"), "{fault}");
}

#[test]
fn what_cannot_be_read_is_named_by_its_path() {
    for (bad, path) in [
        (r#"{"orderId":3}"#, "orders[1].status"),
        (r#"{"orderId":3,"STATUS":null}"#, "orders[1].status"),
        (
            r#"{"orderId":3,"order-status":{"CANARY":1}}"#,
            "orders[1].status",
        ),
        (r#"{"rxId":["CANARY"],"status":"Sent"}"#, "orders[1].rxid"),
        (r#"{"orderId":" ","status":"Sent"}"#, "orders[1]"),
        (r#"{"status":"Sent"}"#, "orders[1]"),
        ("[]", "orders[1]"),
    ] {
        let body = format!(r#"{{"Orders":[{ONE},{bad},{TWO}],"CANARY":0}}"#);
        let records = read(&body).unwrap();
        let [(1, located)] = &records.unreadable[..] else {
            panic!("{bad}");
        };
        assert_eq!(located.path.to_string(), path, "{bad}");
        let bare = read(&format!("[{ONE},{bad}]")).unwrap();
        let expected = path.trim_start_matches("orders");
        assert_eq!(bare.unreadable[0].1.path.to_string(), expected, "{bad}");
        let nested = format!(r#"{{"data":{{"order":{bad}}}}}"#);
        let located = one::<Order>(nested.as_bytes()).unwrap_err();
        // No object with a broken key can be read, and an empty list is one of no records.
        let nowhere = bad == "[]" || bad.contains(r"CANARY\ud800");
        let expected = path.replace("orders[1]", if nowhere { "" } else { "data.order" });
        assert_eq!(located.path.to_string(), expected, "{bad}");
    }
    let located = one::<Order>(br#"{"orderId":3,"Status":[]}"#).unwrap_err();
    assert_eq!(
        located.to_string(),
        "status: a list where text or a number is due"
    );
}

#[test]
fn what_stands_around_the_list_is_kept() {
    for bad in ["", ",7"] {
        let body =
            format!(r#"{{"paging":{{"next":"x"}},"data":{{"orders":[{ONE}{bad}],"total":9}}}}"#);
        let records = read(&body).unwrap();
        assert_eq!(records.around["paging"]["next"], "x");
        assert_eq!(records.around["total"], 9);
    }
}

#[test]
fn of_many_unreadable_records_only_the_first_are_kept() {
    let body = format!("[{}{ONE}]", "0,".repeat(UNREADABLE_LIMIT * 3));
    let records = read(&body).unwrap();
    assert_eq!(records.unreadable.len(), UNREADABLE_LIMIT);
    assert_eq!(records.count, UNREADABLE_LIMIT * 3 + 1);
    assert_eq!(ids(&records), ["1"]);
}

/// Every text that goes to the parser takes the parser linear time, so it is their sum that must
/// not grow faster than the body.
#[test]
fn what_is_read_of_a_hostile_body_grows_as_its_length_does() {
    fn read_of<T>(read: impl FnOnce() -> T) -> usize {
        HANDED_OVER.with(|bytes| bytes.set(0));
        drop(read());
        HANDED_OVER.with(std::cell::Cell::get)
    }
    for (name, body) in HOSTILE {
        let (short, long) = (body(16 << 10), body(128 << 10));
        for (way, few, many) in [
            (
                "list",
                read_of(|| records::<Order>(short.as_bytes()).map(drop)),
                read_of(|| records::<Order>(long.as_bytes()).map(drop)),
            ),
            (
                "one",
                read_of(|| one::<Order>(short.as_bytes()).map(drop)),
                read_of(|| one::<Order>(long.as_bytes()).map(drop)),
            ),
        ] {
            // The whole, and at each of four wrappings its members and the record that it might be.
            assert!(many <= 16 * long.len(), "{name}, {way}: {many}");
            let growth = long.len() as f64 / short.len() as f64;
            assert!(
                many as f64 <= few as f64 * growth * 1.2 + 4096.0,
                "{name}, {way}: {few} bytes of {}, {many} of {}",
                short.len(),
                long.len()
            );
        }
    }
}

/// JSON that resembles a listing, with canaries wherever a value can stand.
fn json() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "orders", "data", "orderId", "rxId", "status", "assets", "history", "created", "size",
        "url", "CANARY", "next", "",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-7".to_owned()),
        Just("1e400".to_owned()),
        Just(r#""CANARY""#.to_owned()),
        Just(r#""\udfff""#.to_owned()),
        Just(r#""https://CANARY.example/""#.to_owned()),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                let members = members
                    .iter()
                    .map(|(key, value)| format!(r#""{key}":{value}"#));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = records::<Order>(&body);
        let _ = one::<Order>(&body);
    }

    #[test]
    fn every_record_is_counted_and_no_fault_quotes_one(body in json()) {
        let faults = match read(&body) {
            Ok(records) => {
                prop_assert_eq!(records.count, records.good.len() + records.unreadable.len());
                records.unreadable.into_iter().map(|(_, fault)| fault).collect()
            }
            Err(fault) => vec![fault.into()],
        };
        for fault in faults.into_iter().chain(one::<Order>(body.as_bytes()).err()) {
            let said = format!("{fault} {fault:?}");
            prop_assert!(!said.contains("CANARY"));
        }
    }

    /// A store gives back the order that it was given.
    #[test]
    fn an_order_is_the_same_after_it_was_kept(body in json()) {
        let list = format!(r#"[{{"orderId":1,"status":"Sent","x":{body},"assets":[{body}]}},{body}]"#);
        for order in read(&list).unwrap().good {
            let kept = serde_json::to_string(&order).unwrap();
            let again: Order = serde_json::from_str(&kept).unwrap();
            prop_assert!(again == order, "{}", kept);
        }
    }
}
