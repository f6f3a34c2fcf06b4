//! First contact: does the configuration fit the service, and which conventions does it keep?
//!
//! *Problem.* Much of the API is not documented. On the day of the first credentials nobody knows which of
//! the crate's conventions hold, and an answer cannot be sent to anybody: it is full of patients.
//!
//! *Approach.* A run asks what software asks, in its order, and notes forms in place of values. It must not
//! change anything at the service beyond one refresh, fetch a file unasked
//! (`the_default_check_takes_no_order_off_the_list`), or put a value into the report
//! (`no_value_of_an_answer_is_in_the_report`).

mod access;
mod advice;
mod form;
mod network;
mod observations;
mod orders;
mod place;
mod report;
mod route;
mod run;
mod twin;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::Client;
use crate::model::{AccountId, RxId};

pub use report::CheckReport;
pub(super) use route::Route;

impl Client {
    /// Begins a check of the configuration against the service: for the day on which the credentials
    /// come, and for every day on which nothing works. Await it for the [`CheckReport`].
    ///
    /// Step by step it asks for what software needs: a connection, *Discovery*, the sign-in page,
    /// tokens, the accounts of a login, the listing of an account, and one order. Nothing is changed at
    /// the service but that the access token is refreshed once, by way of the
    /// [`TokenStore`](crate::TokenStore), as every hour. It asks for a file only on request, so that no
    /// order becomes *Downloaded*.
    ///
    /// ```no_run
    /// # async fn example(client: lab_connector::Client) {
    /// let report = client.check().login("reception").account("4711").await;
    /// println!("{report}");
    /// # }
    /// ```
    pub fn check(&self) -> Check {
        Check {
            client: self.clone(),
            login: None,
            account: None,
            order: None,
            thumbnails: false,
            zip: false,
        }
    }
}

/// A check about to be made, see [`Client::check`]. Await it.
#[must_use = "nothing is checked before this is awaited"]
pub struct Check {
    client: Client,
    login: Option<String>,
    account: Option<AccountId>,
    order: Option<RxId>,
    thumbnails: bool,
    zip: bool,
}

impl Check {
    /// The name of the login that has signed in. Default: none; then its accounts are not asked for.
    pub fn login(mut self, name: impl Into<String>) -> Self {
        self.login = Some(name.into());
        self
    }

    /// The account to look into. Default: of those of the login, the first that is paired.
    pub fn account(mut self, id: impl Into<AccountId>) -> Self {
        self.account = Some(id.into());
        self
    }

    /// The order to fetch by its Rx id: one that is elsewhere shows more. Default: the first that is
    /// listed.
    pub fn order(mut self, rx_id: impl Into<RxId>) -> Self {
        self.order = Some(rx_id.into());
        self
    }

    /// Asks for the first byte of the order's thumbnails too. What makes an order *Downloaded* is not
    /// documented: this may take it off the list, and a service that does not send parts of files sends
    /// the whole. Default: no.
    pub fn thumbnails(mut self) -> Self {
        self.thumbnails = true;
        self
    }

    /// Asks for the first byte of the order's zip too, after the thumbnails. It is more likely than the
    /// thumbnails to take the order off the list. Default: no.
    pub fn zip(mut self) -> Self {
        self.thumbnails = true;
        self.zip = true;
        self
    }
}

impl IntoFuture for Check {
    type Output = CheckReport;
    type IntoFuture = Pin<Box<dyn Future<Output = CheckReport> + Send>>;

    /// Makes the check. What fails is in the report.
    ///
    /// # Cancel safety
    ///
    /// Safe: a refresh that has begun goes on.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run::run(self))
    }
}

/// Without ids.
impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("thumbnails", &self.thumbnails)
            .field("zip", &self.zip)
            .finish_non_exhaustive()
    }
}
