//! Plays many random worlds: `worlds FIRST COUNT`, or one with its log: `worlds SEED`.

use planner::worlds::{Summary, play};

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|one| one.parse().ok())
        .collect();
    let (first, count) = match numbers.as_slice() {
        [seed] => {
            match play(*seed, true) {
                Ok(summary) => println!("{summary:?}"),
                Err(finding) => println!("{finding}"),
            }
            return;
        }
        [first, count] => (*first, *count),
        _ => return eprintln!("worlds FIRST COUNT, or worlds SEED"),
    };
    let mut sum = Summary::default();
    let mut findings = 0_u64;
    for seed in first..first + count {
        match play(seed, false) {
            Ok(one) => {
                sum.deliveries += one.deliveries;
                sum.doubtful += one.doubtful;
                sum.phases += one.phases;
                sum.steps += one.steps;
                sum.fetches += one.fetches;
                sum.outdated += one.outdated;
                sum.rested += one.rested;
                sum.most_at_rest = sum.most_at_rest.max(one.most_at_rest);
            }
            Err(finding) => {
                findings += 1;
                if findings <= 20 {
                    println!("{}", finding.what);
                }
            }
        }
    }
    println!("{count} worlds from {first}: {findings} findings; {sum:?}");
    std::process::exit(i32::from(findings > 0));
}
