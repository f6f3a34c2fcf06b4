//! Guides: what a developer reads from the first hour to the first year.
//!
//! | guide | for whom |
//! |---|---|
//! | [getting started](getting_started) | from nothing to the first delivery, against the simulator |
//! | [going live](going_live) | from the simulator to Align's service, and into operation |
//! | [errors] | what a program does about each error |
//! | [observing] | operation: events, spans and figures |
//! | [testing your integration](testing) | automated tests, in Rust or any other language |
//! | [migrating] | software that keeps one row per order today |
//! | [security and patient data](security) | whoever answers for the data |
//! | [upgrading], [changelog] | a new version of the crate |
//! | [glossary] | what a word means on these pages |
//! | [design] | why things are as they are |
//!
//! The guides exist in the documentation only; nothing of them is compiled into a program.

#[doc = include_str!("../../CHANGELOG.md")]
#[doc = ""]
#[doc = "[Unreleased]: https://github.com/lab-connector/lab-connector/commits/main"]
pub mod changelog {}

#[doc = include_str!("../../DESIGN.md")]
pub mod design {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("getting-started.md")]
pub mod getting_started {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}

#[doc = include_str!("going-live.md")]
pub mod going_live {}

#[doc = include_str!("migrating.md")]
pub mod migrating {}

#[doc = include_str!("observing.md")]
pub mod observing {}

#[doc = include_str!("security.md")]
#[doc = include_str!("../../SECURITY.md")]
pub mod security {}

#[doc = include_str!("../../docs/integration-testing.md")]
pub mod testing {}

#[doc = include_str!("../../UPGRADING.md")]
pub mod upgrading {}
