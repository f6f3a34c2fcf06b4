//! Where in an answer something is wrong.

use std::fmt;

use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::Fault;
use super::parse::{Members, parse};
use super::record::{Fields, Missing};

/// The way to a place in an answer, as in `orders[3].status`.
///
/// Made of names that stand in this crate and of indexes: what the service's own keys say may be
/// about a patient, and is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Name(&'static str),
    At(usize),
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) path: Path,
    pub(crate) fault: Fault,
}

impl Path {
    pub(super) fn name(&mut self, name: &'static str) {
        self.0.push(Step::Name(name));
    }

    pub(super) fn at(&mut self, index: usize) {
        self.0.push(Step::At(index));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Name(name) if at > 0 => write!(f, ".{name}")?,
                Step::Name(name) => f.write_str(name)?,
                Step::At(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.fault.fmt(f)
    }
}

impl From<Fault> for Located {
    fn from(fault: Fault) -> Self {
        Located {
            path: Path::default(),
            fault,
        }
    }
}

impl Located {
    /// What a record lacks: a field that is not there, or one that has not its shape. `path` is
    /// the record's.
    pub(super) fn missing<F: Fields>(json: &str, mut path: Path, missing: Missing) -> Self {
        let mut fault = Fault::Missing(missing.what);
        let lacks = |key: &str| {
            let (field, _) = F::names().find(key)?;
            let name = missing.names.iter().find(|name| {
                let found = F::names().find(name);
                found.is_some_and(|(lacking, _)| lacking == field)
            });
            name.copied()
        };
        let members = parse::<Members<'_>>(json).map_or_else(|_| Vec::new(), |members| members.0);
        let misshapen = members.iter().find_map(|(key, value)| {
            let name = lacks(&key.0)?;
            (value.get() != "null").then_some((name, value.get()))
        });
        match (misshapen, missing.names) {
            (Some((name, value)), _) => {
                path.name(name);
                if value.starts_with(['{', '[', 't', 'f']) {
                    fault = Fault::shape(value, "text or a number");
                }
            }
            (None, [name]) => path.name(name),
            (None, _) => {}
        }
        Located { path, fault }
    }

    /// What the parser, or whoever judges a value, does not take in a record. `path` is the
    /// record's.
    pub(super) fn within<F: Fields>(json: &str, mut path: Path, fault: Fault) -> Self {
        let is_bad: &dyn Fn(&str) -> bool = match fault {
            Fault::Syntax => &|json| parse::<Value>(json).is_err(),
            Fault::NotUtf8 => &|json| json.contains(char::REPLACEMENT_CHARACTER),
            _ => return Located { path, fault },
        };
        locate::<F>(json, is_bad, &mut path);
        Located { path, fault }
    }
}

/// Goes to the first field whose value is bad, as far as the fields are known.
fn locate<F: Fields>(json: &str, is_bad: &dyn Fn(&str) -> bool, path: &mut Path) {
    let Ok(Members(members)) = parse(json) else {
        return;
    };
    let bad = members.iter().find(|(_, value)| is_bad(value.get()));
    if let Some((key, value)) = bad
        && let Some((field, rank)) = F::names().find(&key.0)
        && let Some(name) = F::names().name(field, rank)
    {
        path.name(name);
        F::locate(field, value.get(), is_bad, path);
    }
}

/// Goes to the first bad entry of a list, and on in it.
pub(super) fn locate_in_list<F: Fields>(
    json: &str,
    is_bad: &dyn Fn(&str) -> bool,
    path: &mut Path,
) {
    let Ok(list) = parse::<Vec<&RawValue>>(json) else {
        // A single record in place of a list.
        return locate::<F>(json, is_bad, path);
    };
    if let Some(at) = list.iter().position(|entry| is_bad(entry.get())) {
        path.at(at);
        locate::<F>(list[at].get(), is_bad, path);
    }
}
