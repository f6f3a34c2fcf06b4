//! People who act by themselves: doctors, labs and modelers, each in their own time.
//!
//! *Problem.* A month of a busy lab cannot be written by hand, and must be the same in every run.
//!
//! *Approach.* Settings and plans are plain data here; `plans` draws from them. The figures are a model
//! of ours: they must not be taken for statistics of Align's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::Action;
use super::settings::{self, InvalidSettings};
use crate::model::OrderId;

/// How busy people are, and what they like to do. Durations are simulated time.
///
/// As JSON it is an object; what is left out has its default. The default is a model of ours and
/// nobody's statistics.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use lab_connector::simulator::{ClockMode, Workload, Simulator};
///
/// let service = Simulator::builder().seed(7).clock(ClockMode::Stepped).start().await?;
/// service.set_life(Workload::from_json(r#"{ "cases_per_day": 100, "to_milling": 0.5 }"#)?)?;
/// // Software under test looks every hour.
/// for hour in 0..24 {
///     service.live(Duration::from_secs(60 * 60));
///     // …
/// }
/// for order in service.orders(&"L-1".into()) {
///     let truth = service.truth(&order).ok_or("no such case")?;
///     println!("{order}: {}, {} to process", truth.phase(), truth.deliveries().count());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Workload {
    /// How many cases doctors scan in a day, for each lab.
    pub cases_per_day: f64,
    /// How long a scan takes, from prescription to sending.
    pub scan: Span,
    /// How long a lab looks at a case before somebody does something with it in the portal.
    pub lab: Span,
    /// How long modeling takes.
    pub modeling: Span,
    /// How long interpretation 2 takes.
    pub interpretation: Span,
    /// How long milling takes.
    pub milling: Span,
    /// How long shipping takes.
    pub shipping: Span,
    /// How long a doctor takes to scan again.
    pub rescan: Span,
    /// How probable it is that a lab sends a case to modeling.
    pub to_modeling: f64,
    /// How probable it is that it asks for milling.
    pub to_milling: f64,
    /// How probable it is that it sends a case back to the doctor.
    pub to_doctor: f64,
    /// How probable it is that milling leads through interpretation 2.
    pub by_interpretation: f64,
    /// How probable it is that interpretation 2 leads back to the lab.
    pub back_to_review: f64,
    /// How probable it is that a lab's people fetch the files in the portal.
    pub portal_downloads: f64,
    /// How probable it is that a case is made again when its milling flow has ended.
    pub remakes: f64,
}

/// A duration that varies: half of all are shorter than the median, and few are much longer than
/// it (log-normal).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Span {
    /// In hours.
    pub median: f64,
    /// How much it varies: about two thirds lie between the median divided by this and the median
    /// times this. At least 1, which is not at all.
    pub spread: f64,
}

impl Default for Workload {
    fn default() -> Self {
        Workload {
            cases_per_day: 40.0,
            scan: Span::hours(0.5, 1.5),
            lab: Span::hours(2.0, 2.5),
            modeling: Span::hours(6.0, 2.0),
            interpretation: Span::hours(4.0, 2.0),
            milling: Span::hours(20.0, 1.5),
            shipping: Span::hours(10.0, 1.5),
            rescan: Span::hours(48.0, 2.0),
            to_modeling: 0.25,
            to_milling: 0.3,
            to_doctor: 0.08,
            by_interpretation: 0.1,
            back_to_review: 0.2,
            // The software under test downloads: people in the portal would take cases from it.
            portal_downloads: 0.0,
            remakes: 0.02,
        }
    }
}

impl Span {
    /// So many hours, more or less.
    #[must_use]
    pub fn hours(median: f64, spread: f64) -> Self {
        Span { median, spread }
    }

    pub(super) fn draw(self, rng: &mut fastrand::Rng) -> Duration {
        // Box and Muller: two even draws make a normal one.
        // `f64` may be 0, and the logarithm of 0 is infinite; 1 minus it is never 0.
        let (one, two) = (1.0 - rng.f64(), rng.f64());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        hours(self.median * (self.spread.ln() * normal).exp())
    }
}

