//! The `Link` header, RFC 8288, as far as it says where the next page is.
//!
//! A listing that passes over a header which it cannot read calls itself complete. So what is malformed
//! and speaks of a next page must not become `None`
//! (`a_link_of_any_bytes_is_read_or_makes_the_listing_incomplete`).

use http::{HeaderMap, header};
use percent_encoding::{CONTROLS, percent_encode};

use super::NextPage;

/// The target of the first link whose relation is `next`. Where a header speaks of one and cannot be
/// read, there is a page without a way to it.
pub(super) fn next(headers: &HeaderMap) -> NextPage {
    let mut next = NextPage::None;
    // RFC 9110 section 5.3: a list may come as several fields.
    for value in headers.get_all(header::LINK) {
        let value = ascii(value.as_bytes());
        match next_of(&value) {
            Ok(Some(target)) => return NextPage::At(target),
            Ok(None) => {}
            Err(MalformedLink) if value.to_ascii_lowercase().contains("next") => {
                next = NextPage::Unreachable;
            }
            Err(MalformedLink) => {}
        }
    }
    next
}

/// Other bytes are encoded as a URL has them: in a target they stay what they are, and elsewhere they
/// say nothing.
fn ascii(bytes: &[u8]) -> String {
    percent_encode(bytes, CONTROLS).to_string()
}

struct MalformedLink;

fn next_of(mut rest: &str) -> Result<Option<String>, MalformedLink> {
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return Ok(None);
        }
        // RFC 8288 section 3: a target in angle brackets, then parameters.
        let after = rest.strip_prefix('<').ok_or(MalformedLink)?;
        let (target, parameters) = after.split_once('>').ok_or(MalformedLink)?;
        let (is_next, end) = read_parameters(parameters)?;
        if is_next {
            return Ok(Some(target.trim().to_owned()));
        }
        rest = &parameters[end..];
    }
}

/// Whether the relation is `next`, and where the link ends: at a comma that is not quoted.
fn read_parameters(text: &str) -> Result<(bool, usize), MalformedLink> {
    let mut is_next = false;
    let mut begin = 0;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            // RFC 9110 section 5.6.4: in a quoted string a backslash takes the next character as it
            // is.
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' | b',' if !quoted => {
                is_next |= is_relation_next(&text[begin..at]);
                begin = at + 1;
                if byte == b',' {
                    return Ok((is_next, at));
                }
            }
            _ => {}
        }
    }
    if quoted {
        return Err(MalformedLink);
    }
    Ok((is_next | is_relation_next(&text[begin..]), text.len()))
}

/// `rel=next`, `rel="next"`, or `next` among several relations.
fn is_relation_next(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel")
            && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> NextPage {
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, value.parse().unwrap());
        next(&headers)
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        for (value, expected) in [
            (
                r#"<https://a.example/?p=2>; rel="next""#,
                Some("https://a.example/?p=2"),
            ),
            (r#"<?p=2>;rel=next"#, Some("?p=2")),
            (
                r#"<?p=9>; rel="last", <?p=2> ; title="a, \"b;<c>"; REL="prev Next""#,
                Some("?p=2"),
            ),
            (
                r#"<?p=9>; title="x, <?p=7>; rel=next"; rel=last, <?p=2>; rel=next"#,
                Some("?p=2"),
            ),
            (r#"<?p=1>; rel="prev", <?p=9>; rel="last""#, None),
            (r#"<?p=1>"#, None),
            (r#"<?p=1"#, None),
            (r#", <?p=1>; rel=prev, , <?p=2>; rel=next"#, Some("?p=2")),
        ] {
            let expected =
                expected.map_or(NextPage::None, |target| NextPage::At(target.to_owned()));
            assert!(read(value) == expected, "{value}");
        }
        for value in ["next", "<?p=2; rel=next", "<?p=2>; title=\"; rel=next"] {
            assert!(read(value) == NextPage::Unreachable, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(value in r#"[<>;,="\\ a-cnextrl]{0,60}"#) {
            let _ = next_of(&value);
        }

        #[test]
        fn a_link_is_found_behind_any_others(titles in prop::collection::vec("[a-z,;<>= ]{0,9}", 0..5)) {
            let others = titles.iter().map(|title| format!(r#"</x>; title="{title}"; rel="prev", "#));
            let value = format!("{}</y>; rel=next", others.collect::<String>());
            prop_assert!(matches!(next_of(&value), Ok(Some(target)) if target == "/y"));
        }
    }
}
