//! Any line has one answer: an object of one line, with all six fields or with an error alone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../../examples/common/answer.rs"]
mod answer;
#[path = "../../examples/classify/lines.rs"]
mod lines;

const FIELDS: [&str; 6] = [
    "candidates",
    "deviations",
    "expected",
    "likely",
    "scenario",
    "stages",
];

fuzz_target!(|input: &[u8]| {
    let mut out = Vec::new();
    lines::answer(input, &mut out).unwrap();
    assert!(!out.contains(&b'\n'));
    let answer: Value = serde_json::from_slice(&out).unwrap();
    let fields: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert!(fields == FIELDS || fields == ["error"], "{answer}");

    // As a stream: as many answers as lines.
    let mut out = Vec::new();
    lines::run(input, &mut out).unwrap();
    let newlines = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'\n').count();
    let unfinished = input.last().is_some_and(|last| *last != b'\n');
    assert_eq!(newlines(&out), newlines(input) + usize::from(unfinished));
});
