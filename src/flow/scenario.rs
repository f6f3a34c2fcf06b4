//! The five scenarios.
//!
//! The order of the variants is that of Align's table: `number` counts by it, and `likely` takes the
//! lowest. A variant must be added at the end.

use super::set::member;

/// The five ways of *Lab Connector Flows*: what happened to a case before it arrived.
///
/// Documented by Align; the numbers are those of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scenario {
    /// 1: the first scan came straight from the clinic.
    DirectToLab,
    /// 2: the lab had sent the case to modeling, and it is back.
    AfterModeling,
    /// 3: the lab had sent the case back to the doctor, who scanned again.
    AfterRescan,
    /// 4: the lab asked for a milled model: modeling first, then *Proceed*, then the mill.
    Milling,
    /// 5: as 4, but the modeler sent the case through interpretation 2. Rare.
    AfterInterpretation2,
}

member!(Scenario {
    DirectToLab = "direct_to_lab",
    AfterModeling = "after_modeling",
    AfterRescan = "after_rescan",
    Milling = "milling",
    AfterInterpretation2 = "after_interpretation_2",
});

impl Scenario {
    /// The number in Align's table, 1 to 5.
    #[must_use]
    pub const fn number(self) -> u8 {
        // The variants are in the order of Align's table.
        self as u8 + 1
    }

    /// The scenario with this number in Align's table.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Scenario> {
        match number {
            1 => Some(Scenario::DirectToLab),
            2 => Some(Scenario::AfterModeling),
            3 => Some(Scenario::AfterRescan),
            4 => Some(Scenario::Milling),
            5 => Some(Scenario::AfterInterpretation2),
            _ => None,
        }
    }

    /// The scenario in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Scenario::DirectToLab => "first scan, direct to the lab",
            Scenario::AfterModeling => "back from modeling",
            Scenario::AfterRescan => "after a rescan",
            Scenario::Milling => "milling",
            Scenario::AfterInterpretation2 => "milling by way of interpretation 2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::from_number(scenario.number()), Some(scenario));
            assert_eq!(Scenario::from_name(scenario.as_str()), Some(scenario));
        }
        assert_eq!(Scenario::from_number(0), None);
        assert_eq!(Scenario::from_number(6), None);
    }
}
