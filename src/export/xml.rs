//! XML as a tree, of a size that is known beforehand.
//!
//! *Problem.* XML from outside can read files, call servers and fill memory: by entities, by a
//! document type, by depth. And honest programs write XML that is not quite right.
//!
//! *Approach.* An own tree over a pull parser, with limits for bytes, depth and count. A document
//! with a document type is refused, so that there are no entities but those of XML itself. Signs that
//! XML does not allow are replaced, and an ampersand that begins no reference is one.

use std::borrow::Cow;
use std::fmt;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use super::error::{Error, Reason, Result};
use super::limits::Limits;
use crate::key::same_key;

/// An element, as the document has it.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    pub(super) text: String,
}

impl Element {
    /// What is in it by names: attributes, and elements with what is in them. Of several with one name
    /// it is a list.
    pub(super) fn to_map(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, value)| (name, Value::from(value.as_str())));
        let children = self
            .children
            .iter()
            .map(|child| (&child.name, child.to_json()));
        for (name, value) in attributes.chain(children) {
            put(&mut map, name, value);
        }
        let text = self.text.trim();
        if !text.is_empty() {
            put(&mut map, "text", text.into());
        }
        map
    }

    fn to_json(&self) -> Value {
        if self.attributes.is_empty() && self.children.is_empty() {
            return self.text.trim().into();
        }
        self.to_map().into()
    }

    /// Adds an attribute that was taken out, if there is one.
    pub(super) fn put_back(&mut self, name: &str, value: Option<String>) {
        self.attributes
            .extend(value.map(|value| (name.to_owned(), value)));
    }

    /// Whether nothing is in it.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.children.is_empty() && self.text.trim().is_empty()
    }

    /// Whether it is called so. As with the JSON of the service, the spelling of keys does not
    /// matter.
    pub(super) fn is(&self, name: &str) -> bool {
        same_key(&self.name, name)
    }

    /// Takes out the element of this name, if there is one.
    pub(super) fn take_child(&mut self, name: &str) -> Option<Element> {
        // The first of several; the others stay and so reach `extra`.
        let at = self.children.iter().position(|child| child.is(name))?;
        Some(self.children.remove(at))
    }

    /// Takes out the text that one of the names has: as an attribute, or as an element that
    /// holds nothing but text. A text that is empty is none.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.take_text(name))
    }

    fn take_text(&mut self, name: &str) -> Option<String> {
        let mut attributes = self.attributes.iter();
        let text = if let Some(at) = attributes.position(|(key, _)| same_key(key, name)) {
            self.attributes.remove(at).1
        } else {
            let mut children = self.children.iter();
            // An element with more than text in it is a structure, which must not lose the rest.
            let plain = |child: &Element| child.children.is_empty() && child.attributes.is_empty();
            let at = children.position(|child| child.is(name) && plain(child))?;
            self.children.remove(at).text
        };
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

fn put(map: &mut Map<String, Value>, name: &str, value: Value) {
    match map.get_mut(name) {
        None => drop(map.insert(name.to_owned(), value)),
        Some(Value::Array(several)) => several.push(value),
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

/// The names of what is in it, and no texts.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.attributes.iter().map(|(name, _)| name).collect();
        f.debug_struct("Element")
            .field("name", &self.name)
            .field("attributes", &names)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}

/// Reads a document into a tree.
///
/// A document with a document type is refused: only that could define an entity. So `&` before
/// anything but the five names that XML itself has stands for nothing, and is text as it is written.
/// Programs that write what doctors type leave it there (`A2 & A3`, `&nbsp;`).
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Element> {
    // Before decoding, which takes memory for the whole text.
    if bytes.len() as u64 > limits.manifest_bytes {
        return Err(Error::new(Reason::XmlTooLarge));
    }
    let text = decode(bytes);
    // Some writers fill the last block with zeros.
    let text = without_odd_signs(text.trim_end_matches('\0'));
    let mut reader = Reader::from_str(&text);
    reader.config_mut().allow_dangling_amp = true;
    let mut builder = Builder {
        limits,
        nodes: 0,
        open: Vec::new(),
        root: None,
    };
    loop {
        // The parser's own errors quote the document, which is patient data: they are dropped.
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(start) => builder.start(&start)?,
            Event::Empty(start) => {
                builder.start(&start)?;
                builder.end()?;
            }
            Event::End(_) => builder.end()?,
            Event::Text(text) => builder.text(&text.xml10_content())?,
            Event::CData(text) => builder.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                if let Some(c) = reference.resolve_char_ref().map_err(|_| malformed())? {
                    builder.text(c.encode_utf8(&mut [0; 4]))?;
                } else if let Some(text) = resolve_predefined_entity(&reference) {
                    builder.text(text)?;
                } else {
                    // As it was written: without a document type nothing defines it
                    // (`what_stands_for_nothing_is_text_as_it_is_written`).
                    for part in ["&", &reference, ";"] {
                        builder.text(part)?;
                    }
                }
            }
            Event::DocType(_) => return Err(Error::new(Reason::Entities)),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => return builder.finish(),
        }
    }
}

