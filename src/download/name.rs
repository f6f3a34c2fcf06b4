//! Names of files made of what the service sends.
//!
//! *Problem.* Order ids and asset ids are foreign text. One with `../` in it leads out of the
//! directory, one with a colon opens another stream on Windows, two that differ in capitals are one
//! file there.
//!
//! *Approach.* A few ASCII characters stay, all others are replaced, and a hash of the whole text
//! keeps different texts apart. A name must not change between releases: a program finds its
//! earlier files by it.

use crate::model::{Asset, Order};

/// A file name made of text that is not trusted, such as an order id.
///
/// Letters and digits of ASCII, `-`, `_` and inner dots stay; all else becomes `_`. The name
/// has at most 100 characters, is never empty, never begins with a dot, and is none of the
/// names that Windows keeps for itself.
///
/// Different texts make different names, also where capitals do not count: a text that could
/// not be kept as it is, or has capitals, gets a hash of it at its end.
///
/// ```
/// use lab_connector::download::safe_name;
///
/// assert_eq!(safe_name("123456789"), "123456789");
/// assert!(safe_name("../etc/passwd").starts_with("___etc_passwd-"));
/// assert_ne!(safe_name("a/b"), safe_name("a_b"));
/// ```
#[must_use]
pub fn safe_name(text: &str) -> String {
    // Leaves room for the hash and its hyphen within the 100 characters that the docs promise.
    const LIMIT: usize = 80;
    let mut name = String::new();
    for c in text.chars().take(LIMIT) {
        let keep = c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        // A dot only after a letter or digit: so there is no `..`, and no hidden file.
        let inner_dot = c == '.' && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        name.push(if keep || inner_dot { c } else { '_' });
    }
    // Windows drops dots at the end, and would open another name than the one that was made.
    while name.ends_with('.') {
        name.pop();
    }
    let stem = name.split('.').next().unwrap_or_default();
    // Windows looks at what is before the first dot: `NUL.zip` is the device too.
    if stem.is_empty() || is_reserved(stem) {
        name.insert(0, '_');
    }
    // A text that was changed or has capitals may be equal to another one where capitals do not
    // count. The hash is of the text as it came.
    if name != text || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.push_str(&format!("-{:016x}", fnv1a(text.as_bytes())));
    }
    name
}

/// A file name for an order's file: the order's id, the asset's kind and id, and an extension. The zip
/// of exported scans has `.zip`. Any other file has the extension of its name or URL at the service, if
/// that is one of a picture, a document or a scan. The name is made of [safe names](safe_name) and
/// leaves out the service's own names, which may hold a patient's.
///
/// A file without such an extension in its name or URL has none: often the thumbnails, whose format is
/// not documented. Its first bytes say what it is: `PK` begins a zip.
///
/// It has at most 200 characters: the end of a longer one becomes a hash, so that no file system
/// refuses it, nor the longer names beside it while it is fetched.
///
/// Where the assets of an order have ids, files that come later under a new id get a name of
/// their own; where they have none, they replace the earlier ones.
///
/// ```
/// use lab_connector::Order;
/// use lab_connector::download::file_name;
///
/// let order: Order = serde_json::from_str(
///     r#"{"orderId": 123456789, "status": "Sent", "assets": [{"type": "ide", "id": "e7"}]}"#,
/// )?;
/// assert_eq!(file_name(&order, &order.assets()[0]), "123456789-ide-e7.zip");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[must_use]
pub fn file_name(order: &Order, asset: &Asset) -> String {
    let mut name = safe_name(order.id().as_str());
    let parts = [asset.kind(), asset.id()];
    for part in parts.into_iter().flatten() {
        name.push('-');
        name.push_str(&safe_name(part));
    }
    // With the longest extension and its dot at most 200. The part, its state and what is set aside
    // have longer names still; most file systems allow 255 bytes.
    const LONGEST: usize = 195;
    if name.len() > LONGEST {
        let hash = format!("-{:016x}", fnv1a(name.as_bytes()));
        // All of it is ASCII.
        name.truncate(LONGEST - hash.len());
        name.push_str(&hash);
    }
    if let Some(extension) = extension(asset) {
        name.push('.');
        name.push_str(extension);
    }
    name
}

