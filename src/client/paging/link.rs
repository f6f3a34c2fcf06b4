//! The `Link` header, RFC 8288, as far as it says where the next page is.

use http::{HeaderMap, header};

/// The target of the first link whose relation is `next`.
pub(super) fn next(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(next_of)
}

fn next_of(mut rest: &str) -> Option<String> {
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, parameters) = after.split_once('>')?;
        let (is_next, end) = read_parameters(parameters);
        if is_next {
            return Some(target.trim().to_owned());
        }
        rest = &parameters[end..];
    }
}

/// Whether the relation is `next`, and where the link ends: at a comma that is not quoted.
fn read_parameters(text: &str) -> (bool, usize) {
    let mut is_next = false;
    let mut begin = 0;
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' | b',' if !quoted => {
                is_next |= is_relation_next(&text[begin..at]);
                begin = at + 1;
                if byte == b',' {
                    return (is_next, at);
                }
            }
            _ => {}
        }
    }
    (is_next | is_relation_next(&text[begin..]), text.len())
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

    fn read(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, value.parse().ok()?);
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
            (r#"next"#, None),
        ] {
            assert_eq!(read(value).as_deref(), expected, "{value}");
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
            prop_assert_eq!(next_of(&value), Some("/y".to_owned()));
        }
    }
}
