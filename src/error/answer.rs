//! What an answer that is an error says about itself, without its payload.
//!
//! *Problem.* A body says best what went wrong, and may quote a patient, a token or a signed URL.
//!
//! *Approach.* Of a body only codes and the names of known fields are shown; the words of the
//! service go into `Error::service_message`, which does not print. No function here may show any
//! other text of an answer.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::{Error, Kind};
use crate::text;

/// Headers in which services name a request. Convention: the usual ones.
const REQUEST_ID: [&str; 6] = [
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "x-ms-request-id",
    "x-amzn-requestid",
    "traceparent",
];

/// Fields whose text describes an error, in the spelling of [`crate::key`].
const CODES: [&str; 4] = ["error", "code", "errorcode", "type"];
const MESSAGES: [&str; 5] = [
    "message",
    "errormessage",
    "errordescription",
    "title",
    "detail",
];

/// Longer bodies are not parsed to be described: as values they would take many times their length.
/// What an error says of itself is short.
const DESCRIBED: usize = 1024 * 1024;

/// The error that a refusing answer makes.
pub(crate) fn error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Error {
    let said = ErrorText::of(body);
    let text = match said.code {
        Some(code) => format!("{status}: {code}"),
        // A proxy's page has its own status: without the word a 403 would look like the service's.
        None if is_page(body) => format!("{status}: an HTML page"),
        None => status.to_string(),
    };
    Error::new(Kind::Status(text))
        .with_answer(status, request_id(headers), retry_after(headers, now))
        .with_excerpt(excerpt(body, true))
        .with_service_message(said.message.as_deref())
}

/// A text of the service's that may be shown: a word in the form of codes, which no sentence, no
/// URL and no full name has.
pub(crate) fn code(text: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    // Codes are short. A longer word may be a token or an id.
    ((1..=40).contains(&text.len()) && text.bytes().all(plain)).then_some(text)
}

/// What the body is, where it is not what was due.
pub(crate) fn describe(headers: &HeaderMap, body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        "it is empty"
    } else if is_compressed(headers, body) {
        "it is compressed, which was not asked for: turn that off at the gateway or proxy before the \
         service, or decompress it in a `ClientBuilder::transport`"
    } else if is_page(start) {
        "it is an HTML page, perhaps of a proxy or a sign-in form"
    } else if is_of_type(headers, "application/json") {
        "it is not valid JSON"
    } else {
        "it is not JSON"
    }
}

/// Whether a body is declared to be of a media type. Types have no case (RFC 9110 section 8.3.1), and may
/// be followed by parameters.
pub(crate) fn is_of_type(headers: &HeaderMap, wanted: &str) -> bool {
    let declared = headers.get(http::header::CONTENT_TYPE);
    let declared = declared.map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = declared.split(|byte| *byte == b';').next();
    let kind = kind.unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(wanted.as_bytes())
}

fn is_compressed(headers: &HeaderMap, body: &[u8]) -> bool {
    let coding = headers.get(http::header::CONTENT_ENCODING);
    let declared = coding.is_some_and(|coding| {
        let coding = coding.as_bytes().trim_ascii();
        !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
    });
    // Or by the signature of gzip.
    declared || body.starts_with(b"\x1f\x8b")
}

/// Ids that are made by machines: they have a digit, and nothing that a sentence or a URL has.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:=+-".contains(&byte);
    let is_id = |text: &&str| {
        // A `traceparent` has 55 characters.
        (1..=64).contains(&text.len())
            && text.bytes().all(plain)
            && text.bytes().any(|byte| byte.is_ascii_digit())
    };
    REQUEST_ID
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok().filter(is_id))
        .map(str::to_owned)
}

pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    super::retry_after::parse(value, now)
}

/// The form of an answer in a line, see [`Error::excerpt`]. Only of an answer that `refuses` do
/// texts describe an error; in others they are payload.
pub(crate) fn excerpt(body: &[u8], refuses: bool) -> String {
    let length = body.len();
    if body.trim_ascii().is_empty() {
        return "an empty answer".to_owned();
    }
    if is_page(body) {
        return format!("an HTML page of {length} bytes");
    }
    if length > DESCRIBED {
        return format!("{length} bytes, too many to look into");
    }
    let text = match text::json(body, None) {
        Ok(Value::Object(fields)) => {
            format!("a JSON object, {length} bytes: {}", shape(&fields, refuses))
        }
        Ok(Value::Array(list)) => format!("a JSON list of {}, {length} bytes", list.len()),
        Ok(_) => format!("a JSON value, {length} bytes"),
        Err(_) => format!("{length} bytes that are not JSON"),
    };
    // One line of a log, however many fields there are.
    bounded(&text, 300)
}

