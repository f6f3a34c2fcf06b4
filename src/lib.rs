//! Follow iTero cases through a dental lab, over Align's *Lab Connector* API, without losing one
//! or doing one twice.
//!
//! A lab's software sees of a case its order id, its status and its history. From these it has to
//! follow every way the case can go: direct to the lab, after modeling, after a rescan, milling,
//! interpretation 2. This crate is a typed client for the API ([`client`]), a pure module that reads
//! a history and says which scenarios it can be ([`flow`]), an inbox that turns polling and
//! notifications into deliveries that come until they are acknowledged ([`inbox`]), and a simulator of the service ([`simulator`]), since credentials take
//! months to get.
//!
//! # Where to begin
//!
//! * *Which scenario is it?* [`History`] and the page of [`flow`].
//! * *The whole job*: [`inbox`], and the example `lab_inbox`, which runs against the simulator
//!   without any setup.
//! * *A web server for notifications*, and *hundreds of labs*: the examples
//!   `receive_notifications` and `many_labs`.
//! * *Single calls*: [`Client`].
//! * *No credentials yet*: [`simulator`].
//! * *Why is it so?* [`design`].
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
//! Three kinds of statements stand in these pages, and they are kept apart. *Documented*: Align's
//! own material says it. *Convention*: nothing is documented, and this is our default, which you can
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
//! | `sqlite` | | [`inbox::store`]: cases and tokens in a file, with SQLite compiled in |
//! | `postgres` | | [`inbox::store`]: cases and tokens on PostgreSQL; encrypted with `rustls` |
//! | `simulator` | | [`simulator`] |
//! | `blocking` | | [`blocking`]: `.wait()` for `.await`, in programs without a runtime |
//! | `store-tests` | | `check_case_store` and `check_token_store`, for stores of your own |
// Where a feature is off, links to what it brings lead to the published pages.
#![cfg_attr(
    not(feature = "simulator"),
    doc = "",
    doc = "[`simulator`]: https://docs.rs/lab-connector/latest/lab_connector/simulator/"
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
    doc = "[`inbox`]: https://docs.rs/lab-connector/latest/lab_connector/inbox/",
    doc = "[`inbox::store`]: https://docs.rs/lab-connector/latest/lab_connector/inbox/store/"
)]
#![cfg_attr(
    not(feature = "blocking"),
    doc = "",
    doc = "[`blocking`]: https://docs.rs/lab-connector/latest/lab_connector/blocking/"
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
#[doc = include_str!("../DESIGN.md")]
pub mod design {}
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
    error::{Error, Result, Sent},
    model::{Account, AccountId, Asset, Notification, Order, OrderId, RxId},
    secret::Secret,
    sensitive::Sensitive,
};

/// The README's examples compile and hold.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// And so does the guide's.
#[cfg(all(doctest, feature = "simulator"))]
#[doc = include_str!("../docs/integration-testing.md")]
struct IntegrationTesting;
