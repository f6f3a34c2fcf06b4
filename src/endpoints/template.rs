//! URI templates, RFC 6570 level 1: `https://host/orders/{order_id}`.
//!
//! *Problem.* Ids come from the service and go into URLs. One with a slash, a dot or a `?` would make
//! another request of it, and one in the place of the host would choose who gets the token.
//!
//! *Approach.* Level 1 alone: every value is encoded whole. What a template may be is found out by
//! expanding it. A value must not change the path or the origin (`a_value_cannot_change_the_path`).

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::error::{Error, Result, answer};
use crate::key::same_spelling;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An absolute URL with variables in braces. Clones share it: every call has one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Template(Arc<str>);

impl Template {
    /// Scheme, host and port.
    pub(super) fn origin(&self) -> &str {
        let after_scheme = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0[after_scheme..].find(['/', '?', '{']);
        end.map_or(&self.0, |end| &self.0[..after_scheme + end])
    }

    /// Takes a template that makes an absolute http or https URL, without user info and
    /// without a fragment.
    pub(crate) fn new(text: &str) -> Result<Self> {
        let template = Template(text.trim().into());
        if let Some(name) = template.names().find(|name| !is_name(name)) {
            let shown = shown(name);
            return Err(Error::configuration(format!(
                "`{{{shown}}}` is no variable of a URI template of level 1"
            )));
        }
        if let Some(placeholder) = foreign_placeholder(&template.0) {
            return Err(Error::configuration(format!(
                "`{placeholder}` is no variable of a URI template: write `{{order_id}}`"
            )));
        }
        // Judged by one of its URLs: the parser knows best what is a scheme, a host or a fragment.
        let url = template.expand_with(|_| Some("x"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::configuration("the URL must be http or https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::configuration("the URL must not hold user info"));
        }
        if url.fragment().is_some() {
            return Err(Error::configuration("the URL must not hold a `#`"));
        }
        // A variable in the host's place would let an id choose the host. Parsers forgive so
        // much before the path that only trying shows what is in it.
        let other = template.expand_with(|_| Some("y"));
        if !other.is_ok_and(|other| other.origin() == url.origin()) {
            return Err(Error::configuration(
                "the URL may have variables in its path and query only",
            ));
        }
        Ok(template)
    }

    /// The names of its variables, as they are written.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let after = self.0.split('{').skip(1);
        after.filter_map(|rest| Some(rest.split_once('}')?.0))
    }

    /// One of its URLs: all of them have the same origin.
    pub(crate) fn example(&self) -> Option<Url> {
        self.expand_with(|_| Some("x")).ok()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The URL with its variables filled in. Their names are read like the keys of JSON:
    /// `{accountId}` is `{account_id}`.
    pub(crate) fn expand(&self, variables: &[(&str, &str)]) -> Result<Url> {
        self.expand_with(|name| {
            let found = variables
                .iter()
                .find(|(known, _)| same_spelling(name, known));
            found.map(|(_, value)| *value)
        })
    }

    fn expand_with<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Result<Url> {
        // Room for the ids of most calls, without a second allocation.
        let mut text = String::with_capacity(self.0.len() + 32);
        let mut rest = &*self.0;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| Error::configuration("a URI template has a `{` without its `}`"))?;
            let value = value(name).ok_or_else(|| {
                let name = shown(name);
                Error::configuration(format!(
                    "the URI template asks for `{{{name}}}`, which this operation does not have"
                ))
            })?;
            // An empty segment or a dot would make another path of it.
            if matches!(value, "" | "." | "..") {
                return Err(Error::configuration(format!(
                    "`{name}` is empty or made of dots and cannot stand in a URL"
                )));
            }
            text.push_str(before);
            text.extend(utf8_percent_encode(value, RESERVED));
            rest = after;
        }
        text.push_str(rest);
        Url::parse(&text)
            .map_err(|error| Error::configuration("the URL is not valid").with_source(error))
    }
}

/// A variable as other notations write it: `:rxId`, `<RxID>`, `{{rxId}}`; Align's own pages do. Taken
/// for text, every call would fail, or be about another order.
fn foreign_placeholder(template: &str) -> Option<&str> {
    if let Some((_, after)) = template.split_once("{{") {
        return after.split_once("}}").map(|(name, _)| name);
    }
    // The path only: in a query a `:` is no placeholder.
    let path = template.split(['?', '#']).next()?;
    let mut segments = path.split('/').skip(1);
    segments.find(|segment| {
        let named = segment.strip_prefix(':').is_some_and(is_name);
        named || (segment.contains('<') && segment.contains('>'))
    })
}

/// Whether a URL begins with a scheme. One that is relative may hold another in its query.
pub(crate) fn is_absolute(url: &str) -> bool {
    let scheme = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(plain)
    };
    url.split_once("://")
        .is_some_and(|(before, _)| scheme(before))
}

/// A plain name: operators, lists and modifiers belong to higher levels.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Discovery may write anything between braces.
fn shown(name: &str) -> &str {
    answer::code(name).unwrap_or("…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded() {
        let template = Template::new("https://a.example/v1/{id}/x?y={id}").unwrap();
        let url = template.expand(&[("id", "a/b?c#d é.%2e")]).unwrap();
        assert_eq!(
            url.as_str(),
            "https://a.example/v1/a%2Fb%3Fc%23d%20%C3%A9.%252e/x?y=a%2Fb%3Fc%23d%20%C3%A9.%252e"
        );
    }

    #[test]
    fn a_value_cannot_change_the_path() {
        let template = Template::new("https://a.example/orders/{id}").unwrap();
        for value in ["", ".", ".."] {
            let error = template.expand(&[("id", value)]).unwrap_err();
            assert!(
                error.is_configuration() && error.to_string().contains("id"),
                "{error}"
            );
        }
        let url = template.expand(&[("id", "../accounts")]).unwrap();
        assert_eq!(url.path(), "/orders/..%2Faccounts");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "/orders",
            "ftp://a.example/",
            "https://u:p@a.example/",
            "https://a.example/#x",
            "https://{id}.example/",
            "https:///{id}.example/",
            "https:\\\\{id}.example\\x",
            "https://a.example{id}/",
            "https://a.example:80{id}/",
            "https://{id}@a.example/",
            "{id}://a.example/",
            "https://a.example/{?id}",
            "https://a.example/{+id}",
            "https://a.example/{one,two}",
            "https://a.example/{}",
            "https://a.example/{id",
        ] {
            assert!(
                Template::new(text).unwrap_err().is_configuration(),
                "{text}"
            );
        }
        let template = Template::new("https://a.example/{order_id}").unwrap();
        let error = template.expand(&[("rx_id", "1")]).unwrap_err();
        assert!(error.to_string().contains("{order_id}"), "{error}");
    }

    #[test]
    fn names_are_read_in_any_spelling() {
        let template = Template::new("https://a.example/{accountId}/{RX-ID}").unwrap();
        let url = template.expand(&[("account_id", "1"), ("rx_id", "2")]);
        assert_eq!(url.unwrap().as_str(), "https://a.example/1/2");
    }
}
