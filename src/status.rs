//! The status of an order, as the service names it.
//!
//! *Problem.* The service says where a case is in one word or three: `Ready for Download`,
//! `Lab Review`, `iTero Milling`. Which words there are is documented only in part, how they are
//! spelled on the wire is not, and a new one may appear any day.
//!
//! *Default.* [`OrderStatus`] knows the thirteen statuses that Align's material and its users
//! name. Reading one never fails. Case, spaces, punctuation and a trailing note in parentheses
//! do not matter: `Lab Review`, `labReview`, `LAB_REVIEW` and `Lab review (waiting)` are one
//! status. Anything else is kept, letter for letter, as an unknown status. A status must never fail
//! to be read, and none must be taken for another: a case would be worked on, or passed over, wrongly.
//!
//! ```
//! use lab_connector::OrderStatus;
//!
//! let status = OrderStatus::from("READY_FOR_DOWNLOAD");
//! assert_eq!(status, OrderStatus::ReadyForDownload);
//! assert!(status.is_listed());
//!
//! let unheard_of = OrderStatus::from("Lost in Transit");
//! assert_eq!(unheard_of.as_str(), "Lost in Transit");
//! assert!(!unheard_of.is_known());
//! ```

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The one table: everything else in this file is made from it.
// One table for text, key, symbol, holder and meaning. Separate lists would drift apart when Align
// adds a status.
macro_rules! statuses {
    ($(
        $(#[$meta:meta])*
        $variant:ident = $text:literal, key $key:literal, shows $symbol:expr, with $holder:ident, $meaning:literal;
    )*) => {
        /// Where an order is, as the service says it.
        ///
        /// The names are documented by Align (the *Lab Connector Flows* and the scanner's and
        /// clinic's views); how they are spelled on the wire is not, so spelling is read
        /// leniently, see the [module's page](self).
        ///
        /// Two unknown statuses are equal when that reading makes them the same, however they
        /// are spelled, just as two known ones are.
        ///
        /// ```
        /// use lab_connector::OrderStatus;
        ///
        /// match OrderStatus::from("labReview") {
        ///     OrderStatus::LabReview => println!("review the model"),
        ///     status if !status.is_known() => println!("new to us: {status}"),
        ///     _ => {}
        /// }
        /// ```
        #[derive(Clone)]
        #[non_exhaustive]
        pub enum OrderStatus {
            $(
                $(#[$meta])*
                #[doc = concat!($meaning, ".")]
                $variant,
            )*
            /// A status that this release does not name. It keeps the text it came with.
            ///
            /// A later release may name it and then no longer reads it as `Unknown`: compare
            /// with [`OrderStatus::is`], which holds before and after.
            Unknown(UnknownStatus),
        }

        impl OrderStatus {
            /// The statuses that this release knows, in the order of a case's way.
            pub const KNOWN: &'static [OrderStatus] = &[$(OrderStatus::$variant),*];

            /// The status as text: the usual spelling of a known one, the exact text of an
            /// unknown one. Reading it back returns an equal status.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(OrderStatus::$variant => $text,)*
                    OrderStatus::Unknown(unknown) => &unknown.0,
                }
            }

            /// What the flow sees of this status; none for statuses that say nothing about a
            /// lab's flow, and for unknown ones.
            #[must_use]
            #[inline]
            pub const fn symbol(&self) -> Option<Symbol> {
                match self {
                    $(OrderStatus::$variant => $symbol,)*
                    OrderStatus::Unknown(_) => None,
                }
            }

            /// What the status means, in a few words; none for an unknown one.
            #[must_use]
            pub const fn meaning(&self) -> Option<&'static str> {
                match self {
                    $(OrderStatus::$variant => Some($meaning),)*
                    OrderStatus::Unknown(_) => None,
                }
            }

            /// Who holds the case while it has this status; none where the status does not say.
            pub(crate) const fn holder(&self) -> Option<Holder> {
                match self {
                    $(OrderStatus::$variant => statuses!(@holder $holder),)*
                    OrderStatus::Unknown(_) => None,
                }
            }

            // Compared with the text as it came: no key is made of it.
            fn from_usual_spelling(text: &str) -> Option<OrderStatus> {
                match text {
                    $($text => Some(OrderStatus::$variant),)*
                    _ => None,
                }
            }

            fn from_key(key: &[u8]) -> Option<OrderStatus> {
                match key {
                    $($key => Some(OrderStatus::$variant),)*
                    _ => None,
                }
            }
        }
    };
    (@holder Nobody) => { None };
    (@holder $holder:ident) => { Some(Holder::$holder) };
}

