//! Sequences of answers, in the notation of a table, and what they must lead to; random worlds.

mod faults;
mod properties;
mod queue;
mod script;
mod sequences;
mod worlds;
