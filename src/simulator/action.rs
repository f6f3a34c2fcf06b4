//! What people can do with a case, in one table.
//!
//! Where an action leads follows from `flow::Phase`, the same table that the client reads histories by:
//! people must not be able to do what the model says cannot happen
//! (`actions_lead_where_the_phase_table_does_and_to_every_phase`).

use std::fmt;
use std::str::FromStr;

use crate::flow::Phase;

macro_rules! actions {
    ($($variant:ident = $name:literal, $phrase:literal, $meaning:literal;)*) => {
        /// Something that people do with a case, outside the API.
        ///
        /// Each is a method of [`Simulator`](super::Simulator) too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Action {
            $(
                #[doc = concat!($meaning, ".")]
                $variant,
            )*
        }

        impl Action {
            /// Every action, in the order of a case's way.
            pub const ALL: &'static [Action] = &[$(Action::$variant),*];

            /// The name by which it is asked for.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Action::$variant => $name),* }
            }

            /// In words that follow *cannot*.
            #[must_use]
            pub const fn phrase(self) -> &'static str {
                match self { $(Action::$variant => $phrase),* }
            }

            /// What happens, in a few words.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Action::$variant => $meaning),* }
            }
        }
    };
}

actions! {
    BeginScan = "begin_scan", "begin the scan", "the doctor begins to scan";
    FinishScan = "finish_scan", "finish the scan", "the scan is sent to the lab";
    Download = "download", "download in the portal", "the lab fetches the files in the portal";
    SendToModeling = "send_to_modeling", "send to modeling", "the lab asks for modeling";
    RequestMilling = "request_milling", "request milling", "the lab asks for a milled model";
    FinishModeling = "finish_modeling", "finish modeling", "the modelers are done";
    Proceed = "proceed", "proceed to milling", "the lab approves, and the model is milled";
    BeginInterpretation = "begin_interpretation", "begin interpretation 2", "the case takes the way through interpretation 2";
    InterpretationToMilling = "interpretation_to_milling", "mill after interpretation 2", "interpretation 2 is done, the model is milled";
    InterpretationToReview = "interpretation_to_review", "send back to review", "interpretation 2 is done, the lab reviews again";
    FinishMilling = "finish_milling", "finish milling", "the model is milled";
    Ship = "ship", "ship", "the model is shipped";
    ReturnToDoctor = "return_to_doctor", "return to the doctor", "the lab sends the case back";
    Rescan = "rescan", "rescan", "the doctor has scanned again";
}

impl Action {
    /// The phase in which the case then is; none where this cannot be done.
    #[must_use]
    pub fn leads(self, from: Phase) -> Option<Phase> {
        use Phase::*;
        Some(match (self, from) {
            // The phase stays, and only the status changes: *Rx Created* becomes *Scanning*.
            (Action::BeginScan, Scan) => Scan,
            (Action::FinishScan, Scan) => AtLab,
            (Action::Download, _) => downloaded(from)?,
            (Action::SendToModeling, _) if starts_anew(from, ModelingP) => ModelingP,
            (Action::RequestMilling, _) if starts_anew(from, ModelingM) => ModelingM,
            (Action::FinishModeling, ModelingP) => ReviewP,
            (Action::FinishModeling, ModelingM) => ReviewM,
            (Action::FinishModeling, ModelingG) => ReviewG,
            (Action::Proceed, ReviewM | ReviewedM) => MillingM,
            (Action::Proceed, Review2 | Reviewed2) => MillingG,
            // From the phases of scenario 4: only now is it known that the case goes the way of 5.
            (Action::BeginInterpretation, ReviewM | ReviewedM) => Interp2,
            (Action::InterpretationToMilling, Interp2) => MillingG,
            (Action::InterpretationToReview, Interp2) => Review2,
            (Action::FinishMilling, MillingM) => ReadyM,
            (Action::FinishMilling, MillingG) => ReadyG,
            (Action::Ship, ReadyM) => FinishedM,
            (Action::Ship, ReadyG) => FinishedG,
            (Action::ReturnToDoctor, _) if starts_anew(from, Phase::Rescan) => Phase::Rescan,
            (Action::Rescan, Phase::Rescan) => AtLabAgain,
            _ => return None,
        })
    }
}

/// Where a case is that the lab has fetched; none if there was nothing for it to fetch.
pub(super) fn downloaded(from: Phase) -> Option<Phase> {
    use crate::status::Symbol::D;
    let mut next = from.may_be_followed_by().iter();
    // Only from a status that waits for the lab: another *Downloaded* is the end of the milling
    // flow.
    next.find(|phase| phase.shows() == D && from.shows().is_delivery())
}

/// The lab may start something new where the phase table says so, and again after the end of
/// the milling flow.
fn starts_anew(now: Phase, phase: Phase) -> bool {
    let waits_for_doctor = matches!(now, Phase::Rescan);
    let first_scan_returned = now == Phase::Scan && phase == Phase::Rescan;
    let allowed = now.may_be_followed_by().contains(phase)
        || matches!(now, Phase::FinishedM | Phase::FinishedG);
    allowed && !waits_for_doctor && !first_scan_returned
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(name: &str) -> Result<Self, UnknownAction> {
        let found = Action::ALL.iter().find(|action| action.name() == name);
        found.copied().ok_or(UnknownAction(()))
    }
}

/// A name that no [`Action`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAction(());

impl fmt::Display for UnknownAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such action; there are ")?;
        for (at, action) in Action::ALL.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{action}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownAction {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_lead_where_the_phase_table_does_and_to_every_phase() {
        let mut reached = vec![Phase::Scan];
        for from in Phase::ALL {
            for action in Action::ALL {
                let Some(to) = action.leads(from) else {
                    continue;
                };
                // Interpretation 2 was the case's way all along, so what came before is
                // rewritten.
                let rewritten = *action == Action::BeginInterpretation;
                let remake = matches!(from, Phase::FinishedM | Phase::FinishedG);
                let follows = from.may_be_followed_by().contains(to);
                assert!(follows || rewritten || remake, "{action}: {from} to {to}");
                reached.push(to);
            }
        }
        // Modeling on the way to interpretation comes by rewriting.
        let missed: Vec<_> = Phase::ALL
            .into_iter()
            .filter(|phase| !reached.contains(phase))
            .collect();
        assert_eq!(missed, [Phase::ModelingG]);
    }

    #[test]
    fn names_are_read_back() {
        for action in Action::ALL {
            assert_eq!(action.name().parse(), Ok(*action));
        }
        let error = "fly".parse::<Action>().unwrap_err().to_string();
        assert!(error.contains("begin_scan, finish_scan"), "{error}");
    }
}
