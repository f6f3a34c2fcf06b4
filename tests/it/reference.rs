//! The case model a second time, written from its description and not from the crate: phases
//! are names, rounds are numbers that are never reduced, and every step looks at everything.

use std::collections::{BTreeSet, HashMap};

pub type Name = &'static str;

/// The symbols, in the order in which they are printed.
pub const SYMBOLS: [char; 7] = ['S', 'F', 'M', 'R', 'I', 'T', 'D'];

/// Phase, what it shows, its scenario (0: none), its stage.
const PHASES: [(Name, char, u8, Name); 24] = [
    ("scan", 'S', 0, "being_scanned"),
    ("at_lab", 'F', 1, "ready_for_download"),
    ("kept", 'D', 1, "with_lab"),
    ("rescan", 'S', 3, "with_doctor"),
    ("at_lab_again", 'F', 3, "ready_for_download"),
    ("kept_again", 'D', 3, "with_lab"),
    ("modeling_p", 'M', 2, "in_modeling"),
    ("review_p", 'R', 2, "in_review"),
    ("reviewed_p", 'D', 2, "with_lab"),
    ("modeling_m", 'M', 4, "in_modeling"),
    ("review_m", 'R', 4, "in_review"),
    ("reviewed_m", 'D', 4, "with_lab"),
    ("milling_m", 'I', 4, "in_milling"),
    ("ready_m", 'T', 4, "ready_to_ship"),
    ("finished_m", 'D', 4, "finished"),
    ("modeling_g", 'M', 5, "in_modeling"),
    ("review_g", 'R', 5, "in_review"),
    ("reviewed_g", 'D', 5, "with_lab"),
    ("interp2", 'I', 5, "in_interpretation"),
    ("review2", 'R', 5, "in_review"),
    ("reviewed2", 'D', 5, "with_lab"),
    ("milling_g", 'I', 5, "in_milling"),
    ("ready_g", 'T', 5, "ready_to_ship"),
    ("finished_g", 'D', 5, "finished"),
];

const MOD: &str = "modeling_p modeling_m modeling_g";
const REV: &str = "review_p review_m review_g";
const AGAIN: &str =
    "rescan at_lab_again modeling_p modeling_m modeling_g review_p review_m review_g";

/// What may follow, word for word; `MOD`, `REV` and `AGAIN` stand for their phases.
const FOLLOWED_BY: [(&str, &str); 20] = [
    ("(start)", "scan at_lab MOD REV"),
    ("scan", "scan at_lab MOD REV"),
    ("at_lab", "kept AGAIN"),
    ("kept rescan kept_again reviewed_p", "AGAIN"),
    ("at_lab_again", "kept_again AGAIN"),
    ("modeling_p", "review_p"),
    ("modeling_m", "review_m"),
    ("modeling_g", "review_g"),
    ("review_p", "reviewed_p AGAIN"),
    ("review_m", "reviewed_m milling_m ready_m AGAIN"),
    ("reviewed_m", "milling_m ready_m AGAIN"),
    ("milling_m", "ready_m finished_m"),
    ("ready_m", "finished_m"),
    (
        "review_g",
        "reviewed_g interp2 review2 milling_g ready_g AGAIN",
    ),
    ("reviewed_g", "interp2 review2 milling_g ready_g AGAIN"),
    ("interp2", "review2 milling_g ready_g finished_g"),
    ("review2", "reviewed2 milling_g ready_g AGAIN"),
    ("reviewed2", "milling_g ready_g AGAIN"),
    ("milling_g", "ready_g finished_g"),
    ("ready_g", "finished_g"),
];

pub struct Model {
    followed_by: HashMap<Name, Vec<Name>>,
}

impl Model {
    pub fn new() -> Self {
        let mut followed_by = HashMap::new();
        for (phases, next) in FOLLOWED_BY {
            for phase in phases.split(' ') {
                let mut names = Vec::new();
                for word in next.split(' ') {
                    match word {
                        "MOD" => names.extend(MOD.split(' ').map(named)),
                        "REV" => names.extend(REV.split(' ').map(named)),
                        "AGAIN" => names.extend(AGAIN.split(' ').map(named)),
                        name => names.push(named(name)),
                    }
                }
                let phase = if phase == "(start)" {
                    phase
                } else {
                    named(phase)
                };
                assert!(followed_by.insert(phase, names).is_none());
            }
        }
        followed_by.insert("finished_m", Vec::new());
        followed_by.insert("finished_g", Vec::new());
        assert_eq!(followed_by.len(), 1 + PHASES.len());
        Model { followed_by }
    }

    /// What may follow a phase, or `(start)`.
    pub fn after(&self, phase: &str) -> &[Name] {
        &self.followed_by[phase]
    }

    pub fn begin(&self, complete: bool) -> Case {
        Case {
            complete,
            possible: HashMap::new(),
            symbols: 0,
            other_than_scan: false,
            arrivals: 0,
            deviations: Vec::new(),
        }
    }

