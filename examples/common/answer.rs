//! What the flow says of a history, as the examples print it.

use lab_connector::History;
use serde::Serialize;

/// One JSON object. Sets are arrays; what is not certain is `null`.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Scenario numbers, rising.
    pub candidates: Vec<u8>,
    /// The scenario's number, if there is no doubt.
    pub scenario: Option<u8>,
    /// The number of the simplest explanation.
    pub likely: Option<u8>,
    /// Machine names, in alphabetical order.
    pub stages: Vec<&'static str>,
    /// The symbols that may come next, in the order S F M R I T D.
    pub expected: Vec<&'static str>,
    /// Indexes of arrivals that the model does not explain, from 0, counting every arrival.
    pub deviations: Vec<usize>,
}

impl Answer {
    pub fn of(history: &History) -> Self {
        let reading = history.read();
        let mut stages: Vec<_> = reading.stages().iter().map(|s| s.as_str()).collect();
        stages.sort_unstable();
        Answer {
            candidates: reading.candidates().iter().map(|s| s.number()).collect(),
            scenario: reading.scenario().map(|s| s.number()),
            likely: reading.likely().map(|s| s.number()),
            stages,
            expected: reading.expected().iter().map(|s| s.as_str()).collect(),
            deviations: history.deviations().collect(),
        }
    }
}
