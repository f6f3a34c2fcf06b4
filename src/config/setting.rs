//! The types of settings, as JSON and as the text of a variable.
//!
//! One implementation for each type, so that a setting means the same in a file and in a variable. A
//! value must not be shown where it does not fit: `DUE` says what is due instead
//! (`a_mistake_is_named_and_no_value_is_shown`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::secret::Secret;

/// A setting's value. An empty text is no value: it is more often a mistake than meant.
pub(super) trait Setting: Sized {
    /// What is due, as in "must be …".
    const DUE: &'static str;

    /// From JSON; relative paths start at `base`.
    fn read(value: Value, base: &Path) -> Option<Self>;

    /// From a variable of the environment: JSON where it has no better form.
    fn read_text(text: &str) -> Option<Self> {
        // Of a variable, relative paths start at the current directory: there is no file that names
        // them.
        Self::read(serde_json::from_str(text.trim()).ok()?, Path::new(""))
    }

    /// As JSON; none for a secret.
    fn write(&self) -> Option<Value>;
}

impl Setting for String {
    const DUE: &'static str = "text that is not empty";

    fn read(value: Value, _: &Path) -> Option<Self> {
        match value {
            Value::String(text) => Self::read_text(&text),
            _ => None,
        }
    }

    fn read_text(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn write(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Setting for Secret {
    const DUE: &'static str = String::DUE;

    fn read(value: Value, base: &Path) -> Option<Self> {
        String::read(value, base).map(Secret::new)
    }

    fn read_text(text: &str) -> Option<Self> {
        String::read_text(text).map(Secret::new)
    }

    fn write(&self) -> Option<Value> {
        None
    }
}

impl Setting for PathBuf {
    const DUE: &'static str = "a path";

    fn read(value: Value, base: &Path) -> Option<Self> {
        String::read(value, base).map(|path| base.join(path))
    }

    fn read_text(text: &str) -> Option<Self> {
        String::read_text(text).map(PathBuf::from)
    }

    fn write(&self) -> Option<Value> {
        self.to_str().map(Value::from)
    }
}

impl Setting for bool {
    const DUE: &'static str = "true or false";

    fn read(value: Value, _: &Path) -> Option<Self> {
        value.as_bool()
    }

    fn write(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Setting for u32 {
    const DUE: &'static str = "a whole number that is at least 1";

    fn read(value: Value, _: &Path) -> Option<Self> {
        let number = u32::try_from(value.as_u64()?).ok()?;
        // 0 could mean none at all or no limit: it is refused, and the setting is left out for the
        // second.
        (number > 0).then_some(number)
    }

    fn write(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Setting for Duration {
    const DUE: &'static str = "a number of seconds above 0";

    fn read(value: Value, _: &Path) -> Option<Self> {
        // `None` for negative numbers, and for those that no duration holds.
        let time = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
        (!time.is_zero()).then_some(time)
    }

    fn write(&self) -> Option<Value> {
        Some(self.as_secs_f64().into())
    }
}

/// A list, or its only entry.
impl<T: Setting> Setting for Vec<T> {
    const DUE: &'static str = "a list of texts that are not empty";

    fn read(value: Value, base: &Path) -> Option<Self> {
        match value {
            Value::Array(entries) => entries.into_iter().map(|it| T::read(it, base)).collect(),
            only => Some(vec![T::read(only, base)?]),
        }
    }

    fn read_text(text: &str) -> Option<Self> {
        text.split(',').map(T::read_text).collect()
    }

    fn write(&self) -> Option<Value> {
        self.iter().map(T::write).collect()
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    const DUE: &'static str = "an object of names and texts";

    fn read(value: Value, base: &Path) -> Option<Self> {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| Some((name, T::read(value, base)?)))
                .collect(),
            _ => None,
        }
    }

    fn write(&self) -> Option<Value> {
        let fields = self.iter();
        // A secret writes nothing, and so leaves out its name as well.
        let fields = fields.filter_map(|(name, value)| Some((name.clone(), value.write()?)));
        let fields: Map<_, _> = fields.collect();
        (!fields.is_empty()).then_some(Value::Object(fields))
    }
}

/// An object, or the path of a file that holds one.
impl Setting for Value {
    const DUE: &'static str = "an object, or the path of a file";

    fn read(value: Value, base: &Path) -> Option<Self> {
        match value {
            Value::Object(_) => Some(value),
            // A path as any other: it starts at the directory of the file that names it.
            path => PathBuf::read(path, base)?.write(),
        }
    }

    fn read_text(text: &str) -> Option<Self> {
        match text.trim_start().starts_with('{') {
            true => serde_json::from_str(text).ok(),
            false => PathBuf::read_text(text)?.write(),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(self.clone())
    }
}