    /// The case after one more arrival; none stands for a status without a symbol.
    pub fn step(&self, before: &Case, arrival: Option<char>) -> Case {
        let mut after = before.clone();
        after.arrivals += 1;
        let Some(symbol) = arrival else { return after };
        after.symbols += 1;
        after.other_than_scan |= symbol != 'S';
        after.possible = HashMap::new();

        let mut reach = |phase: Name, rounds: u32| {
            let fewest = after.possible.entry(phase).or_insert(rounds);
            *fewest = rounds.min(*fewest);
        };
        if before.symbols > 0 {
            for (from, rounds) in &before.possible {
                for to in self.after(from) {
                    if shown(to) == symbol {
                        reach(to, rounds + u32::from(opens_round(from, to)));
                    }
                }
            }
        } else if before.complete {
            for to in self.after("(start)") {
                if shown(to) == symbol {
                    reach(to, 1);
                }
            }
        } else {
            for (phase, shows, ..) in PHASES {
                if shows == symbol {
                    reach(phase, 1);
                }
            }
        }

        if after.possible.is_empty() {
            after.deviations.push(before.arrivals);
            let rounds = 1 + before.possible.values().min().copied().unwrap_or(0);
            for (phase, shows, ..) in PHASES {
                let first_scan = ["scan", "at_lab", "kept"].contains(&phase);
                if shows == symbol && !(first_scan && before.other_than_scan) {
                    after.possible.insert(phase, rounds);
                }
            }
        }
        after
    }

    pub fn read(&self, complete: bool, arrivals: &[Option<char>]) -> Case {
        arrivals.iter().fold(self.begin(complete), |case, arrival| {
            self.step(&case, *arrival)
        })
    }

    pub fn answer(&self, case: &Case) -> Answer {
        let scenarios: BTreeSet<u8> = case.possible.keys().map(|p| row(p).2).collect();
        let candidates: Vec<u8> = scenarios.iter().copied().filter(|s| *s != 0).collect();
        let fewest = case.possible.values().min().copied();
        let mut stages: Vec<Name> = case.possible.keys().map(|p| row(p).3).collect();
        stages.sort();
        stages.dedup();
        let expected = SYMBOLS
            .into_iter()
            .filter(|symbol| match (case.symbols, case.complete) {
                (0, true) => ['S', 'F', 'M', 'R'].contains(symbol),
                (0, false) => true,
                _ => case
                    .possible
                    .keys()
                    .any(|p| self.after(p).iter().any(|next| shown(next) == *symbol)),
            })
            .collect();
        Answer {
            scenario: (scenarios.len() == 1)
                .then(|| candidates.first().copied())
                .flatten(),
            candidates,
            likely: case
                .possible
                .iter()
                .filter(|(_, rounds)| Some(**rounds) == fewest)
                .map(|(phase, _)| row(phase).2)
                .filter(|scenario| *scenario != 0)
                .min(),
            stages,
            expected,
            deviations: case.deviations.clone(),
        }
    }

    /// Every way through the phases that shows exactly these symbols, from its first event on.
    pub fn walks(&self, symbols: &[char]) -> Vec<Vec<Name>> {
        let mut walks: Vec<Vec<Name>> = vec![vec!["(start)"]];
        for symbol in symbols {
            let mut longer = Vec::new();
            for walk in walks {
                for next in self.after(walk[walk.len() - 1]) {
                    if shown(next) == *symbol {
                        longer.push([&walk[..], &[next]].concat());
                    }
                }
            }
            walks = longer;
        }
        walks
    }
}

/// What is known of a case.
#[derive(Clone)]
pub struct Case {
    complete: bool,
    /// Each possible phase, with the fewest rounds that lead there.
    possible: HashMap<Name, u32>,
    symbols: usize,
    other_than_scan: bool,
    arrivals: usize,
    deviations: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub candidates: Vec<u8>,
    pub scenario: Option<u8>,
    pub likely: Option<u8>,
    pub stages: Vec<Name>,
    pub expected: Vec<char>,
    pub deviations: Vec<usize>,
}

pub fn shown(phase: &str) -> char {
    row(phase).1
}

pub fn scenario(phase: &str) -> Option<u8> {
    Some(row(phase).2).filter(|scenario| *scenario != 0)
}

fn opens_round(from: &str, to: &str) -> bool {
    let modeled = MOD.split(' ').any(|m| m == from) && REV.split(' ').any(|r| r == to);
    let rescanned = from == "rescan" && (to == "rescan" || to == "at_lab_again");
    AGAIN.split(' ').any(|again| again == to) && !modeled && from != "scan" && !rescanned
}

fn row(phase: &str) -> (Name, char, u8, Name) {
    PHASES
        .into_iter()
        .find(|(name, ..)| *name == phase)
        .unwrap_or_else(|| panic!("no phase {phase}"))
}

fn named(phase: &str) -> Name {
    row(phase).0
}
