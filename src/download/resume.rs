//! Whether an answer continues what is there: one pure function.
//!
//! *Problem.* A file may be replaced between two attempts. Its second half behind the first half of
//! another one is a case that looks whole.
//!
//! *Approach.* What is there is continued only if the service confirms, by a strong validator and the
//! range that was asked for, that the file is still the same; in every doubt the download begins anew.
//! Bytes of two files must never be joined
//! (`what_does_not_continue_the_same_file_is_not_joined_to_it`).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use serde::{Deserialize, Serialize};

/// What names a version of a file to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Validator {
    /// A strong `ETag`, with its quotes.
    Etag(String),
    /// A `Last-Modified` that was long past when the answer was made.
    Modified(String),
}

impl Validator {
    /// That of an answer, if it is strong: RFC 9110, section 8.8.2.2 and 13.1.5. A file that
    /// changes twice within a second has one date for two contents, hence a minute of distance.
    pub(crate) fn strong(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if headers.contains_key(header::ETAG) {
            // A service that has tags and sends a weak one says that bytes may differ.
            let etag = text(header::ETAG).filter(|etag| {
                // A weak tag begins with `W/`, and so does not begin with a quote.
                let inner = etag
                    .strip_prefix('"')
                    .and_then(|etag| etag.strip_suffix('"'));
                inner.is_some_and(|inner| !inner.is_empty() && !inner.contains('"'))
            })?;
            return Some(Validator::Etag(etag.to_owned()));
        }
        // Dates that are not RFC 9110's usual form are not read: without a date there is no strong
        // validator, which is safe.
        let read = |text| {
            let date = jiff::fmt::rfc2822::parse(text).ok()?;
            Some(std::time::SystemTime::from(date.timestamp()))
        };
        let modified = text(header::LAST_MODIFIED)?;
        let age = read(text(header::DATE)?)?.duration_since(read(modified)?);
        // A date after the answer's own is an error of a clock, and proves nothing.
        (age.ok()? >= Duration::from_secs(60)).then(|| Validator::Modified(modified.to_owned()))
    }

    fn as_str(&self) -> &str {
        match self {
            Validator::Etag(text) | Validator::Modified(text) => text,
        }
    }
}

/// What is there, and is to be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialFile {
    /// The first byte that is asked for.
    pub(crate) from: u64,
    pub(crate) validator: Validator,
    /// How long the file is, if it is known.
    pub(crate) total: Option<u64>,
}

impl PartialFile {
    /// What to ask for when `bytes` are there. Where they may be all of it, the last one is
    /// asked for again: the answer says how long the file is, and that it is still the same.
    pub(crate) fn new(bytes: u64, validator: Validator, total: Option<u64>) -> Option<Self> {
        let from = match total {
            Some(total) if bytes < total => bytes,
            // Longer than it should be: not what it was.
            Some(total) if bytes > total => return None,
            // With a range that begins at the end the service would answer 416, which says nothing
            // about the file.
            _ => bytes.checked_sub(1)?,
        };
        // From byte 0 there is nothing to continue.
        (from > 0).then_some(PartialFile {
            from,
            validator,
            total,
        })
    }

    /// The headers that ask for the rest.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let range = HeaderValue::try_from(format!("bytes={}-", self.from));
        let condition = HeaderValue::try_from(self.validator.as_str());
        // Both can be sent: one was made here, the other was a header's value.
        if let (Ok(range), Ok(condition)) = (range, condition) {
            // Never one without the other: a range without `If-Range` could return the rest of
            // another file.
            headers.insert(header::RANGE, range);
            headers.insert(header::IF_RANGE, condition);
        }
        headers
    }
}

/// What the head of an answer says of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) length: Option<u64>,
    pub(crate) validator: Option<Validator>,
    tagged: bool,
    modified: Option<String>,
    /// From, to (inclusive) and of how many bytes.
    pub(crate) range: Option<(u64, u64, u64)>,
    pub(crate) encoded: bool,
    /// Whether the end of the connection is the only sign of its end.
    pub(crate) ends_with_connection: bool,
}

