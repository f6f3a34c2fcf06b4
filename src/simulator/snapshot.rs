//! A case as it truly is, taken out of the world with all that is shown of it: by the control API
//! and on the board.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::Action;
use super::case::Case;
use super::prescription::Prescription;
use super::truth::GroundTruth;
use super::world::World;
use crate::flow::rfc3339::Rfc3339;
use crate::flow::{Arrival, History};
use crate::status::OrderStatus;

pub(super) struct Snapshot {
    pub(super) truth: GroundTruth,
    pub(super) prescription: Prescription,
    /// What can be done now.
    pub(super) actions: Vec<Action>,
}

impl Snapshot {
    pub(super) fn of(world: &World, case: &Case) -> Option<Self> {
        Some(Snapshot {
            truth: GroundTruth::of(world, case)?,
            prescription: case.prescription(world.randomness),
            actions: case.possible(),
        })
    }

    /// The status that the service shows now.
    pub(super) fn status(&self) -> &OrderStatus {
        let last = self.truth.shown.last();
        last.map_or(&OrderStatus::RxCreated, |shown| &shown.status)
    }

    /// Every change of the status, as one would have recorded it who never missed any.
    pub(super) fn history(&self) -> History {
        let mut history = History::complete(Vec::<Arrival>::new());
        let mut last = None;
        for shown in &self.truth.shown {
            // Interpretation 2 and milling show the same status: nobody sees a change.
            if last.replace(&shown.status) != Some(&shown.status) {
                history.push(Arrival::new(shown.status.clone()).at(shown.at));
            }
        }
        history
    }

    pub(super) fn to_json(&self) -> Value {
        let (truth, history) = (&self.truth, self.history());
        let (phase, reading) = (truth.phase(), history.read());
        let mut path: Vec<_> = truth.shown.iter().map(|shown| shown.phase).collect();
        path.dedup();
        let shown = truth.shown.iter().map(|shown| {
            json!({
                "at": time(shown.at),
                "status": shown.status,
                "phase": shown.phase.as_str(),
                "seen": shown.seen,
            })
        });
        let candidates = reading.candidates();
        let stages = reading.stages();
        json!({
            "orderId": truth.order_id,
            "rxId": truth.rx_id,
            "accountId": truth.account_id,
            "patient": {
                "firstName": self.prescription.patient.first_name,
                "lastName": self.prescription.patient.last_name,
            },
            "status": self.status(),
            "symbol": phase.shows().as_str(),
            "phase": phase.as_str(),
            "path": path.iter().map(|phase| phase.as_str()).collect::<Vec<_>>(),
            "stage": phase.stage().as_str(),
            "scenario": phase.scenario().map(|scenario| scenario.number()),
            "history": shown.collect::<Vec<_>>(),
            "reading": {
                "candidates": candidates.iter().map(|scenario| scenario.number()).collect::<Vec<_>>(),
                "scenario": reading.scenario().map(|scenario| scenario.number()),
                "likely": reading.likely().map(|scenario| scenario.number()),
                "stages": stages.iter().map(|stage| stage.as_str()).collect::<Vec<_>>(),
                "deviations": history.deviations().collect::<Vec<_>>(),
                "action": reading.action().as_str(),
            },
            "actions": self.actions.iter().map(|action| action.name()).collect::<Vec<_>>(),
        })
    }
}

/// A time as the control API writes it: RFC 3339, in UTC, to the millisecond.
pub(super) fn time(time: SystemTime) -> String {
    Rfc3339(time)
        .text()
        .map(|text| text.to_string())
        .unwrap_or_default()
}
