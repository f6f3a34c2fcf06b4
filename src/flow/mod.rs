//! Which scenario is this case in? Read from its statuses alone.

mod action;
mod automaton;
mod code;
mod history;
mod many;
mod phase;
mod scenario;
mod set;
mod stage;

pub use crate::status::Symbol;
pub use action::LabAction;
pub use automaton::Reading;
pub use code::UnknownCode;
pub use history::{Arrival, History};
pub use many::{UnevenCases, read_all};
pub use phase::Phase;
pub use scenario::Scenario;
pub use set::{Iter, Member, Set};
pub use stage::Stage;