/// The fields in which services describe errors, with their codes, and how many others there are:
/// any other key may be data. In an answer that does not refuse even those are payload.
fn shape(fields: &Map<String, Value>, refuses: bool) -> String {
    if !refuses {
        return format!("{{{} fields}}", fields.len());
    }
    let mut shown: Vec<String> = Vec::new();
    for name in CODES.iter().chain(&MESSAGES) {
        let Some((_, value)) = fields.iter().find(|(key, _)| is(key, name)) else {
            continue;
        };
        shown.push(match value {
            Value::Object(inner) => format!("{name} {}", shape(inner, refuses)),
            _ => match code_of(value).filter(|_| CODES.contains(name)) {
                Some(code) => format!("{name} {code:?}"),
                None => (*name).to_owned(),
            },
        });
    }
    match fields.len() - shown.len() {
        0 => {}
        1 => shown.push("1 other field".to_owned()),
        others => shown.push(format!("{others} other fields")),
    }
    format!("{{{}}}", shown.join(", "))
}

/// What an answer says of its error.
#[derive(Debug, Default, PartialEq, Eq)]
struct ErrorText {
    code: Option<String>,
    /// All that must not be shown.
    message: Option<String>,
}

impl ErrorText {
    fn of(body: &[u8]) -> Self {
        if body.len() > DESCRIBED || is_page(body) {
            return ErrorText::default();
        }
        let fields = match text::json(body, None) {
            Ok(Value::Object(fields)) => fields,
            Ok(Value::String(text)) => return ErrorText::text(&text),
            Ok(_) => return ErrorText::default(),
            // A plain text, if it is one.
            Err(_) => {
                return match std::str::from_utf8(body) {
                    Ok(text) => ErrorText::text(text.trim()),
                    Err(_) => ErrorText::default(),
                };
            }
        };
        // Some wrap it: {"error": {"code": …, "message": …}}.
        let fields = match fields.iter().find(|(key, _)| is(key, "error")) {
            Some((_, Value::Object(inner))) => inner,
            _ => &fields,
        };
        let values = |names: &'static [&str]| {
            names.iter().filter_map(|name| {
                let field = fields.iter().find(|(key, _)| is(key, name));
                field.map(|(_, value)| value)
            })
        };
        // The first field that holds a code; what is no code belongs to the message.
        let code = values(&CODES).find_map(code_of);
        let texts = values(&CODES).chain(values(&MESSAGES));
        let texts = texts.filter_map(Value::as_str);
        let texts: Vec<_> = texts
            .filter(|text| !text.is_empty() && code.as_deref() != Some(*text))
            .collect();
        ErrorText {
            code,
            message: (!texts.is_empty()).then(|| texts.join(", ")),
        }
    }

    fn text(text: &str) -> Self {
        ErrorText {
            code: None,
            message: (!text.is_empty()).then(|| text.to_owned()),
        }
    }
}

/// The code in a field that holds one.
fn code_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => code(text).map(str::to_owned),
        // Some services number their codes.
        Value::Number(number) => code(&number.to_string()).map(str::to_owned),
        _ => None,
    }
}

fn is(key: &str, name: &str) -> bool {
    crate::key::same_key(key, name)
}

/// Whether it is an HTML page, which no service of the Lab Connector answers with.
pub(crate) fn is_page(body: &[u8]) -> bool {
    /// What pages begin with; those of portals and of firewalls may be no more than a script.
    const BEGINNINGS: [&str; 6] = [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<script",
        "<meta",
    ];
    // The beginning says enough, whatever comes before it: a mark of the encoding once hid a page
    // (`a_page_is_one_whatever_is_before_it`).
    let start = text::of(&body[..body.len().min(4096)], None);
    let mut start = start.trim_start();
    // A page of XHTML begins with a declaration, others with a comment.
    while let Some((before, end)) = [("<?xml", "?>"), ("<!--", "-->")]
        .into_iter()
        .find(|(before, _)| start.starts_with(before))
    {
        let rest = start[before.len()..].split_once(end);
        start = rest.map_or("", |(_, rest)| rest.trim_start());
    }
    BEGINNINGS.iter().any(|beginning| {
        let (head, rest) = start
            .split_at_checked(beginning.len())
            .unwrap_or(("", start));
        // `<header` is none of them.
        head.eq_ignore_ascii_case(beginning)
            && !rest.starts_with(|next: char| next.is_alphanumeric())
    })
}

