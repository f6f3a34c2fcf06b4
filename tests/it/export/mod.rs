//! Packages: what is refused, and what comes out.

mod hostile;
mod packages;
mod programs;
mod raw;
