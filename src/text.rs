//! Bytes that came become text, in this one place.
//!
//! *Problem.* Services and proxies declare encodings that they do not use.
//!
//! *Approach.* What the bytes are counts for more than what headers say. Decoding must never fail:
//! an error text that is half readable is still of use.

use std::borrow::Cow;

use encoding_rs::Encoding;
use http::HeaderValue;

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
        // Its end is cut in the middle of a sign.
        // `error_len` is none only if the bytes end within a character: the body was cut at a
        // limit.
        Err(error) if error.error_len().is_none() && declared.is_none() => {
            String::from_utf8_lossy(&body[..error.valid_up_to()])
        }
        _ => {
            let encoding = declared.unwrap_or(encoding_rs::UTF_8);
            encoding.decode_without_bom_handling(body).0
        }
    }
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
}
