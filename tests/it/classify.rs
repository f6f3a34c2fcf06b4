//! The line format of the example `classify`, by calling the function it calls.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "../../examples/common/answer.rs"]
mod answer;
#[path = "../../examples/classify/lines.rs"]
mod lines;

fn answered(line: impl AsRef<[u8]>) -> Value {
    let mut out = Vec::new();
    lines::answer(line.as_ref(), &mut out).unwrap();
    assert!(!out.contains(&b'\n'));
    serde_json::from_slice(&out).unwrap()
}

fn error(line: impl AsRef<[u8]>) -> String {
    let answer = answered(line);
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    answer["error"].as_str().unwrap().to_owned()
}

#[test]
fn answers_with_all_six_fields() {
    assert_eq!(
        answered(r#"{"history": ["Lab Review", "iTero Milling"], "complete": true}"#),
        json!({
            "candidates": [4, 5],
            "scenario": null,
            "likely": 4,
            "stages": ["in_interpretation", "in_milling"],
            "expected": ["R", "I", "T", "D"],
            "deviations": [],
        })
    );
    assert_eq!(
        answered(r#"{"history": ["R", "Completed", "T", "F"]}"#),
        json!({
            "candidates": [3],
            "scenario": 3,
            "likely": 3,
            "stages": ["ready_for_download"],
            "expected": ["S", "F", "M", "R", "D"],
            "deviations": [3],
        })
    );
}

#[test]
fn texts_and_symbols_mix() {
    let same = answered(r#"{"history": ["R", "I"]}"#);
    for line in [
        r#"{"history": ["LAB_REVIEW", "I"]}"#,
        r#"{"history": ["R", "Lost in transit", "itero milling (late)"]}"#,
        r#"{"history": ["\u0052", "iTero\u0020Milling"]}"#,
        r#"{"complete": true, "history": ["R", "I"], "case": {"a": [1]}, "history of": null}"#,
        "  {\"history\": [\"R\", \"I\"]}\r",
    ] {
        assert_eq!(answered(line), same, "{line}");
    }
}

#[test]
fn only_the_seven_capital_letters_are_symbols() {
    let empty = answered(r#"{"history": []}"#);
    assert_eq!(
        answered(r#"{"history": ["r", " R", "R ", "", "X", "Ｒ"]}"#),
        empty
    );
    assert_ne!(answered(r#"{"history": ["R"]}"#), empty);
}

#[test]
fn a_partial_history_says_so() {
    let complete = answered(r#"{"history": ["F"]}"#);
    assert_eq!(complete["scenario"], 1);
    let partial = answered(r#"{"history": ["F"], "complete": false}"#);
    assert_eq!(partial["scenario"], Value::Null);
    assert_eq!(partial["candidates"], json!([1, 3]));
    let partial = answered(r#"{"complete": false, "history": []}"#);
    assert_eq!(partial["expected"].as_array().unwrap().len(), 7);
}

#[test]
fn a_malformed_line_is_told_what_is_wrong() {
    for (line, told) in [
        ("", "an empty line"),
        ("  \r", "an empty line"),
        ("null", "the line must be an object, it is null"),
        (
            r#"[["R"], true]"#,
            "the line must be an object, it is an array",
        ),
        ("{}", "`history` is missing"),
        (r#"{"complete": true}"#, "`history` is missing"),
        (
            r#"{"history": "R"}"#,
            "`history` must be an array of texts, it is a text",
        ),
        (
            r#"{"history": ["R", ["I"]]}"#,
            "`history[1]` must be a text, it is an array",
        ),
        (
            r#"{"history": [], "complete": "yes"}"#,
            "`complete` must be true or false, it is a text",
        ),
        (
            r#"{"history": [], "complete": null}"#,
            "`complete` must be true or false, it is null",
        ),
        (r#"{"history": [], "history": []}"#, "a key stands twice"),
    ] {
        assert_eq!(error(line), told, "{line}");
    }
    for line in [
        "R I",
        r#"{"history": ["R"#,
        r#"{"history": ["R"]} {"history": ["R"]}"#,
        r#"{"history": ["\ud800"]}"#,
        "{'history': []}",
    ] {
        let told = error(line);
        assert!(told.starts_with("not JSON: "), "{line}: {told}");
        assert!(told.contains(" at column "), "{line}: {told}");
    }
    assert_eq!(
        error(b"{\"history\": [], \"x\": \"\xff\"}"),
        "not UTF-8 at byte 23"
    );
    assert!(error("[".repeat(100_000)).starts_with("not JSON: "));
}

#[test]
fn errors_do_not_repeat_the_line() {
    for line in [
        r#"{"history": "Mustermann"}"#,
        r#"{"history": [], "complete": "Mustermann"}"#,
        r#"{"history": [{"Mustermann": 1}]}"#,
        r#"{"Mustermann": [], Mustermann"#,
        r#""Mustermann""#,
        "Mustermann",
    ] {
        assert!(!error(line).contains("Mustermann"), "{line}");
    }
}

#[test]
fn each_line_has_its_answer_in_order() {
    let input = b"{\"history\":[\"F\"]}\n\nnonsense\n{\"history\":[\"R\"]}";
    for ending in ["", "\n"] {
        let input = [&input[..], ending.as_bytes()].concat();
        let mut output = Vec::new();
        lines::run(&input[..], &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        let answers: Vec<Value> = output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0]["scenario"], 1);
        assert_eq!(answers[1]["error"], "an empty line");
        assert!(answers[2]["error"].is_string());
        assert_eq!(answers[3]["likely"], 2);
    }
    let mut output = Vec::new();
    lines::run(io::empty(), &mut output).unwrap();
    assert_eq!(output, b"");
}

/// What was written and flushed, seen from the other end.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line only when the one before has its answer, as one at the keyboard does.
struct Asker {
    answers: Pipe,
    asked: usize,
}

impl Read for Asker {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let answered = self
            .answers
            .0
            .borrow()
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        assert_eq!(answered, self.asked, "an answer is held back");
        if self.asked == 3 {
            return Ok(0);
        }
        self.asked += 1;
        let line = b"{\"history\":[\"F\"]}\n";
        into[..line.len()].copy_from_slice(line);
        Ok(line.len())
    }
}

#[test]
fn an_answer_does_not_wait_for_the_next_line() {
    let answers = Pipe::default();
    let asker = Asker {
        answers: answers.clone(),
        asked: 0,
    };
    lines::run(asker, answers.clone()).unwrap();
    assert_eq!(
        answers.0.borrow().iter().filter(|b| **b == b'\n').count(),
        3
    );
}

#[test]
fn a_broken_output_pipe_is_told_from_other_errors() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let result = lines::run(&b"{}\n"[..], Broken);
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

proptest! {
    #[test]
    fn any_bytes_are_answered(line: Vec<u8>) {
        let answer = answered(&line);
        prop_assert!(answer.is_object());
    }

    #[test]
    fn any_texts_are_read(history: Vec<String>, complete: bool) {
        let line = json!({ "history": history, "complete": complete }).to_string();
        let answer = answered(line);
        prop_assert!(answer["candidates"].is_array(), "{}", answer);
    }
}
