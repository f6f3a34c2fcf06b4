//! Names of entries: what may be written, and what clashes.
//!
//! *Problem.* An entry's name becomes a path. It can lead outside, name a device, hide its ending,
//! or be another entry's name on a system that folds capitals. What is harmless on Linux is not on
//! Windows, and labs unpack on both.
//!
//! *Approach.* One rule for all systems, the strictest of them. A name that honest programs write
//! is repaired; anything else refuses the archive. A path that is returned must never lead out of
//! the target.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::error::Reason;
use super::limits::Limits;

/// How many bytes a part of a path has at most: every file system can do so many.
const PART: usize = 255;

/// A name that leads to one place below a directory, on every system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Parts with `/` between them.
    pub(super) path: String,
    pub(super) directory: bool,
    /// It is not what the archive says letter by letter, so two of the archive's names may have
    /// become one.
    changed: bool,
}

/// Reads a name as the archive has it; none for the archive's own root.
///
/// `\` is taken for `/`: programs of Windows wrote it so. A part `.` means nothing, nor does one
/// slash before the name, as for `unzip`. Signs that nobody sees are replaced, and long parts
/// are cut. All else that is not plain is refused.
///
/// A guess is a name in an unknown code page, read in that of old. There, what looks like `\` or
/// `|` may be the second half of a character: in Japanese and Chinese code pages it is.
pub(super) fn read(raw: &str, is_guess: bool, limits: &Limits) -> Result<Option<Name>, Reason> {
    // Both kinds of slash are separators on Windows.
    let slashes = raw.replace('\\', "/");
    // First, so that all that follows is cheap.
    if slashes.len() > limits.name_bytes {
        return Err(Reason::NameTooLong);
    }
    // Under either reading.
    if slashes.split('/').any(|part| part == "..") {
        return Err(Reason::Traversal);
    }
    let name = if is_guess {
        without_halves(raw)
    } else {
        slashes
    };
    // `c:x` is relative to a drive's own directory, so a letter and a colon are enough.
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if name.starts_with("//") || drive {
        return Err(Reason::Absolute);
    }
    // One slash was left out by the check above: two begin a server's name.
    let name = name.strip_prefix('/').unwrap_or(&name);
    let directory = name.ends_with('/');
    let trimmed = name.strip_suffix('/').unwrap_or(name);
    let mut path = String::with_capacity(trimmed.len());
    let mut depth = 0;
    let mut changed = is_guess;
    // An empty part fails in `check`: programs disagree about `a//b`.
    for part in trimmed.split('/').filter(|part| *part != ".") {
        check(part)?;
        depth += 1;
        if depth > limits.depth {
            return Err(Reason::TooDeep);
        }
        if !path.is_empty() {
            path.push('/');
        }
        // Replaced and not refused: such signs come from text that was pasted.
        let visible = part.replace(is_invisible, "_");
        let cut = cut(&visible, PART);
        changed |= cut != part;
        path.push_str(&cut);
    }
    match (path.is_empty(), directory) {
        (false, _) => Ok(Some(Name {
            path,
            directory,
            changed,
        })),
        (true, true) => Ok(None),
        // A file without a name, such as `.` or an empty one.
        (true, false) => Err(Reason::BadName),
    }
}

/// With slashes of one kind, but for those that may be half of a character.
fn without_halves(raw: &str) -> String {
    let mut name = String::with_capacity(raw.len());
    let mut before = ' ';
    for c in raw.chars() {
        name.push(match c {
            '\\' | '|' if !before.is_ascii() => '_',
            '\\' => '/',
            _ => c,
        });
        before = c;
    }
    name
}

/// Signs that turn the direction of a text or have no width: with them a name shows another end
/// than it has, or two names look alike. Unicode's Default_Ignorable_Code_Point, with line ends and
/// the marks of annotations.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Cuts a part of a path between two characters; its extension stays.
fn cut(part: &str, most: usize) -> String {
    if part.len() <= most {
        return part.to_owned();
    }
    // Longer than any extension that programs know; beyond it the dot is one within the name.
    const EXTENSION: usize = 16;
    let (stem, extension) = match part.rfind('.') {
        Some(at) if at > 0 && part.len() - at <= EXTENSION => part.split_at(at),
        _ => (part, ""),
    };
    let mut end = most - extension.len();
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    // The cut may end at a dot or a space, which Windows drops.
    let stem = stem[..end].trim_end_matches(['.', ' ']);
    format!("{stem}{extension}")
}

