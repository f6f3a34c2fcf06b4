//! Names of entries: what may be written, and what clashes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::error::Reason;
use super::limits::Limits;

/// A name that leads to one place below a directory, on every system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Parts with `/` between them.
    pub(super) path: String,
    pub(super) directory: bool,
}

/// Reads a name as the archive has it; none for the archive's own root.
///
/// `\` is taken for `/`: programs of Windows wrote it so. A part `.` means nothing. All else
/// that is not plain is refused rather than changed: two names could become one.
pub(super) fn read(raw: &str, limits: &Limits) -> Result<Option<Name>, Reason> {
    let name = raw.replace('\\', "/");
    if name.len() > limits.name_bytes {
        return Err(Reason::NameTooLong);
    }
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if name.starts_with('/') || drive {
        return Err(Reason::Absolute);
    }
    let directory = name.ends_with('/');
    let trimmed = name.strip_suffix('/').unwrap_or(&name);
    let mut path = String::with_capacity(trimmed.len());
    let mut depth = 0;
    for part in trimmed.split('/').filter(|part| *part != ".") {
        check(part)?;
        depth += 1;
        if depth > limits.depth {
            return Err(Reason::TooDeep);
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    match (path.is_empty(), directory) {
        (false, _) => Ok(Some(Name { path, directory })),
        (true, true) => Ok(None),
        (true, false) => Err(Reason::BadName),
    }
}

fn check(part: &str) -> Result<(), Reason> {
    if part == ".." {
        return Err(Reason::Traversal);
    }
    // Windows forbids these, gives `:` a meaning of its own, and drops dots and spaces at ends.
    let forbidden =
        |c: char| c.is_control() || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*');
    if part.is_empty() || part.ends_with(['.', ' ']) || part.contains(forbidden) {
        return Err(Reason::BadName);
    }
    if is_device(part) {
        return Err(Reason::ReservedName);
    }
    Ok(())
}

/// The devices of Windows: with any extension, and with a superscript for a digit too.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default();
    let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) {
        return true;
    }
    let number = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    let mut digits = number.unwrap_or_default().chars();
    matches!(
        (digits.next(), digits.next()),
        (Some('0'..='9' | '¹' | '²' | '³'), None)
    )
}

/// The names that an archive has used so far.
#[derive(Debug, Default)]
pub(super) struct Taken(HashMap<String, Name>);

impl Taken {
    /// Takes a name and the directories that it needs.
    pub(super) fn take(&mut self, name: &Name) -> Result<(), Reason> {
        for (end, _) in name.path.match_indices('/') {
            let directory = Name {
                path: name.path[..end].to_owned(),
                directory: true,
            };
            self.take_one(directory)?;
        }
        self.take_one(name.clone())
    }

    fn take_one(&mut self, name: Name) -> Result<(), Reason> {
        match self.0.entry(folded(&name.path)) {
            Entry::Vacant(free) => {
                free.insert(name);
                Ok(())
            }
            // A directory is named by each file in it.
            Entry::Occupied(taken) if *taken.get() == name && name.directory => Ok(()),
            Entry::Occupied(taken) if *taken.get() == name => Err(Reason::Duplicate),
            Entry::Occupied(_) => Err(Reason::Clash),
        }
    }
}

