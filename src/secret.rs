//! Values that must not be printed.
//!
//! *Problem.* A token in a log is an access for whoever reads the log.
//!
//! *Approach.* As for values about people, and the memory is wiped as well. A text that is not taken
//! for a secret must not be quoted by the error either: it may be one in the wrong place.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error, Visitor};

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
        // Not even its length.
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

/// From text, as a configuration of your own may hold it. The error does not show the value.
impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret as text")
            }

            // Lists and objects have no method here: serde's errors for them name the type alone.
            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::new(text))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Secret, E> {
                Ok(Secret::new(text))
            }

            // serde's own would quote the value.
            fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
                Err(no_text())
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(no_text())
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(no_text())
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(no_text())
            }

            fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Secret, E> {
                Err(no_text())
            }
        }

        // Asked for a string, formats quote what else they find.
        deserializer.deserialize_any(Text)
    }
}

fn no_text<E: Error>() -> E {
    E::custom("a secret must be text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_text_and_the_error_shows_nothing() {
        let secret: Secret = serde_json::from_str(r#""canary \"1\"""#).unwrap();
        assert_eq!(secret.expose(), "canary \"1\"");
        for json in [
            "4711",
            "-4711",
            "47.11",
            "true",
            "[4711]",
            r#"{"a": 4711}"#,
            "null",
        ] {
            let error = serde_json::from_str::<Secret>(json)
                .unwrap_err()
                .to_string();
            assert!(error.contains("secret"), "{json}: {error}");
            assert!(!error.contains("47") && !error.contains("true"), "{error}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "Secret(…)");
    }
}
