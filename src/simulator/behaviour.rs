//! What nobody outside Align knows, and the simulator therefore does in either way.
//!
//! *Problem.* The specification is not public, and software that fits one guess fails on the day of
//! another.
//!
//! *Approach.* A switch for each open point, with the crate's convention as its default. A combination
//! that cannot be played must be refused when it is set, not by the first call. Names of switches are
//! in files of users and must not change.

use serde::{Deserialize, Serialize};

use super::settings::{self, InvalidSettings};

/// How the service behaves where nothing is documented.
///
/// The default is the convention of this crate, on each point. Software that works with every
/// other choice too works with whatever the specification turns out to say. As JSON it is an
/// object; what is left out has its default.
///
/// ```
/// use lab_connector::simulator::{Behaviour, KeyCase, Simulator};
///
/// let behaviour = Behaviour::from_json(r#"{ "keys": "pascal", "asset_urls": "signed" }"#)?;
/// assert_eq!(behaviour.keys, KeyCase::Pascal);
/// let service = Simulator::builder().behaviour(behaviour);
/// # Ok::<(), lab_connector::simulator::InvalidSettings>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Behaviour {
    /// What makes an order *Downloaded*.
    pub downloaded_by: DownloadedBy,
    /// Whether the order is sent back only with a `reason`.
    pub return_needs_reason: bool,

    /// Whether a refresh brings a new refresh token, and the old one is used up.
    pub refresh_rotation: bool,
    /// For so many seconds a refresh token that is used up goes on working.
    pub refresh_grace: u64,
    /// Whether a refresh token that is used twice revokes every token that came from the same
    /// sign-in or pairing, as RFC 9700 section 4.14 recommends and Auth0 does it.
    pub family_revocation: bool,
    /// After so many seconds a refresh token ends; none: never.
    pub refresh_life: Option<u64>,
    /// Which older tokens a pairing ends.
    pub pairing_revokes: PairingRevokes,
    /// Whether the sign-in must come with a PKCE challenge.
    pub pkce_required: bool,

    /// How keys are spelled in what is not OAuth's.
    pub keys: KeyCase,
    /// In what a list comes.
    pub lists: Lists,
    /// How a list of orders is divided.
    pub paging: Paging,
    /// How many orders a page holds, where there are pages; at least one.
    pub page_size: usize,
    /// What an empty list of orders is.
    pub empty_list: EmptyList,
    /// How ids of orders, prescriptions, accounts and files are written.
    pub ids: Ids,
    /// How statuses are spelled.
    pub statuses: StatusSpelling,
    /// How times are written.
    pub times: Times,
    /// Whether an order has its history with it.
    pub history: bool,
    /// Whether objects have fields that nobody expects.
    pub unknown_fields: bool,
    /// What of an order is shown that is neither with the lab nor in its list.
    pub elsewhere: Elsewhere,
    /// What an answer is that reports an error.
    pub errors: ErrorBodies,
    /// In which form Discovery answers.
    pub discovery: DiscoveryForm,

    /// Whether listed orders name their files; an order by its Rx id does always.
    pub assets_in_listing: bool,
    /// What a file's id is.
    pub asset_ids: AssetIds,
    /// Where files are.
    pub asset_urls: AssetUrls,
    /// For so many seconds a signed URL is good.
    pub asset_url_life: u64,
    /// Whether a file's size is stated.
    pub asset_sizes: bool,
    /// Whether the time of a file's change is stated.
    pub asset_times: bool,
    /// Whether a file's SHA-256 is stated, in the order and in a `Repr-Digest` header.
    pub asset_digests: bool,
    /// Whether a part of a file can be asked for.
    pub ranges: bool,
    /// Whether files have an `ETag`.
    pub etags: bool,

    /// How many calls a minute of simulated time are taken for an account, and how many of what
    /// concerns none; none: any number. The others are answered 429, with the time to come again.
    pub rate_limit: Option<u32>,

    /// The body of a notification.
    pub notifications: NotificationBody,
    /// How often a notification that is not taken is posted again.
    pub notification_retries: u32,

    /// The status of a successful *Pair*.
    pub pair_code: u16,
    /// The status of a successful *Un Pair*; with 204 there is no body.
    pub unpair_code: u16,
    /// The status of a successful *Return Scan*; with 204 there is no body.
    pub return_code: u16,
    /// The status of a successful *Revoke Token*; with 204 there is no body.
    pub revoke_code: u16,
    /// The status where an order cannot be returned from where it is.
    pub conflict_code: u16,
    /// The status where there is no such order or file.
    pub missing_code: u16,
    /// The status of a signed URL that is no longer good.
    pub expired_code: u16,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            downloaded_by: DownloadedBy::default(),
            return_needs_reason: false,
            refresh_rotation: true,
            refresh_grace: 0,
            family_revocation: true,
            refresh_life: None,
            pairing_revokes: PairingRevokes::default(),
            pkce_required: false,
            keys: KeyCase::default(),
            lists: Lists::default(),
            paging: Paging::default(),
            page_size: 100,
            empty_list: EmptyList::default(),
            ids: Ids::default(),
            statuses: StatusSpelling::default(),
            times: Times::default(),
            history: false,
            unknown_fields: false,
            elsewhere: Elsewhere::default(),
            errors: ErrorBodies::default(),
            discovery: DiscoveryForm::default(),
            assets_in_listing: true,
            asset_ids: AssetIds::default(),
            asset_urls: AssetUrls::default(),
            asset_url_life: 15 * 60,
            asset_sizes: true,
            asset_times: true,
            asset_digests: false,
            ranges: true,
            etags: true,
            rate_limit: None,
            notifications: NotificationBody::default(),
            notification_retries: 0,
            pair_code: 200,
            unpair_code: 204,
            return_code: 204,
            revoke_code: 200,
            conflict_code: 409,
            missing_code: 404,
            expired_code: 403,
        }
    }
}