fn check(part: &str) -> Result<(), Reason> {
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
    // Windows ignores spaces before the dot: `NUL .txt` is the device.
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

/// The names that an archive has used so far, by their folded form, and whether each is a
/// directory.
#[derive(Debug, Default)]
pub(super) struct NameRegistry(HashMap<String, (String, bool)>);

impl NameRegistry {
    /// Takes a name and the directories that it needs. A name that was changed gives way where
    /// it clashes: only names as the archive has them can be at fault.
    pub(super) fn take(&mut self, name: &mut Name) -> Result<(), Reason> {
        // Only after a change can a clash be our own fault.
        if name.changed {
            self.give_way(name);
        }
        // The directories above it are made too, so a file of that name would clash.
        for (end, _) in name.path.match_indices('/') {
            self.take_one(&name.path[..end], true)?;
        }
        self.take_one(&name.path, name.directory)
    }

    fn take_one(&mut self, path: &str, directory: bool) -> Result<(), Reason> {
        match self.0.entry(folded(path)) {
            Entry::Vacant(free) => {
                free.insert((path.to_owned(), directory));
                Ok(())
            }
            Entry::Occupied(taken) if *taken.get() == (path.to_owned(), directory) => {
                // A directory is named by each file in it.
                if directory {
                    Ok(())
                } else {
                    Err(Reason::Duplicate)
                }
            }
            Entry::Occupied(_) => Err(Reason::Clash),
        }
    }

    /// Finds a free name: directories that are one for some systems become one, and files get a
    /// number.
    fn give_way(&self, name: &mut Name) {
        let mut path = String::new();
        let mut parts = name.path.split('/').peekable();
        while let Some(part) = parts.next() {
            let directory = parts.peek().is_some() || name.directory;
            let above = if path.is_empty() { "" } else { "/" };
            let mut candidate = format!("{path}{above}{part}");
            // Ends: there are fewer names than numbers.
            for number in 2_u32.. {
                match self.0.get(&folded(&candidate)) {
                    None => break,
                    Some((taken, true)) if directory => {
                        candidate.clone_from(taken);
                        break;
                    }
                    Some(_) => {
                        let part = numbered(part, number);
                        candidate = format!("{path}{above}{part}");
                    }
                }
            }
            path = candidate;
        }
        name.path = path;
    }
}

/// `a.stl` becomes `a~2.stl`.
fn numbered(part: &str, number: u32) -> String {
    let suffix = format!("~{number}");
    let (stem, extension) = match part.rfind('.') {
        // A dot at the beginning is not that of an extension.
        Some(at) if at > 0 => part.split_at(at),
        _ => (part, ""),
    };
    let stem = cut(
        stem,
        PART.saturating_sub(suffix.len() + extension.len()).max(1),
    );
    format!("{stem}{suffix}{extension}")
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
        read(raw, false, &Limits::default())
            .map(|name| name.map(|name| name.path).unwrap_or_default())
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
        for (raw, expected) in [
            ("a\\b", "a/b"),
            ("./a", "a"),
            ("a/./b/", "a/b"),
            ("./", ""),
            ("/a", "a"),
            ("\\a/b", "a/b"),
        ] {
            assert_eq!(path(raw).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn others_are_refused() {
        for (raw, reason) in [
            ("//a", Reason::Absolute),
            ("/C:/a", Reason::BadName),
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
        assert_eq!(path(&"ä".repeat(513)), Err(Reason::NameTooLong));
    }

    #[test]
    fn clashes_are_found() {
        let clash = |names: &[&str]| {
            let mut taken = NameRegistry::default();
            names.iter().try_for_each(|name| {
                let mut name = read(name, false, &Limits::default()).unwrap().unwrap();
                taken.take(&mut name)
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

    #[test]
    fn a_long_part_is_cut_and_keeps_its_extension() {
        let long = format!("{}.stl", "ש".repeat(144));
        assert_eq!(long.len(), 292);
        let cut = path(&long).unwrap();
        assert!(
            cut.len() <= 255 && cut.len() > 250 && cut.ends_with("ש.stl"),
            "{cut}"
        );
        assert_eq!(path(&"n".repeat(300)).unwrap(), "n".repeat(255));
        let two = taken(&[(&long, false), (&long.replace(".stl", "ת.stl"), false)]).unwrap();
        assert!(
            two[0] != two[1] && two[1].ends_with("~2.stl") && two[1].len() <= 255,
            "{two:?}"
        );
    }

    #[test]
    fn invisible_signs_are_replaced() {
        assert_eq!(path("a\u{202e}lts.exe").as_deref(), Ok("a_lts.exe"));
        for sign in "\u{34f}\u{2066}\u{3164}\u{fe0f}\u{e0041}".chars() {
            assert_eq!(path(&format!("a{sign}b.stl")).as_deref(), Ok("a_b.stl"));
        }
        let names = [("a\u{200b}.stl", false), ("a\u{feff}.stl", false)];
        assert_eq!(taken(&names).unwrap(), ["a_.stl", "a_~2.stl"]);
    }

    #[test]
    fn names_in_unknown_code_pages_give_way() {
        // Two names in Hebrew that differ in capitals under the code page of old.
        let names = [
            ("Çüë/Çüë_u.stl", true),
            ("çüë/çüë_u.stl", true),
            ("çüë/l.stl", true),
        ];
        assert_eq!(
            taken(&names).unwrap(),
            ["Çüë/Çüë_u.stl", "Çüë/çüë_u~2.stl", "Çüë/l.stl"]
        );
        // Second halves of characters in Japanese.
        for (raw, expected) in [
            ("â|ü.stl", "â_ü.stl"),
            ("â\\ü.stl", "â_ü.stl"),
            ("ü\\a", "ü_a"),
            ("a\\ü", "a/ü"),
        ] {
            let name = read(raw, true, &Limits::default()).unwrap().unwrap();
            assert_eq!(name.path, expected);
        }
        for (raw, reason) in [
            ("â\\..\\b", Reason::Traversal),
            ("a|b", Reason::BadName),
            ("â:a", Reason::BadName),
        ] {
            assert_eq!(read(raw, true, &Limits::default()), Err(reason), "{raw}");
        }
    }

    fn taken(names: &[(&str, bool)]) -> Result<Vec<String>, Reason> {
        let mut taken = NameRegistry::default();
        let take = |(raw, is_guess): &(&str, bool)| {
            let mut name = read(raw, *is_guess, &Limits::default())?.unwrap();
            taken.take(&mut name)?;
            Ok(name.path)
        };
        names.iter().map(take).collect()
    }

    proptest! {
        /// Whatever is accepted stays below the directory that it is joined to, as one system
        /// and the other read it.
        #[test]
        fn an_accepted_name_stays_inside(
            raw in prop_oneof![any::<String>(), "[.a/\\\\: CONcon1]{0,12}", "(\\.{1,3}[/\\\\]?|a/?){0,6}"],
        ) {
            for is_guess in [false, true] {
                let Ok(Some(name)) = read(&raw, is_guess, &Limits::default()) else {
                    continue;
                };
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
                let again = read(&name.path, false, &Limits::default());
                let again = again.map(|name| name.map(|name| (name.path, name.changed)));
                prop_assert_eq!(again, Ok(Some((name.path, false))));
            }
        }

        #[test]
        fn names_that_differ_in_capitals_only_clash(name in "[a-zA-ZäÖßéΣ]{1,8}") {
            let mut taken = NameRegistry::default();
            let plain = |path| Name { path, directory: false, changed: false };
            prop_assert!(taken.take(&mut plain(name.to_lowercase())).is_ok());
            prop_assert!(taken.take(&mut plain(name.to_uppercase())).is_err());
        }
    }
}