statuses! {
    RxCreated = "Rx Created", key b"rxcreated", shows Some(Symbol::S), with Doctor,
        "the prescription is filled in, nothing is scanned yet";
    /// `Scanning (For the Dr)` is this status too.
    Scanning = "Scanning", key b"scanning", shows Some(Symbol::S), with Doctor,
        "being scanned, or returned to the doctor for a rescan";
    Sending = "Sending", key b"sending", shows Some(Symbol::S), with System,
        "on the way from the scanner";
    Sent = "Sent", key b"sent", shows Some(Symbol::S), with System,
        "sent by the scanner, not yet with the lab";
    ReadyForDownload = "Ready for Download", key b"readyfordownload", shows Some(Symbol::F), with Lab,
        "a scan or a rescan is ready for the lab";
    IteroModeling = "iTero Modeling", key b"iteromodeling", shows Some(Symbol::M), with Align,
        "with Align's modelers";
    LabReview = "Lab Review", key b"labreview", shows Some(Symbol::R), with Lab,
        "back from modeling or from interpretation 2, the lab reviews it";
    IteroMilling = "iTero Milling", key b"iteromilling", shows Some(Symbol::I), with Align,
        "the model is being milled, or the case is in interpretation 2";
    ReadyToShip = "Ready to Ship", key b"readytoship", shows Some(Symbol::T), with Align,
        "the milled model is ready to ship";
    Downloaded = "Downloaded", key b"downloaded", shows Some(Symbol::D), with Lab,
        "the lab has fetched it; also the last status of the milling flow";
    Completed = "Completed", key b"completed", shows None, with Nobody,
        "seen in the clinic's view, says nothing about a lab's flow";
    AlignProduction = "Align Production", key b"alignproduction", shows None, with Nobody,
        "seen in the clinic's view, says nothing about a lab's flow";
    ExportingToDoctorSite = "Exporting to Doctor Site", key b"exportingtodoctorsite", shows None, with Nobody,
        "seen in the clinic's view, says nothing about a lab's flow";
}

impl OrderStatus {
    /// Whether *Get Orders* lists an order in this status. Documented.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        matches!(self, OrderStatus::ReadyForDownload | OrderStatus::LabReview)
    }

    /// Whether a change to this status is notified. Documented: the same statuses as those
    /// that are listed.
    #[must_use]
    pub const fn is_notified(&self) -> bool {
        self.is_listed()
    }

    /// Whether this release names the status.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        !matches!(self, OrderStatus::Unknown(_))
    }

    /// Whether this is the status that `text` names, read leniently.
    ///
    /// The way to recognise a status that this crate does not name yet: it goes on working
    /// once the crate does.
    ///
    /// ```
    /// # use lab_connector::OrderStatus;
    /// assert!(OrderStatus::from("ON_HOLD").is("On hold"));
    /// ```
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        *self == OrderStatus::from(text)
    }

    fn parse(text: &str) -> Option<OrderStatus> {
        // Nearly always; a few comparisons instead of a walk through the text.
        Self::from_usual_spelling(text).or_else(|| Self::parse_leniently(text))
    }

    fn parse_leniently(text: &str) -> Option<OrderStatus> {
        // No known key is longer; one more byte tells a longer text from a known one.
        const LONGEST: usize = 22;
        let mut key = [0; LONGEST];
        let mut length = 0;
        for &byte in without_note(text).as_bytes() {
            if byte.is_ascii_alphanumeric() {
                // Too long for any known key: the status is unknown.
                *key.get_mut(length)? = byte.to_ascii_lowercase();
                length += 1;
            } else if !byte.is_ascii() {
                // Rare: what is not ASCII may still be a mere sign (a non-breaking space, say).
                return OrderStatus::from_key(full_key(text).as_bytes());
            }
        }
        OrderStatus::from_key(&key[..length])
    }
}

/// What the flow sees of a status: seven letters, the alphabet of the case model.
///
/// A symbol is written as its letter wherever the crate prints or stores it. Model of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Symbol {
    /// With the doctor or on the way from the scanner: *Rx Created*, *Scanning*, *Sending*, *Sent*.
    S,
    /// *Ready for Download*.
    F,
    /// *iTero Modeling*.
    M,
    /// *Lab Review*.
    R,
    /// *iTero Milling*.
    I,
    /// *Ready to Ship*.
    T,
    /// *Downloaded*.
    D,
}

