//! Which scenario is this case in? Read from its statuses alone.

mod action;
mod arrival;
mod automaton;
mod history;
mod millis;
mod phase;
pub mod plan;
mod scenario;
mod set;
mod stage;

pub use crate::status::Symbol;
pub use action::LabAction;
pub use arrival::{Arrival, Origin};
pub use automaton::Reading;
pub use history::{Delivered, History};
pub use phase::Phase;
pub use scenario::Scenario;
pub use set::{Iter, Member, Set};
pub use stage::Stage;
