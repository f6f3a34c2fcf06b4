//! The one integration binary: a module a subject.

mod classify;
mod decoding;
mod flow;
mod network;
mod paging;
mod reference;