impl Head {
    pub(crate) fn of<B>(response: &http::Response<B>) -> Self {
        let headers = response.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // A length that is no number is no length: then the body needs another proof.
        let length = text(header::CONTENT_LENGTH).map(str::trim);
        // `parse` would take a sign.
        let length = length.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let length = length.and_then(|text| text.parse().ok());
        let chunked = text(header::TRANSFER_ENCODING).is_some();
        // HTTP/2 and later mark the end of a body; HTTP/1 without a length or chunks ends with the
        // connection, cut or not.
        let old = response.version() <= Version::HTTP_11;
        let encodings = headers.get_all(header::CONTENT_ENCODING).into_iter();
        Head {
            status: response.status(),
            length,
            validator: Validator::strong(headers),
            tagged: headers.contains_key(header::ETAG),
            modified: text(header::LAST_MODIFIED).map(str::to_owned),
            range: text(header::CONTENT_RANGE).and_then(range),
            encoded: encodings.map(HeaderValue::as_bytes).any(encodes),
            ends_with_connection: length.is_none() && !chunked && old,
        }
    }

    /// Whether a `206` is of the version that was asked for. RFC 9110, section 15.3.7: it repeats
    /// the tag that the whole file has, and leaves out the date, since `If-Range` named it.
    fn confirms(&self, validator: &Validator) -> bool {
        match validator {
            Validator::Etag(_) => self.validator.as_ref() == Some(validator),
            Validator::Modified(date) => {
                !self.tagged && self.modified.as_ref().is_none_or(|there| there == date)
            }
        }
    }
}

/// Whether a `Content-Encoding` means that the bytes are changed. Some words that services write
/// there do not: `aws-chunked` says how the file was once uploaded, others name a charset or a
/// transfer.
fn encodes(value: &[u8]) -> bool {
    const PLAIN: [&[u8]; 8] = [
        b"",
        b"identity",
        b"none",
        b"binary",
        b"7bit",
        b"8bit",
        b"utf-8",
        b"aws-chunked",
    ];
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    codings.any(|coding| !PLAIN.iter().any(|plain| coding.eq_ignore_ascii_case(plain)))
}

