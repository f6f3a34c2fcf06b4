//! Follow iTero cases through a dental lab, over Align's *Lab Connector* API, without losing one
//! or doing one twice.
//!
//! ```sh
//! cargo add lab-connector --features sqlite
//! ```
//!
//! The whole job of a lab's software: poll, save, download, and deliver each piece of work until it is
//! acknowledged.
//!
#![cfg_attr(feature = "sqlite", doc = "```no_run")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use lab_connector::inbox::store::SqliteStore;
//! use lab_connector::{Client, Endpoints, FileTokenStore};
//!
//! #[tokio::main]
//! async fn main() -> lab_connector::Result<()> {
//!     let client = Client::builder()
//!         .endpoints(Endpoints::from_file("endpoints.json")?)
//!         .credentials("client id", "client secret")
//!         .token_store(FileTokenStore::open("tokens")?)
//!         .build()?;
//!     let lab = client.account("4711"); // paired before, once
//!     let inbox = lab.inbox(SqliteStore::open("cases.db").await?);
//!     // Without this a lab that is not paired looks like one without cases.
//!     let inbox = inbox.on_round(|round| {
//!         if let Err(error) = round {
//!             eprintln!("{}", error.report());
//!         }
//!     });
//!     inbox
//!         .for_each(|delivery| async move {
//!             let files = delivery.download_all("cases").await?;
//!             println!("{}: {}", delivery.order_id(), delivery.reading().action().advice());
//!             println!("{} files", files.iter().len());
//!             Ok(()) // acknowledged; an error delivers it again later
//!         })
//!         .await
//! }
//! ```
//!
//! Credentials take months to get. [`guide::getting_started`] has the same program against a [simulator] of
//! the service, with sign-in and pairing.
//!
//! # I want to …
//!
//! | I want to … | go to |
//! |---|---|
//! | have a first delivery today | [`guide::getting_started`] |
//! | know which scenario a history is | [`History`], [`flow`] |
//! | do the whole job, also after a crash | [`inbox`]; example [`lab_inbox`] |
//! | sign in and pair | [`Login`]; example [`authorize`] |
//! | read settings from a file or the environment | [`config`] |
//! | see what a real service keeps of the conventions | example [`doctor`] |
//! | make a single call: list, fetch, return a scan | [`Client`], [`Lab`] |
//! | download files, resumed and checked | [`download`]; example [`download`][example-download] |
//! | look into the zip of a case | [`export`]; example [`inspect_export`] |
//! | receive notifications | [`Notification`]; example [`receive_notifications`] |
//! | serve hundreds of labs | example [`many_labs`] |
//! | write a program without async | [`blocking`]; example [`desktop`] |
//! | write it in another language | example [`spool`]: deliveries as folders |
//! | keep cases in SQLite, PostgreSQL or a database of my own | [`inbox::store`] |
//! | test my software | [`guide::testing`], [`simulator`]; example [`custom_transport`] |
//! | know what to do about an error | [`guide::errors`] |
//! | go to Align's service, and into operation | [`guide::going_live`] |
//! | replace software with one row per order | [`guide::migrating`] |
//! | protect patient data | [`guide::security`] |
//! | know what a word means here | [`guide::glossary`] |
//! | know why it is so | [`guide::design`] |
//!
//! [`lab_inbox`]: https://github.com/lab-connector/lab-connector/blob/main/examples/lab_inbox.rs
//! [`authorize`]: https://github.com/lab-connector/lab-connector/blob/main/examples/authorize.rs
//! [`inspect_export`]: https://github.com/lab-connector/lab-connector/blob/main/examples/inspect_export.rs
//! [`receive_notifications`]: https://github.com/lab-connector/lab-connector/blob/main/examples/receive_notifications.rs
//! [`many_labs`]: https://github.com/lab-connector/lab-connector/blob/main/examples/many_labs.rs
//! [`doctor`]: https://github.com/lab-connector/lab-connector/blob/main/examples/doctor.rs
//! [`desktop`]: https://github.com/lab-connector/lab-connector/blob/main/examples/desktop.rs
//! [`spool`]: https://github.com/lab-connector/lab-connector/blob/main/examples/spool.rs
//! [`custom_transport`]: https://github.com/lab-connector/lab-connector/blob/main/examples/custom_transport.rs
//! [example-download]: https://github.com/lab-connector/lab-connector/blob/main/examples/download.rs
//!
//! # The model alone
//!
//! Without features the crate is a pure function from a history to what is known of the case:
//!
//! ```
//! use lab_connector::{History, Scenario};
//!
//! let reading = History::complete(["Lab Review", "iTero Milling", "Lab Review"]).read();
//! assert_eq!(reading.scenario(), Some(Scenario::AfterInterpretation2));
//! println!("{}: {}", reading.stages(), reading.action().advice());
//! ```
//!
//! # Documented, convention, model
//!
//! These pages keep three kinds of statements apart. *Documented*: Align's own material says it.
//! *Convention*: nothing is documented, and this is our default, which you can
//! replace. *Model*: our own reading, made exact so that it can be tested.
//!
//! The crate is independent of Align Technology, Inc.; iTero and MyiTero are its trademarks. The
//! flows follow *Lab Connector Flows*, revision 3 (08 Jun 2023), in our own words.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `client` | yes | everything but [`status`] and [`flow`], which are always there and bring no dependency |
//! | `rustls` | yes | TLS, with the default cryptography of rustls and the roots of the platform |
//! | `rustls-no-provider` | | TLS with the cryptography that the application installs |
//! | `reqwest-0_13` | | `ClientBuilder::reqwest_client`, exempt from semver |
//! | `tracing` | yes | events for `tracing`, without secrets and patient data |
//! | `serde` | with `client` | (de)serialization of statuses, histories and readings |
//! | `export` | | [`export`]: opens the zip of a case without trusting it |
//! | `sqlite` | | [`inbox::store`]: cases and tokens in a file, with SQLite compiled in. A program links one SQLite: beside it go rusqlite 0.39 to 0.43 and sqlx 0.9 |
//! | `postgres` | | [`inbox::store`]: cases and tokens on PostgreSQL; encrypted with `rustls` |
//! | `simulator` | | [`simulator`] |
//! | `blocking` | | [`blocking`]: `.wait()` for `.await`, in programs without a runtime |
//! | `store-tests` | | `check_case_store` and `check_token_store`, for stores of your own |
// Where a feature is off, links to what it brings lead to the published pages.
#![cfg_attr(
    not(feature = "simulator"),
    doc = "",
    doc = "[`simulator`]: https://docs.rs/lab-connector/latest/lab_connector/simulator/",
    doc = "[simulator]: https://docs.rs/lab-connector/latest/lab_connector/simulator/"
)]
#![cfg_attr(
    not(feature = "export"),
    doc = "",
    doc = "[`export`]: https://docs.rs/lab-connector/latest/lab_connector/export/"
)]
#![cfg_attr(
    not(feature = "client"),
    doc = "",
    doc = "[`client`]: https://docs.rs/lab-connector/latest/lab_connector/client/",
    doc = "[`Client`]: https://docs.rs/lab-connector/latest/lab_connector/client/struct.Client.html",
    doc = "[`Lab`]: https://docs.rs/lab-connector/latest/lab_connector/client/struct.Lab.html",
    doc = "[`Login`]: https://docs.rs/lab-connector/latest/lab_connector/client/struct.Login.html",
    doc = "[`Notification`]: https://docs.rs/lab-connector/latest/lab_connector/model/struct.Notification.html",
    doc = "[`config`]: https://docs.rs/lab-connector/latest/lab_connector/config/",
    doc = "[`download`]: https://docs.rs/lab-connector/latest/lab_connector/download/",
    doc = "[`inbox`]: https://docs.rs/lab-connector/latest/lab_connector/inbox/",
    doc = "[`inbox::store`]: https://docs.rs/lab-connector/latest/lab_connector/inbox/store/"
)]
#![cfg_attr(
    not(feature = "blocking"),
    doc = "",
    doc = "[`blocking`]: https://docs.rs/lab-connector/latest/lab_connector/blocking/"
)]
#![cfg_attr(
    not(all(
        feature = "blocking",
        feature = "export",
        feature = "simulator",
        feature = "sqlite"
    )),
    doc = "",
    doc = "[`guide::getting_started`]: https://docs.rs/lab-connector/latest/lab_connector/guide/getting_started/",
    doc = "[`guide::testing`]: https://docs.rs/lab-connector/latest/lab_connector/guide/testing/",
    doc = "[`guide::errors`]: https://docs.rs/lab-connector/latest/lab_connector/guide/errors/",
    doc = "[`guide::going_live`]: https://docs.rs/lab-connector/latest/lab_connector/guide/going_live/",
    doc = "[`guide::migrating`]: https://docs.rs/lab-connector/latest/lab_connector/guide/migrating/",
    doc = "[`guide::security`]: https://docs.rs/lab-connector/latest/lab_connector/guide/security/",
    doc = "[`guide::glossary`]: https://docs.rs/lab-connector/latest/lab_connector/guide/glossary/",
    doc = "[`guide::design`]: https://docs.rs/lab-connector/latest/lab_connector/guide/design/"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![deny(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    rustdoc::broken_intra_doc_links
)]

