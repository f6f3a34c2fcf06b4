//! Values that must not be printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A credential: a client secret, an access token, a refresh token.
///
/// It has no `Display` and no `Serialize`, its `Debug` shows nothing of it, and its memory is
/// wiped when it is dropped. [`Secret::expose`] is the one way to the text.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes in a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Secret(SecretString::from(text.into()))
    }

    /// The text itself: for a store that keeps it and for the request that needs it. It must
    /// not reach a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "Secret(…)");
    }
}
