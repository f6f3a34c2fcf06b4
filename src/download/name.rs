//! Names of files: nothing that the service sends leads out of a directory.

/// A file name made of text that is not trusted, such as an order id.
///
/// Letters and digits of ASCII, `-`, `_` and inner dots stay; all else becomes `_`. The name
/// has at most 100 characters, is never empty, never begins with a dot, and is none of the
/// names that Windows keeps for itself.
///
/// Different texts may give the same name: use it for what is told apart otherwise.
///
/// ```
/// use lab_connector::download::safe_name;
///
/// assert_eq!(safe_name("123456789"), "123456789");
/// assert_eq!(safe_name("../etc/passwd"), "___etc_passwd");
/// assert_eq!(safe_name("CON.zip"), "_CON.zip");
/// ```
#[must_use]
pub fn safe_name(text: &str) -> String {
    const LIMIT: usize = 100;
    let mut name = String::new();
    for c in text.chars().take(LIMIT - 1) {
        let keep = c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let inner_dot = c == '.' && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        name.push(if keep || inner_dot { c } else { '_' });
    }
    while name.ends_with('.') {
        name.pop();
    }
    let stem = name.split('.').next().unwrap_or_default();
    if stem.is_empty() || is_reserved(stem) {
        name.insert(0, '_');
    }
    name
}

/// The devices of Windows, which are devices with any extension too.
fn is_reserved(stem: &str) -> bool {
    let stem = stem.to_ascii_uppercase();
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) || stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"))
        .is_some_and(|number| number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples() {
        for (text, name) in [
            ("123456789", "123456789"),
            ("a.zip", "a.zip"),
            ("", "_"),
            (".", "_"),
            ("..", "__"),
            ("../x", "___x"),
            ("a/b\\c:d", "a_b_c_d"),
            ("a..b", "a._b"),
            ("trailing. ", "trailing._"),
            ("dots...", "dots.__"),
            ("a.", "a"),
            ("nul", "_nul"),
            ("com1.tar.gz", "_com1.tar.gz"),
            ("com10", "com10"),
            ("é\0\n", "___"),
        ] {
            assert_eq!(safe_name(text), name, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_always_one_plain_component(text in any::<String>()) {
            let name = safe_name(&text);
            prop_assert!((1..=100).contains(&name.len()));
            prop_assert!(!name.starts_with('.') && !name.ends_with('.'));
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
            let components = std::path::Path::new(&name).components().count();
            prop_assert_eq!(components, 1);
            prop_assert_eq!(safe_name(&name), name);
        }
    }
}
