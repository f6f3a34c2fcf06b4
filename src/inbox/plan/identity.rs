//! Which order an answer is about.
//!
//! *Problem.* A service can answer with another order than the one that was asked for, and with ids
//! that say nothing. What follows from such an answer would give one patient the files of another.
//!
//! *Approach.* Ids are compared where both sides have one. One that differs is enough: an answer
//! must never be taken because the other id fits.

/// An id as the service gave it, unless it is its type's default: 0, an empty GUID, blanks. Two
/// orders with such an id have no more in common than two without one.
pub(in crate::inbox) fn present(id: &str) -> Option<&str> {
    let says_something =
        |sign: char| !matches!(sign, '0' | '-' | '{' | '}') && !sign.is_whitespace();
    id.contains(says_something).then_some(id)
}

/// The order that was asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct FetchTarget<'a> {
    /// None if the order is known by its Rx id alone, or not at all.
    pub(in crate::inbox) order_id: Option<&'a str>,
    pub(in crate::inbox) rx_id: &'a str,
}

/// What a fetched answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inbox) enum Subject<'a> {
    /// The order asked for.
    Asked,
    /// Another order. Of the one asked for this is a failed fetch and a problem; the Rx id that
    /// it names is hinted at, unless it is the one asked for, which would go round in circles.
    Other { hint: Option<&'a str> },
}

impl<'a> FetchTarget<'a> {
    /// The order that is recorded under this key, which is its Rx id where it has no order id.
    pub(in crate::inbox) fn new(case: &'a str, rx_id: &'a str) -> Self {
        FetchTarget {
            order_id: (case != rx_id).then_some(case),
            rx_id,
        }
    }
}

impl<'a> FetchTarget<'_> {
    /// An answer without an id is about the order asked for.
    pub(in crate::inbox) fn subject(
        &self,
        order_id: Option<&'a str>,
        rx_id: Option<&'a str>,
    ) -> Subject<'a> {
        let order_id = order_id.and_then(present);
        let rx_id = rx_id.and_then(present);
        let is_other_order = self.order_id.zip(order_id).is_some_and(|(a, b)| a != b);
        let is_other_rx = rx_id.is_some_and(|rx_id| !is_same_rx(rx_id, self.rx_id));
        if is_other_order || is_other_rx {
            let hint = rx_id.filter(|rx_id| *rx_id != self.rx_id);
            return Subject::Other { hint };
        }
        Subject::Asked
    }
}

/// Whether two Rx ids are of one prescription. They may be GUIDs, and services write those in either
/// case.
pub(in crate::inbox) fn is_same_rx(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_no_id() {
        for id in [
            "",
            " ",
            "0",
            "000",
            "00000000-0000-0000-0000-000000000000",
            "{00000000-0000-0000-0000-000000000000}",
        ] {
            assert_eq!(present(id), None, "{id:?}");
        }
        for id in ["10", "a", "00000000-0000-0000-0000-000000000001", "007"] {
            assert_eq!(present(id), Some(id));
        }
    }

    #[test]
    fn an_answer_is_about_the_order_asked_for_unless_it_names_another() {
        let asked = FetchTarget {
            order_id: Some("1"),
            rx_id: "7",
        };
        let same = Subject::Asked;
        assert_eq!(asked.subject(None, None), same);
        assert_eq!(asked.subject(Some("0"), Some(" ")), same);
        assert_eq!(asked.subject(Some("1"), Some("7")), same);
        let other = |hint| Subject::Other { hint };
        assert_eq!(asked.subject(Some("2"), Some("7")), other(None));
        assert_eq!(asked.subject(Some("2"), None), other(None));
        assert_eq!(asked.subject(Some("1"), Some("8")), other(Some("8")));
        let guid = FetchTarget::new("1", "0aF");
        assert_eq!(guid.subject(None, Some("0Af")), same);
        let unknown = FetchTarget {
            order_id: None,
            rx_id: "7",
        };
        assert_eq!(unknown.subject(Some("3"), None), same);
    }
}