/// `bytes 5-9/10`.
fn range(text: &str) -> Option<(u64, u64, u64)> {
    let number = |text: &str| {
        // `parse` would take a leading `+`.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (unit, range) = text.trim().split_once(' ')?;
    let (range, total) = range.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    let fits = unit.eq_ignore_ascii_case("bytes") && first <= last && last < total;
    fits.then_some((first, last, total))
}

/// What to do with an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is the file from its beginning.
    Restart {
        /// How long the file will be, if the answer says so.
        total: Option<u64>,
    },
    /// It continues what is there, up to `until`.
    Append { until: u64, total: u64 },
    /// It is of no use; ask for the whole file.
    AskAnew,
    /// It is not the file.
    Reject(RejectReason),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RejectReason {
    Encoded,
    Empty,
    Status,
}

/// Judges an answer to a request that asked for the rest of what is `held`, or for the whole
/// file.
pub(crate) fn plan(held: Option<&PartialFile>, head: &Head) -> Plan {
    match (head.status, held) {
        // The bytes would be those of the compressed form, and length and digests would be of the
        // other.
        (StatusCode::OK, _) if head.encoded => Plan::Reject(RejectReason::Encoded),
        (StatusCode::OK, _) => match head.length {
            // No file of a case is empty; an empty answer comes from a proxy or a file that is not
            // ready.
            Some(0) => Plan::Reject(RejectReason::Empty),
            total => Plan::Restart { total },
        },
        (StatusCode::PARTIAL_CONTENT, Some(held)) => match head.range {
            // Every condition must hold. One that does not means that the bytes may be of another
            // file.
            Some((first, last, total))
                if first == held.from
                    && held.total.is_none_or(|held| held == total)
                    && head.confirms(&held.validator)
                    && head.length.is_none_or(|length| length == last - first + 1)
                    && !head.encoded =>
            {
                Plan::Append {
                    until: last + 1,
                    total,
                }
            }
            // To ask again costs time. Two files joined would be a wrong case that looks whole.
            _ => Plan::AskAnew,
        },
        // The file may be shorter now than what is there, and is then another one.
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => Plan::AskAnew,
        // This includes a `206` to a request without a range (RFC 9110, section 15.3.7).
        _ => Plan::Reject(RejectReason::Status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&'static str, &str)]) -> Head {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().append(*name, value.parse().unwrap());
        }
        Head::of(&response)
    }

    fn etag(text: &str) -> Validator {
        Validator::Etag(text.to_owned())
    }

    #[test]
    fn the_table_of_answers() {
        use Plan::*;
        let held = PartialFile::new(5, etag("\"a\""), Some(10)).unwrap();
        let open = PartialFile::new(6, etag("\"a\""), None).unwrap();
        assert_eq!((held.from, open.from), (5, 5));
        let restart = |total| Restart { total };
        let append = Append {
            until: 10,
            total: 10,
        };
        let (a, range) = (("etag", "\"a\""), ("content-range", "bytes 5-9/10"));
        // Headers; then what to do without, and with something held.
        type Row<'a> = (u16, Vec<(&'static str, &'a str)>, Plan, Plan);
        let table: Vec<Row<'_>> = vec![
            (200, vec![], restart(None), restart(None)),
            (
                200,
                vec![("content-length", "9")],
                restart(Some(9)),
                restart(Some(9)),
            ),
            (200, vec![a, range], restart(None), restart(None)),
            (
                200,
                vec![("content-length", "0")],
                Reject(RejectReason::Empty),
                Reject(RejectReason::Empty),
            ),
            (
                200,
                vec![("content-encoding", "gzip")],
                Reject(RejectReason::Encoded),
                Reject(RejectReason::Encoded),
            ),
            (
                200,
                vec![("content-encoding", "identity")],
                restart(None),
                restart(None),
            ),
            (
                206,
                vec![a, range],
                Reject(RejectReason::Status),
                append.clone(),
            ),
            (
                206,
                vec![a, range, ("content-length", "5")],
                Reject(RejectReason::Status),
                append,
            ),
            (
                206,
                vec![a, ("content-range", "bytes 5-7/10")],
                Reject(RejectReason::Status),
                Append {
                    until: 8,
                    total: 10,
                },
            ),
            (
                206,
                vec![a, range, ("content-length", "4")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![a, range, ("content-encoding", "gzip")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (206, vec![range], Reject(RejectReason::Status), AskAnew),
            (
                206,
                vec![("etag", "\"b\""), range],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![("etag", "W/\"a\""), range],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (206, vec![a], Reject(RejectReason::Status), AskAnew),
            (
                206,
                vec![a, ("content-range", "bytes 4-9/10")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![a, ("content-range", "bytes 6-9/10")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![a, ("content-range", "bytes 0-9/10")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![a, ("content-range", "bytes 5-9/*")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![a, ("content-range", "bytes 5-10/10")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![a, ("content-range", "items 5-9/10")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![a, ("content-range", "bytes +5-9/10")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                206,
                vec![a, ("content-type", "multipart/byteranges; boundary=x")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                416,
                vec![("content-range", "bytes */5")],
                Reject(RejectReason::Status),
                AskAnew,
            ),
            (
                204,
                vec![],
                Reject(RejectReason::Status),
                Reject(RejectReason::Status),
            ),
            (
                304,
                vec![a],
                Reject(RejectReason::Status),
                Reject(RejectReason::Status),
            ),
        ];
        for (status, headers, whole, rest) in table {
            let head = head(status, &headers);
            assert_eq!(plan(None, &head), whole, "{status} {headers:?}");
            for held in [&held, &open] {
                assert_eq!(plan(Some(held), &head), rest, "{status} {headers:?}");
            }
        }
        // Another total than it was.
        let longer = head(206, &[a, ("content-range", "bytes 5-10/11")]);
        assert_eq!(plan(Some(&held), &longer), AskAnew);
    }

    #[test]
    fn a_length_is_made_of_digits() {
        for (text, length) in [
            ("10", Some(10)),
            (" 010 ", Some(10)),
            ("+10", None),
            ("-10", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            let head = head(200, &[("content-length", text)]);
            assert_eq!(head.length, length, "{text}");
        }
    }

    #[test]
    fn a_part_need_not_repeat_the_date_that_was_asked_for() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let held = PartialFile::new(5, Validator::Modified(date.to_owned()), Some(10)).unwrap();
        let range = ("content-range", "bytes 5-9/10");
        for (headers, goes_on) in [
            (vec![range], true),
            (vec![range, ("last-modified", date)], true),
            (
                vec![range, ("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT")],
                false,
            ),
            // The file had no tag.
            (vec![range, ("etag", "\"a\"")], false),
            (vec![("content-range", "bytes 5-9/11")], false),
        ] {
            let planned = plan(Some(&held), &head(206, &headers));
            let appends = matches!(planned, Plan::Append { .. });
            assert_eq!(appends, goes_on, "{headers:?}");
        }
    }

    #[test]
    fn only_what_changes_the_bytes_is_an_encoding() {
        let encoded = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|v| ("content-encoding", *v)).collect();
            head(200, &headers).encoded
        };
        for plain in [
            "",
            "identity",
            "Identity",
            "binary",
            "UTF-8",
            "aws-chunked",
            "none, ",
        ] {
            assert!(!encoded(&[plain]), "{plain}");
        }
        for changed in [
            "gzip",
            "x-gzip",
            "br",
            "aws-chunked, gzip",
            "identity,GZIP",
            "new",
        ] {
            assert!(encoded(&[changed]), "{changed}");
        }
        assert!(encoded(&["identity", "gzip"]) && !encoded(&[]));
    }

    #[test]
    fn what_is_there_decides_what_is_asked_for() {
        let held =
            |bytes, total| PartialFile::new(bytes, etag("\"a\""), total).map(|held| held.from);
        assert_eq!(held(0, Some(10)), None);
        assert_eq!(held(4, Some(10)), Some(4));
        // All is there: the last byte once more.
        assert_eq!(held(10, Some(10)), Some(9));
        assert_eq!(held(11, Some(10)), None);
        assert_eq!(held(7, None), Some(6));
        assert_eq!(held(1, None), None);
        let headers = PartialFile::new(4, etag("\"a\""), None).unwrap().headers();
        assert_eq!(headers["range"], "bytes=3-");
        assert_eq!(headers["if-range"], "\"a\"");
    }

    #[test]
    fn only_strong_validators_count() {
        let (modified, date) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:50:37 GMT",
        );
        let strong = |headers: &[(&'static str, &str)]| head(200, headers).validator;
        assert_eq!(strong(&[("etag", "\"a\"")]), Some(etag("\"a\"")));
        for weak in ["W/\"a\"", "a", "\"\"", "\"", "\"a\"b\""] {
            assert_eq!(strong(&[("etag", weak)]), None, "{weak}");
            // A date beside a weak tag is no stronger.
            let both = [("etag", weak), ("last-modified", modified), ("date", date)];
            assert_eq!(strong(&both), None, "{weak}");
        }
        assert_eq!(
            strong(&[("last-modified", modified), ("date", date)]),
            Some(Validator::Modified(modified.to_owned()))
        );
        for date in [modified, "Sun, 06 Nov 1994 08:50:36 GMT", "soon"] {
            assert_eq!(strong(&[("last-modified", modified), ("date", date)]), None);
        }
        assert_eq!(strong(&[("last-modified", modified)]), None);
    }

    #[test]
    fn the_end_of_the_connection_is_told_from_other_ends() {
        assert!(head(200, &[]).ends_with_connection);
        assert!(!head(200, &[("content-length", "1")]).ends_with_connection);
        assert!(!head(200, &[("transfer-encoding", "chunked")]).ends_with_connection);
        let mut second = http::Response::new(());
        *second.version_mut() = Version::HTTP_2;
        assert!(!Head::of(&second).ends_with_connection);
    }
}