impl Behaviour {
    /// Reads a behaviour from JSON.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, has a key that no switch has or a value that its switch does not
    /// take; the error names it and says what would do.
    pub fn from_json(json: &str) -> Result<Self, InvalidSettings> {
        let behaviour: Behaviour = settings::read(json)?;
        behaviour.check()?;
        Ok(behaviour)
    }

    /// Reads a behaviour from a JSON file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or as [`Behaviour::from_json`].
    pub fn from_file(path: impl AsRef<std::path::Path>) -> Result<Self, InvalidSettings> {
        settings::file(path.as_ref(), Self::from_json)
    }

    /// Whether every value is one that can be played.
    pub(super) fn check(&self) -> Result<(), InvalidSettings> {
        let wrong = |what: String| Err(InvalidSettings::new(what));
        // Pages without orders would follow each other without end.
        if self.page_size == 0 {
            return wrong("`page_size` must be at least 1".to_owned());
        }
        if self.asset_ids == AssetIds::Absent && self.asset_urls == AssetUrls::Absent {
            return wrong(
                "`asset_ids` and `asset_urls` are both absent: no file could be fetched".to_owned(),
            );
        }
        let successes = [
            ("pair_code", self.pair_code),
            ("unpair_code", self.unpair_code),
            ("return_code", self.return_code),
            ("revoke_code", self.revoke_code),
        ];
        for (name, code) in successes {
            // Pairing returns tokens, and 204 has no body for them.
            let empty = name == "pair_code" && code == 204;
            if !matches!(code, 200 | 201 | 202 | 204) || empty {
                let all = if name == "pair_code" { "" } else { ", 204" };
                return wrong(format!("`{name}` must be one of 200, 201, 202{all}"));
            }
        }
        let refusals = [
            ("conflict_code", self.conflict_code),
            ("missing_code", self.missing_code),
            ("expired_code", self.expired_code),
        ];
        for (name, code) in refusals {
            if !(400..=499).contains(&code) {
                return wrong(format!("`{name}` must be from 400 to 499"));
            }
        }
        Ok(())
    }
}

