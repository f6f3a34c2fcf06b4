//! Packages: what is refused, and what comes out.

pub(crate) mod extremes;
mod hostile;
mod packages;
mod programs;
mod raw;
