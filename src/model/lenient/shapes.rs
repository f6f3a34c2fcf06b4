//! How a service's answers differ from our conventions.
//!
//! A configured name comes before the usual ones, and adds to them: it must not take away what is
//! read without it.

use std::collections::BTreeMap;

/// Where lists stand, and by what further names fields go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shapes {
    /// JSON pointers, by the names of operations.
    pub(crate) lists: BTreeMap<&'static str, String>,
    pub(crate) names: Vec<FieldName>,
}

/// A name of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldName {
    /// Of what it is a field, as in [`Fields::WHAT`](super::Fields::WHAT).
    pub(crate) what: &'static str,
    /// As the service spells it.
    pub(crate) key: String,
    /// As we do.
    pub(crate) field: String,
}

impl Shapes {
    /// Where the list of an operation stands.
    pub(super) fn list(&self, operation: &str) -> Option<&str> {
        self.lists.get(operation).map(String::as_str)
    }

    /// The field that goes by a key, in our spelling. What is configured wins over what is usual.
    pub(crate) fn field(&self, what: &str, key: &str) -> Option<&str> {
        let mut names = self.names.iter();
        let name = names.find(|name| name.what == what && same(key, &name.key))?;
        Some(&name.field)
    }
}

/// Both are the service's: neither is in our spelling.
fn same(key: &str, name: &str) -> bool {
    let letters = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    letters(key) == letters(name)
}
