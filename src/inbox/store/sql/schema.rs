//! Which tables there are, and what brings them up to date.
//!
//! *Problem.* Programs of several releases meet one database.
//!
//! *Approach.* A version, and a step from each to the next. A step that was released must never
//! change: some database has run it. Tables of a newer version must not be touched.

use crate::error::{Error, Kind, Result};

/// The tables of a database, with the steps that lead to them from older ones.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox::store) struct Schema {
    pub(in crate::inbox::store) version: i64,
    pub(in crate::inbox::store) tables: &'static str,
    /// What brings tables from a version to the next. Released ones are never changed.
    pub(in crate::inbox::store) steps: &'static [(i64, &'static str)],
}

impl Schema {
    /// What to run on tables of the version that was found, or where there are none.
    pub(in crate::inbox::store) fn plan(&self, found: Option<i64>) -> Result<Vec<&'static str>> {
        let Some(found) = found else {
            return Ok(vec![self.tables]);
        };
        let mut plan = Vec::new();
        for version in found..self.version {
            let step = self.steps.iter().find(|(from, _)| *from == version);
            let (_, text) = step.ok_or_else(|| self.refused(found))?;
            plan.push(*text);
        }
        // For a newer database the range above is empty. An older program must not touch it.
        if found > self.version {
            return Err(self.refused(found));
        }
        Ok(plan)
    }

    fn refused(&self, found: i64) -> Error {
        let known = self.version;
        let remedy = if found > known {
            "update this program, or give it a database of its own"
        } else {
            "nothing leads from those to these: give this program a database of its own"
        };
        let which = if found > known { "newer" } else { "older" };
        Error::new(Kind::Store(format!(
            "the tables have version {found}, made by a {which} lab-connector; this one knows \
             version {known}: {remedy}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_to_the_version_that_is_known() {
        let schema = Schema {
            version: 4,
            tables: "all",
            steps: &[(2, "to 3"), (3, "to 4")],
        };
        assert_eq!(schema.plan(None).unwrap(), ["all"]);
        assert_eq!(schema.plan(Some(2)).unwrap(), ["to 3", "to 4"]);
        assert_eq!(schema.plan(Some(3)).unwrap(), ["to 4"]);
        assert!(schema.plan(Some(4)).unwrap().is_empty());
        for (found, remedy) in [(1, "older"), (5, "newer")] {
            let error = schema.plan(Some(found)).unwrap_err();
            assert!(error.is_store());
            let text = error.to_string();
            assert!(
                text.contains(remedy) && text.contains("database of its own"),
                "{text}"
            );
        }
    }
}
