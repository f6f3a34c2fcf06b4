//! A scratch crate for the inbox's planner: `plan` is to become `src/inbox/plan/` of the product,
//! `worlds` judges it.

// What the crate around the planner calls: its roots are renamed when it moves.
pub use lab_connector::{OrderStatus, flow, status};

pub mod plan;
pub mod worlds;
