//! What a check found.
//!
//! `Display` and `Serialize` print the same facts. The report must not hold what must not be printed:
//! it has no field for a value, and what could be any text has passed through `form`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::observations::Observations;
use super::twin::{self, NOT_OBSERVABLE};

/// What [`Client::check`](crate::Client::check) found: what was asked and what came, step by step, with the
/// setting to change where a step failed; then which conventions the service showed, and which of this
/// crate's are only assumed.
///
/// `Display` is for people, `Serialize` for programs. Neither shows a value that could be a patient's, a
/// token or an id: of answers there are keys in the form of short identifiers, types and forms of values,
/// and texts of statuses and kinds of files as far as they are short and plain; of kinds that the crate does
/// not know, those that two orders have.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    pub(super) steps: Vec<Step>,
    pub(super) seen: Observations,
    /// Of each switch of the simulator that nobody can observe without changing something, why.
    pub(super) not_observable: BTreeMap<&'static str, &'static str>,
    pub(super) settings: Value,
    pub(super) behaviour: Value,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Step {
    // The names of these fields are those of the report's JSON.
    pub(super) name: &'static str,
    /// The method and the path, without values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<String>,
    pub(super) outcome: Outcome,
    /// What came.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) came: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) facts: Vec<String>,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Good,
    Failed,
    Skipped,
}

impl CheckReport {
    pub(super) fn new(steps: Vec<Step>, seen: Observations, settings: Value) -> Self {
        let behaviour = twin::behaviour(&seen);
        CheckReport {
            steps,
            seen,
            not_observable: NOT_OBSERVABLE.into(),
            settings,
            behaviour,
        }
    }

    /// Whether no step failed. Steps may have been skipped.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.steps
            .iter()
            .all(|step| step.outcome != Outcome::Failed)
    }

    /// What to set in the configuration, as far as the check could find it out: a JSON object with keys of
    /// [`Config`](crate::Config), empty where nothing is to be changed. Hosts that Discovery names are not
    /// among it: whether they may have credentials is for a person to say.
    #[must_use]
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// The behaviour with which the simulator speaks like this service, as far as it was seen: JSON for
    /// `simulator::Behaviour::from_json`. What was not seen is left out and has the simulator's default.
    #[must_use]
    pub fn behaviour(&self) -> &Value {
        &self.behaviour
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            step.fmt(f)?;
        }
        // Before what was seen: it is what the reader has to do.
        if self.settings != Value::Object(Map::new()) {
            writeln!(f, "\nset in the configuration: {}", self.settings)?;
        }
        let conventions = twin::conventions(&self.seen);
        writeln!(f, "\nconventions that were seen")?;
        for (about, seen) in &conventions {
            if let Some(seen) = seen {
                writeln!(f, "  {about}: {seen}")?;
            }
        }
        for (kind, keys) in &self.seen.records {
            let lines = keys.lines();
            if !lines.is_empty() {
                writeln!(f, "  {kind}")?;
            }
            for line in lines {
                writeln!(f, "    {line}")?;
            }
        }
        writeln!(
            f,
            "\nconventions that are assumed: nothing of them was seen"
        )?;
        for (about, _) in conventions.iter().filter(|(_, seen)| seen.is_none()) {
            writeln!(f, "  {about}")?;
        }
        writeln!(f, "\nwhat cannot be seen without changing something")?;
        for (switch, why) in &self.not_observable {
            writeln!(f, "  {switch}: {why}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Good => "good",
            // In capitals: what to look at first in a page of steps.
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        write!(f, "{outcome:<8} {}", self.name)?;
        if let Some(asked) = &self.asked {
            write!(f, "  {asked}")?;
        }
        writeln!(f)?;
        let came = Some(&self.came).filter(|came| !came.is_empty());
        for line in came.into_iter().chain(&self.facts) {
            writeln!(f, "           {line}")?;
        }
        if let Some(advice) = &self.advice {
            writeln!(f, "         > {advice}")?;
        }
        Ok(())
    }
}
