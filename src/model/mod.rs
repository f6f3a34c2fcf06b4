//! What the service sends: ids, orders, accounts, files, notifications.
//!
//! *Problem.* What an order, an account or a notification holds is documented in words; keys,
//! types and wrapping are not public.
//!
//! *Default.* Records are read leniently. Keys are compared without regard to case, `_` and
//! `-`; each field goes by several usual names; ids and dates may be numbers or text; a missing
//! or misshapen optional field is no error; what no field took is kept in `extra`. An order must
//! have an order id or an Rx id, and a status. These names are conventions of this crate, not
//! Align's specification.

mod account;
mod asset;
mod id;
pub(crate) mod lenient;
mod notification;
mod order;
mod prescription;
pub(crate) mod shapes;
mod time;
mod tooth_number;

pub use account::Account;
pub use asset::Asset;
pub(crate) use asset::is_known_kind;
pub use id::{AccountId, OrderId, RxId};
pub use notification::Notification;
pub use order::Order;
pub use prescription::{Prescription, Tooth};
#[cfg(feature = "export")]
pub(crate) use prescription::{american, day};
pub(crate) use time::WireTime;
#[cfg(feature = "export")]
pub(crate) use tooth_number::{teeth_between, tooth_number};