/// What a file of a case may be called. Nothing that a double click would run.
const EXTENSIONS: [&str; 19] = [
    "3mf", "bmp", "csv", "dcm", "gif", "jpeg", "jpg", "json", "obj", "pdf", "ply", "png", "stl",
    "tif", "tiff", "txt", "webp", "xml", "zip",
];

fn extension(asset: &Asset) -> Option<&'static str> {
    if asset.is_export() {
        return Some("zip");
    }
    let known = |name: &str| {
        let (_, found) = name.rsplit_once('.')?;
        let mut extensions = EXTENSIONS.into_iter();
        extensions.find(|extension| extension.eq_ignore_ascii_case(found))
    };
    // The name first: the path of a signed URL often ends in an id.
    let by_name = asset.original_name().and_then(|name| known(&name));
    by_name.or_else(|| known(asset.url()?.path()))
}

/// FNV-1a: short, and the same in every release, which the hasher of std does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
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
    fn what_is_plain_stays() {
        for text in ["123456789", "a.zip", "x-1_2", "com10"] {
            assert_eq!(safe_name(text), text);
        }
    }

    #[test]
    fn what_is_not_is_replaced_and_told_apart() {
        for (text, start) in [
            ("", "_-"),
            (".", "_-"),
            ("..", "__-"),
            ("../x", "___x-"),
            ("a/b\\c:d", "a_b_c_d-"),
            ("a..b", "a._b-"),
            ("a.", "a-"),
            ("nul", "_nul-"),
            ("com1.tar.gz", "_com1.tar.gz-"),
            ("é\0\n", "___-"),
            ("A", "A-"),
        ] {
            let name = safe_name(text);
            assert!(name.starts_with(start), "{text:?}: {name}");
            assert_eq!(name.len(), start.len() + 16);
        }
    }

    #[test]
    fn a_file_has_the_extension_of_its_kind_and_none_that_runs() {
        for (asset, expected) in [
            (r#"{"type": "ide", "name": "x.exe"}"#, "1-ide.zip"),
            (
                r#"{"type": "pdf", "fileName": "Doe, Jane.PDF"}"#,
                "1-pdf.pdf",
            ),
            (
                r#"{"type": "a", "url": "https://a.example/x/y.jpeg?sig=b.exe"}"#,
                "1-a.jpeg",
            ),
            (
                r#"{"type": "a", "name": "a.exe", "url": "https://a.example/y.STL"}"#,
                "1-a.stl",
            ),
            (r#"{"type": "a", "name": "a.png.bat"}"#, "1-a"),
            (r#"{"type": "a", "name": "png"}"#, "1-a"),
        ] {
            let order = format!(r#"{{"orderId": 1, "status": "Sent", "assets": [{asset}]}}"#);
            let order: Order = serde_json::from_str(&order).unwrap();
            assert_eq!(file_name(&order, &order.assets()[0]), expected, "{asset}");
        }
    }

    #[test]
    fn a_name_of_three_long_parts_fits_into_a_file_system() {
        let long = |last: char| {
            let text = format!("{}{last}", "x".repeat(79));
            let order = format!(
                r#"{{"orderId": "{text}/", "status": "Sent", "assets": [{{"type": "IDE{text}", "id": "{text}/"}}]}}"#
            );
            let order: Order = serde_json::from_str(&order).unwrap();
            file_name(&order, &order.assets()[0])
        };
        let (one, other) = (long('1'), long('2'));
        assert!(one.len() <= 200 && other.len() <= 200, "{one}");
        assert_ne!(one, other);
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
        }

        #[test]
        fn different_texts_have_different_names(one in "[aA/_.]{0,4}", other in "[aA/_.]{0,4}") {
            let same = safe_name(&one).eq_ignore_ascii_case(&safe_name(&other));
            prop_assert_eq!(same, one == other);
        }
    }
}
