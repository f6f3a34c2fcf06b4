//! The step that a person takes: signing in, in a browser.

use std::fmt;

use url::Url;

use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// An authorization that has begun: the page to open, and what is needed to finish.
///
/// Keep it until the browser comes back to the redirect URL, then hand both to
/// [`Login::finish`](crate::client::Login::finish). It is good for one attempt.
#[derive(Clone)]
pub struct AuthorizationRequest {
    pub(super) url: Url,
    pub(super) state: Secret,
    pub(super) verifier: Option<Secret>,
}

impl AuthorizationRequest {
    /// The page on which the user signs in and agrees. Open it in a browser.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The code in the URL that the browser was sent back to, if it belongs to this request.
    pub(super) fn code(&self, redirected: &Url) -> Result<Secret> {
        let value = |name: &str| {
            let mut pairs = redirected.query_pairs();
            pairs.find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let refused = |what: String| Err(Error::new(Kind::Refused(what)));

        let state = value("state").unwrap_or_default();
        if !same_in_constant_time(state.as_bytes(), self.state.expose().as_bytes()) {
            return refused(
                "its `state` is not that of this request; begin again from the sign-in page".into(),
            );
        }
        if let Some(error) = value("error") {
            // One of RFC 6749's codes; anything else is not repeated to whoever reads this.
            let code: String = error
                .chars()
                .filter(|c| c.is_ascii_lowercase() || *c == '_')
                .take(40)
                .collect();
            return refused(format!("the service says `{code}`"));
        }
        match value("code") {
            Some(code) if !code.is_empty() => Ok(Secret::new(code)),
            _ => refused("there is no `code` in the URL".into()),
        }
    }
}

impl fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .finish_non_exhaustive()
    }
}

/// Takes as long for a text that differs at its first byte as for one that differs at its last.
fn same_in_constant_time(one: &[u8], other: &[u8]) -> bool {
    let differing = one
        .iter()
        .zip(other)
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_to_this_request_gives_a_code() {
        let request = AuthorizationRequest {
            url: Url::parse("https://a.example/").unwrap(),
            state: Secret::new("s1"),
            verifier: None,
        };
        let code = |query: &str| {
            let url = Url::parse(&format!("https://lab.example/cb?{query}")).unwrap();
            request.code(&url)
        };
        assert_eq!(code("code=c&state=s1").unwrap().expose(), "c");
        for (query, said) in [
            ("code=c", "state"),
            ("code=c&state=s2", "state"),
            ("code=c&state=s11", "state"),
            ("error=access_denied&state=s1", "access_denied"),
            ("error=access_denied", "state"),
            ("state=s1", "code"),
            ("code=&state=s1", "code"),
        ] {
            let error = code(query).unwrap_err();
            assert!(
                error.is_refused() && error.to_string().contains(said),
                "{query}: {error}"
            );
        }
    }
}
