//! The guides say what is: their tables are held against the public API.

use std::collections::BTreeSet;
use std::path::Path;

const API: &str = include_str!("../../api.txt");
const ERRORS: &str = include_str!("../../src/guide/errors.md");
const OBSERVING: &str = include_str!("../../src/guide/observing.md");

/// The predicates of `Error` in the public API.
fn predicates() -> BTreeSet<&'static str> {
    API.lines()
        .filter_map(|line| line.strip_prefix("pub fn lab_connector::Error::"))
        .filter_map(|item| item.strip_suffix("(&self) -> bool"))
        .collect()
}

#[test]
fn the_guide_to_errors_has_a_line_for_each_predicate_and_for_no_other() {
    let predicates = predicates();
    assert!(predicates.contains("is_retryable"), "{predicates:?}");

    let mut lines = BTreeSet::new();
    for line in ERRORS.lines().filter(|line| line.starts_with("| [`")) {
        let name = line.trim_start_matches("| [`").split('`').next().unwrap();
        assert!(lines.insert(name), "{name} has two lines");
        assert!(
            line.contains(&format!("(crate::Error::{name})")),
            "{name} links to another item"
        );
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        assert_eq!(
            cells.len(),
            3,
            "{name}: predicate, what happened, what to do"
        );
    }
    assert_eq!(
        lines, predicates,
        "src/guide/errors.md and the predicates of Error differ"
    );
}

const SOAK: &str = include_str!("../../scripts/soak");
const WEEKLY: &str = include_str!("../../.github/workflows/weekly.yml");
const CI: &str = include_str!("../../.github/workflows/ci.yml");
const SECURITY: &str = include_str!("../../SECURITY.md");

#[test]
fn the_weekly_workflow_runs_each_soak() {
    let soaks: BTreeSet<_> = SOAK
        .lines()
        .filter_map(|line| line.strip_suffix(')'))
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    assert!(soaks.contains("chaos"), "{soaks:?}");
    let matrix = WEEKLY
        .lines()
        .find_map(|line| line.trim().strip_prefix("soak: ["))
        .unwrap();
    let run: BTreeSet<_> = matrix
        .trim_end_matches(']')
        .split(',')
        .filter_map(|entry| entry.trim().trim_matches('"').split(' ').next())
        .collect();
    assert_eq!(run, soaks, "weekly.yml and scripts/soak differ");
}

#[test]
fn each_job_of_a_workflow_has_a_time_limit_and_each_action_a_commit() {
    for workflow in [CI, WEEKLY] {
        let count = |text: &str| workflow.matches(text).count();
        assert_eq!(count("    runs-on: "), count("    timeout-minutes: "));
        for line in workflow.lines().filter(|line| line.contains("uses: ")) {
            let (_, commit) = line.split_once('@').unwrap();
            let commit = commit.split(' ').next().unwrap();
            let hexadecimal = commit.chars().all(|c| c.is_ascii_hexdigit());
            assert!(commit.len() == 40 && hexadecimal, "{line}");
        }
    }
}

#[test]
fn the_tests_that_the_threat_model_names_are_there() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let rows = SECURITY.lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in rows.skip(1) {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in cell.split('`').skip(1).step_by(2) {
            let file = tests.join(format!("{name}.rs"));
            assert!(file.exists() || tests.join(name).is_dir(), "{row}");
            named += 1;
        }
    }
    assert!(named > 9, "{named} tests are named");
}

/// Level or `span`, text or nothing, and the fields by name.
type Traced = (String, String, BTreeSet<String>);

#[test]
fn the_guide_to_observing_has_a_line_for_each_event_and_field_and_for_no_other() {
    let mut code = BTreeSet::new();
    let mut spans = BTreeSet::new();
    for_each_source(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"),
        &mut |text| {
            // A comment between arguments is none.
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let code_only: String = text.lines().filter(is_code).collect();
            for (name, arguments) in tracing_calls(&code_only) {
                let (message, fields) = message_and_fields(arguments);
                if let Some(level) = name.strip_suffix("_span") {
                    spans.extend(fields.into_iter().map(|field| (level.to_owned(), field)));
                } else {
                    code.insert((name.to_owned(), message, fields));
                }
            }
        },
    );
    assert!(code.len() > 20, "the code is not read: {code:?}");
    assert!(spans.len() > 5, "the span is not read: {spans:?}");

    let mut events: BTreeSet<Traced> = BTreeSet::new();
    let mut fields = BTreeSet::new();
    for line in OBSERVING.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells[..] {
            [level, event, named, _] if event.starts_with('`') => {
                let named = named.split(',').map(|name| name.trim().trim_matches('`'));
                let named = named.filter(|name| !name.is_empty()).map(str::to_owned);
                events.insert((
                    level.to_owned(),
                    event.trim_matches('`').to_owned(),
                    named.collect(),
                ));
            }
            [field, _] if field.starts_with('`') => {
                fields.insert(("info".to_owned(), field.trim_matches('`').to_owned()));
            }
            _ => {}
        }
    }
    assert_eq!(
        events, code,
        "the guide's table and the events in the code differ"
    );
    assert_eq!(
        fields, spans,
        "the guide's table and the span in the code differ"
    );
}

fn for_each_source(directory: &Path, read: &mut impl FnMut(&str)) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            for_each_source(&path, read);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            read(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// Every `tracing::NAME!(ARGUMENTS)` that is an event or a span.
fn tracing_calls(text: &str) -> Vec<(&str, &str)> {
    text.match_indices("tracing::")
        .filter_map(|(at, _)| {
            let (name, rest) = text[at + "tracing::".len()..].split_once("!(")?;
            let known = [
                "trace",
                "debug",
                "info",
                "warn",
                "error",
                "info_span",
                "debug_span",
            ];
            known.contains(&name).then(|| (name, up_to_the_end(rest)))
        })
        .collect()
}

/// Up to the parenthesis that closes the call; those in texts do not count.
fn up_to_the_end(text: &str) -> &str {
    let (mut depth, mut quoted) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'(' | b'[' if !quoted => depth += 1,
            b')' if !quoted && depth == 0 => return &text[..at],
            b')' | b']' if !quoted => depth -= 1,
            _ => {}
        }
    }
    panic!("a call without an end: {text}");
}

fn message_and_fields(arguments: &str) -> (String, BTreeSet<String>) {
    let (mut depth, mut quoted, mut from) = (0, false, 0);
    let mut parts = Vec::new();
    for (at, byte) in arguments.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth -= 1,
            b',' if !quoted && depth == 0 => {
                parts.push(&arguments[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&arguments[from..]);
    let (mut message, mut fields) = (String::new(), BTreeSet::new());
    for part in parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
    {
        if part.starts_with("target:") || part.starts_with("parent:") {
        } else if part.starts_with('"') {
            message = part.trim_matches('"').to_owned();
        } else {
            let name = part.split('=').next().unwrap_or(part);
            fields.insert(name.trim().trim_start_matches(['%', '?']).to_owned());
        }
    }
    (message, fields)
}