/// One line of at most `limit` characters.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_one_whatever_is_before_it() {
        for page in [
            "<html>",
            " \r\n<HTML lang=en>",
            "<!DOCTYPE html>",
            "<!doctype HTML PUBLIC>",
            "\u{FEFF}<!DOCTYPE html>",
            "\u{FEFF}\n<html>",
            "<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC>",
            "<!-- a proxy -->\n<!-- x --><html>",
            "<script>location = 'sign-in'</script>",
            "<meta http-equiv=refresh>",
            "<head/>",
        ] {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        let utf16: Vec<u8> = "\u{FEFF}<html>"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert!(is_page(&utf16));
        for none in [
            "",
            "{}",
            "\u{FEFF}[]",
            "<",
            "<header>",
            "<?xml",
            "<!--",
            "<?xml version=\"1.0\"?><order/>",
            "\"<html>\"",
        ] {
            assert!(!is_page(none.as_bytes()), "{none}");
        }
    }

    #[test]
    fn a_media_type_has_no_case() {
        for (kind, is_json) in [
            ("application/json", true),
            ("Application/JSON ;charset=utf-8", true),
            ("application/json-seq", false),
            ("text/plain;application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, kind.parse().unwrap());
            let said = describe(&headers, b"{");
            assert_eq!(said == "it is not valid JSON", is_json, "{kind}");
        }
        assert!(!is_of_type(&HeaderMap::new(), "application/json"));
    }

    #[test]
    fn codes_are_shown_and_texts_are_kept_apart() {
        for (body, code, message) in [
            (
                r#"{"error":"invalid_grant","error_description":"gone"}"#,
                Some("invalid_grant"),
                Some("gone"),
            ),
            (
                r#"{"error":{"code":17,"message":"no\nsuch order"}}"#,
                Some("17"),
                Some("no\nsuch order"),
            ),
            (
                r#"{"ErrorCode":"E1","patient":{"name":"canary"}}"#,
                Some("E1"),
                None,
            ),
            // A text in the place of a code is one only if it has the form of one.
            (
                r#"{"error":"Canary, Jane","code":"E-1.b","type":"https://a.example/?sig=canary"}"#,
                Some("E-1.b"),
                Some("Canary, Jane, https://a.example/?sig=canary"),
            ),
            (
                "\u{FEFF}{\"code\":\"E1\",\"message\":\"\\ud83d\"}",
                Some("E1"),
                Some("\u{FFFD}"),
            ),
            (r#"{"patient":"canary"}"#, None, None),
            (r#""no such order""#, None, Some("no such order")),
            ("<html>canary</html>", None, None),
            ("  no such\torder", None, Some("no such\torder")),
            ("", None, None),
        ] {
            let said = ErrorText::of(body.as_bytes());
            assert_eq!(said.code.as_deref(), code, "{body}");
            assert_eq!(said.message.as_deref(), message, "{body}");
        }
    }

    #[test]
    fn an_id_of_a_request_is_what_a_machine_makes() {
        let id = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", text.parse().unwrap());
            request_id(&headers)
        };
        for good in [
            "7",
            "req_011CSHoEeqs5C35K2UUqR7Fy",
            "Root=1-67891233-abcdef012345678912345678",
            "0HMVD33IIJRFR:00000002",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(id(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "Jane-Canary",
            "Canary 7",
            "a.example/7?sig=canary",
            &"7".repeat(65),
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_excerpt_shows_the_form_and_no_payload() {
        for (body, expected) in [
            ("", "an empty answer"),
            ("  <html>canary", "an HTML page of 14 bytes"),
            ("canary", "6 bytes that are not JSON"),
            (r#"["canary"]"#, "a JSON list of 1, 10 bytes"),
            (
                r#"{"title":"Ms Canary","status":410,"code":"E 1","canary":1}"#,
                "a JSON object, 58 bytes: {code, title, 2 other fields}",
            ),
            (
                r#"{"error":{"code":"E7","order":"canary"}}"#,
                r#"a JSON object, 40 bytes: {error {code "E7", 1 other field}}"#,
            ),
        ] {
            assert!(!excerpt(body.as_bytes(), false).contains("canary"));
            let excerpt = excerpt(body.as_bytes(), true);
            assert_eq!(excerpt, expected, "{body}");
            assert!(!excerpt.contains("anary"));
        }
        let long = format!(r#"{{"message":"{0}","detail":"{0}"}}"#, "x".repeat(9999));
        assert!(excerpt(long.as_bytes(), true).chars().count() <= 300);
    }
}