macro_rules! choices {
    ($($(#[$meta:meta])* $name:ident { $(#[$first:meta])* $default:ident, $($(#[$more:meta])* $variant:ident,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(rename_all = "snake_case")]
            #[non_exhaustive]
            pub enum $name {
                $(#[$first])*
                ///
                /// The default.
                #[default]
                $default,
                $($(#[$more])* $variant,)*
            }
        )*
    };
}

choices! {
    /// What makes an order *Downloaded*.
    DownloadedBy {
        /// The last byte of its zip was sent.
        ZipComplete,
        /// Its zip was asked for.
        ZipRequested,
        /// The last byte of its thumbnails was sent.
        ThumbnailsComplete,
        /// Any of its files was asked for.
        AnyAsset,
        /// Nothing: it stays in the list until something else happens to it.
        Nothing,
    }

    /// Which older tokens a pairing ends.
    PairingRevokes {
        /// None.
        Nothing,
        /// Those of the account that is paired.
        Account,
        /// Those of the account, and those of the sign-in that pairs it.
        AccountAndLogin,
    }

    /// How keys are spelled.
    KeyCase {
        /// `orderId`.
        Camel,
        /// `OrderId`.
        Pascal,
        /// `order_id`.
        Snake,
    }

    /// In what a list comes.
    Lists {
        /// An object: `{"orders": […]}`.
        Wrapped,
        /// Nothing.
        Bare,
        /// Two objects: `{"data": {"orders": […]}}`.
        Nested,
    }

    /// How a list of orders is divided. A bare list has no room for what the last three say:
    /// its pages are linked by the header.
    Paging {
        /// Not at all.
        None,
        /// The next page is named by a `Link` header.
        Link,
        /// The next page is named by a cursor beside the list.
        Cursor,
        /// Pages are counted, from 1.
        Page,
        /// Orders are counted, from 0.
        Offset,
    }

    /// What an empty list of orders is.
    EmptyList {
        /// A list without orders.
        List,
        /// An object or list of lists in which the list is `null`; a bare one is `[]`.
        Null,
    }

    /// How ids are written.
    Ids {
        /// As text.
        Text,
        /// As numbers. The ids of files and prescriptions become others; an account's id that is
        /// no number stays text.
        Number,
    }

    /// How statuses are spelled.
    StatusSpelling {
        /// `Ready for Download`.
        Spaced,
        /// `readyForDownload`.
        Camel,
        /// `READY_FOR_DOWNLOAD`.
        ScreamingSnake,
        /// `Ready for Download (For the Lab)`.
        Noted,
    }

    /// How times are written.
    Times {
        /// `2026-03-14T09:26:53.000Z`.
        Rfc3339,
        /// `2026-03-14T09:26:53`, in UTC.
        Civil,
        /// Milliseconds since 1970, as a number.
        UnixMillis,
        /// Not at all.
        Absent,
    }

    /// What of an order is shown that is with the doctor, with Align or on its way.
    Elsewhere {
        /// All of it.
        Full,
        /// All but its files: an empty list.
        WithoutFiles,
        /// Nothing: there is no such order, until it comes back.
        Missing,
    }

    /// What an answer is that reports an error; OAuth's have their own form.
    ErrorBodies {
        /// An object: `{"error": "not_found", "error_description": "…"}`.
        Flat,
        /// An object in an object: `{"error": {"code": …, "message": …}}`.
        Nested,
        /// Plain text.
        Text,
        /// Nothing.
        Empty,
    }

    /// In which form Discovery answers.
    DiscoveryForm {
        /// An object of names and endpoints.
        Endpoints,
        /// A list of names, domains and paths.
        List,
        /// A domain, and an object of names and paths.
        Domain,
    }

    /// What a file's id is.
    AssetIds {
        /// Another one when the file changes.
        PerRevision,
        /// The same one for the zip of an order, however often it changes.
        PerOrder,
        /// There is none.
        Absent,
    }

    /// Where files are.
    AssetUrls {
        /// At the endpoint of *Download Asset*; the order has the URL.
        SameHost,
        /// On another origin, which takes no token: signed URLs that expire.
        Signed,
        /// At the endpoint; the order has no URL.
        Absent,
    }

    /// The body of a notification.
    NotificationBody {
        /// A JSON object.
        Json,
        /// A form.
        Form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_default_and_what_is_written_is_read() {
        assert_eq!(Behaviour::from_json("{}").unwrap(), Behaviour::default());
        let text = serde_json::to_string(&Behaviour::default()).unwrap();
        assert_eq!(Behaviour::from_json(&text).unwrap(), Behaviour::default());
        let other =
            r#"{"downloaded_by": "any_asset", "statuses": "screaming_snake", "page_size": 2}"#;
        let behaviour = Behaviour::from_json(other).unwrap();
        assert_eq!(behaviour.downloaded_by, DownloadedBy::AnyAsset);
        assert_eq!(behaviour.statuses, StatusSpelling::ScreamingSnake);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (json, named) in [
            (r#"{"key": "camel"}"#, "unknown field `key`"),
            (r#"{"keys": "kebab"}"#, "`camel`, `pascal`, `snake`"),
            (r#"{"history": "yes"}"#, "expected a boolean"),
            (r#"{"page_size": 0}"#, "`page_size` must be at least 1"),
            (
                r#"{"pair_code": 204}"#,
                "`pair_code` must be one of 200, 201, 202",
            ),
            (r#"{"unpair_code": 302}"#, "`unpair_code` must be one of"),
            (r#"{"missing_code": 500}"#, "from 400 to 499"),
            (
                r#"{"asset_ids": "absent", "asset_urls": "absent"}"#,
                "no file",
            ),
            ("[", "EOF"),
        ] {
            let error = Behaviour::from_json(json).unwrap_err().to_string();
            assert!(error.contains(named), "{json}: {error}");
        }
    }
}