impl Symbol {
    /// All seven, in the order in which the crate prints them.
    pub const ALL: [Symbol; 7] = [
        Symbol::S,
        Symbol::F,
        Symbol::M,
        Symbol::R,
        Symbol::I,
        Symbol::T,
        Symbol::D,
    ];

    /// The letter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Symbol::S => "S",
            Symbol::F => "F",
            Symbol::M => "M",
            Symbol::R => "R",
            Symbol::I => "I",
            Symbol::T => "T",
            Symbol::D => "D",
        }
    }

    /// The symbol with this letter; none but for the seven capital letters.
    #[must_use]
    pub const fn from_letter(letter: char) -> Option<Symbol> {
        Some(match letter {
            'S' => Symbol::S,
            'F' => Symbol::F,
            'M' => Symbol::M,
            'R' => Symbol::R,
            'I' => Symbol::I,
            'T' => Symbol::T,
            'D' => Symbol::D,
            _ => return None,
        })
    }

    /// A status that shows this symbol: its only one, or *Scanning* for [`Symbol::S`].
    #[must_use]
    pub const fn status(self) -> OrderStatus {
        match self {
            // Of the four that show it the one that a return leads to.
            Symbol::S => OrderStatus::Scanning,
            Symbol::F => OrderStatus::ReadyForDownload,
            Symbol::M => OrderStatus::IteroModeling,
            Symbol::R => OrderStatus::LabReview,
            Symbol::I => OrderStatus::IteroMilling,
            Symbol::T => OrderStatus::ReadyToShip,
            Symbol::D => OrderStatus::Downloaded,
        }
    }

    /// Whether an arrival here is a delivery: the case is listed for the lab and notified.
    /// All others are *quiet* and seen only by asking for the order.
    #[must_use]
    pub const fn is_delivery(self) -> bool {
        // Must agree with `OrderStatus::is_listed`. Test
        // `listed_and_notified_are_ready_for_download_and_lab_review`.
        matches!(self, Symbol::F | Symbol::R)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` and not `write_str`: so that a width in the format counts.
        f.pad(self.as_str())
    }
}

/// Who holds a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The clinic.
    Doctor,
    /// On the way from the scanner.
    System,
    /// The dental lab.
    Lab,
    /// Align's modelers, or its mill.
    Align,
}

/// The text of a status that this release does not name; [`OrderStatus::as_str`] returns it.
#[derive(Clone)]
pub struct UnknownStatus(Box<str>);

impl fmt::Debug for UnknownStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for OrderStatus {
    fn from(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| OrderStatus::Unknown(UnknownStatus(text.into())))
    }
}

impl From<String> for OrderStatus {
    fn from(text: String) -> Self {
        // Apart from `&str`: the text of an unknown one moves in and is not copied.
        Self::parse(&text)
            .unwrap_or_else(|| OrderStatus::Unknown(UnknownStatus(text.into_boxed_str())))
    }
}

impl From<Cow<'_, str>> for OrderStatus {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
}

impl From<&OrderStatus> for OrderStatus {
    fn from(status: &OrderStatus) -> Self {
        status.clone()
    }
}

impl From<Symbol> for OrderStatus {
    fn from(symbol: Symbol) -> Self {
        symbol.status()
    }
}

impl AsRef<str> for OrderStatus {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for OrderStatus {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (OrderStatus::Unknown(one), OrderStatus::Unknown(other)) => {
                // The exact text first: it is nearly always equal, and needs no allocation.
                one.0 == other.0 || full_key(&one.0) == full_key(&other.0)
            }
            // A known and an unknown one never read as the same: both came through `parse`.
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for OrderStatus {}

impl Hash for OrderStatus {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Known ones have nothing else; of unknown ones the key follows.
        std::mem::discriminant(self).hash(state);
        if let OrderStatus::Unknown(unknown) = self {
            // Equal statuses must hash alike, so the hash is of the same key as `eq` compares.
            full_key(&unknown.0).hash(state);
        }
    }
}

impl fmt::Debug for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As a text, so that an unknown one looks like any other, escaped.
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for OrderStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for OrderStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StatusVisitor;

        impl serde::de::Visitor<'_> for StatusVisitor {
            type Value = OrderStatus;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status as text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<OrderStatus, E> {
                Ok(OrderStatus::from(text))
            }
        }

        // By a visitor: a text is borrowed where the format can lend it, and known ones allocate
        // nothing.
        deserializer.deserialize_str(StatusVisitor)
    }
}

/// The text without the note in parentheses at its end, if it has one. Parentheses within the
/// note are part of it; a parenthesis that is never opened makes no note.
fn without_note(text: &str) -> &str {
    // A full stop or a space behind the note does not make it another status.
    let end = text.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ')' && c != '(');
    if !end.ends_with(')') {
        return text;
    }
    let mut depth = 0usize;
    for (at, byte) in end.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            // Not below zero: the last byte is a `)`, and the loop returns as soon as the depth is
            // zero.
            b'(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &end[..at];
        }
    }
    text
}

/// What is compared of a text: its letters and digits, in lower case, without a trailing note.
/// A text that has none is compared as it is.
fn full_key(text: &str) -> Cow<'_, str> {
    let key: String = without_note(text)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    // Otherwise `-` and `?` would be one status.
    if key.is_empty() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_of_the_table_is_the_key_of_its_text() {
        assert_eq!(OrderStatus::KNOWN.len(), 13);
        for status in OrderStatus::KNOWN {
            let key = full_key(status.as_str());
            assert_eq!(
                OrderStatus::from_key(key.as_bytes()).as_ref(),
                Some(status),
                "{status}"
            );
            assert_eq!(OrderStatus::from(status.as_str()), *status);
        }
    }

    #[test]
    fn spelling_does_not_matter() {
        for text in [
            "Lab Review",
            "Lab review",
            "labReview",
            "LAB_REVIEW",
            "  lab-review\t",
            "Lab\u{a0}Review",
            "Lab Review (waiting for you)",
            "Lab Review (a (nested) note).",
        ] {
            assert_eq!(OrderStatus::from(text), OrderStatus::LabReview, "{text:?}");
        }
        assert_eq!(
            OrderStatus::from("Scanning (For the Dr)"),
            OrderStatus::Scanning
        );
        assert_eq!(OrderStatus::from("Scanning)("), OrderStatus::Scanning);
    }

    #[test]
    fn what_is_no_trailing_note_counts() {
        for text in [
            "Scanning For the Dr)",
            "Scanning (For the Dr",
            "(Scanning)",
            "(x) Scanning (",
            "Scanning (one) (two)",
            "Lab Réview",
            "Exporting to Doctor Sites",
            "",
            "()",
            "…",
        ] {
            let status = OrderStatus::from(text);
            assert!(!status.is_known(), "{text:?}");
            assert_eq!(status.as_str(), text);
            assert_eq!(OrderStatus::from(status.as_str()), status);
        }
        assert_eq!(
            OrderStatus::from("(For the Dr) Scanning").as_str(),
            "(For the Dr) Scanning"
        );
    }

    #[test]
    fn unknown_statuses_are_equal_by_the_same_rule_as_known_ones() {
        use std::collections::HashSet;
        let spellings: HashSet<_> = ["On hold", "ON_HOLD", "onHold (see note)"]
            .map(OrderStatus::from)
            .into();
        assert_eq!(spellings.len(), 1);
        assert_ne!(OrderStatus::from("?"), OrderStatus::from("!"));
    }

    #[test]
    fn listed_and_notified_are_ready_for_download_and_lab_review() {
        let listed: Vec<_> = OrderStatus::KNOWN
            .iter()
            .filter(|s| s.is_listed())
            .collect();
        assert_eq!(
            listed,
            [&OrderStatus::ReadyForDownload, &OrderStatus::LabReview]
        );
        for status in OrderStatus::KNOWN {
            assert_eq!(status.is_notified(), status.is_listed());
            assert_eq!(
                status.symbol().is_some_and(Symbol::is_delivery),
                status.is_listed()
            );
        }
    }

    #[test]
    fn a_symbol_is_read_from_what_it_prints() {
        for symbol in Symbol::ALL {
            let letter = symbol.as_str().chars().next();
            assert_eq!(letter.and_then(Symbol::from_letter), Some(symbol));
            assert_eq!(symbol.status().symbol(), Some(symbol));
        }
        assert_eq!(Symbol::from_letter('f'), None);
    }
}
