//! Texts as columns hold them.
//!
//! *Problem.* An id is whatever a service sends, and must be found again by exactly that.
//!
//! *Approach.* NUL is escaped, and so is the sign that escapes. No two texts must become one (test
//! `ids_with_a_nul_are_kept`).

use std::borrow::Cow;

/// PostgreSQL has no text with a NUL in it, and an id that a service sends may have one.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte == 0 || byte == b'\\') {
        text.replace('\\', "\\\\").replace('\0', "\\0").into()
    } else {
        text.into()
    }
}

pub(super) fn owned(original: &str) -> String {
    text(original).into_owned()
}

/// What [`text`] was made of.
pub(super) fn read_text(text: &str) -> String {
    let mut pieces = text.split('\\');
    let mut read = pieces.next().unwrap_or_default().to_owned();
    // An escape is two characters: after `\\` the piece between the two is empty.
    while let Some(piece) = pieces.next() {
        if let Some(rest) = piece.strip_prefix('0') {
            read.push('\0');
            read.push_str(rest);
        } else {
            read.push('\\');
            read.push_str(pieces.next().unwrap_or_default());
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_as_it_was() {
        for original in [
            "",
            "1",
            "\0",
            "\\",
            "\\0",
            "\\\\0\0",
            "a\0b\\c\\\\",
            "\\\0\\",
            "🦷'\"%_",
        ] {
            let kept = text(original);
            assert!(!kept.contains('\0'));
            assert_eq!(read_text(&kept), original, "{kept}");
        }
        assert_ne!(text("\0"), text("\\0"));
    }
}
