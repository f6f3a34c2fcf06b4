//! Bytes that came become text, in this one place.
//!
//! *Problem.* Services and proxies declare encodings that they do not use, put a byte order mark before
//! JSON, and cut texts in the middle of a character. A pairing's tokens were lost for such a sign
//! beside them (`a_lone_surrogate_beside_tokens_costs_no_tokens`).
//!
//! *Approach.* What the bytes are counts for more than what headers say. Decoding must never fail:
//! an error text that is half readable is still of use.

use std::borrow::Cow;

use encoding_rs::Encoding;
use http::HeaderValue;
use serde::de::DeserializeOwned;

/// The text of a body. A byte order mark says what it is; else it is UTF-8 if it can be, as RFC 8259
/// demands; else what its headers declare. A sign that none of them has is replaced, and costs no more
/// than itself.
pub(crate) fn of<'a>(body: &'a [u8], content_type: Option<&HeaderValue>) -> Cow<'a, str> {
    // A mark is part of the bytes themselves, so it wins over every declaration.
    if let Some((encoding, _)) = Encoding::for_bom(body) {
        return encoding.decode_with_bom_removal(body).0;
    }
    let declared = content_type.and_then(declared);
    match std::str::from_utf8(body) {
        // Many declare Latin-1 by habit. UTF-16 is read as UTF-8 only by mistake.
        Ok(text) if declared.is_none_or(Encoding::is_ascii_compatible) => Cow::Borrowed(text),
        // `error_len` is none only if the bytes end within a character: the body was cut at a limit.
        Err(error) if error.error_len().is_none() && declared.is_none() => {
            String::from_utf8_lossy(&body[..error.valid_up_to()])
        }
        _ => {
            let encoding = declared.unwrap_or(encoding_rs::UTF_8);
            encoding.decode_without_bom_handling(body).0
        }
    }
}

/// The JSON of a body. The half of a sign, as in `"call \ud83d"`, is replaced: services cut texts to a
/// length, and the rest of such an answer may be tokens.
pub(crate) fn json<T: DeserializeOwned>(
    body: &[u8],
    content_type: Option<&HeaderValue>,
) -> serde_json::Result<T> {
    parse(&of(body, content_type))
}

/// The same of a text.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    // Nearly all JSON is sound: the scan and the copy are for what the parser refuses.
    serde_json::from_str(json).or_else(|error| match without_halves(json) {
        Some(whole) => serde_json::from_str(&whole),
        None => Err(error),
    })
}

/// The same JSON with `\ufffd` in place of each lone surrogate; none if there is no such.
fn without_halves(json: &str) -> Option<String> {
    /// The third digit of `\ud8…` to `\udf…`, which says which half it is.
    fn half(json: &str, at: usize) -> Option<u8> {
        match json.as_bytes().get(at..at + 6)? {
            [b'\\', b'u', b'd' | b'D', half, one, two]
                if one.is_ascii_hexdigit() && two.is_ascii_hexdigit() =>
            {
                Some(half.to_ascii_lowercase())
            }
            _ => None,
        }
    }
    let mut whole = String::with_capacity(json.len());
    let (mut copied, mut at) = (0, 0);
    // A backslash is in texts only, so that the structure needs no reading.
    while let Some(next) = json[at..].find('\\') {
        at += next;
        match (half(json, at), half(json, at + 6)) {
            (Some(b'8' | b'9' | b'a' | b'b'), Some(b'c'..=b'f')) => at += 12,
            (Some(b'8' | b'9' | b'a'..=b'f'), _) => {
                whole.push_str(&json[copied..at]);
                whole.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // With what it escapes, which may be a backslash.
            _ => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    whole.push_str(&json[copied..]);
    (copied > 0).then_some(whole)
}

fn declared(content_type: &HeaderValue) -> Option<&'static Encoding> {
    let parameters = content_type.as_bytes().split(|byte| *byte == b';').skip(1);
    // Of two charsets the first counts.
    let mut named = parameters.filter_map(|parameter| {
        let at = parameter.iter().position(|byte| *byte == b'=')?;
        let (name, value) = parameter.split_at(at);
        let is_charset = name.trim_ascii().eq_ignore_ascii_case(b"charset");
        is_charset.then(|| value[1..].trim_ascii())
    });
    let value = named.next()?;
    // RFC 9110, section 5.6.6: a parameter's value may be quoted.
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    Encoding::for_label(value.strip_suffix(b"\"").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_by_mark_by_utf_8_and_by_declaration() {
        let latin1 = "text/json; x=1; Charset = \"ISO-8859-1\"";
        for (body, kind, expected) in [
            (&b"\xEF\xBB\xBFa"[..], latin1, "a"),
            (b"\xFF\xFEa\0\xFC\0", latin1, "aü"),
            (b"\xFE\xFF\0a\0\xFC", "", "aü"),
            ("aü".as_bytes(), latin1, "aü"),
            (b"a\xFC", latin1, "aü"),
            (b"a\xFC", "text/json; charset=windows-1252", "aü"),
            (b"a\0", "text/json; charset=utf-16le", "a"),
            (b"a\xFC", "text/json", "a\u{FFFD}"),
            (b"a\xFC", "text/json; charset=unheard-of", "a\u{FFFD}"),
            (b"a\xFC", "charset=iso-8859-1", "a\u{FFFD}"),
        ] {
            let kind = HeaderValue::from_static(kind);
            assert_eq!(of(body, Some(&kind)), expected, "{kind:?}");
        }
        assert_eq!(of(b"", None), "");
    }

    #[test]
    fn half_a_sign_costs_no_more_than_itself() {
        for (body, expected) in [
            (r#""call \ud83d""#, "call \u{FFFD}"),
            (
                r#""\uD83D\uDE00 \uDE00\uD83D""#,
                "\u{1F600} \u{FFFD}\u{FFFD}",
            ),
            (r#""\ud83d\ud83d\ude00""#, "\u{FFFD}\u{1F600}"),
            (
                r#""\\ud83d \udC00 \ud7ff\ue000ü""#,
                "\\ud83d \u{FFFD} \u{D7FF}\u{E000}ü",
            ),
        ] {
            let text: String = json(body.as_bytes(), None).unwrap();
            assert_eq!(text, expected, "{body}");
        }
        for none in [
            r#""\ud8ü""#,
            r#""\ud8"#,
            r#""\"#,
            r#""\ü""#,
            r#"\ud83"#,
            r#""\udz00""#,
        ] {
            assert!(json::<String>(none.as_bytes(), None).is_err(), "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_json_or_none(text in r#"[\\ud8cfaé"]{0,40}"#) {
            let _ = json::<serde_json::Value>(text.as_bytes(), None);
        }
    }
}
