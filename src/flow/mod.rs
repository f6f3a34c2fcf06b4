//! Which scenario is this case in? Read from its statuses alone.

mod action;
mod automaton;
mod diagram;
mod explain;
mod history;
mod perspective;
mod phase;
mod scenario;
mod set;
mod stage;

pub use crate::status::Symbol;
pub use action::LabAction;
pub use automaton::Reading;
pub use diagram::Diagram;
pub use explain::{Deviation, Explanation, Why};
pub use history::{Arrival, History};
pub use perspective::Perspective;
pub use phase::Phase;
pub use scenario::Scenario;
pub use set::{Iter, Member, Set};
pub use stage::Stage;
