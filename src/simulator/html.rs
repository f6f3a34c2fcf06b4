//! HTML by hand: a few helpers, so that nothing reaches a page unescaped.
//!
//! Names of labs and patients, paths and faults come from outside. `Text` must be around each of them
//! (`nothing_gets_into_a_page_unescaped`), and the policy that goes along runs no inline script should
//! one be forgotten.

use std::fmt::{self, Display, Write};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

/// Text that is safe between tags and in a quoted attribute.
pub(in crate::simulator) struct Text<T>(pub(in crate::simulator) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(HtmlEscaper(f), "{}", self.0)
    }
}

struct HtmlEscaper<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for HtmlEscaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // In pieces: most text has nothing to escape, and is written as it is.
        for piece in text.split_inclusive(['&', '<', '>', '"', '\'']) {
            let mut characters = piece.chars();
            let replaced = match characters.next_back() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                Some('\'') => "&#39;",
                _ => {
                    self.0.write_str(piece)?;
                    continue;
                }
            };
            self.0.write_str(characters.as_str())?;
            self.0.write_str(replaced)?;
        }
        Ok(())
    }
}

/// A hidden field of a form.
pub(in crate::simulator) fn hidden(name: &str, value: impl Display) -> String {
    format!(
        r#"<input type="hidden" name="{}" value="{}">"#,
        Text(name),
        Text(value)
    )
}

/// A whole page. `script` is for the board alone; everything works without it.
pub(in crate::simulator) fn page(title: &str, kind: &str, script: bool, body: &str) -> String {
    let script = if script {
        r#"<script src="/_simulator/board.js" defer></script>"#
    } else {
        ""
    };
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{}</title>
<link rel="icon" href="/_simulator/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/_simulator/board.css">
{script}
</head>
<body class="{kind}">
{body}
</body>
</html>
"#,
        Text(title)
    )
}

/// Answers with a page. It may load what the simulator itself serves and nothing else, run no
/// inline script, and be in no frame. `form_targets` are origins that an answer to its forms
/// may lead to: browsers hold redirects after a form against `form-action` too.
pub(in crate::simulator) fn answer(
    status: StatusCode,
    html: String,
    form_targets: &str,
) -> Response {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; \
         connect-src 'self'; form-action 'self'{form_targets}; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let mut headers = HeaderMap::new();
    // Origins are ASCII, so this fails for none. Without a policy the page still has no foreign
    // text that is not escaped.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // `no-referrer` would make browsers hide where a form comes from.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (status, headers, Html(html)).into_response()
}

/// Whether a browser asks, to show the answer to a person.
pub(in crate::simulator) fn is_wanted(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        // Programs send `*/*` or nothing; a browser names HTML.
        .any(|value| value.to_ascii_lowercase().contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_may_spell_it_otherwise() {
        let asks = |accept: &'static str| {
            let accept = HeaderValue::from_static(accept);
            is_wanted(&HeaderMap::from_iter([(header::ACCEPT, accept)]))
        };
        assert!(asks("text/html,*/*;q=0.8") && asks("Text/HTML"));
        assert!(!asks("*/*"));
    }

    #[test]
    fn markup_in_text_is_no_markup() {
        let hostile = r#"</p><script>alert('1' & "2")</script>é"#;
        let shown = Text(hostile).to_string();
        assert_eq!(
            shown,
            "&lt;/p&gt;&lt;script&gt;alert(&#39;1&#39; &amp; &quot;2&quot;)&lt;/script&gt;é"
        );
        assert_eq!(
            hidden("a\"", "\"><b>"),
            r#"<input type="hidden" name="a&quot;" value="&quot;&gt;&lt;b&gt;">"#
        );
    }
}
