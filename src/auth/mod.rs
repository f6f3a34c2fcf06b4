//! How a lab's software gets access, and keeps it.
//!
//! *Problem.* A user signs in once, in a browser, with MyiTero credentials. After that the
//! software is on its own: the access token lives one hour, and a refresh token may be good for
//! one use.
//!
//! *Default.* OAuth 2 Authorization Code Grant with `state` and PKCE. Tokens live in a
//! [`TokenStore`] and are refreshed before they expire, by one task per account whose result all
//! callers share; new tokens are stored before they are used.

mod authorize;
mod detached;
mod discover;
mod health;
mod oauth_answer;
mod protocol;
pub(crate) mod refresh;
mod store;
mod token;

use std::fmt;

use url::Url;

use crate::error::{Error, Kind, NO_TOKENS, Result};
use crate::model::AccountId;
use crate::secret::Secret;

pub use authorize::AuthorizationRequest;
pub(crate) use detached::DetachedTasks;
pub use health::Health;
pub(crate) use protocol::{Protocol, not_permitted, refuse_redirect, set_uri};
#[cfg(feature = "store-tests")]
pub use store::check_token_store;
pub use store::{FileTokenStore, MemoryTokenStore, TokenStore};
#[cfg(feature = "store-tests")]
pub(crate) use store::{Violation, attempt, holds};
pub use token::Tokens;

/// Whose tokens they are.
///
/// Signing in issues tokens for a login; pairing issues new ones for an account and leaves the
/// login's unchanged.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKey {
    /// A user who signed in, under a name that the software chose.
    Login(String),
    /// A paired account.
    Account(AccountId),
}

impl TokenKey {
    /// The error for a lost access: somebody must sign in again to a login, or pair an account
    /// again.
    pub(crate) fn lost(&self, why: &'static str) -> Error {
        Error::new(match self {
            TokenKey::Login(_) => Kind::SignIn(why),
            TokenKey::Account(_) => Kind::Pairing(why),
        })
    }

    /// The same, where there are no tokens.
    pub(crate) fn has_none(&self) -> Error {
        self.lost(NO_TOKENS)
    }
}

/// Without the name of a login, which may be a person's or an e-mail address.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenKey::Login(_) => f.write_str("Login(…)"),
            TokenKey::Account(id) => f.debug_tuple("Account").field(id).finish(),
        }
    }
}

/// `login/NAME` or `account/ID`: another text for each key, to store tokens under. A login may be a
/// person's name or e-mail address: keep it from logs.
impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenKey::Login(name) => write!(f, "login/{name}"),
            TokenKey::Account(id) => write!(f, "account/{id}"),
        }
    }
}

/// What Align issues to a partner, and how it is used.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret>,
    /// Whether the id and the secret go into the body, and not into HTTP Basic.
    pub(crate) secret_in_body: bool,
    /// As it is configured: services compare it with what is registered letter by letter, and a URL
    /// that was parsed may have become longer by a slash.
    pub(crate) redirect_url: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) extra: Vec<(String, String)>,
    pub(crate) pkce: bool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("secret_in_body", &self.secret_in_body)
            .finish_non_exhaustive()
    }
}

/// A redirect URL as it can be registered with Align: https, without `#`. Plain http is accepted
/// on loopback, for simulators and desktop tools. Returned as it came.
pub(crate) fn redirect_url(text: &str) -> Result<String> {
    let wrong = |what: &str| Error::configuration(format!("`redirect_url` {what}"));
    // Beyond the spaces around it the text stays as it came: services compare it by letters (RFC
    // 6749 section 3.1.2.3, RFC 3986 section 6.2.1).
    let text = text.trim();
    let url = Url::parse(text).map_err(|error| wrong("is no valid URL").with_source(error))?;
    // RFC 6749 section 3.1.2 forbids a fragment, also an empty one.
    if text.contains('#') {
        return Err(wrong("must not hold a `#`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold user info"));
    }
    // RFC 8252 section 7.3: desktop software listens on loopback, where nothing leaves the machine.
    let loopback = url.scheme() == "http" && crate::endpoints::origin::is_loopback(&url);
    if url.scheme() != "https" && !loopback {
        return Err(wrong("must be https"));
    }
    Ok(text.to_owned())
}

/// The parameters of the sign-in page that the software must not set: those that the client fills in
/// itself (RFC 6749 section 4.1.1, RFC 7636 section 4.3). Section 3.1: none may be there twice.
const RESERVED: [&str; 7] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

/// Checks the name of a further parameter of the sign-in page: a second `state` would undo what
/// the first one is for.
pub(crate) fn check_parameter(name: &str) -> Result<()> {
    if name.is_empty() || RESERVED.contains(&name) {
        let why = match name {
            "scope" => {
                "has a setting of its own: `ClientBuilder::scope`, `scopes` in a configuration"
            }
            _ => "cannot be added to the sign-in page, which has one of its own",
        };
        return Err(Error::configuration(format!("`{name}` {why}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_not_there_twice() {
        assert!(check_parameter("audience").is_ok());
        for (name, advice) in [("scope", "`ClientBuilder::scope`"), ("state", "of its own")] {
            let error = check_parameter(name).unwrap_err();
            assert!(error.is_configuration(), "{name}");
            assert!(error.to_string().contains(advice), "{error}");
        }
    }

    #[test]
    fn redirect_urls_are_held_to_what_can_be_registered() {
        for good in [
            "https://lab.example/callback?x=1",
            "http://127.0.0.1:9000/cb",
            "http://localhost/",
            "http://[::1]:9000",
            "https://lab.example",
            "HTTPS://Lab.example/Callback",
        ] {
            assert_eq!(redirect_url(good).unwrap(), good);
        }
        for bad in [
            "",
            "callback",
            "http://lab.example/",
            "https://lab.example/#",
            "ftp://lab.example/",
            "https://lab.example/cb#",
            "https://lab.example/cb#x",
            "http://localhost.lab.example/",
            "http://x.localhost/",
            "https://user:password@lab.example/",
            "lab://callback",
        ] {
            assert!(redirect_url(bad).unwrap_err().is_configuration(), "{bad}");
        }
    }
}
