//! lab-connector
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
pub mod auth;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod clock;
#[cfg(feature = "client")]
pub mod download;
#[cfg(feature = "client")]
pub mod endpoints;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
pub mod inbox;
#[cfg(feature = "client")]
pub mod model;
#[cfg(feature = "client")]
pub mod retry;
#[cfg(feature = "client")]
mod secret;
#[cfg(feature = "simulator")]
pub mod simulator;
#[cfg(feature = "client")]
pub mod transport;

pub use flow::{History, Scenario};
pub use status::OrderStatus;

#[cfg(feature = "client")]
pub use {
    auth::{FileTokenStore, MemoryTokenStore, TokenStore},
    client::{Client, Lab, Login},
    endpoints::{Endpoints, Operation},
    error::{Error, Result, Sent},
    model::{Account, AccountId, Asset, Notification, Order, OrderId, RxId},
    secret::Secret,
};