pub mod flow;
pub mod status;

#[cfg(feature = "client")]
mod access;
#[cfg(feature = "client")]
pub mod auth;
#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod clock;
#[cfg(feature = "client")]
pub mod config;
#[cfg(feature = "client")]
pub mod download;
#[cfg(feature = "client")]
mod durable;
#[cfg(feature = "client")]
pub mod endpoints;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "export")]
pub mod export;
// For readers alone. They name items of all these features.
#[cfg(all(
    any(doc, doctest),
    feature = "blocking",
    feature = "export",
    feature = "simulator",
    feature = "sqlite"
))]
pub mod guide;
#[cfg(feature = "client")]
mod http_date;
#[cfg(feature = "client")]
pub mod inbox;
#[cfg(feature = "client")]
mod key;
#[cfg(feature = "client")]
pub mod model;
#[cfg(feature = "client")]
pub mod retry;
#[cfg(feature = "client")]
mod secret;
#[cfg(feature = "client")]
mod sensitive;
#[cfg(feature = "simulator")]
pub mod simulator;
#[cfg(feature = "client")]
mod text;
#[cfg(feature = "client")]
pub mod transport;
#[cfg(feature = "client")]
mod zip_end;

pub use flow::{History, Scenario};
pub use status::OrderStatus;

#[cfg(feature = "client")]
pub use {
    auth::{FileTokenStore, MemoryTokenStore, TokenStore},
    client::{Client, Lab, Login},
    config::Config,
    endpoints::{Endpoints, Operation},
    error::{Error, Result},
    model::{Account, AccountId, Asset, Notification, Order, OrderId, RxId},
    secret::Secret,
    sensitive::Sensitive,
};

/// The README's examples compile and hold.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
