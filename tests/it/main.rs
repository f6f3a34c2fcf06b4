//! The one integration binary: a module a subject. What needs a service has it over real HTTP on
//! loopback.

mod answers;
mod classify;
mod downloads;
mod export;
mod flow;
mod leniency;
mod origins;
mod reference;
mod requests;
mod simulator;
mod support;
mod tokens;
