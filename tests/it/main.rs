//! One binary over real HTTP on loopback.

mod answers;
mod downloads;
mod leniency;
mod origins;
mod requests;
mod simulator;
mod support;
mod tokens;
