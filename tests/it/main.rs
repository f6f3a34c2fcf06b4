//! The one integration binary: a module a subject. What needs a service has it over real HTTP on
//! loopback.

mod answers;
mod canary;
mod classify;
mod decoding;
mod discovery;
mod downloads;
mod export;
mod flow;
mod hostile;
mod interop;
mod leniency;
mod misbehaving;
mod network;
mod origins;
mod paging;
mod raw;
mod reference;
mod requests;
mod simulator;
mod spans;
mod support;
mod time;
mod token_life;
mod tokens;
mod watch;
