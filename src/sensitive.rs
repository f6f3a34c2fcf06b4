//! Values about people.
//!
//! *Problem.* A patient's name gets into a log by way of a struct that derives `Debug`, years after it
//! was written.
//!
//! *Approach.* The type itself prints nothing, so that no holder can. The text must have one way out,
//! by a name that can be searched for.

use std::fmt;

/// A value that says something about a person: it is there, and does not print.
///
/// `Debug` and `Display` show nothing of it, so that it reaches no log by accident. It has no
/// `Serialize`. [`Sensitive::reveal`] is the one way in: search for it to find every place
/// that uses patient data.
///
/// ```
/// use lab_connector::Sensitive;
///
/// let patient = Sensitive::new("Doe, Jane");
/// assert_eq!(format!("{patient} {patient:?}"), "(not shown) (not shown)");
/// assert_eq!(*patient.reveal(), "Doe, Jane");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Sensitive<T>(T);

impl<T> Sensitive<T> {
    /// Takes in a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Sensitive(value)
    }

    /// The value itself: for the lab's own records. It must not reach a log.
    ///
    /// ```
    /// use lab_connector::Order;
    ///
    /// let order: Order = serde_json::from_str(
    ///     r#"{"orderId": 123456789, "status": "Sent", "patient": {"firstName": "Jane", "lastName": "Doe"}}"#,
    /// )?;
    /// let prescription = order.prescription();
    /// // To the lab's own database, and to no log.
    /// let names = prescription.patient_names();
    /// assert_eq!(names.map(|names| *names.reveal()), Some(("Doe", "Jane")));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The same text for every value: not even its length shows.
        f.write_str("(not shown)")
    }
}

impl<T> fmt::Display for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_printed_in_any_form() {
        let value = Sensitive::new("canary".to_owned());
        for text in [
            format!("{value}"),
            format!("{value:?}"),
            format!("{value:#?}"),
            format!("{:?}", Some(&value)),
        ] {
            assert!(!text.contains("canary"), "{text}");
        }
        assert_eq!(value.reveal(), "canary");
    }
}