struct Builder<'a> {
    limits: &'a Limits,
    nodes: usize,
    open: Vec<Element>,
    root: Option<Element>,
}

impl Builder<'_> {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<()> {
        // The parser does not check that there is one root.
        if self.root.is_some() && self.open.is_empty() {
            return Err(malformed().with_detail("a second root"));
        }
        // Freeing the tree recurses, so depth must be limited here.
        if self.open.len() >= self.limits.manifest_depth {
            return Err(Error::new(Reason::XmlTooLarge).with_detail("too deep"));
        }
        self.count()?;
        let mut element = Element {
            // Without the prefix: namespaces differ by version and mean nothing here.
            name: start.local_name().as_ref().to_owned(),
            ..Element::default()
        };
        for attribute in start.attributes() {
            let mut attribute = attribute.map_err(|_| malformed())?;
            self.count()?;
            // The search for twins compares each with each: without a limit the cost would grow with
            // the square.
            if element.attributes.len() >= MOST_ATTRIBUTES {
                return Err(Error::new(Reason::XmlTooLarge).with_detail("too many attributes"));
            }
            if let Some(escaped) = escape_ampersands(&attribute.value) {
                attribute.value = escaped.into();
            }
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|_| malformed())?;
            let name = attribute.key.local_name().as_ref().to_owned();
            element.attributes.push((name, value.into_owned()));
        }
        self.open.push(element);
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > self.limits.manifest_nodes {
            return Err(Error::new(Reason::XmlTooLarge).with_detail("too many elements"));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let element = self.open.pop().ok_or_else(malformed)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<()> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            // Line breaks around the root.
            None if text.trim().is_empty() => {}
            None => return Err(malformed().with_detail("text outside of the root")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element> {
        if !self.open.is_empty() {
            return Err(malformed().with_detail("it breaks off"));
        }
        self.root.ok_or_else(malformed)
    }
}

// Manifests have some dozen. The limit keeps a search of each with each at 65536 steps.
const MOST_ATTRIBUTES: usize = 256;

/// The text, by the byte order mark, or else by how `<?` looks, or else by the encoding that the
/// document declares; what means nothing there becomes U+FFFD. XML 1.0, 4.3.3 and F.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let encoding = match bytes {
        [b'<', 0, b'?', 0, ..] => UTF_16LE,
        [0, b'<', 0, b'?', ..] => UTF_16BE,
        // What declares UTF-16 in single bytes is not UTF-16.
        _ => declared(bytes).map_or(UTF_8, Encoding::output_encoding),
    };
    // A byte order mark is believed before all else.
    encoding.decode(bytes).0
}

/// The encoding that the declaration names.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    // A declaration has some 60 bytes; without it the whole document would be searched.
    const LONGEST: usize = 256;
    let declaration = bytes[..bytes.len().min(LONGEST)].trim_ascii_start();
    let declaration = declaration.strip_prefix(b"<?xml")?;
    let end = declaration.windows(2).position(|window| window == b"?>")?;
    let declaration = std::str::from_utf8(&declaration[..end]).ok()?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    Encoding::for_label(value[1..].split(quote).next()?.as_bytes())
}

