//! The one integration binary: a module a subject. What needs a service has it over real HTTP on
//! loopback.

mod answers;
mod classify;
mod downloads;

mod downloads_crash;
mod downloads_faults;
mod downloads_many;

mod downloads_server;
mod flow;
mod leniency;
mod misbehaving;
mod origins;
mod raw;
mod reference;
mod requests;
mod simulator;
mod spans;
mod support;
mod tokens;
