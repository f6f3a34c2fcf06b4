//! Answers that are meant to hurt, for the tests of this crate and for `benches/client.rs`.

/// A body of about this many bytes.
type Body = fn(usize) -> String;

pub(crate) const HOSTILE: [(&str, Body); 22] = [
    ("open lists", |length| fill(length, "[")),
    ("open objects", |length| fill(length, r#"{"orders":"#)),
    ("nested lists", |length| {
        fill(length / 2, "[") + &fill(length / 2, "]")
    }),
    ("nested objects", |length| {
        let depth = length / 9;
        format!("{}0{}", r#"{"data":"#.repeat(depth), "}".repeat(depth))
    }),
    ("bad records", |length| list(length, "0")),
    ("empty records", |length| list(length, "{}")),
    ("records with a bad field", |length| {
        list(length, r#"{"assets":[{"id":"\ud800"}]}"#)
    }),
    ("bad entries", |length| {
        let entries = list(length, r#"{"x":"\ud800"}"#);
        format!(r#"[{{"id":1,"assets":{entries}}}]"#)
    }),
    ("many keys", |length| keys(length, |at| at.to_string())),
    ("many keys in a record", |length| {
        format!("[{}]", keys(length, |at| at.to_string()))
    }),
    ("many wrappings", |length| {
        keys(length, |_| "data".to_owned())
    }),
    ("many spellings", |length| {
        let spelled = |at: usize| format!("status{}", "_".repeat(at % 50));
        format!("[{}]", keys(length, spelled))
    }),
    ("the same key", |length| {
        format!("[{}]", keys(length, |_| "orderId".to_owned()))
    }),
    ("a long key", |length| {
        format!(r#"[{{"{}":1}}]"#, fill(length, "k"))
    }),
    ("a key of signs", |length| {
        format!(r#"[{{"{}id":1}}]"#, fill(length, "_"))
    }),
    ("an escaped key", |length| {
        format!(r#"[{{"{}":1}}]"#, fill(length, r"\u0041"))
    }),
    ("escaped keys", |length| {
        format!("[{}]", keys(length, |at| format!(r"\u0041{at}")))
    }),
    ("a long text", |length| {
        format!(r#"[{{"status":"{}"}}]"#, fill(length, "x"))
    }),
    ("a long number", |length| {
        format!(r#"[{{"id":{}}}]"#, fill(length, "7"))
    }),
    ("a long URL", |length| file(&fill(length, "../x/"))),
    ("a long host", |length| {
        file(&fill(length, "\u{e9}.")).replace("//a/", "//")
    }),
    ("zeros", |length| fill(length, "\0")),
];

fn fill(length: usize, piece: &str) -> String {
    piece.repeat(length / piece.len())
}

fn list(length: usize, item: &str) -> String {
    format!("[{}0]", fill(length, &format!("{item},")))
}

/// An object with these keys, each with an empty object.
fn keys(length: usize, key: impl Fn(usize) -> String) -> String {
    let mut text = "{".to_owned();
    for at in 0.. {
        if text.len() >= length {
            break;
        }
        text += &format!("\"{}\":{{}},", key(at));
    }
    text + "\"x\":0}"
}

fn file(path: &str) -> String {
    format!(r#"[{{"id":1,"status":"Sent","assets":["https://a/{path}"]}}]"#)
}
