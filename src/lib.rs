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

pub use flow::{History, Scenario};
pub use status::OrderStatus;
