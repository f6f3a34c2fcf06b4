//! What the benchmarks share: how a figure is taken, and how it is told.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

/// Whether the figures are asked for, instead of criterion's report.
pub fn figures_wanted() -> bool {
    std::env::args().any(|argument| argument == "--figures")
}

/// Prints each figure as `NAME VALUE LIMIT ok|short`.
#[derive(Default)]
pub struct Figures {
    is_short: bool,
}

impl Figures {
    /// A figure that must not be above its limit.
    pub fn at_most(&mut self, name: &str, value: f64, limit: f64) {
        self.print(name, value, limit, value <= limit);
    }

    /// A figure that must not be below its limit.
    pub fn at_least(&mut self, name: &str, value: f64, limit: f64) {
        self.print(name, value, limit, value >= limit);
    }

    /// A figure that nothing is promised of.
    pub fn without_limit(&self, name: &str, value: f64) {
        println!("{name} {value:.3} - ok");
    }

    fn print(&mut self, name: &str, value: f64, limit: f64, holds: bool) {
        self.is_short |= !holds;
        let verdict = if holds { "ok" } else { "short" };
        println!("{name} {value:.2} {limit} {verdict}");
    }

    /// A failure if a figure was short.
    pub fn end(self) -> ExitCode {
        if self.is_short {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// The median of so many turns. What is compared belongs into one turn: two means taken minutes
/// apart, on a machine that others use too, say little about each other.
pub fn median(turns: usize, mut turn: impl FnMut() -> f64) -> f64 {
    let mut values: Vec<f64> = (0..turns).map(|_| turn()).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The best of three medians of so many turns: a neighbour on the machine can spoil one, none can
/// improve it.
pub fn best_of_three(
    turns: usize,
    better: fn(f64, f64) -> f64,
    mut turn: impl FnMut() -> f64,
) -> f64 {
    let first = median(turns, &mut turn);
    (1..3).fold(first, |best, _| better(best, median(turns, &mut turn)))
}

/// Seconds for one run; what it gives is dropped within.
pub fn time<T>(run: impl FnOnce() -> T) -> f64 {
    let begin = Instant::now();
    drop(black_box(run()));
    begin.elapsed().as_secs_f64()
}
