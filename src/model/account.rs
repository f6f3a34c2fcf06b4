//! Accounts: the labs that a login may act for.
//!
//! The id is all that the crate needs. A name is shown to whoever chooses a lab, and must not be
//! what anything is found by: two labs may have one name.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fmt;

use super::id::AccountId;
use super::lenient::{self, ExtraFields, MissingField, Record};

/// A lab, as *Get Accounts* lists it. One login may offer several.
#[derive(Clone, PartialEq)]
pub struct Account {
    id: AccountId,
    name: Option<String>,
    extra: ExtraFields,
}

lenient::record!(Fields, "an account" {
    id: AccountId = ["accountid", "id", "accountnumber", "companyid"],
    name: String = ["name", "accountname", "companyname", "displayname"],
});

impl Account {
    /// The account's id.
    #[must_use]
    pub fn id(&self) -> &AccountId {
        &self.id
    }

    /// The lab's name, if the service names it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Fields that have no accessor, by their own keys; see [`Order::extra`](super::Order::extra).
    #[must_use]
    pub fn extra(&self) -> Map<String, Value> {
        self.extra.to_map()
    }
}

impl Record for Account {
    type Fields = Fields;

    // Not `id` or `name`: envelopes have those too.
    const OWN: &'static [&'static str] = &["accountid"];

    fn from_fields(fields: Fields) -> Result<Self, MissingField> {
        Ok(Account {
            id: fields.id.ok_or(MissingField {
                what: "an account without an account id (`accountId`)",
                names: &["accountid"],
            })?,
            name: fields.name,
            extra: fields.extra,
        })
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        Account::from_fields(fields).map_err(|missing| D::Error::custom(missing.what))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
