//! The one way through an answer's text, and the one place that hands it to the parser.
//!
//! *Problem.* A tree of values takes many times the length of its text, and serde's visitors fail
//! as a whole where one value cannot be read.
//!
//! *Approach.* A cursor over the text. The parser is asked only where a value ends, and values are
//! read where they are wanted. Each byte must reach the parser a fixed number of times: more, and a
//! nested answer would take quadratic time. Tests count the bytes.

use std::borrow::Cow;

use serde::de::{Deserialize, IgnoredAny};

use super::limits::{ExceededLimit, Limits, StopReason};
use super::shapes::Shapes;
use crate::text;

/// Notes that the parser gets a text. What a whole answer costs is the sum of all of them.
fn handed_over(_json: &str) {
    #[cfg(test)]
    HANDED_OVER.with(|bytes| bytes.set(bytes.get() + _json.len()));
}

#[cfg(test)]
thread_local! {
    /// The bytes that the parser got on this thread.
    pub(super) static HANDED_OVER: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Reads a text in one go: in linear time.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> serde_json::Result<T> {
    handed_over(json);
    serde_json::from_str(json)
}

/// It is not JSON, or it ends before it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError;

/// A way through a JSON text: into lists and objects, and over what they hold.
///
/// The parser steps over a value, which says whether it is JSON and where it ends, and its text is read
/// by whoever wants it. So what no type of the parser's takes, such as a number out of range, breaks
/// nothing, and nothing is read twice. serde's visitors would do the first or the second.
pub(crate) struct Walk<'a> {
    text: &'a str,
    at: usize,
    pub(super) limits: Limits,
    pub(super) shapes: Option<&'a Shapes>,
    /// Whether the text is the beginning of one.
    is_cut: bool,
    /// Why it ends here.
    pub(super) stop: Option<StopReason>,
    /// How many records and entries there were.
    pub(super) count: usize,
    /// What the record that is being read is over.
    pub(super) over: Option<ExceededLimit>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Walk::within(text, Limits::NONE)
    }

    pub(super) fn within(text: &'a str, limits: Limits) -> Self {
        Walk {
            text,
            at: 0,
            limits,
            shapes: None,
            is_cut: false,
            stop: None,
            count: 0,
            over: None,
        }
    }

    pub(super) fn shaped(mut self, shapes: Option<&'a Shapes>) -> Self {
        self.shapes = shapes;
        self
    }

    /// Says that the text is the beginning of one: it is read as far as it goes.
    pub(super) fn cut(mut self, is_cut: bool) -> Self {
        self.is_cut = is_cut;
        self
    }

    /// The first byte of what comes next, blanks left out.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        // The four blanks of RFC 8259, section 2, and no others.
        self.at += rest.iter().take_while(is_blank).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Result<(), SyntaxError> {
        if self.peek() != Some(byte) {
            return Err(SyntaxError);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing comes any more.
    pub(crate) fn end(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(SyntaxError),
        }
    }

    /// Where what comes next begins, for [`Walk::since`].
    pub(crate) fn mark(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// How many bytes there were since a mark.
    pub(super) fn length(&self, mark: usize) -> usize {
        self.at - mark
    }

    /// The text since a mark.
    pub(crate) fn since(&self, mark: usize) -> &'a str {
        &self.text[mark..self.at]
    }

    /// How many bytes are still to come.
    pub(super) fn ahead(&self) -> usize {
        self.text.len() - self.at
    }

    /// Steps over a value, whatever it is, and returns its JSON.
    pub(crate) fn value(&mut self) -> Result<&'a str, SyntaxError> {
        let begin = self.mark();
        let rest = &self.text[begin..];
        // A stream, for its offset: that is where the value ends.
        let mut values = serde_json::Deserializer::from_str(rest).into_iter();
        // `IgnoredAny` checks the syntax and builds nothing.
        let Some(Ok(IgnoredAny)) = values.next() else {
            return Err(SyntaxError);
        };
        self.at += values.byte_offset();
        let value = self.since(begin);
        handed_over(value);
        Ok(value)
    }

    /// Steps over a string, and returns its text. Half of a pair of surrogates, which JavaScript
    /// and Java write without a second thought, becomes U+FFFD.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        let begin = self.mark();
        // Most have no escapes: a parser set up for each would cost more than to read them.
        let inner = self.text[begin..].strip_prefix('"').ok_or(SyntaxError)?;
        let end = plain_bytes(inner.as_bytes());
        if inner.as_bytes().get(end) == Some(&b'"') {
            // The text and its two quotes.
            self.at += end + 2;
            handed_over(&inner[..end]);
            return Ok(Cow::Borrowed(&inner[..end]));
        }
        let value = self.value()?;
        handed_over(value);
        text::parse(value).map(Cow::Owned).map_err(|_| SyntaxError)
    }

    /// The first key of the object that comes next, which is not stepped over.
    pub(super) fn first_key(&mut self) -> Option<Cow<'a, str>> {
        let begin = self.mark();
        let key = self.take(b'{').and_then(|()| self.string()).ok();
        self.at = begin;
        key
    }

    /// Goes into a list, and calls for each element, which must be stepped over, or the way stopped:
    /// then what was read of the last element is not whole.
    pub(crate) fn list(
        &mut self,
        each: impl FnMut(&mut Self) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        self.enclosed(b'[', b']', each)
    }

    /// Goes into an object, and calls with the key of each value, which must be stepped over.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        self.enclosed(b'{', b'}', |walk: &mut Self| {
            let key = walk.string()?;
            walk.take(b':')?;
            each(walk, key)
        })
    }

    fn enclosed(
        &mut self,
        open: u8,
        close: u8,
        mut each: impl FnMut(&mut Self) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        let mut go = || {
            self.take(open)?;
            // An empty list or object.
            if self.take(close).is_ok() {
                return Ok(());
            }
            loop {
                each(self)?;
                if self.stop.is_some() {
                    return Ok(());
                }
                if self.take(b',').is_err() {
                    // No comma: it must be the end. So a trailing comma is an error, as RFC 8259
                    // has it.
                    return self.take(close);
                }
            }
        };
        match go() {
            // A text that was cut ends anywhere. What was read before its end is whole and counts.
            Err(SyntaxError) if self.is_cut => {
                self.stop = Some(StopReason::Cut);
                Ok(())
            }
            gone => gone,
        }
    }
}