pub(super) fn hours(hours: f64) -> Duration {
    // A century is long enough.
    Duration::try_from_secs_f64((hours * 3600.0).clamp(0.001, 3.2e9)).unwrap_or_default()
}

impl Workload {
    /// Reads it from JSON.
    ///
    /// # Errors
    ///
    /// It is not a JSON object, or has a key or a value that does not fit; the error names it.
    pub fn from_json(json: &str) -> Result<Self, InvalidSettings> {
        let life: Workload = settings::read(json)?;
        life.check()?;
        Ok(life)
    }

    pub(super) fn check(&self) -> Result<(), InvalidSettings> {
        let wrong = |what: &str| Err(InvalidSettings::new(what));
        if !(0.0..=1e6).contains(&self.cases_per_day) {
            return wrong("`cases_per_day` must be from 0 to 1000000");
        }
        let spans = [
            self.scan,
            self.lab,
            self.modeling,
            self.interpretation,
            self.milling,
            self.shipping,
            self.rescan,
        ];
        let fits = |span: &Span| {
            // A `NaN` is in no range, and so refused too.
            (0.0..=1e5).contains(&span.median) && (1.0..=100.0).contains(&span.spread)
        };
        if !spans.iter().all(fits) {
            return wrong("a `median` must be from 0 to 100000, a `spread` from 1 to 100");
        }
        let chances = [
            self.to_modeling,
            self.to_milling,
            self.to_doctor,
            // One draw decides between the three, so their sum must fit.
            self.to_modeling + self.to_milling + self.to_doctor,
            self.by_interpretation,
            self.back_to_review,
            self.portal_downloads,
            self.remakes,
        ];
        if !chances.iter().all(|chance| (0.0..=1.0).contains(chance)) {
            return wrong(
                "probabilities, and those of what a lab does together, must be from 0 to 1",
            );
        }
        Ok(())
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkflowEvent {
    /// A doctor filled in a prescription.
    Prescribed(OrderId),
    /// Somebody did something with a case.
    Acted(OrderId, Action),
}

/// What is going to happen.
#[derive(Debug, Default)]
pub(super) struct Plans {
    pub(super) life: Option<Workload>,
    /// By time, then in the order in which it was planned.
    pub(super) due: BinaryHeap<Reverse<Plan>>,
    pub(super) planned: u64,
    /// How many cases were planned for each lab.
    pub(super) cases: BTreeMap<u32, u64>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Plan {
    pub(super) at: SystemTime,
    // Decides between plans of one time, so that a run is the same each time.
    pub(super) number: u64,
    pub(super) what: PlannedEvent,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PlannedEvent {
    /// The next case for this lab.
    Prescribe { account: u32 },
    /// With a case that has not moved since.
    Act {
        order: u64,
        moves: usize,
        action: Action,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lie_around_their_median() {
        let mut rng = fastrand::Rng::with_seed(1);
        let span = Span::hours(10.0, 2.0);
        let mut drawn: Vec<_> = (0..2000)
            .map(|_| span.draw(&mut rng).as_secs_f64() / 3600.0)
            .collect();
        drawn.sort_by(f64::total_cmp);
        assert!((9.0..11.0).contains(&drawn[1000]), "{}", drawn[1000]);
        let inside = drawn
            .iter()
            .filter(|hours| (5.0..20.0).contains(*hours))
            .count();
        assert!((1250..1480).contains(&inside), "{inside}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(Workload::from_json("{}").unwrap(), Workload::default());
        for (json, named) in [
            (r#"{"cases": 1}"#, "unknown field `cases`"),
            (r#"{"to_doctor": 0.6}"#, "together"),
            (r#"{"scan": {"median": 1, "spread": 0.5}}"#, "`spread`"),
            (r#"{"cases_per_day": -1}"#, "`cases_per_day`"),
        ] {
            let error = Workload::from_json(json).unwrap_err().to_string();
            assert!(error.contains(named), "{json}: {error}");
        }
    }
}