/// Replaces signs that XML 1.0 does not have, written plainly or as a number: programs let
/// through what doctors type.
fn without_odd_signs(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| {
        let plain = matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        !plain
    };
    // Most documents have neither, and are not copied.
    if !text.contains(is_odd) && !text.contains("&#") {
        return Cow::Borrowed(text);
    }
    let text = text.replace(is_odd, "\u{fffd}");
    let mut clean = String::with_capacity(text.len());
    let mut rest = &text[..];
    while let Some(at) = rest.find("&#") {
        clean.push_str(&rest[..at]);
        rest = &rest[at..];
        // A reference that never ends is text, and is copied.
        let end = rest.find(';').filter(|end| *end <= LONGEST_REFERENCE);
        let (reference, after) = rest.split_at(end.map_or(2, |end| end + 1));
        let digits = reference.trim_start_matches("&#").trim_end_matches(';');
        let number = match digits.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        let odd = number.is_ok_and(|number| char::from_u32(number).is_none_or(is_odd));
        clean.push_str(if odd { "\u{fffd}" } else { reference });
        rest = after;
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// An attribute's value with each `&` escaped that begins no reference; none if there is none. In
/// text the parser tells them apart.
fn escape_ampersands(value: &str) -> Option<String> {
    let is_bare = |after: &str| {
        let name = after.split_once(';').map(|(name, _)| name);
        !name.is_some_and(|name| name.starts_with('#') || resolve_predefined_entity(name).is_some())
    };
    let mut parts = value.split('&');
    let mut escaped = parts.next()?.to_owned();
    let mut is_changed = false;
    for part in parts {
        let bare = is_bare(part);
        is_changed |= bare;
        escaped.push_str(if bare { "&amp;" } else { "&" });
        escaped.push_str(part);
    }
    is_changed.then_some(escaped)
}

// `&#x10FFFF;` has ten bytes; leading zeros are allowed.
const LONGEST_REFERENCE: usize = 16;

fn malformed() -> Error {
    Error::new(Reason::Xml)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Element, Reason> {
        parse(text.as_bytes(), &Limits::default()).map_err(|error| error.reason())
    }

    #[test]
    fn a_tree_with_texts() {
        let root = read(
            "<?xml version='1.0'?><!-- c --><x:a b='1 &amp; 2'>t&#233;<![CDATA[<&]]><c/> u&lt;</x:a>\n",
        )
        .unwrap();
        assert_eq!((root.name.as_str(), root.text.trim()), ("a", "té<& u<"));
        let attributes: Vec<_> = root
            .attributes
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(attributes, [("b", "1 & 2")]);
        assert!(root.children[0].is_empty() && !root.is_empty());
        let debug = format!("{root:?}");
        assert!(debug.contains("\"b\"") && !debug.contains("1 &") && !debug.contains("té"));
    }

    #[test]
    fn utf_16_is_read() {
        let text = "<a b='é𝄞'/>";
        for unit in [u16::to_le_bytes, u16::to_be_bytes] {
            let units = "\u{FEFF}".encode_utf16().chain(text.encode_utf16());
            let mut bytes: Vec<u8> = units.flat_map(unit).collect();
            let root = parse(&bytes, &Limits::default()).unwrap();
            assert_eq!(root.attributes[0].1, "é𝄞");
            bytes.pop();
            let error = parse(&bytes, &Limits::default()).unwrap_err();
            assert_eq!(error.reason(), Reason::Xml);
            // Without a mark.
            let text = "<?xml version='1.0' encoding='utf-16'?><a>é</a>";
            let bytes: Vec<u8> = text.encode_utf16().flat_map(unit).collect();
            assert_eq!(parse(&bytes, &Limits::default()).unwrap().text, "é");
        }
        assert!(read("\u{FEFF}<a/>").is_ok());
    }

    #[test]
    fn the_declared_encoding_is_believed() {
        for (declared, bytes, expected) in [
            ("windows-1252", &b"\x80\xE9"[..], "€é"),
            ("ISO-8859-1", b"\xE9", "é"),
            ("windows-1255", b"\xF9", "ש"),
            ("Shift_JIS", b"\x83\x5C", "ソ"),
            ("utf-8", b"a\xE9b", "a\u{fffd}b"),
            ("utf-16", "é".as_bytes(), "é"),
            ("nobody-knows", "é".as_bytes(), "é"),
        ] {
            let declaration = format!("<?xml version=\"1.0\" encoding = '{declared}'?><a>");
            let document = [declaration.as_bytes(), bytes, b"</a>"].concat();
            let root = parse(&document, &Limits::default()).unwrap();
            assert_eq!(root.text, expected, "{declared}");
        }
    }

    #[test]
    fn odd_signs_are_replaced() {
        for odd in [
            "&#0;",
            "&#x1f;",
            "&#xB;",
            "\u{b}",
            "&#xD800;",
            "&#55357;",
            "&#x110000;",
            "\u{ffff}",
        ] {
            let root = read(&format!("<a b='1{odd}2'>3{odd}4</a>")).unwrap();
            assert_eq!(root.text, "3\u{fffd}4", "{odd:?}");
            assert_eq!(root.attributes[0].1, "1\u{fffd}2", "{odd:?}");
        }
        assert_eq!(
            read("<a>&#233;&#x41;&#10;&amp;#0;</a>").unwrap().text,
            "éA\n&#0;"
        );
        for text in ["<a>&#x;</a>", "<a>&#99999999999999;</a>"] {
            assert_eq!(read(text), Err(Reason::Xml), "{text}");
        }
    }

    #[test]
    fn entities_are_not_expanded() {
        for text in [
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "<a><!DOCTYPE a [<!ENTITY x 'y'>]>&x;</a>",
        ] {
            assert_eq!(read(text), Err(Reason::Entities), "{text}");
        }
    }

    #[test]
    fn what_stands_for_nothing_is_text_as_it_is_written() {
        for text in [
            "A2 & A3",
            "A2 & A3; B1",
            "&",
            "&&",
            "&;",
            "A & B & C",
            "a&nbsp;b",
            "&x;",
            "&amp &lt",
            "&#",
            "?a=1&b=2",
            "&nbsp;&nbsp",
        ] {
            let root = read(&format!("<a b='{text}'>{text}</a>"));
            let root = root.unwrap_or_else(|reason| panic!("{text}: {reason:?}"));
            assert_eq!(root.text, text);
            assert_eq!(root.attributes[0].1, text);
        }
        // Beside what stands for something, and where nothing does.
        let root = read("<a b='&amp; & &#233;&lt;'>&amp; & &#233;&lt;<![CDATA[ & &amp;]]></a>");
        let root = root.unwrap();
        assert_eq!(root.text, "& & é< & &amp;");
        assert_eq!(root.attributes[0].1, "& & é<");
    }

    #[test]
    fn what_is_not_xml_is_refused() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "<a b=1/>",
            "<a b='1' b='2'/>",
            "<a",
            "<a b='&#x;'/>",
        ] {
            assert_eq!(read(text), Err(Reason::Xml), "{text}");
        }
    }

    #[test]
    fn size_and_depth_are_limited() {
        let deep = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(read(&deep(32)).is_ok());
        assert_eq!(read(&deep(33)), Err(Reason::XmlTooLarge));
        assert_eq!(read(&deep(100_000)), Err(Reason::XmlTooLarge));
        let wide = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count));
        assert!(read(&wide(99_999)).is_ok());
        assert_eq!(read(&wide(100_000)), Err(Reason::XmlTooLarge));
        let attributes: String = (0..300).map(|n| format!(" a{n}=''")).collect();
        assert_eq!(read(&format!("<a{attributes}/>")), Err(Reason::XmlTooLarge));
        let small = Limits::default().manifest_bytes(3);
        let error = parse(b"<a/>", &small).unwrap_err();
        assert_eq!(error.reason(), Reason::XmlTooLarge);
    }
}
