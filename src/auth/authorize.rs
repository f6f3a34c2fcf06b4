//! The step that a person takes: signing in, in a browser.
//!
//! *Problem.* A code that comes back may be somebody else's: a crafted link could sign the software
//! in to an account that its user does not know (RFC 6749 section 10.12).
//!
//! *Approach.* Each request has a random `state` and a PKCE verifier (RFC 7636) unless that is
//! turned off; a code counts only with the state of the same request. The module must not show the
//! state, the verifier or the code.

use std::fmt;

use url::Url;

use crate::error::{Error, Kind, Result, answer};
use crate::secret::Secret;

/// An authorization that has begun: the page to open, and what is needed to finish.
///
/// Keep it until the browser comes back to the redirect URL, then hand both to
/// [`Login::finish`](crate::client::Login::finish). It is good for one attempt.
///
/// A web application keeps it with the session of the very user who was sent out, on its own
/// side: then a restart or another process in between does no harm, and nobody can be signed in
/// with somebody else's code.
///
/// ```
/// # use lab_connector::{Client, Endpoints};
/// use lab_connector::auth::AuthorizationRequest;
///
/// # let client = Client::builder()
/// #     .endpoints(Endpoints::from_base_url("https://lab-connector.example/")?)
/// #     .credentials("client id", "client secret")
/// #     .redirect_url("https://lab.example/callback")
/// #     .build()?;
/// let request = client.login("reception").authorize()?;
/// let kept = request.expose_json();
///
/// // Later, perhaps in another process:
/// let request = AuthorizationRequest::from_json(&kept)?;
/// # assert!(request.url().as_str().starts_with("https://lab-connector.example/"));
/// # Ok::<(), lab_connector::Error>(())
/// ```
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

    /// The request with its secrets as JSON, for the store that keeps it until the browser comes
    /// back, and for nobody else.
    #[must_use]
    pub fn expose_json(&self) -> String {
        serde_json::json!({
            "url": self.url.as_str(),
            "state": self.state.expose(),
            "code_verifier": self.verifier.as_ref().map(Secret::expose),
        })
        .to_string()
    }

    /// Reads what [`AuthorizationRequest::expose_json`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error::is_store`] if it is anything else.
    pub fn from_json(json: &str) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct StoredRequest {
            url: Url,
            state: String,
            code_verifier: Option<String>,
        }
        // The parser's own message may show a part of the text.
        let stored: Option<StoredRequest> = serde_json::from_str(json).ok();
        // Without a state, an answer that has none would belong to it.
        let stored = stored.filter(|stored| !stored.state.is_empty());
        let stored = stored.ok_or_else(|| {
            Error::new(Kind::Store(
                "the stored authorization request is damaged".into(),
            ))
        })?;
        Ok(AuthorizationRequest {
            url: stored.url,
            state: Secret::new(stored.state),
            verifier: stored.code_verifier.map(Secret::new),
        })
    }

    /// The code in the URL that the browser was sent back to, if it belongs to this request.
    pub(super) fn code(&self, redirected: &Url) -> Result<Secret> {
        let value = |name: &str| {
            let mut pairs = redirected.query_pairs();
            pairs.find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let refused = |what: String| Err(Error::new(Kind::Refused(what)));

        // A URL without a state is compared as an empty one, which no request has. The state is
        // judged before `error`: a forged URL must not report a refusal that nobody made.
        let state = value("state").unwrap_or_default();
        if !same_in_constant_time(state.as_bytes(), self.state.expose().as_bytes()) {
            return refused(
                "its `state` is not that of this request; begin again from the sign-in page".into(),
            );
        }
        if let Some(error) = value("error") {
            // The URL may hold any text: only what has the form of a code is shown.
            return refused(match answer::code(&error) {
                Some(code) => format!("the service says `{code}`"),
                None => "the service returned no code for it".into(),
            });
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
    // `zip` ends with the shorter text, so the lengths are compared too: they are no secret.
    let differing = one
        .iter()
        .zip(other)
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    // `black_box` keeps the compiler from ending the loop at the first difference.
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

    #[test]
    fn a_stored_request_comes_back_and_a_damaged_one_shows_nothing() {
        let request = AuthorizationRequest {
            url: Url::parse("https://a.example/?state=canary-1").unwrap(),
            state: Secret::new("canary-1"),
            verifier: Some(Secret::new("canary-2")),
        };
        let kept = request.expose_json();
        let again = AuthorizationRequest::from_json(&kept).unwrap();
        assert_eq!(again.url(), request.url());
        assert_eq!(again.expose_json(), kept);
        assert!(!format!("{again:?}").contains("canary"));
        for damaged in [
            "",
            &kept[..kept.len() / 2],
            &kept.replace("\"canary-1\"", "1"),
            &kept.replace("\"canary-1\"", "\"\""),
            &kept.replace("https:", "canary"),
        ] {
            let error = AuthorizationRequest::from_json(damaged).unwrap_err();
            assert!(error.is_store(), "{error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
