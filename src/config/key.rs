//! Keys of a configuration, and what was meant by those that are none.
//!
//! A key that is misspelled and passed over is hard to find: the setting seems to have no effect. So an
//! unknown key is an error in a file, which is ours alone; in the environment only one that is close to
//! a setting is.

use crate::endpoints::Operation;
use crate::key::same_key;
use crate::model::lenient::Walk;

/// The setting that a key names.
///
/// # Errors
///
/// It names none; the text says which one is meant.
pub(super) fn known(key: &str, settings: &'static [&'static str]) -> Result<&'static str, String> {
    let letters = |name: &str| name.replace('_', "");
    let found = settings.iter().find(|name| same_key(key, &letters(name)));
    if let Some(found) = found {
        return Ok(found);
    }
    // A value may be in its place by mistake: it is shown on one line, and not all of it.
    let shown: String = key.escape_debug().take(40).collect();
    let meant = match (Operation::from_name(key), likely(key, settings)) {
        (Some(operation), _) => format!("endpoints stand in `endpoints.{}`", operation.name()),
        (None, Some(likely)) => format!("`{likely}` is probably meant"),
        (None, None) => format!("known are {}", settings.join(", ")),
    };
    Err(format!("`{shown}` is no setting; {meant}"))
}

/// The first key of a JSON object that is written twice: of such a map the parser keeps the last value.
pub(super) fn repeated(json: &str) -> Option<String> {
    let mut keys = Vec::new();
    let mut walk = Walk::new(json);
    let members = walk.object(|walk, key| {
        keys.push(key.into_owned());
        walk.value().map(drop)
    });
    members.and_then(|()| walk.end()).ok()?;
    keys.sort_unstable();
    let twice = keys.windows(2).find(|two| two[0] == two[1])?;
    Some(twice[0].clone())
}

/// The setting that a key is probably meant to be.
fn likely(key: &str, settings: &[&'static str]) -> Option<&'static str> {
    let key = plain(key);
    // With more than a third of its letters wrong it is another word.
    let close = nearest(&key, settings, |name| (name.len() / 3).max(2));
    close.or_else(|| {
        // `secret` is a part of one name, `interval` of another.
        let mut parts = settings.iter().filter(|name| {
            let name = plain(name);
            // Shorter ones are a part of many names.
            key.len() >= 4 && (name.contains(&key) || key.contains(&name))
        });
        parts.next().copied()
    })
}

/// The setting that a key misspells.
pub(super) fn slip_of(key: &str, settings: &[&'static str]) -> Option<&'static str> {
    // Closer than for a file: other programs may have variables with this prefix.
    nearest(&plain(key), settings, |_| 2)
}

fn nearest(
    key: &str,
    settings: &[&'static str],
    most: impl Fn(&str) -> usize,
) -> Option<&'static str> {
    let distances = settings
        .iter()
        .map(|name| (distance(key, &plain(name)), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= most(name)).then_some(name)
}

fn plain(key: &str) -> String {
    let letters = key.chars().filter(|letter| letter.is_alphanumeric());
    // The distance takes time with the product of the lengths, and a key may be of any.
    letters.flat_map(char::to_lowercase).take(64).collect()
}

/// How many letters must be changed, put in or taken out (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // One row of the table is enough: each cell needs its left, upper and upper left neighbour
    // only.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (column, against) in other.iter().enumerate() {
            let changed = before + usize::from(letter != *against);
            before = row[column + 1];
            row[column + 1] = changed.min(before + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[&str] = &[
        "base_url",
        "client_secret",
        "poll_interval",
        "root_certificates",
    ];

    #[test]
    fn what_was_meant_is_said() {
        for (key, said) in [
            ("client_secert", "`client_secret` is probably meant"),
            ("secret", "`client_secret` is probably meant"),
            ("interval", "`poll_interval` is probably meant"),
            ("ca_certificate", "`root_certificates` is probably meant"),
            ("BaseURI", "`base_url` is probably meant"),
            ("getOrders", "endpoints stand in `endpoints.get_orders`"),
            ("x", "known are base_url, client_secret"),
        ] {
            let error = known(key, SETTINGS).unwrap_err();
            assert!(
                error.starts_with(&format!("`{key}` is no setting; {said}")),
                "{error}"
            );
        }
        for key in ["baseUrl", "BASE-URL", "base_url"] {
            assert_eq!(known(key, SETTINGS), Ok("base_url"));
        }
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (one, other, expected) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("abc", "abc", 0),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(one, other), expected);
            assert_eq!(distance(other, one), expected);
        }
    }
}
