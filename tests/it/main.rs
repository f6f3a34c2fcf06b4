//! The one integration binary: a module a subject.

mod classify;
mod flow;
mod reference;
mod token_life;
