//! Reading what is configured.
//!
//! Every error says what is wrong, where, and what would do: whoever writes a fault has the simulator's
//! word only.

use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;

/// Settings of the simulator that cannot be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSettings(String);

impl InvalidSettings {
    pub(super) fn new(what: impl Into<String>) -> Self {
        InvalidSettings(what.into())
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidSettings {}

impl From<InvalidSettings> for std::io::Error {
    fn from(error: InvalidSettings) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidInput, error)
    }
}

pub(super) fn read<T: DeserializeOwned>(json: &str) -> Result<T, InvalidSettings> {
    // serde names the key or value, what would do, and the place.
    serde_json::from_str(json).map_err(|error| InvalidSettings::new(error.to_string()))
}

pub(super) fn file<T>(
    path: &Path,
    read: impl FnOnce(&str) -> Result<T, InvalidSettings>,
) -> Result<T, InvalidSettings> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        InvalidSettings::new(format!("the file {name} cannot be read: {error}"))
    })?;
    // Editors put a byte order mark before it.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    read(text).map_err(|error| InvalidSettings::new(format!("the file {name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let kept = tempfile::NamedTempFile::new().unwrap();
        for text in ["[7]", "\u{FEFF}[7]"] {
            std::fs::write(kept.path(), text).unwrap();
            assert_eq!(file(kept.path(), read::<Vec<u8>>).unwrap(), [7]);
        }
    }
}
