//! Ids are opaque: order numbers of eight and of nine digits are both seen, and what the
//! service sends as a number is kept as text.
//!
//! No id must be changed: it is sent back as it came. One that lost digits on its way is no id, since
//! it would be another order's (test `ids_are_the_digits_that_came_or_none`).

use std::borrow::Borrow;
use std::fmt;

use super::lenient::{FromScalar, id_text};

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        // `Box<str>` and not `String`: listings have ten thousands of ids, which never grow.
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes the id as it is.
            #[must_use]
            pub fn new(id: impl Into<String>) -> Self {
                $name(id.into().into())
            }

            /// The id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        /// Maps with ids as keys are asked by text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                $name(id.into())
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                $name(id.into())
            }
        }

        /// Text, or a number that lost nothing in being read.
        impl FromScalar for $name {
            fn text(text: &str) -> Option<Self> {
                Some($name::from(text))
            }

            fn number(number: &str) -> Option<Self> {
                id_text(number).map($name::from)
            }
        }

        impl From<&$name> for $name {
            fn from(id: &$name) -> Self {
                id.clone()
            }
        }
    };
}

id! {
    /// The number of an order: it stays the same through rescans, modeling and milling.
    OrderId
}
id! {
    /// The id of a prescription, by which one order is asked for and by which it is notified.
    RxId
}
id! {
    /// The id of an account: a lab.
    AccountId
}

/// The id of one of an order's files.
#[derive(Clone, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct AssetId(pub(super) Box<str>);

impl FromScalar for AssetId {
    fn text(text: &str) -> Option<Self> {
        Some(AssetId(text.into()))
    }

    fn number(number: &str) -> Option<Self> {
        id_text(number).map(|id| AssetId(id.into()))
    }
}
