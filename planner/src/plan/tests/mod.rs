//! Sequences of answers, in the notation of a table, and what they must lead to.

mod faults;
mod properties;
mod script;
mod sequences;
