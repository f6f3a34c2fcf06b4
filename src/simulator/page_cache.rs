//! The pages of *Get Orders* as they were last sent, kept with the lab whose list they show.
//!
//! Software polls far more often than lists change, and would have the same JSON written each time.
//! A page must not outlive the version of the list that it shows.

use std::collections::HashMap;

use axum::http::HeaderValue;
use bytes::Bytes;

/// Pages as they were last sent, for as long as nothing that they show changes.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) version: u64,
    pub(super) pages: HashMap<PageStart, Page>,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum PageStart {
    /// After this place in the list of all cases.
    After(Option<u32>),
    /// After so many.
    Skip(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) bytes: Bytes,
    pub(super) link: Option<HeaderValue>,
    /// The cases that it shows, until it is noted that they were seen.
    pub(super) unseen: Vec<u32>,
}
