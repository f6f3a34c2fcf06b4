//! Notifications: hints that an order changed.

use std::fmt;

use serde::Deserialize;

use super::id::{AccountId, RxId};
use super::lenient;
use crate::error::{Error, Result};

/// What the service posts when a case becomes *Ready for Download* or comes to *Lab Review*.
///
/// Documented is that it carries the Rx id and the account number only; how it is sent is not.
/// It is no more than a hint: anybody can post one, so it makes the software fetch the order
/// and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    rx_id: RxId,
    account_id: Option<AccountId>,
}

lenient::record!(Fields, "a notification" {
    rx_id: RxId = ["rxid", "rx", "prescriptionid", "rxnumber"],
    account_id: AccountId = ["accountnumber", "accountid", "account", "companyid"],
});

impl Notification {
    /// No notification that says only what is documented is longer, in bytes.
    pub const MAX_LENGTH: usize = 64 * 1024;

    /// Reads the body of a notification: a JSON object, or a form.
    ///
    /// # Errors
    ///
    /// [`Error::is_decode`] if it is longer than [`Notification::MAX_LENGTH`], is neither, or
    /// holds no Rx id.
    pub fn parse(body: &[u8]) -> Result<Self> {
        if body.len() > Self::MAX_LENGTH {
            return Err(unreadable("it is longer than 64 KiB"));
        }
        let fields = match serde_json::from_slice::<Fields>(body) {
            Ok(fields) => fields,
            Err(_) if body.trim_ascii_start().starts_with(b"{") => {
                return Err(unreadable("it is not valid JSON"));
            }
            Err(_) => form(body),
        };
        match fields.rx_id.filter(|id| !id.as_str().trim().is_empty()) {
            Some(rx_id) => Ok(Notification {
                rx_id,
                account_id: fields.account_id,
            }),
            None => Err(unreadable("it holds no Rx id (`rxId`)")),
        }
    }

    /// The order that changed.
    #[must_use]
    pub fn rx_id(&self) -> &RxId {
        &self.rx_id
    }

    /// The account it belongs to.
    #[must_use]
    pub fn account_id(&self) -> Option<&AccountId> {
        self.account_id.as_ref()
    }
}

/// A form, read by the rule for JSON objects; any bytes are a form of some kind.
fn form(body: &[u8]) -> Fields {
    let object = url::form_urlencoded::parse(body)
        .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
        .collect();
    Fields::deserialize(serde_json::Value::Object(object)).unwrap_or_default()
}

fn unreadable(why: &str) -> Error {
    Error::decode(why).with_operation("Scan notification")
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("rx_id", &self.rx_id)
            .field("account_id", &self.account_id)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_forms_are_read() {
        for body in [
            r#"{"rxId": "77", "accountNumber": "12"}"#,
            r#"{"RX_ID": 77, "account_number": 12, "more": true}"#,
            "rxId=77&accountNumber=12",
            "RX-ID=77&AccountNumber=12&x",
        ] {
            let notification = Notification::parse(body.as_bytes()).unwrap();
            assert_eq!(notification.rx_id().as_str(), "77", "{body}");
            assert_eq!(notification.account_id().map(AccountId::as_str), Some("12"));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            "",
            "{}",
            r#"{"rxId": ""}"#,
            r#"{"rxId": ["#,
            "[1]",
            "hello",
            r#"{"rxId": {}}"#,
        ] {
            let error = Notification::parse(body.as_bytes()).unwrap_err();
            assert!(error.is_decode(), "{body}");
        }
        assert!(Notification::parse(&vec![b' '; Notification::MAX_LENGTH + 1]).is_err());
    }
}
