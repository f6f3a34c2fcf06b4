//! The name of this process among those that share a store.

use std::sync::OnceLock;

/// A name that no other process has, for as long as this one lives: all inboxes of a process share
/// it, so that a store has one row for it and not one for each account.
pub(super) fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    // By chance and not by the process's number, which systems use again, and which containers
    // share.
    NAME.get_or_init(|| format!("{:032x}", fastrand::u128(..)))
}