/// The form in which names are compared: by way of capitals, so that `ß` and `SS` are one, as
/// they are on some systems. Composed and decomposed accents are left to the file system: files
/// are created only where there is none.
fn folded(path: &str) -> String {
    path.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    fn path(raw: &str) -> Result<String, Reason> {
        read(raw, &Limits::default()).map(|name| name.map(|name| name.path).unwrap_or_default())
    }

    #[test]
    fn plain_names_stay() {
        for name in [
            "a.stl",
            "iTero_Export_#123_v10.xml",
            "top/Müller, José.ply",
            "מטופל.stl",
            ".DS_Store",
            "com10",
            "a b/c",
            "..a/b..c",
        ] {
            assert_eq!(path(name).as_deref(), Ok(name));
        }
        for (raw, expected) in [("a\\b", "a/b"), ("./a", "a"), ("a/./b/", "a/b"), ("./", "")] {
            assert_eq!(path(raw).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn others_are_refused() {
        for (raw, reason) in [
            ("/a", Reason::Absolute),
            ("\\\\server\\share\\a", Reason::Absolute),
            ("C:\\a", Reason::Absolute),
            ("c:a", Reason::Absolute),
            ("..", Reason::Traversal),
            ("a/../../b", Reason::Traversal),
            ("a\\..\\b", Reason::Traversal),
            ("./../b", Reason::Traversal),
            ("", Reason::BadName),
            (".", Reason::BadName),
            ("a//b", Reason::BadName),
            ("a/ ", Reason::BadName),
            ("...", Reason::BadName),
            ("a.", Reason::BadName),
            ("a\0.stl", Reason::BadName),
            ("a\nb", Reason::BadName),
            ("ab:c", Reason::BadName),
            ("top/a?", Reason::BadName),
            ("NUL", Reason::ReservedName),
            ("top/con.stl", Reason::ReservedName),
            ("aux /b", Reason::BadName),
            ("aux .b", Reason::ReservedName),
            ("Com1.tar.gz", Reason::ReservedName),
            ("LPT²", Reason::ReservedName),
            ("a/b/c/d/e/f/g/h/i", Reason::TooDeep),
        ] {
            assert_eq!(path(raw), Err(reason), "{raw:?}");
        }
        assert_eq!(path(&"a".repeat(255)).map(|path| path.len()), Ok(255));
        assert_eq!(path(&"ä".repeat(128)), Err(Reason::NameTooLong));
    }

    #[test]
    fn clashes_are_found() {
        let clash = |names: &[&str]| {
            let mut taken = Taken::default();
            names.iter().try_for_each(|name| {
                let name = read(name, &Limits::default()).unwrap().unwrap();
                taken.take(&name)
            })
        };
        assert_eq!(clash(&["a/", "a/b", "a/c", "a\\", "b"]), Ok(()));
        for (names, reason) in [
            (["a", "a"], Reason::Duplicate),
            (["x/a", "x\\a"], Reason::Duplicate),
            (["a.STL", "A.stl"], Reason::Clash),
            (["Top/a", "top/b"], Reason::Clash),
            (["a", "a/b"], Reason::Clash),
            (["a/b", "a"], Reason::Clash),
            (["straße", "STRASSE"], Reason::Clash),
            (["ÄΣ", "äς"], Reason::Clash),
        ] {
            assert_eq!(clash(&names), Err(reason), "{names:?}");
        }
    }

    proptest! {
        /// Whatever is accepted stays below the directory that it is joined to, as one system
        /// and the other read it.
        #[test]
        fn an_accepted_name_stays_inside(
            raw in prop_oneof![any::<String>(), "[.a/\\\\: CONcon1]{0,12}", "(\\.{1,3}[/\\\\]?|a/?){0,6}"],
        ) {
            if let Ok(Some(name)) = read(&raw, &Limits::default()) {
                let joined = Path::new("/base").join(&name.path);
                prop_assert!(joined.starts_with("/base"));
                let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
                prop_assert!(Path::new(&name.path).components().all(plain));
                prop_assert!(!name.path.contains(['\\', ':', '\0']));
                for part in name.path.split('/') {
                    prop_assert!(!part.is_empty() && part != "." && part != "..");
                    prop_assert!(!part.ends_with(['.', ' ']));
                }
                // And it is read as the same name again.
                let again = read(&name.path, &Limits::default());
                prop_assert_eq!(again, Ok(Some(Name { directory: false, ..name })));
            }
        }

        #[test]
        fn names_that_differ_in_capitals_only_clash(name in "[a-zA-ZäÖßéΣ]{1,8}") {
            let mut taken = Taken::default();
            let lower = Name { path: name.to_lowercase(), directory: false };
            let upper = Name { path: name.to_uppercase(), directory: false };
            prop_assert!(taken.take(&lower).is_ok());
            prop_assert!(taken.take(&upper).is_err());
        }
    }
}