/// How many bytes of a string stand for themselves: up to its end, to an escape, or to a control
/// character, which RFC 8259, section 7, wants escaped.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    // The high bit of a byte that is zero. Of those after it, it may say too much: the first one counts.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut at = 0;
    // Eight at a time: an answer is mostly strings, and those are mostly short.
    while let Some(eight) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let escapes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
        let found = (quotes | escapes | controls) & (ONES * 0x80);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += eight.len();
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    let rest = &bytes[at..];
    at + rest.iter().position(ends).unwrap_or(rest.len())
}

/// Goes through the members of an object, unread.
///
/// # Errors
///
/// It is no object.
pub(super) fn members<'a>(
    json: &'a str,
    mut each: impl FnMut(Cow<'a, str>, &'a str),
) -> Result<(), SyntaxError> {
    let mut walk = Walk::new(json);
    walk.object(|walk, key| {
        each(key, walk.value()?);
        Ok(())
    })?;
    walk.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_stands_for_itself_ends_where_each_byte_says(text in "[a-z\"\\\\\u{1}\u{1f}\u{7f}é🦷 !]{0,40}") {
            let bytes = text.as_bytes();
            let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < b' ';
            let end = bytes.iter().position(ends).unwrap_or(bytes.len());
            prop_assert_eq!(plain_bytes(bytes), end);
        }
    }
}
