//! Why an action was refused.

use std::fmt;

use crate::flow::Phase;

/// An action that does not fit where the case is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    action: &'static str,
    phase: Option<Phase>,
}

impl Refusal {
    pub(super) fn new(action: &'static str, phase: Option<Phase>) -> Self {
        Refusal { action, phase }
    }

    /// Where the case is; none if there is no such case or account.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Some(phase) => write!(
                f,
                "cannot {}: the case is in {phase} ({})",
                self.action,
                phase.shows().status()
            ),
            None => write!(
                f,
                "cannot {}: there is no such case or account",
                self.action
            ),
        }
    }
}

impl std::error::Error for Refusal {}
