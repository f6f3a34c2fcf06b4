//! How fast the flow reads: `cargo bench --bench flow`, or `scripts/figures flow` for the
//! figures that the project holds itself to.
//!
//! All measure the same cases: histories of one to eight arrivals that the model explains, so
//! that no competitor may stop early.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use lab_connector::OrderStatus;
use lab_connector::flow::{Phase, Reading, Symbol};
use lab_connector_benches::{Figures, figures_wanted, median};
use regex_automata::dfa::{Automaton, dense};
use regex_automata::{Anchored, Input};

/// So many that the processor cannot learn by heart where each history ends, as it does with a
/// few thousand that are read again and again. A lab's cases are each read once. (Known by
/// heart, one at a time and the bare loop take less than half the time, and what a step does
/// besides the look into the table shows.)
const CASES: usize = 500_000;

fn main() -> ExitCode {
    if figures_wanted() {
        return figures();
    }
    let data = Data::new();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("flow");
    let mut readings = Vec::with_capacity(CASES);
    let mut ends = Vec::with_capacity(CASES);
    group.throughput(Throughput::Elements(data.arrivals() as u64));
    group.bench_function("one_at_a_time", |b| {
        b.iter(|| data.one_at_a_time(&mut readings));
    });
    group.bench_function("bare_loop", |b| b.iter(|| data.bare_loop(&mut ends)));
    group.bench_function("regex_dfa", |b| b.iter(|| data.regex_dfa(&mut ends)));
    group.bench_function("parse_and_read", |b| {
        b.iter(|| data.parse_and_read(&mut readings))
    });
    group.finish();
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// What the project holds itself to.
fn figures() -> ExitCode {
    let data = Data::new();
    let mut readings = Vec::with_capacity(CASES);
    let mut others = Vec::with_capacity(CASES);
    let mut figures = Figures::default();

    let ratio = turns(
        || data.one_at_a_time(&mut readings),
        || data.bare_loop(&mut others),
    );
    figures.at_most("flow_one_per_bare_loop", 1.0 / ratio, 1.5);
    let ratio = turns(
        || data.one_at_a_time(&mut readings),
        || data.regex_dfa(&mut others),
    );
    figures.at_least("flow_times_faster_than_regex_dfa", ratio, 2.0);
    let seconds = median(TURNS, || time(|| data.parse_and_read(&mut readings)));
    let millions = data.arrivals() as f64 / seconds / 1e6;
    figures.at_least("flow_text_statuses_million_per_second", millions, 20.0);

    figures.end()
}

const TURNS: usize = 101;

/// How many times longer `theirs` takes than `ours`.
fn turns(mut ours: impl FnMut(), mut theirs: impl FnMut()) -> f64 {
    let mut turn = 0;
    median(TURNS, || {
        turn += 1;
        // Neither always comes second.
        if turn % 2 == 0 {
            let ours = time(&mut ours);
            time(&mut theirs) / ours
        } else {
            let theirs = time(&mut theirs);
            theirs / time(&mut ours)
        }
    })
}

/// Seconds for one run, from several without a pause.
fn time(mut run: impl FnMut()) -> f64 {
    let mut runs = 0;
    let begin = Instant::now();
    loop {
        run();
        runs += 1;
        let elapsed = begin.elapsed();
        if elapsed > Duration::from_millis(5) {
            return elapsed.as_secs_f64() / f64::from(runs);
        }
    }
}

struct Data {
    /// Where each case ends in what follows.
    ends: Vec<usize>,
    symbols: Vec<Symbol>,
    /// The same as numbers, as letters and as statuses the way the service spells them.
    numbers: Vec<u8>,
    letters: Vec<u8>,
    texts: Vec<&'static str>,
    /// The automaton as a plain table of numbers.
    table: Box<[[u8; 8]; 256]>,
    dfa: dense::DFA<Vec<u32>>,
}

/// Complete histories that the model explains. `R.` is a review, looked at or not; behind it
/// interpretation 2 may lead to another one, and the mill to the end.
const EXPLAINED: &str =
    "^(?:S|FD?|M?RD?(?:IRD?)?)*(?:M|M?RD?(?:II?T?D?|TD?)|M?RD?IRD?(?:IT?D?|TD?))?$";

impl Data {
    fn new() -> Self {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut symbols = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..CASES {
            let mut next = Phase::beginnings();
            for _ in 0..1 + random.below(8) {
                if next.is_empty() {
                    break;
                }
                let choice = random.below(next.len());
                let phase = next.iter().nth(choice).expect("one of so many");
                symbols.push(phase.shows());
                next = phase.may_be_followed_by();
            }
            ends.push(symbols.len());
        }

        let mut table = Box::new([[0; 8]; 256]);
        for state in 0..=u16::from(u8::MAX) {
            let Some(reading) = Reading::from_code(state) else {
                continue;
            };
            for symbol in Symbol::ALL {
                let [next, _] = reading.observe(symbol).code().to_le_bytes();
                table[usize::from(state)][symbol as usize] = next;
            }
        }
        let data = Data {
            numbers: symbols.iter().map(|s| *s as u8).collect(),
            letters: symbols.iter().map(|s| s.as_str().as_bytes()[0]).collect(),
            texts: symbols.iter().map(|s| spelled(*s)).collect(),
            ends,
            symbols,
            table,
            dfa: dense::Builder::new()
                .configure(dense::Config::new().minimize(true))
                .build(EXPLAINED)
                .expect("a regular expression"),
        };
        data.verify();
        data
    }

    /// All do the same work, or the comparison is worth nothing.
    fn verify(&self) {
        let (mut one, mut text) = (Vec::new(), Vec::new());
        self.one_at_a_time(&mut one);
        self.parse_and_read(&mut text);
        assert!(one == text);
        assert!(one.iter().all(|reading| reading.deviations() == 0));
        let mut states = Vec::new();
        self.bare_loop(&mut states);
        assert!(
            one.iter()
                .zip(&states)
                .all(|(r, s)| r.code() == u16::from(*s))
        );
        let mut matched = Vec::new();
        self.regex_dfa(&mut matched);
        assert!(matched.iter().all(|matched| *matched == 1));
        // And nothing else matches: every history of up to six arrivals.
        let mut histories = vec![(Vec::new(), Reading::complete())];
        for _ in 0..6 {
            histories = histories
                .iter()
                .flat_map(|(letters, reading)| {
                    Symbol::ALL.map(|symbol| {
                        let letter = symbol.as_str().as_bytes();
                        ([letters, letter].concat(), reading.observe(symbol))
                    })
                })
                .collect();
            for (letters, reading) in &histories {
                assert_eq!(self.explained(letters), reading.deviations() == 0);
            }
        }
    }

    fn explained(&self, letters: &[u8]) -> bool {
        let input = Input::new(letters).anchored(Anchored::Yes);
        let end = self.dfa.try_search_fwd(&input);
        end.expect("a search that cannot quit").is_some()
    }

    fn arrivals(&self) -> usize {
        self.symbols.len()
    }

    fn cases<'a, T>(&'a self, flat: &'a [T]) -> impl Iterator<Item = &'a [T]> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let case = &flat[begin..*end];
            begin = *end;
            case
        })
    }

    fn one_at_a_time(&self, readings: &mut Vec<Reading>) {
        readings.clear();
        readings.extend(self.cases(&self.symbols).map(|case| {
            let begin = Reading::complete();
            case.iter()
                .fold(begin, |reading, symbol| reading.observe(*symbol))
        }));
        black_box(readings);
    }

    fn bare_loop(&self, states: &mut Vec<u8>) {
        states.clear();
        states.extend(self.cases(&self.numbers).map(|case| {
            let mut state = 0;
            for number in case {
                state = self.table[usize::from(state)][usize::from(*number & 7)];
            }
            state
        }));
        black_box(states);
    }

    fn regex_dfa(&self, matched: &mut Vec<u8>) {
        matched.clear();
        let letters = self.cases(&self.letters);
        matched.extend(letters.map(|case| u8::from(self.explained(case))));
        black_box(matched);
    }

    fn parse_and_read(&self, readings: &mut Vec<Reading>) {
        readings.clear();
        readings.extend(self.cases(&self.texts).map(|case| {
            case.iter().fold(Reading::complete(), |reading, text| {
                reading.observe(&OrderStatus::from(*text))
            })
        }));
        black_box(readings);
    }
}

fn spelled(symbol: Symbol) -> &'static str {
    match symbol {
        Symbol::S => "Scanning",
        Symbol::F => "Ready for Download",
        Symbol::M => "iTero Modeling",
        Symbol::R => "Lab Review",
        Symbol::I => "iTero Milling",
        Symbol::T => "Ready to Ship",
        Symbol::D => "Downloaded",
    }
}

/// xorshift: the same cases in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}
